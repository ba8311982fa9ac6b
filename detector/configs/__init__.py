"""Experiments, one a file: the name is what `wordtree train` takes; the docstring gives command, time and result.

What is alike in several is said once: a recipe derives from another by what differs (`dataclasses.replace`).
"""

from __future__ import annotations

import pkgutil


def config_names() -> list[str]:
    """The experiments that ship with the package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
