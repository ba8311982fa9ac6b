"""Faster R-CNN on VGG-16, cut behind its last convolution; two dense layers of 4,096 look at the crops.

    wordtree train faster_rcnn_vgg16 --data coco-train --tree coco.tree --init classes --out run

As `faster_rcnn_resnet50`, but for the network, its second stage, a rate of 5e-4 an image and the layers that stay as
the classifier has them: those up to stride 2. The dense layers and the head begin at random. For accelerators; not
trained here, never run to the end.
"""

from __future__ import annotations

from detector.config import Experiment
from detector.configs import faster_rcnn_resnet50


def get_config() -> Experiment:
    """The experiment: what differs from `faster_rcnn_resnet50`."""
    return faster_rcnn_resnet50.get_config().but(
        "faster_rcnn_vgg16",
        model={"network": "VGG16"},
        train={"learning_rate": 5e-4},
        two_stage={"second_stage": "dense", "head_width": 4096, "frozen_stride": 2, "frozen_norm": False},
    )
