"""`wordtree train`: its plan, its warnings, its status when it was stopped."""

from __future__ import annotations

import argparse
import json
import os
import signal

import pytest

tf = pytest.importorskip("tensorflow")

from detector.cli_train import add_train  # noqa: E402
from detector.config import Experiment, ModelConfig, TrainConfig, TwoStageConfig, load_config  # noqa: E402
from detector.dataset import open_dataset  # noqa: E402
from detector.run import write_tree  # noqa: E402
from detector.training.counting import count_training_nodes, data_warnings  # noqa: E402
from detector.training.plan import passes, recipe_lines, recipe_warnings  # noqa: E402
from schemas.arrow import AnnotationColumns  # noqa: E402
from schemas.errors import ConfigError  # noqa: E402
from schemas.manifest import ClassEntry  # noqa: E402
from schemas.record import ImageLabel  # noqa: E402
from tests.detector.train_stub import stub_experiment, use_stub  # noqa: E402


@pytest.fixture
def command(monkeypatch, detection_set, label_set, tree, tmp_path):
    """`command(*words)` is the exit status of `wordtree train stub --data ... --tree ... --out run`, words added."""
    use_stub(monkeypatch)
    (tmp_path / "config.json").write_text(stub_experiment().to_json())
    write_tree(tree, tmp_path / "tree")
    parser = argparse.ArgumentParser()
    add_train(parser.add_subparsers())

    def run(*words):
        plain = ["train", tmp_path / "config.json", "--data", detection_set, label_set, "--tree", tmp_path / "tree"]
        args = parser.parse_args([str(word) for word in (*plain, "--out", tmp_path / "run", *words)])
        return args.run(args)

    return run


def test_a_dry_run_says_the_cost_and_writes_nothing(command, capsys, tmp_path):
    assert command("--dry-run", "--set", "train.subdivisions=2", "--set", "train.multi_scale=8,16") == 0
    text = capsys.readouterr().out
    # 12 boxed images and 20 labelled ones, 4 to 1: of 48 images 9.6 and 38.4
    assert "seen: the labels-only images 1.92 times, the boxed images 0.8 times (32 images in all)" in text
    assert "size: 8, 16, a new one every 10 steps" in text
    assert "2 parts of 2 images a step" in text
    assert "network: 38 parameters for 4 nodes" in text
    assert "memory: about 0 MiB" in text
    assert not (tmp_path / "run").exists()


def test_a_stopped_run_gives_the_status_of_its_signal(command, capsys, monkeypatch):
    from detector.training import step

    real = step.Trainer.train_step

    def interrupted(self, batch, number, name_image=None):
        if number == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, batch, number, name_image)

    monkeypatch.setattr(step.Trainer, "train_step", interrupted)
    assert command() == 130
    assert "stopped at step 3 of 12; the same command goes on from there" in capsys.readouterr().out
    assert command() == 0
    assert "resuming at step 3" in capsys.readouterr().out


def test_options_that_cannot_be_are_refused_before_work(command):
    with pytest.raises(ConfigError, match="--keep -1: expected 0 or more"):
        command("--keep", -1)
    with pytest.raises(ConfigError, match=r"train.subdivisions is 3; expected a divisor of train.batch_size, 4"):
        command("--dry-run", "--set", "train.subdivisions=3")
    with pytest.raises(ConfigError, match=r"--best-metric chooses among evaluations.*name their datasets with --eval"):
        command("--best-metric", "AP75")


def test_an_override_that_is_refused_is_named_alone(command):
    wrong = ["--set", "train.log_every=2", "--set", "train.momentum=7", "--set", "train.steps=9"]
    with pytest.raises(ConfigError, match=r"^--set train.momentum=7: train.momentum is 7.0; expected 0 to "):
        command(*wrong)
    with pytest.raises(ConfigError, match=r"^--set train.log_every=5: train.checkpoint_every is 4; expected"):
        command("--set", "train.steps=9", "--set", "train.log_every=5")


def test_sets_without_steps_between_are_evaluated_once_at_the_end(command, capsys, fine_set):
    assert command("--dry-run", "--eval", fine_set) == 0
    assert "  eval: once, at the end (step 12); --set train.evaluate_every=N eval" in capsys.readouterr().out
    assert command("--dry-run", "--eval", fine_set, "--set", "train.evaluate_every=4") == 0
    assert "  eval: every 4 steps and at the end" in capsys.readouterr().out
    assert command("--dry-run") == 0
    assert "eval:" not in capsys.readouterr().out


def test_the_evaluation_at_the_end_is_done(command, monkeypatch, fine_set, tmp_path):
    def scored(run, dataset, batch_size):
        return {"summary": {"AP50": 0.5}}

    monkeypatch.setattr("detector.training.evaluation.evaluate_run", scored)
    assert command("--eval", fine_set) == 0
    (line,) = (tmp_path / "run" / "evaluations.jsonl").read_text().splitlines()
    assert (json.loads(line)["step"], json.loads(line)["dataset"]) == (12, "fine")
    assert (tmp_path / "run" / "checkpoints" / "best").is_dir()
    assert load_config(str(tmp_path / "run" / "config.json")).train.evaluate_every == 12


def planned(**train):
    return Experiment(name="t", train=TrainConfig(**({"steps": 100, "warmup_steps": 0} | train)))


