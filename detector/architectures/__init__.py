"""Meta-architectures, one a file: `build(experiment, tree) -> Detector`, found by module name."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from schemas.errors import ConfigError


def build_detector(experiment: Any, tree: Any) -> Any:
    """The `Detector` that `experiment.model.architecture` names.

    Raises:
        ConfigError: if there is no such architecture.
    """
    name = experiment.model.architecture
    modules = {
        m.name: importlib.import_module(f"detector.architectures.{m.name}") for m in pkgutil.iter_modules(__path__)
    }
    builders = {key: module.build for key, module in sorted(modules.items()) if hasattr(module, "build")}
    if name not in builders:
        raise ConfigError(f"no architecture {name!r}; there are {', '.join(builders)}")
    return builders[name](experiment, tree)
