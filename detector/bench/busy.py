"""Whether other work disturbed the stopwatch: the wall clock against what the CPU time explains.

Law: an inference that keeps u cores at work takes CPU time / u by the clock. Where the clock shows more than twice
that, the process waited for cores that others used, and its CPU time is the better figure. An inference on a graphics
card waits for the card, so nothing is said there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
BUSY_FROM = 2.0


def slowdown(row: Row) -> float | None:
    """How many times longer the clock went than the CPU time explains; None where there is a card or no CPU time."""
    if row["machine"].get("gpus") or not row["cpu_ms_least"]:
        return None
    return row["ms_least"] * row["cores_used"] / row["cpu_ms_least"]


def is_busy(rows: Sequence[Row]) -> bool:
    """Whether any arm was disturbed, so that arms are to be compared by CPU time."""
    return any((slowdown(row) or 0.0) > BUSY_FROM for row in rows)


def warnings(rows: Sequence[Row]) -> list[str]:
    """What to say of it: nothing, or a sentence on the arm that was disturbed most."""
    found = [(times, row) for row in rows if (times := slowdown(row) or 0.0) > BUSY_FROM]
    if not found:
        return []
    times, worst = max(found, key=lambda each: each[0])
    cores = worst["cores_used"]
    which = "the CPU time" if cores < 1.05 else f"the CPU time on the {cores:.1f} cores it used"
    return [
        f"the machine was busy: wall clock is {times:.1f} times {which} ({worst['title']}: {worst['ms_least']:.1f} ms, "
        f"CPU {worst['cpu_ms_least']:.1f} ms; {len(found)} of {len(rows)} arms are more than {BUSY_FROM:g} times); "
        "rely on CPU ms"
    ]
