"""What the tests of the hierarchy share: the nouns, reference data where it is present, and two small trees."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from wordtree.tree import WordTree
from wordtree.wordnet import WordNet, load_wordnet

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def nouns() -> WordNet:
    return load_wordnet()


@pytest.fixture(scope="session")
def shared() -> Path:
    """A folder beside the repository with public reference data."""
    place = REPOSITORY.parent / "shared"
    if not place.is_dir():
        pytest.skip("reference data (folder `shared` beside the repository) is not here")
    return place


@pytest.fixture(scope="session")
def wordnet_dir() -> Path:
    """WordNet 3.0 as the Debian packages wordnet-base and wordnet-sense-index install it."""
    place = Path(os.environ.get("WORDNET_DIR", "/usr/share/wordnet"))
    if not (place / "data.noun").is_file():
        pytest.skip(f"no data.noun in {place}: install wordnet-base, or set WORDNET_DIR")
    return place


@pytest.fixture
def nltk_data(wordnet_dir, tmp_path, monkeypatch):
    """NLTK's layout, from the Debian packages; its reader wants a file `lexnames` (man page lexnames(5WN))."""
    data = pytest.importorskip("nltk.data")
    corpus = tmp_path / "corpora" / "wordnet"
    corpus.mkdir(parents=True)
    for file in wordnet_dir.iterdir():
        shutil.copyfile(file, corpus / file.name)
    kinds = ["3", "3", "4", *["1"] * 26, *["2"] * 15, "3"]
    (corpus / "lexnames").write_text("".join(f"{i:02d}\tlex.{i}\t{kind}\n" for i, kind in enumerate(kinds)))
    monkeypatch.setattr(data, "path", [str(tmp_path)])
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    return corpus


@pytest.fixture
def pets() -> WordTree:
    """animal(0) thing(1) | dog(2) cat(3) bird(4) | terrier(5) hound(6) | chair(7)"""
    return WordTree(
        ["n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8"],
        [-1, -1, 0, 0, 0, 2, 2, 1],
        ["animal", "thing", "dog", "cat", "bird", "terrier", "hound", "chair"],
    )
