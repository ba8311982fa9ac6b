"""What every Beam job of the project needs around it: clear ends, and how rows travel."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import grpc

from pipelines.engines.worker_process import begin_run, losses
from pipelines.files import faults
from schemas.errors import OutputError, WordTreeError

_INTERRUPT = re.compile(r"^KeyboardInterrupt(?:: (\d+)|\((\d+)\)|: )?(?: \[while running .*)?$")
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_IN_MEMORY = ("FnApiRunner", "DirectRunner", "SwitchingDirectRunner", "BundleBasedDirectRunner", "PrismRunner")


def holds_groups_in_memory(pipeline: beam.Pipeline) -> bool:
    """Whether the pipeline's runner holds a GroupByKey in memory, so that rows should be spooled."""
    return type(pipeline.runner).__name__ in _IN_MEMORY


def _be_quiet() -> None:
    """Beam's threads lose their connections while the process ends, and each would print a traceback."""
    threading.excepthook = lambda *_: None
    logging.disable(logging.CRITICAL)


def _without_lost_connections(before: Callable[..., Any]) -> Callable[..., Any]:
    """Beam's threads that are connected with a worker would print a traceback each when it is gone."""
    return lambda args: None if issubclass(args.exc_type, grpc.RpcError) else before(args)


@contextlib.contextmanager
def trouble_told(out: str) -> Iterator[None]:
    """A full disk and other trouble of a file system are the user's to mend; and an interruption is one.

    Beam wraps exceptions, across processes as text, so the text is looked at. What fails after a worker died fails
    because it died.
    """
    begin_run()
    before = threading.excepthook
    threading.excepthook = _without_lost_connections(before)
    try:
        yield
        threading.excepthook = before
    except KeyboardInterrupt:
        _be_quiet()
        raise
    except Exception as error:
        interrupt = _INTERRUPT.search(str(error))
        if interrupt:
            _be_quiet()
            raise KeyboardInterrupt(*([int(interrupt[1])] if interrupt[1] else [])) from None
        full = next((text for text in map(os.strerror, _NO_ROOM) if text in str(error)), "")
        if full:
            raise OutputError(f"cannot write to {out!r}: {full}. Make room and run the same command again") from error
        if losses and not isinstance(error, WordTreeError):
            raise OutputError(
                f"{losses[0]}. Run the same command again: what is finished stays; fewer --workers need less memory"
            ) from error
        trouble = faults.told(error)
        if not trouble or isinstance(error, WordTreeError):
            raise
        raise OutputError(f"{trouble}. Mend it and run the same command again; what is finished stays") from error
