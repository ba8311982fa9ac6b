"""The shapes of anchors from scales and ratios: pure arithmetic, for configurations.

A ratio is width / height; a shape of scale s and ratio r has the area (s base)^2: width s base sqrt(r), height
s base / sqrt(r) (Huang et al. 2017: base 256, scales 1/4, 1/2, 1, 2, ratios 1/2, 1, 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

SCALES = (0.25, 0.5, 1.0, 2.0)
RATIOS = (0.5, 1.0, 2.0)


def anchor_shapes(
    canvas: tuple[int, int],
    *,
    base: float = 256.0,
    scales: Sequence[float] = SCALES,
    ratios: Sequence[float] = RATIOS,
) -> tuple[tuple[float, float], ...]:
    """(width, height) of every ratio of every scale, relative to a canvas of (height, width) pixels; ratios first.

    Args:
        canvas: (height, width) in pixels.
        base: pixels of scale 1.
        scales: factors of the side of a square.
        ratios: width / height.
    """
    height, width = canvas
    return tuple(
        (base * scale * math.sqrt(ratio) / width, base * scale / math.sqrt(ratio) / height)
        for scale in scales
        for ratio in ratios
    )
