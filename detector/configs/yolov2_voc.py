"""YOLOv2 for Pascal VOC (yolov2-voc.cfg): as for COCO, at 416 pixels; 50,676,061 numbers with 20 classes.

    wordtree train yolov2_voc --data voc-train --tree voc.tree --out run

The tree is flat: a .tree file with a line `NAME -1` for each class, in the order of the classes. 29.36 billion
operations an image: for accelerators. Start from a classifier (configurations darknet19 and darknet19_448) with --init.
"""

from __future__ import annotations

from detector.config import AugmentConfig, Experiment, LossConfig, ModelConfig, TrainConfig

CELLS = 13  # of a side of 416 pixels
PRIORS = (  # in cells
    (1.3221, 1.73145),
    (3.19275, 4.00944),
    (5.05587, 8.09892),
    (9.47112, 4.84053),
    (11.2364, 10.0071),
)


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="yolov2_voc",
        model=ModelConfig(
            input_size=416,
            head_convs=3,
            head_width=1024,
            passthrough=64,
            anchors=tuple((width / CELLS, height / CELLS) for width, height in PRIORS),
            num_anchors=5,
        ),
        loss=LossConfig(weak="off", small_box_weight=True),
        augment=AugmentConfig(mode="darknet", jitter=0.3, hue=0.1, saturation=1.5, exposure=1.5),
        train=TrainConfig(
            optimizer="sgd",
            steps=80_200,
            batch_size=64,
            subdivisions=8,
            learning_rate=1e-3,
            warmup_steps=1000,
            warmup_power=4.0,
            schedule="steps",
            schedule_steps=(40_000, 60_000),
            schedule_scales=(0.1, 0.1),
            weight_decay=5e-4,
            clip_norm=0.0,  # darknet has no limit
            multi_scale=tuple(range(320, 609, 32)),
            checkpoint_every=1000,
            log_every=50,
        ),
    )
