"""YOLOv2 tiny for Pascal VOC (yolov2-tiny-voc.cfg): 416 pixels, five priors; 15,867,885 numbers with 20 classes.

    wordtree train yolov2_tiny_voc --data voc-train --tree voc.tree --out run

The tree is flat: a .tree file with a line `NAME -1` for each class, in the order of the classes. 6.97 billion
operations an image. Its schedule has no burn-in: a tenth of the rate for the first 100 steps.
"""

from __future__ import annotations

from detector.config import AugmentConfig, Experiment, LossConfig, ModelConfig, TrainConfig

CELLS = 13  # of a side of 416 pixels
PRIORS = (  # in cells
    (1.08, 1.19),
    (3.42, 4.41),
    (6.63, 11.38),
    (9.42, 5.11),
    (16.62, 10.52),
)


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="yolov2_tiny_voc",
        model=ModelConfig(
            network="tiny",
            input_size=416,
            head_convs=1,
            head_width=1024,
            anchors=tuple((width / CELLS, height / CELLS) for width, height in PRIORS),
            num_anchors=5,
        ),
        loss=LossConfig(weak="off", small_box_weight=True),
        augment=AugmentConfig(mode="darknet", jitter=0.2, hue=0.1, saturation=1.5, exposure=1.5),
        train=TrainConfig(
            optimizer="sgd",
            steps=40_200,
            batch_size=64,
            subdivisions=2,
            learning_rate=1e-4,
            warmup_steps=0,
            schedule="steps",
            schedule_steps=(100, 20_000, 30_000),
            schedule_scales=(10.0, 0.1, 0.1),
            weight_decay=5e-4,
            clip_norm=0.0,  # darknet has no limit
            multi_scale=tuple(range(320, 609, 32)),
            checkpoint_every=1000,
            log_every=50,
        ),
    )
