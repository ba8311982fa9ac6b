"""YOLOv2 tiny for COCO (yolov2-tiny.cfg): 416 pixels, five priors; 11,237,145 numbers with 80 classes.

    wordtree train yolov2_tiny --data coco-train --tree coco.tree --out run

The tree is flat: a .tree file with a line `NAME -1` for each class, in the order of the classes. 5.41 billion
operations an image. The objectness target is 1, not the IoU (rescore=0).
"""

from __future__ import annotations

from detector.config import Experiment
from detector.configs import yolov2


def get_config() -> Experiment:
    """The experiment: what differs from `yolov2`."""
    return yolov2.get_config().but(
        "yolov2_tiny",
        model={
            "network": "tiny",
            "input_size": 416,
            "head_convs": 1,
            "head_width": 512,
            "passthrough": 0,
            "anchors": yolov2.in_images(yolov2.PRIORS, 13),
        },
        loss={"rescore": False},
        augment={"jitter": 0.2},
        train={"subdivisions": 2},
    )
