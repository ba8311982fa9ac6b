"""A format from outside: one file with a class `Source` beside the others, and the whole of `convert` serves it."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pipelines.sources
from pipelines.sources.base import source_names
from tests.pipelines import conftest

TOY = Path(__file__).parent / "toy_format.py"


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The toy among the formats; a table of three lines, one of which is cut."""
    folder = tmp_path / "formats"
    folder.mkdir()
    shutil.copy(TOY, folder / "toy.py")
    monkeypatch.setattr(pipelines.sources, "__path__", [*pipelines.sources.__path__, str(folder)])
    importlib.invalidate_caches()
    (tmp_path / "a.jpg").write_bytes(conftest.jpeg(seed=1))
    (tmp_path / "b.jpg").write_bytes(conftest.jpeg(seed=2))
    path = tmp_path / "boxes.csv"
    path.write_text("a.jpg,disc,2,0,6,3\nb.jpg,square,0,3,8,6\nc.jpg,disc\n")
    yield path
    sys.modules.pop("pipelines.sources.toy", None)
    vars(pipelines.sources).pop("toy", None)


def test_one_file_adds_a_format(table: Path, convert: Callable[..., Any]) -> None:
    assert "toy" in source_names()
    run = convert("toy", "--table", table)
    assert run.code == 0
    boxes = {name: [(box.label, box.box) for box in record.boxes] for name, record in run.records.items()}
    assert boxes == {"a.jpg": [("disc", (0, 0.25, 0.5, 0.75))], "b.jpg": [("square", (0.5, 0, 1, 1))]}
    assert {name: record.encoded for name, record in run.records.items()} == {
        name: (table.parent / name).read_bytes() for name in ("a.jpg", "b.jpg")
    }
    assert [(entry["record"], entry["reason"], entry["where"]) for entry in run.rejects] == [
        ("c.jpg", "image:not_six_cells", "boxes.csv, line 3")
    ]
    assert (run.counts["images_in"], run.counts["images_written"]) == (3, 2)


def test_a_second_command_leaves_it_alone(
    table: Path, convert: Callable[..., Any], digests: Callable[..., Any]
) -> None:
    first = digests(convert("toy", "--table", table).out)
    assert digests(convert("toy", "--table", table).out) == first


def test_the_plan_says_what_would_be_written(table: Path, convert: Callable[..., Any]) -> None:
    run = convert("toy", "--table", table, "--dry-run")
    assert run.code == 0
    assert not run.out.exists()
    assert str(table) in run.stdout
