"""What a dataset format must offer, and how formats are found.

A format is one module in this package with a class `Source`: a frozen dataclass of paths and options with pure
methods. The command line, the plan and the workers know only what is declared here.

To add a format: write `pipelines/sources/NAME.py` with `Source`, and a test table in `tests/pipelines/NAME/`.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import pipelines.sources
from pipelines.rows import Row, decode_row, encode_row, shard_of
from schemas.errors import ConfigError
from schemas.manifest import SourceFile

PIECE_SHIFT = 40  # a row's place: the number of its piece, then its number there


@dataclass(frozen=True, slots=True)
class Packing:
    """How rows are dealt out: `limit_key` leaves out rows with a greater sort key, b"" leaves out none."""

    shards: int
    seed: int
    limit_key: bytes = b""

    def takes(self, key: bytes) -> bool:
        """Whether a row with this sort key, or an element that begins with it, is within the limit."""
        return not self.limit_key or key[: len(self.limit_key)] <= self.limit_key


@dataclass(frozen=True, slots=True)
class DatasetClass:
    """One class as the dataset declares it.

    Attributes:
        key: what rows call it; unique in the dataset even where names repeat.
        id: 1-based number for labels.pbtxt and the records.
        label: the dataset's own string.
    """

    key: str
    id: int
    label: str


@dataclass(frozen=True, slots=True)
class Survey:
    """A first look at the dataset, without pixels: what the plan needs.

    Attributes:
        images: how many images there are. With `image_ids` it is exact, without it may be an estimate.
        classes: in the order of their ids.
        files: annotation files, with sizes and digests; a folder of small files is one entry.
        image_ids: the distinct images that the annotations name; None where they are too many to hold.
        notes: what else the plan should tell people.
        head: a JSON object that describes the dataset (COCO: info, licenses, categories), kept beside the shards as
            source.json; b"" for none.
        unused_columns: of each table, by its name, the columns that nothing is taken from.
    """

    images: int
    classes: tuple[DatasetClass, ...]
    files: tuple[SourceFile, ...]
    image_ids: Collection[str] | None = None
    notes: tuple[str, ...] = ()
    head: bytes = b""
    unused_columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


class DatasetSource(ABC):
    """A dataset on disk: a frozen, picklable, hashable dataclass. Two equal sources read the same rows in one order.

    Attributes:
        name, help, example: for the command line.
        default_labels: the label map that is used without --labels.
        has_boxes: whether the format can state boxes.
        free_uris: whether rows may name any path or URL, not only files below `image_root`.
        relative_boxes: whether boxes are relative to the image, in [0, 1], and not in pixels.
        paths: which of `options` are paths.
    """

    __slots__ = ()
    name: ClassVar[str]
    help: ClassVar[str]
    example: ClassVar[str]
    default_labels: ClassVar[str]
    has_boxes: ClassVar[bool]
    free_uris: ClassVar[bool] = False
    relative_boxes: ClassVar[bool] = False
    paths: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    @abstractmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the format's own options."""

    @classmethod
    @abstractmethod
    def from_args(cls, args: argparse.Namespace) -> DatasetSource:
        """The source that the parsed options name.

        Raises:
            ConfigError: if the options contradict each other.
        """

    @property
    @abstractmethod
    def image_root(self) -> str:
        """The folder that row uris are relative to."""

    @property
    def asset_root(self) -> str:
        """The folder that masks and segmentation maps are relative to."""
        return self.image_root

    @property
    def stated_corners(self) -> tuple[float, float]:
        """What the files' numbers are more than those of rows: of the low sides, and of the high sides of boxes."""
        return 0, 0

    @abstractmethod
    def options(self) -> dict[str, str]:
        """The options that decide the contents, for the manifest."""

    @abstractmethod
    def survey(self) -> Survey:
        """Look at the annotations.

        Raises:
            InputError: if a file or folder is missing or empty.
            FormatError: if a file does not follow its format.
        """

    def image_ids(self) -> Iterable[str]:
        """The images, each at least once; asked for only where the survey does not hold them and --limit is given."""
        return self.survey().image_ids or ()

    def pieces(self) -> Sequence[str]:
        """Names of the pieces that can be read apart from each other, by several workers; rows of an image may come
        from several pieces."""
        return ("",)

    @abstractmethod
    def read(self, piece: str = "") -> Iterator[Row]:
        """All images of a piece, and what had to be rejected, in an order that depends on the files alone.

        Law: over all pieces, every image and annotation of the files is in exactly one row.
        """

    def pack(self, number: int, piece: str, packing: Packing) -> Iterator[tuple[int, bytes]]:
        """The rows of a piece as (shard, payload); `unpack` gives the rows of a shard's payloads back.

        Formats whose rows are tiny override both, to put many rows into a payload.
        """
        for place, row in enumerate(self.read(piece), start=number << PIECE_SHIFT):
            element = encode_row(row, packing.seed, place)
            if packing.takes(element):
                yield shard_of(element, packing.shards), element

    def wants_pixels(self) -> bool:
        """Whether images are read at all; if not, `pipelines.label_rows.job` does the work."""
        return True

    def unpack(self, payloads: Iterable[bytes]) -> Iterator[Row]:
        """The rows of one shard in the order in which they are written: by image, then by place."""
        return map(decode_row, sorted(payloads))


def source_names() -> list[str]:
    """The formats that are there, in alphabetical order."""
    return sorted(m.name for m in pkgutil.iter_modules(pipelines.sources.__path__) if m.name != "base")


def load_source(name: str) -> type[DatasetSource]:
    """The `Source` class of a format.

    Raises:
        ConfigError: if there is no such format.
    """
    if name not in source_names():
        raise ConfigError(f"no dataset format {name!r}; there are {', '.join(source_names())}")
    return importlib.import_module(f"pipelines.sources.{name}").Source
