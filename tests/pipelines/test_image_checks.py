"""Odd images, whatever their names say: what is kept, fixed and rejected, and what the written pixels are."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipelines.checks import Examined, examine
from pipelines.fetching import read_assets
from pipelines.images.orientation import inverse, orientation_of_rotation, turn_box
from pipelines.labelling import LabelSpace
from pipelines.policy import CHECKS, policy_of
from pipelines.rows import BoxRow, ImageRow
from pipelines.sources.voc import Source
from schemas.boxes import Box, rotate_box
from schemas.errors import ConfigError, RecordError
from schemas.manifest import ClassEntry

Jpeg = Callable[..., bytes]
SPACE = LabelSpace("test", {"1": ClassEntry(id=1, label="dog")})


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def picture(width: int = 64, height: int = 32) -> np.ndarray:
    """A dark picture with a bright rectangle: rows 8 to 16, columns 40 to 56."""
    pixels = np.full((height, width, 3), 20, np.uint8)
    pixels[8:16, 40:56] = (250, 200, 90)
    return pixels


def look(data: bytes, name: str, on: dict[str, str] | None = None, **fields: object) -> Examined:
    box = BoxRow(ymin=8, xmin=40, ymax=16, xmax=56, class_key="1")
    row = ImageRow(image_id="7", uri=name, has_boxes=True, boxes=(box,), **fields)  # type: ignore[arg-type]
    options = {key: (on or {}).pop(key) for key in ("verify", "max_pixels") if key in (on or {})}
    return examine(row, data, SPACE, policy_of(on or {}, **options))  # type: ignore[arg-type]


def bright(data: bytes) -> Box:
    """Where the bright rectangle lies in an encoded picture, as a viewer that ignores EXIF sees it."""
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("L"))
    ys, xs = np.nonzero(pixels > 130)
    height, width = pixels.shape
    return Box(ys.min() / height, xs.min() / width, (ys.max() + 1) / height, (xs.max() + 1) / width)


def cmyk() -> bytes:
    return saved(Image.fromarray(picture()).convert("CMYK"), "JPEG")


def sixteen_bit() -> bytes:
    grey = np.full((32, 64), 2000, np.uint16)
    grey[8:16, 40:56] = 60_000
    return saved(Image.fromarray(grey), "PNG")


def animated(kind: str) -> bytes:
    frames = [Image.fromarray(picture()), Image.fromarray(255 - picture())]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:])


ODD = {
    "image:cmyk": (cmyk, "7.jpg"),
    "image:sixteen_bit": (sixteen_bit, "7.png"),
    "image:animated": (lambda: animated("GIF"), "7.gif"),
    "image:wrong_ending": (lambda: saved(Image.fromarray(picture()), "PNG"), "7.jpg"),
    "image:exif_turned": (lambda: saved(Image.fromarray(picture()), "JPEG", exif=exif(3)), "7.jpg"),
    "image:truncated": (lambda: saved(Image.fromarray(picture()), "JPEG")[:-40], "7.jpg"),
    "image:unsupported": (lambda: saved(Image.fromarray(picture()).convert("P"), "BMP"), "7.bmp"),
}


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    return made


@pytest.mark.parametrize("check", ODD)
@pytest.mark.parametrize("action", ["keep", "fix", "reject"])
def test_each_oddity_has_its_outcome(check: str, action: str) -> None:
    make, name = ODD[check]
    data = make()
    if action not in CHECKS[check].actions:
        with pytest.raises(ConfigError, match=check):
            policy_of({check: action})
        return
    seen = look(data, name, {check: action})
    if action == "reject":
        assert seen.record is None
        assert [r.reason for r in seen.rejected] == [check, "box:image_rejected"]
        return
    assert seen.record is not None
    assert seen.record.encoded is not None
    assert [(note.reason, note.action) for note in seen.notes] == [(check, "kept" if action == "keep" else "fixed")]
    assert (seen.record.encoded == data) == (action == "keep")
    if action == "fix":
        again = look(seen.record.encoded, f"7.{seen.record.format}", dict.fromkeys([check], "reject"))
        assert again.record is not None, "what was fixed must pass the check"
        assert not again.notes


def test_the_default_keeps_bytes_as_they_are() -> None:
    for check, (make, name) in ODD.items():
        data = make()
        record = look(data, name).record
        assert (record is None) == (CHECKS[check].default == "reject")
        assert record is None or record.encoded == data


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_frames_are_counted_in_every_format_that_has_them(kind: str) -> None:
    one = saved(Image.fromarray(picture()), kind)
    name = f"7.{kind.lower()}"
    assert not look(one, name).notes
    assert [note.reason for note in look(animated(kind), name).notes] == ["image:animated"]


def test_the_first_frame_stays_and_16_bits_become_8() -> None:
    for data, name, check in (
        (animated("GIF"), "7.gif", "image:animated"),
        (sixteen_bit(), "7.png", "image:sixteen_bit"),
    ):
        record = look(data, name, {check: "fix"}).record
        assert record is not None
        assert record.encoded is not None
        assert record.format == "png"
        assert bright(record.encoded) == record.boxes[0].box


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_and_boxes_turn_together(orientation: int) -> None:
    data = saved(Image.fromarray(picture()), "JPEG", quality=100, subsampling=0, exif=exif(orientation))
    kept, fixed = (look(data, "7.jpg", {"image:exif_turned": action}).record for action in ("keep", "fix"))
    assert kept is not None
    assert fixed is not None
    assert kept.encoded == data
    assert kept.boxes[0].box == bright(data)
    assert fixed.encoded is not None
    assert fixed.boxes[0].box == pytest.approx(bright(fixed.encoded))
    with Image.open(io.BytesIO(data)) as image, Image.open(io.BytesIO(fixed.encoded)) as upright:
        shown = ImageOps.exif_transpose(image)
        assert upright.size == shown.size == (fixed.width, fixed.height)
        assert np.abs(np.asarray(upright, int) - np.asarray(shown, int)).max() <= 16
    assert fixed.orientation == 1


def test_boxes_drawn_on_the_shown_picture_fit_the_upright_pixels() -> None:
    data = saved(Image.fromarray(picture()), "JPEG", quality=100, subsampling=0, exif=exif(6))
    drawn = BoxRow(ymin=40, xmin=16, ymax=56, xmax=24, class_key="1")  # the same rectangle after a quarter turn
    row = ImageRow(image_id="7", uri="7.jpg", has_boxes=True, boxes=(drawn,), height=64, width=32)
    record = examine(row, data, SPACE, policy_of({"image:exif_turned": "fix"})).record
    assert record is not None
    assert record.encoded is not None
    assert record.boxes[0].box == pytest.approx(bright(record.encoded))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_stated_rotation_turns_pixels_and_boxes_counter_clockwise(degrees: int) -> None:
    data = saved(Image.fromarray(picture()), "PNG")
    kept = look(data, "7.png", rotation=degrees).record
    seen = look(data, "7.png", {"image:stated_rotation": "fix"}, rotation=degrees)
    assert kept is not None
    assert (kept.encoded, kept.rotation) == (data, degrees)
    assert seen.record is not None
    assert seen.record.encoded is not None
    with Image.open(io.BytesIO(seen.record.encoded)) as image:
        assert np.array_equal(np.asarray(image), np.rot90(picture(), degrees // 90))
    assert seen.record.boxes[0].box == pytest.approx(bright(seen.record.encoded))
    assert seen.record.rotation == 0
    assert look(data, "7.png", {"image:stated_rotation": "reject"}, rotation=degrees).record is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_and_its_inverse_give_the_box_back(orientation: int) -> None:
    box = Box(0.125, 0.25, 0.5, 0.875)
    assert turn_box(turn_box(box, orientation), inverse(orientation)) == box


def test_turning_agrees_with_rotating() -> None:
    box = Box(0.125, 0.25, 0.5, 0.875)
    for degrees in (0, 90, 180, 270):
        assert turn_box(box, orientation_of_rotation(degrees)) == rotate_box(box, degrees // 90)


def test_a_bomb_is_refused_by_its_header_alone() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + b"\0\0\0\0IEND1234"
    )
    seen = look(data, "7.png")
    assert seen.record is None
    assert seen.rejected[0].reason == "image:too_many_pixels"
    assert look(saved(Image.fromarray(picture()), "PNG"), "7.png", {"max_pixels": 100}).record is None  # type: ignore[dict-item]


def test_damage_in_the_middle_is_found_by_decoding_alone() -> None:
    rng = np.random.default_rng(0)
    for kind, name in (("JPEG", "7.jpg"), ("PNG", "7.png")):
        whole = saved(Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)), kind)
        middle = len(whole) // 2
        broken = whole[:middle] + b"\xff\xd9" * 16 + whole[middle + 32 :]
        box = {"verify": "decode"}
        assert look(broken, name).record is not None
        seen = look(broken, name, dict(box))
        assert seen.record is None
        assert seen.rejected[0].reason == "image:undecodable"
        record = look(whole, name, dict(box)).record
        assert record is not None
        assert record.encoded == whole


def test_decoding_accepts_every_kind_that_the_header_accepts(jpeg: Jpeg) -> None:
    kinds = [cmyk(), sixteen_bit(), animated("GIF"), animated("WEBP"), jpeg(), saved(Image.new("L", (60, 30)), "JPEG")]
    for data in kinds:
        assert look(data, "7", {"verify": "decode"}).record is not None


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_is_read_in_every_format_that_has_it(kind: str, orientation: int) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(Image.fromarray(picture()), kind, exif=exif(orientation), **options)
    name = f"7.{kind.lower()}"
    assert [note.reason for note in look(data, name).notes] == ["image:exif_turned"] * (orientation != 1)
    fixed = look(data, name, {"image:exif_turned": "fix"}).record
    assert fixed is not None
    assert fixed.encoded is not None
    assert fixed.boxes[0].box == pytest.approx(bright(fixed.encoded))
    with Image.open(io.BytesIO(data)) as image:
        assert ImageOps.exif_transpose(image).size == (fixed.width, fixed.height)


def test_a_picture_that_is_fixed_otherwise_keeps_its_orientation() -> None:
    data = saved(Image.fromarray(picture()).convert("CMYK"), "JPEG", exif=exif(6))
    record = look(data, "7.jpg", {"image:cmyk": "fix"}).record
    assert record is not None
    assert record.encoded is not None
    assert (record.orientation, record.width, record.height) == (6, 64, 32)
    assert record.boxes[0].box == bright(record.encoded)
    with Image.open(io.BytesIO(record.encoded)) as image:
        assert image.mode == "RGB"
        assert image.getexif()[0x0112] == 6


def test_a_mask_that_is_no_png_is_told(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(b"notapng")
    (tmp_path / "map.png").write_bytes(saved(Image.new("L", (8, 6)), "JPEG"))
    (tmp_path / "good.png").write_bytes(saved(Image.new("L", (8, 6)), "PNG"))
    boxes = tuple(BoxRow(ymin=0, xmin=0, ymax=6, xmax=8, class_key="1", mask_uri=f"{n}.png") for n in ("mask", "good"))
    row = ImageRow(image_id="7", uri="7.jpg", has_boxes=True, boxes=boxes, map_uris=(("class", "map.png"),))
    assets = read_assets(Source(str(tmp_path), str(tmp_path)), row)
    assert assets["good.png"] == (tmp_path / "good.png").read_bytes()
    assert [isinstance(assets[f"{n}.png"], RecordError) for n in ("mask", "map")] == [True, True]
