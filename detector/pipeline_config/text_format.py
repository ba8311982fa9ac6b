"""The text format of protocol buffers, without the schema: messages as trees of fields.

    name: value          numbers, true and false, words of an enumeration, "text" or 'text' (neighbours are joined)
    name { ... }         a message, also `name: { ... }` and `name < ... >`
    name: [1, 2]         as many fields of that name
    # to the end of the line; `,` or `;` may stand behind a field

Law: every field knows its line, every error names file and line, what was found and what was expected. What a word or a
number means is the reader's affair: here values are kept as they stand. A file of more than a megabyte or 300,000
words and marks, or with messages deeper than 32, is refused: published ones have four kilobytes and a depth of 8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from detector.given_text import shortened
from schemas.errors import FormatError

MOST_CHARACTERS = 1_000_000
MOST_TOKENS = 300_000
DEEPEST = 32
INFINITIES = ("inf", "infinity", "nan")

_ODD_SIGNS = (
    (
        "\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb",
        ". These are no straight quotes: an office program changed them",
    ),
    ("\\", ". Paths stand in quotes"),
)
_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<string>"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*')
    |(?P<number>(?:0[xX][0-9A-Fa-f]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?[fF]?)(?![A-Za-z0-9_.]))
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>[][{}<>:;,./-])""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|[xX]([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.ASCII)
_SHORT = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_CLOSING = {"{": "}", "<": ">"}


class Scalar(NamedTuple):
    """A value as it stands.

    Attributes:
        kind: "number" (with its sign), "word" or "string".
        text: of a string what it says, without quotes and escapes.
    """

    kind: Literal["number", "word", "string"]
    text: str


@dataclass(eq=False, frozen=True, slots=True)
class Field:
    """One field of a message; two of the same content are two.

    Attributes:
        name: before the value; of an extension with its brackets.
        line: in the file, from 1.
        value: a scalar, or the fields of a message.
    """

    name: str
    line: int
    value: Scalar | tuple[Field, ...]


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def parse_text(text: str, where: str) -> tuple[Field, ...]:
    """The fields of a file, in order.

    Args:
        text: of the file.
        where: its name, for messages.

    Raises:
        FormatError: naming file and line, what was found and what was expected.
    """
    if len(text) > MOST_CHARACTERS:
        raise FormatError(f"{where}: has {len(text):,} characters; expected at most {MOST_CHARACTERS:,}")
    return _Parser(list(_tokens(text, where)), where).fields("", 0)


def _tokens(text: str, where: str) -> Iterator[_Token]:
    position, line, count = 0, 1, 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            rest = text[position:].split("\n", 1)[0].strip()[:40]
            open_string = rest[:1] in ("'", '"')
            expected = "the closing quote in the same line" if open_string else "a name, a number, a string or a mark"
            hint = next((told for signs, told in _ODD_SIGNS if rest[:1] and rest[0] in signs), "")
            raise FormatError(f"{where} line {line}: found {rest!r}; expected {expected}{hint}")
        if found.lastgroup != "space":
            count += 1
            if count > MOST_TOKENS:
                raise FormatError(
                    f"{where} line {line}: found more than {MOST_TOKENS:,} words and marks; expected at most as many: "
                    "give the file that was meant"
                )
            yield _Token(str(found.lastgroup), found.group(), line)
        line += text.count("\n", position, found.end())
        position = found.end()
    yield _Token("end", "", line)


class _Parser:
    def __init__(self, tokens: list[_Token], where: str) -> None:
        self._tokens, self._where, self._next = tokens, where, 0

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)  # the end stays
        return token

    def _skip(self, *marks: str) -> bool:
        """Whether one of the marks stood here; then it is passed."""
        token = self._peek()
        if token.kind == "mark" and token.text in marks:
            self._take()
            return True
        return False

    def _error(self, expected: str) -> FormatError:
        token = self._peek()
        found = "the end of the file" if token.kind == "end" else repr(token.text[:40])
        return FormatError(f"{self._where} line {token.line}: found {found}; expected {expected}")

    def fields(self, closing: str, depth: int) -> tuple[Field, ...]:
        """The fields up to a closing mark, which is passed; up to the end of the file without one."""
        found: list[Field] = []
        while True:
            if closing and self._skip(closing):
                return tuple(found)
            if not closing and self._peek().kind == "end":
                return tuple(found)
            found += self._field(closing, depth)
            self._skip(",", ";")

    def _field(self, closing: str, depth: int) -> list[Field]:
        line, name = self._peek().line, self._name(closing)
        colon = self._skip(":")
        if self._skip("["):
            if not colon and not (self._peek().kind == "mark" and self._peek().text in "{<"):
                raise self._error(f"':' before the list of {shortened(name)}")
            return self._list(name, depth)
        return [Field(name, line, self._value(name, colon, depth))]

    def _name(self, closing: str) -> str:
        token = self._peek()
        if token.kind == "word":
            return self._take().text
        if not self._skip("["):
            raise self._error(f"the name of a field{f' or {closing!r}' if closing else ''}")
        parts: list[str] = []
        while not self._skip("]"):
            part = self._peek()
            if part.kind not in ("word", "number") and part.text not in (".", "/", "-"):
                raise self._error("the name of an extension and ']'")
            parts.append(self._take().text)
        return f"[{''.join(parts)}]"

    def _list(self, name: str, depth: int) -> list[Field]:
        found: list[Field] = []
        if self._skip("]"):
            return found
        while True:
            found.append(Field(name, self._peek().line, self._value(name, True, depth)))
            if self._skip("]"):
                return found
            if not self._skip(","):
                raise self._error(f"',' or ']' in the list of {shortened(name)}")

    def _value(self, name: str, colon: bool, depth: int) -> Scalar | tuple[Field, ...]:
        opening = self._peek()
        if self._skip("{", "<"):
            if depth >= DEEPEST:
                raise FormatError(
                    f"{self._where} line {opening.line}: found messages within messages, {depth + 1} deep; expected at "
                    f"most {DEEPEST}"
                )
            return self.fields(_CLOSING[opening.text], depth + 1)
        if not colon:
            raise self._error(f"':' or '{{' behind {shortened(name)}")
        if self._peek().kind == "string":
            return self._string()
        sign = "-" if self._skip("-") else ""
        token = self._peek()
        if token.kind == "number" or (sign and token.text.lower() in INFINITIES):
            return Scalar("number", sign + self._take().text)
        if token.kind == "word" and not sign:
            return Scalar("word", self._take().text)
        raise self._error("a number" if sign else f"a value for {shortened(name)}")

    def _string(self) -> Scalar:
        parts: list[str] = []
        while self._peek().kind == "string":
            token = self._take()
            parts.append(_ESCAPE.sub(lambda found, line=token.line: self._unescaped(found, line), token.text[1:-1]))
        data = "".join(parts).encode("utf-8", "surrogateescape")
        return Scalar("string", data.decode("utf-8", "replace"))

    def _unescaped(self, found: re.Match[str], line: int) -> str:
        """What an escape stands for; a byte of a longer letter as its surrogate (PEP 383) until all are together."""
        octal, short_hex, *long, letter = found.groups()
        if letter is not None:
            if letter in "xXuU01234567":
                raise FormatError(f"{self._where} line {line}: found {found.group()!r}; expected its digits behind it")
            return _SHORT.get(letter, letter)
        if octal or short_hex:
            byte = int(octal, 8) if octal else int(short_hex, 16)
            if byte > 255:
                raise FormatError(f"{self._where} line {line}: found {found.group()!r}; expected a byte, up to \\377")
            return chr(byte) if byte < 128 else chr(0xDC00 + byte)
        code = int(long[0] or long[1], 16)
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise FormatError(f"{self._where} line {line}: found {found.group()!r}; expected a character of Unicode")
        return chr(code)
