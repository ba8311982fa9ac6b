"""A .tflite file and its signatures, behind floats: scales and zero points of an integer file are applied here.

The interpreter is LiteRT's (`ai_edge_litert`) where that is installed, else the one inside of TensorFlow.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from detector.export.lite_model import quiet
from schemas.errors import FormatError, InputError


class LiteSignature:
    """One signature of a file.

    Attributes:
        shape: of its input, whose first axis is what goes in at once.
        outputs: names.

    Args:
        interpreter: `open_interpreter`.
        path: of the file, for messages.
        name: of the signature.
        given: name of its input.
        outputs: names of its outputs.

    Raises:
        FormatError: the file has no such signature.
    """

    def __init__(self, interpreter: Any, path: str | Path, name: str, given: str, outputs: tuple[str, ...]) -> None:
        signatures = interpreter.get_signature_list()
        found = signatures.get(name, {})
        if given not in found.get("inputs", ()) or set(found.get("outputs", ())) != set(outputs):
            what = "; ".join(
                f"{key} with outputs {', '.join(sorted(value['outputs']))}" for key, value in sorted(signatures.items())
            )
            raise FormatError(
                f"{path}: found {what or 'no signature'}; expected {name} with outputs {', '.join(outputs)}: this file "
                "was not written by `wordtree export` of such a network"
            )
        with quiet():
            self._runner = interpreter.get_signature_runner(name)
            self._input = self._runner.get_input_details()[given]
            self._details = self._runner.get_output_details()
        self.outputs, self._given = outputs, given
        self.shape: tuple[int, ...] = tuple(int(side) for side in self._input["shape"])

    def output_shape(self, name: str) -> tuple[int, ...]:
        """Of one call."""
        return tuple(int(side) for side in self._details[name]["shape"])

    def run(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs f32 of inputs f32[n, ...], n a multiple of what goes in at once."""
        at_once = self.shape[0]
        rows = [self._one(values[k : k + at_once]) for k in range(0, len(values), at_once)]
        return {
            name: np.concatenate([row[name] for row in rows])
            if rows
            else np.zeros((0, *self.output_shape(name)[1:]), np.float32)
            for name in self.outputs
        }

    def _one(self, values: np.ndarray) -> dict[str, np.ndarray]:
        found = self._runner(**{self._given: to_integers(np.asarray(values, np.float32), self._input)})
        return {name: to_floats(found[name], self._details[name]) for name in self.outputs}


def open_interpreter(path: str | Path, threads: int = 2) -> Any:
    """The interpreter of a file.

    Raises:
        InputError: there is no such file.
        FormatError: it is no TFLite file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a .tflite file of `wordtree export`")
    try:
        with quiet():
            interpreter = interpreter_of(path, threads)
            interpreter.allocate_tensors()  # says which kernels it takes
            interpreter.get_signature_list()
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise FormatError(f"{path}: no readable TFLite file ({reason}); export it again") from error
    return interpreter


def interpreter_of(path: Path, threads: int) -> Any:
    """LiteRT's where it is installed."""
    try:
        Interpreter = import_module("ai_edge_litert.interpreter").Interpreter
    except ImportError:
        Interpreter = tf.lite.Interpreter
    return Interpreter(model_path=str(path), num_threads=threads)


def to_integers(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """Floats as the tensor of `detail` wants them: round(v / scale) + zero point, held in the range of its type."""
    if detail["dtype"] == np.float32:
        return values
    scale, zero = detail["quantization"]
    bounds = np.iinfo(detail["dtype"])
    return np.clip(np.round(values / scale) + zero, bounds.min, bounds.max).astype(detail["dtype"])


def to_floats(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """What the integers of the tensor of `detail` stand for: (q - zero point) scale."""
    if values.dtype == np.float32:
        return values
    scale, zero = detail["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(scale)
