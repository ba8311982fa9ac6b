"""`wordtree tree ...` as a user types it."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import pytest

from schemas.errors import ConfigError, FormatError, OutputError
from wordtree.cli import add_tree


def run(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="wordtree", allow_abbrev=False)
    add_tree(parser.add_subparsers(dest="command", required=True))
    args = parser.parse_args(["tree", *words])
    return args.run(args)


@pytest.fixture
def tree(tmp_path, capsys):
    out = tmp_path / "tree"
    assert run("build", "--labels", "coco", "voc", "--out", str(out)) == 0
    capsys.readouterr()
    return str(out)


def test_build_tells_plan_tree_warnings_numbers_and_place(tmp_path, capsys):
    out = tmp_path / "tree"
    assert run("build", "--labels", "coco", "voc", "--out", str(out)) == 0
    told = capsys.readouterr().out
    assert "labels   coco (80), voc (20)" in told
    assert "80 different ones among 100 labels" in told
    assert "├── " in told
    assert (
        "look at  coco: 2 labels lie below other labels (wanted if they are finer): hot dog < sandwich, donut < cake\n"
    ) in told
    assert "sofa (couch)" not in told  # below what the text shows
    assert told.count("look at") == 1
    assert "nodes           121" in told
    assert f"{out}: written" in told
    assert len(told.splitlines()) < 100
    assert run("build", "--labels", "coco", "voc", "--out", str(out)) == 0
    assert "has this very content already" in capsys.readouterr().out


def test_build_speaks_json(tmp_path, capsys):
    assert run("build", "--labels", "voc", "--out", str(tmp_path / "tree"), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["labels"], facts["written"]) == (20, True)
    assert facts["warnings"] == []


def test_build_and_check_tell_every_warning_in_words_when_asked(tmp_path, capsys):
    out = str(tmp_path / "tree")
    assert run("build", "--labels", "coco", "--out", out, "--verbose") == 0
    told = capsys.readouterr().out
    assert "look at  coco: 'hot dog' lies below 'sandwich': matter > dish > sandwich > hotdog\n" in told
    assert run("check", out, "--verbose") == 0
    assert "look at  coco: 'donut' lies below 'cake'" in capsys.readouterr().out
    assert run("check", out, "--most", "1") == 0
    assert "finer): hot dog < sandwich, …\n" in capsys.readouterr().out


def test_a_dry_run_writes_nothing(tmp_path, capsys):
    assert run("build", "--labels", "voc", "--out", str(tmp_path / "tree"), "--dry-run") == 0
    assert "nothing was written" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_options_of_build_change_the_tree(tmp_path, capsys):
    sizes = {}
    for option in ((), ("--no-collapse",), ("--keep-top",), ("--hoist-only-leaves",), ("--patch", "darknet")):
        assert (
            run("build", "--labels", "coco", "--out", str(tmp_path / "".join(("t", *option))), "--json", *option) == 0
        )
        facts = json.loads(capsys.readouterr().out)
        sizes[option[:1]] = (facts["nodes"], facts["roots"])
    assert sizes[("--no-collapse",)][0] > sizes[()][0]
    assert sizes[("--keep-top",)][1] == 1
    assert sizes[("--patch",)][1] < sizes[()][1]
    assert sizes[("--hoist-only-leaves",)] == sizes[()]


def test_build_refuses_what_cannot_be_built(tmp_path, tree, capsys):
    with pytest.raises(
        ConfigError, match="--labels imagenet: this space is all of WordNet; list the wnids with imagenet"
    ):
        run("build", "--labels", "imagenet", "--out", str(tmp_path / "x"))
    with pytest.raises(OutputError, match="exists with another content"):
        run("build", "--labels", "voc", "--out", tree)
    patch = tmp_path / "patch.tsv"
    patch.write_text("child\tparent\nn02084071\n")
    with pytest.raises(FormatError, match=r"patch.tsv line 2: found \['n02084071'\]; expected child and parent"):
        run("build", "--labels", "voc", "--out", str(tmp_path / "x"), "--patch", str(patch))


def test_check_prints_facts(tree, capsys):
    assert run("check", tree) == 0
    told = capsys.readouterr().out
    assert "nodes      121" in told
    assert "coco (80), voc (20)" in told
    assert run("check", tree + "/wordtree.tree", "--json") == 0
    assert json.loads(capsys.readouterr().out)["leaves"] == 78


def test_map_places_a_space_in_a_tree(tree, capsys):
    assert run("map", "voc", "--tree", tree, "--format", "map") == 0
    nodes = capsys.readouterr().out.split()
    assert run("map", "voc", "--tree", tree) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[rows[0].index("node")] for row in rows[1:]] == nodes


@pytest.mark.parametrize("command", ["build", "check", "expand", "find", "map", "show", "export"])
def test_every_help_has_an_example_and_options_are_not_guessed(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(command, "--help")
    assert stopped.value.code == 0
    assert f"example:\n  wordtree tree {command} " in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        run(command, "--lab", "coco")
    assert stopped.value.code == 2


def test_the_command_line_needs_none_of_the_heavy_libraries():
    code = (
        "import sys, wordtree.cli, wordtree.files, wordtree.probability, wordtree.show_html\n"
        "heavy = {'apache_beam', 'tensorflow', 'keras', 'PIL', 'nltk', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
