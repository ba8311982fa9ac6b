"""A row of a dataset as padded arrays: what of a batch is not pixels. Pure.

Shape shorthand as in `detector.api`: M boxes, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from detector.augment.draws import Uniform
from detector.augment.placement import DARKNET_LEAST_SIDE, Placement, content_box, place_boxes
from detector.config import AugmentConfig, DataConfig
from detector.training_row import TrainingRow


class Targets(NamedTuple):
    """The fields of `detector.api.Batch` of one image, in its order, but for the images."""

    boxes: np.ndarray
    nodes: np.ndarray
    box_mask: np.ndarray
    has_boxes: np.bool_
    image_nodes: np.ndarray
    image_node_sign: np.ndarray
    image_node_weight: np.ndarray
    source: np.int32
    content: np.ndarray


class Counts(NamedTuple):
    """What became of the boxes and labels of one image, or of many.

    Attributes:
        images: how many.
        boxes: how many their records hold.
        boxes_hidden: of them, those that augmentation left too little of.
        boxes_cut: those beyond data.max_boxes.
        labels_cut: image labels beyond data.max_labels.
    """

    images: int = 0
    boxes: int = 0
    boxes_hidden: int = 0
    boxes_cut: int = 0
    labels_cut: int = 0

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


def make_targets(
    row: TrainingRow,
    nodes: Mapping[int, int],
    placement: Placement,
    augment: AugmentConfig | None,
    data: DataConfig,
    *,
    source: int = 0,
    rng: Uniform | None = None,
) -> tuple[Targets, Counts]:
    """The targets of a row on its canvas, and what was left out.

    Boxes keep the record's order, and those past `data.max_boxes` are left out; in darknet's modes they are shuffled
    first, as darknet does. Labels that are present come before those that are verified absent.

    Args:
        row: of the dataset.
        nodes: tree node of each class id.
        placement: of the image on the canvas.
        augment: its mode says which boxes stay; None for all that are visible.
        data: how many boxes and labels.
        source: number of the dataset.
        rng: for the order of boxes in darknet's modes.
    """
    darknet = augment is not None and augment.mode != "zoom"
    min_visible = 0.0 if augment is None or darknet else augment.min_visible
    min_side = DARKNET_LEAST_SIDE if darknet else 0.0
    out_boxes = np.zeros((data.max_boxes, 4), np.float32)
    out_nodes = np.zeros(data.max_boxes, np.int32)
    total = visible = kept = 0
    if total := len(row.class_ids):
        placed, shown = place_boxes(row.boxes, placement, min_visible=min_visible, min_side=min_side)
        order = np.flatnonzero(shown)
        visible = len(order)
        if darknet and rng is not None:
            order = order[np.argsort(rng.random(visible), kind="stable")]
        order = order[: data.max_boxes]
        kept = len(order)
        out_boxes[:kept] = placed[order]
        out_nodes[:kept] = [-1 if row.ignored[k] else nodes[row.class_ids[k]] for k in order]
    image_nodes = np.zeros(data.max_labels, np.int32)
    sign = np.zeros(data.max_labels, np.int8)
    weight = np.zeros(data.max_labels, np.float32)
    labels = list(zip(row.label_ids, row.present, row.confidence, strict=True))
    if len(labels) > data.max_labels:
        labels.sort(key=lambda label: not label[1])
    for slot, (class_id, present, confidence) in enumerate(labels[: data.max_labels]):
        image_nodes[slot] = nodes[class_id]
        sign[slot] = 1 if present else -1
        weight[slot] = confidence
    targets = Targets(
        out_boxes,
        out_nodes,
        np.arange(data.max_boxes) < kept,
        np.bool_(row.has_boxes),
        image_nodes,
        sign,
        weight,
        np.int32(source),
        content_box(placement),
    )
    return targets, Counts(1, total, total - visible, visible - kept, max(len(labels) - data.max_labels, 0))
