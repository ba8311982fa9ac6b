"""Darknet-19 as a classifier, tuned at 448 pixels after `darknet19`: the last step before detection (thesis 2.2).

    wordtree train darknet19_448 --data imagenet-train --tree wordtree1k.tree --init run224 --out run448
    wordtree train yolo9000 --data coco-train imagenet-train --tree 9k.tree --init run448 --out run

Schedule and distortion are darknet19_448.cfg's; its turns of up to 7 degrees are not made here.
"""

from __future__ import annotations

from detector.config import AugmentConfig, Experiment, ModelConfig, TrainConfig


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="darknet19_448",
        model=ModelConfig(architecture="classifier", input_size=448),
        # The short side is drawn at 448 to 512 pixels, and a square of 448 cut out.
        augment=AugmentConfig(scale=512 / 448, aspect=4 / 3, shift=1.0, hue=0.1, saturation=4 / 3, exposure=4 / 3),
        train=TrainConfig(
            optimizer="sgd",
            steps=100_000,
            batch_size=128,
            subdivisions=4,
            learning_rate=1e-3,
            warmup_steps=0,
            schedule="poly",
            schedule_power=4.0,
            weight_decay=5e-4,
            clip_norm=0.0,  # darknet has no limit
            checkpoint_every=1000,
            log_every=50,
        ),
    )