def test_a_rate_that_only_rises_is_warned_of(command, capsys):
    (line,) = recipe_warnings(planned(warmup_steps=200, warmup_power=1.0, learning_rate=0.01), False)
    assert line.startswith("train.warmup_steps is 200 and train.steps 100: the rate only rises, to 0.005 of 0.01 at")
    assert line.endswith("give --set train.warmup_steps=10, say")
    assert recipe_warnings(planned(warmup_steps=99), False) == []
    assert command("--dry-run", "--set", "train.warmup_steps=12") == 0
    assert "warning: train.warmup_steps is 12 and train.steps 12" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("steps", "scales", "first"),
    [
        ((101, 200), (0.1, 0.1), 101),
        ((50, 101), (10.0, 0.1), 101),
        ((100, 200), (0.1, 0.1), 0),
        ((50,), (10.0,), 0),
        ((50, 60, 200), (10.0, 0.1, 0.1), 0),
    ],
)
def test_a_rate_that_never_falls_is_told(steps, scales, first):
    text = "\n".join(recipe_lines(planned(schedule="steps", schedule_steps=steps, schedule_scales=scales), []))
    assert (f"it never falls: the first drop is at step {first}, the run has 100" in text) == bool(first)
    assert ("never falls" in text) == bool(first)


def test_what_is_frozen_without_weights_is_warned_of():
    def warnings(has_weights=False, **two_stage):
        model = ModelConfig(architecture="faster_rcnn", network=two_stage.pop("network", "ResNet50"))
        experiment = Experiment(name="t", model=model, train=planned().train, two_stage=TwoStageConfig(**two_stage))
        return recipe_warnings(experiment, has_weights)

    (line,) = warnings(frozen_norm=True, frozen_stride=4)
    assert line.startswith("frozen without --init: the layers up to stride 4 and scale and statistics of batch norm")
    assert line.endswith("--set two_stage.frozen_stride=0 --set two_stage.frozen_norm=false")
    (line,) = warnings(frozen_norm=True)
    assert line.endswith("train them: --set two_stage.frozen_norm=false")
    assert warnings(frozen_norm=True, network="VGG16") == []  # it has none
    assert warnings() == warnings(True, frozen_norm=True, frozen_stride=4) == []
    assert recipe_warnings(planned(), False) == []


def test_the_plan_says_what_a_network_does_not_read():
    def lines(**model):
        return "\n".join(recipe_lines(Experiment(name="t", model=ModelConfig(**model)), []))

    assert "net:  VGG16 does not read model.stages and model.depth" in lines(network="VGG16", stages=5)
    assert "net:" not in lines(network="VGG16") + lines(stages=5)


SILENT = ClassEntry(id=9, label="thing", wnid="n00000002", display_name="thing")


def test_what_is_odd_in_the_data_is_said(make_dataset, detection_set, label_set, tmp_path):
    boxed, labelled = open_dataset(str(detection_set)), open_dataset(str(label_set))
    assert data_warnings([boxed, labelled]) == []
    records = [boxed.record(row) for row in range(3)]
    some = make_dataset(tmp_path / "some", records, (*boxed.manifest.classes, SILENT), has_boxes=True)
    bare = [record._replace(boxes=()) for record in records]
    none = make_dataset(tmp_path / "none", bare, boxed.manifest.classes, has_boxes=True)
    mute = [labelled.record(row)._replace(labels=()) for row in range(2)]
    nothing = make_dataset(tmp_path / "mute", mute, labelled.manifest.classes, has_boxes=False)
    assert data_warnings([open_dataset(str(path)) for path in (some, none, nothing)]) == [
        f"{some}: no box of 1 of its 2 classes (thing)",
        f"{none} is a boxed set without a single box: it teaches that there is nothing",
        f"{nothing} has no image label: it teaches nothing",
    ]


def test_counts_by_table_and_by_record_are_the_same(make_dataset, detection_set, label_set, tmp_path):
    """Crowds and verified absent labels do not count."""
    import pyarrow.parquet as pq

    boxed, labelled = open_dataset(str(detection_set)), open_dataset(str(label_set))
    records = [boxed.record(row) for row in range(4)]
    records[1] = records[1]._replace(boxes=tuple(box._replace(is_crowd=True) for box in records[1].boxes))
    said = [labelled.record(row) for row in range(4)]
    said[0] = said[0]._replace(labels=(*said[0].labels, ImageLabel("square", 2, present=False)))
    expected = {}
    for dataset, rows in ((boxed, records), (labelled, said)):
        for record in rows:
            for box in record.boxes:
                key = ("boxes", dataset.wnids[box.class_id])
                expected[key] = expected.get(key, 0) + (not box.is_crowd)
            for label in record.labels:
                key = ("labels", dataset.wnids[label.class_id])
                expected[key] = expected.get(key, 0) + label.present
    found = []
    for tables in (False, True):
        sets = []
        for name, source, rows in (("b", boxed, records), ("l", labelled, said)):
            path = make_dataset(tmp_path / f"{name}{tables}", rows, source.manifest.classes, has_boxes=source.has_boxes)
            if tables:
                columns = AnnotationColumns()
                for record in rows:
                    columns.add(record)
                pq.write_table(columns.table(), path / "train.annotations.parquet")
            sets.append(open_dataset(str(path)))
        counts = count_training_nodes(sets)
        found.append({(kind, wnid): n for kind in ("boxes", "labels") for wnid, n in counts[kind].items()})
    assert found[0] == found[1] == {key: number for key, number in expected.items() if number}


def test_the_plans_arithmetic_by_hand():
    class Set(list):
        has_boxes = True

    boxed, labelled = Set(range(100)), Set(range(1000))
    labelled.has_boxes = False
    experiment = Experiment(name="t", train=TrainConfig(steps=50, batch_size=10))
    assert passes(experiment, [boxed]) == {"boxed": 5.0}
    assert passes(experiment, [boxed, labelled]) == pytest.approx({"labels-only": 0.4, "boxed": 1.0})
