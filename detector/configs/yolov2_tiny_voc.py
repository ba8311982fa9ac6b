"""YOLOv2 tiny for Pascal VOC (yolov2-tiny-voc.cfg): 416 pixels, five priors; 15,867,885 numbers with 20 classes.

    wordtree train yolov2_tiny_voc --data voc-train --tree voc.tree --out run

The tree is flat: a .tree file with a line `NAME -1` for each class, in the order of the classes. 6.97 billion
operations an image. Its schedule has no burn-in: a tenth of the rate for the first 100 steps.
"""

from __future__ import annotations

from detector.config import Experiment
from detector.configs import yolov2_tiny
from detector.configs.yolov2 import in_images

PRIORS = (  # in cells
    (1.08, 1.19),
    (3.42, 4.41),
    (6.63, 11.38),
    (9.42, 5.11),
    (16.62, 10.52),
)


def get_config() -> Experiment:
    """The experiment: what differs from `yolov2_tiny`."""
    return yolov2_tiny.get_config().but(
        "yolov2_tiny_voc",
        model={"head_width": 1024, "anchors": in_images(PRIORS, 13)},
        loss={"rescore": True},
        train={
            "steps": 40_200,
            "learning_rate": 1e-4,
            "warmup_steps": 0,
            "warmup_power": 1.0,
            "schedule_steps": (100, 20_000, 30_000),
            "schedule_scales": (10.0, 0.1, 0.1),
        },
    )
