"""Experiments from users' own files: a page, TOML, JSON and a pipeline.config end in the same values."""

from __future__ import annotations

import json
from typing import Any

import pytest

from detector.architectures import build_detector
from detector.config import experiment_from_json, load_config
from schemas.errors import ConfigError
from wordtree.tree import WordTree

TOY = """
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from detector.config import Experiment, ModelConfig
from detector.fields import Section


@dataclass(frozen=True, kw_only=True)
class ToyConfig(Section):
    levels: Annotated[int, Meta(ge=1, le=9, description="maps of the pyramid")] = 3
    shares: Annotated[tuple[float, ...], Meta(description="of the maps")] = ()

    def faults(self, experiment) -> Iterator[str]:
        if len(self.shares) > self.levels:
            yield f"toy.shares has {len(self.shares)} numbers; expected at most toy.levels, {self.levels}"


@dataclass(frozen=True, kw_only=True)
class ToyExperiment(Experiment):
    toy: ToyConfig = field(default_factory=ToyConfig)


def get_config():
    return ToyExperiment(name="toy", model=ModelConfig(architecture=__file__), toy=ToyConfig(levels=4))


def build(experiment, tree):
    return experiment.toy.levels, len(tree)
"""


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text(TOY)
    return str(path)


def test_a_field_of_a_users_own_architecture_is_declared_in_its_one_file(toy, tmp_path):
    page: Any = load_config(toy)
    assert page.toy.levels == 4
    page = load_config(toy, ["toy.levels=5", "toy.shares=1,.5"])
    (tmp_path / "run.json").write_text(page.to_json())
    (tmp_path / "my.json").write_text(
        json.dumps({"name": "toy", "model": {"architecture": toy}, "toy": {"levels": 5.0, "shares": [1, 0.5]}})
    )
    (tmp_path / "my.toml").write_text(
        f"name = 'toy'\n[model]\narchitecture = '{toy}'\n[toy]\nlevels = 5\nshares = [1, 0.5]\n"
    )
    assert all(load_config(str(tmp_path / name)) == page for name in ("run.json", "my.json", "my.toml"))
    assert page.toy.shares == (1.0, 0.5)
    assert isinstance(page.toy.shares[0], float)
    tree = WordTree(("a", "b"), (-1, -1))
    assert build_detector(page, tree) == (5, 2)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("toy.levels=0", "--set toy.levels=0: toy.levels is 0; expected 1 to 9"),
        ("toy.levels=some", r"\(toy.levels\): found 'some'; expected int"),
        ("toy.level=2", r"toy has no key 'level' \(did you mean 'levels'\?\)"),
        ("toi.levels=2", r"no section 'toi' \(did you mean 'toy'\?\)"),
        ("toy.shares=1,1,1,1,1", "toy.shares has 5 numbers; expected at most toy.levels, 4"),
    ],
)
def test_a_field_of_a_users_own_architecture_is_checked_as_ours_are(toy, override, words):
    with pytest.raises(ConfigError, match=words):
        load_config(toy, [override])


def test_every_way_to_say_a_value_ends_in_the_same_experiment(tmp_path):
    said = load_config("faster_rcnn_small", ["two_stage.proposals=20", "train.learning_rate=1"])
    (tmp_path / "own.toml").write_text(
        "base = 'faster_rcnn_small'\nname = 'faster_rcnn_small'\n"
        "[two_stage]\nproposals = 20\n[train]\nlearning_rate = 1\n"
    )
    (tmp_path / "own.json").write_text(
        '{"base": "faster_rcnn_small", "two_stage": {"proposals": 20.0}, "train": {"learning_rate": 1}}'
    )
    (tmp_path / "own.py").write_text(
        "from dataclasses import replace\n"
        "from detector.configs import faster_rcnn_small\n"
        "def get_config():\n"
        "    base = faster_rcnn_small.get_config()\n"
        "    two_stage = replace(base.two_stage, proposals=20)\n"
        "    return replace(base, two_stage=two_stage, train=replace(base.train, learning_rate=1))\n"
    )
    assert load_config(str(tmp_path / "own.toml")) == said
    assert load_config(str(tmp_path / "own.py")).to_json() == said.to_json()
    assert load_config(str(tmp_path / "own.json"), []).train == said.train
    assert load_config(str(tmp_path / "own.json")).name == "own"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "base = 'tiny65'", r"a.toml \(base\): found 'tiny65' \(did you mean 'tiny64'\?\); expected one of"),
        ("b.toml", "[train]\nsteps = 'many'", r"b.toml \(train.steps\): found 'many'; expected int"),
        ("c.toml", "[train", "c.toml: not TOML"),
        ("d.toml", "train = 5", "d.toml: no experiment"),
        ("e.py", "x = 1", r"e.py: has no get_config\(\) that returns an Experiment"),
        ("f.py", "\nx = y", r"f.py line 2: does not run \(NameError"),
        ("g.py", "x = (", r"g.py line 1: does not run \(SyntaxError"),
        ("h.toml", "[train]\nsteps = 0", "h.toml: train.steps is 0; expected 1 to 1e"),
    ],
)
def test_files_that_say_no_experiment_are_named(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_config(str(tmp_path / name))
    with pytest.raises(ConfigError, match=r"none\.py.*no such file"):
        load_config(str(tmp_path / "none.py"))


def test_a_page_with_a_value_of_another_type_is_refused(tmp_path):
    text = (
        "from detector.config import *\ndef get_config(): return Experiment(name='x', train=TrainConfig(steps=2.5))\n"
    )
    (tmp_path / "page.py").write_text(text)
    with pytest.raises(ConfigError, match=r"page.py \(train.steps\): found 2.5; expected int"):
        load_config(str(tmp_path / "page.py"))


def test_a_run_of_before_the_sections_were_declared_still_loads():
    old = {"name": "x", "model": {"input_size": 64}, "train": {"steps": 7}}
    experiment = experiment_from_json(json.dumps(old))
    assert (experiment.model.input_size, experiment.train.steps, experiment.two_stage.proposals) == (64, 7, 300)
