"""The bench from end to end on two small runs: figures, a second command, the page; and `--proposals` elsewhere."""

from __future__ import annotations

import argparse
import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.bench import job  # noqa: E402
from detector.bench.one_arm import measure_arm  # noqa: E402
from detector.bench.process import ArmError, run_arm  # noqa: E402
from detector.cli_bench import add_bench  # noqa: E402
from detector.cli_detect import add_detect  # noqa: E402
from detector.cli_evaluate import add_evaluate  # noqa: E402
from detector.cli_export import add_export  # noqa: E402
from detector.run import at_canvas, open_run, with_proposals  # noqa: E402
from schemas.errors import ConfigError, InputError, TreeError  # noqa: E402
from tests.detector.bench_runs import ONE, TWO, write_run  # noqa: E402
from tests.detector.conftest import COARSE, detection_record, write_dataset  # noqa: E402

QUICK = ("--images", "1", "--repeats", "1")


def command(*words):
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    for add in (add_bench, add_evaluate, add_detect, add_export):
        add(commands)
    args = parser.parse_args([str(word) for word in words])
    return args.run(args)


pytestmark = pytest.mark.xdist_group("bench")  # one worker, so that the bench is run once


@pytest.fixture(scope="module")
def folder(tmp_path_factory, fine_set):
    """Two runs and a finished bench of them: three of its six arms are measured, in this process, to save time."""
    folder = tmp_path_factory.mktemp("bench")
    write_run(ONE, folder / "one")
    write_run(TWO, folder / "two")
    with pytest.MonkeyPatch.context() as patch:
        measured = {}

        def measure(request, title):
            if request.proposals is not None and measured.get("rcnn"):
                return {**measured["rcnn"], "ms": measured["rcnn"]["ms"] + request.proposals}
            found = measure_arm(request)
            measured["rcnn" if request.proposals is not None else title] = found
            return found

        patch.setattr(job, "run_arm", measure)
        words = ("bench", folder / "one", f"rcnn={folder / 'two'}", "--eval", fine_set, "--out", folder / "out")
        assert command(*words, "--sizes", "32,64", "--proposals", "4,12", *QUICK) == 0
    return folder


def arms_of(folder):
    return json.loads((folder / "out/bench.json").read_text())["arms"]


def test_every_arm_has_its_figures(folder):
    arms = arms_of(folder)
    assert [(arm["name"], arm["height"], arm["width"], arm["proposals"]) for arm in arms] == [
        ("one", 32, 32, None), ("one", 64, 64, None),
        ("rcnn", 32, 32, 4), ("rcnn", 32, 32, 12), ("rcnn", 64, 64, 4), ("rcnn", 64, 64, 12),
    ]  # fmt: skip
    one, two = arms[0], arms[2:]
    assert one["parameters"] == 14090  # by hand: test_bench_operations
    assert {arm["parameters"] for arm in two} == {22211}
    assert arms[1]["flops"] == 4 * one["flops"]
    assert two[0]["flops"] == 1543360  # by hand, too
    assert list(one["stages_ms"]) == ["network", "names", "photo"]
    assert list(two[0]["stages_ms"]) == ["first stage", "proposals", "second stage", "names", "photo"]
    for arm in arms:
        assert arm["ms"] >= arm["ms_least"] > 0
        assert sum(ms or 0 for ms in arm["stages_ms"].values()) == pytest.approx(arm["ms_least"], abs=0.01)
        assert sum(ms or 0 for ms in arm["stages_cpu_ms"].values()) == pytest.approx(arm["cpu_ms_least"], abs=0.01)
        assert arm["peak_mb"] > 100
        assert arm["images"] == 8
        assert arm["summary"]["AP"] is not None


def test_ap_is_that_of_evaluate_with_the_same_setting(folder, fine_set, tmp_path):
    arms = {(arm["name"], arm["width"], arm["proposals"]): arm["summary"] for arm in arms_of(folder)}
    for run, key, more in (("one", ("one", 32, None), []), ("two", ("rcnn", 32, 4), ["--proposals", 4])):
        command(
            "evaluate", folder / run, fine_set, "--out", tmp_path / run, "--metrics", "coco,recall", *more, "--json"
        )
        found = json.loads((tmp_path / run / "fine.json").read_text())
        assert found.get("proposals") == key[2]
        for name in ("AP", "AP50", "recall100", "AP50_boxed"):
            assert found["summary"][name] == pytest.approx(arms[key][name], abs=1e-6)
    assert arms["one", 32, None]["AP"] > 0


