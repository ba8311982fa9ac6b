"""The tables of docs/architecture.md, from the docstrings of packages and modules.

python scripts/make_map.py                      write the page's tables anew
python scripts/make_map.py detector/two_stage   print what each module of a folder is for
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
LAYERS = ("schemas", "wordtree", "pipelines", "detector")
BEGIN, END = "<!-- tables: python scripts/make_map.py -->\n", "<!-- end of tables -->\n"


def idea(module: Path) -> str:
    """The first sentence of a module's docstring, in one line without its full stop."""
    paragraph = (ast.get_docstring(ast.parse(module.read_text())) or "").split("\n\n")[0]
    return " ".join(paragraph.split()).split(". ")[0].removesuffix(".")


def modules_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]


def tables() -> str:
    """A table for each layer: a row for each of its packages, with all of its modules by name."""
    lines: list[str] = []
    for layer in LAYERS:
        lines += [
            f"## {layer}/: {idea(ROOT / layer / '__init__.py')}",
            "",
            "| package | idea | modules |",
            "|---|---|---|",
        ]
        for init in sorted((ROOT / layer).rglob("__init__.py"), key=lambda path: path.parent.parts):
            folder = init.parent
            names = ", ".join(f"`{path.stem}`" for path in modules_of(folder))
            what = "the layer's own floor" if folder.name == layer else idea(init).replace("|", "\\|")
            lines.append(f"| `{folder.relative_to(ROOT)}/` | {what} | {names} |")
        lines.append("")
    return "\n".join(lines)


def with_tables(page: str) -> str:
    """The page with its tables as they should be."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n" + tables() + "\n" + END + rest.split(END)[1]


def main(folders: list[str]) -> None:
    if not folders:
        PAGE.write_text(with_tables(PAGE.read_text()))
    for folder in folders:
        for path in modules_of(ROOT / folder):
            print(f"{path.relative_to(ROOT)}: {idea(path)}")


if __name__ == "__main__":
    main(sys.argv[1:])
