"""No module of these packages needs itself through others: imports inside functions count."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def needed(path: Path, modules: dict[str, Path]) -> set[str]:
    """The modules that one imports anywhere in its text."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in modules else node.module for name in inner}
    return {name for name in found if modules.get(name, path) != path}


def test_no_module_needs_itself_through_others():
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in ("schemas", "wordtree", "pipelines", "detector")
        for path in (ROOT / package).rglob("*.py")
    }
    graph = {name: needed(path, modules) for name, path in modules.items()}
    assert graph["detector.config"] >= {"detector.limits", "detector.pipeline_config.reading"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None
