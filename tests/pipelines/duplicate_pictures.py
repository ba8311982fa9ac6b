"""Pictures for the tests of duplicates: a scene, and what people do to pictures."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance


def scene(seed: int, width: int = 240, height: int = 180) -> Image.Image:
    """A picture with large and small shapes; scenes of other seeds look different."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 6, 3), np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = rng.integers(0, width), rng.integers(0, height)
        w, h = rng.integers(10, width // 3), rng.integers(10, height // 3)
        draw.rectangle((int(x), int(y), int(x + w), int(y + h)), fill=tuple(int(c) for c in rng.integers(0, 256, 3)))
    return image


def encoded(image: Image.Image, kind: str = "JPEG", quality: int = 92, orientation: int = 0) -> bytes:
    """The bytes of a picture."""
    buffer = io.BytesIO()
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    image.save(buffer, kind, quality=quality, **({"exif": exif} if orientation else {}))
    return buffer.getvalue()


def copies(image: Image.Image) -> dict[str, bytes]:
    """Copies that are the same picture to people and to a perceptual hash."""
    width, height = image.size
    return {
        "recompressed": encoded(image, quality=40),
        "half": encoded(image.resize((width // 2, height // 2))),
        "double": encoded(image.resize((width * 2, height * 2))),
        "darker": encoded(ImageEnhance.Brightness(image).enhance(0.8)),
        "png": encoded(image, "PNG"),
        "webp": encoded(image, "WEBP"),
        "grey": encoded(image.convert("L")),
        "cropped a percent": encoded(image.crop((1, 1, width - 1, height - 1))),
    }


def others(image: Image.Image) -> dict[str, bytes]:
    """Changes that a perceptual hash takes for another picture."""
    width, height = image.size
    return {
        "mirrored": encoded(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        "upside down": encoded(image.transpose(Image.Transpose.ROTATE_180)),
        "cropped by half": encoded(image.crop((0, 0, width // 2, height // 2))),
    }
