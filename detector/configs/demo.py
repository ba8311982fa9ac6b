"""The demo: plane figures of 96x96 pixels, trained in a few minutes on 2 CPU cores by `wordtree demo`.

Coarse figures are boxed, fine ones only labelled; the report shows the AP of both.
"""

from __future__ import annotations

from detector.config import AugmentConfig, DataConfig, Experiment, LossConfig, ModelConfig, TrainConfig


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="demo",
        model=ModelConfig(
            input_size=96, width=0.25, stages=5, output_stride=8, num_anchors=3, batch_norm_momentum=0.97
        ),
        loss=LossConfig(prior_images=0, coord_scale=4.0),  # tighter boxes in a short run
        augment=AugmentConfig(scale=1.2, shift=1.0, flip=0.5, hue=0.1, saturation=1.5, exposure=1.5),
        data=DataConfig(shares=(1.0, 1.0)),
        train=TrainConfig(steps=900, batch_size=32, weight_decay=5e-4, ema=0.998, checkpoint_every=150, log_every=25),
    )
