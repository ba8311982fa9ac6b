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
    known = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if name not in known:
        raise ConfigError(f"no architecture {name!r}; there are {', '.join(known)}")
    return importlib.import_module(f"detector.architectures.{name}").build(experiment, tree)
