"""Does `wordtree detect --darknet` find the boxes that darknet's formulas give, all of them and no others?

    python benchmarks/darknet_boxes.py --networks 60

Random small networks (tests/detector/darknet_networks.py) are written as .cfg, .weights and a photo, and run through
the command; beside it stands a forward pass in NumPy and float64 with darknet's decoding and suppression
(tests/detector/darknet_reference.py). There are two kinds of run: with --as-darknet (the CPU formula of batch
normalisation, a stretched photo), and without (the GPU formula, a letterbox). Networks in which two boxes of one heap
have equal scores are passed over: there rounding decides. One JSON line each, and one for all: boxes of the reference
after suppression, lost, added, the largest differences of scores and sides; and how far the two formulas are apart.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
from itertools import count
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.detector import darknet_reference as reference
from tests.detector.darknet_boxes import compare
from tests.detector.darknet_networks import random_network


def formulas_apart(seed: int) -> dict[str, float]:
    """Largest differences between batch normalisation as on a CPU and as on a GPU: of logits, and of P(object)."""
    network, photo, _ = random_network(seed)
    pixels = reference.resized(photo.transpose(2, 0, 1).astype(np.float32) / np.float32(255), *network.canvas)
    logits = [reference.forward(network.sections, network.weights, pixels, on_cpu=cpu)[-1] for cpu in (True, False)]
    objects = [reference.region(one, network.anchors, network.classes, network.parents)[1] for one in logits]
    return {
        "logits_apart": float(np.abs(logits[0] - logits[1]).max()),
        "objectness_apart": float(np.abs(objects[0] - objects[1]).max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=60, help="of each kind of run")
    parser.add_argument("--threshold", type=float, default=0.1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for as_darknet in (True, False):
            rows: list[dict[str, float]] = []
            for seed in count():
                if len(rows) == args.networks:
                    break
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    outcome = compare(seed, Path(folder), as_darknet=as_darknet, threshold=args.threshold)
                if outcome is None:
                    continue
                rows.append({"seed": seed, **outcome._asdict(), **(formulas_apart(seed) if as_darknet else {})})
                print(json.dumps({"as_darknet": as_darknet, **rows[-1]}), flush=True)
            total = {key: sum(row[key] for row in rows) for key in ("raw", "kept", "lost", "added", "cut")}
            most = {key: max(row[key] for row in rows) for key in rows[0] if key not in total and key != "seed"}
            print(json.dumps({"as_darknet": as_darknet, "networks": len(rows), **total, **most}), flush=True)


if __name__ == "__main__":
    main()
