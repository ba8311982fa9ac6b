"""What a .cfg says beside its layers: how to train, the head's own numbers, and how a classifier ends."""

from __future__ import annotations

from typing import Literal, NamedTuple

from detector.darknet.sections import Section

POLICIES = ("constant", "steps", "step", "poly", "exp", "sigmoid", "random")


class NetSettings(NamedTuple):
    """The section [net]: the input, the schedule, the augmentation. Defaults are darknet's.

    Attributes:
        width, height, channels: of the input.
        batch: images of one update, the subdivisions included.
        steps, scales: of the policy "steps".
        step, scale: of the policy "step".
        saturation, exposure: factors as they stand; .75 means the same range as 1 / .75.
        min_crop, max_crop, angle, aspect: of a classifier's crops.
    """

    width: int
    height: int
    channels: int = 3
    batch: int = 1
    subdivisions: int = 1
    learning_rate: float = 0.001
    momentum: float = 0.9
    decay: float = 0.0001
    policy: str = "constant"
    burn_in: int = 0
    power: float = 4.0
    steps: tuple[int, ...] = ()
    scales: tuple[float, ...] = ()
    step: int = 1
    scale: float = 1.0
    gamma: float = 1.0
    max_batches: int = 0
    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0
    angle: float = 0.0
    aspect: float = 1.0
    min_crop: int = 0
    max_crop: int = 0


class RegionSettings(NamedTuple):
    """The section [region]; defaults are darknet's.

    Attributes:
        anchors: (width, height) in grid cells.
        classes: N.
        thresh: overlap above which a box without a truth is not pushed to "no object".
        tree, map: the files that it names, as they stand.
    """

    anchors: tuple[tuple[float, float], ...]
    classes: int
    bias_match: bool = False
    rescore: bool = False
    jitter: float = 0.2
    random: bool = False
    object_scale: float = 1.0
    noobject_scale: float = 1.0
    class_scale: float = 1.0
    coord_scale: float = 1.0
    thresh: float = 0.5
    absolute: bool = False
    tree: str = ""
    map: str = ""


class SoftmaxSettings(NamedTuple):
    """The end of a classifier, [avgpool] [softmax] [cost].

    Attributes:
        tree: the file that [softmax] names; empty for one group of classes.
        cost: type of the [cost] section: "sse" or "masked"; empty if there is none.
    """

    tree: str = ""
    cost: str = ""


Head = Literal["region", "softmax", "none"]


def read_net(section: Section) -> NetSettings:
    """The first section.

    Raises:
        FormatError: if a value is wrong, or the network has no images as its input.
    """
    section.ignore("max_ratio", "min_ratio", "center", "clip", "inputs", "notruth", "random", "B1", "B2", "eps")
    section.refuse("adam", ("0",), "the update here is momentum SGD; set train.optimizer=adamw for the other")
    section.refuse("time_steps", ("1",), "recurrent networks are not built here")
    if "width" not in section or "height" not in section:
        raise section.bad("width" if "width" not in section else "height", "the size of the input in pixels")
    policy = section.text("policy", "constant")
    if policy not in POLICIES:
        raise section.bad("policy", f"one of {', '.join(POLICIES)}")
    steps, scales = section.integers("steps"), section.numbers("scales")
    if policy == "steps" and (len(steps) != len(scales) or not steps):
        raise section.bad("steps", f"as many steps as scales; found {len(steps)} and {len(scales)}")
    width = section.integer("width", 0, least=1, most=65536)
    return NetSettings(
        width=width,
        height=section.integer("height", 0, least=1, most=65536),
        channels=section.integer("channels", 3, least=1, most=1 << 20),
        batch=section.integer("batch", 1, least=1),
        subdivisions=section.integer("subdivisions", 1, least=1),
        learning_rate=section.number("learning_rate", 0.001),
        momentum=section.number("momentum", 0.9, most=1),
        decay=section.number("decay", 0.0001),
        policy=policy,
        burn_in=section.integer("burn_in", 0),
        power=section.number("power", 4.0),
        steps=steps,
        scales=scales,
        step=section.integer("step", 1, least=1),
        scale=section.number("scale", 1.0),
        gamma=section.number("gamma", 1.0),
        max_batches=section.integer("max_batches", 0),
        hue=section.number("hue", 0.0, most=1),
        saturation=section.number("saturation", 1.0),
        exposure=section.number("exposure", 1.0),
        angle=section.number("angle", 0.0),
        aspect=section.number("aspect", 1.0),
        min_crop=section.integer("min_crop", 0),
        max_crop=section.integer("max_crop", 0),
    )


def read_region(section: Section) -> RegionSettings:
    """The section [region] of a detector.

    Raises:
        FormatError: if a value is wrong or asks for what is not built here.
    """
    section.ignore("log", "sqrt", "max_boxes", "max", "mask_scale")
    section.refuse("coords", ("4",), "a box has four coordinates")
    section.refuse("background", ("0",), "classes of background are not built here")
    section.refuse("classfix", ("0",), "classes are always corrected here")
    count = section.integer("num", 1, least=1, most=1024)
    numbers = section.numbers("anchors") or (0.5,) * 2 * count
    if len(numbers) != 2 * count:
        raise section.bad("anchors", f"{2 * count} numbers, a width and a height for each of num={count} priors")
    if min(numbers) <= 0:
        raise section.bad("anchors", "widths and heights above 0")
    tree = section.text("tree")
    if not section.flag("softmax", False) and not tree:
        raise section.bad("softmax", "1: independent logistic classes are not built here")
    return RegionSettings(
        anchors=tuple(zip(numbers[::2], numbers[1::2], strict=True)),
        classes=section.integer("classes", 20, least=1, most=10_000_000),
        bias_match=section.flag("bias_match", False),
        rescore=section.flag("rescore", False),
        jitter=section.number("jitter", 0.2, most=1),
        random=section.flag("random", False),
        object_scale=section.number("object_scale", 1.0),
        noobject_scale=section.number("noobject_scale", 1.0),
        class_scale=section.number("class_scale", 1.0),
        coord_scale=section.number("coord_scale", 1.0),
        thresh=section.number("thresh", 0.5),
        absolute=section.flag("absolute", False),
        tree=tree,
        map=section.text("map"),
    )


def read_softmax(section: Section) -> SoftmaxSettings:
    """The section [softmax] of a classifier.

    Raises:
        FormatError: if it asks for several softmaxes over slices of the classes.
    """
    section.ignore("noloss", "spatial")
    section.refuse("groups", ("1",), "groups of equal size are not built here; give a tree")
    section.refuse("temperature", ("1", "1.0", "1."), "the temperature is always 1 here")
    return SoftmaxSettings(tree=section.text("tree"))


def read_cost(section: Section, softmax: SoftmaxSettings) -> SoftmaxSettings:
    """The section [cost] after a softmax: its delta is truth - softmax whatever its type.

    Raises:
        FormatError: if its type is another.
    """
    section.ignore("scale", "ratio", "noobj", "thresh")
    kind = section.text("type", "sse")
    if kind not in ("sse", "masked"):
        raise section.bad("type", "sse or masked")
    return softmax._replace(cost=kind)
