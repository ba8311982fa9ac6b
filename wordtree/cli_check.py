"""`wordtree tree check`: read a tree, check it, print facts and what to look at."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordtree.cli_parts import add_parser, add_tree_argument, not_negative

if TYPE_CHECKING:
    from wordtree.tree import WordTree


def add_check(commands: Any) -> None:
    """Add `wordtree tree check`."""
    check = add_parser(
        commands, "check", "read a tree, check it and print facts", "  wordtree tree check 9k.tree", run=run_check
    )
    add_tree_argument(check)
    check.add_argument(
        "--most", type=not_negative, default=2, metavar="N", help="examples of each kind of finding (default 2)"
    )
    check.add_argument("--verbose", action="store_true", help="tell every warning in words")
    check.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run_check(args: argparse.Namespace) -> int:
    """Read and check a tree; errors go the usual way."""
    from wordtree.files import read_tree, read_tree_directory
    from wordtree.lint import lint, lint_lines

    if Path(args.tree).is_dir():
        inside = read_tree_directory(args.tree)
        tree = inside.tree
        findings = lint(tree, inside.spaces, inside.cut_edges)
        more = {
            "cut_edges": len(inside.cut_edges),
            "spaces": {name: len(labels) for name, labels in inside.spaces.items()},
        }
    else:
        tree, more = read_tree(args.tree), {}
        findings = lint(tree, {})
    facts = tree_facts(tree) | more
    if args.json:
        warnings = [str(finding) for finding in findings if finding.severity == "warning"]
        print(json.dumps(facts | {"warnings": warnings, "notes": len(findings) - len(warnings)}))
        return 0
    for key, value in facts.items():
        text = ", ".join(f"{k} ({v})" for k, v in value.items()) if isinstance(value, dict) else value
        print(f"{key.replace('_', ' '):<10} {text:,}" if isinstance(text, int) else f"{key:<10} {text}")
    for line in lint_lines(findings, examples=args.most, verbose=args.verbose):
        print(line)
    return 0


def tree_facts(tree: WordTree) -> dict[str, Any]:
    """Numbers about a tree, for people and for --json."""
    return {
        "nodes": len(tree),
        "roots": len(tree.roots()),
        "leaves": int(tree.is_leaf.sum()),
        "groups": tree.num_groups,
        "widest": int(tree.group_size.max()),
        "depth": tree.max_depth,
        "digest": tree.digest(),
    }
