"""The joint stream: detection and classification datasets at a given share, as padded `Batch`es.

Position i of the stream is a pure function of (i, seed): the mixture says which source and which of its images
(`schemas.mixture`), a permutation seeded by the epoch says which record, and numbers that hash the position make the
random choices. So a run that stops after n batches goes on at position n * batch size, exactly; the size of a batch's
images is a function of its number as well.

Two stretches: rows in Python (one read a record, its targets, where the image lies), and pixels in TensorFlow on all
cores (`detector.image_rows`). Memory: two batches of encoded rows, three of pixels, and an image a core.

Shape shorthand as in `detector.api`.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from detector.api import Batch
from detector.augment import PLAIN_COLOUR, HashDraws, letterbox, sample_colour, sample_placement
from detector.config import AugmentConfig, DataConfig
from detector.dataset import Dataset
from detector.image_rows import ImageRow, decode_image, draw, first_line, image_row, signature
from detector.targets import Counts, Targets, make_targets
from schemas.errors import ConfigError, FormatError, WordTreeError
from schemas.mixture import Mixture
from wordtree.tree import WordTree

__all__ = ["Batches", "Example", "JointStream", "Source", "decode_image", "first_line"]

REMOTE_READERS = 16
STRIDE = 32  # multi-scale sizes of a canvas that is no square are rounded to it
SizeAt = Callable[[int], "int | tuple[int, int]"]


@dataclass(frozen=True)
class Source:
    """One dataset as the stream sees it: records, and the tree node of each class id."""

    dataset: Dataset
    nodes: dict[int, int]


@dataclass(frozen=True)
class Example:
    """One position of the stream: the image still encoded, with what to do to it, and its targets."""

    image: ImageRow
    targets: Targets
    counts: Counts


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


class JointStream:
    """The endless joint stream.

    Args:
        datasets: detection sets, classification sets, or both, in any order.
        tree: its nodes are the targets.
        data: shares and sizes.
        augment: None for plain letterboxed images.
        size: of the images in pixels: of a square, or (height, width).
        seed: of order and augmentation.
        log: is told once what `data.max_boxes` and `data.max_labels` cut off.
        shorter: most pixels that the shorter side of an image gets on the canvas, see `augment.letterbox`; on another
            canvas of multi-scale training in proportion. 0: as many as there are.

    Attributes:
        counts: what was handed out and what was left out so far.
        failure: what went wrong while rows were read, before TensorFlow wrapped it; or None.

    Raises:
        TreeError: if a dataset does not fit the tree.
        ConfigError: if there is no dataset, or one is empty.
    """

    def __init__(
        self,
        datasets: Sequence[Dataset],
        tree: WordTree,
        *,
        data: DataConfig,
        augment: AugmentConfig | None,
        size: int | tuple[int, int],
        seed: int,
        log: Callable[[str], None] = _to_stderr,
        shorter: int = 0,
    ) -> None:
        if not datasets:
            raise ConfigError("no dataset to train on; give some with --data")
        empty = [dataset.path for dataset in datasets if not len(dataset)]
        if empty:
            raise ConfigError(f"{empty[0]} has no images; is everything in its rejects.jsonl?")
        self.sources = [Source(dataset, dataset.nodes(tree)) for dataset in datasets]
        self.data, self.augment, self.seed, self.shorter = data, augment, seed, shorter
        self.canvas = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        self.mixture = Mixture(tuple(self._weights()))
        self.counts = Counts()
        self.failure: WordTreeError | None = None
        self._log, self._said = log, False
        remote = any(not source.dataset.is_local for source in self.sources)
        self._map = ThreadPoolExecutor(REMOTE_READERS).map if remote else map
        self._orders: list[dict[int, np.ndarray]] = [{} for _ in self.sources]

    def _weights(self) -> list[float]:
        """The share of labels-only to boxed images, split among sets of one kind by their number of images."""
        kinds = [source.dataset.has_boxes for source in self.sources]
        total = {kind: sum(len(s.dataset) for s in self.sources if s.dataset.has_boxes == kind) for kind in set(kinds)}
        share = {False: self.data.shares[0], True: self.data.shares[1]} if len(total) == 2 else {kinds[0]: 1.0}
        return [
            share[kind] * len(source.dataset) / total[kind] for kind, source in zip(kinds, self.sources, strict=True)
        ]

    def locate(self, position: int) -> tuple[int, int]:
        """(source number, index row) of a position of the stream."""
        number, index = self.mixture.source_at(position)
        epoch, place = divmod(index, len(self.sources[number].dataset))
        return number, int(self._order(number, epoch)[place])

    def _order(self, number: int, epoch: int) -> np.ndarray:
        """The rows of a source in the order of an epoch; the last two epochs are kept."""
        orders = self._orders[number]
        found = orders.get(epoch)
        if found is None:
            count = len(self.sources[number].dataset)
            found = np.random.default_rng(_hash_seed(self.seed, "order", number, epoch)).permutation(count)
            found = orders[epoch] = found.astype(np.int32 if count < 2**31 else np.int64)
            for old in sorted(orders)[:-2]:
                orders.pop(old, None)
        return found

    def example(self, position: int, canvas: tuple[int, int] | None = None) -> Example:
        """Everything of one position but the decoded pixels.

        Args:
            position: in the stream, from 0.
            canvas: (height, width) of its batch; None for the stream's.

        Raises:
            FormatError, InputError: if the record cannot be read.
        """
        number, row = self.locate(position)
        source, size = self.sources[number], canvas or self.canvas
        record = source.dataset.training_row(row)
        shorter = self.shorter * max(size) / max(self.canvas)
        if self.augment is None:
            placement, colour, rng = letterbox(record.height, record.width, size, shorter), PLAIN_COLOUR, None
        else:
            rng = HashDraws(self.seed, "augment", position)
            placement = sample_placement(record.height, record.width, self.augment, rng, size, shorter)
            colour = sample_colour(self.augment, rng)
        try:
            targets, counts = make_targets(
                record, source.nodes, placement, self.augment, self.data, source=number, rng=rng
            )
        except KeyError as error:
            raise FormatError(
                f"{source.dataset.path}, record {source.dataset.image_ids[row]!r}: class id {error} is none of the "
                "manifest's classes; convert the dataset again"
            ) from error
        zoom = self.augment is None or self.augment.mode == "zoom"
        return Example(image_row(record, placement, colour, size, may_shrink=zoom), targets, counts)

    def first_undecodable(self, start: int, count: int) -> str:
        """Which image among `count` positions from `start` on cannot be decoded, for an error; "" if all can."""
        for position in range(start, start + count):
            number, row = self.locate(position)
            dataset = self.sources[number].dataset
            record = dataset.record(row)
            try:
                decode_image(tf.constant(record.encoded or b""))
            except tf.errors.InvalidArgumentError as error:
                return f"image {record.image_id!r} ({record.uri}) of {dataset.path}: {first_line(error)}"
        return ""

    def canvas_of(self, size: int | tuple[int, int]) -> tuple[int, int]:
        """(height, width) for a size that multi-scale training asks for.

        One number is the width; the height follows in the stream's own proportion, in whole strides of 32.
        """
        if not isinstance(size, int | np.integer):
            return int(size[0]), int(size[1])
        height, width = self.canvas
        if height == width:
            return int(size), int(size)
        return max(round(size * height / width / STRIDE), 1) * STRIDE, int(size)

    def batches(
        self,
        batch_size: int,
        *,
        start: int = 0,
        stop: int | None = None,
        size_at: SizeAt | None = None,
        threads: int | None = None,
    ) -> Batches:
        """Batches from batch number `start` on, until `stop` or without end.

        Args:
            batch_size: images in each.
            start, stop: numbers of the first batch and of the one after the last.
            size_at: the size of a batch's images by its number, for `canvas_of`; None for the stream's own.
            threads: images decoded at a time; None for one a core.
        """
        return Batches(self, batch_size, start, stop, size_at, threads or len(os.sched_getaffinity(0)))

    def rows(self, number: int, batch_size: int, size_at: SizeAt | None) -> list[np.ndarray]:
        """A batch before its pixels are drawn: `detector.image_rows.signature`, one array a field."""
        canvas = self.canvas if size_at is None else self.canvas_of(size_at(number))
        positions = range(number * batch_size, (number + 1) * batch_size)
        try:
            examples = list(self._map(lambda position: self.example(position, canvas), positions))
        except WordTreeError as error:
            self.failure = error
            raise
        for example in examples:
            self.counts = self.counts.plus(example.counts)
        self._say_what_was_cut()
        return [
            np.array(column, object) if isinstance(column[0], bytes) else np.stack(column)
            for column in zip(*((*example.image, *example.targets) for example in examples), strict=True)
        ]

    def _say_what_was_cut(self) -> None:
        counts = self.counts
        if self._said or not (counts.boxes_cut or counts.labels_cut):
            return
        self._said = True
        self._log(
            f"more than data.max_boxes = {self.data.max_boxes} boxes or data.max_labels = {self.data.max_labels} "
            f"labels: in the first {counts.images} images {counts.boxes_cut} of {counts.boxes} boxes and "
            f"{counts.labels_cut} labels are not trained on (said once)"
        )


class Batches:
    """Batches of a stream; each iteration begins at the first.

    Attributes:
        dataset: the same as a tf.data.Dataset, whose errors are TensorFlow's.
    """

    def __init__(
        self, stream: JointStream, batch_size: int, start: int, stop: int | None, size_at: SizeAt | None, threads: int
    ) -> None:
        self._stream, self._batch_size, self._start = stream, batch_size, start
        canvas = stream.canvas if size_at is None else None
        augment = stream.augment
        fields = signature(stream.data, batch_size)

        def read(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
            # Not Dataset.from_generator: it sets malloc's threshold for the whole process so low that every tensor of
            # 128 KiB is mapped and unmapped (a third of a CPU's time in the kernel).
            columns = tf.numpy_function(
                lambda n: stream.rows(int(n), batch_size, size_at), [number], [field.dtype for field in fields]
            )
            return tuple(tf.ensure_shape(column, field.shape) for column, field in zip(columns, fields, strict=True))

        numbers = tf.data.Dataset.range(start, tf.int64.max if stop is None else stop)
        images = numbers.map(read).prefetch(1).unbatch()
        images = images.map(
            lambda *row: Batch(
                draw(ImageRow(*row[: len(ImageRow._fields)]), augment, canvas), *row[len(ImageRow._fields) :]
            ),
            num_parallel_calls=threads,
            deterministic=True,
        )
        self.dataset = images.batch(batch_size, drop_remainder=True).prefetch(2)

    def __iter__(self) -> Iterator[Batch]:
        """The batches.

        Raises:
            FormatError, InputError: if a record cannot be read, or its image not be decoded; it is named.
        """
        number, self._stream.failure = self._start, None
        try:
            for batch in self.dataset:
                yield batch
                number += 1
        except tf.errors.OpError as error:
            if self._stream.failure is not None:
                raise self._stream.failure from error
            ahead = 8 * self._batch_size  # batches are prepared ahead of the step
            culprit = self._stream.first_undecodable(number * self._batch_size, ahead)
            if not culprit:
                raise
            raise FormatError(f"{culprit}. Remove it from the source and convert again") from error


def _hash_seed(*parts: object) -> int:
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
