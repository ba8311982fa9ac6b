"""YOLO9000 at full width: Darknet-19, 416 pixels, three priors, the thesis's joint loss, 4 labelled images to 1 boxed.

    wordtree train yolo9000 --data coco-train imagenet-train --tree tree --out run

For accelerators: a step of 2 images takes seconds on a CPU. The published run is not reproduced here.
"""

from __future__ import annotations

from detector.config import AugmentConfig, Experiment, LossConfig, ModelConfig, TrainConfig


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="yolo9000",
        # The released cfg's priors, from cells of a 13 x 13 grid to shares of the image.
        model=ModelConfig(
            input_size=416,
            anchors=((0.0599, 0.08775), (0.23117, 0.33175), (0.70979, 0.74)),
        ),
        loss=LossConfig(weak="paper"),
        augment=AugmentConfig(scale=1.2, aspect=1.2, shift=1.0, hue=0.1, saturation=1.5, exposure=1.5),
        train=TrainConfig(
            optimizer="sgd",
            steps=500_000,
            batch_size=64,
            learning_rate=1e-3,
            warmup_steps=1000,
            weight_decay=5e-4,
            checkpoint_every=1000,
            log_every=50,
        ),
    )
