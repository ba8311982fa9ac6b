"""A .weights file: a header, then the numbers of every convolution, little endian, nothing between them.

    int32 major, minor, revision
    seen                          int32 before version 0.2 (16 bytes of header), else 8 bytes (20 bytes of header)
    per convolution, in order     biases[n]; with batch normalisation scales[n], means[n], variances[n];
                                  kernel[n][c][k][k]

The size of the file must be that of the network to the byte. Reading maps the file: no copy of it is held. What was
read is written back with the same bytes.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.networks.shapes import ConvShape
from schemas.errors import ConfigError, FormatError, InputError, OutputError

FloatArray = NDArray[np.float32]
VERSIONS = {"v0.1": (0, 1, 0), "v0.2": (0, 2, 0)}
NO_VERSION = 1_000_000  # from here on it is text, or anything else


class Header(NamedTuple):
    """The first 16 or 20 bytes.

    Attributes:
        seen: images that the network was trained on.
    """

    major: int = 0
    minor: int = 1
    revision: int = 0
    seen: int = 0

    @property
    def wide(self) -> bool:
        """Whether `seen` has 8 bytes."""
        return self.major * 10 + self.minor >= 2 and self.major < 1000 and self.minor < 1000

    @property
    def size(self) -> int:
        """Bytes: 16 or 20."""
        return 20 if self.wide else 16

    @property
    def transposed(self) -> bool:
        """Whether dense layers stand transposed."""
        return self.major > 1000 or self.minor > 1000

    def to_bytes(self) -> bytes:
        """As darknet writes it.

        Raises:
            ConfigError: if `seen` does not fit into 4 or 8 bytes.
        """
        if self.wide and not 0 <= self.seen < 2**64:
            raise ConfigError(f"{self.seen} images do not fit into the 8 bytes of a header")
        if not self.wide and not -(2**31) <= self.seen < 2**31:
            raise ConfigError(f"{self.seen} images do not fit into a header of version 0.1; write --format v0.2")
        return struct.pack("<iiiQ" if self.wide else "<iiii", self.major, self.minor, self.revision, self.seen)


class LayerWeights(NamedTuple):
    """One convolution's numbers, as they stand in the file.

    Attributes:
        shape: what they belong to.
        biases: f32[n].
        scales, means, variances: f32[n], or None without batch normalisation.
        kernel: f32[n, c, k, k].
    """

    shape: ConvShape
    biases: FloatArray
    scales: FloatArray | None
    means: FloatArray | None
    variances: FloatArray | None
    kernel: FloatArray

    def arrays(self) -> list[FloatArray]:
        """In the order of the file."""
        return [array for array in (self.biases, self.scales, self.means, self.variances) if array is not None] + [
            self.kernel
        ]


class WeightsFile(NamedTuple):
    """A .weights file, mapped.

    Attributes:
        header: of the file.
        layers: as many as the file holds.
        missing: convolutions of the network that the file ends before (only when asked for the first part).
    """

    header: Header
    layers: list[LayerWeights]
    missing: list[ConvShape]


def read_header(path: str | Path) -> Header:
    """The header alone.

    Raises:
        InputError: if the file cannot be read.
        FormatError: if it is too short, or of a kind that is not read.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(20) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
    except OSError as error:
        raise InputError(f"{path}: cannot read it ({error.strerror})") from error
    if data is None:
        raise InputError(f"{path}: a pipe or a device; expected a file, which can be mapped")
    if len(data) < 16:
        raise FormatError(f"{path}: {len(data)} bytes; expected a header of 16 or 20 bytes, so it is no .weights file")
    header = Header(*struct.unpack("<iiii", data[:16]))
    if not all(0 <= part < NO_VERSION for part in header[:3]):
        raise FormatError(f"{path}: version {header.major}.{header.minor}.{header.revision}; it is no .weights file")
    if header.transposed:
        raise FormatError(
            f"{path}: version {header.major}.{header.minor} says that dense layers stand transposed; expected a "
            "version below 1000. Networks with dense layers are not built here"
        )
    if header.wide:
        if len(data) < 20:
            raise FormatError(f"{path}: {len(data)} bytes; a header of version 0.2 has 20")
        header = header._replace(seen=struct.unpack("<Q", data[12:20])[0])
    return header


