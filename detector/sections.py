"""The sections of an experiment: frozen dataclasses, a field for everything that decides a run.

A field is declared once, with its type, its range and its meaning (`detector.fields`). What one architecture alone
reads is declared among its own parts, such as `detector/two_stage/config.py`. `detector.limits` checks fields against
each other, `detector.config` reads and overrides them.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from msgspec import Meta

from detector.fields import COUNT, Scale, Section, Share, Steps, about
from detector.two_stage.config import TwoStageConfig


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Section):
    """The network."""

    @property
    def canvas(self) -> tuple[int, int]:
        """(height, width) of the network's input in pixels."""
        return (self.input_height or self.input_size, self.input_size)

    architecture: Annotated[str, about("module of `detector.architectures`")] = "yolo9000"
    network: Annotated[
        str, about("the layers before the head: darknet19, tiny (of YOLOv2 tiny), or a name of keras.applications")
    ] = "darknet19"
    cfg: Annotated[
        str,
        about("text of a darknet .cfg; when given it is the network, and what follows up to head_width is not used"),
    ] = ""
    input_size: Annotated[int, about("pixels, the width; a multiple of the output stride", 8, 8192)] = 416
    input_height: Annotated[int, about("pixels; 0 for a square", 0, 8192)] = 0
    shorter_side: Annotated[
        int,
        about(
            "most pixels that the shorter side of a picture gets (Huang et al. 2017: 600); the rest of the canvas "
            "is padding. 0: every picture is as large as the canvas allows. On a square canvas of the longer "
            "side's limit (1024) pictures of all proportions get the sizes of that rule; on another one portraits "
            "or landscapes are drawn smaller where they would not fit",
            0,
            8192,
        ),
    ] = 0
    stretched: Annotated[
        bool,
        about(
            "of a network with a .cfg: a picture is stretched over the canvas in place of being laid on it whole "
            "(letter_box=0)"
        ),
    ] = False
    width: Annotated[float, about("multiplies every channel count", 0.01, 16)] = 1.0
    depth: Annotated[float, about("multiplies the convolutions of a stage, in pairs of bottleneck and 3x3", 0.1, 8)] = (
        1.0
    )
    stages: Annotated[
        int, about("how many of Darknet-19's six stages are built; stage k runs at stride 2^(k-1)", 1, 6)
    ] = 6
    output_stride: Annotated[int, about("8, 16 or 32: stages beyond it keep this stride", 1, 32)] = 32
    head_convs: Annotated[
        int, about("extra 3x3 convolutions before the last layer (YOLOv2 has 3, YOLO9000 none)", 0, 16)
    ] = 0
    head_width: Annotated[int, about("their channels, before `width`", 8, 65_536)] = 1024
    passthrough: Annotated[
        int,
        about(
            "channels taken from the last map of the stage before the last, reorganised in darknet's order and "
            "joined before the last extra convolution (YOLOv2 has 64); as wide as that map or wider: all of it; "
            "0: none",
            0,
            65_536,
        ),
    ] = 0
    anchors: Annotated[
        tuple[tuple[float, float], ...],
        about(
            "priors as (width, height), relative to an image of input_size; at another size of multi-scale "
            "training they keep their pixels. Empty: taken from the data by k-means"
        ),
    ] = ()
    num_anchors: Annotated[int, about("how many priors k-means finds", 1, 64)] = 3
    dropout: Annotated[float, about("share of channels dropped before the last layer", 0, 0.95)] = 0.0
    batch_norm_momentum: Annotated[float, about("of the running statistics", 0, 0.99999)] = 0.99
    class_head: Annotated[
        Literal["auto", "gathered", "full"],
        about(
            '"gathered" computes the classes of supervised boxes alone, "full" those of every box; "auto" takes '
            "the cheaper one for the size of the tree. The losses are equal"
        ),
    ] = "auto"


