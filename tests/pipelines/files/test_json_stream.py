"""Streamed JSON against the standard library's reading, with windows of all sizes and strings that hold anything."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.files import json_window
from pipelines.files.json_forms import Bad, readable_json
from pipelines.files.json_stream import Batch, Value, last_member, read_object
from pipelines.files.json_structure import element_ends, split_elements
from schemas.errors import FormatError, InputError


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    id: int
    text: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Loose(msgspec.Struct):
    id: int
    text: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


FORMS = (Strict, Loose)


def read(path: object, window: int = 64, names: tuple[str, ...] = ("a", "b"), **options: Any) -> dict[str, Any]:
    """All lists and values of a file; entries as the batches' own text has them."""
    found: dict[str, Any] = {}
    for part in read_object(str(path), {name: FORMS for name in names}, window=window, **options):
        if isinstance(part, Value):
            found[part.name] = json.loads(part.text)
            continue
        held = found.setdefault(part.name, [])
        assert part.first == len(held)
        entries = json.loads(part.text)
        assert len(entries) == len(part.entries)
        for entry, value in zip(part.entries, entries, strict=True):
            good = isinstance(value, dict) and type(value.get("id")) is int
            assert isinstance(entry, Bad) != good
            if not isinstance(entry, Bad):
                assert entry.id == value["id"]
                if entry.text is not msgspec.UNSET:
                    assert json.loads(bytes(entry.text)) == value["text"]
        held.extend(entries)
    return found


nasty = st.text(st.sampled_from('{}[],:"\\ \n\té😀\x7fa0'), max_size=12)
value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | nasty,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(nasty, inner, max_size=3),
    max_leaves=8,
)
entry = st.fixed_dictionaries({"id": st.integers(0, 9)}, optional={"text": value, "more": value})
entries = st.lists(entry, max_size=12)
document = st.fixed_dictionaries({}, optional={"a": entries, "b": entries, "c": value, "d": value}).flatmap(
    lambda d: st.permutations(list(d)).map(lambda order: {key: d[key] for key in order})
)


@settings(max_examples=300)
@given(document, st.sampled_from([(",", ":"), (", ", ": "), (" ,\n\t", " : ")]), st.integers(8, 300), st.booleans())
def test_what_is_read_is_what_stands_there(
    tmp_path_factory: pytest.TempPathFactory, data: Any, separators: tuple[str, str], window: int, plain: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(data, separators=separators, ensure_ascii=plain), encoding="utf-8")
    assert read(path, window) == data


@given(st.lists(entry, min_size=1, max_size=8), st.booleans())
def test_ends_of_elements_are_found_by_counting_brackets(items: list[Any], ended: bool) -> None:
    texts = [json.dumps(item).encode() for item in items]
    part = b" , ".join(texts)
    ends = np.cumsum([len(text) + 3 for text in texts]) - 3
    found = element_ends(part + b' ], "more": [{}, {"x": [1]}]}' if ended else part)
    assert found.elements.tolist() == ends.tolist()
    assert found.stop == (len(part) + 1 if ended else -1)


def many(tmp_path: Path, entries: list[Any]) -> Path:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"a": entries}))
    return path


def test_an_entry_longer_than_the_window_is_read(tmp_path: Path) -> None:
    data = [{"id": 1}, {"id": 2, "text": "x" * 5000}, {"id": 3}]
    assert read(many(tmp_path, data))["a"] == data


def test_malformed_entries_cost_only_themselves(tmp_path: Path) -> None:
    data: list[Any] = [{"id": n} for n in range(50)]
    data[20] = {"id": "no"}
    data[21] = None
    data[30] = [1]
    data[31] = 5
    path = many(tmp_path, data)
    bad = [
        part.first + at
        for part in read_object(str(path), {"a": FORMS}, window=64)
        if isinstance(part, Batch)
        for at, found in enumerate(part.entries)
        if isinstance(found, Bad)
    ]
    assert bad == [20, 21, 30, 31]
    assert read(path)["a"] == data


