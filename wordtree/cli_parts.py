"""What the commands of `wordtree tree` share: a parser with an example, TREE, NODE, SPEC."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from schemas.errors import LabelError
from wordtree.text_files import read_columns

__all__ = ["SPEC_HELP", "add_parser", "add_tree_argument", "find_node", "read_columns"]

SPEC_HELP = """\
a label space is one of
  coco, voc         shipped and reviewed (80 and 20 classes); also coco91, openimages (601 classes with boxes)
  det200, ilsvrc1000, imagenet21k     the wnids of ImageNet's tasks, and all of them
  imagenet:FILE     the wnids listed in FILE, one a line
  FILE              a TSV or CSV table with a column label (or name, category_name, class) and a column wnid
  NAME=FILE         the same under another name
"""


def add_parser(
    subparsers: Any,
    name: str,
    about: str,
    example: str,
    *,
    run: Callable[[argparse.Namespace], int] | None = None,
) -> argparse.ArgumentParser:
    """A subcommand whose help ends with examples, and whose options are not guessed from their beginning."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        epilog="example:\n" + example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if run is not None:
        parser.set_defaults(run=run)
    return parser


def add_tree_argument(parser: argparse.ArgumentParser) -> None:
    """The tree that a command reads."""
    parser.add_argument("tree", metavar="TREE", help="a tree directory, or a .tree, .json or .pbtxt file")


def find_node(tree: Any, word: str) -> int:
    """The node that a person means: a name, a node's number, or a display name that occurs once.

    Raises:
        LabelError: there is none, or several.
    """
    if word in tree:
        return tree.index(word)
    if word.isdecimal() and int(word) < len(tree):
        return int(word)
    nodes = [node for node, shown in enumerate(tree.display_names) if shown.casefold() == word.casefold()]
    if len(nodes) == 1:
        return nodes[0]
    if nodes:
        told = ", ".join(f"{tree.names[node]} ({tree.describe_path(node)})" for node in nodes[:5])
        raise LabelError(f"{word!r} is the word of {len(nodes)} nodes; expected one of {told}")
    return tree.index(word)
