"""YOLO9000 as the thesis describes it: "the base YOLOv2 architecture but only 3 priors", 416 pixels.

    wordtree train yolo9000_thesis --data coco-train imagenet-train --tree 9k.tree --out run

The published network (configuration yolo9000) is another: it has neither the three convolutions nor the passthrough.
Here the passthrough takes the whole 26 x 26 x 512 map, 13 x 13 x 2048 reorganised, as the text has it; yolov2.cfg
narrows it to 64 channels first (`--set model.passthrough=64`). The priors are found by k-means, the coordinates of
small boxes weigh no more than others, and a labels-only image pulls its box's objectness to .3 (`loss.weak=paper`).
The thesis gives no schedule for this network; this is yolo9000.cfg's. 44.6 billion operations an image with 9,418
nodes, 96,005,709 numbers.
"""

from __future__ import annotations

from detector.config import Experiment
from detector.configs import yolo9000


def get_config() -> Experiment:
    """The experiment: what differs from `yolo9000`."""
    return yolo9000.get_config().but(
        "yolo9000_thesis",
        model={"input_size": 416, "head_convs": 3, "passthrough": 512, "anchors": ()},
        loss={"weak": "paper", "small_box_weight": False},
        augment={"saturation": 1.5, "exposure": 1.5},
    )
