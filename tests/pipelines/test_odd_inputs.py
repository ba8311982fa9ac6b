"""The matrix of odd inputs: each has its documented outcome, item by item, and none ends the run.

Every case is a COCO dataset of one odd thing between two good images. The table in docs/odd-inputs.md holds the same
cases; the last test compares the two.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from schemas.boxes import Box

DOC = Path(__file__).resolve().parents[2] / "docs" / "odd-inputs.md"
WHOLE = (0, 0, 8, 6)  # of the 8 x 6 images that the maker writes, as COCO states it
QUARTER = Box(0, 0, 0.5, 0.5)


@dataclass
class Case:
    """One odd thing.

    Attributes:
        make: adds image 2 and what belongs to it to a maker.
        boxes: of image 2 as they are written; None if it is not written.
        rejected: (record, reason) of every line of rejects.jsonl.
        repairs: (record, reason, action) of every line of repairs.jsonl.
        words: more words of the command line.
        check: looks at the record of image 2, for what boxes do not show.
    """

    make: Callable[[Any], object]
    boxes: list[Box] | None = field(default_factory=lambda: [QUARTER])
    rejected: list[tuple[str, str]] = field(default_factory=list)
    repairs: list[tuple[str, str, str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    check: Callable[[Any], bool] = lambda record: True


def saved(kind: str, mode: str = "RGB", size: tuple[int, int] = (8, 6), **options: Any) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(np.full(size[::-1], 40_000, np.uint16)) if mode == "16" else Image.new(mode, size)
    image.save(out, kind, **options)
    return out.getvalue()


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    return made


def two_frames(kind: str) -> bytes:
    return saved(kind, save_all=True, append_images=[Image.new("RGB", (8, 6), "red")])


def bomb() -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + b"\0\0\0\0IEND\0\0\0\0"
    )


def box(bbox: object = (0, 0, 4, 3), **fields: Any) -> Callable[[Any], object]:
    """Image 2 with this box, whose annotation id is 900 unless it says otherwise."""
    return lambda maker: (maker.image(2), maker.box(2, bbox, **{"id": 900, **fields}))


def image(data: bytes | None = None, **fields: Any) -> Callable[[Any], object]:
    """Image 2 of these bytes, with a box of its upper left quarter."""
    return lambda maker: (maker.image(2, data, **fields), maker.box(2, (0, 0, 4, 3), id=900))


def gone(maker: Any) -> None:
    image()(maker)
    (maker.folder / "images" / "2.jpg").unlink()


def a_folder(maker: Any) -> None:
    gone(maker)
    (maker.folder / "images" / "2.jpg").mkdir()


def with_broken_metadata() -> bytes:
    plain = saved("JPEG")
    xmp = b"http://ns.adobe.com/xap/1.0/\0\xff\xfe not UTF-8 \x80"
    broken = b"Exif\0\0II*\0\xff\xff\xff\xff"
    segments = b"".join(b"\xff\xe1" + (len(part) + 2).to_bytes(2, "big") + part for part in (xmp, broken))
    return plain[:2] + segments + plain[2:]


def named(stated: object, *files: str) -> Callable[[Any], object]:
    """Image 2, stated so, where these files lie in the folder `images`."""

    def make(maker: Any) -> None:
        maker.images.append({"id": 2, "file_name": stated})
        maker.box(2, (0, 0, 4, 3), id=900)
        for file in files:
            path = maker.folder / "images" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(saved("JPEG"))

    return make


def at(uri: str) -> dict[str, Any]:
    """The outcome of a name that stands for a file of another name."""
    return {"repairs": [("2", "image:name_read", "fixed")], "check": lambda record: record.uri == uri}


IMAGE_GONE = [("900", "box:image_rejected")]


def rejected(reason: str) -> dict[str, Any]:
    return {"boxes": None, "rejected": [("2", reason), *IMAGE_GONE]}


CASES: dict[str, Case] = {
    "box without area": Case(box((1, 1, 0, 3)), [], [("900", "box:zero_area")]),
    "box past the right edge": Case(box((4, 3, 40, 3)), [Box(0.5, 0.5, 1, 1)], [], [("900", "box:clipped", "fixed")]),
    "box past the left edge": Case(box((-4, 0, 8, 3)), [QUARTER], [], [("900", "box:clipped", "fixed")]),
    "box outside the image": Case(box((20, 20, 4, 3)), [], [("900", "box:outside")]),
    "negative width": Case(box((4, 3, -4, 3)), [], [("900", "box:reversed")]),
    "NaN in a box": Case(box((0, 0, float("nan"), 3)), [], [("900", "box:not_finite")]),
    "infinite box": Case(box((0, 0, float("inf"), 3)), [], [("900", "box:not_finite")]),
    "box of three numbers": Case(box((0, 0, 3)), [], [("900", "box:malformed")]),
    "box of text": Case(box(("0", "0", "4", "3")), [], [("900", "box:malformed")]),
    "annotation without a box": Case(box(None), [], [("900", "box:malformed")]),
    "unknown category": Case(box(category=77), [], [("900", "box:unknown_category")]),
    "annotation of no image": Case(lambda m: (image()(m), m.box(55, id=901)), rejected=[("901", "box:unknown_image")]),
    "annotation id twice": Case(
        lambda m: (image()(m), m.box(2, WHOLE, id=900)), rejected=[("900", "box:duplicate_id")]
    ),
    "image without annotations": Case(lambda m: m.image(2), []),
    "no iscrowd and no area": Case(
        box(iscrowd=None, area=None), check=lambda r: (r.boxes[0].is_crowd, r.boxes[0].area) == (None, None)
    ),
    "ids that are floats": Case(
        lambda m: (m.image(2.0, file_name="2.jpg"), m.box(2.0, (0, 0, 4, 3), id=900100184613.0)),
        check=lambda r: r.boxes[0].annotation_id == "900100184613",
    ),
    "category id beyond all others": Case(
        lambda m: (m.categories.append({"id": 74673216, "name": "cat"}), box(category=74673216)(m)),
        check=lambda r: r.boxes[0].class_id == 74673216,
    ),
    "class name twice": Case(
        lambda m: (m.categories.extend({"id": n, "name": "crane"} for n in (30, 31)), box(category=31)(m)),
        words=["--labels", "none"],
        check=lambda r: (r.boxes[0].label, r.boxes[0].class_id) == ("crane", 31),
    ),
    "class name with a quote and an umlaut": Case(
        lambda m: (m.categories.append({"id": 30, "name": 'Spätzle "Lamb\'s"'}), box(category=30)(m)),
        words=["--labels", "none"],
        check=lambda r: r.boxes[0].label == 'Spätzle "Lamb\'s"',
    ),
    "image id twice": Case(
        lambda m: (image()(m), m.image(2, file_name="other.jpg")), rejected=[("2", "image:duplicate_id")]
    ),
    "stated size is wrong": Case(image(width=800, height=600), repairs=[("2", "image:size_mismatch", "fixed")]),
    "no size stated": Case(image(width=None, height=None)),
    "file name in another script": Case(image(file_name="貓 2.jpg"), check=lambda r: r.filename == "貓 2.jpg"),
    "missing file": Case(gone, **rejected("image:missing")),
    "folder in place of a file": Case(a_folder, **rejected("image:unreadable")),
    "path out of the folder": Case(image(file_name="../2.jpg"), **rejected("image:bad_path")),
    "name with backslashes": Case(named(r"sub\2 (1).jpg", "sub/2 (1).jpg"), **at("sub/2 (1).jpg")),
    "name encoded for URLs": Case(named("a%20b%231.jpg", "a b#1.jpg"), **at("a b#1.jpg")),
    "name with both spellings there": Case(
        named("a%20b.jpg", "a b.jpg", "a%20b.jpg"), check=lambda r: r.uri == "a%20b.jpg"
    ),
    "path by way of other folders": Case(named("no/../sub/./2.jpg", "sub/2.jpg"), **at("sub/2.jpg")),
    "path from the annotations": Case(named(r"..\images\2.jpg", "2.jpg"), **at("2.jpg")),
    "full path of another computer": Case(named(r"D:\my set\images\sub\2.jpg", "sub/2.jpg"), **at("sub/2.jpg")),
    "full path of another folder": Case(named("/data/other/2.jpg", "2.jpg"), **rejected("image:bad_path")),
    "full path that is below the folder": Case(named("/deep/sub/2.jpg", "deep/sub/2.jpg"), **at("deep/sub/2.jpg")),
    "ending in the other case": Case(named("2.JPG", "2.jpg"), **at("2.jpg")),
    "path that can be two files": Case(
        named("x/images/images/2.jpg", "2.jpg", "images/2.jpg"), **rejected("image:ambiguous")
    ),
    "Label Studio's URL": Case(named("/data/local-files/?d=sub%5C2.jpg", "sub/2.jpg"), **at("sub/2.jpg")),
    "Label Studio's upload": Case(named("/data/upload/7/0a1b2c3d-2.jpg", "0a1b2c3d-2.jpg"), **at("0a1b2c3d-2.jpg")),
    "another upload": Case(named("/data/upload/7/2.jpg", "2.jpg"), **rejected("image:missing")),
    "name in the other Unicode form": Case(named("e\u0301.jpg", "\u00e9.jpg"), **at("\u00e9.jpg")),
    "file name that is a number": Case(named(2, "2"), **rejected("image:malformed")),
    "no file name": Case(named(None), **rejected("image:missing")),
    "empty file": Case(image(b""), **rejected("image:empty")),
    "web page": Case(image(b"<!DOCTYPE html><p>404"), **rejected("image:html")),
    "Git LFS pointer": Case(
        image(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"), **rejected("image:lfs_pointer")
    ),
    "text file": Case(image(b"not found"), **rejected("image:unknown_format")),
    "truncated JPEG": Case(image(saved("JPEG")[:-30]), **rejected("image:truncated")),
    "truncated PNG": Case(image(saved("PNG")[:-12], file_name="2.png"), **rejected("image:truncated")),
    "decompression bomb": Case(image(bomb(), file_name="2.png"), **rejected("image:too_many_pixels")),
    "palette BMP": Case(image(saved("BMP", "P"), file_name="2.bmp"), **rejected("image:unsupported")),
    "PNG named .jpg": Case(
        image(saved("PNG")), repairs=[("2", "image:wrong_ending", "kept")], check=lambda r: r.format == "png"
    ),
    "GIF named .jpg": Case(
        image(saved("GIF")), repairs=[("2", "image:wrong_ending", "kept")], check=lambda r: r.format == "gif"
    ),
    "animated GIF": Case(image(two_frames("GIF"), file_name="2.gif"), repairs=[("2", "image:animated", "kept")]),
    "CMYK JPEG": Case(image(saved("JPEG", "CMYK")), repairs=[("2", "image:cmyk", "kept")]),
    "16-bit PNG": Case(image(saved("PNG", "16"), file_name="2.png"), repairs=[("2", "image:sixteen_bit", "kept")]),
    "grey JPEG": Case(image(saved("JPEG", "L"))),
    "broken EXIF and XMP": Case(image(with_broken_metadata())),
    "EXIF turned, size as stored": Case(
        image(saved("JPEG", exif=exif(6))), repairs=[("2", "image:exif_turned", "kept")]
    ),
    "EXIF turned, size as shown": Case(
        image(saved("JPEG", exif=exif(6)), width=6, height=8),
        # Drawn on the 6 x 8 picture that viewers show: its left 4 columns of 6, its upper 3 rows of 8.
        boxes=[Box(1 / 3, 0, 1, 0.375)],
        repairs=[("2", "image:exif_turned", "kept"), ("900", "box:turned", "fixed")],
    ),
}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", CASES)
def test_an_odd_input_has_its_outcome(name: str, coco: Any, convert: Callable[..., Any]) -> None:
    case = CASES[name]
    coco.image(1)
    coco.box(1, (0, 0, 4, 3), id=1)
    case.make(coco)
    coco.image(3)
    coco.box(3, (0, 0, 4, 3), id=3)
    done = convert("coco", *coco.write(), *case.words)
    records = done.records
    assert done.code == 0
    for good in ("1", "3"):
        assert [b.box for b in records[good].boxes] == [QUARTER]
    assert set(records) == ({"1", "3"} if case.boxes is None else {"1", "2", "3"})
    if case.boxes is not None:
        assert [tuple(b.box) for b in records["2"].boxes] == [pytest.approx(tuple(b)) for b in case.boxes]
        assert case.check(records["2"])
    assert sorted((r["record"], r["reason"]) for r in done.rejects) == sorted(case.rejected)
    repairs = [(r["record"], r["reason"], r["action"]) for r in lines(done.out / "repairs.jsonl")]
    assert sorted(repairs) == sorted(case.repairs)
    counts = done.counts
    assert counts["images_in"] == counts["images_written"] + counts["images_rejected"]
    assert counts["annotations_in"] == counts["annotations_written"] + counts["annotations_rejected"]
    assert sum(counts["rejected_by_reason"].values()) == len(case.rejected)
    assert sum(counts["fixed_by_reason"].values()) + sum(counts["kept_by_reason"].values()) == len(case.repairs)
    for reason in (*counts["rejected_by_reason"], *counts["fixed_by_reason"], *counts["kept_by_reason"]):
        assert reason in done.stdout, "the summary names every reason"


def test_the_documentation_holds_the_same_cases() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", DOC.read_text(), re.MULTILINE)
    told = {name.strip(): outcome for name, outcome in rows}
    assert set(CASES) <= set(told), sorted(set(CASES) - set(told))
    for name, case in CASES.items():
        reasons = {reason for _, reason in case.rejected} | {reason for _, reason, _ in case.repairs}
        reasons -= {"box:image_rejected"}
        assert set(re.findall(r"`(\w+:\w+)`", told[name])) == reasons, name
