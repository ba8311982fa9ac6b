"""The arms as a table for people, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
FACTS = ("name", "architecture", "network", "run", "step", "height", "width", "proposals")
ACCURACY = ("AP", "AP50", "AP75", "AP50_boxed", "AP50_unboxed", "recall100")
COSTS = (
    "ms", "ms_least", "cpu_ms", "cpu_ms_least", "peak_mb", "memory_mb", "gpu_peak_mb", "parameters", "flops",
)  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """One line an arm, in the order of the plan."""
    wide = max([len(row["name"]) for row in rows] + [4])
    head = (
        f"{'run':{wide}} {'image':>9} {'proposals':>9} {'AP':>6} {'AP50':>6} {'ms':>9} {'CPU ms':>9} {'MB':>7} "
        f"{'M params':>9} {'GFLOPs':>8}"
    )
    lines = [head]
    for row in rows:
        size = str(row["width"]) if row["height"] == row["width"] else f"{row['height']}x{row['width']}"
        proposals = "" if row["proposals"] is None else str(row["proposals"])
        lines.append(
            f"{row['name']:{wide}} {size:>9} {proposals:>9} {_three(row['summary'].get('AP'))} "
            f"{_three(row['summary'].get('AP50'))} {row['ms']:9.1f} {row['cpu_ms']:9.1f} {row['memory_mb']:7,.0f} "
            f"{row['parameters'] / 1e6:9.2f} {row['flops'] / 1e9:8.3g}"
        )
    return "\n".join([*lines, "ms: median for one image; MB: of memory, beyond a bare process with TensorFlow"])


def csv_text(rows: Sequence[Row]) -> str:
    """One line an arm; empty where there is no number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    stages = list(dict.fromkeys(name for row in rows for name in row["stages_ms"]))
    writer.writerow([*FACTS, *ACCURACY, *COSTS, *(f"ms_{name.replace(' ', '_')}" for name in stages)])
    for row in rows:
        figures = [row["summary"].get(name) for name in ACCURACY]
        values = [*(row.get(name) for name in (*FACTS,)), *("" if v is None else f"{v:.6f}" for v in figures)]
        values += [row.get(name) for name in COSTS] + [row["stages_ms"].get(name) for name in stages]
        writer.writerow(["" if value is None else value for value in values])
    return out.getvalue()


def _three(value: float | None) -> str:
    return f"{'-':>6}" if value is None else f"{value:6.3f}"
