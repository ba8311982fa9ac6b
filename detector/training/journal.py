"""What a run writes about itself: metrics.jsonl, TensorBoard, timing.jsonl, and lines for people.

One process writes them, the chief. All but timing.jsonl is a function of the steps.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import tensorflow as tf

from detector import onednn
from detector.config import Experiment
from detector.training.directory import drop_rows_after
from detector.training.schedule import learning_rate
from schemas.errors import OutputError

SOON = 3  # steps after the compilation until a first rate is told
Log = Callable[[str], None]


class Journal:
    """The records of a run that goes on at step `first`; the clock begins now.

    Rates are of steps that compiled nothing. One is told soon after the first such steps, the others with each line.

    Args:
        out: the run's directory.
        experiment: of the run.
        first: steps that were done before; what the files say of later ones is dropped.
        log: for people.
    """

    def __init__(self, out: Path, experiment: Experiment, first: int, log: Log) -> None:
        self.out, self.experiment, self.first, self.log = out, experiment, first, log
        drop_rows_after(out / "metrics.jsonl", first)
        self._metrics = open(out / "metrics.jsonl", "a", buffering=1)  # noqa: SIM115 (closed by `close`)
        self._writer = tf.summary.create_file_writer(str(out / "tensorboard"))
        self._began, self._idle = time.monotonic(), 0.0
        self._last = self._began
        self._lap_seconds, self._lap_steps, self._pace = 0.0, 0, 0.0
        self._onednn = onednn.setting()
        self._tell_of_another_setting()

    def stepped(self, done: int, *, compiled: bool) -> None:
        """After every step, before its line."""
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        if compiled:
            self.log(f"compiled in {clock(seconds)}")
            return
        self._lap_seconds, self._lap_steps = self._lap_seconds + seconds, self._lap_steps + 1
        config = self.experiment.train
        if not self._pace and self._lap_steps == SOON and done % config.log_every and done < config.steps:
            self.log(self._progress(done))

    def _progress(self, done: int) -> str:
        """Rate and time left, by the steps since the last line."""
        config = self.experiment.train
        if self._lap_steps:
            self._pace = self._lap_seconds / self._lap_steps
        if not self._pace:  # every step so far was compiled
            return f"step {done:>6}/{config.steps}"
        left = clock((config.steps - done) * self._pace)
        return f"step {done:>6}/{config.steps}  {config.batch_size / self._pace:5.0f} images/s  {left} left"

    def step(self, done: int, means: Mapping[str, float]) -> None:
        """The means of the loss terms over the steps since the last line."""
        config = self.experiment.train
        rate = learning_rate(config, done - 1)
        row = {"step": done, "images": done * config.batch_size, "learning_rate": rate}
        try:
            self._metrics.write(json.dumps(row | {name: round(value, 6) for name, value in means.items()}) + "\n")
        except OSError as error:
            raise OutputError(
                f"{self.out / 'metrics.jsonl'}: cannot be written ({error.strerror}); make room and run the same "
                "command again, which goes on from the last checkpoint"
            ) from error
        with self._writer.as_default(step=done):
            for name, value in {**means, "learning_rate": rate}.items():
                tf.summary.scalar(name, value)
        terms = "  ".join(f"{k} {v:.3f}" for k, v in means.items() if k not in ("loss", "gradient_norm"))
        self.log(f"{self._progress(done)}  loss {means['loss']:.3f} ({terms})")
        self._lap_seconds, self._lap_steps = 0.0, 0

    def pause(self, work: Callable[[], None]) -> None:
        """Do what is no training: its seconds do not count."""
        paused = time.monotonic()
        work()
        paused = time.monotonic() - paused
        self._idle, self._last = self._idle + paused, self._last + paused

    def _tell_of_another_setting(self) -> None:
        """A run that goes on without the oneDNN it had, or with it, ends with other bits."""
        try:
            before = json.loads((self.out / "timing.jsonl").read_text().splitlines()[-1])["onednn"]
        except (OSError, IndexError, ValueError, KeyError, TypeError):
            return  # it begins, or it was written before this was noted
        if before != self._onednn:
            again = {"on": "1", "off": "0"}.get(before)
            how = f"{onednn.VARIABLE}={again}" if again else f"{onednn.VARIABLE} unset"
            self.log(
                f"oneDNN was {before} in this run and is {self._onednn} now: the result will differ in its last "
                f"digits from that of an undisturbed run; to go on exactly, start with {how}"
            )

    def flush(self) -> None:
        """Before a checkpoint: lines of its steps are on disk."""
        self._metrics.flush()

    def saved(self, done: int) -> None:
        """After a checkpoint."""
        row = {"from": self.first, "step": done, "seconds": round(self.seconds(), 1), "onednn": self._onednn}
        with open(self.out / "timing.jsonl", "a") as timing:  # for the report; the only file with a clock
            timing.write(json.dumps(row) + "\n")

    def seconds(self) -> float:
        """Of training, since the beginning."""
        return time.monotonic() - self._began - self._idle

    def close(self) -> None:
        """Write what is left."""
        with contextlib.suppress(OSError):  # told when the line was written
            self._metrics.close()
        self._writer.close()


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}m{int(seconds) % 60:02d}s"
