"""Inputs to images on the canvas, in order, while the network works on those before them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detector.infer.canvas import Fit, draw
from detector.infer.films import frames
from detector.infer.sources import Unreadable, is_film, load_image

READERS = 4


class Sight(NamedTuple):
    """One image to look at.

    Attributes:
        path: of the file.
        image: RGB.
        canvas: f32[H, W, 3] the image as the network sees it.
        frame: number in its film; None for a photo.
        seconds: in its film.
    """

    path: str
    image: Image.Image
    canvas: NDArray[np.float32]
    frame: int | None = None
    seconds: float | None = None


def read_sights(
    paths: Sequence[str], canvas: tuple[int, int], fit: Fit, *, every: int = 1, ahead: int = 32, readers: int = READERS
) -> Iterator[Sight | Unreadable]:
    """All images and frames, in the order of `paths`.

    Photos are read, decoded and drawn by threads; the frames of a film are decoded one after another, by one thread,
    and drawn by the others. At most `ahead` images wait to be taken, so that memory stays bounded.

    Args:
        paths: from `find_inputs`.
        canvas: (height, width) in pixels.
        fit: how an image is laid on it.
        every: of a film, every so manieth frame.
        ahead: how many are worked on before they are asked for.
        readers: threads.
    """

    def still(path: str) -> Sight | Unreadable:
        image = load_image(path)
        return image if isinstance(image, Unreadable) else drawn(path, image)

    def drawn(path: str, image: Image.Image, frame: int | None = None, seconds: float | None = None) -> Sight:
        return Sight(path, image, draw(np.asarray(image), canvas, fit), frame, seconds)

    waiting: deque[Future[Sight | Unreadable]] = deque()
    with ThreadPoolExecutor(readers) as pool, ThreadPoolExecutor(1) as projector:
        try:
            for path in paths:
                if is_film(path):
                    film = frames(path, every)
                    while (frame := projector.submit(next, film, None).result()) is not None:
                        if isinstance(frame, Unreadable):
                            waiting.append(pool.submit(lambda bad=frame: bad))
                        else:
                            waiting.append(pool.submit(drawn, path, frame.image, frame.number, frame.seconds))
                        if len(waiting) >= ahead:
                            yield waiting.popleft().result()
                else:
                    waiting.append(pool.submit(still, path))
                    if len(waiting) >= ahead:
                        yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def batches(sights: Iterator[Sight | Unreadable], size: int) -> Iterator[tuple[list[Sight], list[Unreadable]]]:
    """Groups of `size` images that could be read, and what could not be read among them; the last may be smaller."""
    good: list[Sight] = []
    bad: list[Unreadable] = []
    for sight in sights:
        if isinstance(sight, Unreadable):
            bad.append(sight)
        else:
            good.append(sight)
        if len(good) == size:
            yield good, bad
            good, bad = [], []
    if good or bad:
        yield good, bad
