"""`wordtree to-coco`: a dataset directory as COCO JSON."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

EPILOG = """\
example:
  wordtree to-coco coco-train --out instances.json --captions captions.json

A dataset made from COCO or LVIS gives back every field of every image and annotation that was written. One made from a
panoptic file gives a panoptic file, one made from captions alone a captions file. Others give instances, with what COCO
has no field for in `attributes` and `image_labels`. The tables are read and no pixels.
"""


def add_to_coco(subparsers: Any) -> None:
    """Add `to-coco` to the command line."""
    parser = subparsers.add_parser(
        "to-coco",
        help="a dataset directory as COCO JSON",
        description="Write the annotations of a dataset directory, or of a view, as COCO JSON.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("dataset", metavar="DATASET", help="directory that `wordtree convert` wrote")
    parser.add_argument("--out", required=True, metavar="FILE", help="JSON file to write, on any fsspec file system")
    parser.add_argument("--captions", default="", metavar="FILE", help="a captions file to write beside it")
    parser.add_argument(
        "--images",
        default="",
        metavar="PREFIX",
        help="folder or URL put before every file_name (default: names as the source has them)",
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    parser.add_argument("--json", action="store_true", help="the result as one line of JSON on stdout")
    parser.set_defaults(run=run_to_coco, writes="out", writes_a_file=True)


def run_to_coco(args: argparse.Namespace) -> int:
    """Export, and say what became of everything."""
    from pipelines.export_coco import export_coco
    from schemas.dataset_files import open_dataset_files

    done = export_coco(args.dataset, args.out, captions=args.captions, prefix=args.images, force=args.force)
    if args.json:
        print(json.dumps(asdict(done)))
        return 0
    print(f"{', '.join(done.files)}: {done.images} images, {done.annotations} annotations, {done.captions} captions")
    manifest = open_dataset_files(args.dataset).manifest
    labels = 0 if manifest.source == "coco" else manifest.counts.annotations_written - done.annotations
    unsized = 0 if manifest.shards or manifest.is_view else done.images  # rows only
    for count, told in (
        (labels, "image labels are no annotations of COCO: they are in `image_labels` of their images"),
        (unsized, "images have width and height 0: their sizes are unknown, no pixels were read"),
        (done.left_out, "captions are left out; --captions FILE writes them"),
        (done.changed, "annotations have the numbers of the written box, since the conversion changed it"),
        (done.sizes, "images have the size of their file, since the source states another or none"),
        (done.masks, "masks are pictures in the shards and are not in the file"),
    ):
        if count:
            print(f"  {count} {told}")
    return 0