def test_nan_and_infinity_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"a": [{"id": 1}, {"id": 2, "more": NaN}, {"id": 3, "more": -Infinity}], "c": NaN}')
    parts = list(read_object(str(path), {"a": FORMS}))
    assert isinstance(parts[0], Batch)
    assert [found.id for found in parts[0].entries] == [1, 2, 3]
    assert parts[0].form == -1
    assert str(parts[0].loose[1]) == "{'id': 2, 'more': nan}"


def test_the_strict_type_is_left_once_an_entry_has_more_fields(tmp_path: Path) -> None:
    data = [{"id": n} for n in range(900)] + [{"id": 900, "more": 1}] + [{"id": n} for n in range(901, 1900)]
    forms = [p.form for p in read_object(str(many(tmp_path, data)), {"a": FORMS}, window=100) if isinstance(p, Batch)]
    assert set(forms) == {0, 1}
    assert forms == sorted(forms)


def test_an_empty_list_is_told(tmp_path: Path) -> None:
    assert read(many(tmp_path, [])) == {"a": []}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_and_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"a": [{"id": 1, "text": "é"}]}, ensure_ascii=False), encoding=encoding)
    assert read(path)["a"] == [{"id": 1, "text": "é"}]


CUT, MORE, NOTHING = "cut short?", "JSON Lines, or two files in one?", "expected JSON"
BROKEN = [
    ('{"a": [{"id": 1}, {"id": 2},]}', NOTHING),
    ('{"a": [{"id": 1}\n {"id": 2}]}', NOTHING),
    ('{"a": [{"id": 1}, {"id": 2', CUT),
    ('{"a": [{"id": 1}, {"id": 2}', CUT),
    ('{"a": [{"id": 1}, {"id": 2}] ', CUT),
    ('{"a": [{"id": 1}, {"id": 2}, ', CUT),
    ('{"a": [{"id": 1}, {"i', CUT),
    ('{"a": [{"id": 1}, {"id": 2}}', NOTHING),
    ('{"a": [{"id": 1}, {"id": 2}] "b": []}', NOTHING),
    ('{"a": [{"id": 1}], }', NOTHING),
    ('{"a": [{"id": 1}]} x', MORE),
    ('{"a": [{"id": 1}]}\n{"a": [{"id": 1}]}', MORE),
    ('{"a": [{"id": 1}], "c": tru}', NOTHING),
    ('{"a": [{"id": 1, "text": "un\nbroken"}]}', NOTHING),
    ('{"a"; 1}', NOTHING),
    ("{a: 1}", NOTHING),
    ("", CUT),
]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<html>", "a web page in place of the file"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "fetch it with `git lfs pull`"),
    ],
)
def test_what_is_no_json_at_all_is_called_by_its_name(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(FormatError, match=f"{told}; expected JSON"):
        read(path)


@pytest.mark.parametrize(("text", "told"), BROKEN)
@pytest.mark.parametrize("explained", [True, False])
def test_syntax_errors_are_told_with_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str, explained: bool
) -> None:
    """A small file gives the standard library's own words; a large one the line that is broken."""
    path = tmp_path / "x.json"
    path.write_text("\n\n " + text)
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(path.read_text())
    expected = caught.value
    if not explained:
        monkeypatch.setattr(json_window, "EXPLAINED", -1)
    with pytest.raises(FormatError) as found:
        read(path)
    message = str(found.value)
    assert message.endswith(told)
    if explained:
        assert f"line {expected.lineno} column {expected.colno} (byte {expected.pos}): {expected.msg}" in message
    else:
        assert "line 3 " in message or "line 4 " in message


def test_the_place_of_an_error_far_into_a_large_file_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_window, "EXPLAINED", -1)
    lines = [f'{{"id": {n}, "text": "é"}},' for n in range(500)]
    lines[400] = '{"id": 400, "text": é},'
    path = tmp_path / "x.json"
    path.write_text('{"a": [\n' + "\n".join(lines) + '\n{"id": 9}]}', encoding="utf-8")
    byte = path.read_bytes().index(b'"text": \xc3') + 8
    with pytest.raises(FormatError, match=rf"line 402 column 21 \(byte {byte}\)"):
        read(path)


@pytest.mark.parametrize("key", ["a", "c"])
def test_bytes_that_are_no_utf8_are_told(tmp_path: Path, key: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b'{"%s": [{"id": 1, "text": "\xff"}]}' % key.encode())
    with pytest.raises(FormatError, match="byte 26: not UTF-8"):
        read(path)


