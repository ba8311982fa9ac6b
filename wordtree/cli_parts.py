"""What the commands of `wordtree tree` share: a parser with an example, TREE, SPEC, numbers, output for programs."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from typing import Any

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


def not_negative(text: str) -> int:
    """The type of an option that takes 0, 1, 2, ..."""
    if not text.isdecimal() or len(text) > 9:
        found = text if len(text) <= 20 else text[:20] + "…"
        raise argparse.ArgumentTypeError(f"found {found!r}; expected a whole number, 0 or more")
    return int(text)


def data_out(text: str) -> None:
    """Print what another program will read: in UTF-8, whatever the terminal speaks."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(text)
