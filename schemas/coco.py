"""What COCO's files and the datasets made from them, or written as them, agree on: ids, and the numbers of a box.

`wordtree to-coco` writes by these rules and the evaluation compares by them, so that a dataset and its COCO file give
the same figures.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from schemas.boxes import Box, box_to_coco_xywh

Id = int | float | str
IGNORED = ("is_crowd", "is_group_of", "is_difficult")  # such boxes are neither hits nor misses: COCO's `iscrowd`
DIGITS = 3  # of pixels, where the exact numbers are not known: float32 keeps no more of them
SAME = 3e-6  # of a side: boxes that differ less are the same but for rounding
_WHOLE = re.compile(r"0|-?[1-9]\d{0,18}")


def id_text(number: Id) -> str:
    """Ids as text: 900100184613.0 and 900100184613 are the same id."""
    if type(number) is float and number.is_integer():
        number = int(number)
    return str(number)


def usual_id(text: str) -> int | str:
    """The id that stands in most files for this text: a whole number where it can be one.

    Law: `id_text(usual_id(text))` is text.
    """
    return int(text) if _WHOLE.fullmatch(text) else text


def class_ids(texts: Sequence[str]) -> list[int]:
    """Ids of the classes that a file calls so: its own where all are whole numbers from 1, else 1, 2, ... in order."""
    numbers = [int(text) if text.isascii() and text.isdecimal() else 0 for text in texts]
    return numbers if min(numbers, default=1) >= 1 else list(range(1, len(numbers) + 1))


def are_numbered(image_ids: Iterable[str], *, from_coco: bool) -> bool:
    """Whether a COCO file of a dataset calls its images 1, 2, ... in order: ids of other formats are no numbers."""
    return not from_coco and not all(isinstance(usual_id(text), int) for text in image_ids)


def file_bbox(box: Box, *, height: int, width: int, stated: Sequence[float] = ()) -> tuple[Sequence[float], bool]:
    """[x, y, width, height] of a written box in pixels of the stored image, and whether they are not the stated ones.

    The source's exact numbers hold as long as the written box is theirs, clipped to the image or not.

    Args:
        box: `rel_yxyx`, as it was written.
        height, width: of the stored image.
        stated: [x, y, width, height] of the source; () where it is not known.
    """
    if len(stated) == 4 and _is_same_box(box, height, width, stated):
        return stated, False
    return [round(number, DIGITS) for number in box_to_coco_xywh(box, height=height, width=width)], True


def _is_same_box(box: Box, height: int, width: int, bbox: Sequence[float]) -> bool:
    if not height or not width:
        return False
    x, y, w, h = bbox
    stated = (y / height, x / width, (y + h) / height, (x + w) / width)
    return all(
        math.isfinite(value) and (abs(side - value) <= SAME or abs(side - min(max(value, 0), 1)) <= SAME)
        for side, value in zip(box, stated, strict=True)
    )
