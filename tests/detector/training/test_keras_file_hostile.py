"""Weights files of Keras that are damaged or made to harm: one line that names the file, and nothing large is read."""

from __future__ import annotations

import random
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from detector.training import keras_file
from detector.training.keras_file import INSIDE, is_keras_file, open_keras_file, read_array
from schemas.errors import FormatError, InputError, WordTreeError

KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def write(path: Path, kernel: Any = KERNEL, **options: Any) -> Path:
    """A file of Keras 3 with one layer: a kernel as it is told, and a bias."""
    with h5py.File(path, "w") as file:
        if kernel is not None:
            file.create_dataset("layers/conv2d/vars/0", data=kernel, **options)
            file["layers/conv2d/vars/1"] = np.ones(4, np.float32)
    return path


def read(path):
    """Every array of every model, as `--init` reads them."""
    with open_keras_file(path) as models:
        layers = [layer for model in models for layer in model.layers]
        assert all(isinstance(layer.shapes, list) for layer in layers)
        return {layer.key: [read_array(path, array) for array in layer.arrays] for layer in layers}


def refused(path: Path, words: str, error: type[WordTreeError] = FormatError) -> None:
    with pytest.raises(error, match=words) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.isprintable()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.weights.h5"


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f2", "<f8"])
def test_floats_of_any_size_and_order_are_read_as_f32(path, kind):
    kernel, bias = read(write(path, KERNEL.astype(kind)))["conv2d"]
    np.testing.assert_array_equal(kernel, KERNEL)
    np.testing.assert_array_equal(bias, np.ones(4))
    assert kernel.dtype == np.dtype("=f4")


