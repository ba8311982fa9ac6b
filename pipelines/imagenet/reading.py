"""From files, box files and ground truth to rows.

    class by folder, tar or file name    label with source `folder` or `file_name`
    class by ground truth                label with source `ground_truth`
    box file, or boxes in the truth      boxes; `has_boxes` is true for these images alone
    none of them                         reject `image:no_label`, unless such images are wanted

A box file that cannot be read costs the boxes and not the image. Box files and lines of truth that belong to no image
become statements, and are rejected where all rows of their image would meet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from pipelines.files import storage
from pipelines.imagenet.boxes import Boxes, BoxFiles, parse_boxes
from pipelines.imagenet.naming import FOUND, IGNORED, File, label_of_name
from pipelines.imagenet.truth import Said
from pipelines.rows import BoxRow, ImageRow, LabelRow, Rejected, Row, Statements
from pipelines.voc.files import NO_ANNOTATION, read_files
from schemas.errors import RecordError

AT_ONCE = 256  # files whose box files are read together


def rows_of(
    files: Iterable[File],
    *,
    boxes: BoxFiles | None = None,
    truth: dict[str, Said] | None = None,
    wnids: frozenset[str] = frozenset(),
    unlabelled: bool = False,
    one_class: bool = False,
    passed: Counter[str] | None = None,
) -> Iterator[Row]:
    """The rows of a piece.

    Args:
        files: of the piece.
        boxes: its box files.
        truth: what the ground truth says, by name without ending; what is used is taken out.
        wnids: classes to take where images lie flat; all if empty.
        unlabelled: whether images of which nothing is known are wanted.
        one_class: whether all files are of one class, so that repeated names can be told here.
        passed: counts what becomes no row: "ignored" files, and images of "other classes".
    """
    passed = Counter() if passed is None else passed
    seen: set[str] = set()
    stream = iter(files)
    while chunk := list(islice(stream, AT_ONCE)):
        for file, said, found in _with_boxes(chunk, boxes, truth):
            if file.reason == IGNORED:
                passed["ignored"] += 1
                continue
            reason = file.reason
            why = FOUND.get(reason, "")
            if not reason and one_class and file.image_id in seen:
                reason, why = "image:duplicate_id", "another file of this name has a different ending"
            if reason:
                yield _refused(file, reason, why)
                continue
            if one_class:
                seen.add(file.image_id)
            labels = _labels(file, said)
            if wnids and labels and not wnids & {label.class_key for label in labels}:
                passed["of other classes"] += 1
                continue
            yield from found.rejected
            row = _row(file, said, found, labels)
            if not labels and not row.has_boxes and not unlabelled:
                yield _refused(file, "image:no_label", "its folder, its name and the ground truth say no class")
            else:
                yield row
    if boxes is not None:
        yield from boxes.faults()
        yield from _without_image(boxes)
    for stem, said in sorted((truth or {}).items()):
        if not wnids or wnids & set(said.labels):
            yield _statement(stem, said, said.labels)


def statements_of(truth: Iterable[Said | Rejected], wnids: frozenset[str]) -> Iterator[Row]:
    """What a ground truth says of images in class folders, whose ids and labels come from there."""
    for said in truth:
        if isinstance(said, Rejected):
            yield said
            continue
        label = label_of_name(said.stem) or said.labels[0]
        if not wnids or label in wnids:
            yield _statement(f"{label}/{said.stem}", said, tuple(found for found in said.labels if found != label))


def _statement(image_id: str, said: Said, labels: tuple[str, ...]) -> Statements:
    return Statements(
        image_id=image_id,
        boxes=said.boxes,
        labels=tuple(LabelRow(class_key=label, source="ground_truth", where=said.where) for label in labels),
        boxes_sought=True if said.boxes else None,
        provenance=said.where.rpartition(":")[0],
    )


def _with_boxes(
    chunk: list[File], boxes: BoxFiles | None, truth: dict[str, Said] | None
) -> Iterator[tuple[File, Said | None, Boxes]]:
    """Each file with its line of truth and the contents of its box file."""
    paths = ["" if boxes is None or file.reason else boxes.path_of(file) for file in chunk]
    contents = read_files((path for path in paths if path), "" if boxes is None else boxes.folder)
    for file, path in zip(chunk, paths, strict=True):
        said = truth.pop(file.stem, None) if truth is not None and not file.reason else None
        found = Boxes(None)
        if boxes is not None and path:
            data = next(contents)
            if not (isinstance(data, RecordError) and data.reason == NO_ANNOTATION):
                found = parse_boxes(data, path, file.image_id, boxes.corners)
        if boxes is not None and not file.reason:
            table = boxes.table_of(file)
            if table is not None and found.row is None:
                row = ImageRow(
                    image_id=file.image_id, uri="", has_boxes=True, boxes=tuple(table), provenance=file.label
                )
                found = Boxes(row, found.rejected)
        yield file, said, found


def _labels(file: File, said: Said | None) -> tuple[LabelRow, ...]:
    labels: list[LabelRow] = []
    if file.label:
        labels.append(LabelRow(class_key=file.label, source="file_name" if file.by_name else "folder"))
    if said is not None:
        labels += (
            LabelRow(class_key=label, source="ground_truth", where=said.where)
            for label in said.labels
            if label != file.label
        )
    return tuple(labels)


def _row(file: File, said: Said | None, found: Boxes, labels: tuple[LabelRow, ...]) -> ImageRow:
    stated = found.row
    boxes: tuple[BoxRow, ...] = (*(said.boxes if said else ()), *(stated.boxes if stated else ()))
    provenance = stated.provenance if stated else said.where.rpartition(":")[0] if said else file.label
    return ImageRow(
        image_id=file.image_id,
        uri=file.uri,
        member=file.member,
        filename=file.filename.rsplit("/", 1)[-1],
        height=stated.height if stated else 0,
        width=stated.width if stated else 0,
        has_boxes=stated is not None or bool(said and said.boxes),
        boxes=boxes,
        labels=labels,
        provenance=provenance,
        extra=stated.extra if stated else "",
    )


def _refused(file: File, reason: str, why: str) -> Rejected:
    where = storage.plain_text(file.image_id if file.member and reason in FOUND else file.uri)
    return Rejected(
        kind="image", record=file.image_id, reason=reason, found=f"{where}: {why}", where=where, image_id=file.image_id
    )


def _without_image(files: BoxFiles) -> Iterator[Row]:
    """Statements of the box files that no image asked for."""
    for label, stem, found in files.left():
        name = storage.plain_text(f"{label}/{stem}" if label else stem)
        if isinstance(found, list):
            yield Statements(image_id=name, boxes=tuple(found), boxes_sought=True, provenance=f"{label}_boxes.txt")
            continue
        try:
            data: bytes | RecordError = storage.read_item(found)
        except RecordError as error:
            data = error
        parsed = parse_boxes(data, found, name, files.corners)
        yield from parsed.rejected
        if parsed.row is not None:
            row = parsed.row
            yield Statements(image_id=name, boxes=row.boxes, boxes_sought=True, provenance=row.provenance)
