"""The weights in a file of Keras: which layers it holds, in what order, under which names. Nothing in it is executed.

    .weights.h5   of Keras 3: /layers/CLASS[_k]/vars/0, 1, ...: the k-th layer of a class, models inside of models below
    .keras        a zip with model.weights.h5, which is such a file
    .h5           of Keras 1 and 2, weights alone or a whole model: groups by the layer's name, listed in `layer_names`

The kind is told by the content, not by the name.

A file may be damaged, or made to harm: sizes are compared with what the file can hold before anything is read, links
and data outside of the file are not followed, and whatever HDF5 raises becomes one line that names the file. Keras
writes neither links nor compressed arrays, so that all arrays together have no more bytes than the file.
"""

from __future__ import annotations

import math
import mmap
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from schemas.errors import FormatError, InputError

HDF5_MAGIC, ZIP_MAGIC = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"
ENDINGS = (".h5", ".hdf5", ".keras")
HEAP_MAGIC = b"GCOL\x01\x00\x00\x00"
INSIDE = "model.weights.h5"
LARGEST = 16 * 2**30  # bytes of weights
UNPACKED = 64  # times its own size that a zip may become; floats seldom reach 2
PIECE = 2**20
DEEPEST, MOST = 32, 100_000  # models inside of models; layers and variables, those of inner models once more
LONGEST = 200  # characters of a name
AGAIN = "get the file again, or write it with save_weights of Keras"
DAMAGE = (LookupError, OSError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError, OverflowError)


@dataclass
class _Reading:
    """A file while it is open.

    Attributes:
        path: as the user wrote it.
        left: bytes of arrays that may yet be read.
        listed: layers and variables so far.
    """

    path: str
    left: int
    listed: int = 0

    def count(self) -> None:
        """One more layer or variable; FormatError where there are too many."""
        self.listed += 1
        if self.listed > MOST:
            raise _damaged(self.path, f"it lists more than {MOST} layers and variables")


@dataclass(frozen=True)
class StoredArray:
    """A variable, not yet read.

    Attributes:
        shape: as the file declares it.
        where: for people, such as "variable 0 of layer conv2d".
        dataset: h5py's.
        reading: the file that it is of.
    """

    shape: tuple[int, ...]
    where: str
    dataset: Any = field(repr=False)
    reading: _Reading = field(repr=False)


