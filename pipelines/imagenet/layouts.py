"""The ways in which ImageNet's images lie on disk, and the pieces that can be read apart.

    class folders    ROOT/n01440764/n01440764_18.JPEG, or in a folder `images` below the class    a piece each folder
    class tars       ROOT/n01440764.tar                                                           a piece each tar
    tar of tars      ILSVRC2012_img_train.tar, fall11_whole.tar, winter21_whole.tar               a piece each inner tar
    one archive      ILSVRC2012_img_val.tar, or a tar or zip of class folders                     one piece
    flat folder      ILSVRC2012_val_00000001.JPEG, or n01440764_18.JPEG                           one piece
    list             the images that a file of ImageSets names, below ROOT                        one piece

A piece's name says all that is needed to read it, so that nothing is listed twice.
"""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from itertools import islice

from pipelines.files import storage
from pipelines.files.archives import is_archive, members
from pipelines.files.stated_names import IMAGE_ENDINGS, find
from pipelines.imagenet.lines import lines_of
from pipelines.imagenet.naming import IGNORED, WNID, File, by_itself, in_class
from pipelines.rows import Member
from schemas.errors import InputError, RecordError

MEMBERS_LOOKED_AT = 50  # of an archive, to know its kind
_ELSEWHERE = re.compile(r"/|\.\./|[A-Za-z]:/|\w+://")
_NUMBERED = re.compile(r"(.*\S)\s+(-?\d{1,9})")
_OFFICIAL = re.compile(r"(?:^|/)(?:n\d{8}_\d+|ILSVRC\d{4}_\w+_\d{8})$")
Pieces = tuple[list[str], bool]


def root_of(images: str) -> str:
    """The folder that uris are relative to."""
    return posixpath.dirname(images) or "." if is_archive(images) else images


def find_pieces(images: str, *, listing: str, inside: str, wnids: Sequence[str]) -> Pieces:
    """The pieces of a dataset, and whether its images lie flat, so that their folders say no class.

    Args:
        images: folder or archive.
        listing: a list of images, or "".
        inside: folder in the archive to take, or "".
        wnids: classes to take, all if empty.

    Raises:
        InputError: if there is nothing, or a class is missing.
    """
    if listing:
        return ["list"], True
    if is_archive(images):
        return _archive_pieces(images, inside, wnids)
    folders, names = storage.list_folder(images)
    folders = [name for name in folders if not name.startswith(".")]
    tars = [name for name in names if name.lower().endswith(".tar")]
    if tars and not folders:
        chosen = _chosen([name[:-4] for name in tars], wnids, f"tar in {images!r}")
        ending = {name[:-4]: name for name in tars}
        return ["beside tars", *(f"tar {ending[name]}" for name in chosen)], False
    if not folders or folders == ["images"]:
        if any(posixpath.splitext(name)[1].lower() in IMAGE_ENDINGS for name in names):
            return ["flat "], True
        if folders:
            return ["flat images"], True
        raise InputError(
            f"found no class folder in {images!r}, and no image; expected one folder a class, such as n02084071"
        )
    bad = next((name for name in folders if storage.plain_text(name) != name), "")
    if bad and not wnids:
        raise InputError(f"the class folder {storage.plain_text(bad)!r} in {images!r} has no Unicode name")
    chosen = _chosen(folders, wnids, f"folder in {images!r}")
    return ["beside folders", *(f"folder {name}" for name in chosen)], False


def _archive_pieces(images: str, inside: str, wnids: Sequence[str]) -> Pieces:
    """What kind of archive this is, by its first members."""
    within = ((name, place) for name, place in members(images, nested=False) if name.startswith(inside))
    for name, place in islice(within, MEMBERS_LOOKED_AT):
        if name.lower().endswith(".tar"):
            if place.packing:
                raise InputError(f"{images!r} holds tars that it packs itself, such as {name!r}; unpack it once")
            return _inner_tars(images, inside, wnids), False
        inner = name.split("/")
        if posixpath.splitext(inner[-1])[1].lower() in IMAGE_ENDINGS:
            return ["archive"], _class_of(inner) == ""
    return ["archive"], True


def _inner_tars(images: str, inside: str, wnids: Sequence[str]) -> list[str]:
    """Pieces of a tar of tars, by class; a class may have several tars."""
    tars: dict[str, list[str]] = {}
    for name, place in members(images, nested=False):
        if name.startswith(inside) and name.lower().endswith(".tar"):
            label = name.rsplit("/", 1)[-1][:-4]
            tars.setdefault(label, []).append(f"inner {place.offset}+{place.length} {label}")
    return [
        "beside inner",
        *(piece for label in _chosen(sorted(tars), wnids, f"tar in {images!r}") for piece in tars[label]),
    ]


def _chosen(there: Sequence[str], wnids: Sequence[str], what: str) -> list[str]:
    """The classes to take, sorted."""
    missing = [name for name in wnids if name not in set(there)]
    if missing:
        raise InputError(
            f"the list of classes has {len(wnids)}; {len(missing)} have no {what}: {', '.join(missing[:5])}"
        )
    return sorted(wnids or there)


