"""Boxes, captions and contact sheets, drawn with Pillow so that they can be read on pictures of any size.

Small pictures are enlarged first. Masks are a tint with an outline, keypoints are dots. A detection has a solid frame
and a caption on a band of its colour; a truth has a dashed frame, black and white, so that it shows on any ground.
Captions stay inside the picture and, while there is room, off each other. A path that is too wide loses its first
steps: `… > penguin > king penguin 0.71`.
"""

from __future__ import annotations

import colorsys
import functools
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from schemas.boxes import Box

LEAST_SIDE = 320
STEP = " > "
CUT = "…"
TINT = 0.4  # of a mask's colour
Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Area = tuple[float, float, float, float]  # left, top, right, bottom in pixels

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)
GREY: Colour = (96, 96, 96)


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """A box to draw.

    Attributes:
        box: `rel_yxyx`; what lies outside the picture is cut off.
        caption: a path down the tree and a score, or any words; may be empty.
        colour_key: boxes with the same key have the same colour; a wnid or a label.
        points: (y, x) relative to the picture, drawn as dots of the same colour.
    """

    box: Box
    caption: str
    colour_key: str
    points: tuple[tuple[float, float], ...] = ()


def draw_detections(
    image: Image.Image,
    detections: Sequence[DrawnBox],
    *,
    truths: Sequence[DrawnBox] = (),
    least_side: int = LEAST_SIDE,
) -> Image.Image:
    """The picture with boxes and captions.

    Args:
        image: of any mode; it is left as it is.
        detections: best first; the best is drawn on top.
        truths: drawn dashed.
        least_side: the picture is enlarged by a whole number until its shorter side has so many pixels.

    Returns:
        A new RGB picture.
    """
    canvas = enlarged(image, least_side)
    pen = ImageDraw.Draw(canvas)
    stroke = max(2, round(min(canvas.size) / 160))
    font = caption_font(canvas.size)
    frames = [(row, _area(row.box, canvas.size), colour_of(row.colour_key)) for row in detections]
    for _, area, colour in reversed(frames):
        pen.rectangle(area, outline=BLACK, width=stroke + 2)
        pen.rectangle(_inset(area, 1), outline=colour, width=stroke)
    for row, _, colour in frames:
        for y, x in row.points:
            _dot(pen, x * canvas.width, y * canvas.height, radius=stroke + 1, colour=colour)
    dashed = [(row, _area(row.box, canvas.size)) for row in truths]
    for _, area in dashed:
        _dashed_rectangle(pen, area, width=stroke)
    taken: list[Area] = []
    bands = [(row.caption, area, colour) for row, area, colour in frames]
    bands += [(row.caption, area, WHITE) for row, area in dashed]
    placed = []
    for number, (caption, area, colour) in enumerate(bands):
        text = fit_caption(caption, font, canvas.width - 8)
        if text:
            band = _place(text, font, area, canvas.size, taken, below_first=number >= len(frames))
            taken.append(band)
            placed.append((text, band, colour))
    for text, band, colour in reversed(placed):
        pen.rectangle(band, fill=colour, outline=BLACK)
        pen.text((band[0] + 4, (band[1] + band[3]) / 2), text, fill=ink_on(colour), font=font, anchor="lm")
    return canvas


def tint_masks(image: Image.Image, masks: Sequence[tuple[NDArray[np.uint8], str]]) -> Image.Image:
    """The picture with masks: a tint inside, the pixels at the edge in full colour.

    Args:
        image: of any mode; it is left as it is.
        masks: u8[height, width] of the picture's size, not 0 inside; and the key of the colour, as in `DrawnBox`.

    Returns:
        A new RGB picture.
    """
    pixels = np.asarray(image.convert("RGB"), np.float32).copy()
    for mask, key in masks:
        inside, colour = mask != 0, np.array(colour_of(key), np.float32)
        pixels[inside] += (colour - pixels[inside]) * TINT
        pixels[_edge(inside)] = colour
    return Image.fromarray(pixels.round().astype(np.uint8))


