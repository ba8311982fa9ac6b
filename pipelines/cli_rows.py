"""`wordtree relabel`, `wordtree split`, `wordtree assemble`: finished datasets by their rows.

Beam is imported when there is work for it, so that help and mistakes are quick.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TextIO

from pipelines.files import storage
from schemas.errors import ConfigError
from schemas.manifest import Manifest

VIEWS = """\
OUT is a view: it has rows and no images of its own, and refers to the shards of DATASET, which must stay where they
are. `wordtree assemble` makes a dataset of it that stands for itself, as training needs it.
"""


def _add(
    subparsers: Any, name: str, help: str, description: str, epilog: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        name,
        help=help,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, writes="out")
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="replace what OUT holds")
    parser.add_argument("--json", action="store_true", help="the result as one line of JSON on stdout")


def add_relabel(subparsers: Any) -> None:
    """Add `relabel` to the command line."""
    parser = _add(
        subparsers,
        "relabel",
        "new concepts, tree or confidences for a dataset, without touching pixels",
        "Write a view of a dataset with a new label map, a new tree or new confidences.",
        "example:\n  wordtree relabel coco-train coco-new --labels labels.tsv --tree tree\n\n"
        f"{VIEWS}\nthe table of --confidences has a header and tabs between cells, and one of two forms:\n"
        "  label     source  factor       `*` stands for any; confidences are multiplied, and cut at 1\n"
        "  image_id  label   confidence   the confidence of statements of this class about this image\n"
        "and perhaps a column kind: box, label or *",
        run_relabel,
    )
    parser.add_argument("dataset", metavar="DATASET", help="a dataset directory, or a view")
    parser.add_argument("out", metavar="OUT", help="folder to make, on any fsspec file system")
    parser.add_argument(
        "--labels",
        default="",
        metavar="MAP",
        help="label map: coco, voc, imagenet, openimages, a table with label and wnid, or none (default: as they are)",
    )
    parser.add_argument("--tree", default="", metavar="TREE", help="a tree that must know every class")
    parser.add_argument("--confidences", default="", metavar="FILE", help="a table of factors or confidences")
    parser.add_argument(
        "--on-unknown-class",
        choices=("error", "reject"),
        default="error",
        help="a class that the map or the tree does not know: stop, or reject its annotations (default: error)",
    )
    _add_common(parser)


def run_relabel(args: argparse.Namespace) -> int:
    """Write the view and say what became of everything."""
    from pipelines.row_plane.relabel import RelabelOptions, relabel

    options = RelabelOptions(
        labels=args.labels, tree=args.tree, confidences=args.confidences, on_unknown_class=args.on_unknown_class
    )
    done = relabel(args.dataset, _folder(args.out), options, force=args.force)
    talk = sys.stderr if args.json else sys.stdout
    if done.was_complete:
        print(f"{args.out} is complete already; nothing to do", file=talk)
    print_counts({args.out: done.manifest}, talk)
    if done.unused_lines:
        lines = "1 line" if done.unused_lines == 1 else f"{done.unused_lines:,} lines"
        print(f"{lines} of {args.confidences} met no annotation", file=talk)
    if args.json:
        facts = {"out": args.out, "was_complete": done.was_complete, "unused_lines": done.unused_lines}
        print(json.dumps({**facts, **asdict(done.manifest.counts)}))
    return 0


def add_split(subparsers: Any) -> None:
    """Add `split` to the command line."""
    parser = _add(
        subparsers,
        "split",
        "a dataset in parts, such as train and val, without touching pixels",
        "Write a view for each part of a dataset: OUT/train, OUT/val, ... Each image is in one of them.",
        "examples:\n  wordtree split coco-all parts --parts train=0.9,val=0.1\n"
        "  wordtree split coco-all parts --parts train=0.9,val=0.1 --by duplicates\n"
        "  wordtree split coco-all parts --by parts.tsv\n\n"
        "A part is chosen by a hash of the image id and the seed, so images that come later move no others. With\n"
        "`--by duplicates` near-duplicates go to the same part. A file has a line for each image: image id, tab,\n"
        f"part; the part - leaves an image out.\n\n{VIEWS}",
        run_split,
    )
    parser.add_argument("dataset", metavar="DATASET", help="a dataset directory, or a view")
    parser.add_argument("out", metavar="OUT", help="folder to make, with a view for each part")
    parser.add_argument("--parts", default="", metavar="NAME=SHARE,...", help="names and shares, which add up to 1")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the choice (default: 0)")
    parser.add_argument("--by", default="image", metavar="WHAT", help="image, duplicates, or a file (default: image)")
    parser.add_argument(
        "--near", type=int, default=4, metavar="N", help="for --by duplicates: bits that may differ (default: 4)"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes on this machine (default: 1)")
    parser.set_defaults(takes_beam_args=True)
    _add_common(parser)


def run_split(args: argparse.Namespace) -> int:
    """Write the parts and say how many images each has."""
    from pipelines.row_plane.split import HASHES_NAME, LEFT_OUT_NAME, parse_parts, split

    out = _folder(args.out)
    listed = args.by not in ("image", "duplicates")
    if not listed and not args.parts:
        raise ConfigError("--parts is missing; give names and shares, such as --parts train=0.9,val=0.1")
    if listed and args.parts:
        raise ConfigError(f"--by {args.by} names the parts; leave --parts out")
    parts = parse_parts(args.parts) if args.parts else ()
    keys, told = None, "image"
    if args.by == "duplicates":
        quiet_beam()
        from pipelines.duplicates.run import cluster_ids

        hashes = storage.join(out, HASHES_NAME)
        keys = cluster_ids(args.dataset, hashes, near=args.near, beam_args=args.beam_args, workers=args.workers)
        told = f"duplicates of {args.near} bits"
    done = split(
        args.dataset,
        out,
        parts=parts,
        seed=args.seed,
        keys=keys,
        keys_told=told,
        list_path=args.by if listed else "",
        force=args.force,
    )
    talk = sys.stderr if args.json else sys.stdout
    if done.was_complete:
        print(f"{args.out} is complete already; nothing to do", file=talk)
    print_counts({storage.join(args.out, name): found for name, found in done.parts.items()}, talk)
    if done.left_out:
        told = "1 image is in no part" if done.left_out == 1 else f"{done.left_out:,} images are in no part"
        print(f"{told}; {storage.join(args.out, LEFT_OUT_NAME)} says which", file=talk)
    if args.json:
        images = {name: found.counts.images_written for name, found in done.parts.items()}
        print(json.dumps({"out": args.out, "images": images, "left_out": done.left_out}))
    return 0


def add_assemble(subparsers: Any) -> None:
    """Add `assemble` to the command line."""
    parser = _add(
        subparsers,
        "assemble",
        "shards that stand for themselves, from a view",
        "Write the records of a view, or of a dataset, into new shards, with what the rows say now.",
        "example:\n  wordtree assemble parts/train coco-train --workers 2\n\n"
        "Run the same command again to resume. What stands after `--` goes to Apache Beam. Records whose rows did not\n"
        "change are copied byte by byte; images are never decoded.",
        run_assemble,
    )
    parser.add_argument("dataset", metavar="VIEW", help="a view, or a dataset directory")
    parser.add_argument("out", metavar="OUT", help="folder to make, on any fsspec file system")
    parser.add_argument(
        "--shards", type=int, default=0, metavar="N", help="number of shards (default: one per 2000 images)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the order of images (default: 0)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes on this machine (default: 1)")
    parser.set_defaults(takes_beam_args=True)
    parser.add_argument("--dry-run", action="store_true", help="show the plan and write nothing")
    _add_common(parser)


def run_assemble(args: argparse.Namespace) -> int:
    """Write the shards and say what became of everything."""
    quiet_beam()
    from pipelines.beam_options import make_pipeline
    from pipelines.row_plane.assemble import assemble, make_job

    out = _folder(args.out)
    talk = sys.stderr if args.json else sys.stdout
    make_pipeline(args.beam_args, workers=args.workers)  # mistakes there are told before the plan
    job = make_job(args.dataset, out, shards=args.shards, seed=args.seed)
    counts, size = job.rows.manifest.counts, sum(shard.bytes for shard in job.rows.manifest.shards)
    print(
        f"rows     {args.dataset}: {counts.images_written:,} images, {counts.annotations_written:,} annotations\n"
        f"records  in {', '.join(job.rows.bases())}: {size / 1e6:,.1f} MB\n"
        f"output   {out}: {job.shards} shard{'s' * (job.shards != 1)} of split {job.split!r}",
        file=talk,
        flush=True,
    )
    if args.dry_run:
        print("dry run: nothing was written", file=talk)
        return 0
    begun = time.monotonic()
    args.resumes = True
    done = assemble(job, beam_args=args.beam_args, workers=args.workers, force=args.force)
    if done.was_complete:
        print(f"{args.out} is complete already; nothing to do", file=talk)
    print_counts({args.out: done.manifest}, talk)
    if not done.was_complete:
        records = done.manifest.counts.images_written
        print(
            f"{done.copied:,} of {records:,} records are byte by byte as they were; {time.monotonic() - begun:.1f} s",
            file=talk,
        )
    if args.json:
        facts = {"out": args.out, "was_complete": done.was_complete, "copied": done.copied}
        print(json.dumps({**facts, **asdict(done.manifest.counts)}))
    return 0


def print_counts(manifests: dict[str, Manifest], stream: TextIO) -> None:
    """What came in, what was written and rejected, for people; of several outputs a line each."""
    caption = "images + annotations"
    width = max(map(len, (caption, *manifests)))  # of a split that leaves all images out, there is no name
    print(f"\n{caption:<{width}}{'read':>26}{'written':>26}{'rejected':>26}", file=stream)
    for name, manifest in manifests.items():
        counts = manifest.counts
        cells = (
            (counts.images_in, counts.annotations_in),
            (counts.images_written, counts.annotations_written),
            (counts.images_rejected, counts.annotations_rejected),
        )
        texts = [f"{images:,} + {annotations:,}" for images, annotations in cells]
        print(f"{name:<{width}}" + "".join(f"{text:>26}" for text in texts), file=stream)
    for manifest in manifests.values():
        for reason, number in manifest.counts.rejected_by_reason.items():
            print(f"rejected {number:>10,}  {reason}", file=stream)
        for reason, number in manifest.counts.fixed_by_reason.items():
            print(f"fixed    {number:>10,}  {reason}", file=stream)


def quiet_beam() -> None:
    """Importing Beam logs a warning about Google's client libraries, which a local run does not need."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        import apache_beam  # noqa: F401
    finally:
        logging.disable(previous)


def _folder(path: str) -> str:
    if not path or "\0" in path:
        raise ConfigError(f"OUT is {path!r}; expected the folder to make")
    return path.rstrip("/") or path
