"""The model garden's create_coco_tf_record.py, from the package `tf-models-official`; `--processes N` (0: none).

Importing the package imports every model with all it needs. Two stand-ins leave that out: `official.vision` is a
package whose `__init__` does not run, and `tf_keras`, which the script names and does not use, is empty. What converts
is the script's own function.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
import types
from pathlib import Path

import tensorflow
from absl import flags
from measured import measure

SHARDS = 4

found = importlib.util.find_spec("official")
vision = types.ModuleType("official.vision")
vision.__path__ = [str(Path(str(found and found.origin)).parent / "vision")]
sys.modules |= {"official.vision": vision, "tf_keras": types.ModuleType("tf_keras")}

from official.vision.data import create_coco_tf_record as script  # noqa: E402  # pyright: ignore


def convert(dataset: Path, out: Path) -> None:
    instances = str(dataset / "instances.json")
    script._create_tf_record_from_coco_annotations(
        instances, [str(dataset / "images")], str(out / "coco"), SHARDS, object_annotations_file=instances
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--processes", type=int, default=0)
    processes = parser.parse_known_args()[0].processes
    flags.FLAGS(["create_coco_tf_record", f"--num_processes={processes}"])
    tensorflow.get_logger().setLevel(logging.ERROR)
    measure(convert)
