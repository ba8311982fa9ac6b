"""How fast and in how much memory is a large instances file read? One JSON line.

    python benchmarks/read_instances.py [--annotations 860001] [--megabytes 450] [--file FILE]

Makes a file like instances_train2017.json (polygons, one crowd in ninety as run lengths, sparse ids), unless FILE is
there, and reads it, each way in a process of its own:

    json.load     the standard library, everything at once
    entries       survey and typed entries, as `wordtree convert coco` reads them
    rows          survey and rows
    elements      survey and rows as they go to the shuffle

CPU seconds are user and system time without imports; memory is the process's peak. The goal for `entries` is 5 seconds
and 1 GB.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WAYS = ("json.load", "entries", "rows", "elements")
BYTES_A_NUMBER = 7


def make_file(path: Path, annotations: int, megabytes: float) -> None:
    """Write the file, entry by entry."""
    rng = random.Random(0)
    images = max(1, annotations * 118_287 // 860_001)
    corners = max(3.0, (megabytes * 1e6 / annotations - 185 - images * 290 / annotations) / BYTES_A_NUMBER / 2)
    with path.open("w") as stream:
        stream.write('{"info": {"description": "generated", "year": 2017}, "licenses": [], "images": [')
        for number in range(1, images + 1):
            name = f"{number:012d}.jpg"
            image = {
                "license": 3,
                "file_name": name,
                "coco_url": f"http://images.cocodataset.org/train2017/{name}",
                "height": 480,
                "width": 640,
                "date_captured": "2013-11-14 11:18:45",
                "flickr_url": f"http://farm9.staticflickr.com/8186/{number}_4e622c8349_z.jpg",
                "id": number,
            }
            stream.write(", " * (number > 1) + json.dumps(image))
        stream.write('], "annotations": [')
        for number in range(annotations):
            stream.write(", " * (number > 0) + json.dumps(_annotation(rng, number, images, corners)))
        categories = [{"supercategory": "thing", "id": n, "name": f"class {n}"} for n in range(1, 91)]
        stream.write('], "categories": ' + json.dumps(categories) + "}")


def _annotation(rng: random.Random, number: int, images: int, corners: float) -> dict[str, object]:
    crowd = number % 90 == 0
    count = max(3, int(rng.expovariate(1 / corners)))
    runs = {"counts": [rng.randrange(1, 900) for _ in range(200)], "size": [480, 640]}
    return {
        "segmentation": runs if crowd else [[rng.randrange(64_000) / 100 for _ in range(2 * count)]],
        "area": rng.random() * 9999,
        "iscrowd": int(crowd),
        "image_id": rng.randrange(1, images + 1),
        "bbox": [rng.randrange(100, 30_000) / 100 for _ in range(4)],
        "category_id": rng.randrange(1, 91),
        "id": 900_100_000_000 + number if crowd else number + 1,
    }


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(way: str, path: str) -> dict[str, float]:
    """CPU seconds by step, annotations and peak memory of one way, in this process."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from pipelines.coco.entries import AnnotationEntry, ImageEntry, StrictAnnotation
    from pipelines.files.json_stream import Batch, read_object
    from pipelines.rows import Statements
    from pipelines.sources.base import Packing
    from pipelines.sources.coco import Source

    found: dict[str, float] = {}
    begun, wall = _cpu(), time.monotonic()
    count = 0
    if way == "json.load":
        with open(path, "rb") as stream:
            count = len(json.load(stream)["annotations"])
    else:
        source = Source(path, ".")
        source.survey()
        found["survey_cpu_s"] = round(_cpu() - begun, 2)
        if way == "entries":
            lists = {"images": (ImageEntry,), "annotations": (StrictAnnotation, AnnotationEntry)}
            for part in read_object(path, lists):
                count += len(part.entries) if isinstance(part, Batch) and part.name == "annotations" else 0
        elif way == "rows":
            count = sum(len(row.boxes) for row in source.read() if isinstance(row, Statements))
        else:
            for _ in source.pack(0, "", Packing(shards=60, seed=0)):
                count += 1
    found["cpu_s"] = round(_cpu() - begun, 2)
    found["wall_s"] = round(time.monotonic() - wall, 2)
    found["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    found["count"] = count
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=int, default=860_001)
    parser.add_argument("--megabytes", type=float, default=450)
    parser.add_argument("--file", type=Path, default=Path(tempfile.gettempdir()) / "wordtree_instances.json")
    parser.add_argument("--way", choices=WAYS, help="only this one, in this process")
    args = parser.parse_args()
    if args.way:
        print(json.dumps(measure(args.way, str(args.file))))
        return
    if not args.file.exists():
        make_file(args.file, args.annotations, args.megabytes)
    result: dict[str, object] = {"benchmark": "read_instances", "megabytes": round(args.file.stat().st_size / 1e6, 1)}
    for way in WAYS:
        command = [sys.executable, __file__, "--file", str(args.file), "--way", way]
        result[way] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
