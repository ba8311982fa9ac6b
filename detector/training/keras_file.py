"""The weights in a file of Keras: which layers it holds, in what order, under which names. Nothing in it is executed.

    .weights.h5   of Keras 3: /layers/CLASS[_k]/vars/0, 1, ...: the k-th layer of a class, models inside of models below
    .keras        a zip with model.weights.h5, which is such a file
    .h5           of Keras 1 and 2, weights alone or a whole model: groups by the layer's name, listed in `layer_names`

The kind is told by the content, not by the name.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from schemas.errors import FormatError

HDF5_MAGIC, ZIP_MAGIC = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"
ENDINGS = (".h5", ".hdf5", ".keras")
INSIDE = "model.weights.h5"


@dataclass(frozen=True)
class StoredLayer:
    """A layer with weights.

    Attributes:
        key: in a file of Keras 3 where it stands, such as "conv2d_3" or "sequential/conv2d"; else its name.
        name: that it had, or "".
        arrays: its variables in Keras's order, read when indexed.
    """

    key: str
    name: str
    arrays: Sequence[Any]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of its variables."""
        return [tuple(array.shape) for array in self.arrays]


@dataclass(frozen=True)
class StoredModel:
    """One model of a file.

    Attributes:
        ordered: whether `layers` stand in the order of the model; Keras 3 files do not tell.
        layers: those with weights.
    """

    ordered: bool
    layers: list[StoredLayer]


def is_keras_file(path: str | Path) -> bool:
    """Whether a file is one of Keras's, or is called like one."""
    path = Path(path)
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        start = file.read(8)
    return start == HDF5_MAGIC or start[:4] == ZIP_MAGIC or path.name.endswith(ENDINGS)


@contextmanager
def open_keras_file(path: str | Path) -> Iterator[list[StoredModel]]:
    """The models in a file, the outermost first; their arrays can be read while it is open.

    Raises:
        FormatError: it is damaged or holds no weights of Keras.
    """
    import h5py

    with open(path, "rb") as file:
        start = file.read(8)
    source: Any = str(path)
    if start[:4] == ZIP_MAGIC:
        try:
            with zipfile.ZipFile(path) as archive:
                source = io.BytesIO(archive.read(INSIDE))
        except KeyError as error:
            raise FormatError(f"{path} is a zip without {INSIDE}; expected a .keras file with its weights") from error
        except (OSError, zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
            raise FormatError(f"{path} is damaged ({error}); get it again") from error
    elif start != HDF5_MAGIC:
        raise FormatError(
            f"{path} begins with {start!r}, which is no HDF5 and no zip; expected a weights file of Keras "
            "(.weights.h5, .keras or .h5); was it downloaded whole?"
        )
    try:
        opened = h5py.File(source, "r")
    except (OSError, ValueError) as error:
        raise FormatError(f"{path} is damaged ({' '.join(str(error).split())[:120]}); get it again") from error
    with opened as root:
        try:
            models = list(_models(root))
        except (KeyError, OSError, RuntimeError, ValueError) as error:
            raise FormatError(f"{path} is damaged ({' '.join(str(error).split())[:120]}); get it again") from error
        if not any(model.layers for model in models):
            raise FormatError(
                f"{path} is an HDF5 file without layers (it has {', '.join(sorted(root)[:5]) or 'nothing'}); expected "
                "what save_weights or save of a Keras model writes"
            )
        yield models


def read_array(path: str | Path, array: Any) -> np.ndarray:
    """A variable's values.

    Raises:
        FormatError: they cannot be read.
    """
    try:
        return np.asarray(array[()])
    except (OSError, RuntimeError, ValueError) as error:
        raise FormatError(f"{path} is damaged ({' '.join(str(error).split())[:120]}); get it again") from error


def _models(root: Any) -> Iterator[StoredModel]:
    top = root["model_weights"] if "model_weights" in root and "layer_names" not in root.attrs else root
    if "layer_names" in top.attrs or "layer_names0" in top.attrs:
        layers = []
        for name in _names(top, "layer_names"):
            group = top[name]
            if arrays := [group[one] for one in _names(group, "weight_names")]:
                layers.append(StoredLayer(name, name, arrays))
        yield StoredModel(True, layers)
        return
    yield from _models_of_three(root)


def _models_of_three(group: Any) -> Iterator[StoredModel]:
    """A model of Keras 3, then those that are layers of it."""
    found = next((group[word] for word in ("layers", "_layer_checkpoint_dependencies") if word in group), None)
    if found is None:
        return
    yield StoredModel(False, list(_layers(found, "")))
    for name in found:
        yield from _models_of_three(found[name])


def _layers(group: Any, above: str) -> Iterator[StoredLayer]:
    for name in group:
        here = group[name]
        if "vars" in here and len(here["vars"]):
            held = here["vars"]
            label = held.attrs.get("name", here.attrs.get("name", ""))
            arrays = [held[str(k)] for k in range(len(held))]
            yield StoredLayer(above + name, label if isinstance(label, str) else "", arrays)
        if "layers" in here:
            yield from _layers(here["layers"], f"{above}{name}/")


def _names(group: Any, key: str) -> list[str]:
    """A list of names in the attributes, which HDF5 may have cut in pieces."""
    pieces = [group.attrs[key]] if key in group.attrs else []
    while (piece := f"{key}{len(pieces)}") in group.attrs:
        pieces.append(group.attrs[piece])
    return [name.decode() if isinstance(name, bytes) else str(name) for piece in pieces for name in piece]
