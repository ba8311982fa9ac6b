"""AP and AR, by LVIS's rules where only some classes were looked for in each image, by COCO's elsewhere."""

from __future__ import annotations

from typing import Any

from detector.metrics import coco, lvis
from detector.metrics.evidence import Evidence
from detector.metrics.metric import Figure, Metric, Rows

USUAL = {"AP": "AP (0.50:0.95)", "AP50": "AP50", "AP75": "AP75"}
_SIZES = {"S": "small", "M": "medium", "L": "large"}
_NAMES = tuple(dict.fromkeys((*coco.names(), *coco.names((lvis.LIMIT,)))))


def measure(evidence: Evidence, rows: Rows) -> dict[str, Any]:
    """See `Metric.measure`."""
    truth, found = evidence.truth, evidence.found
    if truth.federated is None:
        figures = coco.class_figures(truth.truths, found, evidence.ids, truth.order)
    else:
        figures = lvis.class_figures(truth.truths, found, evidence.ids, truth.order, truth.federated)
    for row, own in zip(rows, figures, strict=True):
        row |= own
    return {"rules": "COCO" if truth.federated is None else "LVIS"}


def _figure(name: str) -> Figure:
    if name in USUAL:
        return Figure(name, USUAL[name], name=name, usual=True, bars=name == "AP50")
    kind, _, part = name.partition("_")
    limit = f"{kind}@{part}"
    title, page = (limit, limit) if part.isdecimal() else (name, f"{kind} {_SIZES[part]}")
    return Figure(name, title, name=page, late=True, bars=False)


METRICS = (Metric("coco", 0, tuple(map(_figure, _NAMES)), measure, in_training=True),)
