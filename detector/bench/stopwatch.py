"""How long calls take, in turns; and what is told of many measurements.

The machine may have other work. So beside the median the least time is told, which is what tables and figures show,
and the CPU time of the process, which other work changes least.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

WALL, CPU = 0, 1
Times = list[tuple[float, float]]


def measure_in_turns(calls: Mapping[str, Callable[[Any], Any]], inputs: Sequence[Any], rounds: int) -> dict[str, Times]:
    """Seconds (wall, CPU of all threads) of every call, `rounds` times each.

    In each round every call has its turn, on the next input; before the first every call sees every input once, which
    compiles it and fills caches.

    Args:
        calls: by name; a call is over when it returns.
        inputs: one after another, from the first again after the last.
        rounds: measurements of each call.
    """
    for call in calls.values():
        for value in inputs:
            call(value)
    times: dict[str, Times] = {name: [] for name in calls}
    for number in range(rounds):
        for name, call in calls.items():
            cpu, wall = time.process_time(), time.perf_counter()
            call(inputs[number % len(inputs)])
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return times


def milliseconds(times: Times) -> dict[str, float]:
    """`ms` and `cpu_ms`, the medians; `ms_least` and `cpu_ms_least`, the smallest."""
    found = {}
    for key, column in (("ms", WALL), ("cpu_ms", CPU)):
        values = [row[column] * 1000 for row in times]
        found[key] = round(statistics.median(values), 3)
        found[f"{key}_least"] = round(min(values), 3)
    return found


def cores_used(times: Times) -> float:
    """Cores that a call keeps at work where nothing disturbs it: the most CPU time by the clock's, at least 1."""
    return round(max([1.0, *(cpu / wall for wall, cpu in times if wall > 0)]), 2)


def parts_of(cumulative: Mapping[str, Times], column: int = WALL) -> dict[str, float | None]:
    """Milliseconds of stages, from the times of everything up to the end of each.

    Law: other work only adds time, so nothing takes longer than what goes on after it: up to an end counts the least
    that was measured up to there or to any later end. The parts add up to the least of the last. None: the stage costs
    less than the noise (its difference was not above 0), its time is in its neighbours'.

    Args:
        cumulative: by stage, in the order in which they run; measured in the same rounds.
        column: WALL or CPU.
    """
    ends: list[float] = []
    for times in reversed(list(cumulative.values())):
        ends.insert(0, min([min(row[column] for row in times) * 1000, *ends[:1]]))
    parts: dict[str, float | None] = {}
    for name, before, until in zip(cumulative, [0.0, *ends], ends, strict=False):
        parts[name] = round(until - before, 3) if until > before else None
    return parts
