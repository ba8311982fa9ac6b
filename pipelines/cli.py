"""`wordtree convert FORMAT OUT`: one sub-command for each dataset format in `pipelines.sources`.

Beam is imported when there is work to do, so that help, plans and mistakes are quick.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from dataclasses import asdict
from typing import Any, TextIO

from pipelines import storage
from pipelines.checks import Policy
from pipelines.plan import IMAGES_PER_SHARD, Options, Plan, make_plan
from pipelines.sources.base import DatasetSource, load_source, source_names
from schemas.errors import ConfigError
from schemas.manifest import Manifest

EXAMPLES_SHOWN = 3
REJECTS_NAME = "rejects.jsonl"

LAYOUT = """\
what OUT holds afterwards:
  SPLIT-00000-of-00004.tfrecord   tf.train.Examples with the images as they are
  SPLIT.index.parquet             where each image lies; its size and sha256
  SPLIT.annotations.parquet       one row per box and per image label
  labels.pbtxt                    the classes
  rejects.jsonl                   what was not written, and why
  manifest.json                   counts, digests and options; written last

Run the same command again to resume. What stands after `--` goes to Apache Beam:
  wordtree convert coco gs://bucket/coco --annotations ... --images gs://... -- --runner=DataflowRunner --project=...
"""


def add_convert(subparsers: Any) -> None:
    """Add `convert` and its formats to the command line."""
    parser = subparsers.add_parser(
        "convert",
        help="a dataset to TFRecord shards with index, annotations and manifest",
        description="Convert a dataset to TFRecord shards, exactly and resumably.",
        epilog=LAYOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    formats = parser.add_subparsers(dest="format", metavar="FORMAT", required=True)
    for name in source_names():
        _add_format(formats, load_source(name))


def _add_format(formats: Any, source: type[DatasetSource]) -> None:
    parser = formats.add_parser(
        source.name,
        help=source.help,
        description=f"Convert {source.help} to a dataset directory.",
        epilog=f"example:\n  {source.example}\n\n{LAYOUT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("out", metavar="OUT", help="folder to make, on any fsspec file system")
    source.add_arguments(parser)
    labels = parser.add_argument_group("classes")
    labels.add_argument(
        "--labels",
        default="",
        metavar="MAP",
        help=f"label map: coco, voc, imagenet, a table with label and wnid, or none (default: {source.default_labels})",
    )
    labels.add_argument("--tree", default="", metavar="TREE", help="a tree that must know every class")
    labels.add_argument(
        "--on-unknown-class",
        choices=("error", "reject"),
        default="error",
        help="a class that the label map does not know: stop, or reject its annotations (default: error)",
    )
    if source.has_boxes:
        _add_box_options(parser.add_argument_group("bad data"))
    output = parser.add_argument_group("output")
    output.add_argument("--split", default="train", metavar="NAME", help="begins the file names (default: train)")
    output.add_argument(
        "--shards",
        type=int,
        default=0,
        metavar="N",
        help=f"number of shards (default: one per {IMAGES_PER_SHARD} images)",
    )
    output.add_argument("--seed", type=int, default=0, metavar="N", help="of the order of images (default: 0)")
    output.add_argument("--limit", type=int, default=0, metavar="N", help="only N images, chosen by hash")
    output.add_argument("--force", action="store_true", help="replace what OUT holds")
    running = parser.add_argument_group("running")
    running.add_argument("--workers", type=int, default=1, metavar="N", help="processes on this machine (default: 1)")
    running.add_argument("--dry-run", action="store_true", help="show the plan and write nothing")
    running.add_argument("--json", action="store_true", help="the result as one line of JSON on stdout")
    parser.set_defaults(run=run_convert)


def _add_box_options(group: Any) -> None:
    group.add_argument(
        "--on-bad-box",
        choices=("clip", "reject"),
        default="clip",
        help="a box past the image's edge; boxes without area inside are always rejected (default: clip)",
    )
    group.add_argument(
        "--on-size-mismatch",
        choices=("file", "scale", "reject"),
        default="file",
        help="annotation and file differ in size: boxes are pixels of the file, of the annotation's size, or the image "
        "is rejected (default: file)",
    )


def run_convert(args: argparse.Namespace) -> int:
    """Plan, convert, and say what became of everything."""
    source = load_source(args.format).from_args(args)
    if args.workers < 1:
        raise ConfigError(f"--workers is {args.workers}; expected 1 or more")
    policy = (
        Policy(on_bad_box=args.on_bad_box, on_size_mismatch=args.on_size_mismatch) if source.has_boxes else Policy()
    )
    options = Options(
        labels=args.labels,
        tree=args.tree,
        split=args.split,
        shards=args.shards,
        seed=args.seed,
        limit=args.limit,
        policy=policy,
        on_unknown_class=args.on_unknown_class,
    )
    plan = make_plan(source, args.out.rstrip("/") or args.out, options)
    talk = sys.stderr if args.json else sys.stdout
    if args.beam_args:  # mistakes there are told before the plan
        _quiet_beam()
        from pipelines.beam_options import make_pipeline

        make_pipeline(args.beam_args, workers=args.workers)
    print("\n".join(plan.lines()), file=talk, flush=True)
    if args.dry_run:
        print("dry run: nothing was written", file=talk)
        if args.json:
            facts = {"images": plan.images, "shards": plan.job.shards, "classes": len(plan.job.space.classes)}
            print(json.dumps({"out": plan.job.out, "dry_run": True, **facts, "options": dict(plan.options)}))
        return 0
    _quiet_beam()
    from pipelines.convert import convert
    from pipelines.progress import Progress

    begun = time.monotonic()
    with Progress(plan):
        done = convert(plan, beam_args=args.beam_args, workers=args.workers, force=args.force)
    seconds = time.monotonic() - begun
    if done.was_complete:
        print(f"{plan.job.out} is complete already; nothing to do", file=talk)
    _print_counts(plan, done.manifest, talk)
    if not done.was_complete:
        _print_speed(done.manifest, seconds, talk)
    if args.json:
        result = {"out": plan.job.out, "was_complete": done.was_complete, "seconds": round(seconds, 3)}
        print(json.dumps({**result, "shards": len(done.manifest.shards), **asdict(done.manifest.counts)}))
    if not done.manifest.counts.images_written:
        print(f"no image was written; {REJECTS_NAME} in {plan.job.out} says why", file=sys.stderr)
        return 1
    return 0


def _quiet_beam() -> None:
    """Importing Beam logs a warning about Google's client libraries, which a local run does not need."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        import apache_beam  # noqa: F401
    finally:
        logging.disable(previous)


