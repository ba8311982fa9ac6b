"""A user's own Python file, opened by its path: a page with an experiment, an architecture, or both in one.

    get_config() -> Experiment            what `wordtree train my_page.py` trains
    build(experiment, tree) -> Detector   the architecture, where model.architecture is the file's path (`__file__`)

The file runs as the user's own program does: give only files that you would run.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from detector.given_text import read_limited
from schemas.errors import ConfigError, WordTreeError

MOST_BYTES = 4_000_000


def is_own_module(name: str) -> bool:
    """Whether a name of a config or an architecture is the path of a Python file."""
    return name.endswith(".py")


def own_module(name: str) -> ModuleType:
    """The module of a file; run once in a process.

    Raises:
        ConfigError: if it is missing or does not run, with the line.
    """
    return _module(str(Path(name).absolute()))


@functools.cache
def _module(path: str) -> ModuleType:
    try:
        read_limited(path, MOST_BYTES)
    except WordTreeError as error:
        raise ConfigError(f"{error}; expected a Python file") from error
    name = f"wordtree_own_{Path(path).stem}_{len(sys.modules)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except WordTreeError:
        raise
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else 0
        raise ConfigError(
            f"{path} line {line}: does not run ({type(error).__name__}: {error}); expected a page with get_config() "
            "or build()"
        ) from error
    return module
