"""The one command: `wordtree SUBCOMMAND`.

Subcommands live in their own package's `cli.py` and are declared as entry points of the group `wordtree.commands`;
each entry point is a function `add(subparsers)` that adds its parser and sets `run=` to a function
`run(args: argparse.Namespace) -> int`. So no package imports another across the layers, and `wordtree --help` needs
neither Beam nor TensorFlow.

What stands after `--` is left for Apache Beam, in `args.beam_args`. Left of it parsing is strict. Errors of the type
`schemas.errors.WordTreeError` print one line and exit with 2; anything else is a bug and shows its traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points

from schemas.errors import WordTreeError

ORDER = ("demo", "tree", "convert", "stats", "inspect", "anchors", "mix", "train", "evaluate", "detect", "report")

EPILOG = """\
a first run:
  wordtree demo                          everything below, on data made on the spot
step by step:
  wordtree tree build --labels coco imagenet:wnids.txt --out tree
  wordtree convert coco --annotations instances.json --images train2017 --tree tree coco-train
  wordtree convert imagenet --images train --tree tree imagenet-train
  wordtree anchors coco-train
  wordtree train tiny64 --data coco-train imagenet-train --tree tree --out run
  wordtree evaluate run coco-val
  wordtree detect run photos/*.jpg
"""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line, from the entry points that are installed."""
    parser = argparse.ArgumentParser(
        prog="wordtree",
        description="Train detectors on boxed and merely labelled images over a tree of WordNet concepts.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of expected errors too")
    subparsers = parser.add_subparsers(dest="command", metavar="SUBCOMMAND", required=True)
    commands = {point.name: point for point in entry_points(group="wordtree.commands")}
    for name in sorted(commands, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)):
        commands[name].load()(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    words, beam_args = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    args = build_parser().parse_args(words)
    args.beam_args = beam_args
    try:
        if beam_args and args.command != "convert":
            raise WordTreeError(f"`wordtree {args.command}` takes nothing after `--`; found {' '.join(beam_args)!r}")
        return int(args.run(args))
    except WordTreeError as error:
        if args.debug:
            raise
        print(f"wordtree {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"wordtree {args.command}: interrupted; run the same command again to resume", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
