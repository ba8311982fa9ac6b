"""A worker that is gone ends the job of the others, with a message; the same command on all goes on.

TensorFlow's coordination service asks all workers for a heartbeat. When one is missing, or its connections are closed,
every collective operation of the others ends with an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from schemas.errors import WordTreeError

SIGNS = ("Collective ops is aborted", "/job:", "Socket closed", "failed to connect", "Connection refused", "heartbeat")
KINDS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)


class WorkerLostError(WordTreeError):
    """Another worker of the job is gone."""


@contextmanager
def watch(workers: int, index: int) -> Iterator[None]:
    """Turn TensorFlow's errors about other workers into one line.

    Args:
        workers: of the job; with one there is nobody to lose.
        index: of this one.

    Raises:
        WorkerLostError: instead of such an error.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if workers < 2 or not is_loss(error):
            raise
        raise WorkerLostError(describe(str(error), workers, index)) from error


def is_loss(error: tf.errors.OpError) -> bool:
    """Whether an error is about other workers."""
    return isinstance(error, KINDS) and any(sign in str(error) for sign in SIGNS)


def describe(text: str, workers: int, index: int) -> str:
    """What to tell people of worker `index` about such an error."""
    found = sorted({int(number) for number in re.findall(r"/job:worker/(?:replica:\d+/)?task:(\d+)", text)} - {index})
    who = ", ".join(map(str, found)) if found else "another one"
    return (
        f"worker {index} of {workers} stops: worker {who} is gone (killed, crashed or out of reach; its own output may "
        "say why). Start all workers again with the same command: the run goes on from its last checkpoint"
    )
