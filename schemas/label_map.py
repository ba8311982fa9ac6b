"""Label maps in the text form of the TensorFlow Object Detection API (`StringIntLabelMap`, .pbtxt).

Names are keys: a wnid where the class has one, otherwise the dataset's own name. Ids start at 1, since 0 is background.
`ancestor_ids` and `descendant_ids` let that API's decoder expand boxes and labels through the hierarchy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from schemas.errors import FormatError


@dataclass(frozen=True, slots=True)
class LabelMapItem:
    """One class: `name` is its key, `id` its 1-based number, `display_name` what people read."""

    name: str
    id: int
    display_name: str = ""
    ancestor_ids: tuple[int, ...] = ()
    descendant_ids: tuple[int, ...] = ()


def write_label_map(items: Iterable[LabelMapItem]) -> str:
    """The items as .pbtxt text, in the order given; `parse_label_map` gives them back."""
    lines: list[str] = []
    for item in items:
        lines.append("item {")
        lines.append(f"  name: {_quote(item.name)}")
        lines.append(f"  id: {item.id}")
        if item.display_name:
            lines.append(f"  display_name: {_quote(item.display_name)}")
        lines.extend(f"  ancestor_ids: {number}" for number in item.ancestor_ids)
        lines.extend(f"  descendant_ids: {number}" for number in item.descendant_ids)
        lines.append("}")
    return "\n".join(lines) + "\n" if lines else ""


_TOKEN = re.compile(
    r"""(?P<space>[\s,;]+|\#[^\n]*)|(?P<word>[A-Za-z_][\w]*)|(?P<number>[+-]?\d+)"""
    r"""|(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|(?P<mark>[{}<>:\[\]])""",
    re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def parse_label_map(text: str, where: str = "label map") -> tuple[LabelMapItem, ...]:
    """Read .pbtxt text: both quote styles, any field order, sparse ids; fields we do not keep are skipped.

    Args:
        text: the file's text.
        where: what to call the file in errors.

    Raises:
        FormatError: with the line, for bad syntax, an item without name or id, or an id used twice.
    """
    tokens = list(_tokens(text, where))
    items: list[LabelMapItem] = []
    seen: dict[int, int] = {}
    at = 0
    while at < len(tokens):
        line = tokens[at][2]
        if tokens[at][1] != "item":
            raise FormatError(f"{where} line {line}: found {tokens[at][1]!r}; expected `item {{`")
        fields, at = _message(tokens, at + 1, where)
        for key in ("name", "display_name"):
            if not isinstance(fields.get(key, ""), str):
                raise FormatError(f"{where} line {line}: {key} is {fields[key]!r}; expected text in quotes")
        if not fields.get("name") and not fields.get("display_name"):
            raise FormatError(f'{where} line {line}: the item has no name; expected `name: "..."`')
        if not isinstance(fields.get("id"), int):
            raise FormatError(f"{where} line {line}: the item has no id; expected `id: NUMBER`")
        number = fields["id"]
        if number in seen:
            raise FormatError(
                f"{where} line {line}: id {number} was used on line {seen[number]} already; ids are unique"
            )
        seen[number] = line
        display = fields.get("display_name", "")
        items.append(
            LabelMapItem(
                name=fields.get("name", display),
                id=number,
                display_name=display,
                ancestor_ids=tuple(fields.get("ancestor_ids", ())),
                descendant_ids=tuple(fields.get("descendant_ids", ())),
            )
        )
    return tuple(items)


_DEEPEST = 20
_REPEATED = ("ancestor_ids", "descendant_ids")


def _message(tokens: list[tuple[str, str, int]], at: int, where: str, depth: int = 0) -> tuple[dict[str, Any], int]:
    """Fields of one `{ ... }` and the position behind it; nested messages are read and dropped."""
    if depth > _DEEPEST:
        raise FormatError(f"{where} line {tokens[at - 1][2]}: messages are nested more than {_DEEPEST} levels deep")
    fields: dict[str, Any] = {}

    def peek() -> tuple[str, str, int]:
        if at >= len(tokens):
            raise FormatError(f"{where}: the text ends inside an item; is the file cut short?")
        return tokens[at]

    if peek()[1] == ":":
        at += 1
    if peek()[1] not in "{<":
        raise FormatError(f"{where} line {peek()[2]}: found {peek()[1]!r}; expected '{{'")
    at += 1
    while peek()[1] not in ("}", ">"):
        kind, name, line = peek()
        if kind != "word":
            raise FormatError(f"{where} line {line}: found {name!r}; expected a field name or '}}'")
        at += 1
        if peek()[1] in ("{", "<"):
            _, at = _message(tokens, at, where, depth + 1)
            continue
        if peek()[1] != ":":
            raise FormatError(f"{where} line {peek()[2]}: found {peek()[1]!r} after {name!r}; expected ':'")
        at += 1
        kind, value, line = peek()
        if value == "[":
            at += 1
            values: list[Any] = []
            while peek()[1] != "]":
                values.append(_value(*peek(), where))
                at += 1
        elif value in ("{", "<"):
            _, at = _message(tokens, at, where, depth + 1)
            continue
        else:
            values = [_value(kind, value, line, where)]
        at += 1
        if name in _REPEATED:
            fields[name] = [*fields.get(name, ()), *values]
        elif values:
            fields[name] = values[-1]
    return fields, at + 1


def _value(kind: str, text: str, line: int, where: str) -> Any:
    if kind == "number":
        if len(text) > 18:
            raise FormatError(f"{where} line {line}: found number {text[:20]}...; expected at most 18 digits")
        return int(text)
    if kind == "string":
        pieces = re.split(r"(\\(?:[0-7]{1,3}|x[0-9A-Fa-f]{1,2}|.))", text[1:-1], flags=re.DOTALL)
        return b"".join(map(_unescape, pieces)).decode("utf-8", errors="replace")
    if kind == "word":
        return text
    raise FormatError(f"{where} line {line}: found {text!r}; expected a value")


def _unescape(piece: str) -> bytes:
    """One escape sequence, or plain text, as bytes: protobuf escapes the bytes of the UTF-8 text."""
    if not piece.startswith("\\"):
        return piece.encode()
    code = piece[1:]
    if code[0] in "01234567":
        return bytes([int(code, 8) & 0xFF])
    if code[0] == "x" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    return _ESCAPES.get(code, code).encode()


def _tokens(text: str, where: str) -> Iterator[tuple[str, str, int]]:
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise FormatError(f"{where} line {line}: cannot read {text[at : at + 20]!r}; expected .pbtxt text")
        if match.lastgroup != "space":
            yield match.lastgroup or "", match.group(), line
        line += match.group().count("\n")
        at = match.end()


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
