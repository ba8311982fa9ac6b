"""YOLO9000 as last published (yolo9000.cfg): Darknet-19 and the head, 544 pixels, three priors; 48,807,501 numbers.

    wordtree train yolo9000 --data coco-train imagenet-train --tree 9k.tree --out run

For accelerators: 49.06 billion operations an image, and darknet trained half a million steps. Start from a classifier
(configurations darknet19 and darknet19_448) with --init. The published run is not reproduced here: its list of images
was never published.

What the file does not say is the program: this is the last one, whose coordinates of small boxes weigh more. But the
rule for labels-only images is the one that finds most (docs/weak-supervision.md); `--set loss.weak=head` is the last
program's, `--set loss.weak=paper` the thesis's. The release of January 2017 had other values:

    --set model.input_size=416 --set "model.anchors=[[0.059901, 0.087749], [0.231173, 0.331752], [0.709788, 0.739980]]"
    --set loss.weak=release2017 --set loss.small_box_weight=false --set augment.mode=release2017
    --set model.batch_norm_momentum=0.9
    --set train.learning_rate=1e-5 --set train.warmup_steps=0 --set train.steps=242200
    --set train.schedule_steps=500,200000,240000 --set train.schedule_scales=10,.1,.1
"""

from __future__ import annotations

from detector.config import Experiment
from detector.configs import yolov2

PRIORS = ((0.77871, 1.14074), (3.00525, 4.31277), (9.22725, 9.61974))  # in cells


def get_config() -> Experiment:
    """The experiment: what differs from `yolov2`."""
    return yolov2.get_config().but(
        "yolo9000",
        model={
            "input_size": 544,
            "head_convs": 0,
            "passthrough": 0,
            "anchors": yolov2.in_images(PRIORS, 17),
            "num_anchors": 3,
        },
        loss={"weak": "modern"},
        # The file's saturation and exposure of .75: factors of 3/4 to 4/3.
        augment={"jitter": 0.2, "saturation": 4 / 3, "exposure": 4 / 3},
    )