@dataclass(frozen=True)
class StoredLayer:
    """A layer with weights.

    Attributes:
        key: in a file of Keras 3 where it stands, such as "conv2d_3" or "sequential/conv2d"; else its name.
        name: that it had, or "" in a file of Keras 3, whose class and number tell the layer.
        arrays: its variables in Keras's order, of which each has a shape; `read_array` reads one.
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
    """Whether a file is one of Keras's, or is called like one.

    Raises:
        InputError: it cannot be opened.
    """
    path = Path(path)
    if not path.is_file():
        return False
    start = _first_bytes(path)
    return start == HDF5_MAGIC or start[:4] == ZIP_MAGIC or path.name.endswith(ENDINGS)


@contextmanager
def open_keras_file(path: str | Path) -> Iterator[list[StoredModel]]:
    """The models in a file, the outermost first; their arrays can be read while it is open.

    Raises:
        FormatError: it is damaged or holds no weights of Keras.
        InputError: it cannot be opened.
    """
    import h5py

    start = _first_bytes(path)
    with ExitStack() as stack:
        source = str(path)
        if start[:4] == ZIP_MAGIC:
            source = stack.enter_context(_unpacked(path))
        elif start != HDF5_MAGIC:
            raise FormatError(
                f"{path} begins with {start!r}, which is no HDF5 and no zip; expected a weights file of Keras "
                "(.weights.h5, .keras or .h5); was it downloaded whole?"
            )
        with _no_damage(path):
            reading = _Reading(str(path), min(Path(source).stat().st_size, LARGEST))
            _check_heaps(reading, source)
            root = h5py.File(source, "r")
        stack.callback(_no_damage(path)(root.close))
        with _no_damage(path):
            models = list(_models(reading, root))
            if not any(model.layers for model in models):
                found = ", ".join(_shown(name) for name in sorted(map(str, root))[:5]) or "nothing"
                raise FormatError(
                    f"{path} is an HDF5 file without layers (it has {found}); expected what save_weights or save of a "
                    "Keras model writes"
                )
        yield models


def read_array(path: str | Path, array: StoredArray) -> np.ndarray:
    """A variable's values, f32 of its shape; the count of a Normalization is an integer.

    Raises:
        FormatError: they are no finite numbers, or cannot be read.
    """
    with _no_damage(path):
        _check_storage(path, array)
        values = np.asarray(array.dataset[()])
        if values.dtype.kind != "f":
            return values
        with np.errstate(over="ignore", invalid="ignore"):
            values = values.astype(np.float32, copy=False)
        if not (finite := np.isfinite(values)).all():
            raise FormatError(
                f"{path}: {array.where} is not finite ({values.size - int(finite.sum())} of {values.size} numbers are "
                "NaN or infinite); the file is damaged or of a run that diverged: give other weights"
            )
        return values


def _check_storage(path: str | Path, array: StoredArray) -> None:
    """Whether the file can hold what it declares, before memory is taken for it."""
    dataset, where = array.dataset, array.where
    dtype, layout = dataset.dtype, dataset.id.get_create_plist()
    if dtype.kind != "f" and not (dtype.kind in "iu" and array.shape == ()):
        raise FormatError(f"{path}: {where} is of type {_shown(str(dtype))}; expected floating-point numbers: {AGAIN}")
    if layout.get_nfilters() or layout.get_external_count() or dataset.is_virtual:
        raise FormatError(
            f"{path}: {where} is compressed or lies in another file; expected plain numbers as Keras "
            f"writes them: {AGAIN}"
        )
    size, stored = math.prod(array.shape) * dtype.itemsize, dataset.id.get_storage_size()
    if size > stored or size > array.reading.left:
        there = min(stored, array.reading.left)
        raise _damaged(
            path, f"{where} declares the shape {list(array.shape)}, {size} bytes, of which {there} are there"
        )
    array.reading.left -= size


def _damaged(path: str | Path, found: str) -> FormatError:
    return FormatError(f"{path} is damaged ({found}); get it again")


@contextmanager
def _no_damage(path: str | Path) -> Iterator[None]:
    """What HDF5, or a use of what it returned, raises on a damaged file."""
    try:
        yield
    except DAMAGE as error:
        raise _damaged(path, _shown(" ".join(str(error).split())[:120]) or type(error).__name__) from error


def _first_bytes(path: str | Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(8)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a weights file of Keras") from error


@contextmanager
def _unpacked(path: str | Path) -> Iterator[str]:
    """The weights of a .keras file as a temporary file of their own."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="wordtree-"))
            unpacked = Path(folder) / INSIDE
            with open(unpacked, "wb") as file:
                file.writelines(_pieces(path))
        except OSError as error:
            raise InputError(
                f"{path} cannot be unpacked into a temporary folder ({error.strerror}); give TMPDIR a folder with room"
            ) from error
        yield str(unpacked)


def _pieces(path: str | Path) -> Iterator[bytes]:
    """The bytes of the weights in a zip, whose size is compared with the zip's before and while it is read."""
    try:
        limit = min(UNPACKED * Path(path).stat().st_size, LARGEST)
        with zipfile.ZipFile(path) as archive:
            if INSIDE not in archive.namelist():
                raise FormatError(f"{path} is a zip without {INSIDE}; expected a .keras file with its weights")
            member = archive.getinfo(INSIDE)
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise FormatError(
                    f"{path} holds {INSIDE} in compression {member.compress_type}; expected it stored or deflated: "
                    "write the file again with save of Keras"
                )
            if member.file_size > limit:
                raise _too_large(path, member.file_size, limit)
            total = 0
            with archive.open(member) as file:
                while piece := file.read(PIECE):
                    total += len(piece)
                    if total > limit:
                        raise _too_large(path, total, limit)
                    yield piece
    except (*DAMAGE, zipfile.BadZipFile, EOFError, zlib.error, struct.error) as error:
        raise _damaged(path, _shown(str(error)) or type(error).__name__) from error


def _too_large(path: str | Path, size: int, limit: int) -> FormatError:
    return FormatError(
        f"{path} holds {INSIDE} of {size} bytes; expected at most {limit} ({UNPACKED} times the file, never more than "
        f"{LARGEST}): no network's weights shrink so, get it again"
    )


