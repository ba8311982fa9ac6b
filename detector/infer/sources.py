"""Files, folders and globs, on any file system of fsspec, to images and films."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath

import fsspec
import numpy as np
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
        try:
            fs, root = fsspec.core.url_to_fs(pattern)
            if fs.isfile(root):
                found[pattern] = None
                continue
            folder = fs.isdir(root)
            names = fs.find(root, maxdepth=None if recursive else 1) if folder else fs.glob(root)
        except Exception as error:  # every file system has its own
            raise InputError(
                f"{pattern[:200]!r} cannot be looked up ({type(error).__name__}: {one_line(error)[:200]}); expected a "
                "file, a folder or a glob"
            ) from error
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
    except Exception as error:  # of any file system
        return Unreadable(path, one_line(error))
    if not data:
        return Unreadable(path, "empty file")
    try:
        return rgb(Image.open(BytesIO(data)))
    except UnidentifiedImageError:
        return Unreadable(path, f"not an image that can be read (begins with {data[:8]!r})")
    except Exception as error:  # a decoder may raise anything for a damaged file
        return Unreadable(path, one_line(error))


def rgb(image: Image.Image) -> Image.Image:
    """Any image as RGB of 8 bits; of grey with 16 bits the upper 8, as TensorFlow reads it, where Pillow would clip."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535) >> 8
        image = Image.fromarray(grey.astype(np.uint8))
    return image.convert("RGB")


def one_line(error: BaseException) -> str:
    """An error's message without line ends; its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def stem(path: str) -> str:
    """The file's name without folders and suffix."""
    return PurePosixPath(path.replace("\\", "/")).stem
