"""`wordtree evaluate`.

Parsers only: the work, and TensorFlow, are imported when the subcommand runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detector.cli_parts import start_tensorflow, subcommand
from schemas.errors import ConfigError, OutputError


def add_evaluate(subparsers: Any) -> None:
    """`wordtree evaluate`."""
    parser = subcommand(
        subparsers,
        "evaluate",
        "average precision, recall, names in the tree and kinds of errors; classes with and without boxes in training "
        "apart",
        "wordtree evaluate run eval-fine --csv classes.csv\n"
        "  wordtree evaluate run@best eval-fine --metrics coco,recall --out quick\n"
        "  wordtree evaluate run eval-fine --detections found/results.json",
        _run_evaluate,
    )
    parser.add_argument(
        "run_directory",
        metavar="RUN",
        help="run directory of `wordtree train`, or RUN@best; may be left out with --detections and --tree",
    )
    parser.add_argument("datasets", nargs="*", metavar="DATASET", help="dataset directories with boxes")
    parser.add_argument("--out", help="directory for NAME.json (default: RUN/evaluation)")
    parser.add_argument("--batch-size", type=int, default=32, help="images at a time (default: %(default)s)")
    parser.add_argument(
        "--metrics",
        metavar="LIST",
        help="some of coco,voc07,voc10,openimages,tree,errors,recall (default: all that fit the dataset)",
    )
    parser.add_argument(
        "--split",
        metavar="FILE",
        help="CSV `wnid,group` with seen, unseen_near or unseen_far for every class, instead of what training had",
    )
    parser.add_argument("--csv", metavar="FILE", help="write every figure of every class as CSV, too")
    parser.add_argument("--detections", metavar="FILE", help="JSON file of COCO results to evaluate instead of a model")
    parser.add_argument(
        "--categories",
        choices=("class", "source", "node"),
        default="",
        help="what category_id in --detections is: the dataset's class, what its COCO source calls the class, or a "
        "node of the tree (default: class, or source where that knows more of the file's entries)",
    )
    parser.add_argument(
        "--official",
        default="",
        metavar="FILE",
        help="COCO file to take as the truth in place of the dataset's boxes; refused unless every image, class and "
        "box of it is the dataset's. Ids in --detections are then its own",
    )
    parser.add_argument("--tree", metavar="TREE", help="tree for --detections without a RUN")
    parser.add_argument(
        "--proposals",
        type=int,
        metavar="N",
        help="boxes an image that the second stage of a two-stage detector looks at (default: as in training)",
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def _run_evaluate(args: argparse.Namespace) -> int:
    if args.batch_size < 1:
        raise ConfigError(f"--batch-size {args.batch_size}: expected at least 1")
    if args.proposals is not None and args.proposals < 1:
        raise ConfigError(f"--proposals {args.proposals}: expected 1 or more")
    if args.proposals is not None and args.detections:
        raise ConfigError("--proposals is for a RUN that looks at images; a file of --detections has its boxes")
    start_tensorflow()
    from detector.run import split_run_path

    run_folder = split_run_path(args.run_directory)[0]
    has_run = (run_folder / "config.json").exists() or not args.detections
    paths = args.datasets if has_run else [args.run_directory, *args.datasets]
    if not paths:
        raise ConfigError("no DATASET given; expected `wordtree evaluate RUN DATASET...`")
    if args.tree and (has_run or not args.detections):
        raise ConfigError("--tree is for --detections without a RUN; a run brings its own tree")
    from detector.evaluate import check_metrics
    from detector.metrics.groups import read_split

    args.metrics = None if args.metrics is None else check_metrics(args.metrics)
    split = read_split(Path(args.split)) if args.split else None
    if args.official and len(paths) > 1:
        raise ConfigError(f"--official belongs to one dataset; found {len(paths)}")
    names = [Path(path.rstrip("/")).name for path in paths]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"two datasets are called {twice[0]!r}; evaluate them one at a time, each with its --out")
    folder = Path(args.out) if args.out else run_folder / "evaluation" if has_run else None
    if folder is not None and folder.exists() and not folder.is_dir():
        raise OutputError(f"--out {folder} is a file; expected a directory")
    if args.csv and (Path(args.csv).is_dir() or not Path(args.csv).absolute().parent.is_dir()):
        raise OutputError(f"--csv {args.csv}: expected a file in a directory that exists")
    results = _of_file(args, has_run, paths, split) if args.detections else _of_run(args, paths, split)
    done = []
    for path, result in zip(paths, results, strict=True):
        done.append(result)
        if not args.json:
            from detector.evaluation_table import notes, table

            step = "" if result["step"] is None else f", step {result['step']}"
            print(f"\n{path}: {result['images']} images{step}, {result['seconds']} s")
            print("\n".join([*notes(result), table(result)]))
        if folder is not None and not (args.detections and has_run and not args.out):
            written = _write(folder, result)
            if not args.json:
                print(f"written to {written}")
    if args.csv:
        from detector.evaluation_table import csv_text

        _write_whole(Path(args.csv), csv_text(done))
        if not args.json:
            print(f"written to {args.csv}")
    if args.json:
        print(json.dumps(done))
    return 0


def _of_run(args: argparse.Namespace, paths: list[str], split: Mapping[str, str] | None) -> Any:
    """Results of a trained run, dataset by dataset."""
    from detector.api import Classifier
    from detector.dataset import open_dataset
    from detector.run import open_run, with_proposals

    run = open_run(args.run_directory)
    if args.proposals is not None:
        run = with_proposals(run, args.proposals)
    for dataset in [open_dataset(path) for path in paths]:
        if isinstance(run.detector, Classifier):
            from detector.evaluate_classes import evaluate_classes

            if args.metrics or args.split or args.official:
                raise ConfigError(
                    "--metrics, --split and --official are for detectors; this run is a classifier of whole images"
                )
            yield evaluate_classes(run, dataset, batch_size=args.batch_size, log=_log)
            continue
        from detector.evaluate import evaluate

        result = evaluate(
            run,
            dataset,
            batch_size=args.batch_size,
            log=_log,
            metrics=args.metrics,
            split=split,
            official=args.official,
        )
        yield result if args.proposals is None else {**result, "proposals": args.proposals}


def _of_file(args: argparse.Namespace, has_run: bool, paths: list[str], split: Mapping[str, str] | None) -> Any:
    """The result of a file of detections on the one dataset that it was made on."""
    from detector.dataset import open_dataset
    from detector.evaluate import evaluate_results
    from detector.measure import Training
    from wordtree.files import read_tree

    if len(paths) > 1:
        raise ConfigError(f"--detections belongs to one dataset; found {len(paths)}")
    tree, boxes, labels = read_tree(Path(args.tree)) if args.tree else None, {}, {}
    if has_run:
        from detector.run import read_training_nodes, split_run_path

        folder = split_run_path(args.run_directory)[0]
        tree = read_tree(folder / "tree")
        boxes, labels = read_training_nodes(folder)
    if args.categories == "node" and tree is None:
        raise ConfigError("--categories node needs a tree; give a RUN or --tree")
    yield evaluate_results(
        Path(args.detections),
        open_dataset(paths[0]),
        tree=tree,
        training=Training(boxes, labels, split),
        categories=args.categories,
        metrics=args.metrics,
        official=args.official,
    )


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _write(folder: Path, result: Mapping[str, Any]) -> Path:
    """NAME.json, and NAME.split.csv with the groups, which --split reads."""
    from detector.metrics.groups import split_text

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"--out {folder}: cannot make it ({error.strerror})") from error
    groups = {row["wnid"]: row["split"] for row in result["classes"] if row["wnid"] and "split" in row}
    if groups:
        _write_whole(folder / f"{result['dataset']}.split.csv", split_text(groups))
    path = folder / f"{result['dataset']}.json"
    _write_whole(path, json.dumps(result, indent=1) + "\n")
    return path


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written ({error.strerror or error})") from error
