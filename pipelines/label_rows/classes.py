"""The classes of label rows: a file that lists them, or all that stand in the rows.

A list has one class a line: `LABEL`, or `INDEX<TAB>LABEL<TAB>...` where rows hold the index, or `INDEX,LABEL` and
`INDEX: LABEL` in all lines. So tencent-ml-images' dictionary is read (index, wnid, parent, name). A first line that is
a header is passed over. A JSON object of index and label, as competitions and model cards have it, is read too.
"""

from __future__ import annotations

import re

import msgspec

from pipelines.files import storage
from pipelines.sources.base import DatasetClass
from schemas.errors import FormatError
from schemas.numbers import is_whole

_NUMBERED = re.compile(r"\s*(\d+)\s*[,:;]\s*(?=\S)")
MOST = 2_000_000  # more labels than any label space has: it is another column


def read_classes(path: str) -> tuple[DatasetClass, ...]:
    """The classes of a list, in its order.

    Raises:
        InputError: if it cannot be read.
        FormatError: if it is empty or no UTF-8, or a class stands there twice.
    """
    data = storage.read_source(path, "list of classes")
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        odd = data[error.start : error.end]
        raise FormatError(f"{path} line {line}: {odd!r} is no UTF-8; write it again") from error
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        lines = _lines_of_json(data, path)
    if all(map(_NUMBERED.match, filter(str.strip, lines))):
        lines = [_NUMBERED.sub(r"\1\t", line, count=1) for line in lines]
    cells = [(number, line.split("\t")) for number, line in enumerate(lines, start=1) if line.strip()]
    indexed = len(cells) > 1 and len(cells[1][1]) > 1 and is_whole(cells[1][1][0].strip())
    if indexed and not is_whole(cells[0][1][0].strip()):
        cells = cells[1:]
    found: dict[str, str] = {}
    for number, row in cells:
        key = row[0].strip()
        if indexed and (len(row) < 2 or not is_whole(key)):
            raise FormatError(f"{path} line {number}: found {lines[number - 1][:60]!r}; expected INDEX<TAB>LABEL")
        if key in found:
            raise FormatError(f"{path} line {number}: class {key!r} stands there twice")
        found[key] = row[1].strip() if indexed else key
    if not found:
        raise FormatError(f"{path}: there are no classes; expected one a line")
    return tuple(DatasetClass(key, number, label) for number, (key, label) in enumerate(found.items(), start=1))


def _lines_of_json(data: bytes, path: str) -> list[str]:
    """A JSON object of index and label as lines of both."""
    try:
        found = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"), type=dict[str, str])
    except msgspec.DecodeError as error:
        raise FormatError(f'{path}: {error}; expected lines, or a JSON object such as {{"0": "cat"}}') from error
    if not all(key.isdecimal() for key in found):
        raise FormatError(f'{path}: found the keys {", ".join(found)[:60]}; expected numbers, such as {{"0": "cat"}}')
    return ["index\tlabel", *(f"{key}\t{label}" for key, label in found.items())]


def classes_of(labels: set[str]) -> tuple[DatasetClass, ...]:
    """The classes that stand in the rows, in alphabetical order."""
    return tuple(DatasetClass(label, number, label) for number, label in enumerate(sorted(labels), start=1))
