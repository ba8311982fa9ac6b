"""Label rows: tables of (image, label, confidence, source) in Parquet, CSV or TSV, and tencent-ml-images' lines.

Several rows an image, any label space; a row says that somebody or something thinks that the label is true, not that
others are not. Rows are read, checked and dealt out many at a time (`pipelines.label_rows`). Images lie below a folder,
at any URL, or in a column of the Parquet file itself (`pipelines.files.parquet_images`), which is found where no paths
are asked for; with `--rows-only` no image is read and only the row plane is written (`pipelines.label_rows.job`).
"""

from __future__ import annotations

import argparse
import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from pipelines.files import storage
from pipelines.label_rows.blocks import collect, deal
from pipelines.label_rows.classes import classes_of, read_classes
from pipelines.label_rows.deciding import decide
from pipelines.label_rows.headers import check_bytes_column, file_columns, images_inside, table_names, table_notes
from pipelines.label_rows.layout import FORMATS, Layout, format_of
from pipelines.label_rows.surveying import digest_file, image_ids, label_notes, look, zero_notes
from pipelines.label_rows.tables import table_batches, table_pieces
from pipelines.label_rows.telling import Told, image_rows
from pipelines.rows import Row
from pipelines.sources.base import DatasetClass, DatasetSource, Packing, Survey
from schemas.errors import ConfigError, InputError

if TYPE_CHECKING:
    pass

USUAL = Layout()


