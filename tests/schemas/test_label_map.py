"""Label maps: what is written is read back, foreign files are read, bad ones named by line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import FormatError
from schemas.label_map import LabelMapItem, parse_label_map, write_label_map

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=10)


@given(st.lists(st.tuples(TEXT, TEXT, st.lists(st.integers(1, 99), max_size=3)), max_size=5))
def test_parse_after_write_is_the_identity(rows):
    items = tuple(
        LabelMapItem(name, number, display, tuple(ids), tuple(reversed(ids)))
        for number, (name, display, ids) in enumerate(rows, start=1)
    )
    assert parse_label_map(write_label_map(items)) == items


def test_reads_what_other_writers_write():
    text = """
    # a comment
    item { id: 5, display_name: 'Lamb\\'s quarters'
           name: "Sp\\303\\244tzle" keypoints { id: 1 label: "nose" } frequency: RARE }
    item: < name: "/m/01" id: 90 ancestor_ids: [1, 2] ancestor_ids: 3 >
    """
    assert parse_label_map(text) == (
        LabelMapItem("Spätzle", 5, "Lamb's quarters"),
        LabelMapItem("/m/01", 90, "", (1, 2, 3)),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('item {\n name: "a"\n}', "line 1: the item has no id"),
        ("item {\n id: 1\n}", "line 1: the item has no name"),
        ('item { name: "a" id: 1 }\nitem { name: "b" id: 1 }', "line 2: id 1 was used on line 1"),
        ('item { name: "a"', "ends inside an item"),
        ('entry { name: "a" }', "found 'entry'"),
        ("item { name: 'Lamb's' id: 1 }", "line 1"),
    ],
)
def test_bad_text_is_refused_with_its_line(text, message):
    with pytest.raises(FormatError, match=message):
        parse_label_map(text, "labels.pbtxt")
