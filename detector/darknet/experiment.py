"""A .cfg as an experiment, and an experiment as a .cfg: how darknet's words and ours translate.

    anchors in cells             model.anchors, relative to the input: cells * stride / size
    batch, subdivisions          train.batch_size, train.subdivisions
    learning_rate, burn_in       train.learning_rate, train.warmup_steps with the power of `power` (4)
    policy, steps, scales        train.schedule...; step is written out as steps
    momentum, decay              train.momentum, train.weight_decay: the same update
    random=1                     train.multi_scale 320 to 608, every 10 batches
    jitter, hue, saturation ...  augment.mode darknet; .75 is the range of 1 / .75
    thresh                       loss.ignore_iou
    letter_box=0                 model.stretched

What differs between programs is not in the file: `head` is the last one (coordinates of small boxes weigh more, no
objectness for labels-only images, batch statistics kept at .99), `release2017` the one published with the paper (whose
batch statistics move by a tenth each step, as its weights after three steps show).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from detector.architectures import traits_of
from detector.config import AugmentConfig, Experiment, LossConfig, ModelConfig, TrainConfig
from detector.darknet.cfg import DarknetCfg, parse_cfg
from detector.darknet.cfg_text import cfg_text
from detector.darknet.settings import NetSettings, RegionSettings, SoftmaxSettings
from detector.darknet.shapes import grid
from detector.limits import within_limits
from detector.networks.layers import Conv, Layers
from detector.networks.shapes import trace_layers
from schemas.errors import ConfigError, FormatError

Program = Literal["head", "release2017"]
MULTI_SCALE = tuple(range(320, 609, 32))
DEFAULT_STEPS = 1_000_000  # where max_batches is 0, which means without end
STEPS_WRITTEN_OUT = 10_000


def experiment_from_cfg(
    text: str, *, where: str = "net.cfg", name: str = "", program: Program = "head"
) -> tuple[Experiment, list[str]]:
    """The experiment that a .cfg describes, with the text itself as its network, and notes on what differs.

    Args:
        text: of the .cfg.
        where: its name, for messages.
        name: of the experiment; the file's by default.
        program: which darknet.

    Raises:
        FormatError: as `parse_cfg`, or if the file is neither a detector nor a classifier.
    """
    cfg = parse_cfg(text, where)
    if cfg.head is None:
        raise FormatError(f"{where}: has no convolution before a [region] or a [softmax]; expected a whole network")
    if cfg.net.channels != 3:
        raise cfg.sections[0].bad("channels", "3, images in colour")
    train, notes = _train(cfg)
    experiment = Experiment(
        name=name or where.rsplit("/", 1)[-1].removesuffix(".cfg"),
        model=_model(cfg, text, where, program),
        loss=_loss(cfg, program),
        augment=_augment(cfg, program),
        train=train,
    )
    experiment, more = within_limits(experiment, ("loss", "augment", "train"))
    return experiment, [*cfg.warnings, *notes, *more]


def _model(cfg: DarknetCfg, text: str, where: str, program: Program) -> ModelConfig:
    net = cfg.net
    model = ModelConfig(
        architecture="yolo9000" if cfg.region else "classifier",
        cfg=text,
        input_size=net.width,
        input_height=0 if net.height == net.width else net.height,
        stretched=net.letter_box is False,
        batch_norm_momentum=0.9 if program == "release2017" else 0.99,
    )
    if cfg.region is None:
        return model
    rows, columns = grid(cfg, where)
    anchors = tuple((w / columns, h / rows) for w, h in cfg.region.anchors)
    return replace(model, anchors=anchors, num_anchors=len(anchors))


def _loss(cfg: DarknetCfg, program: Program) -> LossConfig:
    loss = LossConfig(small_box_weight=program == "head", weak=program)
    region = cfg.region
    if region is None:
        return loss
    return replace(
        loss,
        object_scale=region.object_scale,
        noobject_scale=region.noobject_scale,
        coord_scale=region.coord_scale,
        class_scale=region.class_scale,
        ignore_iou=region.thresh,
        rescore=region.rescore,
        bias_match=region.bias_match,
    )


def _augment(cfg: DarknetCfg, program: Program) -> AugmentConfig:
    net = cfg.net
    colours = {"hue": net.hue, "saturation": _factor(net.saturation), "exposure": _factor(net.exposure)}
    if cfg.region is None:  # a classifier's crop of another size and shape
        largest = max(net.max_crop / net.width, 1.0) if net.max_crop else 2.0
        return AugmentConfig(mode="zoom", scale=largest, aspect=_factor(net.aspect), shift=1.0, **colours)
    mode = "darknet" if program == "head" else "release2017"
    return AugmentConfig(mode=mode, jitter=min(cfg.region.jitter, 0.9), **colours)


def _factor(value: float) -> float:
    """A factor of at least 1: darknet draws from [value, 1] or [1, value] and inverts half of the draws."""
    return max(value, 1 / value) if value > 0 else 1.0


def _train(cfg: DarknetCfg) -> tuple[TrainConfig, list[str]]:
    net, notes = cfg.net, []
    if net.batch == 1:
        notes.append("[net] batch=1, as for testing; to train set train.batch_size and train.subdivisions (64 and 8)")
    steps = net.max_batches or DEFAULT_STEPS
    schedule: Literal["constant", "steps", "poly"] = "constant"
    at, scales = net.steps, net.scales
    if net.policy == "steps":
        schedule = "steps"
    elif net.policy == "step" and steps // net.step <= STEPS_WRITTEN_OUT:
        schedule, at = "steps", tuple(range(net.step, steps, net.step))
        scales = (net.scale,) * len(at)
    elif net.policy == "poly":
        schedule = "poly"
    elif net.policy != "constant":
        notes.append(f"[net] policy={net.policy} has no counterpart; train.schedule=constant")
    multi_scale = MULTI_SCALE if cfg.region is not None and cfg.region.random else ()
    train = TrainConfig(
        steps=steps,
        batch_size=net.batch,
        subdivisions=net.subdivisions,
        optimizer="sgd",
        learning_rate=net.learning_rate,
        warmup_steps=net.burn_in,
        warmup_power=net.power,
        schedule=schedule,
        schedule_steps=at if schedule == "steps" else (),
        schedule_scales=scales if schedule == "steps" else (),
        schedule_power=net.power,
        momentum=net.momentum,
        weight_decay=net.decay,
        multi_scale=multi_scale,
        clip_norm=0.0,
        ema=0.0,
    )
    return train, notes


def cfg_from_experiment(experiment: Experiment, num_nodes: int, *, tree: str = "", class_map: str = "") -> str:
    """The .cfg of an experiment: its own text where it was read from one and nothing since differs, else written anew.

    Args:
        experiment: with its anchors.
        num_nodes: N, the classes.
        tree: what the file shall name as its tree; empty for a flat list.
        class_map: likewise the map from classes to nodes.

    Raises:
        ConfigError: if the network cannot be said as a .cfg.
    """
    model = experiment.model
    layers = _body(experiment)
    if model.cfg and _in_words_of_cfg(experiment_from_cfg(model.cfg)[0]) == _in_words_of_cfg(experiment):
        return model.cfg
    net, comments = _net(experiment)
    if not traits_of(model.architecture).finds_boxes:
        head = Conv(num_nodes, 1, batch_norm=False, activation="linear")
        softmax = SoftmaxSettings(tree=tree, cost="masked" if tree else "sse")
        return cfg_text(net, layers, head, softmax=softmax, comments=comments)
    rows, columns = trace_layers(layers, (net.height, net.width, net.channels))[-1].output[:2]
    head = Conv(len(model.anchors) * (5 + num_nodes), 1, batch_norm=False, activation="linear")
    loss = experiment.loss
    region = RegionSettings(
        anchors=tuple((float(f"{w * columns:.7g}"), float(f"{h * rows:.7g}")) for w, h in model.anchors),
        classes=num_nodes,
        bias_match=loss.bias_match,
        rescore=loss.rescore,
        jitter=experiment.augment.jitter,
        random=bool(experiment.train.multi_scale),
        object_scale=loss.object_scale,
        noobject_scale=loss.noobject_scale,
        class_scale=loss.class_scale,
        coord_scale=loss.coord_scale,
        thresh=loss.ignore_iou,
        absolute=True,
        tree=tree,
        map=class_map,
    )
    return cfg_text(net, layers, head, region=region, comments=comments)


def _in_words_of_cfg(experiment: Experiment) -> tuple[object, ...]:
    """What of an experiment stands in a .cfg."""
    loss, augment = experiment.loss, experiment.augment
    scales = (loss.object_scale, loss.noobject_scale, loss.coord_scale, loss.class_scale)
    colours = (augment.hue, augment.saturation, augment.exposure)
    matching = (loss.ignore_iou, loss.rescore, loss.bias_match)
    return (
        replace(experiment.model, batch_norm_momentum=0.99),
        experiment.train,
        scales,
        matching,
        colours,
        augment.jitter,
    )


def _body(experiment: Experiment) -> Layers:
    from detector.networks.build import layers_of

    layers = layers_of(experiment.model)
    if not all(isinstance(layer, tuple) for layer in layers):
        raise ConfigError(f"model.network={experiment.model.network} is no list of layers that a .cfg can say")
    return tuple(layers)


def _net(experiment: Experiment) -> tuple[NetSettings, list[str]]:
    train, augment, comments = experiment.train, experiment.augment, []
    if train.schedule == "cosine":
        comments.append("train.schedule=cosine has no counterpart in this format; policy=constant stands for it")
    if train.optimizer != "sgd":
        comments.append(f"train.optimizer={train.optimizer} has no counterpart in this format")
    height, width = experiment.model.canvas
    power = train.schedule_power if train.schedule == "poly" else train.warmup_power
    return NetSettings(
        width=width,
        height=height,
        batch=train.batch_size,
        subdivisions=train.subdivisions,
        learning_rate=train.learning_rate,
        momentum=train.momentum,
        decay=train.weight_decay,
        policy="constant" if train.schedule == "cosine" else train.schedule,
        burn_in=train.warmup_steps,
        power=power,
        steps=train.schedule_steps,
        scales=train.schedule_scales,
        max_batches=train.steps,
        hue=augment.hue,
        saturation=augment.saturation,
        exposure=augment.exposure,
        letter_box=parse_cfg(experiment.model.cfg).net.letter_box if experiment.model.cfg else None,
    ), comments
