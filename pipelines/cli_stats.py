"""`wordtree stats`: count what datasets hold, and show it as text, as JSON and as a data card of one HTML file.

Beam is imported only when there is work to do.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from typing import Any

from pipelines.files import storage
from schemas.errors import ConfigError, OutputError
from schemas.manifest import MANIFEST_NAME

EXAMPLE = """\
examples:
  wordtree stats coco-train
  wordtree stats coco-train coco-val --tree tree --out card.html

What stands after `--` goes to Apache Beam. A runner elsewhere needs a folder that its workers can write to:
  wordtree stats gs://bucket/train --work gs://bucket/tmp --out card.html -- --runner=DataflowRunner --project=...
"""


def add_stats(subparsers: Any) -> None:
    """Add `stats` to the command line."""
    parser = subparsers.add_parser(
        "stats",
        help="what datasets hold: counts, long tail, boxes, rejects, duplicates, leaks",
        description="Count what datasets hold and show it: text, JSON, or a data card in one HTML file.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("datasets", nargs="+", metavar="DATASET", help="dataset directory of `wordtree convert`")
    parser.add_argument("--out", default="", metavar="FILE.html", help="the data card to write")
    parser.add_argument("--tree", default="", metavar="TREE", help="count over this tree (default: the datasets' own)")
    parser.add_argument("--title", default="", metavar="WORDS", help="heading of the card (default: the datasets)")
    parser.add_argument("--no-pictures", action="store_true", help="a card without example pictures")
    parser.add_argument("--force", action="store_true", help="replace --out if it exists with another content")
    running = parser.add_argument_group("running")
    running.add_argument("--workers", type=int, default=1, metavar="N", help="processes on this machine (default: 1)")
    running.add_argument("--work", default="", metavar="FOLDER", help="for results (default: one on this machine)")
    running.add_argument("--json", action="store_true", help="every figure as one line of JSON on stdout")
    parser.set_defaults(run=run_stats, takes_beam_args=True, writes="out", writes_a_file=True)


def run_stats(args: argparse.Namespace) -> int:
    """Count, and tell it."""
    if args.workers < 1:
        raise ConfigError(f"--workers is {args.workers}; expected 1 or more")
    paths = [path.rstrip("/") or path for path in args.datasets]
    repeated = sorted({path for path in paths if paths.count(path) > 1})
    if repeated:
        raise ConfigError(f"{repeated[0]!r} is given twice; every image of it would be a leak")
    check_out(args.out, paths)
    from schemas.table_checks import open_checked

    files = [open_checked(path, every_column=False) for path in paths]
    from pipelines.data_card.card import card_json, find_tree, make_card

    tree, note = find_tree(files, args.tree)  # a mistake there is told before the work
    told = [args.title, args.no_pictures, note, tree.digest() if tree else "", paths, [*map(_digest, paths)]]
    made_of = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    if args.out and not args.force:
        refuse_another(args.out, made_of)
    from pipelines.cli import _quiet_beam

    _quiet_beam()
    from pipelines.statistics.job import count

    statistics = count(files, beam_args=args.beam_args, workers=args.workers, work=args.work)
    card = make_card(files, statistics, tree_path=args.tree, pictures=bool(args.out) and not args.no_pictures)
    talk = sys.stderr if args.json else sys.stdout
    from pipelines.data_card.text import text_lines

    print("\n".join(text_lines(card)), file=talk)
    if args.out:
        from pipelines.data_card.page import page

        write_page(args.out, page(card, args.title, made_of), force=args.force)
        print(f"\nthe data card is {args.out}", file=talk)
    if args.json:
        print(json.dumps(card_json(card), ensure_ascii=False))
    return 0


def check_out(out: str, datasets: list[str]) -> None:
    """Refuse what can be no card before the work.

    Raises:
        ConfigError: if `out` is a dataset, or has another ending.
    """
    if not out:
        return
    if out.rstrip("/") in datasets or not out.endswith((".html", ".htm")):
        raise ConfigError(f"--out is {out!r}; expected the name of an HTML file, such as card.html")


def refuse_another(out: str, made_of: str) -> None:
    """Refuse a card of something else before the work.

    Raises:
        OutputError: if `out` exists and does not say that it was made of this.
    """
    from pipelines.data_card.page import is_of

    if storage.size_of(out) >= 0 and not is_of(storage.read_bytes(out), made_of):
        raise _another(out)


def _another(out: str) -> OutputError:
    return OutputError(f"{out!r} exists with another content; choose another --out or replace it with --force")


def _digest(dataset: str) -> str:
    return hashlib.sha256(storage.read_bytes(storage.join(dataset, MANIFEST_NAME))).hexdigest()


def write_page(out: str, text: str, *, force: bool) -> None:
    """Write the card, whole or not at all.

    Raises:
        OutputError: if it exists with another content and `force` is not given, or cannot be written.
    """
    folder = out.rpartition("/")[0] or "."
    data = text.encode()
    try:
        if storage.size_of(out) >= 0:
            if storage.read_bytes(out) == data:
                return
            if not force:
                raise _another(out)
        storage.make_folder(folder)
        storage.write_bytes(out, data, folder)
    except OSError as error:
        raise OutputError(f"cannot write to {out!r}: {error.strerror or error}") from error
