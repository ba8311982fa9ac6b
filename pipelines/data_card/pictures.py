"""The few pictures of a card: samples, images that were rejected or whose boxes were, files that occur twice.

These are the only pixels that the statistics read. A picture that cannot be shown is text that says why: a data card
of a dataset whose sources are gone is still a data card. Nothing is read over http.
"""

from __future__ import annotations

import base64
import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.compute

from pipelines.files import storage
from pipelines.statistics.reject_figures import RejectLine
from pipelines.statistics.results import Statistics
from pipelines.statistics.same_bytes import Place
from schemas.dataset_files import PLACE_COLUMNS, DatasetFiles, RecordPlace, opened_table
from schemas.errors import WordTreeError
from schemas.record import ImageRecord

pc: Any = pyarrow.compute  # its functions are made as it is imported: no type checker knows them

SIDE = 240
SAMPLES = 12
PER_REASON = 4
MOST_REASONS = 24
MOST_BYTES = 24 << 20
MOST_PIXELS = 64_000_000
MOST_BOXES = 60
QUALITY = 80


@dataclass(frozen=True, slots=True)
class Picture:
    """A small picture.

    Attributes:
        src: a data URI, "" where there is none.
        width, height: of the small picture.
        boxes: (ymin, xmin, ymax, xmax, name), relative.
        caption: a line below it.
        note: why there is no picture.
    """

    src: str = ""
    width: int = 0
    height: int = 0
    boxes: tuple[tuple[float, float, float, float, str], ...] = ()
    caption: str = ""
    note: str = ""


@dataclass(frozen=True)
class Pictures:
    """By dataset: samples, and for each reject that is shown its picture. Then the images of repeated files."""

    samples: tuple[tuple[Picture, ...], ...]
    rejects: tuple[Mapping[RejectLine, Picture], ...]
    equal: tuple[tuple[Picture, ...], ...] = field(default=())


def no_pictures(datasets: int) -> Pictures:
    """A card without any."""
    return Pictures(((),) * datasets, ({},) * datasets)


def read_pictures(files: Sequence[DatasetFiles], names: Sequence[str], statistics: Statistics) -> Pictures:
    """Read the pictures of a card; whatever cannot be read is a note in its place."""
    samples = tuple(_samples(one) for one in files)
    rejects = tuple(_rejects(one, found.rejects) for one, found in zip(files, statistics.datasets, strict=True))
    equal = tuple(
        tuple(_at_place(files[place.dataset], names[place.dataset], place) for place in places)
        for _, places in statistics.same_bytes.examples
    )
    return Pictures(samples, rejects, equal)


def small_picture(data: bytes, *, caption: str = "", boxes: Sequence[tuple] = ()) -> Picture:
    """A picture of at most SIDE pixels a side, as stored: without turning by EXIF."""
    from PIL import Image

    try:
        with warnings.catch_warnings(), _as_far_as_it_goes():
            warnings.simplefilter("ignore")
            image = Image.open(BytesIO(data))
            if image.width * image.height > MOST_PIXELS:
                return Picture(caption=caption, note=f"{image.width} x {image.height} pixels: too large to be shown")
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            image.thumbnail((SIDE, SIDE))
            flat = Image.new("RGB", image.size, "white")
            seen_through = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
            clear = image.convert("RGBA") if seen_through else None
            flat.paste(image.convert("RGB") if clear is None else clear, None, clear)
    except Exception as error:  # whatever a damaged file does to a decoder, the card goes on
        told = " ".join(str(error).split()).split(" <")[0]
        return Picture(caption=caption, note=f"cannot be shown: {told[:80] or type(error).__name__}")
    buffer = BytesIO()
    flat.save(buffer, "JPEG", quality=QUALITY)
    src = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Picture(src, flat.width, flat.height, tuple(boxes[:MOST_BOXES]), caption)


