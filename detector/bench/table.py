"""The arms as a table for people, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from detector.bench.busy import warnings

Row = Mapping[str, Any]
NOTE = (
    "AP in percent; ms: the least for one image, by the clock and CPU of all cores together; MB: of memory, beyond a "
    "bare process with TensorFlow"
)
FACTS = ("name", "architecture", "network", "run", "step", "height", "width", "proposals")
ACCURACY = ("AP", "AP50", "AP75", "AP50_boxed", "AP50_unboxed", "recall100")
COSTS = (
    "ms", "ms_least", "cpu_ms", "cpu_ms_least", "peak_mb", "memory_mb", "gpu_peak_mb", "parameters", "flops",
)  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """One line an arm, in the order of the plan."""
    wide = max([len(row["name"]) for row in rows] + [4])
    head = (
        f"{'run':{wide}} {'image':>9} {'proposals':>9} {'AP %':>6} {'AP50 %':>6} {'least ms':>9} "
        f"{'CPU ms':>9} {'MB':>7} "
        f"{'M params':>9} {'GFLOPs':>8}"
    )
    lines = [head]
    for row in rows:
        size = str(row["width"]) if row["height"] == row["width"] else f"{row['height']}x{row['width']}"
        proposals = "" if row["proposals"] is None else str(row["proposals"])
        lines.append(
            f"{row['name']:{wide}} {size:>9} {proposals:>9} {_percent(row['summary'].get('AP'))} "
            f"{_percent(row['summary'].get('AP50'))} {row['ms_least']:9.1f} {row['cpu_ms_least']:9.1f} "
            f"{row['memory_mb']:7,.0f} {row['parameters'] / 1e6:9.2f} {row['flops'] / 1e9:8.3g}"
        )
    return "\n".join([*lines, NOTE, *(f"warning: {line}" for line in warnings(rows))])


def csv_text(rows: Sequence[Row]) -> str:
    """One line an arm; empty where there is no number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    stages = [
        (key, name)
        for key in ("stages_ms", "stages_cpu_ms")
        for name in dict.fromkeys(name for row in rows for name in row[key])
    ]
    heads = [f"{key.removeprefix('stages_')}_{name.replace(' ', '_')}" for key, name in stages]
    writer.writerow([*FACTS, *ACCURACY, *COSTS, *heads])
    for row in rows:
        figures = [row["summary"].get(name) for name in ACCURACY]
        values = [*(row.get(name) for name in (*FACTS,)), *("" if v is None else f"{v:.6f}" for v in figures)]
        values += [row.get(name) for name in COSTS] + [row[key].get(name) for key, name in stages]
        writer.writerow(["" if value is None else value for value in values])
    return out.getvalue()


def _percent(value: float | None) -> str:
    return f"{'-':>6}" if value is None else f"{100 * value:6.1f}"
