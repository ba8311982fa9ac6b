"""darknet's operations on pixels, to the last bits of its float32 arithmetic; NumPy, whole rows at a time.

darknet samples at corners, not at pixel centres: `resize` maps the first and last pixel onto each other, `place` maps
pixel x of w to x * W / w and reads zero outside. What networks were trained with is what they should be fed with:
`wordtree detect --darknet` uses `darknet_letterbox`. The modes of training follow `place_darknet` and `crop_darknet`;
detector/augment/pixels.py is their fast form.

One oddity is kept: `resize` writes the last row as (1 - d) times one source row without the other, so where rounding
puts that row a hair above its place it comes out dark.
"""

from __future__ import annotations

import numpy as np

GREY = np.float32(0.5)


def resize_darknet(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """resize_image: bilinear, corners on corners, columns first and then rows.

    Args:
        image: f32[h, w, c].
        height, width: of the result, in pixels.

    Returns:
        f32[height, width, c].
    """
    image = np.asarray(image, np.float32)
    rows, columns = image.shape[:2]
    low, share = _corners(columns, width)
    low = np.minimum(low, max(columns - 2, 0))
    part = (1 - share)[None, :, None] * image[:, low] + share[None, :, None] * image[
        :, np.minimum(low + 1, columns - 1)
    ]
    part[:, -1] = image[:, -1]
    if columns == 1:
        part[:] = image
    low, share = _corners(rows, height)
    low = np.minimum(low, rows - 1)
    out = (1 - share)[:, None, None] * part[low]
    if rows > 1:
        body = slice(0, height - 1)
        out[body] += share[body, None, None] * part[np.minimum(low[body] + 1, rows - 1)]
    return out


def _corners(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """For each target pixel the source pixel before it, i[target], and the share of the next one, f32[target]."""
    step = np.float32(source - 1) / np.float32(max(target - 1, 1))
    at = np.arange(target).astype(np.float32) * step
    low = at.astype(np.int64)
    return low, at - low.astype(np.float32)


def darknet_letterbox(image: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    """letterbox_image: the image whole, its sides rounded down, in the middle of a grey canvas.

    Args:
        image: f32[h, w, 3] in [0, 1].
        canvas: (height, width) in pixels.

    Returns:
        f32[height, width, 3].
    """
    image = np.asarray(image, np.float32)
    (height, width), (rows, columns) = canvas, image.shape[:2]
    new_height, new_width = darknet_letterbox_size(rows, columns, canvas)
    out = np.full((height, width, image.shape[2]), GREY, np.float32)
    top, left = (height - new_height) // 2, (width - new_width) // 2
    out[top : top + new_height, left : left + new_width] = resize_darknet(image, new_height, new_width)
    return out


letterbox_darknet = darknet_letterbox


def darknet_letterbox_size(rows: int, columns: int, canvas: tuple[int, int]) -> tuple[int, int]:
    """(height, width) in pixels of an image of rows x columns inside the letterbox, at least 1."""
    height, width = canvas
    if np.float32(width) / np.float32(columns) < np.float32(height) / np.float32(rows):
        return max(rows * width // columns, 1), width
    return height, max(columns * height // rows, 1)


def place_darknet(
    image: np.ndarray, height: int, width: int, top: int, left: int, canvas: tuple[int, int]
) -> np.ndarray:
    """place_image: the image drawn height x width with its corner at (top, left), parts of it perhaps outside.

    Args:
        image: f32[h, w, c].
        height, width, top, left: in pixels of the canvas.
        canvas: (height, width) in pixels.

    Returns:
        f32[*canvas, c], 0.5 where nothing was drawn.
    """
    image = np.asarray(image, np.float32)
    out = np.full((*canvas, image.shape[2]), GREY, np.float32)
    rows = np.arange(max(0, top), min(canvas[0], top + height))
    columns = np.arange(max(0, left), min(canvas[1], left + width))
    if not rows.size or not columns.size:
        return out
    edged = np.pad(image, [[0, 1], [0, 1], [0, 0]])  # zero beyond the last row and column
    y, dy = _floor((rows - top).astype(np.float32) / np.float32(height) * np.float32(image.shape[0]))
    x, dx = _floor((columns - left).astype(np.float32) / np.float32(width) * np.float32(image.shape[1]))
    above, below = edged[y], edged[np.minimum(y + 1, image.shape[0])]
    dy, dx = dy[:, None, None], dx[None, :, None]
    right = np.minimum(x + 1, image.shape[1])
    out[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = (
        (1 - dy) * (1 - dx) * above[:, x]
        + dy * (1 - dx) * below[:, x]
        + (1 - dy) * dx * above[:, right]
        + dy * dx * below[:, right]
    )
    return out


def _floor(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low = np.floor(at)
    return low.astype(np.int64), at - low


def crop_darknet(image: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """crop_image: a window that may reach beyond the image, whose border pixels go on for ever.

    Args:
        image: f[h, w, c].
        top, left: of the window, negative above and left of the image; pixels.
        height, width: of the window; pixels.

    Returns:
        f[height, width, c].
    """
    rows = np.clip(np.arange(top, top + height), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(left, left + width), 0, image.shape[1] - 1)
    return image[rows][:, columns]
