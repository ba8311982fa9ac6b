"""`wordtree train`.

Parsers only: the work, and TensorFlow, are imported when the subcommand runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from detector.cli_parts import log_line, start_tensorflow, subcommand
from schemas.errors import ConfigError


def add_train(subparsers: Any) -> None:
    """`wordtree train`."""
    parser = subcommand(
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
    start_tensorflow()
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
    train(experiment, tree, datasets, Path(args.out), log_line)
    return 0


def _shares(experiment: Any, datasets: list[Any]) -> str:
    """How a batch is filled, for the plan."""
    kinds = [dataset.has_boxes for dataset in datasets]
    if len(set(kinds)) < 2:
        return "  mix:  " + ("boxed images alone" if kinds[0] else "labelled images alone")
    labelled, boxed = (share / sum(experiment.data.shares) for share in experiment.data.shares)
    size = experiment.train.batch_size
    return f"  mix:  {size * boxed:.3g} boxed and {size * labelled:.3g} only labelled images a step (data.shares)"
