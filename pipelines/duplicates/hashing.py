"""A perceptual hash: 64 bits that stay the same, or nearly, when a picture is resized, recompressed or made brighter.

The picture is turned upright by its EXIF orientation, made grey, and scaled to 32 x 32. Of its discrete cosine
transform (DCT-II) the 64 lowest frequencies without the mean are taken, ordered by u + v, then u. Bit i, from the
lowest, says whether coefficient i is above the median of the 64; so half of the bits are set, and distances are even.
Two hashes are compared by their Hamming distance.

JPEGs are decoded at a fraction of their size, which the DCT of the format allows: about half the cost. A picture of one
colour, or nearly so, has no hash: its bits would be noise, and all blank pages would seem one picture.
"""

from __future__ import annotations

import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image

HASH_VERSION = "1"  # raise it when the same picture begins to give another hash
BITS = 64
SIDE = 32
DECODED_SIDE = 64  # at least so many pixels a side are decoded
FLAT_DEVIATION = 2.0  # of 256 grey levels: standard deviation of the 32 x 32 picture below which it is flat
_UNIT = np.uint64(1)


class ImageHash(NamedTuple):
    """The hash of a picture; None with the reason `flat` or `undecodable: WHY` when there is none."""

    bits: int | None
    why: str = ""


def _dct_matrix() -> np.ndarray:
    """The orthonormal DCT-II of 32 points: rows are frequencies."""
    k, x = np.arange(SIDE)[:, None], np.arange(SIDE)[None, :]
    matrix = np.sqrt(2 / SIDE) * np.cos(np.pi * (2 * x + 1) * k / (2 * SIDE))
    matrix[0] /= np.sqrt(2)
    return matrix


_DCT = _dct_matrix()
_BY_FREQUENCY = sorted(((u, v) for u in range(SIDE) for v in range(SIDE)), key=lambda uv: (uv[0] + uv[1], uv[0]))
_LOWEST = _BY_FREQUENCY[1 : BITS + 1]
_ROWS, _COLUMNS = (np.array(side) for side in zip(*_LOWEST, strict=True))


def hash_image(data: bytes, orientation: int = 1) -> ImageHash:
    """The hash of an encoded image.

    Args:
        data: the bytes of a JPEG, PNG, GIF, BMP or WebP.
        orientation: EXIF 1 to 8, as the index has it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about broken metadata and large pictures
            grey = _small_grey(data)
    except Exception as error:  # Pillow's decoders raise many kinds, with addresses of objects in their words
        return ImageHash(None, f"undecodable: {type(error).__name__}")
    return hash_grey(upright(grey, orientation))


def hash_grey(grey: np.ndarray) -> ImageHash:
    """The hash of a grey picture of 32 x 32, float."""
    if float(grey.std()) < FLAT_DEVIATION:
        return ImageHash(None, "flat")
    spectrum = (_DCT @ grey @ _DCT.T)[_ROWS, _COLUMNS]
    above = spectrum > np.median(spectrum)
    return ImageHash(int(np.packbits(above, bitorder="little").view("<u8")[0]))


def _small_grey(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        image.draft("L", (DECODED_SIDE, DECODED_SIDE))  # JPEGs alone; others pass it over
        if image.mode.startswith("I"):  # 16 bits a channel, which Pillow would cut at 255
            whole = Image.fromarray(np.asarray(image, np.float32) / 256)
        elif image.mode in ("P", "PA", "LA", "RGBA"):
            rgba = image.convert("RGBA")
            whole = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("L")
        else:
            whole = image.convert("L")
        small = whole.resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
        return np.asarray(small, np.float64)


def upright(picture: np.ndarray, orientation: int) -> np.ndarray:
    """The stored picture as viewers show it, for EXIF orientations 1 to 8."""
    if orientation in (5, 6, 7, 8):
        picture = picture.T
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    return picture


def popcount(bits: np.ndarray) -> np.ndarray:
    """How many bits of each uint64 are set."""
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(bits)
    halves = np.ascontiguousarray(bits).view(np.uint16).reshape(*bits.shape, 4)
    return _SET_BITS[halves].sum(-1, dtype=np.uint8)


_SET_BITS = np.array([bin(number).count("1") for number in range(1 << 16)], np.uint8)
