"""The package as others get it: one sdist with four packages, installed where nothing else is."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"schemas", "wordtree", "pipelines", "detector"}


@pytest.fixture(scope="session")
def sdist(tmp_path_factory):
    """Built as Beam's --setup_file builds it: from a copy, since building leaves files behind."""
    out = tmp_path_factory.mktemp("sdist")
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    copy = tmp_path_factory.mktemp("copy")
    for name in names.stdout.splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", str(out)]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    (path,) = out.glob("*.tar.gz")
    return path


def test_sdist_holds_the_four_packages_and_their_data_and_no_tests(sdist):
    with tarfile.open(sdist) as archive:
        names = [name.split("/", 1)[1] for name in archive.getnames() if "/" in name]
    (top_level,) = [name for name in names if name.endswith("top_level.txt")]
    with tarfile.open(sdist) as archive:
        member = archive.extractfile(f"{archive.getnames()[0].split('/')[0]}/{top_level}")
        assert member is not None
        assert set(member.read().decode().split()) == PACKAGES
    for package in PACKAGES:
        assert f"{package}/py.typed" in names
    assert "wordtree/data/WORDNET-LICENSE" in names
    assert any(name.startswith("wordtree/data/wordnet-3.0-nouns") for name in names)
    assert "wordtree/data/labels/coco.tsv" in names
    assert "wordtree/show_page/page.html" in names
    assert "detector/demo/run.py" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "docs/", "examples/"))]


def test_setup_py_imports_setuptools_alone():
    lines = (ROOT / "setup.py").read_text().splitlines()
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    assert imports == ["from setuptools import find_packages, setup"]


@pytest.mark.slow
def test_sdist_installs_into_an_empty_environment_and_the_command_runs(sdist, tmp_path):
    probe = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(tmp_path / "probe"), "msgspec"],
        capture_output=True,
        text=True,
    )
    if probe.returncode:
        pytest.skip("no package index can be reached, so the dependencies cannot be installed")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    python = tmp_path / "env/bin/python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", str(sdist)], check=True, cwd=tmp_path)
    help_text = subprocess.run(
        [str(tmp_path / "env/bin/wordtree"), "--help"], check=True, capture_output=True, text=True, cwd=tmp_path
    ).stdout
    for command in ("demo", "tree", "convert", "train", "evaluate", "detect"):
        assert f"\n    {command} " in help_text
    (tmp_path / "wnids.txt").write_text("n02084071\nn02121620\n")
    built = subprocess.run(
        [str(tmp_path / "env/bin/wordtree"), "tree", "build", "--labels", "imagenet:wnids.txt", "--out", "tree"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "n02084071" in built.stdout
    asked = subprocess.run(
        [str(tmp_path / "env/bin/wordtree"), "train", "tiny64", "--data", "d", "--tree", "tree", "--out", "run"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert asked.returncode == 2  # no TensorFlow there: said in one line
    assert "pip install 'wordtree[train]'" in asked.stderr
