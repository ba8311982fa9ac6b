"""`wordtree tree show | export`: see a tree in the terminal or in a browser, and write it in other formats."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import ConfigError, FormatError
from wordtree.cli_parts import add_parser, add_tree_argument, data_out, not_negative
from wordtree.label_names import find_node, name_of, own_names
from wordtree.text_files import read_columns

if TYPE_CHECKING:
    from wordtree.files import TreeDirectory
    from wordtree.show_data import TreeData
    from wordtree.tree import WordTree

MOST_DIGITS = 18
IMAGES_PER_NODE, MAX_IMAGE_KB, MAX_PAGE_MB = 8, 150, 5.0


def add_show(commands: Any) -> None:
    """Add `wordtree tree show`."""
    show = add_parser(
        commands,
        "show",
        "print a tree, or make a page of it for the browser",
        "  wordtree tree show tree --root n02084071 --depth 2\n"
        "  wordtree tree show tree --data coco-train imagenet-train --used --sort count\n"
        "  wordtree tree show tree --data coco-train imagenet-train --html tree.html",
        run=run_show,
    )
    add_tree_argument(show)
    show.add_argument(
        "--root", metavar="NODE", help="show what is below this node: a wnid, a word, a label or a number"
    )
    show.add_argument("--depth", type=not_negative, metavar="D", help="levels below the top ones")
    show.add_argument("--most", type=not_negative, metavar="N", help="the most lines")
    numbers = show.add_mutually_exclusive_group()
    numbers.add_argument("--counts", metavar="FILE", help="table with columns wnid and count, shown at the nodes")
    numbers.add_argument(
        "--data", nargs="+", metavar="DATASET", help="dataset directories: boxes and labels are counted at the nodes"
    )
    show.add_argument("--used", action="store_true", help="only nodes with counts, own or below")
    show.add_argument(
        "--sort",
        choices=("order", "name", "count"),
        default="order",
        help="siblings: as in the tree, by word, by count",
    )
    show.add_argument("--width", type=not_negative, metavar="N", help="cut lines here; the terminal's if left out")
    show.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="auto: only on a terminal")
    show.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    page = show.add_argument_group("a page for the browser")
    page.add_argument("--html", metavar="FILE", help="write an interactive page: one file, no network")
    page.add_argument("--images", type=not_negative, metavar="N", help=f"images per node; {IMAGES_PER_NODE}")
    page.add_argument("--max-image-kb", type=not_negative, metavar="KB", help=f"no larger images; {MAX_IMAGE_KB}")
    page.add_argument("--max-page-mb", type=float, metavar="MB", help=f"all images together; {MAX_PAGE_MB:g}")
    page.add_argument("--force", action="store_true", help="replace FILE")


def add_export(commands: Any) -> None:
    """Add `wordtree tree export`."""
    export = add_parser(
        commands,
        "export",
        "write a tree in another format",
        "  wordtree tree export tree --format pbtxt --out tree.pbtxt\n"
        "  wordtree tree export tree --format svg --root food --out food.svg",
        run=run_export,
    )
    add_tree_argument(export)
    export.add_argument(
        "--format", choices=("tree", "json", "pbtxt", "open-images", "dot", "svg", "html"), required=True
    )
    export.add_argument("--root", metavar="NODE", help="dot and svg: only this node and what is below it")
    export.add_argument("--depth", type=not_negative, metavar="D", help="dot and svg: levels below the top ones")
    export.add_argument("--out", metavar="FILE", help="where to write; the terminal if left out")
    export.add_argument("--force", action="store_true", help="replace FILE")


def run_show(args: argparse.Namespace) -> int:
    """Print a tree, or write its page."""
    from wordtree.show import tree_lines

    for option in ("images", "max_image_kb", "max_page_mb"):
        if getattr(args, option) is not None and not (args.html and args.data):
            raise ConfigError(f"--{option.replace('_', '-')} needs --html and --data: it is about the page's images")
    if not args.data and not args.counts and (args.used or args.sort == "count"):
        raise ConfigError(f"{'--used' if args.used else '--sort count'} needs counts: give --data or --counts")
    inside = read_any_tree(args.tree)
    tree = inside.tree
    root = None if args.root is None else find_node(tree, args.root, inside.spaces, inside.aliases)
    if args.html:
        if root is not None or args.depth is not None:
            raise ConfigError("--html shows the whole tree; leave --root and --depth to the page")
        return _write_page(args, inside)
    data = _read_data(args, tree, images=0)
    if args.json:
        print(json.dumps(_json_nodes(args, inside, root, data), ensure_ascii=False))
        return 0
    terminal = sys.stdout.isatty()
    width = args.width or (shutil.get_terminal_size().columns if terminal else None)
    color = args.color == "always" or (
        args.color == "auto" and terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )
    if root is not None:
        print(tree.describe_path(root))
    labels = _labels(inside)
    lines = tree_lines(
        tree,
        root=root,
        max_depth=args.depth,
        columns=data.counts,
        most=args.most,
        used=args.used,
        sort=args.sort,
        marked=labels,
        named=own_names(tree, inside.spaces),
        width=width,
        color=color,
    )
    for line in lines:
        print(line)
    if labels:
        print("\n* is a label")
    for note in data.notes:
        print(f"look at  {note}", file=sys.stderr)
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write a tree in another format."""
    from wordtree.files import write_text_file
    from wordtree.open_images_hierarchy import tree_hierarchy_text
    from wordtree.show import tree_dot
    from wordtree.show_html import tree_html
    from wordtree.show_svg import tree_svg
    from wordtree.tree_formats import tree_json, tree_pbtxt, tree_text

    inside = read_any_tree(args.tree)
    tree = inside.tree
    root = None if args.root is None else find_node(tree, args.root, inside.spaces, inside.aliases)
    if args.format not in ("dot", "svg") and (root is not None or args.depth is not None):
        raise ConfigError(f"--format {args.format} writes the whole tree; --root and --depth are for dot and svg")
    labels = _labels(inside)
    writers: dict[str, Callable[[], str]] = {
        "tree": lambda: tree_text(tree),
        "json": lambda: tree_json(tree),
        "pbtxt": lambda: tree_pbtxt(tree),
        "open-images": lambda: tree_hierarchy_text(tree),
        "dot": lambda: tree_dot(tree, root=root, max_depth=args.depth, marked=labels),
        "svg": lambda: tree_svg(tree, root=root, max_depth=args.depth, marked=labels),
        "html": lambda: tree_html(inside, title=page_title(args.tree)),
    }
    text = writers[args.format]()
    if args.out is None:
        data_out(text)
        return 0
    written = write_text_file(args.out, text, force=args.force)
    print(f"{args.out}: {'written' if written else 'has this very content already; left as it is'}")
    return 0


