"""oneDNN: chosen once, by the CPU, unless the user has; a run that goes on with another setting says so."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from detector.onednn import VARIABLE, choose, setting


@pytest.mark.parametrize(
    ("facts", "given", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu sse2 avx avx2 fma\nflags\t\t: fpu\n", None, "1"),
        ("processor\t: 0\nflags\t\t: fpu sse2 avx\n", None, None),  # no AVX2: TensorFlow's own choice
        ("Features\t: fp asimd avx2like\n", None, None),  # another architecture
        ("flags\t\t: avx2\n", "0", "0"),  # the user's word counts
        ("flags\t\t: avx2\n", "", ""),
    ],
)
def test_it_is_turned_on_where_the_cpu_gains_and_the_user_has_not_decided(tmp_path, facts, given, expected):
    (tmp_path / "cpuinfo").write_text(facts)
    environment = {} if given is None else {VARIABLE: given}
    choose(environment, tmp_path / "cpuinfo")
    assert environment.get(VARIABLE) == expected


def test_without_facts_about_the_cpu_nothing_is_chosen(tmp_path):
    environment = {}
    choose(environment, tmp_path / "nothing")
    assert environment == {}
    assert [setting(e) for e in ({}, {VARIABLE: "1"}, {VARIABLE: "0"}, {VARIABLE: "False"})] == [
        "as TensorFlow has it",
        "on",
        "off",
        "off",
    ]


def test_importing_the_package_chooses_before_tensorflow_is_there():
    code = "import os, sys, detector; print('tensorflow' in sys.modules, detector.onednn.setting())"
    environment = {"PATH": "", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    choose(environment)
    assert done.stdout.split(maxsplit=1) == ["False", setting(environment) + "\n"]


@pytest.fixture
def journal(tmp_path, monkeypatch):
    """A maker of journals of one run, and what they say."""
    pytest.importorskip("tensorflow")
    from detector.training.journal import Journal
    from tests.detector.train_stub import stub_experiment

    lines = []

    def start(first, value):
        monkeypatch.setenv(VARIABLE, value)
        return Journal(tmp_path, stub_experiment(log_every=10, steps=20), first, lines.append)

    return start, lines, tmp_path


def test_another_setting_on_resume_is_told(journal):
    start, lines, out = journal
    first = start(0, "1")
    first.saved(4)
    first.close()
    assert json.loads((out / "timing.jsonl").read_text())["onednn"] == "on"
    start(4, "1").close()
    assert lines == []
    start(4, "0").close()
    [line] = lines
    assert line.startswith("oneDNN was on in this run and is off now")
    assert line.endswith(f"start with {VARIABLE}=1")


def test_a_compilation_is_no_part_of_the_rate_and_a_first_rate_is_told_soon(journal, monkeypatch):
    start, lines, _ = journal
    now = [100.0]
    monkeypatch.setattr("detector.training.journal.time.monotonic", lambda: now[0])
    records = start(0, "1")
    for done, (seconds, compiled) in enumerate([(60.0, True), (2.0, False), (2.0, False), (2.0, False)], start=1):
        now[0] += seconds
        records.stepped(done, compiled=compiled)
    assert lines == ["compiled in 1m00s", "step      4/20      2 images/s  0m32s left"]
    records.pause(lambda: now.__setitem__(0, now[0] + 500))  # an evaluation
    for done in range(5, 11):
        now[0] += 1.0
        records.stepped(done, compiled=False)
    records.step(10, {"fit": 1.0, "loss": 1.0, "gradient_norm": 0.0})
    assert lines[2] == "step     10/20      3 images/s  0m13s left  loss 1.000 (fit 1.000)"  # 12 s for 9 steps
    for done in range(11, 21):
        now[0] += 0.5
        records.stepped(done, compiled=False)
    records.step(20, {"fit": 1.0, "loss": 1.0, "gradient_norm": 0.0})
    assert lines[3] == "step     20/20      8 images/s  0m00s left  loss 1.000 (fit 1.000)"
    assert len(lines) == 4
    records.close()
