"""Do published networks go through Keras and back with the same bytes, how large are they, and how long does it take?

    python benchmarks/darknet_round_trip.py yolo9000.cfg yolov2.cfg ...

For each .cfg: a .weights file of random numbers is written, loaded into the Keras network, and written again. One JSON
line each: parameters, bytes, whether the two files are the same, seconds of building, loading and writing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from detector.cli_parts import start_tensorflow
from detector.darknet.cfg import parse_cfg
from detector.darknet.classes import class_count
from detector.darknet.experiment import experiment_from_cfg
from detector.darknet.shapes import conv_shapes, parameter_count
from detector.darknet.weights import Header, random_layers, write_weights
from wordtree.tree import WordTree


def round_trip(cfg: Path, folder: Path) -> dict[str, object]:
    """The figures of one network."""
    from detector.darknet.keras_weights import load_into, weights_from
    from detector.darknet.run import build_network

    text = cfg.read_text()
    parsed = parse_cfg(text, str(cfg))
    shapes, count = conv_shapes(parsed), class_count(parsed)
    first, second = folder / "first.weights", folder / "second.weights"
    write_weights(first, Header(0, 1, 0, 7), random_layers(shapes, 0), force=True)
    began = time.monotonic()
    detector = build_network(
        experiment_from_cfg(text)[0], WordTree([f"c{k}" for k in range(count)], [-1] * count), cfg.name
    )
    built = time.monotonic()
    header = load_into(detector, first).header
    loaded = time.monotonic()
    write_weights(second, header, weights_from(detector), force=True)
    written = time.monotonic()
    return {
        "cfg": cfg.name,
        "parameters": parameter_count(shapes),
        "bytes": first.stat().st_size,
        "same_bytes": first.read_bytes() == second.read_bytes(),
        "build_s": round(built - began, 2),
        "load_s": round(loaded - built, 2),
        "write_s": round(written - loaded, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cfg", nargs="+", type=Path)
    args = parser.parse_args()
    start_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        for cfg in args.cfg:
            print(json.dumps(round_trip(cfg, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