@dataclass(frozen=True, kw_only=True)
class LossConfig(Section):
    """The joint loss, each part by name. The defaults of the first block are darknet's."""

    object_scale: Annotated[Scale, about("weights of the parts of a boxed image")] = 5.0
    noobject_scale: Annotated[Scale, about("weights of the parts of a boxed image")] = 1.0
    coord_scale: Annotated[Scale, about("weights of the parts of a boxed image")] = 1.0
    class_scale: Annotated[Scale, about("weights of the parts of a boxed image")] = 1.0
    ignore_iou: Annotated[
        Share, about('a prediction that overlaps some truth more than this is not pushed to "no object"')
    ] = 0.6
    rescore: Annotated[bool, about("the objectness target is the IoU with the truth instead of 1")] = True
    bias_match: Annotated[bool, about("anchors are matched by their own shape instead of by the predicted shape")] = (
        True
    )
    small_box_weight: Annotated[bool, about("coordinates weigh (2 - w h) (darknet since 2017-03; in no paper)")] = False
    prior_scale: Annotated[Scale, about("for the first images every prediction is pulled to its prior")] = 0.01
    prior_images: Annotated[Steps, about("for the first images every prediction is pulled to its prior")] = 12_800
    weak: Annotated[
        Literal[
            "modern",
            "paper",
            "release2017",
            "release2017_07",
            "head",
            "marginal",
            "ancestor",
            "size",
            "objectness",
            "off",
        ],
        about("which boxes a labels-only image supervises (see detector/weak/)"),
    ] = "modern"
    weak_scale: Annotated[Scale, about("weight of the class part of a labels-only image")] = 1.0
    weak_object_scale: Annotated[Scale, about("weight of its objectness part")] = 1.0
    weak_after: Annotated[Steps, about("steps without the labels-only part at the start")] = 0
    weak_pseudo: Annotated[
        Share,
        about(
            "where the chosen box gives the label at least this probability, its objectness is pulled to 1; 0 "
            "switches that off"
        ),
    ] = 0.0
    weak_pseudo_after: Annotated[Steps, about("steps before that begins")] = 0
    weak_teacher: Annotated[bool, about("the averaged weights (train.ema) choose the boxes")] = False
    weak_robust: Annotated[
        Share,
        about(
            "q of the generalised cross-entropy (1 - P^q) / q of labels; 0 is the cross-entropy itself, 1 the "
            "mean absolute error, which wrong labels harm least"
        ),
    ] = 0.0
    weak_negative_scale: Annotated[
        Scale, about("weight of verified absent labels: no box may hold such a class or what lies below it")
    ] = 1.0
    federated: Annotated[
        Share,
        about(
            'least weight of "no object" where a box looks like something that its data set never annotated; 1 '
            "punishes all alike"
        ),
    ] = 1.0
    label_smoothing: Annotated[
        float, about("taken from the true class of each sibling group and spread over the group", 0, 0.9)
    ] = 0.0


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Section):
    """Random changes of an image and its boxes together; see detector/augment.py.

    scale, aspect and shift are of the mode "zoom" alone.
    """

    mode: Annotated[
        Literal["zoom", "darknet", "release2017"],
        about(
            '"zoom": scale, aspect and shift as below; "darknet": the aspect ratio is jittered by `jitter` of the '
            'image\'s sides and the picture fitted in, at a random place; "release2017": each side is moved by up '
            "to `jitter` and what remains is stretched over the canvas"
        ),
    ] = "zoom"
    jitter: Annotated[float, about("of the last two modes, in shares", 0, 0.9)] = 0.2
    scale: Annotated[float, about("the image is drawn at 1/scale to scale times its size", 1, 10)] = 1.0
    aspect: Annotated[float, about("the aspect ratio changes by up to this factor", 1, 10)] = 1.0
    shift: Annotated[Share, about("as a share of the free room, 0 keeps the image centred")] = 0.0
    flip: Annotated[Share, about("probability of mirroring")] = 0.5
    hue: Annotated[float, about("darknet's distortion: shift in turns, up to", 0, 0.5)] = 0.0
    saturation: Annotated[float, about("darknet's distortion: a factor, or one over it", 1, 100)] = 1.0
    exposure: Annotated[float, about("darknet's distortion: a factor, or one over it", 1, 100)] = 1.0
    grey: Annotated[Share, about("probability of dropping the colour")] = 0.0
    min_visible: Annotated[
        Share,
        about(
            "a box with less of its area left in the picture is not a target any more; the darknet modes drop "
            "sides below 0.001 of the picture instead"
        ),
    ] = 0.3


