"""The perceptual hash: what it sees as one picture, and against a DCT written from its definition."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from pipelines.duplicates.hashing import BITS, SIDE, hash_grey, hash_image, popcount, upright
from tests.pipelines.duplicate_pictures import copies, encoded, others, scene

SEEDS = range(12)


def apart(first: int | None, second: int | None) -> int:
    assert first is not None
    assert second is not None
    return (first ^ second).bit_count()


def test_bits_are_the_low_frequencies_above_their_median() -> None:
    grey = np.random.default_rng(0).uniform(0, 255, (SIDE, SIDE))

    def coefficient(u: int, v: int) -> float:
        scale = (math.sqrt(1 / SIDE) if u == 0 else math.sqrt(2 / SIDE)) * (
            math.sqrt(1 / SIDE) if v == 0 else math.sqrt(2 / SIDE)
        )
        total = 0.0
        for y in range(SIDE):
            row = math.cos(math.pi * (2 * y + 1) * u / (2 * SIDE))
            for x in range(SIDE):
                total += grey[y, x] * row * math.cos(math.pi * (2 * x + 1) * v / (2 * SIDE))
        return scale * total

    order = sorted(((u, v) for u in range(SIDE) for v in range(SIDE)), key=lambda uv: (sum(uv), uv[0]))[1 : BITS + 1]
    found = [coefficient(u, v) for u, v in order]
    middle = sorted(found)[31:33]
    want = sum(1 << bit for bit, value in enumerate(found) if value > sum(middle) / 2)
    assert hash_grey(grey).bits == want
    assert want.bit_count() == 32


@pytest.mark.parametrize("seed", SEEDS)
def test_copies_of_a_picture_are_near_and_other_pictures_are_not(seed: int) -> None:
    picture = scene(seed)
    own = hash_image(encoded(picture)).bits
    far = {name: apart(own, hash_image(data).bits) for name, data in copies(picture).items()}
    assert max(far.values()) <= 4, far
    different = {name: apart(own, hash_image(data).bits) for name, data in others(picture).items()}
    assert min(different.values()) > 8, different
    rest = [apart(own, hash_image(encoded(scene(other))).bits) for other in SEEDS if other != seed]
    assert min(rest) > 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_compared_as_viewers_show_them(orientation: int) -> None:
    picture = scene(3)
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    turned = picture.transpose(stored[orientation]) if orientation in stored else picture
    data = encoded(turned, orientation=orientation)
    assert apart(hash_image(data, orientation).bits, hash_image(encoded(picture)).bits) <= 2
    shape = np.arange(6).reshape(2, 3)
    assert upright(shape, orientation).shape == ((3, 2) if orientation > 4 else (2, 3))


@pytest.mark.parametrize("colour", ["white", "black", "#887766"])
def test_flat_pictures_have_no_hash(colour: str) -> None:
    for size in ((64, 48), (300, 300)):
        assert hash_image(encoded(Image.new("RGB", size, colour))) == (None, "flat")
    noise = np.random.default_rng(0).integers(126, 129, (100, 100), np.uint8)
    assert hash_image(encoded(Image.fromarray(noise))).why == "flat"


def test_every_kind_of_pixel_is_read() -> None:
    picture = scene(5)
    own = hash_image(encoded(picture)).bits
    grey = np.asarray(picture.convert("L"), np.uint16) * 257
    cut = picture.convert("RGBA")
    cut.putalpha(255)
    kinds = {
        "16 bits": encoded(Image.fromarray(grey), "PNG"),
        "alpha": encoded(cut, "PNG"),
        "palette": encoded(picture.quantize(200), "PNG"),
        "inks": encoded(picture.convert("CMYK"), "JPEG"),
        "animated": encoded(picture.quantize(200), "GIF"),
        "bmp": encoded(picture, "BMP"),
    }
    far = {name: apart(own, hash_image(data).bits) for name, data in kinds.items()}
    assert max(far.values()) <= 4, far


def test_what_cannot_be_decoded_says_why() -> None:
    whole = encoded(scene(1))
    for data in (b"", b"no image", whole[:100], b"\x89PNG\r\n\x1a\n" + bytes(50)):
        found = hash_image(data)
        assert found.bits is None
        assert found.why.startswith("undecodable: ")
    buffer = io.BytesIO()
    scene(1).save(buffer, "PNG")
    assert hash_image(buffer.getvalue()[:-2000]).why.startswith("undecodable: ")


def test_popcount_without_numpy_2(monkeypatch: pytest.MonkeyPatch) -> None:
    bits = np.random.default_rng(0).integers(0, 2**64, (50, 7), np.uint64)
    want = [[int(value).bit_count() for value in row] for row in bits]
    assert popcount(bits).tolist() == want
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert popcount(bits).tolist() == want
    assert popcount(bits[:, 0]).tolist() == [row[0] for row in want]
