"""What a file is by its name, and what image and class it stands for.

An image's class is the folder (or tar) that it lies in, or what its own name begins with, `n01440764_10026.JPEG`, or
ends in, as in Hugging Face's archives: `ILSVRC2012_val_00000293_n01440764.JPEG`. Its id is CLASS/STEM then, since the
same image may lie in several classes; STEM alone where its name says no class. A class at the end is no part of STEM:
ground truths and box files know the image by its official name.

Files that are surely no images (hidden ones, text, a system's own) are ignored. Every other file is a row or a reject.
"""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple

from pipelines.files import storage
from pipelines.files.stated_names import IMAGE_ENDINGS
from pipelines.rows import Member

WNID = re.compile(r"n\d{8}")
IGNORED_ENDINGS = (".txt", ".md", ".xml", ".csv")
IGNORED_NAMES = ("thumbs.db", "desktop.ini")
IGNORED_STEMS = ("readme", "license", "licence")
IGNORED = "ignored"
FOUND = {
    "image:unknown_ending": f"expected an ending of {', '.join(IMAGE_ENDINGS)}",
    "image:not_in_class_folder": "expected images right below their class folder, or in its folder `images`",
    "image:bad_name": "the file's name is no Unicode text, or leads out of its folder",
}


class File(NamedTuple):
    """A file of the dataset.

    Attributes:
        image_id: of the image.
        uri: of the image, or of its archive, below the image root.
        label: its class by folder or name, "" for none.
        stem: its name without ending, and without the class behind it.
        reason: why it is no image of the dataset, IGNORED if it is surely none; "" if it is one.
        member, filename: place in the archive, and its own name; None and "" outside archives.
        by_name: whether the label comes from the file's own name.
    """

    image_id: str
    uri: str
    label: str = ""
    stem: str = ""
    reason: str = ""
    member: Member | None = None
    filename: str = ""
    by_name: bool = False


def in_class(label: str, uri: str, inner: list[str], member: Member | None = None) -> File:
    """A file below the folder of its class, or beside these folders for "".

    Args:
        label: name of the folder.
        uri: of the file or its archive.
        inner: its folders below the class, and its name.
        member: its place in an archive.
    """
    name = inner[-1]
    filename = name if member else ""
    told = storage.plain_text(f"{uri}: {'/'.join(inner)}" if member else uri)
    reason = _refusal(inner, bool(label))
    if not reason and (not label or inner[:-1] not in ([], ["images"], [label])):
        reason = "image:not_in_class_folder"
    if not reason and storage.plain_text(label + name) != label + name:
        reason = "image:bad_name"
    if reason:
        return File(told, uri, label, reason=reason, member=member, filename=filename)
    stem = posixpath.splitext(name)[0].removesuffix(f"_{label}")
    return File(f"{label}/{stem}", uri, label, stem, member=member, filename=filename)


def by_itself(uri: str, inner: list[str], member: Member | None = None) -> File:
    """A file whose own name alone may say its class."""
    name = inner[-1]
    filename = name if member else ""
    reason = _refusal(inner, True)
    if not reason and storage.plain_text(name) != name:
        reason = "image:bad_name"
    if reason:
        told = storage.plain_text(f"{uri}: {'/'.join(inner)}" if member else uri)
        return File(told, uri, reason=reason, member=member, filename=filename)
    stem = posixpath.splitext(name)[0]
    label = label_of_name(stem)
    stem = stem.removesuffix(f"_{label}")
    return File(f"{label}/{stem}" if label else stem, uri, label, stem, "", member, filename, bool(label))


def label_of_name(stem: str) -> str:
    """The wnid that a name such as n01440764_10026 begins with or ends in; "" for none, or two that differ."""
    words = stem.split("_")
    found = {word for word in (words[0], words[-1]) if len(words) > 1 and WNID.fullmatch(word)}
    return found.pop() if len(found) == 1 else ""


def _refusal(inner: list[str], among_images: bool) -> str:
    name = inner[-1].lower()
    stem, ending = posixpath.splitext(name)
    if ".." in inner:
        return "image:bad_name"
    if any(part.startswith(".") for part in inner):
        return IGNORED
    if ending in IGNORED_ENDINGS or name in IGNORED_NAMES or stem in IGNORED_STEMS:
        return IGNORED
    if ending not in IMAGE_ENDINGS:
        return "image:unknown_ending" if among_images else IGNORED
    return ""
