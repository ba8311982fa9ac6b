"""`wordtree tree build | check | expand | find | map | show | export`: label hierarchies on the command line."""

from __future__ import annotations

from typing import Any

from wordtree.cli_build import add_build
from wordtree.cli_check import add_check
from wordtree.cli_expand import add_expand
from wordtree.cli_find import add_find
from wordtree.cli_map import add_map
from wordtree.cli_parts import add_parser
from wordtree.cli_show import add_export, add_show


def add_tree(subparsers: Any) -> None:
    """Add the subcommand `tree` to the command line."""
    parser = add_parser(
        subparsers,
        "tree",
        "build, show and check label hierarchies",
        "  wordtree tree build --labels coco voc --out tree\n  wordtree tree show tree --root sandwich\n"
        "  wordtree tree find crane",
    )
    commands = parser.add_subparsers(dest="tree_command", metavar="COMMAND", required=True)

    add_build(commands)
    add_check(commands)
    add_expand(commands)
    add_find(commands)
    add_map(commands)
    add_show(commands)
    add_export(commands)