@contextlib.contextmanager
def _as_far_as_it_goes() -> Iterator[None]:
    """Let Pillow show the part of a cut file that is there."""
    from PIL import ImageFile

    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def record_picture(record: ImageRecord, names: Mapping[str, str], caption: str = "") -> Picture:
    """The picture of a record with its boxes; the caption tells the image's labels."""
    called = [names.get(box.label, box.label) for box in record.boxes]
    sides = [[round(float(side), 4) for side in box.box] for box in record.boxes]
    boxes = [(*four, name) for four, name in zip(sides, called, strict=True)]
    said = [("" if label.present else "no ") + names.get(label.label, label.label) for label in record.labels]
    caption = caption or ", ".join(said[:6]) or ", ".join(dict.fromkeys(called))
    return small_picture(record.encoded or b"", caption=caption, boxes=boxes)


def _samples(files: DatasetFiles) -> tuple[Picture, ...]:
    """The first images of the index, which are in random order."""
    if not files.manifest.shards:  # rows only
        return ()
    return tuple(_of_record(files, place) for place in _places(files, None, SAMPLES).values())


def _rejects(files: DatasetFiles, reasons: Sequence[Any]) -> dict[RejectLine, Picture]:
    lines = [line for reason in reasons[:MOST_REASONS] for line in reason.examples[:PER_REASON]]
    spoken_of = {line.image_id for line in lines if line.kind != "image" and line.image_id}
    written = _places(files, spoken_of) if files.manifest.shards else {}
    shown: dict[RejectLine, Picture] = {}
    for line in lines:
        if line.kind != "image" and line.image_id in written:
            shown[line] = _of_record(files, written[line.image_id], line.image_id)
        elif line.kind == "image":
            shown[line] = _file_picture(files, line)
    return shown


def _file_picture(files: DatasetFiles, line: RejectLine) -> Picture:
    """The file of a rejected image, if it still lies where the conversion found it."""
    for path in candidate_paths(line.where, files.manifest.options):
        try:
            size = storage.size_of(path)
            if 0 < size <= MOST_BYTES:
                return small_picture(storage.read_bytes(path), caption=line.where)
            if size >= 0:
                return Picture(note="an empty file" if not size else f"{size:,} bytes: too large to be shown")
        except (OSError, ValueError, WordTreeError):
            continue
    return Picture(note="the file is not there")


def candidate_paths(where: str, options: Mapping[str, Any]) -> list[str]:
    """Where the file of a rejected image may lie: at `where`, or below a folder that the conversion was given."""
    if not where or "\0" in where or where.startswith(("http://", "https://")):
        return []
    absolute = where.startswith("/") or storage.is_remote(where)
    if absolute:
        return [where]
    if ".." in where.split("/"):
        return []
    folders = [value for value in options.values() if isinstance(value, str) and value]
    roots = [folder for folder in folders if not folder.startswith(("http://", "https://"))]
    return [storage.join(folder, where) for folder in roots if storage.is_remote(folder) or storage.is_folder(folder)]


def _at_place(files: DatasetFiles, name: str, place: Place) -> Picture:
    try:
        with opened_table(files.table_path("index")) as file:
            row, group = place.row, 0
            while row >= (size := file.metadata.row_group(group).num_rows):
                row, group = row - size, group + 1
            table = file.read_row_group(group, columns=list(PLACE_COLUMNS))
    except WordTreeError as error:
        return Picture(note=str(error))
    place_of = RecordPlace(**table.slice(row, 1).to_pylist()[0])
    return _of_record(files, place_of, f"{name}: {place_of.image_id}")


def _of_record(files: DatasetFiles, place: RecordPlace, caption: str = "") -> Picture:
    """The picture of a record, or why there is none."""
    try:
        return record_picture(files.read(place), {entry.label: entry.name for entry in files.manifest.classes}, caption)
    except (WordTreeError, OSError) as error:
        return Picture(caption=caption or place.image_id, note=str(error))


def _places(files: DatasetFiles, wanted: set[str] | None, most: int = 1 << 30) -> dict[str, RecordPlace]:
    """Where the records of some images lie, by image id; of any images if none are named."""
    found: dict[str, RecordPlace] = {}
    if wanted is not None and not wanted:
        return found
    for batch in files.batches("index", PLACE_COLUMNS):
        if wanted is not None:
            batch = batch.filter(pc.is_in(batch["image_id"], value_set=pa.array(sorted(wanted), pa.string())))
        for row in batch.slice(0, most - len(found)).to_pylist():
            found[row["image_id"]] = RecordPlace(**row)
        if len(found) >= (most if wanted is None else len(wanted)):
            break
    return found
