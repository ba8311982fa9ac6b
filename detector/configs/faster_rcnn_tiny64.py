"""A small Faster R-CNN for 64x64 photos: coarse classes boxed, fine classes only labelled.

    wordtree train faster_rcnn_tiny64 --data det-train cls-train --tree tree --out run

Five stages of Darknet-19 at half the width and stride 8, and two dense layers for each proposal.
"""

from __future__ import annotations

from detector.config import (
    AugmentConfig,
    DataConfig,
    Experiment,
    LossConfig,
    ModelConfig,
    TrainConfig,
    TwoStageConfig,
)
from detector.two_stage.anchor_shapes import anchor_shapes


def get_config() -> Experiment:
    """The experiment."""
    shapes = anchor_shapes((64, 64), base=32.0, scales=(0.375, 0.75, 1.5))
    return Experiment(
        name="faster_rcnn_tiny64",
        model=ModelConfig(
            architecture="faster_rcnn",
            input_size=64,
            width=0.5,
            stages=5,
            output_stride=8,  # a grid of 8 x 8 cells
            anchors=shapes,
            num_anchors=len(shapes),
            batch_norm_momentum=0.97,
        ),
        loss=LossConfig(weak="marginal", weak_scale=0.25),
        augment=AugmentConfig(scale=1.3, aspect=1.3, shift=1.0, hue=0.05, saturation=1.5, exposure=1.5),
        data=DataConfig(shares=(1.0, 1.0)),
        train=TrainConfig(steps=2000, batch_size=32, weight_decay=1e-3, ema=0.998, checkpoint_every=200, log_every=50),
        two_stage=TwoStageConfig(
            cut=16,
            second_stage="dense",
            head_width=256,
            rpn_width=128,
            proposals=50,
            candidates=576,
            anchor_batch=64,
            cross_boundary=True,  # most objects reach the edges of such pictures
            roi_batch=32,
            crop=8,
        ),
    )