def read_any_tree(path: str) -> TreeDirectory:
    """A tree directory with all it holds; from a single file, its tree alone."""
    from wordtree.files import TreeDirectory, read_tree, read_tree_directory

    if Path(path).is_dir():
        return read_tree_directory(path)
    return TreeDirectory(read_tree(path), (), {}, {})


def _labels(inside: TreeDirectory) -> list[int]:
    """The nodes that labels stand on, ascending."""
    return sorted({label.node for labels in inside.spaces.values() for label in labels})


def page_title(path: str) -> str:
    """What the page of a tree is called: the name of its file or directory."""
    return Path(path).resolve().name


def read_counts(path: str) -> dict[str, int]:
    """wnid -> number, from a table with columns wnid and count."""
    counts: dict[str, int] = {}
    for line, (wnid, count) in read_columns(Path(path), ("wnid", "count")):
        if not count.isdecimal() or len(count) > MOST_DIGITS:
            raise FormatError(f"{path} line {line}: found count {count[:40]!r}; expected a whole number")
        counts[wnid] = counts.get(wnid, 0) + int(count)
    return counts


def _read_data(args: argparse.Namespace, tree: WordTree, *, images: int) -> TreeData:
    """Counts from --counts or --data; nothing if neither is given."""
    from wordtree.show import node_counts
    from wordtree.show_data import TreeData, read_tree_data

    if args.counts:
        return TreeData({"count": node_counts(tree, read_counts(args.counts))})
    if not args.data:
        return TreeData()
    return read_tree_data(
        tree,
        args.data,
        images_per_node=images,
        max_image_kb=MAX_IMAGE_KB if args.max_image_kb is None else args.max_image_kb,
        max_page_mb=MAX_PAGE_MB if args.max_page_mb is None else args.max_page_mb,
    )


def _write_page(args: argparse.Namespace, inside: TreeDirectory) -> int:
    from wordtree.files import write_text_file
    from wordtree.show_html import tree_html

    data = _read_data(args, inside.tree, images=IMAGES_PER_NODE if args.images is None else args.images)
    text = tree_html(inside, data, title=page_title(args.tree))
    written = write_text_file(args.html, text, force=args.force)
    for note in data.notes:
        print(f"look at  {note}", file=sys.stderr)
    facts = {
        "out": args.html,
        "written": written,
        "nodes": len(inside.tree),
        "images": len(data.images),
        "bytes": len(text.encode()),
        "notes": data.notes,
    }
    if args.json:
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    state = "written" if written else "has this very content already; left as it is"
    images = f", {len(data.images):,} images" if data.images else ""
    size = f"{facts['bytes'] / 2**20:.1f} MB"
    print(f"{args.html}: {state}; {len(inside.tree):,} nodes{images}, {size}; open it in a browser")
    return 0


def _json_nodes(args: argparse.Namespace, inside: TreeDirectory, root: int | None, data: TreeData) -> dict[str, Any]:
    """The nodes that the text would show."""
    from wordtree.show import shown_nodes, subtree_sums

    tree = inside.tree
    labels: dict[int, list[str]] = {}
    for space in inside.spaces.values():
        for label in space:
            names = labels.setdefault(label.node, [])
            names += [] if name_of(label) in names else [name_of(label)]
    weight = [sum(row) for row in zip(*data.counts.values(), strict=True)] if data.counts else None
    totals = {name: subtree_sums(tree, own) for name, own in data.counts.items()}
    shown = shown_nodes(tree, root=root, max_depth=args.depth, weight=weight, used=args.used, sort=args.sort)
    nodes = [
        {
            "node": line.node,
            "name": tree.names[line.node],
            "display_name": tree.display_names[line.node],
            "parent": int(tree.parent[line.node]),
            "depth": int(tree.depth[line.node]),
            **({"labels": labels[line.node]} if line.node in labels else {}),
            **({"hidden_below": line.hidden} if line.hidden else {}),
            **{
                name: {"own": own[line.node], "with_below": totals[name][line.node]}
                for name, own in data.counts.items()
            },
        }
        for line in shown[: args.most]
    ]
    return {"tree": args.tree, "digest": tree.digest(), "nodes": nodes, "notes": list(data.notes)}
