"""The page docs/own-classes.md: its commands run as they stand there, and give the tree that it shows."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from wordtree.cli import add_tree

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/own-classes.md").read_text()


@pytest.fixture
def told(tmp_path, monkeypatch, capsys):
    """Runs the page's commands in an empty folder; gives what each of them printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    parser = argparse.ArgumentParser(prog="wordtree", allow_abbrev=False)
    add_tree(parser.add_subparsers(dest="command", required=True))
    printed = {}
    for line in "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).splitlines():
        args = parser.parse_args(shlex.split(line)[1:])
        assert args.run(args) == 0, line
        printed[line] = capsys.readouterr().out
    return printed


def test_thirty_names_become_a_tree_a_map_and_a_picture(told, tmp_path):
    names = (ROOT / "examples/classes.txt").read_text().splitlines()
    assert len(names) == 30
    rows = [line.split("\t") for line in (tmp_path / "tree/labels/classes.tsv").read_text().splitlines()[1:]]
    assert [row[0] for row in rows] == names
    assert {row[0]: row[1] for row in rows}["mouse"] == "n03793489"
    assert {row[0]: row[4] for row in rows}["standing desk"] == "broader"
    assert (tmp_path / "tree/labels/classes.map").read_text().split() == [row[2] for row in rows]
    assert "30 different ones among 30 labels" in "".join(told.values())
    assert "<!doctype html>" in (tmp_path / "tree.html").read_text()


def test_the_page_tells_and_shows_what_the_commands_give(told, tmp_path):
    for command in ("wordtree tree show tree --root animal", "wordtree tree find street sign"):
        assert f"```\n{told[command]}```" in PAGE
    nodes = len((tmp_path / "tree/wordtree.tree").read_text().splitlines())
    assert f"{nodes} nodes" in PAGE
    picture = (tmp_path / "tree.svg").read_text()
    assert picture == (ROOT / "docs/own-classes.svg").read_text(), "run the page's commands; copy tree.svg to docs/"
