"""An official annotation file as the truth, after every image, class and box of it was proven to be the dataset's.

Published figures are of a file, a dataset is what became of it. Where both say the same, the file's own numbers may be
compared with: its ids, areas and crowds, and results that are written in its ids.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import fsspec

from detector.dataset import Dataset
from detector.truth import Truth, columns, is_ignored, is_number, looked_for, rank
from schemas.coco import class_ids, file_bbox, id_text
from schemas.errors import FormatError, InputError
from schemas.record import BoxAnnotation, ImageRecord

SHOWN = 3  # differences that a refusal names
Entry = Mapping[str, Any]


class Official(NamedTuple):
    """A file that agrees with a dataset.

    Attributes:
        truth: its boxes.
        images: its image ids as text, to the dataset's image numbers.
        classes: its category ids as text, to the dataset's classes.
    """

    truth: Truth
    images: dict[str, int]
    classes: dict[str, int]


def read_official(path: str, dataset: Dataset, records: Sequence[ImageRecord]) -> Official:
    """The file, if it agrees with the dataset item by item.

    Args:
        path: of COCO instances, the dataset's source or what `wordtree to-coco` writes of it.
        dataset: that is evaluated.
        records: all of it, in order.

    Raises:
        InputError: it cannot be read.
        FormatError: it is no file of instances, or differs from the dataset; with the first differences.
    """
    data = _read(path)
    from_coco = dataset.manifest.source == "coco"
    faults: list[str] = []
    classes = _classes(data["categories"], dataset)
    images, ids = _images(data["images"], records, from_coco, faults)
    of_images: list[list[Entry]] = [[] for _ in records]
    for place, entry in enumerate(data["annotations"]):
        number = images.get(_text(entry, "image_id"), -1)
        if number < 0:
            image = _text(entry, "image_id")
            faults.append(f"{_name(entry, place)} is of image {image!r}, which the dataset does not have")
        else:
            of_images[number].append({**entry, "place": place})
    rows = []
    for number, (record, entries) in enumerate(zip(records, of_images, strict=True)):
        for box, entry in _pairs(record, entries, classes, from_coco, faults):
            _, _, w, h = entry["bbox"]
            area = entry["area"] if is_number(entry.get("area")) else w * h
            rows.append((number, box.class_id, entry["bbox"], area, is_ignored(box), bool(box.is_group_of)))
    if faults:
        told = "; ".join(faults[:SHOWN])
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise FormatError(
            f"--official {path} is not what {dataset.path} holds: {told}{more}. Without --official the dataset's own "
            "boxes are the truth"
        )
    federated = looked_for(records) if dataset.is_federated else None
    return Official(Truth(columns(rows), rank(ids), federated), images, classes)


def _read(path: str) -> dict[str, list[Entry]]:
    try:
        fs, name = fsspec.core.url_to_fs(path)
        data = json.loads(fs.cat_file(name))
    except (OSError, ImportError) as error:
        raise InputError(f"--official {path} cannot be read ({error})") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"--official {path} is no JSON ({error}); expected COCO instances") from error
    for key in ("images", "annotations", "categories"):
        lists = data.get(key) if isinstance(data, dict) else None
        if not isinstance(lists, list) or not all(isinstance(entry, dict) for entry in lists):
            raise FormatError(f"--official {path} has no list `{key}` of objects; expected COCO instances")
    return data


def _text(entry: Entry, key: str) -> str:
    return id_text(entry[key]) if entry.get(key) is not None else ""


def _name(entry: Entry, place: int) -> str:
    return f"annotation {_text(entry, 'id')}" if _text(entry, "id") else f"annotations[{place}]"


def _classes(categories: Sequence[Entry], dataset: Dataset) -> dict[str, int]:
    """Category id to class, where the file calls the class as the dataset does."""
    texts = [_text(entry, "id") for entry in categories]
    labels = {entry.id: entry.label for entry in dataset.manifest.classes}
    return {
        text: klass
        for text, klass, entry in zip(texts, class_ids(texts), categories, strict=True)
        if labels.get(klass) in (entry.get("label"), entry.get("name"))
    }


def _images(
    entries: Sequence[Entry], records: Sequence[ImageRecord], from_coco: bool, faults: list[str]
) -> tuple[dict[str, int], list[Any]]:
    """The file's image ids to numbers, and its id of each record; `to-coco` states an id that is no number apart."""
    numbers = {record.image_id: number for number, record in enumerate(records)}
    images: dict[str, int] = {}
    ids: list[Any] = [record.image_id for record in records]
    seen: set[int] = set()
    for entry in entries:
        text = _text(entry, "id")
        own = text if from_coco or "source_id" not in entry else _text(entry, "source_id")
        number = numbers.get(own, -1)
        if number < 0 or number in seen:
            faults.append(f"image {text!r} {'stands twice' if number in seen else 'is not in the dataset'}")
            continue
        seen.add(number)
        images[text], ids[number] = number, entry["id"]
    faults += [f"image {record.image_id!r} is not in the file" for n, record in enumerate(records) if n not in seen]
    return images, ids


def _pairs(
    record: ImageRecord, entries: list[Entry], classes: Mapping[str, int], from_coco: bool, faults: list[str]
) -> list[tuple[BoxAnnotation, Entry]]:
    """The boxes of an image, each with its annotation: that of its id, or else one that says the same."""
    left = list(entries)
    pairs: list[tuple[BoxAnnotation, Entry]] = []
    for place, box in enumerate(record.boxes):
        own = [entry for entry in left if _text(entry, "id") == box.annotation_id] if from_coco else []
        among = own if box.annotation_id and from_coco else left
        wrong = [_difference(box, entry, record, classes) for entry in among]
        if "" in wrong:
            entry = among[wrong.index("")]
            left.remove(entry)
            pairs.append((box, entry))
            continue
        name = f"box {box.annotation_id or place} of image {record.image_id!r}"
        faults.append(f"{name}: {wrong[0]}" if own else f"{name} is not in the file")
        left = [entry for entry in left if entry not in own]
    faults += [f"{_name(entry, entry['place'])} of image {record.image_id!r} is not in the dataset" for entry in left]
    return pairs


def _difference(box: BoxAnnotation, entry: Entry, record: ImageRecord, classes: Mapping[str, int]) -> str:
    """What of an annotation is not the box; "" if they are the same."""
    bbox = entry.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(is_number, bbox)):
        return f"the file says bbox {bbox!r:.60}"
    if classes.get(_text(entry, "category_id")) != box.class_id:
        return f"the file says category {_text(entry, 'category_id')}, the dataset {box.label!r}"
    if bool(entry.get("iscrowd")) != is_ignored(box):
        return f"the file says iscrowd {entry.get('iscrowd', 0)}, the dataset {int(is_ignored(box))}"
    _, changed = file_bbox(box.box, height=record.height, width=record.width, stated=bbox)
    written, _ = file_bbox(box.box, height=record.height, width=record.width)
    return f"the file says bbox {bbox}, the dataset {written}" if changed and bbox != written else ""
