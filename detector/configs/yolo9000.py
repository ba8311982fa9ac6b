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

from detector.config import AugmentConfig, Experiment, LossConfig, ModelConfig, TrainConfig

CELLS = 17  # of a side of 544 pixels
PRIORS = ((0.77871, 1.14074), (3.00525, 4.31277), (9.22725, 9.61974))  # in cells


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="yolo9000",
        model=ModelConfig(
            input_size=544, anchors=tuple((width / CELLS, height / CELLS) for width, height in PRIORS), num_anchors=3
        ),
        loss=LossConfig(small_box_weight=True),
        # The file's saturation and exposure of .75: factors of 3/4 to 4/3.
        augment=AugmentConfig(mode="darknet", jitter=0.2, hue=0.1, saturation=4 / 3, exposure=4 / 3),
        train=TrainConfig(
            optimizer="sgd",
            steps=500_200,
            batch_size=64,
            subdivisions=8,
            learning_rate=1e-3,
            warmup_steps=1000,
            warmup_power=4.0,
            schedule="steps",
            schedule_steps=(400_000, 450_000),
            schedule_scales=(0.1, 0.1),
            weight_decay=5e-4,
            clip_norm=0.0,  # darknet has no limit
            multi_scale=tuple(range(320, 609, 32)),
            checkpoint_every=1000,
            log_every=50,
        ),
    )
