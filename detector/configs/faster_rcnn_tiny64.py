"""A small Faster R-CNN for 64x64 photos: coarse classes boxed, fine classes only labelled.

    wordtree train faster_rcnn_tiny64 --data det-train cls-train --tree tree --out run

Five stages of Darknet-19 at half the width and stride 8, and two dense layers for each proposal.
"""

from __future__ import annotations

from detector.config import Experiment
from detector.configs import tiny64
from detector.two_stage.anchor_shapes import anchor_shapes

SHAPES = anchor_shapes((64, 64), base=32.0, scales=(0.375, 0.75, 1.5))


def get_config() -> Experiment:
    """The experiment: what differs from `tiny64`."""
    return tiny64.get_config().but(
        "faster_rcnn_tiny64",
        model={"architecture": "faster_rcnn", "anchors": SHAPES, "num_anchors": len(SHAPES)},
        loss={"weak": "marginal", "weak_scale": 0.25, "prior_images": 12_800, "coord_scale": 1.0},
        two_stage={
            "second_stage": "dense",
            "head_width": 256,
            "rpn_width": 128,
            "proposals": 50,
            "candidates": 576,
            "anchor_batch": 64,
            "cross_boundary": True,  # most objects reach the edges of such pictures
            "roi_batch": 32,
            "crop": 8,
        },
    )
