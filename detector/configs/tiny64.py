"""A small YOLO9000 for 64x64 photos: coarse classes boxed, fine classes only labelled.

    wordtree train tiny64 --data det-train cls-train --tree tree --out run

6 to 11 minutes on 2 busy CPU cores. AP50 of the eight never boxed classes: see docs/tiny64.md.
"""

from __future__ import annotations

from detector.config import AugmentConfig, DataConfig, Experiment, LossConfig, ModelConfig, TrainConfig


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="tiny64",
        model=ModelConfig(
            input_size=64,
            width=0.5,
            stages=5,
            output_stride=8,  # a grid of 8 x 8 cells
            num_anchors=3,
            batch_norm_momentum=0.97,
        ),
        loss=LossConfig(prior_images=0, coord_scale=4.0),  # tighter boxes in a short run
        augment=AugmentConfig(scale=1.3, aspect=1.3, shift=1.0, hue=0.05, saturation=1.5, exposure=1.5),
        data=DataConfig(shares=(1.0, 1.0)),  # the sets are of one size; 4:1 is for ImageNet beside COCO
        train=TrainConfig(steps=2000, batch_size=32, weight_decay=1e-3, ema=0.998, checkpoint_every=200, log_every=50),
    )
