"""`wordtree stats` on the command line: text, JSON, a page; mistakes are told before the work."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import fsspec
import pytest

from pipelines.cli_stats import add_stats
from schemas.errors import ConfigError, InputError, OutputError
from tests.pipelines.statistics.test_statistics_oracle import class_entries, random_rows, slow_statistics, write_rows


def run(*words):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_stats(parser.add_subparsers(dest="command"))
    args = parser.parse_args(["stats", *map(str, words)])
    args.beam_args = []
    return args.run(args)


@pytest.fixture
def dataset(tmp_path):
    return write_rows(tmp_path / "train", *random_rows(1, 40), classes=class_entries(9))


def test_text_is_for_people(dataset, capsys):
    assert run(dataset) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"train  (test, {dataset})\n  images    40 with ")
    assert "data card" not in out


def test_json_is_one_line_on_stdout_and_the_text_goes_to_stderr(dataset, capsys):
    assert run(dataset, "--json") == 0
    printed = capsys.readouterr()
    (found,) = json.loads(printed.out)["datasets"]
    slow = slow_statistics(*random_rows(1, 40))
    assert {int(key): row for key, row in found["annotations"]["classes"].items()} == slow["classes"]
    assert found["tail"]["classes"] == 9
    assert "images    40" in printed.err
    assert printed.out.count("\n") == 1


def test_a_page_is_written_once_and_not_over_another(dataset, tmp_path, capsys):
    page = tmp_path / "new" / "card.html"
    assert run(dataset, "--out", page, "--no-pictures", "--title", "a <title>") == 0
    text = page.read_text()
    assert "a &lt;title&gt;" in text
    assert f"the data card is {page}" in capsys.readouterr().out
    assert run(dataset, "--out", page, "--no-pictures", "--title", "a <title>") == 0  # the same content
    with pytest.raises(OutputError, match="exists with another content"):
        run(dataset, "--out", page, "--no-pictures")
    assert page.read_text() == text
    assert run(dataset, "--out", page, "--no-pictures", "--force") == 0
    assert page.read_text() != text
    assert [path.name for path in page.parent.iterdir()] == ["card.html"]


@pytest.mark.parametrize("other", ["a title", "another dataset", "no card"])
def test_another_page_is_refused_before_the_counting(dataset, tmp_path, monkeypatch, other):
    page = tmp_path / "card.html"
    assert run(dataset, "--out", page) == 0
    monkeypatch.setattr("pipelines.statistics.job.count", lambda *_, **__: pytest.fail("it counted"))
    words = [dataset, "--out", page, *(["--title", "x"] if other == "a title" else [])]
    if other == "another dataset":
        manifest = Path(dataset) / "manifest.json"
        manifest.write_text(manifest.read_text() + " ")
    if other == "no card":
        page.write_text("my own notes")
    with pytest.raises(OutputError, match="exists with another content"):
        run(*words)


@pytest.mark.parametrize(
    ("words", "error", "told"),
    [
        (["{0}", "{0}/"], ConfigError, "given twice"),
        (["{0}", "--workers", "0"], ConfigError, "--workers is 0"),
        (["{0}", "--out", "{0}"], ConfigError, "expected the name of an HTML file"),
        (["{0}", "--out", "card"], ConfigError, "expected the name of an HTML file"),
        (["{0}x"], InputError, "no dataset directory"),
        (["{0}", "--tree", "{0}/tree.json"], InputError, "no such file"),
    ],
)
def test_mistakes_are_told_before_the_work(dataset, monkeypatch, words, error, told):
    monkeypatch.setattr("pipelines.statistics.job.count", lambda *_, **__: pytest.fail("the work was begun"))
    with pytest.raises(error, match=told):
        run(*(word.format(dataset) for word in words))


def test_datasets_and_pages_on_other_file_systems(dataset, capsys):
    fs = fsspec.filesystem("memory")
    for path in dataset.iterdir():
        fs.pipe_file(f"/stats/train/{path.name}", path.read_bytes())
    assert run("memory://stats/train", "--out", "memory://stats/card.html") == 0
    assert b"<!doctype html>" in fs.cat_file("/stats/card.html")
    assert "images    40" in capsys.readouterr().out