def test_chunks_and_the_count_of_a_normalization_are_read(path):
    write(path, KERNEL, chunks=(1, 3, 2))
    with h5py.File(path, "a") as file:
        file["layers/conv2d/vars/2"] = np.int64(7)
    kernel, _, count = read(path)["conv2d"]
    np.testing.assert_array_equal(kernel, KERNEL)
    assert count.dtype == np.int64
    assert count == 7


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_read_stored_and_deflated_and_leaves_nothing(path, compression, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with zipfile.ZipFile(tmp_path / "x.keras", "w", compression) as archive:
        archive.write(write(path), INSIDE)
    np.testing.assert_array_equal(read(tmp_path / "x.keras")["conv2d"][0], KERNEL)
    assert list(folder.iterdir()) == []


def test_a_zip_that_declares_too_much_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(INSIDE, bytes(2**22))
    monkeypatch.setattr(zipfile.ZipFile, "open", None)  # nothing is unpacked
    refused(path, rf"holds model.weights.h5 of {2**22} bytes; expected at most {64 * path.stat().st_size} ")
    monkeypatch.setattr(keras_file, "LARGEST", 1000)
    refused(path, r"expected at most 1000 ")


def test_a_zip_whose_directory_lies_is_refused(tmp_path):
    """A member of 4 MiB that is said to have 100 bytes: no more than these are unpacked."""
    path = tmp_path / "lies.keras"
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(bytes(2**22)) + packer.flush()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(INSIDE, packed)
        archive.filelist[0].compress_type, archive.filelist[0].file_size = zipfile.ZIP_DEFLATED, 100
    refused(path, r"is damaged \(.*get it again")


def test_other_compressions_and_broken_members_are_refused(path, tmp_path):
    write(path)
    with zipfile.ZipFile(tmp_path / "lzma.keras", "w", zipfile.ZIP_LZMA) as archive:
        archive.write(path, INSIDE)
    refused(tmp_path / "lzma.keras", r"holds model.weights.h5 in compression 14; expected it stored or deflated")
    with zipfile.ZipFile(tmp_path / "whole.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, INSIDE)
    whole, rng = (tmp_path / "whole.keras").read_bytes(), random.Random(5)
    for _ in range(60):
        broken = bytearray(whole)
        for _ in range(3):
            broken[rng.randrange(4, len(broken))] ^= rng.randrange(1, 256)
        (tmp_path / "broken.keras").write_bytes(broken)
        refused_or_whole(tmp_path / "broken.keras")


def test_a_full_disk_is_told(path, tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "x.keras", "w") as archive:
        archive.write(write(path), INSIDE)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    refused(tmp_path / "x.keras", r"cannot be unpacked .*; give TMPDIR a folder with room", InputError)


@pytest.mark.parametrize("layout", [{"chunks": (3, 3, 3, 1000)}, {}])
def test_a_shape_that_the_file_cannot_hold_is_refused(path, layout):
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/conv2d/vars/0", (3, 3, 3, 10**11), "f4", **layout)
    refused(path, r"variable 0 of layer conv2d declares the shape \[3, 3, 3, 100000000000\], 10800000000000 bytes")


def test_compressed_linked_and_foreign_data_are_refused(path, tmp_path):
    refused(
        write(path, np.zeros((64, 4096), "f4"), compression="gzip"), r"conv2d is compressed or lies in another file"
    )
    (tmp_path / "raw").write_bytes(KERNEL.tobytes())
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/a/vars/0", KERNEL.shape, "f4", external=[(str(tmp_path / "raw"), 0, KERNEL.nbytes)])
    refused(path, r"variable 0 of layer a is compressed or lies in another file")
    other = write(tmp_path / "other.weights.h5")
    with h5py.File(path, "w") as file:
        virtual = h5py.VirtualLayout(KERNEL.shape, "f4")
        virtual[...] = h5py.VirtualSource(str(other), "layers/conv2d/vars/0", KERNEL.shape)
        file.create_virtual_dataset("layers/a/vars/0", virtual)
    refused(path, r"variable 0 of layer a is compressed or lies in another file")
    for link in (h5py.ExternalLink(str(other), "/layers"), h5py.SoftLink("/real/layers")):
        with h5py.File(path, "w") as file:
            file["real/layers/a/vars/0"] = KERNEL
            file["layers"] = link
        refused(path, r"layers is a link to elsewhere")


def test_one_array_at_many_places_is_read_no_longer_than_the_file(path):
    with h5py.File(path, "w") as file:
        file["layers/a/vars/0"] = np.zeros(10_000, "f4")
        for k in range(1, 9):
            file[f"layers/a/vars/{k}"] = file["layers/a/vars/0"]
    refused(path, r"variable 1 of layer a declares the shape \[10000\], 40000 bytes, of which")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_numbers_that_are_not_finite_are_refused(path, value):
    kernel = KERNEL.astype("f8")
    kernel[1, 2, 3] = value
    refused(write(path, kernel), r"variable 0 of layer conv2d is not finite \(1 of 24 .* of a run that diverged")


@pytest.mark.parametrize(
    ("kernel", "found"), [(np.full((2, 3), b"x"), r"\|S1"), (np.arange(3), "int64"), (np.zeros(2, "c8"), "complex64")]
)
def test_other_types_are_refused(path, kernel, found):
    refused(write(path, kernel), rf"variable 0 of layer conv2d is of type {found}; expected floating-point numbers")


def test_odd_structures_of_keras_3_are_refused(path):
    def made(change, words):
        write(path)
        with h5py.File(path, "a") as file:
            change(file)
        refused(path, words)

    def put(where, value):
        def change(file):
            if where in file:
                del file[where]
            if value is None:
                file.create_group(where)
            else:
                file[where] = value

        return change

    made(put("layers/conv2d/vars/0", None), r"variable 0 of layer conv2d is a group")
    made(put("layers/conv2d/vars/0", h5py.Empty("f4")), r"variable 0 of layer conv2d is empty")
    made(lambda file: file.move("layers/conv2d/vars/0", "layers/conv2d/vars/5"), r"variable 0 .* is missing")
    for where in ("layers", "layers/conv2d", "layers/conv2d/vars"):
        for value in (1.0, np.zeros(3)):
            made(put(where, value), rf"{where.split('/')[-1]} is a dataset; expected a group")
    made(lambda file: put("layers/conv2d/layers", file["layers"])(file), r"a model stands at two places")

    def nested(file):
        for _ in range(40):
            file = file.require_group("layers").create_group("a")

    made(nested, r"models lie more than 32 deep")

    def widened(file):  # 2 to the power of 30 paths
        for k in range(30):
            for name in "ab":
                file.require_group(f"g{k}/{name}")
        for k in range(29):
            for name in "ab":
                file[f"g{k}/{name}/layers"] = file[f"g{k + 1}"]
        put("layers", file["g0"])(file)

    made(widened, r"a model stands at two places")


def test_too_many_layers_are_refused(path, monkeypatch):
    monkeypatch.setattr(keras_file, "MOST", 2)
    refused(write(path), r"it lists more than 2 layers and variables")


def test_odd_structures_of_keras_2_are_refused(path):
    def made(words, layers, variables=(b"a",), group=True):
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = layers
            if group:
                file.create_group("conv1/a")
                file["conv1"].attrs["weight_names"] = variables
            else:
                file["conv1"] = np.zeros(3)
        refused(path, words)

    for odd in (5, "conv1", b"conv1", [1.0, 2.0], h5py.Empty("S5"), [[b"conv1"]]):
        made(r"layer_names is of type .*; expected a list of names", odd)
    made(r"layer gone is in the list of layers, but not in the file", [b"gone"])
    made(r"conv1 is a dataset; expected a group", [b"conv1"], group=False)
    made(r"variable a of layer conv1 is a group", [b"conv1"])
    made(r"variable b of layer conv1 is missing", [b"conv1"], [b"b"])
    made(r"is damaged", [b"conv1"], [b"\xff"])
    with h5py.File(path, "w") as file:
        file["model_weights"] = 1
    refused(path, r"model_weights is a dataset; expected a group")


def test_a_heap_of_names_on_which_hdf5_would_loop_or_crash_is_refused(path):
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["conv1"]
        file.create_group("conv1").attrs["weight_names"] = ["conv1/kernel:0"]
        file["conv1/conv1/kernel:0"] = KERNEL
    np.testing.assert_array_equal(read(path)["conv1"][0], KERNEL)
    whole = path.read_bytes()
    at = whole.index(b"GCOL") + 16
    for index, size in ((0, 0), (1, 2**64 - 16), (1, 2**40)):
        path.write_bytes(whole[:at] + struct.pack("<H6xQ", index, size) + whole[at + 16 :])
        refused(path, rf"is damaged \(at byte {at} a name has the size {size}\)")


def test_names_are_shown_on_one_line(path):
    with h5py.File(path, "w") as file:
        file["layers/a\nb/vars/0"] = np.full(3, np.nan)
    refused(path, r"variable 0 of layer a\?b is not finite")


def refused_or_whole(path):
    """Whatever was flipped: the project's error, or finite numbers of the shapes that the file tells."""
    found, told = {}, str(path)
    try:
        found = read(path)
    except WordTreeError as error:
        told = str(error)
    assert str(path) in told
    assert "\n" not in told
    assert all(np.isfinite(array).all() for arrays in found.values() for array in arrays)


def test_random_damage_is_refused_or_harmless(path, tmp_path):
    whole, rng = write(tmp_path / "whole.weights.h5").read_bytes(), random.Random(3)
    for k in range(150):
        broken = bytearray(whole)
        for _ in range(1 + k % 40):
            broken[rng.randrange(8, len(broken))] = rng.randrange(256)
        path.write_bytes(broken)
        refused_or_whole(path)


def test_a_file_that_cannot_be_opened_is_told(path, monkeypatch):
    write(path)

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(keras_file, "open", denied, raising=False)
    for call in (is_keras_file, read):
        with pytest.raises(InputError, match=r"x.weights.h5 cannot be read \(Permission denied\)"):
            call(path)
