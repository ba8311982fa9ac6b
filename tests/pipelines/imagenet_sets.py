"""Tiny ImageNets in every form, and their rows as shards would see them."""

from __future__ import annotations

import argparse
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from pipelines.joining import join
from pipelines.rows import ImageRow, Rejected, Row
from pipelines.sources.imagenet import Source

DOG, CAT, FISH = "n02084071", "n02121620", "n02512053"
CLASSES = (DOG, CAT, FISH)


def source_of(*words: object) -> Source:
    parser = argparse.ArgumentParser()
    Source.add_arguments(parser)
    return Source.from_args(parser.parse_args([str(word) for word in words]))


def all_rows(source: Source) -> list[ImageRow | Rejected]:
    """The rows of all pieces, as shards would see them."""
    found: dict[str, list[Row]] = {}
    for piece in source.pieces():
        for row in source.read(piece):
            found.setdefault(row.image_id, []).append(row)
    return list(join(row for _, rows in sorted(found.items()) for row in rows))


def images(source: Source) -> dict[str, ImageRow]:
    rows = all_rows(source)
    assert all(isinstance(row, ImageRow) for row in rows), rows
    return {row.image_id: row for row in rows if isinstance(row, ImageRow)}


def corners(row: ImageRow) -> list[tuple[object, ...]]:
    """Class and corners as 0-based inclusive files state them."""
    return [(b.class_key, b.xmin, b.ymin, b.xmax - 1, b.ymax - 1) for b in row.boxes]


def tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def make_pictures(jpeg: Callable[..., bytes]) -> dict[str, dict[str, bytes]]:
    """Two images of each class, by class and file name."""
    return {wnid: {f"{wnid}_{k}.JPEG": jpeg(seed=10 * n + k) for k in (3, 18)} for n, wnid in enumerate(CLASSES)}


def write_class_folders(root: Path, pictures: dict[str, dict[str, bytes]]) -> Path:
    for wnid, files in pictures.items():
        for name, data in files.items():
            (root / "train" / wnid).mkdir(parents=True, exist_ok=True)
            (root / "train" / wnid / name).write_bytes(data)
    return root / "train"


def write_class_tars(root: Path, pictures: dict[str, dict[str, bytes]]) -> Path:
    (root / "tars").mkdir()
    for wnid, files in pictures.items():
        (root / "tars" / f"{wnid}.tar").write_bytes(tar(files))
    return root / "tars"


def write_tar_of_tars(root: Path, pictures: dict[str, dict[str, bytes]]) -> Path:
    inner = {f"./{wnid}.tar": tar(files) for wnid, files in pictures.items()}
    (root / "ILSVRC2012_img_train.tar").write_bytes(tar(inner))
    return root / "ILSVRC2012_img_train.tar"


def write_tar_of_folders(root: Path, pictures: dict[str, dict[str, bytes]]) -> Path:
    flat = {f"/train/{wnid}/{name}": data for wnid, files in pictures.items() for name, data in files.items()}
    (root / "train.tar").write_bytes(tar(flat))
    return root / "train.tar"


def write_zip_of_folders(root: Path, pictures: dict[str, dict[str, bytes]]) -> Path:
    with zipfile.ZipFile(root / "train.zip", "w") as archive:
        archive.writestr("LICENSE", "text")
        for wnid, files in pictures.items():
            for name, data in files.items():
                archive.writestr(f"ILSVRC/Data/CLS-LOC/train/{wnid}/{name}", data)
    return root / "train.zip"


def write_flat_tar(root: Path, pictures: dict[str, dict[str, bytes]]) -> Path:
    (root / "flat.tar").write_bytes(tar({name: data for files in pictures.values() for name, data in files.items()}))
    return root / "flat.tar"


FORMS = [
    *(write_class_folders, write_class_tars, write_tar_of_tars),
    *(write_tar_of_folders, write_zip_of_folders, write_flat_tar),
]


STEMS = [f"ILSVRC2012_val_0000000{n}" for n in (1, 2, 3, 4)]
TRUE = dict(zip(STEMS, (CAT, DOG, FISH, DOG), strict=True))


def make_val(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    """A flat validation set of four images, as a folder and as a tar."""
    files = {f"{stem}.JPEG": jpeg(seed=n) for n, stem in enumerate(STEMS)}
    (tmp_path / "val").mkdir()
    for name, data in files.items():
        (tmp_path / "val" / name).write_bytes(data)
    (tmp_path / "val.tar").write_bytes(tar({name: files[name] for name in sorted(files, reverse=True)}))
    return tmp_path


TRUTHS = {
    "wnids": "".join(f"{wnid}\n" for wnid in TRUE.values()),
    "ids": "2\n1\n3\n1\n",
    "kaggle": "ImageId,PredictionString\n" + "".join(f"{s},{TRUE[s]} 0 1 2 3 \n" for s in reversed(STEMS)),
    "names": "".join(f"{s}.JPEG {TRUE[s]}\n" for s in STEMS),
    "tiny": "".join(f"{s}.JPEG\t{TRUE[s]}\t0\t1\t2\t3\n" for s in STEMS),
    "commas": "".join(f"{s},{TRUE[s]}\n" for s in STEMS),
}


def xml(*objects: tuple[str, int, int, int, int], name: str = "x") -> str:
    boxes = "".join(
        f"<object><name>{n}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for n, a, b, c, d in objects
    )
    return (
        f"<annotation><folder>{DOG}</folder><filename>{name}</filename>"
        f"<size><width>8</width><height>6</height></size>{boxes}</annotation>"
    )
