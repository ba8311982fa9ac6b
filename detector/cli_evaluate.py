"""`wordtree evaluate`.

Parsers only: the work, and TensorFlow, are imported when the subcommand runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from detector.cli_parts import start_tensorflow, subcommand
from schemas.errors import ConfigError, OutputError


def add_evaluate(subparsers: Any) -> None:
    """`wordtree evaluate`."""
    parser = subcommand(
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
    start_tensorflow()
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
