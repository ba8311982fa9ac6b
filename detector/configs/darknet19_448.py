"""Darknet-19 as a classifier, tuned at 448 pixels after `darknet19`: the last step before detection (thesis 2.2).

    wordtree train darknet19_448 --data imagenet-train --tree wordtree1k.tree --init run224 --out run448
    wordtree train yolo9000 --data coco-train imagenet-train --tree 9k.tree --init run448 --out run

Schedule and distortion are darknet19_448.cfg's; its turns of up to 7 degrees are not made here.
"""

from __future__ import annotations

from detector.config import Experiment
from detector.configs import darknet19


def get_config() -> Experiment:
    """The experiment: what differs from `darknet19`."""
    return darknet19.get_config().but(
        "darknet19_448",
        model={"input_size": 448},
        # The short side is drawn at 448 to 512 pixels, and a square of 448 cut out.
        augment={"scale": 512 / 448},
        train={
            "steps": 100_000,
            "subdivisions": 4,
            "learning_rate": 1e-3,
            "warmup_steps": 0,
            "warmup_power": 1.0,
        },
    )
