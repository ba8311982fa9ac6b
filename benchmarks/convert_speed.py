"""How close does `convert coco` come to a plain loop that only copies and checks the bytes?

Makes N images and an instances file in a temporary folder (`coco_set.py`), then measures CPU seconds of two
processes of their own: the bound (read, sha256, CRC, write, nothing else) and the conversion, imports included and
without. Prints one line of JSON; `ratio` is the conversion's images per CPU second over the bound's.

    python benchmarks/convert_speed.py --images 4000
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.coco_set import BOXES, make_coco_set  # noqa: E402

BOUND = """
import hashlib, os, sys
from schemas.tfrecord import frame
images, out = sys.argv[1:]
with open(out, "wb") as stream:
    for name in sorted(os.listdir(images)):
        with open(os.path.join(images, name), "rb") as source:
            data = source.read()
        hashlib.sha256(data).hexdigest()
        stream.write(frame(data))
"""

CONVERT = """
import resource, sys
annotations, images, out = sys.argv[1:]
from pipelines.convert import convert
from pipelines.plan import Options, make_plan
from pipelines.sources.coco import Source
before = resource.getrusage(resource.RUSAGE_SELF)
convert(make_plan(Source(annotations, images), out, Options(labels="none")))
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 1024)
"""


def cpu_seconds(script: str, *words: str) -> tuple[float, str]:
    """CPU seconds of a Python process, and its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", script, *words], cwd=ROOT, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--boxes", type=int, default=BOXES, help="per image; COCO has 7.3")
    parser.add_argument("--repeats", type=int, default=3, help="the best counts")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        megabytes = make_coco_set(folder, args.images, args.boxes, args.seed) / 1e6
        images, annotations = str(folder / "images"), str(folder / "instances.json")
        imports = min(cpu_seconds("import google_crc32c, schemas.tfrecord")[0] for _ in range(args.repeats))
        bounds, totals, runs, memory = [], [], [], 0.0
        for repeat in range(args.repeats):
            bounds.append(cpu_seconds(BOUND, images, str(folder / f"bound{repeat}"))[0] - imports)
            total, printed = cpu_seconds(CONVERT, annotations, images, str(folder / f"out{repeat}"))
            run, memory = (float(word) for word in printed.split())
            totals.append(total)
            runs.append(run)
    bound, run = args.images / min(bounds), args.images / min(runs)
    print(
        json.dumps(
            {
                "benchmark": "convert_speed",
                "images": args.images,
                "megabytes": round(megabytes, 1),
                "boxes_per_image": args.boxes,
                "bound_images_per_cpu_s": round(bound),
                "convert_images_per_cpu_s": round(run),
                "convert_images_per_cpu_s_with_imports": round(args.images / min(totals)),
                "ratio": round(run / bound, 3),
                "peak_rss_mb": round(memory),
            }
        )
    )


if __name__ == "__main__":
    main()
