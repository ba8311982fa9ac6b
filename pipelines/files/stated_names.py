r"""From the name that a dataset states for a file to the file below its folder.

A name is taken as it stands where a file is there. Only then it is read as other programs mean it:

    images\a.png   D:\set\images\a.png        paths of Windows
    a%20b.png   file:///mnt/sets/set/a.png     encoded for URLs
    sub/../a.png   ../images/a.png            paths by way of other folders
    /data/local-files/?d=set/a.png            Label Studio's own: a file that it was given, an upload with its hash
    /data/upload/1/1a2b3c4d-a.png
    u with its dots as a sign of its own      Unicode as macOS writes it
    a.JPG                                     an ending of the other case

What leads into the folder then is taken. Of a path from elsewhere the part behind a folder of the same name is taken,
`D:\set\images\a.png` is `a.png` below `/mnt/images`; or the whole path, if it is there below the folder. Nothing else
is guessed: a file of the same name in another folder can be another picture.
"""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from pipelines.files import storage
from schemas.errors import RecordError

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
_DRIVE = re.compile(r"[A-Za-z]:/")
_UNIQUE = re.compile(r"[0-9a-f]{8}-")  # begins the names that Label Studio gives to uploads
_LOCAL_FILES, _UPLOADS = "local-files/?d=", "/data/upload/"  # Label Studio's


class Readings(NamedTuple):
    """Paths below the folder that a name can mean, the likeliest first.

    Attributes:
        inside: to which the name itself leads.
        by_folder: what stands behind a folder of the same name; a list for each way to read the name.
        whole: full paths as paths below the folder.
    """

    inside: list[str]
    by_folder: list[list[str]]
    whole: list[str]


def find(root: str, name: str, exists: Callable[[str], bool]) -> str:
    """The file that a name means, as a path below `root`.

    Args:
        root: the folder, on any file system.
        name: as the dataset states it.
        exists: whether a path below the folder is a file.

    Raises:
        RecordError: `image:missing` where no file is there, `image:bad_path` where the name leads out of the folder,
            `image:ambiguous` where it can mean two files.
    """
    readings = read_name(root, name)
    for paths in ([path] for path in readings.inside), readings.by_folder, ([path] for path in readings.whole):
        for group in paths:
            there = [found for path in group if (found := next(filter(exists, _endings(path)), None)) is not None]
            if len(there) > 1:
                raise RecordError("image:ambiguous", f"it can mean {there[0]!r} or {there[1]!r}", found=repr(name))
            if there:
                return there[0]
    if readings.inside or readings.by_folder:
        raise RecordError("image:missing", "there is no such file", found=name)
    raise RecordError(
        "image:bad_path",
        f"the name leads out of the image folder and through none called {_names(_roots(root))}; give a folder that "
        "the names lead through, or write names below it",
        found=repr(name),
    )


def read_name(root: str, name: str) -> Readings:
    """What a name can mean; no file is looked for."""
    roots = _roots(root)
    inside: dict[str, None] = {}
    by_folder: list[list[str]] = []
    whole: dict[str, None] = {}
    for form in dict.fromkeys(_forms(name)):
        if _is_whole(form):
            inside.update((form[len(path) + 1 :], None) for path in roots if form.startswith(path + "/"))
            whole[(form.partition("://")[2] or form.partition(":/")[2] or form).lstrip("/")] = None
            if form.startswith(_UPLOADS):
                inside[form.removeprefix("/data/")] = None
                if _UNIQUE.match(posixpath.basename(form)):
                    inside[posixpath.basename(form)] = None
        elif not form.startswith("../"):
            inside[form] = None
        else:
            joined = [(_normal(f"{path}/{form}"), path) for path in roots]
            inside.update((found[len(path) + 1 :], None) for found, path in joined if found.startswith(path + "/"))
        parts = form.split("/")
        behind = [
            "/".join(parts[i + 1 :]) for i, part in enumerate(parts[:-1]) if part in map(posixpath.basename, roots)
        ]
        if behind:
            by_folder.append(behind)
    return Readings(list(inside), by_folder, list(whole))


def _endings(path: str) -> list[str]:
    """A path, and the same with an ending in the other case."""
    stem, ending = posixpath.splitext(path)
    return list(dict.fromkeys((path, stem + ending.lower(), stem + ending.upper())))


def _roots(root: str) -> list[str]:
    if storage.is_remote(root):
        return [root.rstrip("/")]
    return list(dict.fromkeys(path.rstrip("/") for path in (os.path.abspath(root), os.path.realpath(root))))


def _names(roots: list[str]) -> str:
    return " or ".join(dict.fromkeys(repr(posixpath.basename(path)) for path in roots))


def _is_whole(form: str) -> bool:
    return form.startswith("/") or storage.is_remote(form) or _DRIVE.match(form) is not None


def _normal(path: str) -> str:
    """Without `.` and `..`, as far as they can be taken out."""
    protocol, mark, rest = path.rpartition("://")
    rest = posixpath.normpath(rest)
    return protocol + mark + (rest[1:] if rest.startswith("//") else rest)


def _forms(name: str) -> Iterator[str]:
    """The name as a path with `/`, in each way in which it can have been written."""
    plain = name.removeprefix("file://")
    if _LOCAL_FILES in plain:
        plain = plain.partition(_LOCAL_FILES)[2].partition("&")[0]
    elif plain.startswith(("http://", "https://")):
        plain = urlsplit(plain).path
    for text in (plain, *([] if "%00" in plain else [unquote(plain)])):
        for form in ("NFC", "NFD"):
            yield _normal(unicodedata.normalize(form, text.replace("\\", "/")))
