"""What Faster R-CNN reads beside the sections that all share; without TensorFlow, so that it opens fast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from detector.fields import Scale, Section, Share, about


@dataclass(frozen=True, kw_only=True)
class TwoStageConfig(Section):
    """What Faster R-CNN has beside `ModelConfig` and `LossConfig`; other architectures do not read it."""

    cut: Annotated[
        int,
        about(
            "stride of the published network at which its first stage ends: 8, 16 or 32. The first stage runs at "
            "model.output_stride: where that is smaller the network is dilated"
        ),
    ] = 16
    second_stage: Annotated[
        Literal["rest", "dense"],
        about('"rest": what the network has beyond the cut; "dense": two dense layers of head_width'),
    ] = "rest"
    head_width: Annotated[int, about('of "dense"', 8, 65_536)] = 1024
    tail_stride: Annotated[
        int, about('of "rest": 1 keeps its map at the size of the crops, 2 halves it as it was published', 1, 2)
    ] = 1
    frozen_stride: Annotated[int, about("layers up to this stride are not trained; 0: all are", 0, 32)] = 0
    frozen_norm: Annotated[bool, about("batch normalisation keeps the statistics and the scale that it has")] = False
    rpn_width: Annotated[int, about("channels of the 3x3 convolution before the proposals", 8, 65_536)] = 512
    proposals: Annotated[int, about("boxes an image that go into the second stage, at most", 1, 10_000)] = 300
    candidates: Annotated[
        int, about("of the anchors' boxes, how many of the likeliest go into suppression", 1, 1_000_000)
    ] = 6000
    proposal_iou: Annotated[Share, about("above this overlap two proposals are one")] = 0.7
    anchor_iou: Annotated[
        tuple[float, float],
        about("an anchor below the first overlap with every truth is background, from the second on an object"),
    ] = (0.3, 0.7)
    anchor_batch: Annotated[int, about("anchors an image that are trained", 1, 1_000_000)] = 256
    anchor_positives: Annotated[Share, about("at most this share of them are objects")] = 0.5
    cross_boundary: Annotated[bool, about("anchors that reach beyond the picture are trained too")] = False
    roi_batch: Annotated[int, about("the same for proposals in the second stage, with one threshold", 1, 10_000)] = 64
    roi_positives: Annotated[Share, about("the same for proposals in the second stage, with one threshold")] = 0.25
    roi_iou: Annotated[Share, about("the same for proposals in the second stage, with one threshold")] = 0.5
    add_truths: Annotated[bool, about("the truths stand among the proposals that are trained")] = True
    crop: Annotated[int, about("cells of a side of a proposal's crop, before max-pooling by `pool`", 1, 128)] = 14
    pool: Annotated[int, about("1 or 2", 1, 2)] = 2
    crop_method: Annotated[
        Literal["op", "matmul"],
        about(
            '"op" samples four cells a point; "matmul" is two products of matrices, for devices without that '
            "operation. Equal numbers"
        ),
    ] = "op"
    classes: Annotated[
        Literal["softmax", "sigmoid"],
        about('"softmax" over the siblings of a group; "sigmoid": siblings do not exclude each other'),
    ] = "softmax"
    final_iou: Annotated[
        Share, about("overlap above which two detections are one, where `wordtree detect --iou` says nothing else")
    ] = 0.6
    knee: Annotated[float, about("error at which smooth L1 turns from square to straight", 1e-06, 1000000.0)] = 1.0
    rpn_object_weight: Annotated[Scale, about("of the terms of boxed images")] = 1.0
    rpn_box_weight: Annotated[Scale, about("of the terms of boxed images")] = 2.0
    object_weight: Annotated[Scale, about("of the terms of boxed images")] = 1.0
    box_weight: Annotated[Scale, about("of the terms of boxed images")] = 2.0
    class_weight: Annotated[Scale, about("of the terms of boxed images")] = 1.0

    def faults(self, experiment: Any) -> Iterator[str]:
        """Strides that no network has, thresholds in the wrong order, and more proposals than candidates."""
        if self.cut not in (8, 16, 32):
            yield f"two_stage.cut is {self.cut}; expected 8, 16 or 32"
        if self.frozen_stride not in (0, 1, 2, 4, 8, 16, 32):
            yield (
                f"two_stage.frozen_stride is {self.frozen_stride}; expected 0, which freezes nothing, or a power of "
                "two up to 32"
            )
        if experiment.model.architecture == "faster_rcnn" and self.candidates < self.proposals:
            yield (
                f"two_stage.candidates is {self.candidates}, fewer than two_stage.proposals, {self.proposals}, which "
                "are chosen from them; expected as many or more: raise the first or lower the second"
            )
        low, high = self.anchor_iou
        if not 0 <= low <= high <= 1:
            yield f"two_stage.anchor_iou is {low:g}, {high:g}; expected 0 <= first <= second <= 1"
