"""Experiments: typed overrides, clear errors, a JSON form that comes back."""

from __future__ import annotations

import json

import pytest

from detector.config import config_names, experiment_from_json, load_config
from schemas.errors import ConfigError


@pytest.mark.parametrize("name", config_names())
def test_every_shipped_experiment_loads_and_survives_json(name):
    experiment = load_config(name)
    assert experiment.name == name
    assert experiment_from_json(experiment.to_json()) == experiment


def test_overrides_take_the_type_of_the_field():
    experiment = load_config(
        "tiny64",
        [
            "train.steps=1_000",
            "train.learning_rate=0.5",
            "loss.rescore=false",
            "loss.weak=paper",
            "data.shares=4,1",
            "model.anchors=[[0.1, 0.2], [0.3, 0.4]]",
            "data.datasets=a,b",
        ],
    )
    assert experiment.train.steps == 1000
    assert experiment.train.learning_rate == 0.5
    assert experiment.loss.rescore is False
    assert experiment.loss.weak == "paper"
    assert experiment.data.shares == (4.0, 1.0)
    assert experiment.model.anchors == ((0.1, 0.2), (0.3, 0.4))
    assert experiment.data.datasets == ("a", "b")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.step=5", r"train has no key 'step' \(did you mean 'steps'\?\)"),
        ("trian.steps=5", r"no section 'trian' \(did you mean 'train'\?\)"),
        ("train.steps=many", "found 'many'; expected int"),
        ("loss.weak=hope", "found 'hope'; expected one of modern, paper"),
        ("loss.rescore=perhaps", "expected true or false"),
        ("data.shares=1,2,3", "found 3 values; expected 2"),
        ("train.steps", r"expected section.key=value"),
    ],
)
def test_bad_overrides_are_named(override, message):
    with pytest.raises(ConfigError, match=message):
        load_config("tiny64", [override])


@pytest.mark.parametrize(
    "override",
    [
        "train.steps=0",
        "train.batch_size=-1",
        "train.learning_rate=nan",
        "train.ema=2",
        "train.log_every=0",
        "train.checkpoint_every=75",
        "model.input_size=0",
        "model.width=nan",
        "model.stages=9",
        "model.output_stride=12",
        "model.shorter_side=15",
        "two_stage.frozen_stride=3",
        "two_stage.frozen_stride=24",
        "model.anchors=[[0, 0]]",
        "data.max_boxes=0",
        "data.shares=1,0",
        "augment.flip=5",
        "augment.scale=-1",
        "loss.coord_scale=inf",
    ],
)
def test_values_out_of_range_are_refused_with_the_range(override):
    key = override.split("=")[0]
    with pytest.raises(ConfigError, match=rf"--set {key}=.*: {key}.*; expected "):
        load_config("tiny64", [override])


def test_proposals_are_chosen_from_as_many_candidates_or_more():
    words = "two_stage.candidates is 20, fewer than two_stage.proposals, 50, .*; expected as many or more"
    chosen = ["two_stage.candidates=20", "two_stage.proposals=50"]
    with pytest.raises(ConfigError, match=words):
        load_config("faster_rcnn_small", chosen)
    assert load_config("tiny64", chosen).two_stage.proposals == 50  # does not read them
    assert load_config("faster_rcnn_small", ["two_stage.candidates=50", "two_stage.proposals=50"]).two_stage.pool == 2


def test_crops_of_which_nothing_is_left_name_the_least():
    keras = pytest.importorskip("keras")
    from detector.two_stage.heads import second_stage

    crops = keras.Input((None, None, 2))
    halved = keras.layers.Conv2D(3, 3, strides=2)(keras.layers.ZeroPadding2D(((0, 1), (0, 1)))(crops))
    rest = keras.Model(crops, halved)
    with pytest.raises(ConfigError, match=r"two_stage.crop / two_stage.pool is 1: .*; expected 2 or more: a larger"):
        second_stage(rest, (1, 2), width=8, dropout=0.0)
    assert second_stage(rest, (2, 2), width=8, dropout=0.0).compute_output_shape((None, 2, 2, 2)) == (None, 3)


def test_every_ranged_key_exists_and_every_shipped_experiment_is_in_range():
    from detector.limits import RANGES, check_experiment

    for name in config_names():
        assert check_experiment(load_config(name), name).name == name
    assert all(hasattr(getattr(load_config("tiny64"), key.split(".")[0]), key.split(".")[1]) for key in RANGES)


@pytest.mark.parametrize("text", ["[]", "null", "5", '{"model": []}', "[" * 100_000, '{"model": {"anchors": 5}}'])
def test_junk_in_place_of_an_experiment_is_refused(text, tmp_path):
    (tmp_path / "junk.json").write_text(text)
    with pytest.raises(ConfigError, match=r"junk\.json"):
        load_config(str(tmp_path / "junk.json"))


def test_unknown_experiment_names_the_nearest(tmp_path):
    with pytest.raises(
        ConfigError, match=r"no config 'tiny65' \(did you mean 'tiny64'\?\); there are darknet19, darknet19_448, demo, "
    ):
        load_config("tiny65")
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(str(tmp_path / "missing.json"))
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigError, match="not JSON"):
        load_config(str(tmp_path / "bad.json"))


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("train", "steps", 2.7, "found 2.7; expected int"),
        ("train", "steps", True, "found true; expected int"),
        ("loss", "rescore", 1, "found 1; expected bool"),
        ("train", "learning_rate", False, "found false; expected float"),
        ("model", "network", 5, "found 5; expected str"),
        ("two_stage", "anchor_iou", [0.3, None], "found null|found None"),
    ],
)
def test_values_of_json_are_not_bent(section, key, value, words):
    with pytest.raises(ConfigError, match=words):
        experiment_from_json(json.dumps({"name": "x", section: {key: value}}))
    steps = experiment_from_json(json.dumps({"name": "x", "train": {"steps": 2.0}})).train.steps
    assert (steps, type(steps)) == (2, int)
