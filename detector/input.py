"""The joint stream: detection and classification datasets at a given share, as padded `Batch`es.

Position i of the stream is a pure function of (i, seed): the mixture says which source and which of its images
(`schemas.mixture`), a permutation seeded by the epoch says which record, and a generator seeded by the position makes
the random choices. So a run that stops after n batches goes on at position n * batch size, exactly.

Shape shorthand as in `detector.api`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf

from detector.api import Batch
from detector.augment import (
    PLAIN_COLOUR,
    Colour,
    Placement,
    distort,
    letterbox,
    place_boxes,
    place_image,
    sample_colour,
    sample_placement,
)
from detector.config import AugmentConfig, DataConfig
from detector.dataset import Dataset
from schemas.errors import ConfigError, FormatError
from schemas.mixture import Mixture
from schemas.record import ImageRecord
from wordtree.tree import WordTree


@dataclass(frozen=True)
class Source:
    """One dataset as the stream sees it: records, and the tree node of each class id."""

    dataset: Dataset
    nodes: dict[int, int]


class JointStream:
    """The endless joint stream.

    Args:
        datasets: detection sets, classification sets, or both, in any order.
        tree: its nodes are the targets.
        data: shares and sizes.
        augment: None for plain letterboxed images.
        size: of the images in pixels.
        seed: of order and augmentation.

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
        size: int,
        seed: int,
    ) -> None:
        if not datasets:
            raise ConfigError("no dataset to train on; give some with --data")
        empty = [dataset.path for dataset in datasets if not len(dataset)]
        if empty:
            raise ConfigError(f"{empty[0]} has no images; is everything in its rejects.jsonl?")
        self.sources = [Source(dataset, dataset.nodes(tree)) for dataset in datasets]
        self.data, self.augment, self.size, self.seed = data, augment, size, seed
        self.mixture = Mixture(tuple(self._weights()))

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
        count = len(self.sources[number].dataset)
        epoch, place = divmod(index, count)
        return number, int(_permutation(count, _hash_seed(self.seed, "order", number, epoch))[place])

    def example(self, position: int) -> tuple[Any, ...]:
        """Everything of one position but the decoded pixels: see `_SIGNATURE`."""
        number, row = self.locate(position)
        source = self.sources[number]
        record = source.dataset.record(row)
        rng = np.random.default_rng(_hash_seed(self.seed, "augment", position))
        if self.augment is None:
            placement, colour, min_visible = letterbox(record.height, record.width), PLAIN_COLOUR, 0.0
        else:
            placement = sample_placement(record.height, record.width, self.augment, rng)
            colour = sample_colour(self.augment, rng)
            min_visible = self.augment.min_visible
        return to_arrays(record, source.nodes, placement, colour, min_visible, self.data)

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

    def batches(self, batch_size: int, *, start: int = 0, stop: int | None = None, threads: int = 2) -> tf.data.Dataset:
        """Batches from batch number `start` on, until `stop` or without end."""

        def examples() -> Iterator[tuple[Any, ...]]:
            position = start * batch_size
            end = None if stop is None else stop * batch_size
            while end is None or position < end:
                yield self.example(position)
                position += 1

        stream = tf.data.Dataset.from_generator(examples, output_signature=_signature(self.data))
        stream = stream.map(lambda *row: _with_pixels(row, self.size), num_parallel_calls=threads, deterministic=True)
        return stream.batch(batch_size, drop_remainder=True).prefetch(4)


def to_arrays(
    record: ImageRecord,
    nodes: dict[int, int],
    placement: Placement,
    colour: Colour,
    min_visible: float,
    data: DataConfig,
) -> tuple[Any, ...]:
    """A record as padded arrays. Pure; the order of boxes is the record's, and those past `max_boxes` are left out."""
    boxes = np.array([annotation.box for annotation in record.boxes], np.float64).reshape(-1, 4)
    placed, visible = place_boxes(boxes, placement, min_visible=min_visible)
    targets = [-1 if box.is_crowd or box.is_group_of else nodes[box.class_id] for box in record.boxes]
    kept = np.flatnonzero(visible)[: data.max_boxes]
    out_boxes = np.zeros((data.max_boxes, 4), np.float32)
    out_nodes = np.zeros(data.max_boxes, np.int32)
    out_boxes[: len(kept)] = placed[kept]
    out_nodes[: len(kept)] = np.array(targets, np.int32)[kept] if targets else 0
    image_nodes = np.zeros(data.max_labels, np.int32)
    sign = np.zeros(data.max_labels, np.int8)
    weight = np.zeros(data.max_labels, np.float32)
    for slot, label in enumerate(record.labels[: data.max_labels]):
        image_nodes[slot] = nodes[label.class_id]
        sign[slot] = 1 if label.present else -1
        weight[slot] = label.confidence
    if record.encoded is None:
        raise FormatError(f"record {record.image_id!r} has no encoded image")
    return (
        record.encoded,
        np.array(placement, np.float32),
        np.array(colour, np.float32),
        out_boxes,
        out_nodes,
        np.arange(data.max_boxes) < len(kept),
        np.bool_(record.has_boxes),
        image_nodes,
        sign,
        weight,
    )


def _signature(data: DataConfig) -> tuple[tf.TensorSpec, ...]:
    boxes, labels = data.max_boxes, data.max_labels
    return (
        tf.TensorSpec([], tf.string),
        tf.TensorSpec([5], tf.float32),
        tf.TensorSpec([4], tf.float32),
        tf.TensorSpec([boxes, 4], tf.float32),
        tf.TensorSpec([boxes], tf.int32),
        tf.TensorSpec([boxes], tf.bool),
        tf.TensorSpec([], tf.bool),
        tf.TensorSpec([labels], tf.int32),
        tf.TensorSpec([labels], tf.int8),
        tf.TensorSpec([labels], tf.float32),
    )


def decode_image(encoded: tf.Tensor) -> tf.Tensor:
    """Encoded JPEG, PNG, GIF (first frame) or BMP to f32[h, w, 3] in [0, 1]; grey and CMYK become RGB."""
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    return tf.cast(image, tf.float32) / 255.0


def first_line(error: tf.errors.OpError) -> str:
    """What TensorFlow says went wrong, without its graph."""
    text = str(error.message).split("[Op:")[0].split("{{")[-1].split("}}")[-1]
    return text.strip().splitlines()[0].strip() if text.strip() else "unreadable"


def _with_pixels(row: tuple[tf.Tensor, ...], size: int) -> Batch:
    encoded, placement, colour, *rest = row
    image = place_image(decode_image(encoded), placement, size)
    plain = tf.constant(PLAIN_COLOUR, tf.float32)
    image = tf.cond(tf.reduce_all(colour == plain), lambda: image, lambda: distort(image, colour))
    return Batch(image, *rest)


def _hash_seed(*parts: object) -> int:
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@lru_cache(maxsize=16)
def _permutation(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(count)
