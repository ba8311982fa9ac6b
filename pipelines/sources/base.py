"""What a dataset format must offer, and how formats are found.

A format is one module in this package with a class `Source`: a frozen dataclass of paths and options with pure
methods. The command line, the plan and the workers know only what is declared here.

To add a format: write `pipelines/sources/NAME.py` with `Source`, and a test table in `tests/pipelines/`.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import pipelines.sources
from pipelines.rows import Row
from schemas.errors import ConfigError
from schemas.manifest import SourceFile


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
        image_ids: the distinct images that the annotations name.
        classes: in the order of their ids.
        files: annotation files, with sizes and digests; a folder of small files is one entry.
        notes: what else the plan should tell people.
    """

    image_ids: Sequence[str]
    classes: tuple[DatasetClass, ...]
    files: tuple[SourceFile, ...]
    notes: tuple[str, ...] = ()


class DatasetSource(Protocol):
    """A dataset on disk. Frozen, picklable, hashable; two equal sources read the same rows in the same order."""

    name: ClassVar[str]
    help: ClassVar[str]
    example: ClassVar[str]
    default_labels: ClassVar[str]
    has_boxes: ClassVar[bool]

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the format's own options."""

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> DatasetSource:
        """The source that the parsed options name.

        Raises:
            ConfigError: if the options contradict each other.
        """
        ...

    @property
    def image_root(self) -> str:
        """The folder that row uris are relative to."""
        ...

    def options(self) -> dict[str, str]:
        """The options that decide the contents, for the manifest."""
        ...

    def survey(self) -> Survey:
        """Look at the annotations.

        Raises:
            InputError: if a file or folder is missing or empty.
            FormatError: if a file does not follow its format.
        """
        ...

    def read(self) -> Iterator[Row]:
        """All images, and what had to be rejected, in an order that depends on the files alone.

        Law: every image and annotation of the files is in exactly one row.
        """
        ...


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
