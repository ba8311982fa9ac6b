"""`wordtree tree show` and `export` as a user types them."""

from __future__ import annotations

import argparse
import json

import pytest

from schemas.errors import ConfigError, FormatError, LabelError, OutputError
from wordtree.build import build_tree
from wordtree.cli_show import add_export, add_show
from wordtree.files import write_tree_directory
from wordtree.label_files import load_label_map
from wordtree.show_data import IMAGES_PER_NODE, MAX_IMAGE_KB, MAX_PAGE_MB
from wordtree.wordnet import load_wordnet

TREE = """\
n00020827 -1
n00015388 -1
n07557434 0
n02773838 0
n02774152 0
n02084071 1
n07695965 2
n07697537 6
"""
NAMES = "matter\nanimal\ndish\nbag\nbag\ndog\nsandwich\nhotdog\n"


def run(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="wordtree", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    add_show(commands)
    add_export(commands)
    args = parser.parse_args(words)
    return args.run(args)


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "x.tree").write_text(TREE)
    (tmp_path / "x.names").write_text(NAMES)
    return str(tmp_path / "x.tree")


def counts_file(folder, text="wnid,count\nn07697537,12\n"):
    (folder / "counts.csv").write_text(text)
    return str(folder / "counts.csv")


def test_show_prints_a_part_by_word_wnid_or_number(tree, capsys):
    for root in ("sandwich", "n07695965", "6"):
        assert run("show", tree, "--root", root) == 0
        assert capsys.readouterr().out == "matter > dish > sandwich\nsandwich  n07695965\n└── hotdog  n07697537\n"
    assert run("show", tree, "--root", "0", "--depth", "0") == 0
    assert capsys.readouterr().out == "matter\nmatter  n00020827  … 5 below\n"
    with pytest.raises(LabelError, match=r"'bag' is the word of 2 nodes; expected one of n02773838 \("):
        run("show", tree, "--root", "bag")


def test_show_prints_counts_of_a_table(tree, capsys, tmp_path):
    assert run("show", tree, "--root", "n07695965", "--counts", counts_file(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "                       count  +below",
        "sandwich  n07695965        ·      12",
        "└── hotdog  n07697537     12",
    ]
    assert run("show", tree, "--counts", counts_file(tmp_path), "--used", "--sort", "count") == 0
    assert [line.split()[-3] for line in capsys.readouterr().out.splitlines()[1:4]] == [
        "n00020827",
        "n07557434",
        "n07695965",
    ]
    with pytest.raises(FormatError, match=r"counts.csv line 2: found count 'many'; expected a whole number"):
        run("show", tree, "--counts", counts_file(tmp_path, "wnid,count\nn07697537,many\n"))
    with pytest.raises(FormatError, match=r"counts.csv line 2: found count '9{40}'; expected a whole number"):
        run("show", tree, "--counts", counts_file(tmp_path, f"wnid,count\nn07697537,{'9' * 5000}\n"))


def test_show_cuts_lines_and_colours_only_when_asked_or_on_a_terminal(tree, capsys):
    assert run("show", tree) == 0
    plain = capsys.readouterr().out
    assert "\x1b" not in plain
    assert run("show", tree, "--color", "always") == 0
    assert "\x1b[2m" in capsys.readouterr().out
    assert run("show", tree, "--width", "16") == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 16
    assert run("show", tree, "--most", "2") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "… and 6 nodes more"


def test_show_speaks_json(tree, capsys, tmp_path):
    assert run("show", tree, "--root", "dish", "--depth", "1", "--counts", counts_file(tmp_path), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["nodes"] == [
        {
            "node": 2,
            "name": "n07557434",
            "display_name": "dish",
            "parent": 0,
            "depth": 1,
            "count": {"own": 0, "with_below": 12},
        },
        {
            "node": 6,
            "name": "n07695965",
            "display_name": "sandwich",
            "parent": 2,
            "depth": 2,
            "hidden_below": 1,
            "count": {"own": 0, "with_below": 12},
        },
    ]


def test_labels_of_a_tree_directory_are_marked_named_and_found(tmp_path, capsys):
    coco = load_label_map("coco")
    built = build_tree(load_wordnet(), [row.wnid for row in coco.rows])
    write_tree_directory(built, [coco], tmp_path / "tree")
    place = str(tmp_path / "tree")
    assert run("show", place, "--root", "couch") == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["sofa (couch)  n04256520 *", "", "* is a label"]
    assert run("show", place, "--root", "furniture", "--json") == 0
    nodes = {node["display_name"]: node for node in json.loads(capsys.readouterr().out)["nodes"]}
    assert nodes["sofa"]["labels"] == ["couch"]
    assert "labels" not in nodes["furniture"]
    assert run("export", place, "--format", "svg", "--root", "couch") == 0
    assert 'class="label"' in capsys.readouterr().out


def test_show_writes_the_page_once_and_replaces_it_only_when_forced(tree, capsys, tmp_path):
    page = str(tmp_path / "x.html")
    assert run("show", tree, "--html", page) == 0
    assert "x.html: written; 8 nodes, 0.0 MB; open it in a browser" in capsys.readouterr().out
    assert run("show", tree, "--html", page) == 0
    assert "has this very content already" in capsys.readouterr().out
    counted = ("show", tree, "--html", page, "--counts", counts_file(tmp_path))
    with pytest.raises(OutputError, match=r"x.html: exists with another content"):
        run(*counted)
    assert run(*counted, "--force", "--json") == 0
    assert json.loads(capsys.readouterr().out)["written"] is True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--used",), "--used needs counts: give --data or --counts"),
        (("--sort", "count"), "--sort count needs counts: give --data or --counts"),
        (("--images", "2"), "--images needs --html and --data"),
        (("--html", "x.html", "--depth", "2"), "--html shows the whole tree; leave --root and --depth to the page"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(tree, options, message):
    with pytest.raises(ConfigError, match=message):
        run("show", tree, *options)


def test_the_help_tells_the_limits_that_hold(capsys):
    from wordtree import cli_show

    assert (cli_show.IMAGES_PER_NODE, cli_show.MAX_IMAGE_KB, cli_show.MAX_PAGE_MB) == (
        IMAGES_PER_NODE,
        MAX_IMAGE_KB,
        MAX_PAGE_MB,
    )


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        ("tree", "n00"),
        ("json", '{"format"'),
        ("pbtxt", "item {"),
        ("dot", "digraph"),
        ("svg", "<svg "),
        ("html", "<!doctype html>"),
    ],
)
def test_export_writes_every_format(tree, capsys, tmp_path, kind, start):
    assert run("export", tree, "--format", kind) == 0
    text = capsys.readouterr().out
    assert text.startswith(start)
    file = tmp_path / f"y.{kind}"
    assert run("export", tree, "--format", kind, "--out", str(file)) == 0
    assert file.read_text() == text


def test_pictures_can_be_of_a_part_and_other_formats_cannot(tree, capsys):
    for kind in ("dot", "svg"):
        assert run("export", tree, "--format", kind, "--root", "dish", "--depth", "1") == 0
        text = capsys.readouterr().out
        assert "sandwich" in text
        assert "hotdog" not in text
    with pytest.raises(
        ConfigError, match="--format json writes the whole tree; --root and --depth are for dot and svg"
    ):
        run("export", tree, "--format", "json", "--root", "dish")
