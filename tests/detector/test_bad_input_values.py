"""Values of `--set` out of all reason, and counts that no data has: one line, at once."""

from __future__ import annotations

import numpy as np
import pytest

from detector.anchors import check_count
from detector.config import load_config
from schemas.errors import ConfigError, InputError
from wordtree.command import main

WRONG = {
    "train.learning_rate=inf": "expected 0 to 3.4e",
    "train.learning_rate=nan": "expected 0 to 3.4e",
    "train.clip_norm=1e999": "expected 0 to 1e",
    "train.steps=99999999999999999999": "expected 1 to 1e",
    "loss.weak_after=99999999999999999999": "expected 0 to 1e",
    "train.schedule_scales=0.1,nan": "train.schedule_scales holds nan; expected numbers from 0",
    "train.schedule_scales=-1": "train.schedule_scales holds -1.0; expected numbers from 0",
    "train.schedule_scales=inf": "train.schedule_scales holds inf; expected numbers from 0",
    "train.schedule_steps=-5,10": "train.schedule_steps holds -5; expected numbers from -1",
    "train.multi_scale=64,-64": "train.multi_scale holds -64; expected numbers from 8 to 8192",
    "train.multi_scale=1000000000": "expected numbers from 8 to 8192",
}


@pytest.mark.parametrize("override", WRONG)
def test_a_value_without_sense_is_refused_before_anything_is_built(override):
    with pytest.raises(ConfigError) as caught:
        load_config("tiny64", [override])
    assert str(caught.value).startswith(f"--set {override}: ")
    assert WRONG[override] in str(caught.value)


def test_more_priors_than_shapes_are_refused_before_the_first_fit():
    with pytest.raises(InputError, match="2 different box shapes are too few for 1000000000 anchors"):
        check_count(np.array([[0.1, 0.2], [0.1, 0.2], [0.3, 0.2]]), 1_000_000_000)


def test_the_seed_of_anchors_and_the_name_of_a_sheet(detection_set, tmp_path, capsys):
    assert main(["anchors", str(detection_set), "--count", "1", "--seed", "-1"]) == 2
    assert "--seed -1: expected 0 or more" in capsys.readouterr().err
    assert main(["anchors", str(detection_set), "--count", "1000000000", "--curve"]) == 2
    assert "too few for 1000000000 anchors" in capsys.readouterr().err
    assert main(["inspect", str(detection_set), "--out", str(tmp_path / "sheet.txt")]) == 2
    assert "expected a name that ends in .png, .jpg" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
