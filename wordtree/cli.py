"""`wordtree tree build | show | check | map | export`: label hierarchies on the command line."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError, FormatError, LabelError

MOST_LINES = 60
MOST_WARNINGS = 10

SPEC_HELP = """\
a label space is one of
  coco, voc         shipped and reviewed (80 and 20 classes)
  imagenet:FILE     the wnids listed in FILE, one a line
  FILE              a TSV or CSV table with a column label (or name, category_name, class) and a column wnid
  NAME=FILE         the same under another name
"""


def add_tree(subparsers: Any) -> None:
    """Add the subcommand `tree` to the command line."""
    parser = _parser(
        subparsers,
        "tree",
        "build, show and check label hierarchies",
        "  wordtree tree build --labels coco voc --out tree\n  wordtree tree show tree --root sandwich",
    )
    commands = parser.add_subparsers(dest="tree_command", metavar="COMMAND", required=True)

    build = _parser(
        commands,
        "build",
        "build a WordTree from the labels of data sets",
        "  wordtree tree build --labels coco imagenet:wnids.txt --out tree\n\n" + SPEC_HELP,
        run=run_build,
    )
    build.add_argument("--labels", nargs="+", required=True, metavar="SPEC", help="label spaces, see below")
    build.add_argument("--out", required=True, metavar="DIR", help="the tree directory to write")
    build.add_argument("--no-collapse", action="store_true", help="keep nodes that are no labels and have one child")
    build.add_argument(
        "--hoist-only-leaves",
        action="store_true",
        help="make a leaf that is the only child of a label its sibling, as in the published 9k tree",
    )
    build.add_argument("--keep-top", action="store_true", help="keep entity, physical entity and abstraction")
    build.add_argument(
        "--patch",
        metavar="FILE",
        help="table with columns child and parent: edges that replace WordNet's; `darknet` is the published tree's",
    )
    build.add_argument("--force", action="store_true", help="replace a tree directory with another content")
    build.add_argument("--dry-run", action="store_true", help="build and print, but write nothing")
    build.add_argument("--json", action="store_true", help="print one JSON object instead of text")

    show = _parser(
        commands,
        "show",
        "print a tree",
        "  wordtree tree show tree --root n02084071 --depth 2\n  wordtree tree show tree --root 'hot dog'",
        run=run_show,
    )
    _add_tree_argument(show)
    show.add_argument("--root", metavar="NODE", help="show what is below this node: a wnid, a word or a number")
    show.add_argument("--depth", type=int, metavar="D", help="levels below the top ones")
    show.add_argument("--counts", metavar="FILE", help="table with columns wnid and count, shown at the nodes")

    check = _parser(
        commands, "check", "read a tree, check it and print facts", "  wordtree tree check 9k.tree", run=run_check
    )
    _add_tree_argument(check)
    check.add_argument("--json", action="store_true", help="print one JSON object instead of text")

    place = _parser(
        commands,
        "map",
        "find the nodes of a data set's labels in a tree",
        "  wordtree tree map tree --labels voc > voc.tsv\n\n" + SPEC_HELP,
        run=run_map,
    )
    _add_tree_argument(place)
    place.add_argument("--labels", required=True, metavar="SPEC", help="a label space, see below")
    place.add_argument("--format", choices=("tsv", "map"), default="tsv", help="a table, or darknet's .map")

    export = _parser(
        commands,
        "export",
        "write a tree in another format",
        "  wordtree tree export tree --format html --out tree.html",
        run=run_export,
    )
    _add_tree_argument(export)
    export.add_argument("--format", choices=("tree", "json", "pbtxt", "dot", "html"), required=True)
    export.add_argument("--out", metavar="FILE", help="where to write; the terminal if left out")
    export.add_argument("--force", action="store_true", help="replace FILE")


def _parser(
    subparsers: Any,
    name: str,
    about: str,
    example: str,
    *,
    run: Callable[[argparse.Namespace], int] | None = None,
) -> argparse.ArgumentParser:
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


def _add_tree_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tree", metavar="TREE", help="a tree directory, or a .tree, .json or .pbtxt file")


def run_build(args: argparse.Namespace) -> int:
    """Build a tree and write its directory."""
    from wordtree.build import TOP, BuildOptions, build_tree
    from wordtree.files import write_tree_directory
    from wordtree.mapping import lint, load_label_map, place_labels
    from wordtree.show import fitting_depth, tree_lines
    from wordtree.wordnet import load_wordnet

    say = _silent if args.json else print
    begin = time.perf_counter()
    spaces = [load_label_map(spec) for spec in args.labels]
    for spec, space in zip(args.labels, spaces, strict=True):
        if space.every_wnid:
            raise ConfigError(f"--labels {spec}: this space is all of WordNet; list the wnids with imagenet:FILE")
    wnids = [row.wnid for space in spaces for row in space.rows]
    patches = read_patches(args.patch) if args.patch else {}
    say(f"labels   {', '.join(f'{space.name} ({len(space):,})' for space in spaces)}")
    say(f"synsets  {len(set(wnids)):,} different ones among {len(wnids):,} labels, from WordNet 3.0")
    say(
        f"options  {'keep' if args.keep_top else 'drop'} top, {'no ' if args.no_collapse else ''}collapse, "
        f"{'' if args.hoist_only_leaves else 'no '}hoisting, {len(patches)} patches\n"
    )
    wordnet = load_wordnet()
    options = BuildOptions(
        drop_top=() if args.keep_top else TOP,
        collapse=not args.no_collapse,
        hoist_only_leaves=args.hoist_only_leaves,
        patches=patches,
    )
    built = build_tree(wordnet, wnids, options)
    tree = built.tree
    placed = {space.name: place_labels(space, tree, wordnet) for space in spaces}
    warnings = [f"{name}: {text}" for name, labels in placed.items() for text in lint(labels, tree, built.cut_edges)]
    written = (
        False if args.dry_run else write_tree_directory(built, spaces, args.out, wordnet=wordnet, force=args.force)
    )
    seconds = time.perf_counter() - begin
    if args.json:
        facts = tree_facts(tree) | {"labels": len(built.labels), "cut_edges": len(built.cut_edges)}
        print(
            json.dumps(
                facts | {"warnings": warnings, "out": args.out, "written": written, "seconds": round(seconds, 3)}
            )
        )
        return 0
    marked = [tree.index(label) for label in built.labels]
    for line in tree_lines(tree, marked=marked, max_depth=fitting_depth(tree, MOST_LINES), most=MOST_LINES):
        print(line)
    print("\n* is a label\n")
    for warning in warnings[:MOST_WARNINGS]:
        print(f"look at  {warning}")
    if len(warnings) > MOST_WARNINGS:
        print(f"look at  … and {len(warnings) - MOST_WARNINGS} more like these")
    rows = [
        ("labels", f"{len(built.labels):,}"),
        *((key, f"{value:,}" if isinstance(value, int) else value) for key, value in tree_facts(tree).items()),
        ("cut edges", f"{len(built.cut_edges):,}"),
        ("seconds", f"{seconds:.2f}"),
    ]
    print("\n".join(f"{key:<10} {value:>8}" for key, value in rows))
    if args.dry_run:
        print(f"\ndry run: nothing was written; {args.out} would hold the tree")
    else:
        print(f"\n{args.out}: {'written' if written else 'has this very content already; left as it is'}")
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Print a tree."""
    from wordtree.files import read_tree
    from wordtree.show import tree_lines

    tree = read_tree(args.tree)
    root = None if args.root is None else find_node(tree, args.root)
    counts = None if args.counts is None else read_counts(args.counts)
    if root is not None:
        print(tree.describe_path(root))
    for line in tree_lines(tree, root=root, max_depth=args.depth, counts=counts):
        print(line)
    return 0


