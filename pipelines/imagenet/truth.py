"""Ground truth of images whose place says no class, in each form in which it is passed around.

    one wnid a line                      in the order of the sorted file names (TFDS's validation_labels.txt)
    one number a line                    ILSVRC2012_validation_ground_truth.txt: ids 1 to 1000 of the development kit,
                                         which are in no order of names or wnids; `--synsets` says which wnid is which
    ImageId,PredictionString             LOC_val_solution.csv, LOC_train_solution.csv: wnid x1 y1 x2 y2, again and again
    NAME WNID [x1 y1 x2 y2]              Tiny ImageNet's val_annotations.txt, and lists that people make

Numbers count pixels as `corners` says, from 0 with both corners inside by default: so they are in the sets that were
looked at (136 boxes of LOC_val_solution.csv: 21 sides at 0, 30 at the last pixel, none past it).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from pipelines.files import storage
from pipelines.files.stated_names import IMAGE_ENDINGS
from pipelines.imagenet.lines import lines_of
from pipelines.imagenet.naming import WNID
from pipelines.rows import BoxRow, Rejected
from pipelines.voc.corners import continuous
from schemas.errors import FormatError, InputError
from schemas.numbers import is_whole, parse_number

_NAME = re.compile(r"(.+?)[\s,]+(?=n\d{8}(?:[\s,]|$))")  # blanks in it included
KAGGLE_HEADER = ["imageid", "predictionstring"]


class Said(NamedTuple):
    """What one line says: name of the image without ending ("" in forms by order), its classes, its boxes."""

    stem: str
    labels: tuple[str, ...]
    boxes: tuple[BoxRow, ...]
    where: str


def is_by_order(path: str) -> bool:
    """Whether the lines of a ground truth belong to images by their order."""
    words = _first(path).split()
    return len(words) == 1 and "," not in words[0]


def states_boxes(path: str) -> bool:
    """Whether a ground truth has boxes, by its first line."""
    first = _first(path)
    return _is_kaggle(first) or len(first.replace(",", " ").split()) == 6


def read_truth(path: str, corners: str, synsets: str = "") -> Iterator[Said | Rejected]:
    """What a ground truth says, line by line; lines that cannot be read are rejected.

    Args:
        path: of the file.
        corners: what the numbers of a box mean.
        synsets: a table of id and wnid, for files of numbers.

    Raises:
        InputError: if a file is missing, or a table that is needed.
        FormatError: if the file is of no known form.
    """
    file = storage.name_of(path)
    first = _first(path)
    words = first.replace(",", " ").split()
    if not words:
        raise InputError(f"ground truth {path!r} is empty")
    lines = ((number, line) for number, line in enumerate(_lines(path), start=1) if line.strip())
    if _is_kaggle(first):
        for number, line in islice(lines, 1, None):
            name, _, text = line.partition(",")
            yield _named(name, text.split(), f"{file}:{number}", corners)
    elif len(words) == 1 and "," not in first:
        table = read_synsets(synsets) if synsets else {}
        for number, line in lines:
            yield Said("", (_wnid_of(line.strip(), table, path, number, synsets),), (), f"{file}:{number}")
    elif any(map(WNID.fullmatch, words[1:])):
        for number, line in lines:
            named = _NAME.match(line.strip())
            name, rest = (named[1], line.strip()[named.end() :]) if named else (line.strip(), "")
            yield _named(name, rest.replace(",", " ").split(), f"{file}:{number}", corners)
    else:
        raise FormatError(
            f"ground truth {path!r} begins with {first[:80]!r}; expected a wnid or an id a line, a name and a wnid, or "
            "the header ImageId,PredictionString. Numbers beside names are counted in several ways: give wnids"
        )


def read_synsets(path: str) -> dict[str, str]:
    """The wnid of each id of the development kit.

    Raises:
        FormatError: if a line is no id and wnid.
    """
    table: dict[str, str] = {}
    for number, line in enumerate(storage.text_of(path, "table of synsets").splitlines(), start=1):
        words = line.replace(",", " ").split()
        if not words or words[0].lower() in ("id", "ilsvrc2012_id"):
            continue
        if len(words) < 2 or not is_whole(words[0]) or not WNID.fullmatch(words[1]):
            raise FormatError(
                f"{path!r} line {number} is {line[:80]!r}; expected an ILSVRC2012_ID and a wnid. The order of a list "
                "of wnids is not that of the ids: take both from meta.mat of the development kit"
            )
        if table.setdefault(str(int(words[0])), words[1]) != words[1]:
            raise FormatError(f"{path!r} line {number}: id {words[0]} stands there a second time, with another wnid")
    return table


def by_stem(
    truth: Iterable[Said | Rejected], stems: Sequence[str], path: str
) -> tuple[dict[str, Said], list[Rejected]]:
    """What a ground truth says of each image, by name; of forms by order, by the order of the sorted names.

    Returns:
        That, and the lines that are rejected: those that cannot be read, and those that name an image again.

    Raises:
        InputError: if a form by order has not one line an image.
    """
    found: list[Said] = []
    rejected: list[Rejected] = []
    for said in truth:
        (found if isinstance(said, Said) else rejected).append(said)  # type: ignore[arg-type]
    if found and not found[0].stem:
        if len(found) != len(stems):
            raise InputError(
                f"ground truth {path!r} has {len(found):,} lines for {len(stems):,} images, and says by their order "
                "which is whose; expected one line an image. Are all images there, and no others?"
            )
        return {stem: said for stem, said in zip(sorted(stems), found, strict=True)}, rejected
    first: dict[str, Said] = {}
    for said in found:
        if first.setdefault(said.stem, said) is not said:
            told = f"{said.stem} a second time; {first[said.stem].where} was taken"
            rejected.append(
                Rejected(
                    kind="label",
                    record=said.where,
                    reason="label:duplicate",
                    found=told,
                    where=said.where,
                    image_id=said.stem,
                )
            )
    return first, rejected


def _lines(path: str) -> Iterator[str]:
    return lines_of(path, "ground truth")


def _first(path: str) -> str:
    return next((line for line in _lines(path) if line.strip()), "")


def _is_kaggle(first: str) -> bool:
    return [word.strip().lower() for word in first.split(",")] == KAGGLE_HEADER


def _named(name: str, words: list[str], where: str, corners: str) -> Said | Rejected:
    stem, ending = posixpath.splitext(name.strip())
    if ending.lower() not in IMAGE_ENDINGS:
        stem = name.strip()
    labels: dict[str, None] = {}
    boxes: list[BoxRow] = []
    try:
        if not stem or not words or (len(words) > 1 and len(words) % 5):
            raise ValueError
        for begin in range(0, len(words), 5):
            label = words[begin]
            if not WNID.fullmatch(label):
                raise ValueError
            labels[label] = None
            if len(words) > 1:
                xmin, ymin, xmax, ymax = map(parse_number, words[begin + 1 : begin + 5])
                sides = continuous(corners, xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax)
                boxes.append(BoxRow(**sides._asdict(), class_key=label, where=f"{where} box {begin // 5 + 1}"))
    except ValueError:
        return Rejected(
            kind="label",
            record=where,
            reason="label:malformed",
            found=f"{' '.join([name, *words])[:200]!r}; expected a name, then a wnid, or wnids and four numbers each",
            where=where,
            image_id=stem,
        )
    return Said(stem, tuple(labels), tuple(boxes), where)


def _wnid_of(word: str, table: dict[str, str], path: str, number: int, synsets: str) -> str:
    if WNID.fullmatch(word):
        return word
    if not is_whole(word):
        raise FormatError(f"ground truth {path!r} line {number} is {word[:80]!r}; expected a wnid or an id")
    if not synsets:
        raise InputError(
            f"ground truth {path!r} gives ids of the development kit (line {number}: {word}); give a table of id and "
            "wnid, one a line, with --synsets FILE: both stand in meta.mat of the development kit"
        )
    wnid = table.get(str(int(word)), "")
    if not wnid:
        raise FormatError(f"ground truth {path!r} line {number} has id {word}, which {synsets!r} does not know")
    return wnid
