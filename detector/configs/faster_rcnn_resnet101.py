"""Faster R-CNN on ResNet-101, cut before its last stage, which looks at the crops.

    wordtree train faster_rcnn_resnet101 --data coco-train --tree coco.tree --init classes --out run

Settings of Huang et al. (2017) and of its authors' published configuration: shorter side 600 pixels, anchors of four
scales and three ratios every 16 pixels, 300 proposals, 64 of them trained, crops of 14 pooled to 7, which the last
stage does not halve; frozen statistics; momentum 0.9, no decay, a rate of 3e-4 an image, a tenth of it after 900,000
images and a hundredth after 1,200,000, gradients clipped at 10. There nine workers took one image a step each, without
waiting for each other; here a batch of 8 has 8 times the rate (`reference_batch`) and an eighth of the steps. Ours, not
published: the 500 steps of warm-up, the end after 1,400,000 images, and the frozen layers up to stride 4. With another
batch the rate follows, the steps do not. Never run to the end.

Landscape pictures are drawn 600 high, or 1024 wide, on a canvas of 608 x 1024; the rest is padding. Portraits are drawn
smaller; at full size with `--set model.input_size=1024 --set model.input_height=1024`, anchors given anew.

For accelerators; not trained here. The tree is flat: a .tree file with a line `NAME -1` for each class. With a tree and
labels-only sets in --data, and `--set loss.weak=marginal --set loss.weak_scale=0.1`, it trains jointly.

Statistics of batch normalisation and the layers up to stride 4 stay as the classifier has them, so give one: a run of
the architecture `classifier` with `model.network=ResNet101`. From nothing: `--set two_stage.frozen_norm=false --set
two_stage.frozen_stride=0`.
"""

from __future__ import annotations

from dataclasses import replace

from detector.config import Experiment
from detector.configs import faster_rcnn_resnet50


def get_config() -> Experiment:
    """The experiment: that of ResNet-50, with a deeper network."""
    base = faster_rcnn_resnet50.get_config()
    return replace(base, name="faster_rcnn_resnet101", model=replace(base.model, network="ResNet101"))
