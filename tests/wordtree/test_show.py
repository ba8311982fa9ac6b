"""Pictures of a tree: text, Graphviz, SVG."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from schemas.errors import LabelError
from wordtree.show import fitting_depth, shown_nodes, tree_dot, tree_lines
from wordtree.show_svg import place_nodes, tree_svg
from wordtree.tree import WordTree


def test_a_tree_as_text(pets):
    assert tree_lines(pets, marked=[3, 5]) == [
        "animal  n1",
        "├── dog  n3",
        "│   ├── terrier  n6 *",
        "│   └── hound  n7",
        "├── cat  n4 *",
        "└── bird  n5",
        "thing  n2",
        "└── chair  n8",
    ]


def test_counts_stand_in_columns_with_what_lies_below_and_leaves_say_it_once(pets):
    assert tree_lines(pets, columns={"boxes": {"n6": 2, "n3": 1000}, "labels": [0, 0, 0, 0, 0, 0, 0, 7]}) == [
        "                     boxes  +below  labels  +below",
        "animal  n1               ·   1,002       ·       ·",
        "├── dog  n3          1,000   1,002       ·       ·",
        "│   ├── terrier  n6      2               ·",
        "│   └── hound  n7        ·               ·",
        "├── cat  n4              ·               ·",
        "└── bird  n5             ·               ·",
        "thing  n2                ·       ·       ·       7",
        "└── chair  n8            ·               7",
    ]


def test_only_used_nodes_the_heaviest_first(pets):
    counts = {"n6": 2, "n7": 5, "n8": 9}
    assert tree_lines(pets, columns={"boxes": counts}, used=True, sort="count") == [
        "                     boxes  +below",
        "thing  n2                ·       9",
        "└── chair  n8            9",
        "animal  n1               ·       7",
        "└── dog  n3              ·       7",
        "    ├── hound  n7        5",
        "    └── terrier  n6      2",
    ]
    assert [line.node for line in shown_nodes(pets, weight=[0] * 8, used=True)] == []
    assert [line.node for line in shown_nodes(pets, root=2, weight=[0] * 8, used=True)] == [2]
    assert shown_nodes(pets, max_depth=0, weight=[0, 0, 0, 1, 0, 0, 0, 0], used=True)[0].hidden == 1


def test_siblings_can_be_sorted_by_word(pets):
    words = [pets.display_names[line.node] for line in shown_nodes(pets, sort="name")]
    assert words == ["animal", "bird", "cat", "dog", "hound", "terrier", "thing", "chair"]


def test_depth_root_and_length_are_limited(pets):
    assert tree_lines(pets, max_depth=0) == ["animal  n1  … 5 below", "thing  n2  … 1 below"]
    assert tree_lines(pets, root=2) == ["dog  n3", "├── terrier  n6", "└── hound  n7"]
    assert tree_lines(pets, most=3)[-2:] == ["│   ├── terrier  n6", "… and 5 nodes more"]
    assert [fitting_depth(pets, most) for most in (0, 2, 5, 6, 8)] == [0, 0, 0, 1, 2]


@pytest.mark.parametrize("width", range(20, 60))
def test_no_line_is_wider_than_the_terminal(width):
    names = [f"n0000000{i}" for i in range(6)]
    words = ["entity", "a very long name of a thing", "x", "another long name", "y", "the longest name of all of them"]
    tree = WordTree(names, [-1, 0, 1, 2, 3, 4], words)
    assert max(map(len, tree_lines(tree, width=width, marked=[5]))) <= width
    counted = tree_lines(tree, width=width + 16, columns={"boxes": [1] * 6}, most=4)
    assert max(map(len, counted)) <= width + 16
    assert counted[1].split()[-2:] == ["1", "6"]


def test_colour_changes_nothing_but_the_colour(pets):
    plain = tree_lines(pets, columns={"boxes": {"n6": 2}}, marked=[3], width=40)
    painted = tree_lines(pets, columns={"boxes": {"n6": 2}}, marked=[3], width=40, color=True)
    assert painted != plain
    assert [re.sub(r"\x1b\[\d*m", "", line).rstrip() for line in painted] == plain


def test_names_that_are_words_already_are_shown_once():
    assert tree_lines(WordTree(["a", "b"], [-1, 0])) == ["a", "└── b"]


def test_wrong_counts_are_refused(pets):
    with pytest.raises(LabelError, match="'n9' is no node"):
        tree_lines(pets, columns={"boxes": {"n9": 1}})
    with pytest.raises(ValueError, match="found 1 counts for 8 nodes"):
        tree_lines(pets, columns={"boxes": [1]})


def test_graphviz_text_quotes_names():
    tree = WordTree(["a", "b"], [-1, 0], ['say "a"', "back\\slash"])
    text = tree_dot(tree, marked=[1])
    assert '0 [label="say \\"a\\"", tooltip="a"];' in text
    assert '1 [label="back\\\\slash", tooltip="b", style=filled, fillcolor="#dcecff"];' in text
    assert "  0 -> 1;\n" in text
    assert "0 -> 1" not in tree_dot(tree, root=1)
    assert '1 [label="back' not in tree_dot(tree, max_depth=0)


def test_in_a_picture_leaves_take_lines_and_parents_stand_in_the_middle(pets):
    placed = place_nodes(pets)
    # Top down: terrier, hound, cat, bird, chair. dog at (0+1)/2; animal between dog 0.5 and bird 3.
    assert [placed[node].line for node in range(8)] == [1.75, 4, 0.5, 2, 3, 0, 1, 4]
    assert [placed[node].column for node in range(8)] == [0, 0, 1, 1, 1, 2, 2, 1]
    below = place_nodes(pets, root=0, max_depth=1)
    assert sorted(below) == [0, 2, 3, 4]
    assert (below[2].hidden, below[2].line, below[0].line) == (2, 0, 1)


def test_a_picture_is_well_formed_and_names_cannot_break_it():
    tree = WordTree(["a", "b", "c"], [-1, 0, 1], ["<b>&\"'", "two", "three"])
    picture = tree_svg(tree, marked=[1], max_depth=1)
    root = ElementTree.fromstring(picture)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["<b>&\"'", "two", "+1"]
    assert picture.count('class="label"') == 1
    assert not re.search(r"(href|src)=|url\(", picture)


def test_boxes_of_a_picture_do_not_overlap(pets):
    root = ElementTree.fromstring(tree_svg(pets))
    boxes = [
        tuple(float(element.get(key) or 0) for key in ("x", "y", "width", "height"))
        for element in root.iter("{http://www.w3.org/2000/svg}rect")
        if element.get("class") != "paper"
    ]
    for i, (x, y, w, h) in enumerate(boxes):
        assert x + w <= float(root.get("width") or 0)
        for other_x, other_y, other_w, other_h in boxes[:i]:
            assert x + w <= other_x or other_x + other_w <= x or y + h <= other_y or other_y + other_h <= y
