"""The sections of an experiment: frozen dataclasses, a field for everything that decides a run.

`detector.limits` says what each value may be, `detector.config` reads and overrides them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network.

    Attributes:
        architecture: module of `detector.architectures`.
        network: the layers before the head: darknet19, tiny (of YOLOv2 tiny), or a name of keras.applications.
        cfg: text of a darknet .cfg; when given it is the network, and what follows up to head_width is not used.
        input_size: pixels, the width; a multiple of the output stride.
        input_height: pixels; 0 for a square.
        shorter_side: most pixels that the shorter side of a picture gets (Huang et al. 2017: 600); the rest of the
            canvas is padding. 0: every picture is as large as the canvas allows. On a square canvas of the longer
            side's limit (1024) pictures of all proportions get the sizes of that rule; on another one portraits or
            landscapes are drawn smaller where they would not fit.
        stretched: of a network with a .cfg: a picture is stretched over the canvas in place of being laid on it whole
            (letter_box=0).
        width: multiplies every channel count.
        depth: multiplies the convolutions of a stage, in pairs of bottleneck and 3x3.
        stages: how many of Darknet-19's six stages are built; stage k runs at stride 2^(k-1).
        output_stride: 8, 16 or 32: stages beyond it keep this stride.
        head_convs: extra 3x3 convolutions before the last layer (YOLOv2 has 3, YOLO9000 none).
        head_width: their channels, before `width`.
        passthrough: channels taken from the last map of the stage before the last, reorganised in darknet's order and
            joined before the last extra convolution (YOLOv2 has 64); as wide as that map or wider: all of it; 0: none.
        anchors: priors as (width, height), relative to an image of input_size; at another size of multi-scale training
            they keep their pixels. Empty: taken from the data by k-means.
        num_anchors: how many priors k-means finds.
        dropout: share of channels dropped before the last layer.
        batch_norm_momentum: of the running statistics.
        class_head: "gathered" computes the classes of supervised boxes alone, "full" those of every box; "auto" takes
            the cheaper one for the size of the tree. The losses are equal.
    """

    @property
    def canvas(self) -> tuple[int, int]:
        """(height, width) of the network's input in pixels."""
        return (self.input_height or self.input_size, self.input_size)

    architecture: str = "yolo9000"
    network: str = "darknet19"
    cfg: str = ""
    input_size: int = 416
    input_height: int = 0
    shorter_side: int = 0
    stretched: bool = False
    width: float = 1.0
    depth: float = 1.0
    stages: int = 6
    output_stride: int = 32
    head_convs: int = 0
    head_width: int = 1024
    passthrough: int = 0
    anchors: tuple[tuple[float, float], ...] = ()
    num_anchors: int = 3
    dropout: float = 0.0
    batch_norm_momentum: float = 0.99
    class_head: Literal["auto", "gathered", "full"] = "auto"


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The joint loss, each part by name. The defaults of the first block are darknet's.

    Attributes:
        object_scale, noobject_scale, coord_scale, class_scale: weights of the parts of a boxed image.
        ignore_iou: a prediction that overlaps some truth more than this is not pushed to "no object".
        rescore: the objectness target is the IoU with the truth instead of 1.
        bias_match: anchors are matched by their own shape instead of by the predicted shape.
        small_box_weight: coordinates weigh (2 - w h) (darknet since 2017-03; in no paper).
        prior_scale, prior_images: for the first images every prediction is pulled to its prior.
        weak: which boxes a labels-only image supervises (see detector/weak/).
        weak_scale: weight of the class part of a labels-only image.
        weak_object_scale: weight of its objectness part.
        weak_after: steps without the labels-only part at the start.
        weak_pseudo: where the chosen box gives the label at least this probability, its objectness is pulled to 1; 0
            switches that off.
        weak_pseudo_after: steps before that begins.
        weak_teacher: the averaged weights (train.ema) choose the boxes.
        weak_robust: q of the generalised cross-entropy (1 - P^q) / q of labels; 0 is the cross-entropy itself, 1 the
            mean absolute error, which wrong labels harm least.
        weak_negative_scale: weight of verified absent labels: no box may hold such a class or what lies below it.
        federated: least weight of "no object" where a box looks like something that its data set never annotated; 1
            punishes all alike.
        label_smoothing: taken from the true class of each sibling group and spread over the group.
    """

    object_scale: float = 5.0
    noobject_scale: float = 1.0
    coord_scale: float = 1.0
    class_scale: float = 1.0
    ignore_iou: float = 0.6
    rescore: bool = True
    bias_match: bool = True
    small_box_weight: bool = False
    prior_scale: float = 0.01
    prior_images: int = 12_800
    weak: Literal[
        "modern", "paper", "release2017", "release2017_07", "head", "marginal", "ancestor", "size", "objectness", "off"
    ] = "modern"
    weak_scale: float = 1.0
    weak_object_scale: float = 1.0
    weak_after: int = 0
    weak_pseudo: float = 0.0
    weak_pseudo_after: int = 0
    weak_teacher: bool = False
    weak_robust: float = 0.0
    weak_negative_scale: float = 1.0
    federated: float = 1.0
    label_smoothing: float = 0.0


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random changes of an image and its boxes together; see detector/augment.py.

    Attributes:
        mode: "zoom": scale, aspect and shift as below; "darknet": the aspect ratio is jittered by `jitter` of the
            image's sides and the picture fitted in, at a random place; "release2017": each side is moved by up to
            `jitter` and what remains is stretched over the canvas.
        jitter: of the last two modes, in shares.
        scale: the image is drawn at 1/scale to scale times its size.
        aspect: the aspect ratio changes by up to this factor.
        shift: as a share of the free room, 0 keeps the image centred.
        flip: probability of mirroring.
        hue, saturation, exposure: darknet's distortion: shift in turns, factors.
        grey: probability of dropping the colour.
        min_visible: a box with less of its area left in the picture is not a target any more; the darknet modes drop
            sides below 0.001 of the picture instead.

    scale, aspect and shift are of the mode "zoom" alone.
    """

    mode: Literal["zoom", "darknet", "release2017"] = "zoom"
    jitter: float = 0.2
    scale: float = 1.0
    aspect: float = 1.0
    shift: float = 0.0
    flip: float = 0.5
    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0
    grey: float = 0.0
    min_visible: float = 0.3


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The joint stream.

    Attributes:
        datasets: dataset directories; given on the command line with --data.
        shares: images of labels-only sets to images of boxed sets; YOLO9000 used 4 to 1.
        max_boxes: boxes kept per image.
        max_labels: image labels kept per image.
    """

    datasets: tuple[str, ...] = ()
    shares: tuple[float, float] = (4.0, 1.0)
    max_boxes: int = 30
    max_labels: int = 4


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The loop.

    Attributes:
        steps, batch_size: length of the run.
        optimizer: "sgd" (momentum 0.9, darknet's) or "adamw".
        learning_rate: at its highest.
        reference_batch: the batch that learning_rate is meant for: it is multiplied by batch_size / reference_batch; 0:
            learning_rate is as it stands.
        warmup_steps: rises to it in so many steps.
        warmup_power: of the rise; darknet's burn-in has 4.
        schedule: "cosine" to zero, "constant", "steps" (times a factor at each named step) or "poly" (1 - b/max)^power.
        schedule_steps, schedule_scales: of "steps".
        schedule_power: of "poly".
        momentum: of sgd.
        weight_decay: on convolution kernels alone; with sgd inside the momentum, as darknet does.
        subdivisions: a batch is computed in so many parts whose gradients are summed (darknet's word).
        multi_scale: sizes of the input, drawn anew every multi_scale_every steps; empty: input_size alone.
        multi_scale_every: darknet's 10.
        evaluate_every: steps between evaluations on the sets given with --eval; 0: none.
        clip_norm: global norm of the gradients, 0 for none.
        ema: decay of the averaged weights that are evaluated, 0 for none.
        seed: of weights, order and augmentation.
        checkpoint_every, log_every: in steps.
        precision: "float32", "mixed_bfloat16" or "mixed_float16".
        strategy: "one" device, "mirrored" (all GPUs of a host), "multiworker" (several hosts) or "tpu"; batch_size is
            that of all together. A run may go on with another.
        sync_batch_norm: on several devices, batch normalisation sees the images of all of them.
    """

    steps: int = 1000
    batch_size: int = 32
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: float = 1e-3
    reference_batch: int = 0
    warmup_steps: int = 100
    warmup_power: float = 1.0
    schedule: Literal["cosine", "constant", "steps", "poly"] = "cosine"
    schedule_steps: tuple[int, ...] = ()
    schedule_scales: tuple[float, ...] = ()
    schedule_power: float = 4.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    subdivisions: int = 1
    multi_scale: tuple[int, ...] = ()
    multi_scale_every: int = 10
    evaluate_every: int = 0
    clip_norm: float = 10.0
    ema: float = 0.0
    seed: int = 0
    checkpoint_every: int = 200
    log_every: int = 20
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    strategy: Literal["one", "mirrored", "multiworker", "tpu"] = "one"
    sync_batch_norm: bool = True


