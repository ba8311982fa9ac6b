"""How far a conversion is, told from the reports of finished shards: the same for any runner and number of workers.

Writes to stderr: one line that is written over where that is a terminal, else a line now and then.
"""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TextIO

from pipelines.files import storage
from pipelines.plan import Plan
from pipelines.writing import read_report, shard_name
from schemas.manifest import WORK_FOLDER

TERMINAL_SECONDS = 0.5
LOG_SECONDS = 10.0


class Progress:
    """A context in which a thread of its own looks at OUT/.work and reports."""

    def __init__(self, plan: Plan, stream: TextIO | None = None) -> None:
        self._plan, self._stream = plan, stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._seen: dict[str, tuple[int, int]] = {}
        self._shown = False

    def __enter__(self) -> Progress:
        self._begun = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=5)
        if self._terminal and self._shown:
            self._stream.write("\n")

    def _run(self) -> None:
        while not self._stop.wait(TERMINAL_SECONDS if self._terminal else LOG_SECONDS):
            try:
                line = self.line(time.monotonic() - self._begun)
            except OSError:
                continue  # the folder is not there yet, or not any more
            if line:
                self._stream.write(f"\r{line:<78}" if self._terminal else f"{line}\n")
                self._stream.flush()
                self._shown = True

    def line(self, seconds: float) -> str:
        """Images done, speed and time left; empty before the first shard is finished."""
        job = self._plan.job
        names = set(storage.list_folder(storage.join(job.out, WORK_FOLDER))[1])
        for number in range(job.shards):
            name = shard_name(job, number)
            if name not in self._seen and f"{name}.report.json" in names:
                report = read_report(job, number)
                if report is not None:
                    self._seen[name] = (report.images_in, report.image_bytes)
        if not self._seen or seconds <= 0:
            return ""
        images = sum(count for count, _ in self._seen.values())
        megabytes = sum(size for _, size in self._seen.values()) / 1e6
        left = seconds * (self._plan.images - images) / images if images else 0.0
        return (
            f"{images} of {self._plan.images} images, {len(self._seen)} of {job.shards} shards, "
            f"{images / seconds:.0f} images/s, {megabytes / seconds:.1f} MB/s, {_clock(left)} left"
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
