"""The joint stream as one worker reads it: its own positions alone, without a word with the others.

Batch k of this stream holds the worker's images of step k. A record is read and decoded by exactly one worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from detector.input import Example, JointStream


class HostStream(JointStream):
    """`JointStream` whose `batches` are a worker's shares of the steps.

    Positions that `example` and `first_undecodable` take count the worker's own images; `locate` takes positions of the
    whole stream.

    Args:
        *args: of `JointStream`.
        offsets: the worker's positions within a step, in the order of its batch.
        batch_size: images of a step, of all workers.
        **options: of `JointStream`.
    """

    def __init__(self, *args: Any, offsets: Sequence[int], batch_size: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self._offsets, self._whole = tuple(offsets), batch_size

    @property
    def share(self) -> int:
        """Images of a step that are this worker's."""
        return len(self._offsets)

    def position(self, own: int) -> int:
        """The position in the whole stream of the worker's image number `own`."""
        step, place = divmod(own, len(self._offsets))
        return step * self._whole + self._offsets[place]

    def example(self, position: int, canvas: tuple[int, int] | None = None) -> Example:
        """See `JointStream.example`; `position` counts the worker's own images."""
        return super().example(self.position(position), canvas)

    def first_undecodable(self, start: int, count: int) -> str:
        """See `JointStream.first_undecodable`; positions count the worker's own images."""
        found: Iterator[str] = (
            super(HostStream, self).first_undecodable(self.position(own), 1) for own in range(start, start + count)
        )
        return next((text for text in found if text), "")
