"""`wordtree detect`.

Parsers only: the work, and TensorFlow, are imported when the subcommand runs.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detector.api import Classifier, Detector, Localizer
from detector.cli_parts import start_tensorflow, subcommand
from detector.config import DecodeConfig
from schemas.errors import ConfigError, OutputError
from wordtree.tree import WordTree

if TYPE_CHECKING:
    from detector.run import Run

DEFAULTS = DecodeConfig()
FORMATS = ("json", "coco", "pictures")


def add_detect(subparsers: Any) -> None:
    """`wordtree detect`."""
    parser = subcommand(
        subparsers,
        "detect",
        "find objects in photos and films: JSON, COCO results, and pictures with boxes and the path down the tree",
        "wordtree detect run 'photos/*.jpg' --out found\n"
        "  wordtree detect run photos --walk-rule topk --top 3 --format json,coco --out found\n"
        "  wordtree detect --darknet yolo9000.cfg yolo9000.weights --tree 9k.tree photos --out found",
        _run_detect,
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a run directory of `wordtree train` (or RUN@best), unless --darknet is given; then files, folders or "
        "quoted globs, of photos and films, on any file system",
    )
    parser.usage = (
        "wordtree detect RUN IMAGE... [options]\n       wordtree detect --darknet CFG WEIGHTS IMAGE... [options]"
    )
    source = parser.add_argument_group("a published network instead of a run")
    source.add_argument("--darknet", nargs=2, metavar=("CFG", "WEIGHTS"), help="darknet's files")
    source.add_argument("--tree", help="its tree: a tree directory or a .tree (default: as the .cfg says, else none)")
    source.add_argument("--names", help="its words for people, one class a line")
    source.add_argument(
        "--as-darknet",
        action="store_true",
        help="as darknet's program of 2017 on a CPU: its batch normalisation, and photos stretched over the canvas; of "
        "an imported run too",
    )
    add_decode_options(parser)
    files = parser.add_argument_group("what is read and written")
    files.add_argument("--out", default="detections", help="directory to write (default: %(default)s)")
    files.add_argument(
        "--format",
        default="json,pictures",
        metavar="LIST",
        help="of json (detections.json), coco (results.json), pictures (default: %(default)s)",
    )
    files.add_argument("--no-pictures", action="store_true", help="leave the pictures out")
    files.add_argument(
        "--categories",
        metavar="FILE",
        help="category ids of the COCO results: labels.pbtxt of a dataset, a table of wnid and id, or a COCO JSON with "
        "wnids; a node without one counts as the nearest above it that has one (default: the node's number)",
    )
    files.add_argument("--recursive", action="store_true", help="look into folders below folders too")
    files.add_argument("--every", type=int, default=1, metavar="N", help="of a film, every Nth frame (default: 1)")
    files.add_argument("--batch-size", type=int, default=8, help="images at a time (default: %(default)s)")
    files.add_argument("--force", action="store_true", help="replace --out if it exists")
    files.add_argument("--json", action="store_true", help="print the detections as JSON")


def add_decode_options(parser: argparse.ArgumentParser) -> None:
    """The flags of `DecodeConfig`; `decode_options` reads them."""
    group = parser.add_argument_group("from predictions to detections")
    group.add_argument("--threshold", type=float, help="least score shown (default: 0.2; 0 of a classifier)")
    group.add_argument(
        "--walk-rule",
        choices=("thesis", "darknet", "map", "leaves", "topk"),
        help="how a box is named: down the tree by the paper's rule or by darknet's, the best of some nodes, the best "
        "leaf, or several (default: thesis; map with --map or --nodes)",
    )
    group.add_argument(
        "--walk",
        type=float,
        default=0.5,
        metavar="P",
        help="go down the tree while the best child has at least this probability (default: %(default)s)",
    )
    group.add_argument("--map", metavar="FILE", help="darknet .map: the nodes to choose from, one a line")
    group.add_argument("--nodes", metavar="WNIDS", help="the nodes to choose from, as wnids with commas between")
    group.add_argument("--top", type=int, default=DEFAULTS.top, help="names for each box with topk (default: 5)")
    group.add_argument(
        "--suppression",
        choices=("any", "class", "subtree"),
        help="which boxes suppress each other: all, those of one node, or those of which one node is above the other "
        "(default: any; class with topk)",
    )
    group.add_argument(
        "--iou",
        type=float,
        help="overlap above which two boxes are one (default: 0.45, or two_stage.final_iou of a two-stage detector)",
    )
    group.add_argument("--limit", type=int, default=DEFAULTS.limit, help="detections an image (default: 100)")
    group.add_argument(
        "--proposals",
        type=int,
        metavar="N",
        help="boxes an image that the second stage of a two-stage detector looks at (default: as in training)",
    )


def check_decode_flags(args: argparse.Namespace) -> None:
    """What can be said before anything is opened.

    Raises:
        ConfigError: naming the flag.
    """
    for flag, value in (("--threshold", args.threshold), ("--walk", args.walk), ("--iou", args.iou)):
        if value is not None and not 0 <= value <= 1:
            raise ConfigError(f"{flag} {value}: expected a number from 0 to 1")
    for flag, value in (("--top", args.top), ("--limit", args.limit), ("--proposals", args.proposals)):
        if value is not None and value < 1:
            raise ConfigError(f"{flag} {value}: expected 1 or more")
    if args.map and args.nodes:
        raise ConfigError("--map and --nodes both name the nodes; expected one of them")
    if (args.map or args.nodes) and args.walk_rule not in (None, "map", "topk"):
        flag = "--map" if args.map else "--nodes"
        raise ConfigError(f"{flag} goes with --walk-rule map or topk; found {args.walk_rule}")
    if args.walk_rule == "map" and not (args.map or args.nodes):
        raise ConfigError("--walk-rule map has no nodes to choose from; name them with --map or --nodes")


def decode_options(args: argparse.Namespace, tree: WordTree, detector: Detector | None = None) -> DecodeConfig:
    """The flags as options, wnids as nodes of a tree.

    Args:
        args: the flags.
        tree: of the detector.
        detector: says what --iou is where it is not given.

    Raises:
        LabelError, InputError, FormatError: a wnid is no node, or the map cannot be read.
    """
    nodes: tuple[int, ...] = ()
    if args.map:
        from wordtree.text_files import read_text
        from wordtree.tree_formats import parse_map

        nodes = parse_map(read_text(Path(args.map)), where=args.map, num_nodes=len(tree))
    elif args.nodes:
        nodes = tuple(tree.index(wnid) for wnid in re.split(r"[,\s]+", args.nodes.strip(" ,\n")))
    rule = args.walk_rule or ("map" if nodes else "thesis")
    overlap = detector.overlap if isinstance(detector, Localizer) else DEFAULTS.iou_threshold
    return DecodeConfig(
        walk=rule,
        threshold=DEFAULTS.threshold if args.threshold is None else args.threshold,
        walk_threshold=args.walk,
        suppression=args.suppression or ("class" if rule == "topk" else "any"),
        iou_threshold=overlap if args.iou is None else args.iou,
        limit=args.limit,
        top=args.top,
        nodes=tuple(dict.fromkeys(nodes)),
    )


def _formats(args: argparse.Namespace) -> tuple[str, ...]:
    asked = [part.strip() for part in args.format.split(",") if part.strip()]
    unknown = [part for part in asked if part not in FORMATS]
    if unknown or not asked:
        found = unknown[0] if unknown else args.format
        raise ConfigError(f"--format: found {found!r}; expected some of {', '.join(FORMATS)}")
    chosen = tuple(part for part in FORMATS if part in asked and not (part == "pictures" and args.no_pictures))
    if not {"json", "coco"} & set(chosen):
        raise ConfigError(f"--format {args.format}: expected json or coco among them")
    if args.categories and "coco" not in chosen:
        raise ConfigError("--categories names the ids of COCO results; add coco to --format")
    return chosen


def _run_detect(args: argparse.Namespace) -> int:
    check_decode_flags(args)
    formats = _formats(args)
    for flag, value in (("--every", args.every), ("--batch-size", args.batch_size)):
        if value < 1:
            raise ConfigError(f"{flag} {value}: expected 1 or more")
    if args.darknet is None:
        if args.tree or args.names:
            raise ConfigError("--tree and --names go with --darknet; a run directory has its own tree")
        if len(args.inputs) < 2:
            word = args.inputs[0]
            run = Path(word.partition("@")[0], "config.json").is_file()
            found = f"no images: found the run {word!r} alone" if run else f"no run directory: found {word!r} alone"
            raise ConfigError(f"{found}; expected a run directory, then images, folders or films")
    out = Path(args.out)
    if out.exists() and not args.force:
        raise OutputError(f"{out} exists already; choose another --out or replace it with --force")
    start_tensorflow()
    from detector.infer import detect, find_inputs, lines_for_people
    from detector.infer.categories import read_categories
    from detector.infer.outputs import check_out

    check_out(out, force=args.force)
    paths = find_inputs(args.inputs if args.darknet else args.inputs[1:], recursive=args.recursive)
    run = _open(args)
    if isinstance(run.detector, Classifier):  # the likeliest leaves, as darknet's classifier prints them
        args.threshold = args.threshold or 0.0
        args.walk_rule = args.walk_rule or (None if args.map or args.nodes else "topk")
    result = detect(
        run,
        paths,
        out,
        decode_options(args, run.tree, run.detector),
        formats=formats,
        categories=read_categories(Path(args.categories), run.tree) if args.categories else None,
        force=args.force,
        batch_size=args.batch_size,
        every=args.every,
        log=lambda line: print(line, file=sys.stderr, flush=True),
    )
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
        return 0
    files = {"json": "detections.json", "coco": "results.json", "pictures": "pictures"}
    *lines, total = lines_for_people(result, out / files[formats[0]])
    for line in lines:
        print(line)
    if result["unreadable"]:
        print(f"{len(result['unreadable'])} of {result['counts']['in']} images could not be read; see {out}")
    if result.get("without_category"):
        print(f"{result['without_category']} objects have no category in {args.categories} and are not in results.json")
    print("written to " + " and ".join(f"{out}/{files[part]}" for part in formats))
    print(total)
    return 0


def _open(args: argparse.Namespace) -> Run:
    run = open_source(args, args.inputs[0])
    if not args.as_darknet:
        return run
    from detector.darknet.run import as_darknet

    return as_darknet(run)


def open_source(args: argparse.Namespace, run_directory: str) -> Run:
    """The run directory, or the files of --darknet, whose notes go to standard error; with --proposals."""
    if args.darknet is None:
        from detector.run import open_run, with_proposals

        run = open_run(run_directory)
        return run if args.proposals is None else with_proposals(run, args.proposals)
    if args.proposals is not None:
        raise ConfigError("--proposals is for two-stage detectors; darknet's networks have no proposals")
    from detector.darknet.run import open_darknet

    cfg, weights = args.darknet
    return open_darknet(cfg, weights, args.tree, names=args.names, log=_note)


def _note(line: str) -> None:
    print(f"note: {line}", file=sys.stderr, flush=True)
