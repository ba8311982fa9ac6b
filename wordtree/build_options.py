"""What may differ between trees of the same labels, and the rules for ties."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import ConfigError

TOP = ("n00001740", "n00001930", "n00002137")  # entity, physical entity, abstraction

ROOT = "n00001740"  # entity: what `one_root` puts above several roots
PERSON = "n00007846"  # ImageNet has withdrawn most of what lies below it
ILSVRC_PEOPLE = ("n09835506", "n10148035", "n10565667")  # ballplayer, groom, scuba diver: never withdrawn

TIES = ("wnid-up", "wnid-down", "shortest", "pointer")


@dataclass(frozen=True)
class BuildOptions:
    """What may differ between trees of the same labels.

    Attributes:
        drop_top: wnids to leave out although paths go through them; what hangs below them becomes a root. Labels are
            never dropped.
        collapse: leave out nodes that are no labels and have one child: no softmax is needed to choose one of one.
        hoist_only_leaves: make a leaf that is the only child of a label its sibling, as in the published 9k tree.
            It removes groups of one, but makes a concept exclude its own kind.
        patches: child -> parent: edges that replace all of WordNet's edges above the child. A patched child need not
            be a label.
        tie: which of several paths that add the same number of nodes is taken:

            * `wnid-up`: the smallest wnids, read from the label upwards;
            * `wnid-down`: the smallest wnids, read from the root downwards;
            * `shortest`: the fewest steps to the root, then as `wnid-up`;
            * `pointer`: the first in the order of WordNet's own file;
            * `random:SEED`: by a hash of the path, to see what depends on ties at all.
        one_root: put entity above everything if there would be several roots. The first softmax then is among its
            children, and the root itself is a group of one: always certain.
        instances: follow instance hypernyms too ("Mars is a planet"). Without, labels that are single things are left
            out.
        exclude: labels below these concepts are left out; the concepts themselves may be labels.
        keep: labels that stay although they lie below an excluded concept.
    """

    drop_top: tuple[str, ...] = TOP
    collapse: bool = True
    hoist_only_leaves: bool = False
    patches: Mapping[str, str] = field(default_factory=dict[str, str])
    tie: str = "wnid-up"
    one_root: bool = False
    instances: bool = True
    exclude: tuple[str, ...] = (PERSON,)
    keep: tuple[str, ...] = ILSVRC_PEOPLE


def tie_order(tie: str) -> Callable[[tuple[str, ...]], Any]:
    """The key by which the least of several equally good paths is taken; the first of equal keys wins.

    Raises:
        ConfigError: there is no such rule.
    """
    seed = re.fullmatch(r"random:([0-9]{1,9})", tie)
    if seed is not None:
        return lambda path: hashlib.sha256(" ".join((seed.group(1), *path)).encode()).digest()
    rules: dict[str, Callable[[tuple[str, ...]], Any]] = {
        "wnid-up": lambda path: path,
        "wnid-down": lambda path: path[::-1],
        "shortest": lambda path: (len(path), path),
        "pointer": lambda path: 0,
    }
    if tie not in rules:
        raise ConfigError(f"tie rule {tie!r} is unknown; expected one of {', '.join(TIES)}, or random:SEED")
    return rules[tie]
