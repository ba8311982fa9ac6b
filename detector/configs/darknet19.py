"""Darknet-19 as a classifier on the tree, at 224 pixels: the first step towards YOLO9000 (thesis sections 2.3, 2.4).

    wordtree train darknet19 --data imagenet-train --tree wordtree1k.tree --out run224
    wordtree train darknet19_448 --data imagenet-train --tree wordtree1k.tree --init run224 --out run448

5.58 billion operations an image with 1,000 classes, 20,856,776 numbers. Schedule and distortion are darknet19.cfg's,
which has 256 pixels (`--set model.input_size=256`); its turns of up to 7 degrees are not made here. The flat classifier
of the file is a flat tree.
"""

from __future__ import annotations

from detector.config import AugmentConfig, Experiment, ModelConfig, TrainConfig


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="darknet19",
        model=ModelConfig(architecture="classifier", input_size=224),
        # The short side is drawn at 128 to 448 of 256 pixels, and a square of 256 cut out.
        augment=AugmentConfig(scale=1.75, aspect=4 / 3, shift=1.0, hue=0.1, saturation=4 / 3, exposure=4 / 3),
        train=TrainConfig(
            optimizer="sgd",
            steps=800_000,
            batch_size=128,
            subdivisions=2,
            learning_rate=0.1,
            warmup_steps=1000,
            warmup_power=4.0,
            schedule="poly",
            schedule_power=4.0,
            weight_decay=5e-4,
            clip_norm=0.0,  # darknet has no limit
            checkpoint_every=1000,
            log_every=50,
        ),
    )
