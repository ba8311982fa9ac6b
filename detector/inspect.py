"""Contact sheets: what a dataset looks like, with its boxes, masks, keypoints, parts and labels drawn.

Pictures and boxes are shown as they are stored. A picture that cannot be decoded is a grey field.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

from detector.dataset import Dataset
from detector.draw import DrawnBox, contact_sheet, draw_detections, tint_masks
from schemas.errors import InputError, RecordError
from schemas.masks import segmentation_mask, transform_segmentation
from schemas.record import BoxAnnotation, ImageLabel, ImageRecord

CELL = 320
MOST_SIDE = 2048  # a larger picture would be held, and drawn on, at a size that nobody sees
CAPTION_ROOM = CELL - 16  # captions side by side must not run together
CAPTION_LETTERS = 15  # as `contact_sheet` writes them
NAMED = 8
DAMAGED = (128, 128, 128)
MARKS = {
    "is_crowd": "crowd",
    "is_difficult": "difficult",
    "is_group_of": "group",
    "is_depiction": "depiction",
    "is_inside": "inside",
}


def dataset_sheet(
    dataset: Dataset, *, count: int, wanted: str | None = None, columns: int = 4
) -> tuple[Image.Image, int]:
    """The first `count` images of the shards, which are in random order, as one picture.

    Args:
        dataset: opened.
        count: how many at most.
        wanted: only images with a box or label of this class: its label, wnid or display name, in any case.
        columns: of the sheet.

    Returns:
        The picture and how many images are on it.

    Raises:
        InputError: if no image has the class.
    """
    names = {entry.label: entry.name for entry in dataset.manifest.classes}
    labels = _labels_of(dataset, wanted) if wanted else set()
    images: list[Image.Image] = []
    captions: list[str] = []
    for row in range(len(dataset) if labels or not wanted else 0):
        record = dataset.record(row)
        if wanted and not labels & {item.label for item in (*record.boxes, *record.labels)}:
            continue
        images.append(_drawn(record, names))
        words = [label_words(label, names) for label in record.labels] or [text for text, _ in record.captions[:1]]
        folder, _, file = record.image_id.rpartition("/")
        named = folder in {label.label for label in record.labels}  # as in ImageNet
        captions.append(fitted_caption(", ".join(words), file if named else record.image_id))
        if len(images) == count:
            break
    if not images and wanted:
        raise InputError(f"{dataset.path} has no image with {wanted!r}; it has {_some(list(names.values()))}")
    if not images:
        raise InputError(f"{dataset.path} has no images")
    return contact_sheet(images, captions, columns=min(columns, len(images)), cell=CELL), len(images)


def fitted_caption(words: str, image_id: str, room: float = CAPTION_ROOM) -> str:
    """The labels and, on a line of its own, the file. Of labels the last words go first, of the file its start."""
    font = ImageFont.load_default(CAPTION_LETTERS)
    said, file = (
        next(text for text in shorter if font.getlength(text) <= room) for shorter in (_said(words), _file(image_id))
    )
    return f"{said}\n{file}" if words else file


def _said(words: str) -> Iterator[str]:
    """From all words to none; of a single word from all letters to none."""
    words = " ".join(words.split())
    yield words
    kept = words.split(" ")
    for number in range(len(kept) - 1, 0, -1):
        yield f"{' '.join(kept[:number]).rstrip(',')} …"
    for number in range(len(kept[0]) - 1, -1, -1):
        yield f"{kept[0][:number]}…"


def _file(image_id: str) -> Iterator[str]:
    """From the whole name to none."""
    yield image_id
    for start in range(1, len(image_id)):
        yield f"…{image_id[start:]}"
    yield ""


def _labels_of(dataset: Dataset, wanted: str) -> set[str]:
    """The dataset's own labels of the classes that are called so."""
    key = wanted.casefold()
    return {
        entry.label
        for entry in dataset.manifest.classes
        if key in (name.casefold() for name in (entry.label, entry.wnid, entry.display_name))
    }


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (", ".join(names[:NAMED]) or "no classes") + more


def _drawn(record: ImageRecord, names: Mapping[str, str]) -> Image.Image:
    image = decoded(record)
    boxes, parts, masks = [], [], []
    for box in record.boxes:
        flags = [word for name, word in MARKS.items() if getattr(box, name)]
        caption = " ".join([names.get(box.label, box.label), *flags])
        points = tuple((point.y, point.x) for point in box.keypoints if point.visibility)
        boxes.append(DrawnBox(box=box.box, caption=caption, colour_key=box.label, points=points))
        parts += [DrawnBox(box=part.box, caption=part.name, colour_key=box.label) for part in box.parts]
        mask = mask_of(box, image.height, image.width, (record.height, record.width))
        if mask is not None:
            masks.append((mask, box.label))
    return draw_detections(tint_masks(image, masks) if masks else image, boxes, truths=parts)


def label_words(label: ImageLabel, names: Mapping[str, str]) -> str:
    """`dog`, `no dog` where it is verified to be absent, `dog 0.62` where it is not sure."""
    sure = "" if label.confidence >= 1 or not label.present else f" {label.confidence:.2f}"
    return f"{'' if label.present else 'no '}{names.get(label.label, label.label)}{sure}"


def decoded(record: ImageRecord) -> Image.Image:
    """The picture as RGB: 16 bits are scaled to 8, of an animation the first frame; a grey field if it is damaged.

    One of more than MOST_SIDE pixels a side is shrunk by a whole number, before anything else is made of it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the conversion has checked its size
            image = _shrunk(Image.open(BytesIO(record.encoded or b"")))
        if image.mode.startswith("I") or image.mode == "F":
            deep = np.asarray(image, np.float64)
            image = Image.fromarray((deep * (255 / max(deep.max(), 1))).round().clip(0, 255).astype(np.uint8))
        return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Image.new("RGB", (max(record.width, 1), max(record.height, 1)), DAMAGED)


def _shrunk(image: Image.Image) -> Image.Image:
    factor = max(image.size) // MOST_SIDE
    if factor > 1:
        image.draft("RGB", (image.width // factor, image.height // factor))  # a JPEG, while it is decoded
        factor = max(image.size) // MOST_SIDE
    if factor < 2:
        return image
    if image.mode in ("1", "P") or image.mode.startswith("I;"):  # no pixels between others
        return image.resize((image.width // factor, image.height // factor), Image.Resampling.NEAREST)
    return image.reduce(factor)


def mask_of(
    box: BoxAnnotation, height: int, width: int, size: tuple[int, int] | None = None
) -> NDArray[np.uint8] | None:
    """The pixels of a box's mask, u8[height, width]; None if it has none, or none that fits.

    Args:
        box: with its mask as a PNG, or as text in pixels of the image.
        height, width: wanted.
        size: (height, width) of the image, where that is another.
    """
    if box.mask:
        try:
            small = np.asarray(Image.open(BytesIO(box.mask)).convert("L"))
        except (OSError, ValueError):
            return None
        filled = Image.fromarray(np.where(small > 0, 255, 0).astype(np.uint8))
        return np.asarray(filled.resize((width, height), Image.Resampling.NEAREST))
    if not box.segmentation:
        return None
    try:
        text = transform_segmentation(box.segmentation, size, (height, width)) if size else box.segmentation
        return segmentation_mask(text, height, width)
    except RecordError:
        return None