def run_check(args: argparse.Namespace) -> int:
    """Read and check a tree; errors go the usual way."""
    from wordtree.files import read_tree, read_tree_directory

    tree = read_tree(args.tree)
    facts = tree_facts(tree)
    if Path(args.tree).is_dir():
        inside = read_tree_directory(args.tree)
        facts["cut_edges"] = len(inside.cut_edges)
        facts["spaces"] = {name: len(labels) for name, labels in inside.spaces.items()}
    if args.json:
        print(json.dumps(facts))
        return 0
    for key, value in facts.items():
        text = ", ".join(f"{k} ({v})" for k, v in value.items()) if isinstance(value, dict) else value
        print(f"{key.replace('_', ' '):<10} {text:,}" if isinstance(text, int) else f"{key:<10} {text}")
    return 0


def run_map(args: argparse.Namespace) -> int:
    """Print where the labels of a space stand in a tree."""
    from wordtree.files import read_tree, space_table
    from wordtree.mapping import load_label_map, place_labels
    from wordtree.tree_formats import map_text
    from wordtree.wordnet import load_wordnet

    tree = read_tree(args.tree)
    space = load_label_map(args.labels)
    placed = place_labels(space, tree, load_wordnet())
    sys.stdout.write(map_text(p.node for p in placed) if args.format == "map" else space_table(space, placed, tree))
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write a tree in another format."""
    from wordtree.files import read_tree, write_text_file
    from wordtree.show import tree_dot
    from wordtree.show_html import tree_html
    from wordtree.tree_formats import tree_json, tree_pbtxt, tree_text

    tree = read_tree(args.tree)
    title = f"WordTree {Path(args.tree).resolve().name}"
    writers: dict[str, Callable[[], str]] = {
        "tree": lambda: tree_text(tree),
        "json": lambda: tree_json(tree),
        "pbtxt": lambda: tree_pbtxt(tree),
        "dot": lambda: tree_dot(tree),
        "html": lambda: tree_html(tree, title=title),
    }
    text = writers[args.format]()
    if args.out is None:
        sys.stdout.write(text)
        return 0
    written = write_text_file(args.out, text, force=args.force)
    print(f"{args.out}: {'written' if written else 'has this very content already; left as it is'}")
    return 0


def tree_facts(tree: Any) -> dict[str, Any]:
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


def find_node(tree: Any, word: str) -> int:
    """The node that a person means: a name, a node's number, or a display name that occurs once.

    Raises:
        LabelError: there is none, or several.
    """
    if word in tree:
        return tree.index(word)
    if word.isdigit() and int(word) < len(tree):
        return int(word)
    nodes = [node for node, shown in enumerate(tree.display_names) if shown.casefold() == word.casefold()]
    if len(nodes) == 1:
        return nodes[0]
    if nodes:
        told = ", ".join(f"{tree.names[node]} ({tree.describe_path(node)})" for node in nodes[:5])
        raise LabelError(f"{word!r} is the word of {len(nodes)} nodes; expected one of {told}")
    return tree.index(word)


def read_patches(path: str) -> dict[str, str]:
    """child -> parent, from a table with these columns.

    Raises:
        InputError, FormatError: the file cannot be read, or a line is wrong.
    """
    from importlib.resources import files

    place = files("wordtree") / "data" / "darknet-patches.tsv" if path == "darknet" else Path(path)
    patches: dict[str, str] = {}
    for line, (child, parent) in _read_columns(Path(str(place)), ("child", "parent")):
        if patches.setdefault(child, parent) != parent:
            raise FormatError(
                f"{path} line {line}: {child!r} has parent {patches[child]!r} already; expected one parent"
            )
    return patches


def read_counts(path: str) -> dict[str, int]:
    """wnid -> number, from a table with columns wnid and count."""
    counts: dict[str, int] = {}
    for line, (wnid, count) in _read_columns(Path(path), ("wnid", "count")):
        if not count.isdigit():
            raise FormatError(f"{path} line {line}: found count {count!r}; expected a whole number")
        counts[wnid] = counts.get(wnid, 0) + int(count)
    return counts


def _read_columns(path: Path, names: Sequence[str]) -> list[tuple[int, tuple[str, ...]]]:
    """(line, cells) of some columns of a small table; tabs or commas."""
    from wordtree.text_files import read_text, split_lines

    lines = [
        (number, [cell.strip() for cell in line.split("\t" if "\t" in line else ",")])
        for number, line in enumerate(split_lines(read_text(path)), 1)
        if line.strip() and not line.startswith("#")
    ]
    header = lines[0][1] if lines else []
    if not set(names) <= set(header):
        raise FormatError(f"{path}: found columns {', '.join(header)}; expected {' and '.join(names)}")
    rows: list[tuple[int, tuple[str, ...]]] = []
    for number, cells in lines[1:]:
        row = dict(zip(header, cells, strict=False))
        if not all(row.get(name) for name in names):
            raise FormatError(f"{path} line {number}: found {cells!r}; expected {' and '.join(names)}")
        rows.append((number, tuple(row[name] for name in names)))
    return rows


def _silent(*_: object) -> None:
    """Say nothing: for --json."""
