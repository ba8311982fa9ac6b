"""A small Faster R-CNN that begins with random weights: some hundred photos with boxes, 320 x 240 pixels, 2 CPU cores.

    wordtree train faster_rcnn_small --data train --tree classes.tree --out run

Five stages of Darknet-19 at half the width and stride 16, and two dense layers for each proposal.
"""

from __future__ import annotations

from detector.config import AugmentConfig, DataConfig, Experiment, LossConfig, ModelConfig, TrainConfig, TwoStageConfig
from detector.two_stage.anchor_shapes import anchor_shapes

CANVAS = (240, 320)  # height, width


def get_config() -> Experiment:
    """The experiment."""
    shapes = anchor_shapes(CANVAS, base=64.0, scales=(0.25, 0.5, 1.0, 2.0))
    return Experiment(
        name="faster_rcnn_small",
        model=ModelConfig(
            architecture="faster_rcnn",
            input_size=CANVAS[1],
            input_height=CANVAS[0],
            width=0.5,
            stages=5,
            output_stride=16,
            anchors=shapes,
            num_anchors=len(shapes),
            batch_norm_momentum=0.97,
        ),
        loss=LossConfig(weak="marginal", weak_scale=0.25),
        augment=AugmentConfig(scale=1.3, aspect=1.3, shift=1.0, hue=0.05, saturation=1.5, exposure=1.5),
        data=DataConfig(shares=(1.0, 1.0), max_boxes=50),
        train=TrainConfig(steps=1000, batch_size=8, weight_decay=1e-3, ema=0.998, checkpoint_every=200, log_every=50),
        two_stage=TwoStageConfig(
            cut=16,
            second_stage="dense",
            head_width=256,
            rpn_width=256,
            proposals=100,
            candidates=1000,
            anchor_batch=128,
            cross_boundary=True,
            roi_batch=64,
        ),
    )
