"""A small YOLOv2 that begins with random weights: some hundred photos with boxes, 320 x 240 pixels, 2 CPU cores.

    wordtree train yolov2_small --data train --tree classes.tree --out run

Five stages of Darknet-19 at half the width, stride 16.
"""

from __future__ import annotations

from detector.config import Experiment
from detector.configs import tiny64


def get_config() -> Experiment:
    """The experiment: what differs from `tiny64`."""
    return tiny64.get_config().but(
        "yolov2_small",
        model={"input_size": 320, "input_height": 240, "output_stride": 16, "num_anchors": 5},
        data={"max_boxes": 50},
        train={"steps": 1000, "batch_size": 8},
    )
