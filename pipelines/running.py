"""What every Beam job of the project needs around it: clear ends, and how rows travel."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import threading
from collections.abc import Iterator

import apache_beam as beam
import grpc

from pipelines.engines.worker_process import losses
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


@contextlib.contextmanager
def _threads_heard_at_the_end() -> Iterator[None]:
    """Beam's threads that talk with a worker raise when it is gone; each would print a traceback.

    What they raised is printed when the run is over, unless a connection or a worker was lost, which is told better.
    """
    before, raised = threading.excepthook, []
    threading.excepthook = raised.append
    try:
        yield
    finally:
        threading.excepthook = before
        if not losses:
            for args in raised:
                if not issubclass(args.exc_type, grpc.RpcError):
                    before(args)


@contextlib.contextmanager
def trouble_told(out: str, *, resumes: bool = True) -> Iterator[None]:
    """A full disk and other trouble of a file system are the user's to mend; and an interruption is one.

    Beam wraps exceptions, across processes as text, so the text is looked at. What fails after a worker died fails
    because it died.

    Args:
        out: what is written.
        resumes: whether the same command goes on where it was.
    """
    stays = "; what is finished stays" if resumes else ""
    losses.clear()
    try:
        with _threads_heard_at_the_end():
            yield
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
                f"{losses[0]}. Run the same command again, perhaps with fewer --workers, which need less memory{stays}"
            ) from error
        trouble = faults.told(error)
        if not trouble or isinstance(error, WordTreeError):
            raise
        raise OutputError(f"{trouble}. Mend it and run the same command again{stays}") from error
