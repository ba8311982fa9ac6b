"""`wordtree tree expand`: labels and boxes of Open Images spread through a hierarchy."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import ConfigError, OutputError
from wordtree.cli_parts import add_parser

if TYPE_CHECKING:
    from wordtree.expansion import Ancestry
    from wordtree.open_images_rows import Counts

MOST_UNKNOWN = 5

ABOUT = """

The rules are those of the Open Images Challenge. A box counts for every class above its own, a positive label too; a
verified negative label (Confidence 0) holds for every class below. The root of an Open Images hierarchy ("Entity") is
no class. Writes into DIR
  NAME-expanded.csv   for each file, with its own columns
  conflicts.csv       positives (labels or boxes) below a class that is verified to be absent
  summary.json        what happened to the rows
"""


def add_expand(commands: Any) -> None:
    """Add `wordtree tree expand`."""
    expand = add_parser(
        commands,
        "expand",
        "spread boxes and image labels of Open Images through a hierarchy",
        "  wordtree tree expand bbox_labels_600_hierarchy.json --boxes validation-annotations-bbox.csv "
        "--labels validation-annotations-human-imagelabels-boxable.csv --out expanded" + ABOUT,
        run=run_expand,
    )
    expand.add_argument(
        "hierarchy",
        metavar="HIERARCHY",
        help="Open Images' hierarchy as JSON, or a tree whose nodes are the LabelNames",
    )
    expand.add_argument("--boxes", metavar="CSV", help="boxes: ImageID, LabelName, XMin, XMax, YMin, YMax, ...")
    expand.add_argument("--labels", metavar="CSV", help="image labels: ImageID, LabelName, Confidence, ...")
    expand.add_argument("--out", required=True, metavar="DIR", help="the directory to write")
    expand.add_argument(
        "--drop-conflicts",
        action="store_true",
        help="leave out the labels of classes that are both present and absent; the Challenge keeps both",
    )
    expand.add_argument("--force", action="store_true", help="replace a directory written by this command")
    expand.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run_expand(args: argparse.Namespace) -> int:
    """Expand the files into a directory, whole or not at all."""
    from wordtree.open_images_rows import (
        BOX_COLUMNS,
        CONFLICT_COLUMNS,
        LABEL_COLUMNS,
        Counts,
        RowFile,
        expand_box_rows,
        expand_label_rows,
    )

    begin = time.perf_counter()
    if args.boxes is None and args.labels is None:
        raise ConfigError("nothing to expand: give --boxes CSV, --labels CSV or both")
    ancestry = read_ancestry(args.hierarchy)
    box_file = None if args.boxes is None else RowFile(Path(args.boxes), BOX_COLUMNS)
    label_file = None if args.labels is None else RowFile(Path(args.labels), LABEL_COLUMNS)
    files = (("boxes", box_file), ("labels", label_file))
    names = {kind: f"{file.path.stem}-expanded.csv" for kind, file in files if file is not None}
    if len(set(names.values())) < len(names):
        raise ConfigError(f"--boxes and --labels are both called {names['boxes']}; give one another name")
    target = Path(os.path.abspath(args.out))
    _check_target(target, force=args.force)
    fresh = target.with_name(f".{target.name}.new-{os.getpid()}")
    counts: dict[str, Counts] = {kind: Counts() for kind in names}
    conflicts: list[tuple[str, str, str, str]] = []
    boxed: dict[str, tuple[str, ...]] = {}
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir()
        if box_file is not None:
            with (fresh / names["boxes"]).open("w", encoding="utf-8", newline="") as out:
                boxed = expand_box_rows(box_file, ancestry, out, counts["boxes"])
        if label_file is not None:
            with (fresh / names["labels"]).open("w", encoding="utf-8", newline="") as out:
                conflicts = expand_label_rows(
                    label_file, ancestry, out, counts["labels"], boxed=boxed, drop_conflicts=args.drop_conflicts
                )
        with (fresh / "conflicts.csv").open("w", encoding="utf-8", newline="") as out:
            csv.writer(out, lineterminator="\n").writerows([CONFLICT_COLUMNS, *conflicts])
        summary: dict[str, Any] = {kind: dataclasses.asdict(found) for kind, found in counts.items()}
        summary["conflicts"] = len(conflicts)
        (fresh / "summary.json").write_text(json.dumps(summary, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        fresh.rename(target)
    except OSError as error:
        raise OutputError(f"{target}: cannot write it ({error.strerror})") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    if args.json:
        print(json.dumps(summary | {"out": args.out, "seconds": round(time.perf_counter() - begin, 3)}))
        return 0
    for kind, found in counts.items():
        print(
            f"{kind:<10} {found.read:,} read, {found.copies:,} copies, {found.merged:,} merged, {found.dropped:,} "
            f"dropped, {found.written:,} written; {found.images:,} images"
        )
        if found.unknown:
            told = ", ".join(list(found.unknown)[:MOST_UNKNOWN])
            more = " …" if len(found.unknown) > MOST_UNKNOWN else ""
            print(
                f"unknown    {sum(found.unknown.values()):,} {kind} of {len(found.unknown):,} classes that are not in "
                f"the hierarchy, copied as they are: {told}{more}"
            )
    pairs = len({(image, positive, negative) for image, positive, _, negative in conflicts})
    print(f"conflicts  {pairs:,} in {len({row[0] for row in conflicts}):,} images, listed in conflicts.csv")
    print(f"\n{args.out}: written")
    return 0


def read_ancestry(path: str) -> Ancestry:
    """The classes of an Open Images hierarchy or of a tree, with the tree's cut edges where they are known.

    Raises:
        InputError, FormatError, TreeError: it cannot be read.
    """
    from wordtree.expansion import hierarchy_ancestry, tree_ancestry
    from wordtree.files import read_tree, read_tree_directory
    from wordtree.open_images_hierarchy import is_hierarchy, parse_hierarchy, read_json
    from wordtree.text_files import read_text

    place = Path(path)
    if place.suffix == ".json" and place.is_file():
        text = read_text(place)
        if is_hierarchy(read_json(text, path)):
            return hierarchy_ancestry(parse_hierarchy(text, where=path))
    if place.is_dir():
        inside = read_tree_directory(place)
        return tree_ancestry(inside.tree, inside.cut_edges)
    return tree_ancestry(read_tree(place))


def _check_target(target: Path, *, force: bool) -> None:
    if not target.parent.is_dir():
        raise OutputError(f"{target}: the directory {target.parent} does not exist; create it first")
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / "summary.json").is_file() or not (target / "conflicts.csv").is_file():
        raise OutputError(f"{target}: exists and was not written by this command; choose another --out")
    if not force:
        raise OutputError(f"{target}: exists; choose another --out or replace it with --force")
