"""YOLOv2 tiny for COCO (yolov2-tiny.cfg): 416 pixels, five priors; 11,237,145 numbers with 80 classes.

    wordtree train yolov2_tiny --data coco-train --tree coco.tree --out run

The tree is flat: a .tree file with a line `NAME -1` for each class, in the order of the classes. 5.41 billion
operations an image. The objectness target is 1, not the IoU (rescore=0).
"""

from __future__ import annotations

from detector.config import AugmentConfig, Experiment, LossConfig, ModelConfig, TrainConfig

CELLS = 13  # of a side of 416 pixels
PRIORS = (  # in cells
    (0.57273, 0.677385),
    (1.87446, 2.06253),
    (3.33843, 5.47434),
    (7.88282, 3.52778),
    (9.77052, 9.16828),
)


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="yolov2_tiny",
        model=ModelConfig(
            network="tiny",
            input_size=416,
            head_convs=1,
            head_width=512,
            anchors=tuple((width / CELLS, height / CELLS) for width, height in PRIORS),
            num_anchors=5,
        ),
        loss=LossConfig(weak="off", rescore=False, small_box_weight=True),
        augment=AugmentConfig(mode="darknet", jitter=0.2, hue=0.1, saturation=1.5, exposure=1.5),
        train=TrainConfig(
            optimizer="sgd",
            steps=500_200,
            batch_size=64,
            subdivisions=2,
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
