"""A dataset format as somebody else would write it, in one file: a CSV of pictures with a box and a name each.

`test_another_format.py` puts this file beside the formats of the package; nothing else is told of it.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pipelines.rows import BoxRow, ImageRow, Rejected, Row
from pipelines.sources.base import DatasetClass, DatasetSource, Survey
from schemas.manifest import SourceFile


@dataclass(frozen=True, slots=True)
class Source(DatasetSource):
    table: str

    name: ClassVar[str] = "toy"
    help: ClassVar[str] = "boxes of a table, one picture a line"
    example: ClassVar[str] = "wordtree convert toy OUT --table boxes.csv"
    default_labels: ClassVar[str] = "none"
    has_boxes: ClassVar[bool] = True
    paths: ClassVar[tuple[str, ...]] = ("table",)

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--table", required=True, metavar="FILE", help="file,name,left,top,right,bottom")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Source:
        return cls(args.table)

    @property
    def image_root(self) -> str:
        return str(Path(self.table).parent)

    def options(self) -> dict[str, str]:
        return {"table": self.table}

    def lines(self) -> list[list[str]]:
        with open(self.table) as stream:
            return list(csv.reader(stream))

    def survey(self) -> Survey:
        whole = [line for line in self.lines() if len(line) == 6]
        names = sorted({line[1] for line in whole})
        data = Path(self.table).read_bytes()
        return Survey(
            images=len(whole),
            classes=tuple(DatasetClass(key=name, id=k, label=name) for k, name in enumerate(names, 1)),
            files=(SourceFile(path=self.table, bytes=len(data), sha256=hashlib.sha256(data).hexdigest()),),
            image_ids=[line[0] for line in whole],
        )

    def read(self, piece: str = "") -> Iterator[Row]:
        for number, line in enumerate(self.lines(), 1):
            where = f"{Path(self.table).name}, line {number}"
            if len(line) != 6:
                yield Rejected(kind="image", record=line[0], reason="image:not_six_cells", where=where)
                continue
            file, name, left, top, right, bottom = line
            box = BoxRow(xmin=float(left), ymin=float(top), xmax=float(right), ymax=float(bottom), class_key=name)
            yield ImageRow(image_id=file, uri=file, has_boxes=True, boxes=(box,), provenance=where)
