"""A training step of tf-models-official's Faster R-CNN ResNet-50 FPN as it is published, on random images.

The model, the task's `train_step` and the optimizer (momentum 0.9) are the package's own, from its experiment
"fasterrcnn_resnetfpn_coco", in float32. Anchors are labelled by its input pipeline, before the step: not measured.

    peers/model_garden/bin/python benchmarks/peers/step_official.py --size 384 --batch 2 --rois 512

Prints one JSON line, see step_clock.py.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf
import tf_keras  # pyright: ignore
from official.core import exp_factory  # pyright: ignore
from official.vision.configs import maskrcnn as _registers  # noqa: F401  # pyright: ignore
from official.vision.ops import anchor  # pyright: ignore
from official.vision.tasks.maskrcnn import MaskRCNNTask  # pyright: ignore
from step_clock import random_boxes, show

TRUTHS = 100  # rows of a batch, as published


def labels_of(config: Any, size: int, boxes: np.ndarray, classes: np.ndarray) -> dict[str, Any]:
    """What the package's parser gives beside the images, for boxes f32[B, M, 4] in [0, 1]."""
    model, rows = config.task.model, []
    anchors = anchor.build_anchor_generator(
        model.min_level, model.max_level, model.anchor.num_scales, model.anchor.aspect_ratios, model.anchor.anchor_size
    )((size, size))
    for found, names in zip(boxes, classes, strict=True):
        pixels, named = tf.constant(found * size), tf.constant(names, tf.float32)
        scores, codes = anchor.RpnAnchorLabeler(0.7, 0.3, 256, 0.5).label_anchors(anchors, pixels, named[:, None])
        missing = TRUTHS - len(found)
        rows.append(
            {
                "anchor_boxes": anchors,
                "image_info": tf.constant([[size, size], [size, size], [1, 1], [0, 0]], tf.float32),
                "rpn_score_targets": scores,
                "rpn_box_targets": codes,
                "gt_boxes": tf.pad(pixels, [[0, missing], [0, 0]], constant_values=-1.0),
                "gt_classes": tf.pad(tf.cast(named, tf.int32), [[0, missing]], constant_values=-1),
            }
        )
    return tf.nest.map_structure(lambda *values: tf.stack(values), *rows)


def main() -> None:
    """Build, count and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rois", type=int, default=512, help="sampled an image; as published")
    parser.add_argument("--steps", type=int, default=2)
    args = parser.parse_args()
    config = exp_factory.get_exp_config("fasterrcnn_resnetfpn_coco")
    config.task.model.input_size = [args.size, args.size, 3]
    config.task.model.num_classes = 81  # background is one
    config.task.model.roi_sampler.num_sampled_rois = args.rois
    task = MaskRCNNTask(config.task)
    model = task.build_model()
    optimizer = tf_keras.optimizers.legacy.SGD(0.001, momentum=0.9)
    boxes, classes = random_boxes(args.batch)
    labels = labels_of(config, args.size, boxes, classes + 1)
    images = tf.constant(np.random.default_rng(0).normal(size=(args.batch, args.size, args.size, 3)), tf.float32)
    compiled = tf.function(lambda: task.train_step((images, labels), model, optimizer))
    function = compiled.get_concrete_function()
    weights = sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)
    show(compiled, function, args.steps, rois=args.rois, trained_weights=weights)


if __name__ == "__main__":
    main()
