"""Which picture an XML file is about.

`<filename>` decides where a picture of that name is there, in any folder. Where it names nothing that is there, as in
sets that were renamed or converted, the XML's own name decides. Where two pictures are left, the image is rejected:
of the same name in two folders, of the same stem with two endings, or a picture that `<filename>` of another XML names
too, as copies of an XML file do.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from functools import cached_property

from pipelines.files import stated_names
from pipelines.files.stated_names import IMAGE_ENDINGS
from schemas.errors import RecordError

BY = ("filename", "xml-name")


class Pictures:
    """The pictures below a folder."""

    def __init__(self, root: str, paths: Iterable[str]) -> None:
        """Args:
        root: the folder.
        paths: of all files in it.
        """
        self._root = root
        self._paths = frozenset(paths)
        self._flat = not any("/" in path for path in self._paths)

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in sorted(self._paths):
            found.setdefault(posixpath.basename(path), []).append(path)
        return found

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, paths in self._by_name.items():
            stem, ending = posixpath.splitext(name)
            if ending.lower() in IMAGE_ENDINGS:
                found.setdefault(stem, []).extend(paths)
        return found

    def stems(self) -> list[str]:
        """Every picture's path without its ending."""
        return [posixpath.splitext(path)[0] for paths in self._by_stem.values() for path in paths]

    def named(self, filename: str, folder: str, image_id: str) -> str:
        """The picture that <filename> names, "" for none.

        Args:
            filename, folder: texts of these elements.
            image_id: path of the XML below its folder, without its ending.

        Raises:
            RecordError: `image:ambiguous`.
        """
        filename = filename.strip()
        if self._flat and filename in self._paths:
            return filename
        if not filename or filename in self._by_name:
            return self._one_of(self._by_name.get(filename, []), folder, image_id)
        try:
            return stated_names.find(self._root, filename, self._paths.__contains__)
        except RecordError as error:
            if error.reason == "image:ambiguous":
                raise
        name = posixpath.basename(filename.replace("\\", "/"))
        return self._one_of(self._by_name.get(name) or self._by_stem.get(name, []), folder, image_id)

    def of_xml(self, folder: str, image_id: str) -> str:
        """The picture of the XML's own name, "" for none.

        Raises:
            RecordError: `image:ambiguous`.
        """
        return self._one_of(self._by_stem.get(posixpath.basename(image_id), []), folder, image_id)

    @staticmethod
    def _one_of(paths: list[str], folder: str, image_id: str) -> str:
        """One of several pictures: that in the folder of the XML, or in the one that it names."""
        beside, folder = posixpath.dirname(image_id), folder.strip()
        for near in (beside, folder, "") if beside else (folder, ""):
            if len(paths) > 1:
                paths = [path for path in paths if _lies_in(posixpath.dirname(path), near)] or paths
        if len(paths) > 1:
            raise RecordError(
                "image:ambiguous", f"it can be {paths[0]!r} or {paths[1]!r}; name the right one in <filename>"
            )
        return paths[0] if paths else ""


def _lies_in(folder: str, near: str) -> bool:
    return folder == near or bool(near and folder.endswith(f"/{near}"))