def _print_counts(plan: Plan, manifest: Manifest, stream: TextIO) -> None:
    counts = manifest.counts
    print(f"\n{'':<12}{'read':>12}{'written':>12}{'rejected':>12}", file=stream)
    rows = (
        ("images", counts.images_in, counts.images_written, counts.images_rejected),
        ("annotations", counts.annotations_in, counts.annotations_written, counts.annotations_rejected),
    )
    for name, *numbers in rows:
        print(f"{name:<12}" + "".join(f"{number:>12,}" for number in numbers), file=stream)
    if counts.rejected_by_reason:
        examples = _first_rejects(plan.job.out)
        for reason, number in counts.rejected_by_reason.items():
            print(f"rejected {number:>10,}  {reason}", file=stream)
            shown = examples.get(reason, [])
            for example in shown:
                print(f"{'':<21}{example}", file=stream)
            if number > len(shown):
                rest = f"… and {number - len(shown):,} more in {storage.join(plan.job.out, REJECTS_NAME)}"
                print(f"{'':<21}{rest}", file=stream)
    for reason, number in counts.fixed_by_reason.items():
        print(f"fixed    {number:>10,}  {reason}", file=stream)
    if "image:size_mismatch" in counts.fixed_by_reason and plan.job.policy.on_size_mismatch == "file":
        print(
            "         sizes differ: were the images resized after they were annotated? --on-size-mismatch scale",
            file=stream,
        )


def _print_speed(manifest: Manifest, seconds: float, stream: TextIO) -> None:
    counts = manifest.counts
    megabytes = sum(shard.bytes for shard in manifest.shards) / 1e6
    print(
        f"{megabytes:.1f} MB in {len(manifest.shards)} shards in {seconds:.1f} s: "
        f"{counts.images_in / max(seconds, 1e-9):.0f} images/s, {megabytes / max(seconds, 1e-9):.1f} MB/s",
        file=stream,
    )


def _first_rejects(out: str) -> dict[str, list[str]]:
    """The first few rejects of each reason, as people read them."""
    first: dict[str, list[str]] = {}
    for line in storage.read_bytes(storage.join(out, REJECTS_NAME)).decode().splitlines():
        row = json.loads(line)
        shown = first.setdefault(row["reason"], [])
        if len(shown) < EXAMPLES_SHOWN:
            shown.append(f"{row['record']} ({row['where']}): {row['found']}"[:160])
    return first
