"""A .cfg as a table: what each layer gives and costs; and what is in a .weights file beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from detector.darknet.cfg import parse_cfg
from detector.darknet.classes import class_count
from detector.darknet.sections import read_cfg_text
from detector.darknet.shapes import parameter_count, trace
from detector.darknet.weights import check_numbers, read_weights
from detector.networks.layers import AvgPool, Conv, Dropout, Layer, MaxPool, Reorg


def describe(cfg: str | Path, weights: str | Path | None = None) -> dict[str, Any]:
    """What `wordtree darknet show` prints, as data.

    Raises:
        InputError, FormatError: naming the file, and in it the line or the layer.
    """
    where = str(cfg)
    parsed = parse_cfg(read_cfg_text(cfg), where)
    rows = trace(parsed, where)
    shapes = [row.conv for row in rows if row.conv is not None]
    numbers = parameter_count(shapes)
    found: dict[str, Any] = {
        "cfg": where,
        "input": [parsed.net.height, parsed.net.width, parsed.net.channels],
        "layers": [
            {
                "index": index,
                "layer": _words(row.layer),
                "name": row.conv.name if row.conv else "",
                "output": [row.height, row.width, row.channels],
                "parameters": row.conv.numbers if row.conv else 0,
                "multiply_adds": row.multiply_adds,
            }
            for index, row in enumerate(rows)
        ],
        "head": "region" if parsed.region else "softmax" if parsed.softmax else "none",
        "classes": class_count(parsed),
        "anchors": [list(anchor) for anchor in parsed.region.anchors] if parsed.region else [],
        "parameters": numbers,
        "bytes": {"v0.1": 16 + 4 * numbers, "v0.2": 20 + 4 * numbers},
        "billion_operations": round(2e-9 * sum(row.multiply_adds for row in rows), 3),
        "warnings": list(parsed.warnings),
    }
    if weights is not None:
        file = read_weights(weights, shapes)
        for layer in file.layers:
            check_numbers(layer, weights)
        found["weights"] = {
            "path": str(weights),
            "version": f"{file.header.major}.{file.header.minor}.{file.header.revision}",
            "seen": file.header.seen,
            "bytes": os.path.getsize(weights),
        }
    return found


def table(found: dict[str, Any]) -> str:
    """The same for people."""
    lines = [f"{'':>5}  {'layer':32}  {'output':>18}  {'parameters':>12}  {'10^6 mult-adds':>14}"]
    for row in found["layers"]:
        size = " x ".join(map(str, row["output"]))
        numbers = f"{row['parameters']:,}" if row["parameters"] else ""
        cost = f"{row['multiply_adds'] / 1e6:,.1f}" if row["multiply_adds"] else ""
        words = f"{row['name']}  {row['layer']}" if row["name"] else row["layer"]
        lines.append(f"{row['index']:>5}  {words:32}  {size:>18}  {numbers:>12}  {cost:>14}")
    heads = {"region": f"region: {len(found['anchors'])} priors, ", "softmax": "classifier: ", "none": "no head: "}
    height, width, _ = found["input"]
    lines.append(
        f"{heads[found['head']]}{found['classes']:,} classes; {found['parameters']:,} parameters; "
        f"{found['billion_operations']} billion operations at {width} x {height}"
    )
    sizes = found["bytes"]
    lines.append(f"a .weights file has {sizes['v0.1']:,} bytes, or {sizes['v0.2']:,} with a header of version 0.2")
    if "weights" in found:
        file = found["weights"]
        lines.append(
            f"{file['path']}: version {file['version']}, {file['seen']:,} images seen, {file['bytes']:,} bytes"
        )
    return "\n".join([*lines, *(f"note: {line}" for line in found["warnings"])])


def _words(layer: Layer) -> str:
    if isinstance(layer, Conv):
        norm = "" if layer.batch_norm else " bias"
        dilated = f" dilated {layer.dilation}" if layer.dilation > 1 else ""
        return f"conv {layer.size}x{layer.size}/{_steps(layer)}{dilated} {layer.activation}{norm}"
    if isinstance(layer, MaxPool):
        return f"maxpool {layer.size}x{layer.size}/{_steps(layer)}"
    if isinstance(layer, Reorg):
        return f"reorg /{layer.stride}"
    if isinstance(layer, AvgPool):
        return "avgpool"
    if isinstance(layer, Dropout):
        return f"dropout {layer.probability:g}"
    part = f", part {layer.group} of {layer.groups}" if layer.groups > 1 else ""
    return f"route {','.join(map(str, layer.layers))}{part}"


def _steps(layer: Conv | MaxPool) -> str:
    return f"{layer.stride}" if layer.stride_x is None else f"{layer.stride},{layer.stride_x}"
