"""Tiny datasets made on the spot, and a way to run `wordtree convert` as the dispatcher does."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.cli import add_convert
from schemas.record import ImageRecord
from schemas.tfexample import decode_record
from schemas.tfrecord import read_records
from wordtree.command import held


@pytest.fixture(scope="session", autouse=True)
def beam_imported() -> None:
    """Import Beam once, without its warning about Google's client libraries."""
    logging.disable(logging.WARNING)
    import apache_beam  # noqa: F401

    logging.disable(logging.NOTSET)


def jpeg(width: int = 8, height: int = 6, *, seed: int = 0, orientation: int = 0, kind: str = "JPEG") -> bytes:
    """An image of one colour; its bytes differ with the seed."""
    image = Image.new("RGB", (width, height), (seed % 256, seed // 256 % 256, 77))
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"exif": exif} if orientation else {}))
    return buffer.getvalue()


@pytest.fixture(name="jpeg")
def jpeg_fixture() -> Callable[..., bytes]:
    return jpeg


class CocoMaker:
    """Collects images and annotations and writes them as a COCO dataset."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.categories: list[dict[str, Any]] = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
        (folder / "images").mkdir(parents=True, exist_ok=True)

    def image(self, number: int | float | str, data: bytes | None = None, **fields: Any) -> dict[str, Any]:
        """Add an 8 x 6 image, or one with the bytes given."""
        entry = {"id": number, "file_name": f"{number}.jpg", "width": 8, "height": 6, **fields}
        self.images.append({key: value for key, value in entry.items() if value is not None})
        if data is None:
            data = jpeg(seed=len(self.images))
        if entry["file_name"]:
            (self.folder / "images" / str(entry["file_name"])).write_bytes(data)
        return entry

    def box(self, image: object, bbox: object = (1, 2, 3, 2), category: object = 18, **fields: Any) -> None:
        """Add an annotation; a field that is None is left out."""
        number = len(self.annotations) + 1
        entry = {"id": number, "image_id": image, "category_id": category, "bbox": bbox, "iscrowd": 0, "area": 6.0}
        self.annotations.append({key: value for key, value in {**entry, **fields}.items() if value is not None})

    def write(self) -> list[str]:
        """Write the files; returns the command line's words for them."""
        path = self.folder / "instances.json"
        parts = {"images": self.images, "annotations": self.annotations, "categories": self.categories}
        path.write_text(json.dumps(parts))
        return ["--annotations", str(path), "--images", str(self.folder / "images")]


@pytest.fixture
def coco(tmp_path: Path) -> CocoMaker:
    return CocoMaker(tmp_path / "coco")


class Run:
    """What a run of `wordtree convert` left behind."""

    def __init__(self, out: Path, code: int, stdout: str, stderr: str) -> None:
        self.out, self.code, self.stdout, self.stderr = out, code, stdout, stderr

    @property
    def manifest(self) -> dict[str, Any]:
        return json.loads((self.out / "manifest.json").read_text())

    @property
    def counts(self) -> dict[str, Any]:
        return self.manifest["counts"]

    @property
    def rejects(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in (self.out / "rejects.jsonl").read_text().splitlines()]

    @property
    def records(self) -> dict[str, ImageRecord]:
        return read_dataset(self.out)


def read_dataset(out: Path) -> dict[str, ImageRecord]:
    """All records of a dataset directory, by image id; fails on a repeated id."""
    records: dict[str, ImageRecord] = {}
    for shard in sorted(out.glob("*.tfrecord")):
        with shard.open("rb") as stream:
            for data in read_records(stream, shard.name):
                record = decode_record(data)
                assert record.image_id not in records
                records[record.image_id] = record
    return records


def run_words(*words: object) -> int:
    """Parse and run `wordtree convert WORDS`; errors are raised."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_convert(parser.add_subparsers(dest="command"))
    texts = [str(word) for word in words]
    cut = texts.index("--") if "--" in texts else len(texts)
    args = parser.parse_args(["convert", *texts[:cut]])
    args.beam_args = texts[cut + 1 :]
    with held(args):
        return args.run(args)


@pytest.fixture
def convert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """`convert("coco", *words, out=name)` runs it into tmp_path/name."""

    def run(source: str, *words: object, out: str = "out") -> Run:
        capsys.readouterr()
        code = run_words(source, tmp_path / out, *words)
        printed = capsys.readouterr()
        return Run(tmp_path / out, code, printed.out, printed.err)

    return run


def digests(folder: Path) -> Mapping[str, str]:
    """sha256 of every file below a folder, by name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(name="digests")
def digests_fixture() -> Callable[[Path], Mapping[str, str]]:
    return digests
