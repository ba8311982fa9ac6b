"""Painting with Pillow: figures with smooth edges, grounds with gradients and textures, stray strokes, grain.

Masks are drawn SMOOTH times too large and averaged down, which is what makes the edges smooth. Colours are f64[3] in
[0, 255].
"""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from detector.demo.outlines import Outline, Rng

SMOOTH = 4
Colour = NDArray[np.float64]
Pixels = NDArray[np.float64]


def figure_mask(points: Outline, size: int, *, border: float = 0.0) -> NDArray[np.float64]:
    """How much of each pixel the figure covers: f64[size, size] in [0, 1].

    Args:
        points: the outline in pixels, continuous coordinates: pixel i covers [i, i + 1].
        size: of the square picture.
        border: if positive, only a border of this width, inside the outline.
    """
    low = np.maximum(np.floor(points.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int), size)
    width, height = (int(v) for v in np.maximum(high - low, 1))
    corners = [(float(x), float(y)) for x, y in (points - low) * SMOOTH - 0.5]
    fine = Image.new("L", (width * SMOOTH, height * SMOOTH), 0)
    ImageDraw.Draw(fine).polygon(corners, fill=255)
    if border > 0:
        rim = Image.new("L", fine.size, 0)
        ring = [*corners, *corners[:2]]
        ImageDraw.Draw(rim).line(ring, fill=255, width=max(1, round(2 * border * SMOOTH)), joint="curve")
        fine = Image.fromarray(np.minimum(np.asarray(fine), np.asarray(rim)))
    mask = np.zeros((size, size))
    mask[low[1] : low[1] + height, low[0] : low[0] + width] = np.asarray(fine.reduce(SMOOTH), float) / 255
    return mask


def blend(pixels: Pixels, mask: NDArray[np.float64], paint: Pixels | Colour) -> Pixels:
    """`paint` where the mask is 1, `pixels` where it is 0: f64[H, W, 3]."""
    return pixels + mask[..., None] * (paint - pixels)


def random_colour(rng: Rng, *, away_from: Colour | None = None, distance: float = 110.0) -> Colour:
    """A colour; if `away_from` is given, one that the eye tells apart from it (or the best of 12 tries)."""
    best, gap = np.zeros(3), -1.0
    for _ in range(12):
        hue, saturation, value = rng.random(), rng.uniform(0.25, 1.0), rng.uniform(0.15, 1.0)
        colour = np.array(colorsys.hsv_to_rgb(hue, saturation, value)) * 255
        if away_from is None:
            return colour
        found = float(np.sqrt(np.dot((0.6, 1.0, 0.4), (colour - away_from) ** 2)))
        if found > gap:
            best, gap = colour, found
        if gap >= distance:
            break
    return best


def paint_ground(rng: Rng, size: int) -> tuple[Pixels, Colour]:
    """A background and its mean colour: a gradient, on most of them a texture or soft blotches."""
    start = random_colour(rng)
    stop = np.clip(start + rng.normal(0, 38, 3), 0, 255)
    slope = _ramp(rng, size)
    pixels = start + slope[..., None] * (stop - start)
    style = rng.random()
    if style < 0.3:
        pixels = pixels + (_stripes(rng, size, rng.uniform(5, 18)) * rng.uniform(6, 16))[..., None]
    elif style < 0.45:
        checks = _stripes(rng, size, rng.uniform(8, 20)) * _stripes(rng, size, rng.uniform(8, 20))
        pixels = pixels + (checks * rng.uniform(6, 14))[..., None]
    elif style < 0.8:
        pixels = pixels + _blotches(rng, size) * rng.uniform(10, 28)
    return pixels, pixels.mean(axis=(0, 1))


def paint_figure(rng: Rng, pixels: Pixels, points: Outline, ground: Colour) -> tuple[Pixels, NDArray[np.float64]]:
    """The picture with one more figure: filled, filled with a border, or a thick border alone.

    Returns:
        The picture and the figure's mask, f64[size, size] in [0, 1].
    """
    size = len(pixels)
    colour = random_colour(rng, away_from=ground)
    paint = colour + _ramp(rng, size)[..., None] * rng.normal(0, 22, 3)
    if rng.random() < 0.25:
        paint = paint + (_stripes(rng, size, rng.uniform(4, 9)) * rng.uniform(8, 20))[..., None]
    longer = float(np.ptp(points, axis=0).max())
    style = rng.random()
    if style < 0.12:
        mask = figure_mask(points, size, border=max(2.2, 0.1 * longer))
        return blend(pixels, mask, paint), mask
    mask = figure_mask(points, size)
    pixels = blend(pixels, mask, paint)
    if style < 0.4:
        rim = figure_mask(points, size, border=max(1.2, 0.035 * longer))
        pixels = blend(pixels, rim, random_colour(rng, away_from=colour, distance=80))
    return pixels, mask


def paint_strokes(rng: Rng, pixels: Pixels, count: int) -> Pixels:
    """Thin bent lines and dots that mean nothing."""
    size = len(pixels)
    for _ in range(count):
        fine = Image.new("L", (size * 2, size * 2), 0)
        pen = ImageDraw.Draw(fine)
        if rng.random() < 0.7:
            turns = np.cumsum(rng.normal(0, 0.5, 4)) + rng.uniform(0, 2 * np.pi)
            steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * rng.uniform(6, 16) * 2
            path = np.cumsum(np.concatenate([rng.uniform(0, 2 * size, (1, 2)), steps]), axis=0)
            pen.line([(float(x), float(y)) for x, y in path], fill=255, width=int(rng.integers(2, 5)), joint="curve")
        else:
            x, y, r = (*rng.uniform(0, 2 * size, 2), rng.uniform(1.5, 5))
            pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
        mask = np.asarray(fine.reduce(2), float) / 255
        pixels = blend(pixels, mask * rng.uniform(0.35, 0.8), random_colour(rng))
    return pixels


def finish(rng: Rng, pixels: Pixels) -> Image.Image:
    """Light and grain, and rounding to 8 bits."""
    pixels = (pixels - 128) * rng.uniform(0.85, 1.08) + 128 + rng.normal(0, 8)
    pixels = pixels + rng.normal(0, rng.uniform(1, 7), pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _ramp(rng: Rng, size: int) -> NDArray[np.float64]:
    """A linear gradient in a random direction, [0, 1]."""
    angle = rng.uniform(0, 2 * np.pi)
    across = np.arange(size) / (size - 1) - 0.5
    ramp = np.cos(angle) * across[None] + np.sin(angle) * across[:, None]
    return (ramp - ramp.min()) / np.ptp(ramp)


def _stripes(rng: Rng, size: int, period: float) -> NDArray[np.float64]:
    """Waves in a random direction, [-1, 1]."""
    angle, phase = rng.uniform(0, np.pi, 2)
    across = np.arange(size) * 2 * np.pi / period
    return np.sin(np.cos(angle) * across[None] + np.sin(angle) * across[:, None] + phase)


def _blotches(rng: Rng, size: int) -> Pixels:
    """Soft coloured noise: a few random pixels, enlarged; about [-2, 2]."""
    few = int(rng.integers(4, 9))
    coarse = rng.normal(0, 1, (3, few, few)).astype(np.float32)
    layers = [Image.fromarray(layer).resize((size, size), Image.Resampling.BICUBIC) for layer in coarse]
    return np.stack([np.asarray(layer, float) for layer in layers], axis=-1)