@dataclass(frozen=True, kw_only=True)
class DecodeConfig:
    """How predictions become detections. No part of an experiment: each command chooses.

    Attributes:
        walk: how a box gets its name. "thesis": down the tree while the best child's absolute probability is above
            `walk_threshold`; "darknet": the same, but with absolute probabilities multiplied along the path once more
            and the score the objectness alone; "map": the best of `nodes`; "leaves": the best leaf; "topk": the `top`
            best of `nodes` if given, else of the leaves, each a detection of its own.
        threshold: least score.
        walk_threshold: in [0, 1].
        suppression: "any" whatever the class; "class" within one node; "subtree" within nodes of which one is above
            the other.
        iou_threshold: overlap above which two boxes are one.
        limit: detections kept per image.
        top: of "topk".
        nodes: of "map" and "topk": tree nodes.
    """

    walk: Literal["thesis", "darknet", "map", "leaves", "topk"] = "thesis"
    threshold: float = 0.2
    walk_threshold: float = 0.5
    suppression: Literal["any", "class", "subtree"] = "any"
    iou_threshold: float = 0.45
    limit: int = 100
    top: int = 5
    nodes: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TwoStageConfig:
    """What Faster R-CNN has beside `ModelConfig` and `LossConfig`; other architectures do not read it.

    Attributes:
        cut: stride of the published network at which its first stage ends: 8, 16 or 32. The first stage runs at
            model.output_stride: where that is smaller the network is dilated.
        second_stage: "rest": what the network has beyond the cut; "dense": two dense layers of head_width.
        head_width: of "dense".
        tail_stride: of "rest": 1 keeps its map at the size of the crops, 2 halves it as it was published.
        frozen_stride: layers up to this stride are not trained; 0: all are.
        frozen_norm: batch normalisation keeps the statistics and the scale that it has.
        rpn_width: channels of the 3x3 convolution before the proposals.
        proposals: boxes an image that go into the second stage, at most.
        candidates: of the anchors' boxes, how many of the likeliest go into suppression.
        proposal_iou: above this overlap two proposals are one.
        anchor_iou: an anchor below the first overlap with every truth is background, from the second on an object.
        anchor_batch: anchors an image that are trained.
        anchor_positives: at most this share of them are objects.
        cross_boundary: anchors that reach beyond the picture are trained too.
        roi_batch, roi_positives, roi_iou: the same for proposals in the second stage, with one threshold.
        add_truths: the truths stand among the proposals that are trained.
        crop: cells of a side of a proposal's crop, before max-pooling by `pool`.
        pool: 1 or 2.
        crop_method: "op" samples four cells a point; "matmul" is two products of matrices, for devices without that
            operation. Equal numbers.
        classes: "softmax" over the siblings of a group; "sigmoid": siblings do not exclude each other.
        final_iou: overlap above which two detections are one, where `wordtree detect --iou` says nothing else.
        knee: error at which smooth L1 turns from square to straight.
        rpn_object_weight, rpn_box_weight, object_weight, box_weight, class_weight: of the terms of boxed images.
    """

    cut: int = 16
    second_stage: Literal["rest", "dense"] = "rest"
    head_width: int = 1024
    tail_stride: int = 1
    frozen_stride: int = 0
    frozen_norm: bool = False
    rpn_width: int = 512
    proposals: int = 300
    candidates: int = 6000
    proposal_iou: float = 0.7
    anchor_iou: tuple[float, float] = (0.3, 0.7)
    anchor_batch: int = 256
    anchor_positives: float = 0.5
    cross_boundary: bool = False
    roi_batch: int = 64
    roi_positives: float = 0.25
    roi_iou: float = 0.5
    add_truths: bool = True
    crop: int = 14
    pool: int = 2
    crop_method: Literal["op", "matmul"] = "op"
    classes: Literal["softmax", "sigmoid"] = "softmax"
    final_iou: float = 0.6
    knee: float = 1.0
    rpn_object_weight: float = 1.0
    rpn_box_weight: float = 2.0
    object_weight: float = 1.0
    box_weight: float = 2.0
    class_weight: float = 1.0
