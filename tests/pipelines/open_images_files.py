"""Files of Open Images, made on the spot."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from pipelines.rows import ImageRow, Rejected, Statements
from pipelines.sources.base import Packing
from pipelines.sources.openimages import Source

A, B, C = "000002b66c9c498e", "0001eeaf4aed83f9", "0004886b7d043cfd"
DOG, CAT, ANIMAL, HUMAN = "/m/0bt9lr", "/m/01yrx", "/m/0jbk", "/m/0dgw9r"
HEADS = {
    8: "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax",
    13: "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside",
    7: "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf",
}
CLICKS = ",".join(f"XClick{i}{axis}" for axis in "XY" for i in range(1, 5))
HEADS[21] = f"{HEADS[13]},{CLICKS}"
LABELS = "ImageID,Source,LabelName,Confidence"
MASKS = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks"
HIERARCHY = {
    "LabelName": "/m/0bl9f",
    "Subcategory": [
        {"LabelName": ANIMAL, "Subcategory": [{"LabelName": DOG}, {"LabelName": CAT}], "Part": [{"LabelName": HUMAN}]}
    ],
}


class Maker:
    """Collects files and options."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = folder / "images"
        self.images.mkdir()
        self.words: list[str] = []

    def file(self, option: str, text: str, name: str = "") -> Path:
        path = self.folder / (name or f"{option.strip('-')}.csv")
        path.write_text(text, encoding="utf-8")
        self.words += [option, str(path)] if option else []
        return path

    def photo(self, image_id: str, data: bytes = b"x") -> None:
        path = self.images / f"{image_id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def source(self, *words: str) -> Source:
        parser = ArgumentParser()
        Source.add_arguments(parser)
        return Source.from_args(parser.parse_args(["--images", str(self.images), *self.words, *words]))

    def rows(self, *words: str) -> tuple[dict[str, ImageRow], list[Rejected], list[Statements]]:
        """Images by id, what is rejected, and what is said about images that are not there."""
        source = self.source(*words)
        payloads = [
            payload
            for number, piece in enumerate(source.pieces())
            for _, payload in source.pack(number, piece, Packing(1, 0))
        ]
        found = list(source.unpack(payloads))
        images = [row for row in found if isinstance(row, ImageRow)]
        assert len({row.image_id for row in images}) == len(images)
        rejected = sorted((row for row in found if isinstance(row, Rejected)), key=lambda row: (row.where, row.reason))
        return {row.image_id: row for row in images}, rejected, [row for row in found if isinstance(row, Statements)]


def told(rejected: list[Rejected]) -> list[tuple[str, str]]:
    return [(row.reason, row.where) for row in rejected]
