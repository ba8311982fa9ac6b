"""A small Faster R-CNN that begins with random weights: some hundred photos with boxes, 320 x 240 pixels, 2 CPU cores.

    wordtree train faster_rcnn_small --data train --tree classes.tree --out run

Five stages of Darknet-19 at half the width and stride 16, and two dense layers for each proposal.
"""

from __future__ import annotations

from detector.config import Experiment
from detector.configs import faster_rcnn_tiny64
from detector.two_stage.anchor_shapes import anchor_shapes

CANVAS = (240, 320)  # height, width
SHAPES = anchor_shapes(CANVAS, base=64.0, scales=(0.25, 0.5, 1.0, 2.0))


def get_config() -> Experiment:
    """The experiment: what differs from `faster_rcnn_tiny64`."""
    return faster_rcnn_tiny64.get_config().but(
        "faster_rcnn_small",
        model={
            "input_size": CANVAS[1],
            "input_height": CANVAS[0],
            "output_stride": 16,
            "anchors": SHAPES,
            "num_anchors": len(SHAPES),
        },
        data={"max_boxes": 50},
        train={"steps": 1000, "batch_size": 8},
        two_stage={
            "rpn_width": 256,
            "proposals": 100,
            "candidates": 1000,
            "anchor_batch": 128,
            "roi_batch": 64,
            "crop": 14,
        },
    )
