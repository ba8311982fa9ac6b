"""The TensorFlow Object Detection API's create_coco_tf_record.py, from the package `object-detection`.

The package holds the script as it was under TensorFlow 1, without the compiled message of its label maps. Two stand-ins
let it run: `tensorflow` is TensorFlow's own `compat.v1` while it is imported, and the module of the message is empty,
since converting COCO reads no label map. What converts is the script's own function.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import tensorflow
from measured import measure

SHARDS = 4

MESSAGE = "object_detection.protos.string_int_label_map_pb2"
sys.modules[MESSAGE] = types.ModuleType(MESSAGE)
sys.modules["tensorflow"] = tensorflow.compat.v1
try:
    from object_detection.dataset_tools import create_coco_tf_record as script  # pyright: ignore
finally:
    sys.modules["tensorflow"] = tensorflow


def convert(dataset: Path, out: Path) -> None:
    script._create_tf_record_from_coco_annotations(
        str(dataset / "instances.json"), str(dataset / "images"), str(out / "coco.record"), False, SHARDS
    )


if __name__ == "__main__":
    tensorflow.compat.v1.logging.set_verbosity(tensorflow.compat.v1.logging.ERROR)
    measure(convert)
