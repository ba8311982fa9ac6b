"""Contact sheets: what a dataset looks like, with its boxes and labels drawn."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from detector.dataset import Dataset
from detector.draw import DrawnBox, contact_sheet, draw_detections
from schemas.errors import InputError
from schemas.record import ImageRecord


def dataset_sheet(
    dataset: Dataset, *, count: int, wanted: str | None = None, columns: int = 4
) -> tuple[Image.Image, int]:
    """The first `count` images of the shards, which are in random order, as one picture.

    Args:
        dataset: opened.
        count: how many at most.
        wanted: only images with a box or label of this class label or wnid.
        columns: of the sheet.

    Returns:
        The picture and how many images are on it.

    Raises:
        InputError: if no image has the class.
    """
    images: list[Image.Image] = []
    captions: list[str] = []
    for row in range(len(dataset)):
        record = dataset.record(row)
        names = {name for item in (*record.boxes, *record.labels) for name in (item.label, item.wnid)}
        if wanted and wanted not in names:
            continue
        images.append(_drawn(record))
        labels = ", ".join(f"{'' if label.present else 'no '}{label.label}" for label in record.labels)
        captions.append(f"{record.image_id} {labels}".strip())
        if len(images) == count:
            break
    if not images:
        raise InputError(f"{dataset.path} has no image with {wanted!r}" if wanted else f"{dataset.path} has no images")
    return contact_sheet(images, captions, columns=min(columns, len(images))), len(images)


def _drawn(record: ImageRecord) -> Image.Image:
    image = Image.open(BytesIO(record.encoded or b"")).convert("RGB")
    marks = {"is_crowd": "crowd", "is_difficult": "difficult", "is_group_of": "group"}
    boxes = []
    for box in record.boxes:
        flags = [word for name, word in marks.items() if getattr(box, name)]
        boxes.append(DrawnBox(box=box.box, caption=" ".join([box.label, *flags]), colour_key=box.label))
    return draw_detections(image, boxes)