@pytest.mark.parametrize(
    ("text", "found"), [("null", "null"), ("{}", "an object"), ("5", "a number"), ("true", "a truth")]
)
def test_a_list_that_is_none_is_told(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(f'{{"a": {text}}}')
    with pytest.raises(FormatError, match=f"`a` is {found}.*; expected a list"):
        read(path)


def test_values_nested_too_deeply_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"c": ' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(FormatError, match="nested too deeply"):
        read(path)


@pytest.mark.parametrize("odd", ["[" * 3000 + "]" * 3000, "[" * 300 + "NaN" + "]" * 300, "1" * 5000])
def test_entries_that_cannot_be_taken_in_cost_only_themselves(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "x.json"
    entries = f'{{"id": 1, "text": "}},{{"}}, 5, {{"id": 2, "q": NaN, "more": {odd}}}, {{"id": 3}}'
    path.write_text(f'{{"a": [{entries}], "c": 1}}')
    batch, last = read_object(str(path), {"a": FORMS})
    assert isinstance(batch, Batch)
    assert [isinstance(found, Bad) for found in batch.entries] == [False, True, True, False]
    assert [batch.entries[0].id, batch.entries[3].id] == [1, 3]
    assert batch.loose[0] == {"id": 1, "text": "},{"}
    assert last == Value("c", b"1")


def test_a_syntax_error_behind_such_an_entry_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"a": [{"id": 1, "q": NaN, "more": ' + "9" * 5000 + '}, {"id": 2,}]}')
    with pytest.raises(FormatError):
        read(path)


@pytest.mark.parametrize("key", ["a", "c"])
def test_keys_that_stand_twice_are_told(tmp_path: Path, key: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(f'{{"{key}": [], "{key}": []}}')
    with pytest.raises(FormatError, match=f"the key '{key}' stands twice"):
        read(path)


@given(st.lists(value, min_size=1, max_size=8), st.sampled_from([(",", ":"), (" ,\n\t", " : ")]))
def test_elements_are_split_at_their_commas(items: list[Any], separators: tuple[str, str]) -> None:
    part = json.dumps(items, separators=separators, ensure_ascii=False).encode()[1:-1]
    found = split_elements(part)
    assert [json.loads(text) for _, text in found] == items
    assert all(part[start : start + len(text)] == text for start, text in found)


def test_what_is_kept_can_be_read_by_everyone() -> None:
    odd = r'{"a": ["\ud800", NaN, 1e999, 1000000000000000000000], "\udc00": -Infinity, "b": {"é": "\ud83d\ude00"}}'
    text, changed = readable_json(odd.encode())
    assert changed
    assert json.loads(text) == {"a": [r"\ud800", None, None, 10**21], r"\udc00": None, "b": {"é": "😀"}}
    msgspec.json.decode(text)
    assert readable_json(b'{"a": 1.50}') == (b'{"a": 1.50}', False)


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "no.json")


def test_remote_files_are_read_in_parts_and_digested() -> None:
    data = {"a": [{"id": n, "text": "}, {"} for n in range(2000)], "c": 1}
    raw = json.dumps(data).encode()
    with fsspec.open("memory://json/x.json", "wb") as stream:
        stream.write(raw)  # type: ignore[union-attr]
    digest = hashlib.sha256()
    assert read("memory://json/x.json", 1000, digest=digest) == data
    assert digest.hexdigest() == hashlib.sha256(raw).hexdigest()


@settings(max_examples=200)
@given(document, st.integers(20, 400), nasty)
def test_the_last_member_is_the_objects_own(
    tmp_path_factory: pytest.TempPathFactory, data: Any, most: int, text: str
) -> None:
    """Inner members of the same name, and strings that look like it, are none."""
    path = tmp_path_factory.getbasetemp() / "last.json"
    data = {**data, "in": [{"a": [1]}, '"a": [2]', {"b": {"a": [3]}}], "text": text}
    path.write_text(json.dumps(data), encoding="utf-8")
    found = last_member(str(path), "a", most)
    if most > 390 and len(json.dumps(data)) <= most and "a" in data:
        assert found is not None
    if found is not None:
        assert json.loads(found) == data["a"]
