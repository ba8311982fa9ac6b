"""Where reference data lies: the folder `shared` beside the checkout, and darknet's numbers in it or elsewhere.

The environment variable WORDTREE_ORACLE names another folder of darknet's numbers. Whatever cases lie there are run: a
case is known by what its folder holds, not by its name.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
ORACLE = Path(os.environ.get("WORDTREE_ORACLE") or SHARED / "oracle")
ABSENT = "none"  # stands for the cases of a kind that has none, so that its test is skipped and says so


def shared_path(*parts: str) -> Path:
    """A file or folder of the reference data; skips the test where it is absent."""
    path = ORACLE.joinpath(*parts[1:]) if parts and parts[0] == "oracle" else SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"reference data absent: no {'/'.join(parts)} beside the checkout")
    return path


def kind_of(folder: Path) -> str | None:
    """What a case holds: "detector", "classifier", "region", "tree", "pictures" or "boxes"; None: nothing known."""
    has = {path.name for path in folder.iterdir()}
    if "net.cfg" in has:
        if "init.weights" not in has:
            return "region"
        return "detector" if "[region]" in (folder / "net.cfg").read_text() else "classifier"
    if "img.png" in has:
        return "pictures"
    if "labels" in has:
        return "boxes"
    return "tree" if "logits.npy" in has else None


def oracle_cases(*kinds: str, program: str | None = None) -> list[str]:
    """The cases of these kinds by name, or of those that a program has numbers of; `ABSENT` where there are none."""
    folders = sorted(path for path in ORACLE.glob("*") if path.is_dir() and kind_of(path) in kinds)
    return [path.name for path in folders if program is None or (path / f"{program}.npz").exists()] or [ABSENT]


def oracle_runs(*kinds: str, programs: tuple[str, ...]) -> list[tuple[str, str]]:
    """(case, program) of these kinds for all that are there."""
    runs = [(name, program) for program in programs for name in oracle_cases(*kinds, program=program)]
    return sorted(run for run in runs if run[0] != ABSENT) or [(ABSENT, programs[0])]