def test_another_size_is_a_run_of_that_size_whose_anchors_keep_their_pixels(folder, fine_set, tmp_path):
    """The same weights below a config.json that says so, evaluated."""
    anchors = tuple((w / 2, h / 2) for w, h in ONE.model.anchors)
    other = replace(ONE, model=replace(ONE.model, input_size=64, anchors=anchors))
    write_run(other, tmp_path / "run")
    (tmp_path / "run/checkpoints").rename(tmp_path / "unused")
    (tmp_path / "run/checkpoints").symlink_to(folder / "one/checkpoints")
    command("evaluate", tmp_path / "run", fine_set, "--out", tmp_path, "--metrics", "coco,recall", "--json")
    found = json.loads((tmp_path / "fine.json").read_text())["summary"]
    (arm,) = (arm for arm in arms_of(folder) if (arm["name"], arm["width"]) == ("one", 64))
    for name in ("AP", "AP50", "recall100"):
        assert found[name] == pytest.approx(arm["summary"][name], abs=1e-6)
    tall = at_canvas(open_run(folder / "one"), (96, 48)).experiment.model
    assert tall.canvas == (96, 48)
    assert np.allclose(np.array(tall.anchors) * [48, 96], np.array(ONE.model.anchors) * 32)


class Page(HTMLParser):
    """The ids, the marks of each plot and the table of a page; every tag closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.marks, self.plot, self.rows, self.outside = [], [], {}, "", [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.outside += [value for name, value in attributes if name in ("src", "href") and not value.startswith("#")]
        if tag == "svg":
            self.plot = found.get("id", "")
        if tag in ("circle", "polygon") and self.plot:
            self.marks[self.plot] = self.marks.get(self.plot, 0) + 1
        if tag == "tr":
            self.rows.append([])
        if tag not in ("meta", "line", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        if tag not in ("line", "meta"):
            self.handle_starttag(tag, attributes)
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "table" in self.open and data.strip():
            self.rows[-1].append(data.strip())


def test_the_page_and_the_table_say_what_was_measured(folder):
    arms = arms_of(folder)
    page = Page((folder / "out/bench.html").read_text())
    assert not page.open
    assert not page.outside
    assert len(page.ids) == len(set(page.ids))
    assert {name for name in page.marks if not name.startswith("plot-proposals")} == {
        f"plot-{key}" for key in ("time", "cpu", "memory", "parameters", "operations")
    }
    assert page.marks["plot-time"] == len(arms)
    assert page.marks["plot-proposals-0"] == page.marks["plot-proposals-1"] == 4  # two numbers, AP and time
    head, *rows = page.rows
    assert head[:5] == ["run", "image", "proposals", "AP %", "AP50 %"]
    for row, arm in zip(rows, arms, strict=True):
        counts = [] if arm["proposals"] is None else [str(arm["proposals"])]
        assert row[: 2 + len(counts)] == [arm["name"], str(arm["width"]), *counts]
        assert f"{100 * arm['summary']['AP']:.1f}" in row
        assert f"{arm['ms_least']:.1f}" in row
    with open(folder / "out/bench.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [float(line["AP"]) for line in lines] == pytest.approx([arm["summary"]["AP"] for arm in arms], abs=1e-6)
    assert [int(line["flops"]) for line in lines] == [arm["flops"] for arm in arms]
    assert [line["proposals"] for line in lines] == ["", "", "4", "12", "4", "12"]


def test_a_second_command_goes_on(folder, fine_set, monkeypatch, capsys):
    """Nothing is measured twice; another number of proposals, another threshold and other weights are."""
    calls, first = [], arms_of(folder)

    def counted(request, title):
        calls.append(title)
        return first[0]

    monkeypatch.setattr(job, "run_arm", counted)
    same = ("--eval", fine_set, "--out", folder / "out", *QUICK)
    command("bench", f"rcnn={folder / 'two'}", *same, "--proposals", "4,12")
    assert not calls
    assert arms_of(folder) == [arm for arm in first if arm["name"] == "rcnn" and arm["width"] == 32]
    assert "2 of 2 arms are measured already" in capsys.readouterr().err
    command("bench", f"rcnn={folder / 'two'}", *same, "--proposals", "4,5", "--dry-run")
    assert "1 of 2 are left to measure" in capsys.readouterr().out
    command("bench", folder / "one", folder / "two", *same, "--proposals", "4,5")
    assert calls == ["two, 32, 5 proposals"]
    command("bench", folder / "one", *same, "--threshold", "0.3")
    assert calls[1:] == ["one, 32"]
    command("bench", folder / "one", *same, "--force")
    assert calls[2:] == ["one, 32"]


def test_errors_of_the_process_of_an_arm_name_it(folder, fine_set, tmp_path):
    plan = job.make_plan(
        job.BenchOptions(words=(str(folder / "one"),), dataset=str(fine_set), images=1, repeats=1), tmp_path / "out"
    )
    request = job.request_of(plan.arms[0], plan)
    with pytest.raises(ArmError, match=r"one, 32: --proposals 3: .*one is a 'yolo9000' run, which has no proposals"):
        run_arm(replace(request, proposals=3), "one, 32")


def test_what_does_not_fit_is_refused_before_anything_runs(folder, fine_set, label_set, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "run_arm", lambda request, title: pytest.fail("measured"))
    strange = [replace(COARSE[0], wnid="n09999999")]
    write_dataset(tmp_path / "strange", [detection_record(0, "disc")], strange, has_boxes=True)
    for words, error, message in (
        ([fine_set, "--sizes", "32,36"], ConfigError, "one, 36: 36 is no multiple of the network's stride 8"),
        ([label_set], InputError, "has image labels alone; --eval needs boxes"),
        ([tmp_path / "strange"], TreeError, "1 of its 1 classes are not in the tree"),
        ([tmp_path / "nowhere"], InputError, "nowhere"),
    ):
        with pytest.raises(error, match=message):
            command("bench", folder / "one", "--out", tmp_path / "out", "--eval", *words)
    assert not (tmp_path / "out").exists()


def test_configurations_are_trained_first_by_the_ordinary_trainer(folder, fine_set, tmp_path, monkeypatch, capsys):
    said = []

    def train(words):
        said.append(words)
        write_run(replace(ONE, name="demo"), Path(words[words.index("--out") + 1]))

    monkeypatch.setattr(job, "run_training", train)
    monkeypatch.setattr(job, "run_arm", lambda request, title: arms_of(folder)[0])
    words = ["bench", "demo", "--data", fine_set, "--tree", folder / "one/tree", "--set", "train.steps=1"]
    words += ["--eval", fine_set, "--out", tmp_path / "out"]
    command(*words, "--dry-run")
    assert not said
    assert "demo: to train, 1 steps" in capsys.readouterr().out
    command(*words)
    out = str(tmp_path / "out/runs/demo")
    expected = ["demo", "--data", str(fine_set), "--tree", str(folder / "one/tree"), "--out", out]
    assert said == [[*expected, "--set", "train.steps=1"]]
    assert re.search(r"training demo: .*runs/demo\n\[1/1\] demo, 96", capsys.readouterr().err)


def test_proposals_of_a_run(folder, fine_set, tmp_path):
    run = with_proposals(open_run(folder / "two"), 5)
    images = np.random.default_rng(0).random((2, 32, 32, 3)).astype(np.float32)
    assert run.detector.predict(images, training=False).boxes.shape == (2, 5, 4)
    assert run.detector.model(images)[-1].shape == (2, 5, 4)  # what a Keras file holds
    assert run.experiment.two_stage.proposals == 5
    for count in (0, 21):
        with pytest.raises(ConfigError, match=rf"--proposals {count}: expected 1 to two_stage.candidates of 'two', 20"):
            with_proposals(run, count)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("evaluate one fine --proposals 5", r"--proposals 5: .*one is a 'yolo9000' run, which has no proposals"),
        ("evaluate two fine --proposals 0", r"--proposals 0: expected 1 or more"),
        ("evaluate two fine --proposals 99", r"--proposals 99: expected 1 to two_stage.candidates"),
        ("evaluate two fine --proposals 5 --detections d.json", r"--proposals is for a RUN that looks at images"),
        ("detect one fine/a.png --proposals 5", r"--proposals 5: .*one is a 'yolo9000' run"),
        ("detect one fine/a.png --proposals 0", r"--proposals 0: expected 1 or more"),
        ("detect --darknet a.cfg a.weights fine/a.png --proposals 5", r"--proposals is for two-stage detectors"),
        ("export one --proposals 5", r"--proposals 5: .*one is a 'yolo9000' run"),
        ("export --darknet a.cfg a.weights --proposals 5", r"--proposals is for two-stage detectors"),
    ],
)
def test_proposals_that_cannot_be_are_refused(words, message, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        Path(name).symlink_to(folder / name)
    Path("fine").mkdir()
    Path("fine/a.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=message):
        command(*words.split())
