"""What is compared, and what is refused before anything runs; the frontier; the lines that a second command reads."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.bench.arms import plan_arms, size_words
from detector.bench.busy import warnings
from detector.bench.figures import Mark, is_logarithmic, scatter
from detector.bench.frontier import frontier
from detector.bench.labels import Box, place_labels
from detector.bench.machine import machine, peak_memory
from detector.bench.records import append_record, claim, read_records
from detector.bench.stage_bars import stage_bars, unresolved
from detector.bench.stopwatch import CPU, cores_used, measure_in_turns, milliseconds, parts_of
from detector.bench.subjects import Subject, read_subjects
from detector.cli_bench import add_bench
from detector.config import Experiment, ModelConfig, TwoStageConfig, load_config
from schemas.errors import CheckpointError, ConfigError, InputError, OutputError

YOLO = Subject("yolo", "runs/yolo", Experiment(name="y", model=ModelConfig(input_size=320, input_height=256)))
RCNN = Subject(
    "rcnn",
    "runs/rcnn",
    Experiment(
        name="r",
        model=ModelConfig(architecture="faster_rcnn", network="resnet50", input_size=64, output_stride=16),
        two_stage=TwoStageConfig(proposals=30, candidates=100),
    ),
)


def planned(*words, **options):
    return [(arm.subject.name, arm.canvas, arm.proposals) for arm in plan_arms(*words, **options)]


def test_every_run_at_every_size_with_every_number_of_proposals():
    assert planned([YOLO, RCNN], [], [10, 50]) == [
        ("yolo", (256, 320), None),
        ("rcnn", (64, 64), 10),
        ("rcnn", (64, 64), 50),
    ]
    # one number is the width, the height follows in whole strides: 480 * 256 / 320 = 384
    assert planned([YOLO, RCNN], ["480", "96x128"], []) == [
        ("yolo", (384, 480), None),
        ("yolo", (96, 128), None),
        ("rcnn", (480, 480), 30),
        ("rcnn", (96, 128), 30),
    ]
    assert planned([RCNN], ["64", "64x64"], [7, 7]) == [("rcnn", (64, 64), 7)]
    assert [arm.title for arm in plan_arms([YOLO, RCNN], [], [7])] == ["yolo, 256x320", "rcnn, 64, 7 proposals"]
    assert size_words((3, 3)) == "3"


def test_strides_are_those_of_the_network():
    assert (YOLO.stride, RCNN.stride) == (32, 16)
    named = {name: Subject(name, name, load_config(name)).stride for name in ("faster_rcnn_tiny64", "demo", "yolov2")}
    assert named == {"faster_rcnn_tiny64": 8, "demo": 8, "yolov2": 32}


@pytest.mark.parametrize(
    ("sizes", "proposals", "message"),
    [
        (["330"], [], r"yolo, 256x330: 330 is no multiple of the network's stride 32; the nearest are 320 and 352"),
        (["96x100"], [], r"yolo, 96x100: 100 is no multiple"),
        (["0"], [], r"--sizes has 0; expected 8 to 8192"),
        (["9000"], [], r"yolo, .*: --sizes has 9\d\d\d; expected 8 to 8192"),
        (["3.5"], [], r"--sizes 3.5: expected pixels such as 320, or height x width such as 240x320"),
        (["1x2x3"], [], r"--sizes 1x2x3"),
        ([], [10, 101], r"rcnn, 64, 101 proposals: --proposals 101: expected 1 to two_stage.candidates of 'r', 100"),
    ],
)
def test_what_cannot_be_is_refused_by_its_arm(sizes, proposals, message):
    with pytest.raises(ConfigError, match=message):
        plan_arms([YOLO, RCNN], sizes, proposals)


def run_folder(path, experiment):
    (path / "checkpoints/step-00000001").mkdir(parents=True)
    (path / "checkpoints/step-00000001/checkpoint.json").write_text("{}")
    (path / "config.json").write_text(experiment.to_json())
    return path


def test_words_name_runs_and_configurations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_folder(Path("runs/17"), replace(YOLO.experiment, name="inside"))
    (tmp_path / "own.json").write_text(replace(YOLO.experiment, name="filed").to_json())
    found = read_subjects(
        ["runs/17", "fast=runs/17", "runs/17@step-00000001", "demo", "own.json", "x=tiny64"],
        ["train.steps=7"],
        Path("out/runs"),
    )
    assert [(s.name, s.run, s.config) for s in found] == [
        ("17", "runs/17", ""),
        ("fast", "runs/17", ""),
        ("17@step-00000001", "runs/17@step-00000001", ""),
        ("demo", "out/runs/demo", "demo"),
        ("filed", "out/runs/filed", "own.json"),
        ("x", "out/runs/x", "tiny64"),
    ]
    assert [s.experiment.train.steps for s in found[3:]] == [7, 7, 7]
    assert found[0].experiment.train.steps == YOLO.experiment.train.steps


@pytest.mark.parametrize(
    ("words", "overrides", "error", "message"),
    [
        (["runs/17", "runs/17"], [], ConfigError, r"two runs are called '17'; give one a name of its own: other=runs"),
        (["runs/17"], ["train.steps=7"], ConfigError, r"--set train.steps=7: nothing is to be trained"),
        (["a b=runs/17"], [], ConfigError, r"'a b' is no name for a run"),
        (["cls"], [], ConfigError, r"cls is a classifier of whole images"),
        (["nowhere"], [], ConfigError, r"'nowhere' is neither a run directory nor an experiment; there are darknet19"),
        (["empty"], [], InputError, r"empty has no config.json"),
        (["runs/17@best"], [], CheckpointError, r"no checkpoint 'best'"),
        (["demo"], ["train.stops=7"], ConfigError, r"no key 'stops'"),
    ],
)
def test_words_that_name_nothing_are_refused(words, overrides, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_folder(Path("runs/17"), YOLO.experiment)
    run_folder(Path("cls"), Experiment(name="c", model=ModelConfig(architecture="classifier")))
    Path("empty").mkdir()
    with pytest.raises(error, match=message):
        read_subjects(words, overrides, Path("out"))


def parse(*words):
    parser = argparse.ArgumentParser()
    add_bench(parser.add_subparsers())
    return parser.parse_args(["bench", *map(str, words)])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("demo --eval e --proposals ten", "--proposals ten: found 'ten'; expected numbers from 1 on, or `own`"),
        ("demo --eval e --proposals 5,0", "found '0'"),
        ("demo --eval e --proposals=", "expected numbers from 1 on, such as 10,50,100,300"),
        ("demo --eval e --repeats 0", "--repeats 0: expected 1 or more"),
        ("demo --eval e --batch-size 0", "--batch-size 0: expected 1 or more"),
        ("demo --eval e --threshold 2", "--threshold 2.0: expected a number from 0 to 1"),
        ("demo --eval e --data d", "demo is to be trained: --tree missing"),
        ("demo --eval e", "demo is to be trained: --data and --tree missing"),
        ("17 --eval e --tree t", "--data and --tree are for configurations"),
    ],
)
def test_flags_that_make_no_sense_are_refused(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_folder(Path("17"), YOLO.experiment)
    args = parse(*words.split(" "))
    with pytest.raises(ConfigError, match=message):
        args.run(args)
    assert not Path("bench").exists()


points = st.tuples(st.integers(0, 6), st.one_of(st.none(), st.integers(0, 6)))


@given(st.lists(points, max_size=12))
def test_the_frontier_is_what_no_other_beats(rows):
    best = frontier(rows)

    def beats(a, b):
        return rows[a][0] <= rows[b][0] and rows[a][1] >= rows[b][1] and rows[a] != rows[b]

    there = [place for place, (_, good) in enumerate(rows) if good is not None]
    expected = {rows[b] for b in there if not any(beats(a, b) for a in there)}
    assert [rows[place] for place in best] == sorted(expected)
    assert all(rows.index(rows[place]) == place for place in best)  # of equals the first


def test_times_are_told_as_medians_and_leasts():
    times = [(0.010, 0.018), (0.012, 0.016), (0.030, 0.017)]
    assert milliseconds(times) == {"ms": 12.0, "ms_least": 10.0, "cpu_ms": 17.0, "cpu_ms_least": 16.0}
    assert cores_used(times) == 1.8  # in the round that was disturbed least
    assert cores_used([(0.3, 0.03)]) == 1


def test_stages_add_up_to_the_whole_and_noise_is_not_shown_as_nothing():
    until = {
        "a": [(0.004, 0.001), (0.003, 0.002)],
        "b": [(0.002, 0.003), (0.005, 0.004)],
        "c": [(0.009, 0.002), (0.008, 0.005)],
    }
    assert parts_of(until) == {"a": 2.0, "b": None, "c": 6.0}  # b ended before a
    assert parts_of(until, CPU) == {"a": 1.0, "b": 1.0, "c": None}  # c, the whole, before b


def row_of(title, wall, cpu, cores=1.0, gpus=0):
    return {
        "title": title, "ms_least": wall, "cpu_ms_least": cpu, "cores_used": cores, "machine": {"gpus": gpus}
    }  # fmt: skip


def test_a_busy_machine_is_told_of():
    calm = [row_of("one", 10.0, 18.0, 1.9), row_of("two", 30.0, 30.0), row_of("card", 30.0, 3.0, gpus=1)]
    assert warnings(calm) == []
    busy = row_of("slow, 32", 300.0, 31.0)
    (line,) = warnings([*calm, busy, row_of("x", 10.0, 8.0, 1.9)])
    assert line.startswith(
        "the machine was busy: wall clock is 9.7 times the CPU time (slow, 32: 300.0 ms, CPU 31.0 ms"
    )
    assert "2 of 5 arms" in line
    assert line.endswith("rely on CPU ms")


@given(st.lists(st.tuples(st.integers(0, 600), st.integers(60, 250)), min_size=1, max_size=6))
def test_labels_keep_off_each_other_and_off_a_line(places):
    line = [(0.0, 300.0), (700.0, 300.0)]
    inside = Box(0, 0, 700, 330)
    labels = place_labels(["10"] * len(places), places, [line], inside)
    assert len(labels) == len(places)
    if len(places) == 1:
        (box,) = (label.box for label in labels)
        assert not box.top < 300 < box.bottom
        assert inside.left <= box.left
        assert box.right <= inside.right
    if len(set(places)) == len(places) == 2:
        a, b = (label.box for label in labels)
        assert a.right <= b.left or b.right <= a.left or a.bottom <= b.top or b.bottom <= a.top


def test_an_axis_that_is_not_linear_says_so():
    assert [is_logarithmic(values) for values in ([1, 9.9], [1, 10], [0, 10])] == [False, True, False]
    marks = [Mark(1, 5, 0, 0, "a", label="10"), Mark(20, 9, 0, 0, "b", label="50")]
    svg = scatter("p", marks, cost="ms", value="AP", about="it")
    assert ">ms (logarithmic)<" in svg
    assert ">10<" in svg
    assert ">50<" in svg
    assert "(logarithmic)" not in scatter("p", marks[:1], cost="ms", value="AP", about="it")


def test_bars_of_stages_end_with_the_arms_milliseconds():
    rows = [("one 32", {"network": 24.0, "names": None, "photo": 6.0}), ("two 32", {"network": 0.5, "names": 0.25})]
    svg = stage_bars(rows, ["network", "names", "photo"], unit="CPU ms", about="it")
    assert ">30.0 CPU ms<" in svg
    assert ">0.75 CPU ms<" in svg
    assert ">80 %<" in svg
    assert unresolved(rows) == ["one 32: names"]


def test_calls_take_turns_after_a_warm_up():
    said = []
    calls = {name: lambda value, name=name: said.append(name + value) for name in "ab"}
    times = measure_in_turns(calls, ["1", "2"], 3)
    assert said == ["a1", "a2", "b1", "b2", "a1", "b1", "a2", "b2", "a1", "b1"]
    assert [len(rows) for rows in times.values()] == [3, 3]


def test_memory_and_machine():
    before = peak_memory()
    block = bytearray(60_000_000)
    block[::4096] = b"x" * len(block[::4096])
    assert peak_memory() >= before
    assert peak_memory() > 60_000_000
    assert set(machine()) == {"processor", "cores", "gpus"}


def test_a_line_that_was_cut_is_measured_again(tmp_path):
    out = tmp_path / "out"
    claim(out, force=False)
    append_record(out, {"identity": "a", "ms": 1})
    with open(out / "arms.jsonl", "a") as file:
        file.write('{"identity": "b", "m')
    append_record(out, {"identity": "c", "ms": 3})
    append_record(out, {"identity": "a", "ms": 4})
    assert read_records(out) == {"a": {"identity": "a", "ms": 4}, "c": {"identity": "c", "ms": 3}}
    claim(out, force=False)
    assert len(read_records(out)) == 2
    claim(out, force=True)
    assert read_records(out) == {}


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    with pytest.raises(OutputError, match="is not empty and holds no bench"):
        claim(tmp_path / "mine", force=True)
    (tmp_path / "file").write_text(json.dumps(1))
    with pytest.raises(OutputError, match="is a file"):
        claim(tmp_path / "file", force=False)


@pytest.mark.parametrize("word", ["²", "٣", "9" * 6000, "-1", "1e3", "+5"])
def test_numbers_are_decimal_and_short(word):
    from detector.bench.arms import _canvas
    from detector.cli_bench import _counts

    with pytest.raises(ConfigError, match=r"--proposals .*expected numbers"):
        _counts(f"10,{word}")
    with pytest.raises(ConfigError, match=r"--sizes .*expected pixels") as refusal:
        _canvas(None, word)
    assert len(str(refusal.value)) < 200


def test_an_arm_ends_with_the_bench_that_started_it(tmp_path):
    """The bench is killed: its arm sees the end of its standard input, and does not compute on."""
    import os
    import signal
    import subprocess
    import sys
    import time

    code = (
        "import os, sys, time, subprocess; sys.path.insert(0, sys.argv[1]);"
        "import detector.bench.process as p;"
        "script = 'import sys, time; sys.path.insert(0, sys.argv[1]); "
        "from detector.bench.one_arm import end_with_standard_input as e; e(); "
        'open(sys.argv[2], "w").write(str(__import__("os").getpid())); time.sleep(60)\';'
        "p._finish([sys.executable, '-c', script, sys.argv[1], sys.argv[2]], keep=True)"
    )
    note = tmp_path / "pid"
    root = str(Path(__file__).resolve().parents[3])
    parent = subprocess.Popen([sys.executable, "-c", code, root, str(note)])
    deadline = time.monotonic() + 30
    while not (note.exists() and note.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    arm = int(note.read_text())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    stat = Path(f"/proc/{arm}/stat")
    while stat.exists() and stat.read_text().split()[2] != "Z" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert time.monotonic() < deadline, "the arm went on"
