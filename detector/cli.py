"""The subcommands of the detector: anchors, train, evaluate, detect, inspect, report, demo.

Parsers only: the work, and TensorFlow, are imported when a subcommand runs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError, InputError, OutputError


def _parser(subparsers: Any, name: str, help_text: str, example: str, run: Any) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        name,
        help=help_text,
        description=help_text,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def _start_tensorflow() -> None:
    """Import TensorFlow without its start-up chatter, and make it do the same sums in the same order each time.

    The chatter is written to file descriptor 2 by C++ before any log level holds, so that is shut for the import.
    TF_CPP_MIN_LOG_LEVEL=0 in the environment shows everything.

    Raises:
        ConfigError: if TensorFlow is not installed.
    """
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        if level != "0":
            with open(os.devnull, "wb") as sink:
                os.dup2(sink.fileno(), 2)
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
        tf.constant(0)  # starts the runtime, which has its say too
    except ImportError as error:
        raise ConfigError(f"TensorFlow is not installed ({error}); pip install 'wordtree[train]'") from error
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _log(line: str) -> None:
    print(line, flush=True)


def add_anchors(subparsers: Any) -> None:
    """`wordtree anchors`."""
    parser = _parser(
        subparsers,
        "anchors",
        "priors by k-means on the box shapes, with 1 - IoU as the distance",
        "wordtree anchors coco-train --count 5",
        _run_anchors,
    )
    parser.add_argument(
        "datasets", nargs="+", metavar="DATASET", help="dataset directories; sets without boxes are skipped"
    )
    parser.add_argument("--count", type=int, default=5, help="how many priors (default: %(default)s)")
    parser.add_argument("--curve", action="store_true", help="also the fit of 1 to COUNT priors, to choose by")
    parser.add_argument("--seed", type=int, default=0, help="of the starting points (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def _run_anchors(args: argparse.Namespace) -> int:
    _start_tensorflow()
    from detector.anchors import box_shapes, kmeans_anchors
    from detector.dataset import open_dataset

    if args.count < 1:
        raise ConfigError(f"--count {args.count}: expected at least 1")
    shapes = box_shapes([open_dataset(path) for path in args.datasets])
    counts = range(1, args.count + 1) if args.curve else [args.count]
    rows = []
    for count in counts:
        anchors, fit = kmeans_anchors(shapes, count, seed=args.seed)
        rounded = [[round(float(v), 5) for v in anchor] for anchor in anchors]
        rows.append({"count": count, "mean_iou": round(fit, 4), "anchors": rounded})
    if args.json:
        print(json.dumps({"boxes": len(shapes), "priors": rows}))
        return 0
    print(f"{len(shapes)} boxes; width and height relative to the letterboxed image")
    for row in rows:
        pairs = "  ".join(f"{w:.3f} x {h:.3f}" for w, h in row["anchors"])
        print(f"{row['count']} priors, mean IoU {row['mean_iou']:.3f}: {pairs}")
    print(f"--set 'model.anchors={json.dumps(rows[-1]['anchors'])}'")
    return 0


def add_train(subparsers: Any) -> None:
    """`wordtree train`."""
    parser = _parser(
        subparsers,
        "train",
        "train a detector on boxed and labels-only datasets; run it again to resume",
        "wordtree train tiny64 --data det-train cls-train --tree tree --out run --set train.steps=500",
        _run_train,
    )
    parser.add_argument(
        "config",
        help="demo (96 pixels, plane figures), tiny64 (64 pixels), yolo9000 (416 pixels), or a run's config.json",
    )
    parser.add_argument(
        "--data", nargs="+", default=[], metavar="DATASET", help="dataset directories of `wordtree convert`"
    )
    parser.add_argument("--tree", help="tree directory or .tree file; its nodes are the classes")
    parser.add_argument("--out", help="run directory to make or to go on with")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override, may be repeated; --show-config lists the keys",
    )
    parser.add_argument("--show-config", action="store_true", help="print the resolved experiment and stop")
    parser.add_argument("--dry-run", action="store_true", help="open everything, print the plan and stop")


def _run_train(args: argparse.Namespace) -> int:
    from detector.config import load_config

    experiment = load_config(args.config, args.set)
    if args.show_config:
        print(experiment.to_json(), end="")
        return 0
    paths = tuple(args.data) or experiment.data.datasets
    missing = [flag for flag, value in (("--data", paths), ("--tree", args.tree), ("--out", args.out)) if not value]
    if missing:
        raise ConfigError(f"{', '.join(missing)} missing; see `wordtree train --help`")
    _start_tensorflow()
    from detector.dataset import open_dataset
    from detector.train import check_run, train, with_anchors
    from wordtree.files import read_tree

    tree = read_tree(args.tree)
    datasets = [open_dataset(path) for path in paths]
    print(f"plan: train {experiment.name!r} for {experiment.train.steps} steps of {experiment.train.batch_size} images")
    print(f"  tree: {args.tree}, {len(tree)} nodes, digest {tree.digest()[:12]}")
    for dataset in datasets:
        dataset.nodes(tree)
        kind = "boxes" if dataset.has_boxes else "labels only"
        print(f"  data: {dataset.path}: {len(dataset):,} images, {len(dataset.manifest.classes)} classes, {kind}")
    print(_shares(experiment, datasets))
    if experiment.model.anchors or Path(args.out, "config.json").exists():
        experiment = with_anchors(experiment, datasets, lambda line: None)
    print(f"  out:  {args.out}: {check_run(experiment, tree, Path(args.out))}")
    if args.dry_run:
        return 0
    train(experiment, tree, datasets, Path(args.out), _log)
    return 0


def _shares(experiment: Any, datasets: list[Any]) -> str:
    """How a batch is filled, for the plan."""
    kinds = [dataset.has_boxes for dataset in datasets]
    if len(set(kinds)) < 2:
        return "  mix:  " + ("boxed images alone" if kinds[0] else "labelled images alone")
    labelled, boxed = (share / sum(experiment.data.shares) for share in experiment.data.shares)
    size = experiment.train.batch_size
    return f"  mix:  {size * boxed:.3g} boxed and {size * labelled:.3g} only labelled images a step (data.shares)"


def add_evaluate(subparsers: Any) -> None:
    """`wordtree evaluate`."""
    parser = _parser(
        subparsers,
        "evaluate",
        "average precision by pycocotools; classes with and without boxes in training apart",
        "wordtree evaluate run eval-fine",
        _run_evaluate,
    )
    parser.add_argument("run_directory", metavar="RUN", help="run directory of `wordtree train`")
    parser.add_argument("datasets", nargs="+", metavar="DATASET", help="dataset directories with boxes")
    parser.add_argument("--out", help="directory for NAME.json (default: RUN/evaluation)")
    parser.add_argument("--batch-size", type=int, default=32, help="images at a time (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def _run_evaluate(args: argparse.Namespace) -> int:
    if args.batch_size < 1:
        raise ConfigError(f"--batch-size {args.batch_size}: expected at least 1")
    _start_tensorflow()
    from detector.dataset import open_dataset
    from detector.evaluate import evaluate, table
    from detector.run import open_run

    run = open_run(args.run_directory)
    datasets = [open_dataset(path) for path in args.datasets]
    names = [Path(dataset.path).name for dataset in datasets]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"two datasets are called {twice[0]!r}; evaluate them one at a time, each with its --out")
    folder = Path(args.out) if args.out else run.path / "evaluation"
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"--out {folder} is a file; expected a directory")
    results = []
    for dataset in datasets:
        result = evaluate(
            run, dataset, batch_size=args.batch_size, log=lambda line: print(line, file=sys.stderr, flush=True)
        )
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{result['dataset']}.json"
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(json.dumps(result, indent=1) + "\n")
        partial.replace(path)
        results.append(result)
        if not args.json:
            print(f"\n{dataset.path}: {result['images']} images, step {result['step']}, {result['seconds']} s")
            print(table(result))
            print(f"written to {path}")
    if args.json:
        print(json.dumps(results))
    return 0


def add_detect(subparsers: Any) -> None:
    """`wordtree detect`."""
    parser = _parser(
        subparsers,
        "detect",
        "find objects in photos: JSON, and pictures with boxes and the path down the tree",
        "wordtree detect run 'photos/*.jpg' --out found",
        _run_detect,
    )
    parser.add_argument("run_directory", metavar="RUN", help="run directory of `wordtree train`")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="files, folders or quoted globs, on any file system")
    parser.add_argument("--out", default="detections", help="directory to write (default: %(default)s)")
    parser.add_argument("--threshold", type=float, default=0.2, help="least score shown (default: %(default)s)")
    parser.add_argument(
        "--walk",
        type=float,
        default=0.5,
        metavar="P",
        help="go down the tree while the best child has at least this probability (default: %(default)s)",
    )
    parser.add_argument(
        "--iou", type=float, default=0.45, help="overlap above which two boxes are one (default: %(default)s)"
    )
    parser.add_argument("--no-pictures", action="store_true", help="JSON only")
    parser.add_argument("--force", action="store_true", help="replace --out if it exists")
    parser.add_argument("--json", action="store_true", help="print the detections as JSON")


def _run_detect(args: argparse.Namespace) -> int:
    for flag, value in (("--threshold", args.threshold), ("--walk", args.walk), ("--iou", args.iou)):
        if not 0 <= value <= 1:
            raise ConfigError(f"{flag} {value}: expected a number from 0 to 1")
    out = Path(args.out)
    if out.exists() and not args.force:
        raise OutputError(f"{out} exists already; choose another --out or replace it with --force")
    _start_tensorflow()
    from detector.infer import detect, find_images, lines_for_people
    from detector.run import open_run

    paths = find_images(args.images)
    run = open_run(args.run_directory)
    result = detect(
        run,
        paths,
        out,
        threshold=args.threshold,
        walk_threshold=args.walk,
        iou_threshold=args.iou,
        pictures=not args.no_pictures,
        force=args.force,
        log=lambda line: print(line, file=sys.stderr, flush=True),
    )
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
        return 0
    *lines, total = lines_for_people(result, out)
    for line in lines:
        print(line)
    if result["unreadable"]:
        print(f"{len(result['unreadable'])} of {len(paths)} images could not be read; see {out}/detections.json")
    print(f"written to {out}/detections.json" + ("" if args.no_pictures else f" and {out}/pictures"))
    print(total)
    return 0


def add_inspect(subparsers: Any) -> None:
    """`wordtree inspect`."""
    parser = _parser(
        subparsers,
        "inspect",
        "a contact sheet of a dataset: pictures with their boxes and labels",
        "wordtree inspect coco-train --out sheet.png",
        _run_inspect,
    )
    parser.add_argument("dataset", metavar="DATASET", help="dataset directory")
    parser.add_argument("--out", default="contact-sheet.png", help="picture to write (default: %(default)s)")
    parser.add_argument("--count", type=int, default=16, help="images shown (default: %(default)s)")
    parser.add_argument("--class", dest="wanted", help="only images with this label or wnid")
    parser.add_argument("--force", action="store_true", help="replace --out if it exists")


def _run_inspect(args: argparse.Namespace) -> int:
    if Path(args.out).exists() and not args.force:
        raise OutputError(f"{args.out} exists already; choose another --out or replace it with --force")
    if args.count < 1:
        raise ConfigError(f"--count {args.count}: expected at least 1")
    from detector.dataset import open_dataset
    from detector.inspect import dataset_sheet

    sheet, shown = dataset_sheet(open_dataset(args.dataset), count=args.count, wanted=args.wanted)
    sheet.save(args.out)
    print(f"{shown} {'image' if shown == 1 else 'images'} of {args.dataset} in {args.out}")
    return 0


def add_report(subparsers: Any) -> None:
    """`wordtree report`."""
    parser = _parser(
        subparsers,
        "report",
        "one HTML file: the tree, the long tail, loss curves, AP tables, pictures",
        "wordtree report run --data det-train cls-train --detections found --out report.html",
        _run_report,
    )
    parser.add_argument("run_directory", metavar="RUN", help="run directory of `wordtree train`")
    parser.add_argument(
        "--data", nargs="*", default=[], metavar="DATASET", help="dataset directories whose counts are shown"
    )
    parser.add_argument("--detections", help="directory of `wordtree detect`")
    parser.add_argument("--out", default="report.html", help="file to write (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="replace --out if it exists")


def _run_report(args: argparse.Namespace) -> int:
    from detector.report import check_inputs, write_report

    detections = Path(args.detections) if args.detections else None
    check_inputs(Path(args.run_directory), detections)
    if not Path(args.run_directory, "config.json").exists():
        raise InputError(f"{args.run_directory!r} is no run directory; `wordtree train` writes one")
    if Path(args.out).exists() and not args.force:
        raise OutputError(f"{args.out} exists already; choose another --out or replace it with --force")
    path = write_report(Path(args.run_directory), Path(args.out), datasets=args.data, detections=detections)
    print(f"report in {path}")
    return 0


def add_demo(subparsers: Any) -> None:
    """`wordtree demo`."""
    parser = _parser(
        subparsers,
        "demo",
        "the main job, end to end, on data made on the spot; ends with an HTML report",
        "wordtree demo --out demo",
        _run_demo,
    )
    parser.add_argument("--out", default="demo", help="directory to work in (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn figures (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a short look at every step; the detector learns little")


def _run_demo(args: argparse.Namespace) -> int:
    from detector.demo.run import run_demo

    began = time.monotonic()
    run_demo(Path(args.out), seed=args.seed, quick=args.quick, log=_log)
    print(f"the whole demo took {(time.monotonic() - began) / 60:.1f} minutes")
    return 0
