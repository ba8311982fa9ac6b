"""The house: layers, homes of third parties, and documents that name what is there."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("schemas", "wordtree", "pipelines", "detector")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_layers_and_homes_of_third_parties():
    done = subprocess.run([str(Path(sys.executable).parent / "lint-imports")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("schemas.tfexample, schemas.arrow, schemas.manifest", {"apache_beam", "tensorflow", "keras", "nltk"}),
        (
            "wordtree.tree, wordtree.build, wordtree.mapping, wordtree.files",
            {"apache_beam", "tensorflow", "keras", "nltk"},
        ),
        ("pipelines.convert, pipelines.writing, pipelines.worker", {"tensorflow", "keras", "pycocotools"}),
        ("wordtree.cli, pipelines.cli, detector.cli_train", {"apache_beam", "tensorflow", "keras", "pycocotools"}),
    ],
)
def test_a_fresh_interpreter_loads_no_third_party_that_lives_elsewhere(package, forbidden):
    program = f"import sys; import {package}; print(*{{name.split('.')[0] for name in sys.modules}})"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not forbidden & set(found.stdout.split())


def test_every_module_says_what_it_is_for_and_stays_short():
    for path in MODULES:
        text = path.read_text()
        assert not text or ast.get_docstring(ast.parse(text)), f"{path.relative_to(ROOT)} has no docstring"
        assert "\n# pyright:" not in text, f"{path.relative_to(ROOT)} has a header for the type checker"
        assert text.count("\n") <= 400, f"{path.relative_to(ROOT)} holds more than one idea"
        assert path.name not in ("utils.py", "common.py", "helpers.py")


def test_the_tables_of_the_architecture_page_are_made_of_the_docstrings():
    page = (ROOT / "docs/architecture.md").read_text()
    make_map = runpy.run_path(str(ROOT / "scripts/make_map.py"))
    assert page == make_map["with_tables"](page), "run: python scripts/make_map.py"
    assert page.count("\n") <= 120, "the map is one page"
    missing = [str(path.relative_to(ROOT)) for path in MODULES if f"`{path.stem}`" not in page]
    assert not [name for name in missing if not name.endswith("__init__.py")]


def test_contributing_names_tests_that_are_there():
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", (ROOT / "CONTRIBUTING.md").read_text()))
    assert len(named) >= 3
    missing = [name for name in named if "NAME" not in name and not (ROOT / name).exists()]
    assert not missing, f"CONTRIBUTING.md names {missing}"
