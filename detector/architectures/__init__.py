"""Meta-architectures, one a file: `build(experiment, tree) -> Localizer | Classifier`, found by module name.

A user's own is found by the path of its Python file.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import NamedTuple

from detector.api import Detector
from detector.config import Experiment
from detector.own_module import is_own_module, own_module
from schemas.errors import ConfigError
from wordtree.tree import WordTree


class Traits(NamedTuple):
    """What is known of an architecture before it is built; a file of the user's own may have `TRAITS`.

    Attributes:
        finds_boxes: and does not name whole images.
        two_stages: looks at proposals a second time.
    """

    finds_boxes: bool = True
    two_stages: bool = False


_TRAITS = {"classifier": Traits(finds_boxes=False), "faster_rcnn": Traits(two_stages=True)}


def traits_of(architecture: str) -> Traits:
    """By the name in `model.architecture`.

    Raises:
        ConfigError: if it is a file that cannot be read.
    """
    if is_own_module(architecture):
        return getattr(own_module(architecture), "TRAITS", Traits())
    return _TRAITS.get(architecture, Traits())


def build_detector(experiment: Experiment, tree: WordTree) -> Detector:
    """What `experiment.model.architecture` names.

    Raises:
        ConfigError: if there is no such architecture.
    """
    name = experiment.model.architecture
    if is_own_module(name):
        own = own_module(name)
        if not hasattr(own, "build"):
            raise ConfigError(f"{name} has no build(experiment, tree), which model.architecture names")
        return own.build(experiment, tree)
    modules = {
        m.name: importlib.import_module(f"detector.architectures.{m.name}") for m in pkgutil.iter_modules(__path__)
    }
    builders = {key: module.build for key, module in sorted(modules.items()) if hasattr(module, "build")}
    if name not in builders:
        raise ConfigError(f"no architecture {name!r}; there are {', '.join(builders)}")
    return builders[name](experiment, tree)
