"""`wordtree tree find`, and the nodes that a person's words mean."""

from __future__ import annotations

import argparse
import json

import pytest

from schemas.errors import LabelError
from wordtree.cli_find import add_find
from wordtree.label_names import find_node, own_names
from wordtree.mapping import PlacedLabel
from wordtree.tree import WordTree

BAG, HANDBAG, PENTACLE, MOUSE = "n02773037", "n02774152", "n13882008", "n02330245"


def run(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="wordtree", allow_abbrev=False)
    add_find(parser.add_subparsers(dest="command", required=True))
    args = parser.parse_args(["find", *words])
    return args.run(args)


def test_find_lists_wnid_words_and_concepts_above_most_usual_first(capsys):
    assert run("mice") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "n02330245  mouse < rodent < placental < mammal < vertebrate < …"
    assert lines[-1].startswith("n03793489  mouse, computer mouse < electronic device < device < ")
    assert run("Hot", "dog", "--most", "1") == 0
    assert capsys.readouterr().out.splitlines()[1] == "… and 2 senses more; --most 3 tells all"
    assert run("n03793489") == 0
    assert "computer mouse" in capsys.readouterr().out


def test_find_speaks_json(capsys):
    assert run("mouse", "--json", "--most", "1") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["word"], len(told["synsets"])) == ("mouse", 1)
    first = told["synsets"][0]
    assert (first["wnid"], first["words"], first["above"][-1]) == (MOUSE, ["mouse"], "entity")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("standing", "desk"), "'standing desk' is no noun of WordNet 3.0; try `wordtree tree find desk`"),
        (("forklft",), "'forklft' is no noun of WordNet 3.0; did you mean 'forklift'"),
        (("n99999999",), "wnid 'n99999999' is no noun synset of WordNet 3.0"),
        (("²",), "'²' is no noun of WordNet 3.0"),
        (("",), "'' is no noun of WordNet 3.0; try a more usual or more general word"),
        (("q" * 5000,), r"'q{60}…' is no noun of WordNet 3.0"),
    ],
)
def test_words_that_wordnet_lacks_get_a_way_on(words, message):
    with pytest.raises(LabelError, match=message):
        run(*words)


@pytest.fixture
def bags() -> WordTree:
    return WordTree([BAG, HANDBAG, PENTACLE, MOUSE], [-1, -1, -1, -1], ["bag", "bag", "pentacle", "mouse"])


@pytest.fixture
def spaces():
    return {
        "coco": (PlacedLabel("handbag", HANDBAG, 1, "exact", "bag"), PlacedLabel("Mouse", MOUSE, 3, "exact", "mouse")),
        "oi": (PlacedLabel("/m/080hkjn", HANDBAG, 1, "exact", "Handbag"), PlacedLabel("/m/1", PENTACLE, 2, "exact")),
    }


def test_a_node_is_found_by_wnid_number_word_label_alias_synonym_and_plural(bags, spaces):
    aliases = {"oi": {"five-pointed": "/m/1"}}
    for word in (PENTACLE, "2", "Pentacle", "five pointed", "/m/1", "pentagram", "pentacles"):
        assert find_node(bags, word, spaces, aliases) == 2, word
    assert find_node(bags, "handbag", spaces) == find_node(bags, "/m/080hkjn", spaces) == 1


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("bag", "'bag' is the word of 2 nodes; expected one of n02773037"),
        ("zebra", r"'zebra' is in WordNet \(n02391049 zebra\) but not in this tree"),
        ("n02391049", r"'n02391049' is in WordNet \(n02391049 zebra\) but not in this tree"),
        ("hndbag", "'hndbag' is no node of this tree; did you mean 'handbag'?"),
        ("xyzzy", "'xyzzy' is no node of this tree; find one with `wordtree tree find WORD`"),
        ("²", "'²' is no node of this tree"),
        ("9" * 5000, "9…' is no node of this tree"),
        ("", "'' is no node of this tree"),
    ],
)
def test_words_that_are_no_node_are_told_with_what_wordnet_knows(bags, spaces, word, message):
    with pytest.raises(LabelError, match=message):
        find_node(bags, word, spaces)


def test_labels_name_a_node_if_their_word_is_another(bags, spaces):
    assert own_names(bags, spaces) == {1: ("handbag",), 2: ("/m/1",)}
    assert own_names(bags, {"x": (PlacedLabel("tote", "n04458633", 1, "broader"),)}) == {}
