"""`wordtree train`.

Parsers only: the work, and TensorFlow, are imported when the subcommand runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from detector import onednn
from detector.cli_parts import log_line, subcommand
from detector.cluster.start import start_cluster
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
        help="name of an experiment, such as demo, tiny64 or yolo9000, a Python page with get_config(), a .toml or "
        ".json with what differs from `base`, a run's config.json, or a pipeline.config of the TensorFlow Object "
        "Detection API",
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
    parser.add_argument(
        "--strategy",
        choices=["one", "mirrored", "multiworker", "tpu"],
        help="where to compute: one device, all GPUs of this host, several hosts (TF_CONFIG or Slurm), or a TPU; the "
        "same as --set train.strategy=...",
    )
    parser.add_argument(
        "--eval",
        nargs="+",
        default=[],
        metavar="DATASET",
        help="datasets to evaluate on every train.evaluate_every steps and at the end, or at the end alone; the best "
        "weights are kept: RUN@best",
    )
    parser.add_argument(
        "--best-metric",
        default="",
        metavar="KEY",
        help="number of an evaluation's summary that chooses the best (default: AP50)",
    )
    parser.add_argument(
        "--init",
        default="",
        metavar="RUN",
        help="begin with the weights of a run, of RUN@best, of darknet's .weights file, or of a file of Keras "
        "(.weights.h5, .keras, .h5)",
    )
    parser.add_argument(
        "--allow-partial", action="store_true", help="what --init lacks of the network's body begins at random"
    )
    parser.add_argument(
        "--keep",
        type=int,
        default=2,
        metavar="N",
        help="newest checkpoints that stay; 0 for all (default: %(default)s)",
    )
    parser.add_argument("--show-config", action="store_true", help="print the resolved experiment and stop")
    parser.add_argument("--dry-run", action="store_true", help="open everything, print the plan and stop")


def _run_train(args: argparse.Namespace) -> int:
    from detector.config import load_config

    chosen = [f"train.strategy={args.strategy}"] if args.strategy else []
    notes: list[str] = []  # what became of a pipeline.config's fields
    experiment = load_config(args.config, [*args.set, *chosen], notes.append)
    if args.show_config:
        print("\n".join(notes), end="\n" if notes else "", file=sys.stderr)
        print(experiment.to_json(), end="")
        return 0
    paths = tuple(args.data) or experiment.data.datasets
    missing = [flag for flag, value in (("--data", paths), ("--tree", args.tree), ("--out", args.out)) if not value]
    if missing:
        raise ConfigError(f"{', '.join(missing)} missing; see `wordtree train --help`")
    if args.best_metric and not args.eval:
        raise ConfigError("--best-metric chooses among evaluations on the way; name their datasets with --eval")
    if args.keep < 0:
        raise ConfigError(f"--keep {args.keep}: expected 0 or more")
    # a dry run waits for nobody
    cluster = start_cluster("one" if args.dry_run else experiment.train.strategy, log_line)
    from detector.dataset import open_dataset
    from detector.train import EvaluationPlan, TrainingStopped, check_run, train, with_anchors
    from detector.training.counting import data_warnings
    from detector.training.evaluation import check_metric, check_plan, evaluation_line, with_evaluations
    from detector.training.plan import mix_line, recipe_lines, recipe_warnings
    from wordtree.files import read_tree

    say = log_line if cluster.is_chief else _silent  # once, not once a worker
    experiment = with_evaluations(experiment, bool(args.eval))
    tree = read_tree(args.tree)
    datasets = [open_dataset(path) for path in paths]
    plan = EvaluationPlan([open_dataset(path) for path in args.eval if cluster.is_chief], args.best_metric)
    for line in notes:
        say(line)
    say(f"plan: train {experiment.name!r} for {experiment.train.steps} steps of {experiment.train.batch_size} images")
    say(f"  tree: {args.tree}, {len(tree)} nodes, digest {tree.digest()[:12]}")
    for word, found in (("data", datasets), ("eval", plan.datasets)):
        for dataset in found:
            dataset.nodes(tree)
            kind = "boxes" if dataset.has_boxes else "labels only"
            say(f"  {word}: {dataset.path}: {len(dataset):,} images, {len(dataset.manifest.classes)} classes, {kind}")
    if plan.datasets:
        say(evaluation_line(experiment))
    check_plan(plan, experiment.train.evaluate_every)
    check_metric(plan, experiment, tree, datasets)
    say(mix_line(experiment, datasets))
    say("\n".join(recipe_lines(experiment, datasets)))
    say(f"  cpu:  {len(os.sched_getaffinity(0))} cores, oneDNN {onednn.setting()} ({onednn.VARIABLE})")
    if cluster.strategy is not None:
        say(f"  on:   {cluster.workers} workers, {cluster.replicas} replicas in all")
    begun = Path(args.out, "config.json").exists()
    if experiment.model.anchors or begun or args.dry_run:
        experiment = with_anchors(experiment, datasets, _silent)
    if cluster.is_chief:
        say(f"  out:  {args.out}: {check_run(experiment, tree, Path(args.out))}")
        for line in (*recipe_warnings(experiment, begun or bool(args.init)), *data_warnings(datasets)):
            say(f"warning: {line}")
    if args.dry_run:
        _print_network(experiment, tree, args)
        return 0
    args.resumes = True
    try:
        train(
            experiment,
            tree,
            datasets,
            Path(args.out),
            say,
            evaluation=plan,
            init=args.init,
            allow_partial=args.allow_partial,
            keep=args.keep,
            cluster=cluster,
        )
    except TrainingStopped as stopped:
        say(str(stopped))
        return 128 + stopped.signal
    return 0


def _silent(line: str) -> None:
    """What the chief says is not said again."""


def _print_network(experiment: Any, tree: Any, args: argparse.Namespace) -> None:
    """What a dry run says of the network: built, and begun with --init, but not trained."""
    from detector.cluster.strategy import expected_replicas
    from detector.train import Trainer
    from detector.training.initial import initialise
    from detector.training.memory import memory_estimate, memory_line

    trainer = Trainer(experiment, tree)
    print(f"  network: {trainer.model.count_params():,} parameters for {len(tree)} nodes")
    replicas = expected_replicas(experiment.train.strategy)
    print(memory_line(memory_estimate(experiment, trainer.model, replicas), replicas))
    if args.init:
        initialise(trainer.detector, args.init, allow_partial=args.allow_partial, log=lambda line: print(f"  {line}"))
    print("  time left is known after the first steps")
