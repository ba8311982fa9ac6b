"""All that is said about one image of Open Images, put together: rows of several files and of the folder.

Rows are of four kinds: where the image lies (an `ImageRow` without provenance), its row in a list of images (one
without uri), and `Statements` of boxes, of labels and of masks. Which images there are:

    with a list of images       those of the list
    without                     those that a CSV file names, and those in the folder
    `only_found`                of these, only those whose file is there; statements about others are left out

A mask goes to the box of its class with the same corners, up to the rounding of the files; one without a box is a box
of its own.

    the same box twice                       reject `box:duplicate`
    a second mask of a box                   reject `box:duplicate_mask`
    the same label of a source twice         the highest confidence stays, reject `label:duplicate`
    a second row of an image in one list     reject `image:duplicate_id`
    a second file of an image                reject `image:duplicate_id`
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from pipelines.open_images.parsing import merged_extra
from pipelines.open_images.spreading import spread_boxes, spread_labels
from pipelines.rows import (
    BoxRow,
    ImageRow,
    LabelRow,
    Rejected,
    Row,
    Statements,
    rejected_box,
    rejected_image,
    rejected_label,
)
from wordtree.expansion import Ancestry

NEAR = 1e-5  # of a side: boxes and masks files state the same corners with six digits, more or less


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides about images.

    Attributes:
        listed: whether a list of images was given.
        only_found: whether images without a file are left out.
        background: whether people looked for boxes in every image, also those without one.
        ancestry: the classes above and below each, if labels are to be spread.
    """

    listed: bool = False
    only_found: bool = False
    background: bool = False
    ancestry: Ancestry | None = None


def join_image(image_id: str, rows: Iterable[Row], rules: Rules) -> Iterator[Row]:
    """The rows of one image as at most one `ImageRow`, and what is rejected."""
    places: list[ImageRow] = []
    lists: list[ImageRow] = []
    said: list[Statements] = []
    rejected: list[Rejected] = []
    for row in rows:
        if isinstance(row, Rejected):
            rejected.append(row)
        elif isinstance(row, Statements):
            said.append(row)
        else:
            (places if row.uri else lists).append(row)
    if rules.only_found and not places:
        return
    yield from rejected
    if rules.listed and not lists:
        yield from said  # the image is in no list: `pipelines.joining` says so
        return
    if not (places or lists or said):
        return
    places.sort(key=lambda row: (row.uri, row.member.offset if row.member else 0))
    place = places[0] if places else ImageRow(image_id=image_id, uri=f"{image_id}.jpg", has_boxes=False)
    for other in places[1:]:
        yield rejected_image(other, "image:duplicate_id", f"a second file; {place.uri} was taken")
    listed: ImageRow | None = None
    seen: set[str] = set()
    for row in lists:
        if row.provenance in seen:
            found = f"image id {image_id} a second time in {row.filename}"
            yield replace(rejected_image(row, "image:duplicate_id", found), where=row.filename)
        elif listed is None:
            listed = row
        else:
            rotation = row.rotation if listed.rotation is None else listed.rotation
            listed = replace(listed, rotation=rotation, extra=merged_extra(listed.extra, row.extra))
        seen.add(row.provenance)
    boxes: list[BoxRow] = []
    labels: list[LabelRow] = []
    yield from _boxes(image_id, said, boxes)
    yield from _labels(image_id, said, labels)
    if rules.ancestry is not None:
        boxes, labels = spread_boxes(boxes, rules.ancestry), spread_labels(labels, rules.ancestry)
    yield replace(
        place,
        height=1,
        width=1,
        has_boxes=rules.background or any(row.boxes_sought for row in said),
        boxes=tuple(boxes),
        labels=tuple(labels),
        provenance=listed.provenance if listed else said[0].provenance if said else "",
        rotation=listed.rotation if listed else None,
        extra=listed.extra if listed else "",
    )


def _boxes(image_id: str, said: list[Statements], kept: list[BoxRow]) -> Iterator[Rejected]:
    """Boxes that stay go to `kept`, each with its mask."""
    row = Statements(image_id=image_id)
    seen: set[BoxRow] = set()
    masks: list[BoxRow] = []
    for number, box in enumerate((box for part in said for box in part.boxes), start=1):
        if box.mask_uri:
            masks.append(box)
            continue
        bare = replace(box, where="")
        if bare in seen:
            yield rejected_box(row, box, number, "box:duplicate", f"{_corners(box)} a second time")
        else:
            seen.add(bare)
            kept.append(box)
    taken: set[str] = set()
    for order, mask in enumerate(masks, start=len(seen) + 1):
        if mask.mask_uri in taken:
            yield rejected_box(row, mask, order, "box:duplicate", f"mask {mask.mask_uri} a second time")
            continue
        taken.add(mask.mask_uri)
        near = [(_distance(box, mask), bool(box.mask_uri), number) for number, box in enumerate(kept)]
        near = [found for found in near if found[0] <= NEAR]
        free = min((found for found in near if not found[1]), default=None)
        if free is not None:
            box = kept[free[2]]
            kept[free[2]] = replace(box, mask_uri=mask.mask_uri, extra=merged_extra(box.extra, mask.extra))
        elif near:
            other = kept[min(near)[2]].mask_uri
            yield rejected_box(row, mask, order, "box:duplicate_mask", f"mask {mask.mask_uri}; the box has {other}")
        else:
            kept.append(mask)


def _distance(box: BoxRow, other: BoxRow) -> float:
    """The largest difference of a corner; NaN, and so not near, where a corner is none."""
    if box.class_key != other.class_key:
        return 2.0
    return max(
        abs(box.ymin - other.ymin),
        abs(box.xmin - other.xmin),
        abs(box.ymax - other.ymax),
        abs(box.xmax - other.xmax),
    )


def _labels(image_id: str, said: list[Statements], kept: list[LabelRow]) -> Iterator[Rejected]:
    """Labels that stay go to `kept`, in the order of the files."""
    row = Statements(image_id=image_id)
    best: dict[tuple[str, str, bool], LabelRow] = {}
    for number, label in enumerate((label for part in said for label in part.labels), start=1):
        key = (label.class_key, label.source, label.present)
        other = best.setdefault(key, label)
        if other is label:
            continue
        worse = label
        if label.confidence > other.confidence:
            best[key], worse = label, other
        found = f"{label.class_key} of {label.source or 'people'} a second time; confidence {worse.confidence:g}"
        yield rejected_label(row, worse, number, "label:duplicate", found)
    kept.extend(best.values())


def _corners(box: BoxRow) -> str:
    return f"{box.class_key} x {box.xmin:g} to {box.xmax:g}, y {box.ymin:g} to {box.ymax:g}"
