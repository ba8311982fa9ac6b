"""Laws of names: what is found lies below the folder and is there; nothing else is raised than a reject's reason."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.files.stated_names import find, read_name
from pipelines.voc.lists import Known
from schemas.errors import RecordError

PARTS = (
    "images",
    "a.png",
    "a b.PNG",
    "sub",
    "..",
    ".",
    "",
    "C:",
    "a%20b.png",
    "%2e%2e",
    "\u00e9",
    "e\u0301",
    "%00",
    "data",
)
names = st.one_of(
    st.text(max_size=12),
    st.lists(st.sampled_from(PARTS), max_size=6).flatmap(
        lambda parts: st.sampled_from(["/", "\\"]).map(lambda slash: slash.join(parts))
    ),
    st.lists(st.sampled_from(PARTS), max_size=4).map(lambda parts: "http://host/" + "/".join(parts)),
    st.lists(st.sampled_from(PARTS), max_size=4).map(lambda parts: "/data/local-files/?d=" + "%5C".join(parts)),
)
roots = st.sampled_from(["/set/images", "images", "s3://bucket/images", "/", "."])


@given(names, roots)
def test_whatever_a_name_says_it_stays_below_the_folder(name: str, root: str) -> None:
    readings = read_name(root, name)
    for path in (*readings.inside, *(p for paths in readings.by_folder for p in paths), *readings.whole):
        assert not posixpath.normpath(path).startswith(("..", "/"))
        assert "\0" not in path or "\0" in name


@given(names, roots, st.sets(st.sampled_from(["a.png", "sub/a.png", "images/a.png", "a b.png", "a b.PNG", "\u00e9"])))
def test_what_is_found_is_there_and_what_is_not_has_a_reason(name: str, root: str, there: set[str]) -> None:
    try:
        found = find(root, name, there.__contains__)
    except RecordError as error:
        found = error.reason
    assert found in {*there, "image:missing", "image:bad_path", "image:ambiguous"}


@pytest.mark.parametrize("name", ["a.png", "sub/a.png", "./a.png", "sub/../a.png", "a b.png"])
def test_a_plain_name_is_itself(name: str) -> None:
    assert find("/set/images", name, lambda path: True) == posixpath.normpath(name)


@given(names, st.sets(st.sampled_from(["a", "a b", "sub/a", "images/a b", "a.png"])))
def test_a_line_names_images_of_the_set_or_none(line: str, ids: set[str]) -> None:
    assert set(Known(ids).find(line)) <= ids
    for image_id in ids:
        assert Known(ids).find(image_id) == [image_id]
