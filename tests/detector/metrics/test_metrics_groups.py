"""Seen, near and far classes; the split file."""

from __future__ import annotations

import pytest

from detector.metrics.groups import check_split, group_of, read_split, split_of, split_text
from schemas.errors import ConfigError, InputError
from wordtree.tree import WordTree

# animal(0) thing(1) | dog(2) cat(3) | terrier(4) | chair(5)
TREE = WordTree([f"n{k}" for k in range(6)], [-1, -1, 0, 0, 2, 1])


@pytest.mark.parametrize(
    ("node", "boxes", "labels", "split", "group"),
    [
        (2, {"n2": 1}, {}, "seen", "boxed"),
        (2, {"n4": 1}, {}, "seen", "boxed"),  # what lies below it was boxed
        (4, {"n2": 1}, {"n4": 3}, "unseen_near", "unboxed"),
        (4, {"n0": 1}, {"n4": 3}, "unseen_near", "unboxed"),
        (4, {"n3": 1}, {"n4": 3}, "unseen_far", "unboxed"),  # animal is seen by the cat, but no box says animal
        (0, {}, {"n4": 3}, "unseen_far", "unboxed"),
        (5, {"n2": 1}, {"n2": 1}, "unseen_far", "untrained"),
        (5, {"n1": 1, "n5": 0}, {}, "unseen_near", "untrained"),
    ],
)
def test_groups_by_what_training_had(node, boxes, labels, split, group):
    assert split_of(node, boxes, TREE) == split
    assert group_of(node, boxes, labels, TREE) == group


def test_split_that_was_written_is_read_back(tmp_path):
    split = {"n2": "seen", "n1": "unseen_far", "n9": "unseen_near"}
    path = tmp_path / "split.csv"
    path.write_text(split_text(split))
    assert path.read_text().splitlines() == ["wnid,group", "n1,unseen_far", "n2,seen", "n9,unseen_near"]
    assert read_split(path) == split


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n1,seen\n", "line 1: expected the header"),
        ("", "line 1: expected the header"),
        ("wnid,group\nn1,boxed\n", "line 2: found 'n1,boxed'; expected a wnid and one of seen, unseen_near"),
        ("wnid,group\nn1\n", "line 2: found 'n1'"),
        ("wnid,group\nn1,seen\n\nn1,unseen_far\n", "line 4: n1 is seen above and unseen_far here"),
    ],
)
def test_split_that_is_none_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_split(path)


def test_missing_split_file_and_missing_classes_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.csv cannot be read"):
        read_split(tmp_path / "nowhere.csv")
    with pytest.raises(ConfigError, match=r"the split names 1 classes, but not 2 of the set \(n2, n3\); add them"):
        check_split({"n1": "seen"}, ["n1", "n2", "n3"], "the set")
    check_split({"n1": "seen"}, ["n1"], "the set")
