"""A file of COCO results: detections by image, category, box in pixels and score, whoever made them.

What the file calls an image or a class need not be in the dataset: such detections are counted, and score nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from detector.metrics.columns import Found
from schemas.coco import id_text
from schemas.errors import FormatError, InputError
from schemas.numbers import parse_number
from schemas.record import ImageRecord

KEYS = ("image_id", "category_id", "bbox", "score")
EXPECTED = "expected image_id, category_id, bbox (x, y, w, h) and score"


class Results(NamedTuple):
    """The entries of a file, as they stand there.

    Attributes:
        image: number of each entry's image; -1 where the dataset does not have it.
        category: its category id as text.
        xywh, score: of each entry.
        stranger: what the first unknown image is called.
    """

    image: list[int]
    category: list[str]
    xywh: list[list[float]]
    score: list[float]
    stranger: str

    def found(self, classes: Mapping[str, int]) -> Found:
        """Detections on images of the dataset, of categories that are classes."""
        image, score = np.array(self.image, np.int64), np.array(self.score, np.float64)
        klass = np.array([classes.get(text, -1) for text in self.category], np.int64)
        found = Found(image, klass, np.array(self.xywh, np.float64).reshape(-1, 4), score)
        return found.take((image >= 0) & (klass >= 0))


def image_names(records: Sequence[ImageRecord]) -> dict[str, int]:
    """What a file of detections may call an image, to its number: the dataset's id, or the name of its file.

    A name that two images have is left out. Of a path, as `photos/img_7.jpg`, the last part counts.
    """
    names: dict[str, int] = {}
    twice: set[str] = set()
    for number, record in enumerate(records):
        name = PurePosixPath(record.filename).name
        if names.setdefault(name, number) != number:
            twice.add(name)
    for name in twice | {""}:
        names.pop(name, None)
    return names | {record.image_id: number for number, record in enumerate(records)}


def read_results(path: Path, numbers: Mapping[str, int], categories: Collection[str] = ()) -> Results:
    """The entries of a JSON file.

    Args:
        path: of the file.
        numbers: image id or file name, as text, to number.
        categories: ids of categories as text, for files that use others than whole numbers.

    Raises:
        InputError: it cannot be read.
        FormatError: it is no list of results, or none of its images is in the dataset.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--detections {path} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"--detections {path} is not JSON ({error}); expected a list of COCO results") from error
    if not isinstance(rows, list):
        raise FormatError(
            f"--detections {path} holds no list; expected COCO results: image_id, category_id, bbox, score"
        )
    results = Results([], [], [], [], "")
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise FormatError(f"--detections {path}, entry {place}: found {row!r:.80}; {EXPECTED}")
        if missing := [key for key in KEYS if key not in row]:
            raise FormatError(f"--detections {path}, entry {place}: no {', '.join(missing)} in {row!r:.80}; {EXPECTED}")
        try:
            if not isinstance(row["bbox"], list):
                raise TypeError("bbox")
            box = [_number(value) for value in row["bbox"]]
            score, category, name = _number(row["score"]), _category(row["category_id"], categories), row["image_id"]
            name = str(id_text(name))
            sound = len(box) == 4 and bool(np.isfinite([*box, score]).all()) and min(box[2:]) >= 0
        except (TypeError, ValueError, OverflowError) as error:
            found = ", ".join(f"{key} {row[key]!r:.60}" for key in KEYS)
            raise FormatError(f"--detections {path}, entry {place}: {found}; {EXPECTED}") from error
        if not sound:
            raise FormatError(
                f"--detections {path}, entry {place}: bbox {row['bbox']!r:.80}, score {row['score']!r:.40}; "
                "expected four numbers, width and height of at least 0, and a score"
            )
        number = numbers.get(name, numbers.get(PurePosixPath(name).name, -1))
        results.image.append(number)
        results.category.append(category)
        results.xywh.append(box)
        results.score.append(score)
        if number < 0 and not results.stranger:
            results = results._replace(stranger=f"entry {place}: image_id {name!r}")
    if rows and max(results.image) < 0:
        known = next(iter(numbers), "none")
        raise FormatError(
            f"--detections {path}, {results.stranger} is not in the dataset, nor is any other of the file; the dataset "
            f"has {known!r} and {len(numbers) - 1} more names; give the one that was detected on"
        )
    return results


def _number(given: Any) -> float:
    return parse_number(given) if isinstance(given, str) else float(given)


def _category(given: int | float | str, known: Collection[str]) -> str:
    """A category id as text.

    Raises:
        ValueError, TypeError, OverflowError: it is no whole number, nor known.
    """
    text = id_text(given)
    if text in known or (isinstance(given, str) and not all(each.isdecimal() for each in known)):
        return text
    number = int(_number(given))
    if number != _number(given) or not -(2**31) <= number < 2**31:
        raise ValueError(f"category_id {given!r:.40}")
    return str(number)
