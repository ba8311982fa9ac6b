"""Ctrl-C, and SIGTERM, which clusters send before they take a machine away: one line and no traceback, at any moment.

While modules are imported an exception would end inside a library that may print it, forget it or make another of it,
and nothing is open yet that wants to be closed: the process leaves at once. At work KeyboardInterrupt is raised, with
the signal's number if it is not that of Ctrl-C.

This is the first module of a command, so it imports next to nothing.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def leave_when_interrupted() -> None:
    """Until there is work: one line, and the process is gone."""
    _listen(lambda number, _: _leave(number, 2, "wordtree: interrupted"))


class Interruptible:
    """A context of work.

    Attributes:
        number: of the signal that came, 0 for none.
    """

    def __init__(self, told: Callable[[], str]) -> None:
        """Args:
        told: makes the line for people.
        """
        self.told, self.number = told, 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        try:
            self._stderr = os.dup(2)  # TensorFlow is imported while standard error is shut
        except OSError:  # it is closed
            self._stderr = -1
        self._before = _listen(self._interrupt)
        if self._before:
            self._hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            sys.unraisablehook = self._hook
        if self._stderr >= 0:
            os.close(self._stderr)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        if _is_importing(frame):
            _leave(number, self._stderr, self.told())
        raise KeyboardInterrupt(*([] if number == signal.SIGINT else [number]))

    def _unraisable(self, args: Any) -> None:
        """Where an exception cannot be raised, as in `__del__`, Python would print it and go on."""
        if issubclass(args.exc_type, KeyboardInterrupt):
            _leave(self.number or signal.SIGINT, self._stderr, self.told())
        self._hook(args)


def _leave(number: int, stderr: int, told: str) -> None:
    try:
        os.write(stderr, f"{told}\n".encode())
    finally:
        os._exit(128 + number)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _listen(handler: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    """The handlers before, by signal; none where this is not the main thread, which alone can listen."""
    try:
        return {number: signal.signal(number, handler) for number in SIGNALS}
    except ValueError:
        return {}
