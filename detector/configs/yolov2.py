"""YOLOv2 for COCO (yolov2.cfg): Darknet-19, passthrough, 608 pixels, five priors; 50,983,561 numbers with 80 classes.

    wordtree train yolov2 --data coco-train --tree coco.tree --out run

The tree is flat: a .tree file with a line `NAME -1` for each class, in the order of the classes. 62.94 billion
operations an image: for accelerators. Start from a classifier (configurations darknet19 and darknet19_448) with --init.
"""

from __future__ import annotations

from collections.abc import Sequence

from detector.config import AugmentConfig, Experiment, LossConfig, ModelConfig, TrainConfig

PRIORS = (  # in cells
    (0.57273, 0.677385),
    (1.87446, 2.06253),
    (3.33843, 5.47434),
    (7.88282, 3.52778),
    (9.77052, 9.16828),
)


def in_images(priors: Sequence[tuple[float, float]], cells: int) -> tuple[tuple[float, float], ...]:
    """Priors of a .cfg, in cells, as shares of an image with so many cells on a side."""
    return tuple((width / cells, height / cells) for width, height in priors)


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="yolov2",
        model=ModelConfig(
            input_size=608,
            head_convs=3,
            head_width=1024,
            passthrough=64,
            anchors=in_images(PRIORS, 19),
            num_anchors=5,
        ),
        loss=LossConfig(weak="off", small_box_weight=True),
        augment=AugmentConfig(mode="darknet", jitter=0.3, hue=0.1, saturation=1.5, exposure=1.5),
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