def _check_heaps(reading: _Reading, source: str) -> None:
    """Refuse a heap of names (HDF5 format III.E) with a size that cannot be: libhdf5 1.14 loops or crashes on it."""
    with open(source, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = -1
        while (start := content.find(HEAP_MAGIC, start + 1)) >= 0:
            at, end = start + 16, min(start + int.from_bytes(content[start + 8 : start + 16], "little"), len(content))
            while at + 16 <= end:
                index, size = struct.unpack_from("<H6xQ", content, at)
                step = 16 + (size + 7) // 8 * 8 if index else size
                if step < 16 or at + step > end:
                    raise _damaged(reading.path, f"at byte {at} a name has the size {size}")
                at += step


def _shown(name: str) -> str:
    """A name from a file on one line of any terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:LONGEST])


def _child(reading: _Reading, group: Any, name: str) -> Any:
    """What stands in a group under a name, or None; only what lies in this file, and by no link to a path."""
    import h5py

    for part in name.split("/"):
        if not isinstance(group, h5py.Group):
            raise _damaged(reading.path, f"above {_shown(name)} there are numbers; expected a group")
        link = group.get(part, getlink=True) if part else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise _damaged(reading.path, f"{_shown(name)} is a link to elsewhere; expected a group or numbers")
        group = group[part]
    return group


def _group(reading: _Reading, parent: Any, name: str) -> Any:
    """A group in a group, or None; FormatError where it is something else."""
    import h5py

    found = _child(reading, parent, name)
    if found is not None and not isinstance(found, h5py.Group):
        raise _damaged(reading.path, f"{_shown(name)} is a {type(found).__name__.lower()}; expected a group")
    return found


def _array(reading: _Reading, group: Any, name: str, where: str) -> StoredArray:
    import h5py

    reading.count()
    found = _child(reading, group, name)
    if not isinstance(found, h5py.Dataset) or (shape := found.shape) is None:
        kind = "missing" if found is None else "empty" if isinstance(found, h5py.Dataset) else "a group"
        raise _damaged(reading.path, f"{where} is {kind}; expected an array of numbers")
    return StoredArray(tuple(shape), where, found, reading)


def _models(reading: _Reading, root: Any) -> Iterator[StoredModel]:
    top = root
    if "model_weights" in root and "layer_names" not in root.attrs:
        top = _group(reading, root, "model_weights")
    if "layer_names" in top.attrs or "layer_names0" in top.attrs:
        layers = []
        for name in _names(reading, top, "layer_names"):
            reading.count()
            if (group := _group(reading, top, name)) is None:
                raise _damaged(reading.path, f"layer {_shown(name)} is in the list of layers, but not in the file")
            names = _names(reading, group, "weight_names")
            if arrays := [
                _array(reading, group, one, f"variable {_shown(one)} of layer {_shown(name)}") for one in names
            ]:
                layers.append(StoredLayer(_shown(name), _shown(name), arrays))
        yield StoredModel(True, layers)
        return
    yield from _models_of_three(reading, root, set(), 0)


def _models_of_three(reading: _Reading, group: Any, seen: set[Any], depth: int) -> Iterator[StoredModel]:
    """A model of Keras 3, then those that are layers of it."""
    words = ("layers", "_layer_checkpoint_dependencies")
    found = next((below for word in words if (below := _group(reading, group, word)) is not None), None)
    if found is None:
        return
    _enter(reading, found, seen, depth)
    yield StoredModel(False, list(_layers(reading, found, "", set(), depth)))
    for name in found:
        yield from _models_of_three(reading, _group(reading, found, name), seen, depth + 1)


def _layers(reading: _Reading, group: Any, above: str, seen: set[Any], depth: int) -> Iterator[StoredLayer]:
    _enter(reading, group, seen, depth)
    for name in group:
        reading.count()
        here, key = _group(reading, group, name), _shown(above + name)
        held = _group(reading, here, "vars")
        if held is not None and len(held):
            arrays = [_array(reading, held, str(k), f"variable {k} of layer {key}") for k in range(len(held))]
            yield StoredLayer(key, "", arrays)
        if (inner := _group(reading, here, "layers")) is not None:
            yield from _layers(reading, inner, f"{above}{name}/", seen, depth + 1)


def _enter(reading: _Reading, group: Any, seen: set[Any], depth: int) -> None:
    """Refuse models that hold themselves, that stand at two places, or that lie too deep."""
    if group in seen or depth > DEEPEST:
        found = f"models lie more than {DEEPEST} deep" if depth > DEEPEST else "a model stands at two places"
        raise _damaged(reading.path, f"{found}; expected models inside of models as Keras writes them")
    seen.add(group)  # two that h5py opened are equal where they are one in the file


def _names(reading: _Reading, group: Any, key: str) -> list[str]:
    """A list of names in the attributes, which HDF5 may have cut in pieces."""
    pieces = [key] if key in group.attrs else []
    while (piece := f"{key}{len(pieces)}") in group.attrs:
        pieces.append(piece)
    names = []
    for piece in pieces:
        kind = group.attrs.get_id(piece)
        if kind.shape is not None and 0 in kind.shape:
            continue
        if kind.shape is None or len(kind.shape) != 1 or kind.dtype.kind not in "SO":
            found = f"of type {_shown(str(kind.dtype))} and shape {kind.shape}"
            raise _damaged(reading.path, f"{piece} is {found}; expected a list of names")
        names += [name.decode() if isinstance(name, bytes) else name for name in group.attrs[piece].tolist()]
    return names
