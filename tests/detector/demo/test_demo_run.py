"""The demo's commands are real ones, are shown as they are typed, and stop at the first that fails."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from detector.demo import run as demo
from detector.demo.run import Step, demo_steps, one_spelling, run_demo, stream
from schemas.errors import WordTreeError
from wordtree.command import build_parser


@pytest.mark.parametrize("quick", [False, True])
def test_every_step_is_a_command_that_the_command_line_takes(quick):
    parser = build_parser()
    for step in demo_steps(Path("some where"), quick=quick)[1:]:
        typed = shlex.split(step.typed())
        assert typed[0] == "wordtree"
        assert parser.parse_args(typed[1:]).run


def test_inputs_of_each_step_were_made_by_an_earlier_one():
    made = {"o/data"}
    for step in demo_steps(Path("o"), quick=False)[1:]:
        words = set(step.words)
        targets = {words_after(step.words, "--out")} if "--out" in words else set()
        if step.words[0] == "convert":
            targets = {step.words[2]}
        needs = {word for word in words - targets if word.startswith("o/") and not word.startswith("o/data/")}
        assert needs <= made, step
        made |= targets
    assert "o/report.html" in made


def test_quick_demo_says_that_its_figures_mean_little(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "demo_steps", lambda out, quick: ())
    for quick in (True, False):
        lines = []
        run_demo(tmp_path / "out", quick=quick, log=lines.append)
        assert ("trained for 120 steps alone, so the figures mean little" in lines[-1]) == quick


def words_after(words, flag):
    return words[words.index(flag) + 1]


def test_one_directory_has_one_spelling(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for spelling in ("demo", "./demo", "x/../demo", str(tmp_path / "demo")):
        assert one_spelling(Path(spelling)) == Path("demo")
    assert one_spelling(Path("../else")) == tmp_path.parent / "else"


def test_lines_come_as_they_are_printed_errors_too():
    lines = []
    program = "import sys; print('héllo'); print('oops', file=sys.stderr); sys.exit(3)"
    assert stream([sys.executable, "-X", "utf8", "-c", program], lines.append) == 3
    assert sorted(lines) == ["héllo", "oops"]


def test_failed_step_names_its_command_and_how_to_go_on(tmp_path, monkeypatch):
    steps = (Step("look", ("--help",), (0.1, 0.1)), Step("break", ("no-such-command",), (0.1, 0.1)))
    monkeypatch.setattr(demo, "demo_steps", lambda out, quick: steps)
    lines = []
    with pytest.raises(WordTreeError, match=r"step 2 of 2 ended with exit code 2: `wordtree no-such-command`.*again"):
        run_demo(tmp_path / "out", log=lines.append)
    text = "\n".join(lines)
    assert "$ wordtree --help" in text
    assert "usage: wordtree" in text
    assert "step 1 took" in text
    assert "step 2 took" not in text
