r"""Lists of images as people write them: the files of `ImageSets`, and what scripts made of them.

    2007_000032                                    a name, blanks in it included
    2007_000032  -1                                the form of class lists and of Layout: a name, then numbers
    JPEGImages/2007_000032.jpg                     with an ending, a path, a path of another computer
    2007_000032.jpg 2007_000032.xml                picture and XML side by side
    "street one" 1                                 in quotes, as Datumaro and CVAT write names with blanks

The whole line is looked up first. What names no image of the set is rejected, and the line is quoted: half a name could
be another image's.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

from pipelines.files import storage
from pipelines.files.stated_names import IMAGE_ENDINGS
from pipelines.rows import Rejected

_FLAGGED = re.compile(r"(.*\S)\s+(-1|0|1)")  # dog_train.txt: whether a dog is there
_NUMBERED = re.compile(r"(.*\S)\s+(\d+)")  # Layout/train.txt: the number of a person
_ACTION = re.compile(r"(.*\S)\s+(\d+)\s+(-1|0|1)")  # Action/jumping_train.txt: both
_BETWEEN = re.compile(r"(?<=\.\w{3})\s+|(?<=\.\w{4})\s+")  # behind the ending of a file


class Known:
    """The images of a set by their ids, and what else a list can call them."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._ids = frozenset(ids)

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for image_id in sorted(self._ids):
            found.setdefault(posixpath.basename(image_id), []).append(image_id)
        return found

    def find(self, text: str) -> list[str]:
        """The images that a text can name; none, one, or several of the same name in different folders."""
        if text in self._ids:
            return [text]
        if found := self._pair(text):
            return found
        if len(text) > 2 and text[0] == text[-1] == '"':
            text = text[1:-1]
        path = text.replace("\\", "/")
        for name in dict.fromkeys((text, without_ending(text), path, without_ending(path))):
            parts = name.split("/")
            for start in range(len(parts)):
                if (below := "/".join(parts[start:])) in self._ids:
                    return [below]
        return self._by_name.get(posixpath.basename(without_ending(path)), [])

    def _pair(self, line: str) -> list[str]:
        """The image of which a text names picture and XML."""
        for blank in _BETWEEN.finditer(line):
            first, second = self.find(line[: blank.start()]), self.find(line[blank.end() :])
            if len(first) == 1 and first == second:
                return first
        return []


class Listed(NamedTuple):
    """The images of a list: their ids, sorted, each once; and the lines that are none of them."""

    ids: list[str]
    rejected: list[Rejected]


def without_ending(name: str) -> str:
    """A name without the ending of a picture or of XML."""
    stem, ending = posixpath.splitext(name)
    return stem if ending.lower() in (".xml", *IMAGE_ENDINGS) else name


def read_list(path: str, known: Known) -> Listed:
    """The images of a list.

    A name of which nothing is known, on a line of its own, is an image all the same: what it lacks is told later.

    Raises:
        InputError: if the file cannot be read.
    """
    file, folder = storage.name_of(path), posixpath.basename(posixpath.dirname(path))
    seen: set[tuple[str, str]] = set()
    rejected: list[Rejected] = []
    for number, line in lines_of(path):
        place = f"{file}:{number}"
        found, part = _image_of(line, folder, known)
        if len(found) > 1:
            told = f"the line {line!r} can mean {found[0]!r} or {found[1]!r}; write it with its folder"
            rejected.append(_refused(line, "image:ambiguous", told, place))
        elif not found and (not _is_plain(line) or _FLAGGED.fullmatch(line)):
            told = f"the line {line!r} names no XML file; expected the name of one, as it stands or with a number"
            rejected.append(_refused(line, "image:no_annotation", told, place))
        elif ((name := found[0] if found else without_ending(line)), part) in seen:
            told = f"the line {line!r} names {name!r} a second time"
            rejected.append(_refused(name, "image:duplicate_id", told, place))
        else:
            seen.add((name, part))
    return Listed(sorted({name for name, _ in seen}), rejected)


def lines_of(path: str) -> Iterator[tuple[int, str]]:
    """The lines of a list that hold something, with their numbers."""
    for number, line in enumerate(storage.text_of(path, "image list").splitlines(), start=1):
        if text := line.strip():
            yield number, text


def _image_of(line: str, folder: str, known: Known) -> tuple[list[str], str]:
    """The images that a line can mean, and the number of the object that it speaks of, "" for the whole image."""
    if found := known.find(line):
        return found, ""
    forms = [(_ACTION, True), (_FLAGGED, False), *([(_NUMBERED, True)] if folder == "Layout" else [])]
    for form, numbered in forms:
        if (match := form.fullmatch(line)) and (found := known.find(match[1])):
            return found, match[2] if numbered or folder == "Layout" else ""
    return [], ""


def _is_plain(name: str) -> bool:
    return "/" not in name and "\\" not in name


def _refused(name: str, reason: str, found: str, where: str) -> Rejected:
    name = storage.plain_text(name)
    return Rejected(kind="image", record=name, reason=reason, found=found, where=where, image_id=name)