def _edge(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The inner pixels beside an outer one; the picture's own edge does not count."""
    padded = np.pad(inside, 1, mode="edge")
    deep = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~deep


def contact_sheet(
    images: Sequence[Image.Image], captions: Sequence[str], columns: int = 4, *, cell: int = 320
) -> Image.Image:
    """Pictures in rows, each with its caption below, of one line or of several; lines behind the first are grey.

    Args:
        images: of any sizes; each is fitted into a square of `cell` pixels, enlarged or reduced.
        captions: as many; a line too long is cut at its start.
        columns: pictures in a row.
        cell: pixels.

    Raises:
        ValueError: if there are no pictures, or not as many captions as pictures.
    """
    if not images or len(images) != len(captions):
        raise ValueError(f"found {len(images)} pictures and {len(captions)} captions; expected as many, at least one")
    if columns < 1:
        raise ValueError(f"found {columns} columns; expected 1 or more")
    gap, font = 8, _font(15)
    line = _line_height(font) + 4
    below = line * max(len(caption.split("\n")) for caption in captions)
    rows = math.ceil(len(images) / columns)
    columns = min(columns, len(images))
    sheet = Image.new("RGB", (columns * (cell + gap) + gap, rows * (cell + below + gap) + gap), WHITE)
    pen = ImageDraw.Draw(sheet)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = gap + number % columns * (cell + gap), gap + number // columns * (cell + below + gap)
        scale = cell / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        fitted = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        sheet.paste(fitted, (left + (cell - size[0]) // 2, top + (cell - size[1]) // 2))
        for place, words in enumerate(caption.split("\n")):
            at, ink = (left, top + cell + 3 + place * line), GREY if place else BLACK
            pen.text(at, fit_caption(words, font, cell), fill=ink, font=font, anchor="la")
    return sheet


def enlarged(image: Image.Image, least_side: int) -> Image.Image:
    """An RGB copy whose shorter side has at least `least_side` pixels, by the smallest whole factor.

    A long thin picture grows only as far as its longer side stays within 8192 pixels.
    """
    factor = min(math.ceil(least_side / max(1, min(image.size))), max(1, 8192 // max(image.size)))
    copy = image.convert("RGB") if image.mode != "RGB" else image.copy()
    if factor <= 1:
        return copy
    return copy.resize((image.width * factor, image.height * factor), Image.Resampling.BICUBIC)


def colour_of(key: str) -> Colour:
    """A bright colour, the same for equal keys: one of 64 hues and three shades, chosen by hash."""
    digest = hashlib.sha256(key.encode()).digest()
    hue, shade = digest[0] % 64 / 64, digest[1] % 3
    saturation, value = ((0.85, 1.0), (0.55, 1.0), (0.9, 0.8))[shade]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def ink_on(colour: Colour) -> Colour:
    """Black or white, whichever stands out more: the contrast is at least 4.5 to 1 (WCAG 2 AA)."""
    light = _luminance(colour)
    return BLACK if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else WHITE


def fit_caption(caption: str, font: Font, room: float) -> str:
    """The caption, or as much of its end as fits into `room` pixels; steps of a path go first, then letters.

    Law: the result is never wider than `room`; the score at the end stays while three letters do.
    """
    caption = " ".join(caption.split())
    if font.getlength(caption) <= room:
        return caption
    steps = caption.split(STEP)
    for start in range(1, len(steps)):
        shorter = STEP.join([CUT, *steps[start:]])
        if font.getlength(shorter) <= room:
            return shorter
    name, space, score = steps[-1].rpartition(" ")
    tail = f"{space}{score}" if name and len(score) <= 6 else ""
    name = name if tail else steps[-1]
    for kept in range(len(name), 2, -1):
        shorter = name[:kept].rstrip() + CUT + tail
        if font.getlength(shorter) <= room:
            return shorter
    return next((score[:kept] for kept in range(len(score), 0, -1) if font.getlength(score[:kept]) <= room), "")


def caption_font(image_size: tuple[int, int]) -> Font:
    """The font that `draw_detections` uses on a picture of this (enlarged) size."""
    return _font(max(13, round(min(image_size) / 26)))


@functools.lru_cache(maxsize=32)
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _line_height(font: Font) -> int:
    box = font.getbbox("Ágp|")
    return math.ceil(box[3] - min(box[1], 0))


def _luminance(colour: Colour) -> float:
    """Relative luminance of sRGB, [0, 1] (WCAG 2)."""
    parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def _area(box: Box, size: tuple[int, int]) -> Area:
    """Pixels inside the picture; at least two wide and high, so that it can be drawn."""
    width, height = size
    clipped = box.clip()
    left, top = min(clipped.xmin * width, width - 3), min(clipped.ymin * height, height - 3)
    return (
        left,
        top,
        max(min(clipped.xmax * width, width) - 1, left + 2),
        max(min(clipped.ymax * height, height) - 1, top + 2),
    )


def _inset(area: Area, by: float) -> Area:
    left, top, right, bottom = area
    return left + by, top + by, max(right - by, left + by), max(bottom - by, top + by)


def _place(
    text: str, font: Font, area: Area, size: tuple[int, int], taken: Sequence[Area], *, below_first: bool
) -> Area:
    """Where a caption hides least of the other captions: above the frame, below it, or inside it."""
    width, height = font.getlength(text) + 8, _line_height(font) + 4
    best: tuple[float, Area] | None = None
    for left, top in _corners(area, width, height, below_first=below_first):
        left = min(max(left, 0), size[0] - width - 1)
        top = min(max(top, 0), size[1] - height - 1)
        band = (max(left, 0), max(top, 0), max(left, 0) + width, max(top, 0) + height)
        hidden = sum(_common(band, other) for other in taken)
        if best is None or hidden < best[0]:
            best = (hidden, band)
        if not hidden:
            break
    assert best is not None
    left, top, right, bottom = best[1]
    return left, top, min(right, size[0] - 1), min(bottom, size[1] - 1)


def _corners(area: Area, width: float, height: float, *, below_first: bool) -> Iterator[tuple[float, float]]:
    left, top, right, bottom = area
    above, below = (left, top - height), (left, bottom + 1)
    yield from (below, above) if below_first else (above, below)
    yield left, top
    yield left, bottom - height
    yield right - width, top - height
    yield right - width, bottom + 1
    for rows in range(2, 6):
        yield left, bottom + 1 + (rows - 1) * height
        yield left, top - rows * height


def _common(a: Area, b: Area) -> float:
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)


def _dot(pen: ImageDraw.ImageDraw, x: float, y: float, *, radius: int, colour: Colour) -> None:
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=BLACK)


def _dashed_rectangle(pen: ImageDraw.ImageDraw, area: Area, *, width: int) -> None:
    """White dashes on a black line."""
    left, top, right, bottom = area
    dash = 4.0 * width
    pen.rectangle(area, outline=BLACK, width=width)
    for x0, y0, x1, y1 in (
        (left, top, right, top),
        (left, bottom - width + 1, right, bottom - width + 1),
        (left, top, left, bottom),
        (right - width + 1, top, right - width + 1, bottom),
    ):
        length = max(x1 - x0, y1 - y0)
        for start in range(0, math.ceil(length), round(2 * dash)):
            stop = min(start + dash, length)
            if x1 > x0:
                pen.rectangle((x0 + start, y0, x0 + stop, y0 + width - 1), fill=WHITE)
            else:
                pen.rectangle((x0, y0 + start, x0 + width - 1, y0 + stop), fill=WHITE)
