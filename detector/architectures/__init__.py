"""Meta-architectures, one a file: `build(experiment, tree) -> Detector`, found by module name, or a user's own file.

What one alone reads stands next to it: `NAME_config.py`.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from detector.own_module import is_own_module, own_module
from schemas.errors import ConfigError


def build_detector(experiment: Any, tree: Any) -> Any:
    """The `Detector` that `experiment.model.architecture` names.

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
