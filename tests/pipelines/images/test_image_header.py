"""`read_header`: what the bytes say, for every format and every kind of damage."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from PIL import Image

from pipelines.images.header import read_header
from schemas.errors import RecordError

Jpeg = Callable[..., bytes]


@pytest.mark.parametrize(
    ("kind", "name"), [("JPEG", "jpeg"), ("PNG", "png"), ("GIF", "gif"), ("BMP", "bmp"), ("WEBP", "webp")]
)
def test_format_and_size_come_from_the_bytes(jpeg: Jpeg, kind: str, name: str) -> None:
    assert read_header(jpeg(13, 7, kind=kind))[:3] == (name, 7, 13)


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 50}, {"lossless": True, "exif": b"Exif\0\0"}])
def test_every_kind_of_webp_states_its_size(options: dict[str, object]) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (21, 34), (1, 2, 3, 100)).save(buffer, "WEBP", **options)
    assert read_header(buffer.getvalue())[:3] == ("webp", 34, 21)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_jpegs_are_jpegs(mode: str) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (5, 9)).save(buffer, "JPEG", progressive=True)
    assert read_header(buffer.getvalue())[:3] == ("jpeg", 9, 5)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_read_and_size_is_of_the_stored_pixels(jpeg: Jpeg, orientation: int) -> None:
    header = read_header(jpeg(13, 7, orientation=orientation))
    assert (header.height, header.width, header.orientation) == (7, 13, orientation)


@pytest.mark.parametrize("exif", [b"", b"II", b"II*\0\xff\xff\xff\xff", b"XX*\0", b"MM\0*\0\0\0\x08\xff\xff"])
def test_broken_exif_counts_as_none(jpeg: Jpeg, exif: bytes) -> None:
    plain = jpeg(13, 7)
    segment = b"\xff\xe1" + (len(exif) + 8).to_bytes(2, "big") + b"Exif\0\0" + exif
    assert read_header(plain[:2] + segment + plain[2:])[:4] == ("jpeg", 7, 13, 1)


def test_padding_after_the_end_marker_is_fine(jpeg: Jpeg) -> None:
    assert read_header(jpeg() + b"\0" * 700).format == "jpeg"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_an_image_cut_anywhere_is_truncated(jpeg: Jpeg, kind: str) -> None:
    whole = jpeg(40, 30, kind=kind)
    for length in (len(whole) * 3 // 4, len(whole) // 2, 20):
        with pytest.raises(RecordError) as caught:
            read_header(whole[:length])
        assert caught.value.reason == "image:truncated", length


def test_a_thumbnail_s_end_marker_does_not_hide_that_the_image_is_cut(jpeg: Jpeg) -> None:
    thumbnail, whole = jpeg(4, 4), jpeg(40, 30)
    segment = b"\xff\xe2" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    with pytest.raises(RecordError, match="end marker"):
        read_header(whole[:2] + segment + whole[2:-2])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "image:empty"),
        (b"\n <!DOCTYPE html><html>404</html>", "image:html"),
        (b"<html></html>", "image:html"),
        (b"PK\x03\x04 a zip", "image:unknown_format"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(40), "image:unknown_format"),
        (b"\xff\xd8\x00\x01garbage", "image:bad_header"),
        (b"\xff\xd8\xff\xd9", "image:bad_header"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "image:bad_header"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(8) + b"IEND....", "image:bad_header"),
    ],
)
def test_what_is_no_image_has_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        read_header(data)
    assert caught.value.reason == reason


@pytest.mark.parametrize(("width", "height", "fits"), [(178_956_970, 1, True), (13_378, 13_378, False)])
def test_an_image_of_too_many_pixels_is_refused_unread(jpeg: Jpeg, width: int, height: int, fits: bool) -> None:
    data = jpeg(kind="PNG")
    data = data[:16] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + data[24:]
    if fits:
        assert read_header(data).width == width
        return
    with pytest.raises(RecordError) as caught:
        read_header(data)
    assert (caught.value.reason, caught.value.found) == ("image:too_many_pixels", "13378 x 13378")


@pytest.mark.parametrize(("mode", "fits"), [("1", False), ("L", False), ("P", False), ("RGB", True), ("RGBA", True)])
def test_bmps_that_tensorflow_cannot_decode_are_unsupported(mode: str, fits: bool) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (5, 9)).save(buffer, "BMP")
    if fits:
        assert read_header(buffer.getvalue())[:3] == ("bmp", 9, 5)
        return
    with pytest.raises(RecordError) as caught:
        read_header(buffer.getvalue())
    assert caught.value.reason == "image:unsupported"


def test_a_png_that_only_lost_its_last_chunk_is_truncated(jpeg: Jpeg) -> None:
    with pytest.raises(RecordError, match="IEND"):
        read_header(jpeg(kind="PNG")[:-12])
