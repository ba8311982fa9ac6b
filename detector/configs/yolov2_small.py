"""A small YOLOv2 that begins with random weights: some hundred photos with boxes, 320 x 240 pixels, 2 CPU cores.

    wordtree train yolov2_small --data train --tree classes.tree --out run

Five stages of Darknet-19 at half the width, stride 16.
"""

from __future__ import annotations

from detector.config import AugmentConfig, DataConfig, Experiment, LossConfig, ModelConfig, TrainConfig


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="yolov2_small",
        model=ModelConfig(
            input_size=320,
            input_height=240,
            width=0.5,
            stages=5,
            output_stride=16,
            num_anchors=5,
            batch_norm_momentum=0.97,
        ),
        loss=LossConfig(prior_images=0, coord_scale=4.0),
        augment=AugmentConfig(scale=1.3, aspect=1.3, shift=1.0, hue=0.05, saturation=1.5, exposure=1.5),
        data=DataConfig(shares=(1.0, 1.0), max_boxes=50),
        train=TrainConfig(steps=1000, batch_size=8, weight_decay=1e-3, ema=0.998, checkpoint_every=200, log_every=50),
    )
