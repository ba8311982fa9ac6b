"""What is done where data can be read in two ways: one table of checks, and what a run chooses for each.

Every check has a few actions: `fix` repairs and says so, `keep` leaves things as they are and says so, `reject` writes
the item to the rejects. What is fixed or kept is listed in repairs.jsonl, what is rejected in rejects.jsonl; all are
counted in the manifest. Some faults leave no choice and are always rejected: see `pipelines.checks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, NamedTuple

from pipelines.images.header import MAX_PIXELS
from schemas.errors import ConfigError


class Check(NamedTuple):
    """One thing that is looked at: its name, the actions that make sense with the default first, and what they do."""

    name: str
    actions: tuple[str, ...]
    meaning: str

    @property
    def default(self) -> str:
        """What is done unless a run chooses otherwise."""
        return self.actions[0]


CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        Check("box:past_edge", ("fix", "keep", "reject"), "reaches past the image's edge; fix clips it"),
        Check("box:reversed", ("reject", "fix"), "corners the wrong way round; fix swaps them"),
        Check("box:zero_area", ("reject", "keep"), "has no area"),
        Check(
            "image:size_mismatch",
            ("fix", "scale", "reject"),
            "annotation and file differ in size; fix takes boxes as pixels of the file, scale as pixels of the size "
            "that the annotation states",
        ),
        Check(
            "image:exif_turned",
            ("keep", "fix", "reject"),
            "EXIF says that viewers turn it; fix turns the pixels upright, and the boxes with them",
        ),
        Check(
            "image:stated_rotation",
            ("keep", "fix", "reject"),
            "the dataset says that it lies on its side (Open Images); fix turns pixels and boxes upright",
        ),
        Check("image:wrong_ending", ("keep", "reject"), "another format than the file's name says"),
        Check("image:cmyk", ("keep", "fix", "reject"), "a JPEG of four inks; fix converts it to RGB"),
        Check("image:sixteen_bit", ("keep", "fix", "reject"), "16 bits a channel; fix makes them 8"),
        Check("image:animated", ("keep", "fix", "reject"), "several frames; fix keeps the first, as a PNG"),
        Check("image:truncated", ("reject", "keep"), "the end of the file is missing"),
        Check("image:too_many_pixels", ("reject", "keep"), "more than --max-pixels"),
        Check("image:unsupported", ("reject", "fix"), "a BMP that TensorFlow cannot decode; fix writes it as a PNG"),
    )
}


@dataclass(frozen=True, slots=True)
class Policy:
    """What a run chooses.

    Attributes:
        chosen: (check, action) where it is not the default; see `policy_of`.
        max_pixels: largest height times width that is no decompression bomb.
        verify: "header" looks at each image's header and end, "decode" at every pixel.
        masks: "keep" leaves polygons and run lengths as text; "png" draws them as pictures too, as the TensorFlow
            Object Detection API reads them.
    """

    chosen: tuple[tuple[str, str], ...] = ()
    max_pixels: int = MAX_PIXELS
    verify: Literal["header", "decode"] = "header"
    masks: Literal["keep", "png"] = "keep"
    _table: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_table", _actions(self.chosen))

    def action(self, check: str) -> str:
        """What is done about a check."""
        return self._table[check]

    def options(self) -> dict[str, object]:
        """The choices, for the manifest."""
        on = {f"on {name}": action for name, action in self._table.items()}
        return {**on, "max_pixels": self.max_pixels, "verify": self.verify, "masks": self.masks}


@cache
def _actions(chosen: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return {name: check.default for name, check in CHECKS.items()} | dict(chosen)


def policy_of(
    on: Mapping[str, str],
    *,
    max_pixels: int = MAX_PIXELS,
    verify: Literal["header", "decode"] = "header",
    masks: Literal["keep", "png"] = "keep",
) -> Policy:
    """A policy of choices by check.

    Raises:
        ConfigError: for a check that there is not, or an action that it does not have.
    """
    for name, action in on.items():
        if name not in CHECKS:
            raise ConfigError(f"--on {name}={action}: no such check; there are {', '.join(CHECKS)}")
        if action not in CHECKS[name].actions:
            raise ConfigError(f"--on {name}={action}: expected one of {', '.join(CHECKS[name].actions)}")
    if max_pixels < 1:
        raise ConfigError(f"--max-pixels is {max_pixels}; expected 1 or more")
    chosen = tuple(sorted((name, action) for name, action in on.items() if action != CHECKS[name].default))
    return Policy(chosen, max_pixels, verify, masks)


def parse_choices(words: Iterable[str]) -> dict[str, str]:
    """`CHECK=ACTION` words of the command line; a later word wins.

    Raises:
        ConfigError: for a word without `=`.
    """
    chosen: dict[str, str] = {}
    for word in words:
        name, equals, action = word.partition("=")
        if not equals:
            raise ConfigError(f"--on {word}: expected CHECK=ACTION, such as box:past_edge=reject")
        chosen[name.strip()] = action.strip()
    return chosen


def describe() -> str:
    """The table of checks, for --help."""
    lines = ["what --on can choose (the first action is the default):"]
    for check in CHECKS.values():
        lines.append(f"  {check.name:<24} {' | '.join(check.actions):<22} {check.meaning}")
    return "\n".join(lines)