def label_of_piece(piece: str) -> str:
    """The class of all images of a piece, "" where they may have different ones."""
    kind, _, rest = piece.partition(" ")
    if kind == "tar":
        return rest[:-4]
    return rest.partition(" ")[2] if kind == "inner" else rest if kind == "folder" else ""


def bytes_of_piece(images: str, piece: str) -> int:
    """Bytes of a tar that is a piece, 0 for what costs little to look through."""
    kind, _, rest = piece.partition(" ")
    if kind == "tar":
        return storage.size_of(storage.join(images, rest))
    return int(rest.partition(" ")[0].partition("+")[2]) if kind == "inner" else 0


def files_of_piece(images: str, piece: str, *, listing: str, inside: str, folders_are_classes: bool) -> Iterator[File]:
    """The files of a piece, in an order that depends on the files alone.

    Args:
        images, listing, inside: as in `find_pieces`.
        piece: one of those.
        folders_are_classes: whether, in an archive, a folder of any name is a class.
    """
    kind, _, rest = piece.partition(" ")
    if kind == "list":
        yield from _listed(images, listing)
    elif kind == "folder":
        yield from _in_folder(images, rest)
    elif kind == "flat":
        names = storage.list_folder(storage.join(images, rest) if rest else images)[1]
        for name in names:
            yield by_itself(f"{rest}/{name}" if rest else name, [name])
    elif kind == "beside" and rest != "inner":
        for name in storage.list_folder(images)[1]:
            if rest == "folders" or not name.lower().endswith(".tar"):
                yield in_class("", name, [name])
    elif kind == "tar":
        for name, member in members(storage.join(images, rest), nested=False):
            yield in_class(rest[:-4], rest, name.split("/"), member)
    elif kind == "inner":
        place, _, label = rest.partition(" ")
        offset, _, length = place.partition("+")
        for name, member in members(images, Member(int(offset), int(length)), nested=False):
            yield in_class(label, storage.name_of(images), name.split("/"), member)
    else:
        for name, member in members(images, nested=False):
            if name.startswith(inside) and not (kind == "beside" and name.lower().endswith(".tar")):
                yield _member(storage.name_of(images), name, member, kind == "beside", folders_are_classes)


def _member(uri: str, name: str, member: Member, beside: bool, folders_are_classes: bool) -> File:
    inner = name.split("/")
    if beside:
        return in_class("", uri, inner, member)
    label = _class_of(inner)
    if not label and folders_are_classes and len(inner) > 1 and ".." not in inner:
        label = inner[-3] if inner[-2] == "images" and len(inner) > 2 else inner[-2]
    return in_class(label, uri, inner[-1:], member) if label else by_itself(uri, inner, member)


def _class_of(inner: list[str]) -> str:
    """The wnid among the last two folders of a path."""
    return next((part for part in reversed(inner[-3:-1]) if WNID.fullmatch(part)), "") if ".." not in inner else ""


def _listed(images: str, listing: str) -> Iterator[File]:
    """The images of a list such as ImageSets/DET/val.txt: of each line a path, and perhaps a number behind it.

    The whole line is looked up first, since names may hold blanks. A number is one only where it can be no part of the
    name: behind an official name, the number of the line, or the flag of a class list.
    """
    for number, line in enumerate(lines_of(listing, "list of images"), start=1):
        name = line.strip().replace("\\", "/")
        numbered = _NUMBERED.fullmatch(name)
        if numbered and (_OFFICIAL.search(numbered[1]) or int(numbered[2]) in (-1, 0, 1, number)):
            name = name if _is_there(images, name) else numbered[1]
        if not name:
            continue
        if _ELSEWHERE.match(name):  # box files lie as the images do, below their own folder
            with contextlib.suppress(RecordError):
                name = find(images, name, partial(_is_there, images))
        stem, ending = posixpath.splitext(name)
        uri = name if ending.lower() in IMAGE_ENDINGS else f"{name}.JPEG"
        inner = (stem if uri == name else name).split("/")
        label = inner[-2] if len(inner) > 1 and WNID.fullmatch(inner[-2]) else ""
        yield File("/".join(inner[-2:] if label else inner), uri, label, inner[-1])


def _is_there(images: str, name: str) -> bool:
    folder, base = posixpath.split(name)
    return not {base, f"{base}.JPEG"}.isdisjoint(_names_in(storage.join(images, folder)))


@lru_cache(maxsize=8)
def _names_in(folder: str) -> frozenset[str]:
    return frozenset(storage.list_folder(folder)[1])


def _in_folder(images: str, folder: str) -> Iterator[File]:
    """The files of a class folder, sorted. A link to a folder is followed for `images`, not deeper."""
    root = storage.join(images, folder)
    folders, names = storage.list_folder(root)
    paths = [storage.join(folder, name) for name in names]
    if any(not name.startswith(".") for name in folders):
        paths = [storage.join(folder, name) for name in storage.files_below(root)]
        linked = storage.join(folder, "images")
        if "images" in folders and not any(path.startswith(f"{linked}/") for path in paths):
            paths += [storage.join(linked, name) for name in storage.files_below(storage.join(root, "images"))]
    for uri in sorted(paths):
        yield in_class(folder, uri, uri[len(folder) + 1 :].split("/"))


def is_image(file: File) -> bool:
    """Whether a file is a row or a reject, and not ignored."""
    return file.reason != IGNORED
