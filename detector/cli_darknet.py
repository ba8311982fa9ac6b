"""`wordtree darknet show | init | import | export`.

Parsers only: the work, and TensorFlow, are imported when the subcommand runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from detector.cli_parts import start_tensorflow, subcommand


def add_darknet(subparsers: Any) -> None:
    """`wordtree darknet`."""
    parser = subcommand(
        subparsers,
        "darknet",
        "networks in darknet's files: look at them, make runs of them, write them back",
        "wordtree darknet import yolo9000.cfg yolo9000.weights --tree 9k.tree --out run",
        lambda args: 0,
    )
    commands = parser.add_subparsers(dest="darknet_command", metavar="COMMAND", required=True)
    _add_show(commands)
    _add_init(commands)
    _add_import(commands)
    _add_export(commands)


def _add_show(commands: Any) -> None:
    parser = subcommand(
        commands,
        "show",
        "the layers of a .cfg with their outputs, parameters and cost; the header of a .weights file",
        "wordtree darknet show net.cfg net.weights",
        _run_show,
    )
    parser.add_argument("cfg", metavar="CFG", help="the layers: darknet's .cfg")
    parser.add_argument("weights", metavar="WEIGHTS", nargs="?", help="a .weights file, checked against the .cfg")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def _add_init(commands: Any) -> None:
    parser = subcommand(
        commands,
        "init",
        "a .weights file of untrained weights, as training begins with",
        "wordtree darknet init net.cfg --seed 0 --out net.weights",
        _run_init,
    )
    parser.add_argument("cfg", metavar="CFG", help="the layers: darknet's .cfg")
    parser.add_argument("--out", required=True, metavar="WEIGHTS", help="file to write")
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default: %(default)s)")
    parser.add_argument("--format", choices=["v0.1", "v0.2"], default="v0.2", help="header (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="replace --out if it exists")


def _add_import(commands: Any) -> None:
    parser = subcommand(
        commands,
        "import",
        "make a run of a .cfg and a .weights file, to detect, evaluate, train on and export",
        "wordtree darknet import yolov2.cfg yolov2.weights --names coco.names --labels coco --out run",
        _run_import,
    )
    parser.add_argument("cfg", metavar="CFG", help="the layers: darknet's .cfg")
    parser.add_argument("weights", metavar="WEIGHTS", help="the numbers: darknet's .weights of that .cfg")
    parser.add_argument("--out", required=True, metavar="RUN", help="run directory to make")
    parser.add_argument("--tree", help="tree of the classes (default: the one that the .cfg names, else a flat list)")
    parser.add_argument("--names", help="words for people, one line a class")
    parser.add_argument(
        "--labels", metavar="SPACE", help="label space (coco, voc, ...) whose wnids name the classes of a flat list"
    )
    parser.add_argument(
        "--map", help=".map from the classes of a data set to nodes; checked and kept as RUN/darknet.map"
    )
    parser.add_argument(
        "--program",
        choices=["head", "release2017"],
        default="head",
        help="darknet's last program, or the one published with YOLO9000: decides the loss and the augmentation of "
        "further training (default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="replace an imported run")


def _add_export(commands: Any) -> None:
    parser = subcommand(
        commands,
        "export",
        "write a run as a .cfg and a .weights file; an imported run that was not trained gives the same bytes",
        "wordtree darknet export run --cfg net.cfg --weights net.weights",
        _run_export,
    )
    parser.add_argument("run_directory", metavar="RUN", help="run directory, or RUN@best")
    parser.add_argument("--cfg", help="file to write; a .tree and a .names file stand beside it where it needs them")
    parser.add_argument("--weights", help="file to write")
    parser.add_argument(
        "--format",
        choices=["v0.1", "v0.2"],
        default="",
        help="header of 16 or 20 bytes (default: as it was imported, else v0.2)",
    )
    parser.add_argument("--force", action="store_true", help="replace files")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def _run_show(args: argparse.Namespace) -> int:
    from detector.darknet.show import describe, table

    found = describe(args.cfg, args.weights)
    print(json.dumps(found) if args.json else table(found))
    return 0


def _run_init(args: argparse.Namespace) -> int:
    from detector.darknet.cfg import parse_cfg
    from detector.darknet.sections import read_cfg_text
    from detector.darknet.shapes import conv_shapes
    from detector.darknet.weights import VERSIONS, Header, random_layers, write_weights
    from schemas.errors import ConfigError

    if args.seed < 0:
        raise ConfigError(f"--seed {args.seed}: expected 0 or more")
    shapes = conv_shapes(parse_cfg(read_cfg_text(args.cfg), args.cfg), args.cfg)
    header = Header(*VERSIONS[args.format])
    numbers, size = write_weights(args.out, header, random_layers(shapes, args.seed), force=args.force)
    print(f"written to {args.out}: {len(shapes)} convolutions, {numbers:,} numbers, {size:,} bytes")
    return 0


def _run_import(args: argparse.Namespace) -> int:
    start_tensorflow()
    from detector.darknet.run import import_network

    run, notes = import_network(
        args.cfg,
        args.weights,
        args.out,
        tree=args.tree,
        names=args.names,
        labels=args.labels,
        class_map=args.map,
        program=args.program,
        force=args.force,
    )
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    model, seen = run.detector.model, run.checkpoint.images_seen
    print(f"{model.count_params():,} parameters, {len(run.tree):,} classes, {seen:,} images seen")
    print(f"written to {args.out}; next: wordtree detect {args.out} IMAGES")
    return 0


def _run_export(args: argparse.Namespace) -> int:
    start_tensorflow()
    from detector.darknet.run import export_network

    written = export_network(
        args.run_directory, cfg=args.cfg, weights=args.weights, version=args.format, force=args.force
    )
    if args.json:
        print(json.dumps(written))
        return 0
    if args.weights:
        seen = written["header"]["seen"]
        print(f"written to {args.weights}: {written['bytes']:,} bytes, {seen:,} images seen")
    if args.cfg:
        print(f"written to {', '.join(written['cfg'])}")
    return 0
