"""The arms: every subject at every size and, where it has proposals, with every number of them.

All that can be wrong with an arm is said here, before anything runs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from detector.bench.subjects import Subject
from detector.limits import RANGES
from detector.run import check_proposals
from schemas.errors import ConfigError


@dataclass(frozen=True)
class Arm:
    """One point of the figures.

    Attributes:
        subject: the run.
        canvas: (height, width) of the images in pixels.
        proposals: an image, at most; None where the architecture has none.
    """

    subject: Subject
    canvas: tuple[int, int]
    proposals: int | None = None

    @property
    def title(self) -> str:
        """For people: `fast, 240x320, 50 proposals`; height before width."""
        return ", ".join(
            [self.subject.name, size_words(self.canvas)]
            + ([] if self.proposals is None else [f"{self.proposals} proposals"])
        )


def size_words(canvas: tuple[int, int]) -> str:
    """`416` for a square, else height x width."""
    height, width = canvas
    return str(width) if height == width else f"{height}x{width}"


def plan_arms(subjects: Sequence[Subject], sizes: Sequence[str], proposals: Sequence[int]) -> list[Arm]:
    """All arms, subject by subject, by rising size and proposals as given.

    Args:
        subjects: what is compared.
        sizes: `320`, the width in pixels, the height in the subject's own proportion; or `240x320`, height x width.
            None: each subject's own.
        proposals: of two-stage detectors; none: each subject's own.

    Raises:
        ConfigError: naming the arm that cannot be.
    """
    arms: dict[tuple[str, tuple[int, int], int | None], Arm] = {}
    for subject in subjects:
        canvases = [_canvas(subject, size) for size in sizes] or [subject.experiment.model.canvas]
        counts: Sequence[int | None] = (None,)
        if subject.two_stage:
            counts = proposals or (subject.experiment.two_stage.proposals,)
        for canvas in canvases:
            for count in counts:
                arm = Arm(subject, canvas, count)
                _check(arm)
                arms.setdefault((subject.name, canvas, count), arm)
    return list(arms.values())


def _canvas(subject: Subject, size: str) -> tuple[int, int]:
    words = size.lower().split("x")
    if len(words) > 2 or not all(re.fullmatch("[0-9]{1,6}", word) for word in words):
        raise ConfigError(f"--sizes {size[:40]}: expected pixels such as 320, or height x width such as 240x320")
    if len(words) == 2:
        return int(words[0]), int(words[1])
    (height, width), new = subject.experiment.model.canvas, int(words[0])
    if height == width:
        return new, new
    return max(round(new * height / width / subject.stride), 1) * subject.stride, new


def _check(arm: Arm) -> None:
    least, most = RANGES["model.input_size"]
    for side in arm.canvas:
        if not least <= side <= most:
            raise ConfigError(f"{arm.title}: --sizes has {side}; expected {least:g} to {most:g}")
        if side % arm.subject.stride:
            below = side // arm.subject.stride * arm.subject.stride
            raise ConfigError(
                f"{arm.title}: {side} is no multiple of the network's stride {arm.subject.stride}; the nearest are "
                f"{below or arm.subject.stride} and {below + arm.subject.stride}"
            )
    if arm.proposals is not None:
        try:
            check_proposals(arm.subject.experiment, arm.proposals)
        except ConfigError as error:
            raise ConfigError(f"{arm.title}: {error}") from error