@dataclass(frozen=True, slots=True)
class Source(DatasetSource):
    """Files of rows, what their columns mean, and where the images lie."""

    rows: tuple[str, ...]
    images: str = ""
    classes: str = ""
    layout: Layout = USUAL
    rows_only: bool = False

    name: ClassVar[str] = "labels"
    help: ClassVar[str] = "image labels from tables: Parquet, CSV, TSV"
    example: ClassVar[str] = "wordtree convert labels OUT --rows labels.parquet --images photos --labels imagenet"
    default_labels: ClassVar[str] = "none"
    has_boxes: ClassVar[bool] = False
    paths: ClassVar[tuple[str, ...]] = ("rows", "images", "classes")
    free_uris: ClassVar[bool] = True

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--rows", required=True, nargs="+", metavar="FILE", help="tables of label rows")
        add(
            "--images",
            default="",
            metavar="ROOT",
            help="what paths are relative to (default: the folder of the table whose path sorts first)",
        )
        add(
            "--table-format",
            default="",
            choices=FORMATS,
            help="of all tables (default: by the ending; .txt is tencent)",
        )
        add("--classes", default="", metavar="FILE", help="one label, or INDEX<TAB>LABEL, a line (default: all found)")
        add("--rows-only", action="store_true", help="check and write rows alone; read no image")
        add("--ignore-boxes", action="store_true", help="take tables of boxes, each row's label for its whole image")
        columns = parser.add_argument_group("columns", "by default those with the usual names")
        add = columns.add_argument
        add("--image-column", default="", metavar="NAME", help="path or URL of the image")
        add("--id-column", default="", metavar="NAME", help="id of the image (default: its path)")
        add("--label-column", default="", metavar="NAME", help="its label; a list where a row has several")
        add("--confidence-column", default="", metavar="NAME", help="0 to 1 (default: 1 everywhere)")
        add("--source-column", default="", metavar="NAME", help="who or what says so")
        add("--bytes-column", default="", metavar="NAME", help="the image itself, in a Parquet table")
        add("--columns", default="", metavar="NAME,…", help="names of all columns, of text tables without header")
        add("--label-separator", default="", metavar="TEXT", help="parts the labels of a cell that holds several")
        add("--source", default="", metavar="TEXT", help="who says so, where there is no column")
        add("--uri-pattern", default="", metavar="TEXT", help="path of an image, such as train/{id}.jpg")
        add("--people", nargs="+", default=[], metavar="SOURCE", help="sources that are people: 1 is verified present, "
            "0 is verified absent")  # fmt: skip
        add("--min-confidence", type=float, default=0.0, metavar="P", help="reject rows below (default: 0)")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Source:
        if not 0 <= args.min_confidence <= 1:
            raise ConfigError(f"--min-confidence is {args.min_confidence:g}; expected 0 to 1")
        if args.bytes_column and (args.images or args.uri_pattern or args.rows_only):
            raise ConfigError(
                "--bytes-column says where the images are; leave out --images, --uri-pattern, --rows-only"
            )
        if args.uri_pattern and args.uri_pattern.count("{id}") != 1:
            raise ConfigError(f"--uri-pattern is {args.uri_pattern!r}; expected {{id}} in it once")
        if len({storage.name_of(path) for path in args.rows}) < len(args.rows):
            raise ConfigError("--rows has two files of one name, which rejects could not tell apart")
        layout = Layout(
            format=args.table_format,
            image=args.image_column,
            id=args.id_column,
            label=args.label_column,
            confidence=args.confidence_column,
            source_column=args.source_column,
            bytes=args.bytes_column,
            source=args.source,
            uri_pattern=args.uri_pattern,
            people=tuple(args.people),
            min_confidence=args.min_confidence,
            columns=tuple(name.strip() for name in args.columns.split(",")) if args.columns else (),
            separator=args.label_separator,
            ignore_boxes=args.ignore_boxes,
        )
        if not (args.bytes_column or args.image_column or args.images or args.uri_pattern):
            layout = replace(layout, bytes=images_inside(args.rows, layout))
        if args.classes:
            layout = replace(layout, numbers=all(c.key.isdecimal() for c in read_classes(args.classes)))
        # their order decides which of equal rows stays: it must not depend on how they were named (rule R5)
        return cls(tuple(sorted(args.rows)), args.images, args.classes, layout, args.rows_only)

    @property
    def image_root(self) -> str:
        return self.images or posixpath.dirname(self.rows[0]) or "."

    def options(self) -> dict[str, str]:
        chosen = {f"column {name}": str(value) for name, value in asdict(self.layout).items()}
        only = "yes" if self.rows_only else "no"
        return {
            "rows": " ".join(self.rows),
            "images": self.images,
            "classes": self.classes,
            "rows_only": only,
            **chosen,
        }

    def survey(self) -> Survey:
        """Digests, classes and an estimate of the number of images; tables are read once, in the columns that count."""
        files = [digest_file(path) for path in self.rows]
        columns_of = {path: file_columns(path, self.layout) for path in self.rows}
        for path in self.rows:
            if self.layout.bytes:
                if format_of(path, self.layout) != "parquet":
                    raise ConfigError(f"--bytes-column: {path!r} is no Parquet file")
                check_bytes_column(path, self.layout.bytes)
        listed = read_classes(self.classes) if self.classes else ()
        seen = look(self.rows, self.layout, labels=not listed)
        if not seen.rows:
            raise InputError(f"found no row in {', '.join(self.rows)}")
        if self.classes:
            files.append(digest_file(self.classes))
        return Survey(
            images=max(seen.images, 1),
            classes=listed or self._named(seen.labels) or classes_of(seen.labels),
            files=tuple(files),
            notes=(
                "1 row" if seen.rows == 1 else f"{seen.rows} rows",
                *(("rows only: no image is read",) if self.rows_only else ()),
                *zero_notes(seen.zeros, self.people()),
                *label_notes(seen.labels, self.layout.separator),
                *(note for path in self.rows for note in table_notes(path, self.layout)),
            ),
            unused_columns={storage.name_of(path): columns.unused for path, columns in columns_of.items()},
        )

    def _named(self, labels: set[str]) -> tuple[DatasetClass, ...]:
        """The classes of the tables' own metadata, where it is the same in all and names all labels."""
        found = {table_names(path, self.layout) for path in self.rows}
        names = found.pop() if len(found) == 1 else ()
        return () if labels.difference(names) else tuple(DatasetClass(n, at, n) for at, n in enumerate(names, start=1))

    def image_ids(self) -> Iterable[str]:
        return image_ids(self.rows, self.layout)

    def pieces(self) -> Sequence[str]:
        """`FILE-NUMBER PIECE`."""
        return [
            f"{number} {piece}" for number, path in enumerate(self.rows) for piece in table_pieces(path, self.layout)
        ]

    def read(self, piece: str = "") -> Iterator[Row]:
        """Rows by image; of one piece a part at a time, in which an image may stand again. `unpack` puts the parts
        together, and finds the duplicates."""
        everything = Packing(1, 0)
        if piece:
            for _, payload in self.pack(0, piece, everything):
                yield from self.unpack([payload])
            return
        yield from self.unpack(payload for name in self.pieces() for _, payload in self.pack(0, name, everything))

    def pack(self, number: int, piece: str, packing: Packing) -> Iterator[tuple[int, bytes]]:
        """Blocks of many rows."""
        yield from self.pack_groups(piece, packing, packing.shards)

    def pack_groups(self, piece: str, packing: Packing, groups: int) -> Iterator[tuple[int, bytes]]:
        """Blocks for groups of shards."""
        file, _, part = piece.partition(" ")
        for batch in table_batches(self.rows[int(file)], part, self.layout):
            yield from deal(batch, int(file), packing, groups)

    def unpack(self, payloads: Iterable[bytes]) -> Iterator[Row]:
        rows = collect(payloads)
        if rows.num_rows:
            people = self.people()
            yield from image_rows(decide(rows, 1, people), self.told(), people)

    def people(self) -> tuple[str, ...]:
        """Sources that are people, in any of the tables."""
        found = [name for path in self.rows for name in file_columns(path, self.layout).people]
        return tuple(dict.fromkeys(found))

    def told(self) -> Told:
        """How rejects name the tables, and where their images are."""
        return Told(
            names=[storage.name_of(path) for path in self.rows],
            units=["row" if format_of(path, self.layout) == "parquet" else "line" for path in self.rows],
            min_confidence=self.layout.min_confidence,
            image_files=[self._below_root(path) for path in self.rows],
            bytes_column=self.layout.bytes,
        )

    def _below_root(self, path: str) -> str:
        """A table as `uri` names it."""
        if posixpath.dirname(path) == posixpath.dirname(self.rows[0]):
            return posixpath.basename(path)
        return path if storage.is_remote(path) else os.path.abspath(path)

    def wants_pixels(self) -> bool:
        return not self.rows_only
