"""`DecodeConfig`, checked before anything is computed."""

from __future__ import annotations

from detector.config import DecodeConfig
from schemas.errors import ConfigError


def check_decode(options: DecodeConfig, num_nodes: int) -> DecodeConfig:
    """The same options, if they make sense for a tree of this size.

    Raises:
        ConfigError: naming the option, what was found and what is expected.
    """
    for name in ("threshold", "walk_threshold", "iou_threshold"):
        value = getattr(options, name)
        if not 0 <= value <= 1:
            raise ConfigError(f"{name} is {value}; expected a number from 0 to 1")
    for name in ("limit", "top"):
        value = getattr(options, name)
        if value < 1:
            raise ConfigError(f"{name} is {value}; expected 1 or more")
    for name, known in (
        ("walk", ("thesis", "darknet", "map", "leaves", "topk")),
        ("suppression", ("any", "class", "subtree")),
    ):
        value = getattr(options, name)
        if value not in known:
            raise ConfigError(f"{name} is {value!r}; expected one of {', '.join(known)}")
    if options.walk == "map" and not options.nodes:
        raise ConfigError("walk 'map' has no nodes to choose from; name them (decode option nodes)")
    outside = [node for node in options.nodes if not 0 <= node < num_nodes]
    if outside:
        raise ConfigError(f"node {outside[0]} is not in the tree; expected nodes from 0 to {num_nodes - 1}")
    if len(set(options.nodes)) < len(options.nodes):
        twice = next(node for node in options.nodes if options.nodes.count(node) > 1)
        raise ConfigError(f"node {twice} is named twice; expected each node once")
    return options
