"""Contact sheets: what a dataset looks like, with its boxes and labels drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO

from PIL import Image, ImageFont

from detector.dataset import Dataset
from detector.draw import DrawnBox, contact_sheet, draw_detections
from schemas.errors import InputError
from schemas.record import ImageRecord

CELL = 320
CAPTION_ROOM = CELL - 16  # captions side by side must not run together
CAPTION_LETTERS = 15  # as `contact_sheet` writes them
NAMED = 8


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
    names = {entry.label: entry.display_name or entry.label for entry in dataset.manifest.classes}
    labels = _labels_of(dataset, wanted) if wanted else set()
    images: list[Image.Image] = []
    captions: list[str] = []
    for row in range(len(dataset) if labels or not wanted else 0):
        record = dataset.record(row)
        if wanted and not labels & {item.label for item in (*record.boxes, *record.labels)}:
            continue
        images.append(_drawn(record, names))
        words = [f"{'' if label.present else 'no '}{names.get(label.label, label.label)}" for label in record.labels]
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
    """`Border terrier · n02093754_17`; where there is no room, whole words go first, then the start of the id."""
    font = ImageFont.load_default(CAPTION_LETTERS)
    return next(caption for caption in _captions(words.split(), image_id) if font.getlength(caption) <= room)


def _captions(words: list[str], image_id: str) -> Iterator[str]:
    """From the whole caption to none."""
    if words:
        yield f"{' '.join(words)} · {image_id}"
    for kept in range(len(words) - 1, 0, -1):
        yield f"{' '.join(words[:kept]).rstrip(',')} … · {image_id}"
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
    image = Image.open(BytesIO(record.encoded or b"")).convert("RGB")
    marks = {"is_crowd": "crowd", "is_difficult": "difficult", "is_group_of": "group"}
    boxes = []
    for box in record.boxes:
        flags = [word for name, word in marks.items() if getattr(box, name)]
        caption = " ".join([names.get(box.label, box.label), *flags])
        boxes.append(DrawnBox(box=box.box, caption=caption, colour_key=box.label))
    return draw_detections(image, boxes)
