"""Figures over whole images: how much each holds, box sizes in pixels, classes that occur together."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipelines.statistics.batches import ABSENT, BOX, LABEL
from pipelines.statistics.figure import Figure
from pipelines.statistics.joined import ImageGroup
from pipelines.statistics.keyed_counts import (
    KeyedCounts,
    as_dict,
    count_keys,
    distinct_sorted,
    key_pair,
    merge_counts,
    no_counts,
    pair_key,
)
from pipelines.statistics.sketches import QuantileState, add_values, merge_values, no_values, quantile

SMALL, LARGE = 32.0**2, 96.0**2  # COCO: small below, large from; pixels squared
SIDE_EDGES = np.array([2.0 ** (n / 4) for n in range(53)])  # 1 to 8192 pixels
ASPECT_EDGES = np.array([2.0 ** (n / 4) for n in range(-16, 17)])  # width / height, 1/16 to 16
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
PAIR_IMAGES = 1 << 20  # images whose pairs of classes are counted; of more, a sample by hash
MOST_CLASSES = 256  # an image with more has no part in the pairs
TOP_PAIRS = 60
_AT_ONCE = 1 << 22

Counts = NDArray[np.int64]


class PerImage(msgspec.Struct, frozen=True):
    """Images by how much they hold: {number: images}.

    Attributes:
        boxes: over images in which boxes were sought, or that have some.
        labels: labels that say present; over all images.
        classes: different classes that are present, by box or label; over all images.
    """

    boxes: dict[int, int]
    labels: dict[int, int]
    classes: dict[int, int]


class BoxSizes(msgspec.Struct, frozen=True):
    """Box sizes in pixels.

    Attributes:
        coco: boxes small, medium, large; by the area that the dataset states (in COCO, the mask's), else the box's own.
        stated: how many of them state an area.
        sides: square root of the box's own area, between SIDE_EDGES; first those below 1, last those above.
        aspects: width / height, between ASPECT_EDGES; first those below, last those above.
        flat: boxes without width or height, and boxes whose image is unknown; they are counted here alone.
        quantiles: of the square root of the box's own area at SHARES.
        exact: whether the quantiles are exact.
    """

    coco: tuple[int, int, int]
    stated: int
    sides: tuple[int, ...]
    aspects: tuple[int, ...]
    flat: int
    quantiles: tuple[float, ...]
    exact: bool


class ClassPair(msgspec.Struct, frozen=True):
    """Two classes, first id below the second, and the images that have both."""

    first: int
    second: int
    images: int


class TopPairs(msgspec.Struct, frozen=True):
    """The commonest pairs, counted in a share of the images; how many different ones; how many images were left out."""

    pairs: tuple[ClassPair, ...]
    share: float
    different: int
    left_out: int


def _present(group: ImageGroup) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(image row, class id), each pair once, ascending: what is present in each image."""
    said = (group.annotations["what"] != ABSENT) & (group.row >= 0)
    keys = distinct_sorted(pair_key(group.row[said], np.maximum(group.annotations["class_id"][said], 0)))
    return (keys >> np.uint64(32)).astype(np.int64), (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)


class Load(Figure[ImageGroup, tuple[KeyedCounts, ...], PerImage]):
    """See `PerImage`."""

    def zero(self) -> tuple[KeyedCounts, ...]:
        return (no_counts(1),) * 3

    def add(self, state: tuple[KeyedCounts, ...], batch: ImageGroup) -> tuple[KeyedCounts, ...]:
        n, what, known = len(batch.images), batch.annotations["what"], batch.row >= 0
        boxes = np.bincount(batch.row[known & (what == BOX)], minlength=n)
        labels = np.bincount(batch.row[known & (what == LABEL)], minlength=n)
        classes = np.bincount(_present(batch)[0], minlength=n)
        sought = (batch.images["has_boxes"] == 1) | (boxes > 0)
        return self.merge(state, tuple(count_keys(numbers) for numbers in (boxes[sought], labels, classes)))

    def merge(self, left: tuple[KeyedCounts, ...], right: tuple[KeyedCounts, ...]) -> tuple[KeyedCounts, ...]:
        return tuple(merge_counts(a, b) for a, b in zip(left, right, strict=True))

    def result(self, state: tuple[KeyedCounts, ...]) -> PerImage:
        return PerImage(*({key: row[0] for key, row in as_dict(counts).items()} for counts in state))


class ImagesOfClass(Figure[ImageGroup, KeyedCounts, dict[int, int]]):
    """By class id, the images in which it is present, exactly."""

    def zero(self) -> KeyedCounts:
        return no_counts(1)

    def add(self, state: KeyedCounts, batch: ImageGroup) -> KeyedCounts:
        return merge_counts(state, count_keys(_present(batch)[1]))

    def merge(self, left: KeyedCounts, right: KeyedCounts) -> KeyedCounts:
        return merge_counts(left, right)

    def result(self, state: KeyedCounts) -> dict[int, int]:
        return {key: row[0] for key, row in as_dict(state).items()}


class Orphans(Figure[ImageGroup, int, int]):
    """Annotations whose image is not in the index: 0 in a sound dataset."""

    def zero(self) -> int:
        return 0

    def add(self, state: int, batch: ImageGroup) -> int:
        return state + int((batch.row < 0).sum())

    def merge(self, left: int, right: int) -> int:
        return left + right

    def result(self, state: int) -> int:
        return state


class Sizes(Figure[ImageGroup, tuple[Counts, QuantileState], BoxSizes]):
    """See `BoxSizes`."""

    _SIDES, _ASPECTS = len(SIDE_EDGES) + 1, len(ASPECT_EDGES) + 1

    def zero(self) -> tuple[Counts, QuantileState]:
        return np.zeros(5 + self._SIDES + self._ASPECTS, np.int64), no_values()

    def add(self, state: tuple[Counts, QuantileState], batch: ImageGroup) -> tuple[Counts, QuantileState]:
        boxes = batch.annotations["what"] == BOX
        rows, image = batch.annotations[boxes], batch.row[boxes]
        known = image >= 0
        height, width = (
            rows[name].astype(np.float64) * np.where(known, batch.images[name][image] if len(batch.images) else 0, 0)
            for name in ("height", "width")
        )
        good = (height > 0) & (width > 0) & np.isfinite(height) & np.isfinite(width)
        height, width, stated = height[good], width[good], rows["area"][good].astype(np.float64)
        own = height * width
        has_stated = np.isfinite(stated) & (stated > 0)
        area = np.where(has_stated, stated, own)
        side = np.sqrt(own)
        counts = [
            [(area < SMALL).sum(), ((area >= SMALL) & (area < LARGE)).sum(), (area >= LARGE).sum()],
            [has_stated.sum(), len(good) - good.sum()],
            np.bincount(np.searchsorted(SIDE_EDGES, side, side="right"), minlength=self._SIDES),
            np.bincount(np.searchsorted(ASPECT_EDGES, width / height, side="right"), minlength=self._ASPECTS),
        ]
        return state[0] + np.concatenate(counts).astype(np.int64), add_values(state[1], side)

    def merge(
        self, left: tuple[Counts, QuantileState], right: tuple[Counts, QuantileState]
    ) -> tuple[Counts, QuantileState]:
        return left[0] + right[0], merge_values(left[1], right[1])

    def result(self, state: tuple[Counts, QuantileState]) -> BoxSizes:
        small, medium, large, stated, flat, *rest = state[0].tolist()
        return BoxSizes(
            coco=(small, medium, large),
            stated=stated,
            sides=tuple(rest[: self._SIDES]),
            aspects=tuple(rest[self._SIDES :]),
            flat=flat,
            quantiles=tuple(quantile(state[1], share) for share in SHARES) if state[1].count else (),
            exact=state[1].values is not None,
        )


class Together(Figure[ImageGroup, tuple[KeyedCounts, int], TopPairs]):
    """See `TopPairs`: over all images while they are few, else over about `most` of them, those with small hashes."""

    def __init__(self, images: int, most: int = PAIR_IMAGES) -> None:
        self._bound = min(2**64 - 1, 2**64 * most // max(images, 1))
        self._share = min(1.0, most / max(images, 1))

    def zero(self) -> tuple[KeyedCounts, int]:
        return no_counts(1), 0

    def add(self, state: tuple[KeyedCounts, int], batch: ImageGroup) -> tuple[KeyedCounts, int]:
        row, class_id = _present(batch)
        chosen = batch.images["image"][row] <= np.uint64(self._bound) if len(batch.images) else row < 0
        row, class_id = row[chosen], class_id[chosen]
        numbers = np.bincount(row, minlength=len(batch.images))
        counts, left_out = state
        left_out += int((numbers > MOST_CLASSES).sum())
        for keys in _pairs(row, class_id, numbers):
            counts = merge_counts(counts, count_keys(keys))
        return counts, left_out

    def merge(self, left: tuple[KeyedCounts, int], right: tuple[KeyedCounts, int]) -> tuple[KeyedCounts, int]:
        return merge_counts(left[0], right[0]), left[1] + right[1]

    def result(self, state: tuple[KeyedCounts, int]) -> TopPairs:
        numbers = state[0].counts[:, 0]
        top = np.lexsort((state[0].keys, -numbers))[:TOP_PAIRS]
        pairs = [(key_pair(key), number) for key, number in zip(state[0].keys[top].tolist(), numbers[top], strict=True)]
        chosen = tuple(ClassPair(first, second, int(number)) for (first, second), number in pairs)
        return TopPairs(chosen, self._share, len(state[0].keys), state[1])


def _pairs(row: NDArray[np.int64], class_id: NDArray[np.int64], numbers: Counts) -> Iterator[NDArray[np.uint64]]:
    """Keys of the pairs of classes of each image, images of as many classes together."""
    mine = numbers[row]
    for m in np.unique(numbers[(numbers > 1) & (numbers <= MOST_CLASSES)]).tolist():
        table = class_id[mine == m].reshape(-1, m)
        first, second = np.triu_indices(m, 1)
        step = max(1, _AT_ONCE // len(first))
        for start in range(0, len(table), step):
            part = table[start : start + step]
            yield pair_key(part[:, first].ravel(), part[:, second].ravel())


def image_figures(images: int) -> dict[str, Figure]:
    """All figures over whole images, by name.

    Args:
        images: of the dataset, as its manifest counts them; decides whether pairs are counted in a sample.
    """
    return {
        "load": Load(),
        "images_of_class": ImagesOfClass(),
        "orphans": Orphans(),
        "box_sizes": Sizes(),
        "together": Together(images),
    }
