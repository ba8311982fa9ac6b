"""What `wordtree detect --darknet` writes beside what darknet's formulas give, for one random network.

Thresholds are put where no number of the reference lies near, so that the set of boxes is determined: each box of the
reference must be there, and no other.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np

from tests.detector import darknet_reference as reference
from tests.detector.darknet_networks import random_network, write
from wordtree.command import main

APART = 3e-5  # of thresholds from all that is compared with them
EQUAL = 1e-5  # scores: of two boxes of one heap rounding decides which stays
LEAST_SIDE = 1e-6


class Outcome(NamedTuple):
    """Of one network and photo.

    Attributes:
        raw, kept: boxes of the reference before and after suppression, names counted each.
        lost, added: rows of the reference that are not in the output, and the reverse.
        cut: kept rows that reach beyond the photo.
        score, side: largest differences of scores and of sides of boxes.
    """

    raw: int
    kept: int
    lost: int
    added: int
    cut: int
    score: float
    side: float


def compare(seed, folder, *, as_darknet=True, threshold=0.1):
    """Run the command on the network of a seed and compare; None where rounding decides. Files go to `folder`."""
    network, photo, _ = random_network(seed)
    write(network, photo, folder)
    rows, boxes, flags, determined = expected(network, photo, as_darknet=as_darknet, threshold=threshold)
    if not determined:
        return None
    files = [str(folder / f"net.{end}") for end in ("cfg", "weights", "png")]
    words = ["detect", "--darknet", *files, "--out", str(folder / "found"), "--format", "json", "--force", *flags]
    assert main(words + ["--as-darknet"] * as_darknet) == 0
    (entry,) = json.loads((folder / "found/detections.json").read_text())["images"]
    names = [f"n{node:08d}" for node in range(network.classes)]
    if network.parents is None:
        names = [f"class{node:0{len(str(network.classes - 1))}d}" for node in range(network.classes)]
    found = [(names.index(row["wnid"]), row["score"], row["box"]) for row in entry["detections"]]
    shown = [row for row in rows if (boxes[row[0]][2:] - boxes[row[0]][:2] > LEAST_SIDE).all()]
    left, score, side, lost = found.copy(), 0.0, 0.0, 0
    for slot, klass, value in shown:
        near = [
            (max(abs(value - s), np.abs(boxes[slot] - box).max()), k)
            for k, (c, s, box) in enumerate(left)
            if c == klass
        ]
        distance, k = min(near, default=(1.0, -1))
        if distance > 1e-3:
            lost += 1
            continue
        _, s, box = left.pop(k)
        score, side = max(score, abs(value - s)), max(side, float(np.abs(boxes[slot] - box).max()))
    edge = [row for row in shown if ((boxes[row[0]] == 0) | (boxes[row[0]] == 1)).any()]
    return Outcome(len(boxes), len(shown), lost, len(left), len(edge), float(score), side)


def expected(network, photo, *, as_darknet, threshold):
    """Of the reference: rows (slot, class, score) after suppression, all boxes on the photo, flags for the command, and
    whether they are determined: no two rows of which one suppresses the other have nearly the same score.
    """
    pixels = photo.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    if as_darknet:
        canvas, scale, shift = reference.resized(pixels, *network.canvas), np.ones(2), np.zeros(2)
    else:
        canvas, scale, shift = reference.letterboxed(pixels, *network.canvas)
    logits = reference.forward(network.sections, network.weights, canvas, on_cpu=as_darknet)[-1]
    boxes, objectness, probs = reference.region(logits, network.anchors, network.classes, network.parents)
    tree = network.parents is not None
    scores = objectness if tree else (objectness[:, None] * probs).ravel()
    threshold = clear_of(scores, threshold)
    hier, likely = 0.3, np.flatnonzero(objectness > threshold)
    if tree:
        hier = clear_of(
            np.concatenate([[0], *(reference.walked(probs[s], network.parents, -1)[1] for s in likely)]), 0.3
        )
    overlaps = reference.overlaps(boxes)
    limit = clear_of(overlaps[np.ix_(likely, likely)].ravel(), 0.45)
    rows = reference.named(objectness, probs, network.parents, threshold, hier)
    determined = not any(
        abs(one[2] - two[2]) < EQUAL and overlaps[one[0], two[0]] > limit and (tree or one[1] == two[1])
        for k, one in enumerate(rows)
        for two in rows[:k]
    )
    rows = reference.suppressed(rows, overlaps, limit, per_class=not tree)
    flags = ["--threshold", f"{threshold:.6f}", "--iou", f"{limit:.6f}", "--limit", str(len(boxes) * network.classes)]
    flags += ["--walk-rule", "darknet", "--walk", f"{hier:.6f}"] if tree else []
    flags += [] if tree else ["--walk-rule", "topk", "--top", str(network.classes), "--suppression", "class"]
    return rows, reference.on_photo(boxes, scale, shift), flags, determined


def clear_of(values, near):
    """A number close to `near` that lies in no value's neighbourhood."""
    places = near + np.arange(400) * 1e-4
    clear = np.abs(np.asarray(values)[None] - places[:, None]).min(axis=1, initial=1.0) > APART
    return round(float(places[np.argmax(clear)]), 6)
