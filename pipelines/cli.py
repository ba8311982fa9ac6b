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

from pipelines.files import storage
from pipelines.images.header import MAX_PIXELS
from pipelines.plan import IMAGES_PER_SHARD, Options, Plan, make_plan
from pipelines.policy import Policy, describe, parse_choices, policy_of
from pipelines.sources.base import DatasetSource, load_source, source_names
from schemas.errors import ConfigError
from schemas.manifest import Manifest

EXAMPLES_SHOWN = 3
REJECTS_NAME = "rejects.jsonl"
REPAIRS_NAME = "repairs.jsonl"

LAYOUT = """\
what OUT holds afterwards:
  SPLIT-00000-of-00004.tfrecord   tf.train.Examples with the images as they are
  SPLIT.index.parquet             where each image lies; its size and sha256
  SPLIT.annotations.parquet       one row per box and per image label
  labels.pbtxt                    the classes
  rejects.jsonl                   what was not written, and why
  repairs.jsonl                   what was written though it is not as it should be: fixed, or kept
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
        epilog=f"example:\n  {source.example}\n\n{describe()}\n\n{LAYOUT}",
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
        help="label map: coco, voc, imagenet, openimages, a table with label and wnid, or none (default: "
        f"{source.default_labels})",
    )
    labels.add_argument("--tree", default="", metavar="TREE", help="a tree that must know every class")
    labels.add_argument(
        "--on-unknown-class",
        choices=("error", "reject"),
        default="error",
        help="a class that the label map does not know: stop, or reject its annotations (default: error)",
    )
    _add_policy_options(parser.add_argument_group("bad data"), source)
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
    running.add_argument(
        "--dry-run", action="store_true", help="show the plan and what it would cost on Dataflow, and write nothing"
    )
    running.add_argument("--json", action="store_true", help="the result as one line of JSON on stdout")
    parser.set_defaults(run=run_convert, takes_beam_args=True, writes="out")


def _add_policy_options(group: Any, source: type[DatasetSource]) -> None:
    group.add_argument(
        "--on",
        action="append",
        default=[],
        metavar="CHECK=ACTION",
        help="what to do about a kind of fault, see below; may be given several times",
    )
    group.add_argument(
        "--verify",
        choices=("header", "decode"),
        default="header",
        help="look at each image's header, size and end, or decode every pixel (default: header)",
    )
    group.add_argument(
        "--max-pixels",
        type=int,
        default=MAX_PIXELS,
        metavar="N",
        help=f"an image of more pixels is a decompression bomb (default: {MAX_PIXELS})",
    )
    if not source.has_boxes:
        return
    group.add_argument(
        "--on-bad-box",
        choices=("clip", "reject"),
        help="short for --on box:past_edge=fix and --on box:past_edge=reject",
    )
    group.add_argument(
        "--on-size-mismatch",
        choices=("file", "scale", "reject"),
        help="short for --on image:size_mismatch=fix, =scale and =reject",
    )
    group.add_argument(
        "--draw-masks",
        action="store_true",
        help="draw polygons and run lengths as PNGs too, as the Object Detection API reads masks",
    )


def _policy(args: argparse.Namespace) -> Policy:
    choices: dict[str, str] = {}
    if getattr(args, "on_bad_box", None):
        choices["box:past_edge"] = "fix" if args.on_bad_box == "clip" else args.on_bad_box
    if getattr(args, "on_size_mismatch", None):
        choices["image:size_mismatch"] = "fix" if args.on_size_mismatch == "file" else args.on_size_mismatch
    choices |= parse_choices(args.on)
    masks = "png" if getattr(args, "draw_masks", False) else "keep"
    return policy_of(choices, max_pixels=args.max_pixels, verify=args.verify, masks=masks)


def run_convert(args: argparse.Namespace) -> int:
    """Plan, convert, and say what became of everything."""
    source = load_source(args.format).from_args(args)
    if args.workers < 1:
        raise ConfigError(f"--workers is {args.workers}; expected 1 or more")
    options = Options(
        labels=args.labels,
        tree=args.tree,
        split=args.split,
        shards=args.shards,
        seed=args.seed,
        limit=args.limit,
        policy=_policy(args),
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
        from pipelines import cost, volume

        amount = volume.measure(plan, decode=getattr(args, "verify", "") == "decode")
        expected = cost.estimate(amount)
        print("\n".join(cost.lines(amount, expected)), file=talk)
        print("dry run: nothing was written", file=talk)
        if args.json:
            facts = {"images": plan.images, "shards": plan.job.shards, "classes": len(plan.job.space.classes)}
            facts |= {"volume": asdict(amount), "cost": {**asdict(expected), "once": expected.once}}
            print(json.dumps({"out": plan.job.out, "dry_run": True, **facts, "options": dict(plan.options)}))
        return 0
    _quiet_beam()
    from pipelines.convert import convert
    from pipelines.label_rows.job import convert_rows
    from pipelines.progress import Progress

    begun = time.monotonic()
    args.resumes = True
    with Progress(plan):
        job = convert if source.wants_pixels() else convert_rows
        done = job(plan, beam_args=args.beam_args, workers=args.workers, force=args.force)
    seconds = time.monotonic() - begun
    if done.was_complete:
        print(f"{plan.job.out} is complete already; nothing to do", file=talk)
    _print_counts(plan, done.manifest, talk)
    if not done.was_complete:
        _print_speed(done.manifest, seconds, talk)
    if args.json:
        result = {"out": plan.job.out, "was_complete": done.was_complete, "seconds": round(seconds, 3)}
        if "unused_columns" in plan.options:
            result["unused_columns"] = plan.options["unused_columns"]
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
    if counts.captions_in:
        rows = (*rows, ("captions", counts.captions_in, counts.captions_written, counts.captions_rejected))
    for name, *numbers in rows:
        print(f"{name:<12}" + "".join(f"{number:>12,}" for number in numbers), file=stream)
    for word, found, name in (
        ("rejected", counts.rejected_by_reason, REJECTS_NAME),
        ("fixed", counts.fixed_by_reason, REPAIRS_NAME),
        ("kept", counts.kept_by_reason, REPAIRS_NAME),
    ):
        examples = _first_of_each(plan.job.out, name) if found else {}
        for reason, number in found.items():
            print(f"{word:<8} {number:>10,}  {reason}", file=stream)
            shown = examples.get((word, reason), [])
            for example in shown:
                print(f"{'':<21}{example}", file=stream)
            if number > len(shown):
                print(f"{'':<21}… and {number - len(shown):,} more in {storage.join(plan.job.out, name)}", file=stream)
    if "image:size_mismatch" in counts.fixed_by_reason and plan.job.policy.action("image:size_mismatch") == "fix":
        print(
            "         sizes differ: were the images resized after they were annotated? --on-size-mismatch scale",
            file=stream,
        )


def _print_speed(manifest: Manifest, seconds: float, stream: TextIO) -> None:
    counts = manifest.counts
    if not manifest.shards:
        rows = counts.annotations_in
        print(f"{rows:,} rows in {seconds:.1f} s: {rows / max(seconds, 1e-9):,.0f} rows/s; no shards", file=stream)
        return
    megabytes = sum(shard.bytes for shard in manifest.shards) / 1e6
    shards = len(manifest.shards)
    print(
        f"{megabytes:.1f} MB in {shards} shard{'s' * (shards != 1)} in {seconds:.1f} s: "
        f"{counts.images_in / max(seconds, 1e-9):.0f} images/s, {megabytes / max(seconds, 1e-9):.1f} MB/s",
        file=stream,
    )


def _first_of_each(out: str, name: str) -> dict[tuple[str, str], list[str]]:
    """The first few lines of each (action, reason) in rejects.jsonl or repairs.jsonl, as people read them."""
    first: dict[tuple[str, str], list[str]] = {}
    with storage.opened(storage.join(out, name)) as stream:
        for line in stream:
            row = json.loads(line)
            shown = first.setdefault((row.get("action", "rejected"), row["reason"]), [])
            if len(shown) < EXAMPLES_SHOWN:
                shown.append(f"{row['record']} ({row['where']}): {row['found']}"[:160])
    return first
