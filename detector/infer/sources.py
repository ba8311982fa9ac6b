"""Files, folders and globs, on any file system of fsspec, to images and films."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath

import fsspec
from PIL import Image, UnidentifiedImageError

from schemas.errors import InputError

IMAGES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
FILMS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")


@dataclass(frozen=True)
class Unreadable:
    """An image or a film that could not be read, and why."""

    path: str
    reason: str


def is_film(path: str) -> bool:
    """Whether a file's name says that it is a film."""
    return path.lower().endswith(FILMS)


def find_inputs(patterns: Sequence[str], *, recursive: bool = False) -> list[str]:
    """Images and films, each once; those of a folder or of a glob by name.

    Args:
        patterns: files, folders and globs. A file that is named is taken whatever its suffix.
        recursive: whether folders below a folder count too.

    Raises:
        InputError: if one of them matches nothing.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        fs, root = fsspec.core.url_to_fs(pattern)
        if fs.isfile(root):
            found[pattern] = None
            continue
        folder = fs.isdir(root)
        names = fs.find(root, maxdepth=None if recursive else 1) if folder else fs.glob(root)
        names = sorted(name for name in names if name.lower().endswith(IMAGES + FILMS))
        if not names:
            hint = "; --recursive looks into the folders below it" if folder and not recursive else ""
            raise InputError(f"{pattern!r} matches no image; expected files ending in {', '.join(IMAGES)}{hint}")
        local = "file" in fs.protocol if isinstance(fs.protocol, tuple) else fs.protocol == "file"
        found.update(dict.fromkeys(name if local else fs.unstrip_protocol(name) for name in names))
    return list(found)


def load_image(path: str) -> Image.Image | Unreadable:
    """The whole image as RGB, its pixels as they are stored."""
    try:
        fs, name = fsspec.core.url_to_fs(path)
        data = fs.cat_file(name)
    except FileNotFoundError:
        return Unreadable(path, "no such file")
    except (OSError, ValueError) as error:
        return Unreadable(path, one_line(error))
    if not data:
        return Unreadable(path, "empty file")
    try:
        return Image.open(BytesIO(data)).convert("RGB")
    except UnidentifiedImageError:
        return Unreadable(path, f"not an image that can be read (begins with {data[:8]!r})")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return Unreadable(path, one_line(error))


def one_line(error: BaseException) -> str:
    """An error's message without line ends; its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def stem(path: str) -> str:
    """The file's name without folders and suffix."""
    return PurePosixPath(path.replace("\\", "/")).stem
