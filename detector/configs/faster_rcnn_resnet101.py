"""Faster R-CNN on ResNet-101, cut before its last stage, which looks at the crops; the rest as `faster_rcnn_resnet50`.

    wordtree train faster_rcnn_resnet101 --data coco-train --tree coco.tree --init classes --out run

For accelerators; not trained here, never run to the end. The classifier to begin with is a run of the architecture
`classifier` with `model.network=ResNet101`.
"""

from __future__ import annotations

from detector.config import Experiment
from detector.configs import faster_rcnn_resnet50


def get_config() -> Experiment:
    """The experiment: what differs from `faster_rcnn_resnet50`."""
    return faster_rcnn_resnet50.get_config().but(
        "faster_rcnn_resnet101",
        model={"network": "ResNet101"},
    )
