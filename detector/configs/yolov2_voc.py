"""YOLOv2 for Pascal VOC (yolov2-voc.cfg): as for COCO, at 416 pixels; 50,676,061 numbers with 20 classes.

    wordtree train yolov2_voc --data voc-train --tree voc.tree --out run

The tree is flat: a .tree file with a line `NAME -1` for each class, in the order of the classes. 29.36 billion
operations an image: for accelerators. Start from a classifier (configurations darknet19 and darknet19_448) with --init.
"""

from __future__ import annotations

from detector.config import Experiment
from detector.configs import yolov2

PRIORS = (  # in cells
    (1.3221, 1.73145),
    (3.19275, 4.00944),
    (5.05587, 8.09892),
    (9.47112, 4.84053),
    (11.2364, 10.0071),
)


def get_config() -> Experiment:
    """The experiment: what differs from `yolov2`."""
    return yolov2.get_config().but(
        "yolov2_voc",
        model={"input_size": 416, "anchors": yolov2.in_images(PRIORS, 13)},
        train={"steps": 80_200, "schedule_steps": (40_000, 60_000)},
    )
