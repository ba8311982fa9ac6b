"""A polite stop: SIGTERM or SIGINT ends the run after the step in hand, with a checkpoint.

A second signal ends it at once, as it would have without this.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class TrainingStopped(Exception):
    """The run was stopped by a signal and can go on.

    Attributes:
        signal: its number; a shell expects 128 plus it as exit status.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.signal = number


class StopRequest:
    """A context in which the first SIGTERM or SIGINT is noted instead of obeyed; only the main thread can listen.

    Attributes:
        signal: its number, 0 so far.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
