"""TensorFlow's start for `wordtree train`: quiet, deterministic, and as a worker where it is to be one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from detector.cli_parts import start_tensorflow
from schemas.errors import ConfigError


def start_cluster(name: str, log: Callable[[str], None]) -> Any:
    """The `detector.cluster.strategy.Cluster` that `train.strategy` names.

    A worker must say so before TensorFlow's runtime starts, which `start_tensorflow` does.

    Raises:
        ConfigError: if TensorFlow is not installed, or the devices are not there.
    """
    if name != "multiworker":
        start_tensorflow()
        from detector.cluster.strategy import open_cluster

        return open_cluster(name, log)
    from detector.cluster.description import describe_cluster

    describe_cluster(os.environ)  # refused before the import, which takes seconds
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its many lines about a lost worker become one of ours
    try:
        with _quiet():
            import tensorflow as tf

            tf.config.experimental.enable_op_determinism()
    except ImportError as error:
        raise ConfigError(f"TensorFlow is not installed ({error}); pip install 'wordtree[train]'") from error
    from detector.cluster.strategy import open_cluster

    return open_cluster(name, log)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what C++ writes to descriptor 2 before any log level holds."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        if os.environ["TF_CPP_MIN_LOG_LEVEL"] != "0":
            with open(os.devnull, "wb") as sink:
                os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