def read_weights(path: str | Path, shapes: Sequence[ConvShape], *, first_part: bool = False) -> WeightsFile:
    """Map a .weights file of a network with these convolutions.

    Args:
        path: of the file.
        shapes: of the network, in order.
        first_part: the file may hold the first convolutions alone, such as darknet19_448.conv.23, cut behind a layer.

    Raises:
        InputError: if the file cannot be read.
        FormatError: if its size is another than the network's: the layer in which it ends, or the bytes too many.
    """
    header = read_header(path)
    size = os.path.getsize(path)
    whole = (size - header.size) // 4
    numbers: FloatArray = (
        np.memmap(path, dtype="<f4", mode="r", offset=header.size, shape=(whole,)) if whole else _EMPTY
    )
    layers: list[LayerWeights] = []
    missing: list[ConvShape] = []
    expected = header.size + 4 * sum(shape.numbers for shape in shapes)
    at = 0
    for shape in shapes:
        if at + shape.numbers > whole:
            if first_part and header.size + 4 * at == size:
                missing = list(shapes[len(layers) :])
                break
            raise FormatError(
                f"{path}: ends inside {shape}, layer {len(layers) + 1} of {len(shapes)}: {expected - size:,} of "
                f"{expected:,} bytes are missing. Is it the file of another network, or cut off?"
            )
        layers.append(_layer(numbers[at : at + shape.numbers], shape))
        at += shape.numbers
    surplus = size - header.size - 4 * at
    if surplus and not missing:
        raise FormatError(
            f"{path}: {surplus:,} bytes stand behind the last layer, {shapes[-1] if shapes else 'the header'}; "
            f"expected {expected:,} bytes in all, found {size:,}. Is it the file of another network?"
        )
    return WeightsFile(header, layers, missing)


_EMPTY: FloatArray = np.zeros(0, np.float32)


def _layer(numbers: FloatArray, shape: ConvShape) -> LayerWeights:
    count = 4 if shape.batch_norm else 1
    vectors: list[FloatArray | None] = list(numbers[: count * shape.filters].reshape(count, shape.filters))
    biases, scales, means, variances = vectors + [None] * (4 - count)
    kernel = numbers[count * shape.filters :].reshape(shape.filters, shape.channels, shape.size, shape.size)
    assert biases is not None
    return LayerWeights(shape, biases, scales, means, variances, kernel)


def check_numbers(layer: LayerWeights, path: str | Path) -> None:
    """Refuse numbers that no trained network has: not finite, or a variance below 0.

    Raises:
        FormatError: naming the layer and the filter.
    """
    names = ("biases", "scales", "means", "variances") if layer.shape.batch_norm else ("biases",)
    for name, array in zip((*names, "kernel"), layer.arrays(), strict=True):
        if not np.isfinite(array).all():
            place = int(np.flatnonzero(~np.isfinite(array).reshape(layer.shape.filters, -1).all(axis=1))[0])
            raise FormatError(f"{path}: {layer.shape}: {name} of filter {place} are not finite; the file is damaged")
    if layer.variances is not None and float(layer.variances.min(initial=0)) < 0:
        place = int(layer.variances.argmin())
        raise FormatError(
            f"{path}: {layer.shape}: the variance of filter {place} is {layer.variances[place]:g}; expected 0 or more. "
            "Is it the file of another network of the same size?"
        )


def write_weights(
    path: str | Path, header: Header, layers: Iterable[LayerWeights], *, force: bool = False
) -> tuple[int, int]:
    """Write a .weights file, whole or not at all. Returns its numbers and bytes.

    Raises:
        OutputError: if the file exists and `force` is not set, or it cannot be written.
    """
    target = Path(path)
    if target.exists() and not force:
        raise OutputError(f"{target}: exists; choose another name or replace it with --force")
    if target.is_dir():
        raise OutputError(f"{target}: is a directory; expected the name of a file")
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    count = 0
    try:
        with open(partial, "wb") as file:
            file.write(header.to_bytes())
            for layer in layers:
                for array in layer.arrays():
                    np.ascontiguousarray(array, dtype="<f4").tofile(file)
                    count += array.size
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        raise OutputError(f"{target}: cannot write it ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)
    return count, header.size + 4 * count


def random_layers(shapes: Iterable[ConvShape], seed: int) -> Iterator[LayerWeights]:
    """Untrained weights as darknet's start: kernels of deviation sqrt(2 / (k k c)), scales and variances of 1."""
    for number, shape in enumerate(shapes):
        random = np.random.default_rng((seed, number))
        kernel = random.standard_normal(shape.kernel, np.float32)
        kernel *= np.float32((2 * shape.filters / shape.kernel) ** 0.5)
        zeros, ones = np.zeros(shape.filters, np.float32), np.ones(shape.filters, np.float32)
        norm = (ones, zeros, ones) if shape.batch_norm else (None, None, None)
        kernel = kernel.reshape(shape.filters, shape.channels, shape.size, shape.size)
        yield LayerWeights(shape, zeros, *norm, kernel)
