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
        letter_box: whether photos keep their proportions on the canvas; None where the file does not say.
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
    letter_box: bool | None = None


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
    train = section.training
    section.ignore("max_ratio", "min_ratio", "center", "clip", "inputs", "notruth", "random", "B1", "B2", "eps")
    train(
        section.refuse,
        "adam",
        ("0",),
        reason="the update here is momentum SGD; set train.optimizer=adamw for the other",
    )
    section.refuse("time_steps", ("1",), "recurrent networks are not built here")
    if "width" not in section or "height" not in section:
        raise section.bad("width" if "width" not in section else "height", "the size of the input in pixels")
    policy = train(section.choice, "policy", "constant", allowed=POLICIES)
    steps, scales = train(section.integers, "steps", ()), train(section.numbers, "scales", ())
    if policy == "steps" and (len(steps) != len(scales) or not steps):
        section.fault(section.bad("steps", f"as many steps as scales; found {len(steps)} and {len(scales)}"))
        policy = "constant"
    letter_box = section.flag("letter_box", True)
    return NetSettings(
        width=section.integer("width", 0, least=1, most=65536),
        height=section.integer("height", 0, least=1, most=65536),
        channels=section.integer("channels", 3, least=1, most=1 << 20),
        batch=train(section.integer, "batch", 1, least=1),
        subdivisions=train(section.integer, "subdivisions", 1, least=1),
        learning_rate=train(section.number, "learning_rate", 0.001),
        momentum=train(section.number, "momentum", 0.9, most=1),
        decay=train(section.number, "decay", 0.0001),
        policy=policy,
        burn_in=train(section.integer, "burn_in", 0),
        power=train(section.number, "power", 4.0),
        steps=steps,
        scales=scales,
        step=train(section.integer, "step", 1, least=1),
        scale=train(section.number, "scale", 1.0),
        gamma=train(section.number, "gamma", 1.0),
        max_batches=train(section.integer, "max_batches", 0),
        hue=train(section.number, "hue", 0.0, most=1),
        saturation=train(section.number, "saturation", 1.0),
        exposure=train(section.number, "exposure", 1.0),
        angle=train(section.number, "angle", 0.0),
        aspect=train(section.number, "aspect", 1.0),
        min_crop=train(section.integer, "min_crop", 0),
        max_crop=train(section.integer, "max_crop", 0),
        letter_box=letter_box if "letter_box" in section else None,
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
    tree, train = section.text("tree"), section.training
    if not section.flag("softmax", False) and not tree:
        raise section.bad("softmax", "1: independent logistic classes are not built here")
    return RegionSettings(
        anchors=tuple(zip(numbers[::2], numbers[1::2], strict=True)),
        classes=section.integer("classes", 20, least=1, most=10_000_000),
        bias_match=train(section.flag, "bias_match", False),
        rescore=train(section.flag, "rescore", False),
        jitter=train(section.number, "jitter", 0.2, most=1),
        random=train(section.number, "random", 0.0) > 0,
        object_scale=train(section.number, "object_scale", 1.0),
        noobject_scale=train(section.number, "noobject_scale", 1.0),
        class_scale=train(section.number, "class_scale", 1.0),
        coord_scale=train(section.number, "coord_scale", 1.0),
        thresh=train(section.number, "thresh", 0.5),
        absolute=train(section.flag, "absolute", False),
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
    """The section [cost] after a softmax: its delta is truth - softmax whatever its type."""
    section.ignore("scale", "ratio", "noobj", "thresh")
    return softmax._replace(cost=section.training(section.choice, "type", "sse", allowed=("sse", "masked")))