@dataclass(frozen=True, kw_only=True)
class DataConfig(Section):
    """The joint stream."""

    datasets: Annotated[tuple[str, ...], about("dataset directories; given on the command line with --data")] = ()
    shares: Annotated[
        tuple[float, float], about("images of labels-only sets to images of boxed sets; YOLO9000 used 4 to 1")
    ] = (4.0, 1.0)
    max_boxes: Annotated[int, about("boxes kept per image", 1, 10_000)] = 30
    max_labels: Annotated[int, about("image labels kept per image", 1, 10_000)] = 4


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Section):
    """The loop."""

    steps: Annotated[int, about("length of the run", 1, COUNT)] = 1000
    batch_size: Annotated[int, about("length of the run", 1, 1_000_000)] = 32
    optimizer: Annotated[Literal["sgd", "adamw"], about('"sgd" (momentum 0.9, darknet\'s) or "adamw"')] = "adamw"
    learning_rate: Annotated[float, about("at its highest", 0, 3.4e38)] = 1e-3
    reference_batch: Annotated[
        int,
        about(
            "the batch that learning_rate is meant for: it is multiplied by batch_size / reference_batch; 0: "
            "learning_rate is as it stands",
            0,
            1_000_000,
        ),
    ] = 0
    warmup_steps: Annotated[Steps, about("rises to it in so many steps")] = 100
    warmup_power: Annotated[float, about("of the rise; darknet's burn-in has 4", 0.1, 16)] = 1.0
    schedule: Annotated[
        Literal["cosine", "constant", "steps", "poly"],
        about('"cosine" to zero, "constant", "steps" (times a factor at each named step) or "poly" (1 - b/max)^power'),
    ] = "cosine"
    schedule_steps: Annotated[tuple[Annotated[int, Meta(ge=-1, le=COUNT)], ...], about('of "steps"')] = ()
    schedule_scales: Annotated[tuple[Scale, ...], about('of "steps"')] = ()
    schedule_power: Annotated[float, about('of "poly"', 0.1, 16)] = 4.0
    momentum: Annotated[float, about("of sgd", 0, 0.9999)] = 0.9
    weight_decay: Annotated[
        float, about("on convolution kernels alone; with sgd inside the momentum, as darknet does", 0, 100)
    ] = 5e-4
    subdivisions: Annotated[
        int, about("a batch is computed in so many parts whose gradients are summed (darknet's word)", 1, 100_000)
    ] = 1
    multi_scale: Annotated[
        tuple[Annotated[int, Meta(ge=8, le=8192)], ...],
        about("sizes of the input, drawn anew every multi_scale_every steps; empty: input_size alone"),
    ] = ()
    multi_scale_every: Annotated[int, about("darknet's 10", 1, COUNT)] = 10
    evaluate_every: Annotated[Steps, about("steps between evaluations on the sets given with --eval; 0: none")] = 0
    clip_norm: Annotated[float, about("global norm of the gradients, 0 for none", 0, COUNT)] = 10.0
    ema: Annotated[float, about("decay of the averaged weights that are evaluated, 0 for none", 0, 0.99999999)] = 0.0
    seed: Annotated[int, about("of weights, order and augmentation", 0, 2**32 - 1)] = 0
    checkpoint_every: Annotated[int, about("in steps", 1, COUNT)] = 200
    log_every: Annotated[int, about("in steps", 1, COUNT)] = 20
    precision: Annotated[
        Literal["float32", "mixed_bfloat16", "mixed_float16"], about('"float32", "mixed_bfloat16" or "mixed_float16"')
    ] = "float32"
    strategy: Annotated[
        Literal["one", "mirrored", "multiworker", "tpu"],
        about(
            '"one" device, "mirrored" (all GPUs of a host), "multiworker" (several hosts) or "tpu"; batch_size is '
            "that of all together. A run may go on with another"
        ),
    ] = "one"
    sync_batch_norm: Annotated[
        bool, about("on several devices, batch normalisation sees the images of all of them")
    ] = True


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
class Experiment:
    """Everything that decides a run."""

    name: str
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    two_stage: TwoStageConfig = field(default_factory=TwoStageConfig)

    def but(self, name: str, **sections: dict[str, Any]) -> Self:
        """The experiment under another name, with the fields of each section that differ."""
        parts = {section: dataclasses.replace(getattr(self, section), **own) for section, own in sections.items()}
        return dataclasses.replace(self, name=name, **parts)

    def to_json(self) -> str:
        """JSON text that `experiment_from_json` reads back."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"
