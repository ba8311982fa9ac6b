"""YOLO9000 as the thesis describes it: "the base YOLOv2 architecture but only 3 priors", 416 pixels.

    wordtree train yolo9000_thesis --data coco-train imagenet-train --tree 9k.tree --out run

The published network (configuration yolo9000) is another: it has neither the three convolutions nor the passthrough.
Here the passthrough takes the whole 26 x 26 x 512 map, 13 x 13 x 2048 reorganised, as the text has it; yolov2.cfg
narrows it to 64 channels first (`--set model.passthrough=64`). The priors are found by k-means, the coordinates of
small boxes weigh no more than others, and a labels-only image pulls its box's objectness to .3 (`loss.weak=paper`).
The thesis gives no schedule for this network; this is yolo9000.cfg's. 44.6 billion operations an image with 9,418
nodes, 96,005,709 numbers.
"""

from __future__ import annotations

from detector.config import AugmentConfig, Experiment, LossConfig, ModelConfig, TrainConfig


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="yolo9000_thesis",
        model=ModelConfig(input_size=416, head_convs=3, head_width=1024, passthrough=512, num_anchors=3),
        loss=LossConfig(weak="paper"),
        augment=AugmentConfig(mode="darknet", jitter=0.2, hue=0.1, saturation=1.5, exposure=1.5),
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
            clip_norm=0.0,
            multi_scale=tuple(range(320, 609, 32)),
            checkpoint_every=1000,
            log_every=50,
        ),
    )
