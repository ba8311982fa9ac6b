"""How fast are label rows checked, joined and written, and is their memory flat?

Makes Parquet files of random rows like those of a web-scale set: 2.5 rows an image in the order of the images, a long
tail of 18,000 classes, three sources, one row in a thousand with a fault. For each size three processes of their own,
watched from outside: `convert labels --rows-only` with one and with several workers, and pyarrow's own read-and-write
of the same file, streaming, nothing checked. Then a small set with its pixels. Prints one line of JSON.

    python benchmarks/label_rows.py --rows 1000000 10000000 --images 4000
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.peers.watch import watch  # noqa: E402
from wordtree.processes import environment, python  # noqa: E402

pc: Any = pyarrow.compute
CLASSES = 18_000
ROWS_AN_IMAGE = 2.5
SCHEMA = pa.schema(
    [("image", pa.string()), ("label", pa.string()), ("confidence", pa.float32()), ("source", pa.string())]
)
COPY = """
import sys
import pyarrow.parquet as pq
source, out = sys.argv[1:]
file = pq.ParquetFile(source)
with pq.ParquetWriter(out, file.schema_arrow) as writer:
    for batch in file.iter_batches(1 << 18):
        writer.write_batch(batch)
"""
CONVERT = """
import json, resource, sys, time
from pipelines.plan import Options, make_plan
from pipelines.sources.labels import Source
if __name__ == "__main__":
    rows, images, out, workers = sys.argv[1:]
    import apache_beam
    from pipelines.convert import convert
    from pipelines.label_rows.job import convert_rows
    imports = resource.getrusage(resource.RUSAGE_SELF)
    began = time.monotonic()
    source = Source((rows,), images=images, rows_only=not images)
    plan = make_plan(source, out, Options())
    planned = time.monotonic()
    if images:
        done = convert(plan, workers=int(workers))
    else:
        done = convert_rows(plan, workers=int(workers))
    counts = done.manifest.counts
    assert counts.annotations_in == counts.annotations_written + counts.annotations_rejected
    told = dict(wall_s=time.monotonic() - began, plan_s=planned - began)
    told["imports_cpu_s"] = imports.ru_utime + imports.ru_stime
    print(json.dumps({**told, "rows_in": counts.annotations_in, "images_in": counts.images_in,
                      "rejected": dict(counts.rejected_by_reason)}))
"""


def make_rows(path: Path, rows: int, seed: int = 0) -> None:
    """Write a Parquet file of random label rows."""
    draw = np.random.default_rng(seed)
    names = pa.array([f"n{number:08d}" for number in range(CLASSES)])
    sources = pa.array(["machine", "text", "clicks"])
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for start in range(0, rows, 1 << 20):
            count = min(1 << 20, rows - start)
            image = (np.arange(start, start + count) / ROWS_AN_IMAGE).astype(np.int64)
            folder = pc.utf8_lpad(pa.array(image % 997).cast(pa.string()), 3, "0")
            number = pc.utf8_lpad(pa.array(image).cast(pa.string()), 12, "0")
            confidence = draw.random(count, np.float32)
            confidence[draw.random(count) < 0.001] = 2
            columns = [
                pc.binary_join_element_wise("photos/", folder, "/", number, ".jpg", ""),
                names.take(pa.array(np.minimum(draw.zipf(1.3, count), CLASSES) - 1)),
                pa.array(confidence),
                sources.take(pa.array(draw.integers(0, 3, count))),
            ]
            writer.write_table(pa.table(columns, schema=SCHEMA))


def make_photos(folder: Path, rows: Path, images: int) -> None:
    """A small JPEG for every image of the first rows."""
    from PIL import Image

    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (240, 320, 3), np.uint8)
    table = pq.ParquetFile(rows).read_row_group(0, columns=["image"])
    for number, name in enumerate(pc.unique(table["image"]).to_pylist()[:images]):
        pixels[0, 0] = number % 256, number // 256 % 256, 0
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=60)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(buffer.getvalue())


def measured(script: str, rows: int, *words: str) -> dict[str, Any]:
    """Run a script; its figures."""
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:  # workers import the main module again
        file.write(script)
        file.flush()
        done = watch(python(file.name, *words), env=environment(), cwd=ROOT, sample=True)
    if done.code:
        sys.exit(f"{done.errors}\nthe measured process ended with {done.code}")
    told = json.loads(done.output) if done.output else {}
    wall = told.get("wall_s", done.wall_s)
    return {
        "rows_per_s": round(rows / wall),
        "wall_s": round(wall, 2),
        "cpu_s": round(done.cpu_s, 2),
        "peak_mb": round(done.peak_mb),
        **{name: told[name] if name == "rejected" else round(told[name], 2) for name in told if name != "wall_s"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--images", type=int, default=4000, help="of the set with pixels; 0 for none")
    args = parser.parse_args()
    result: dict[str, Any] = {"benchmark": "label_rows", "workers": args.workers, "sizes": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for rows in args.rows:
            path = folder / f"{rows}.parquet"
            make_rows(path, rows)
            size: dict[str, Any] = {"rows": rows, "megabytes": round(path.stat().st_size / 1e6, 1)}
            size["pyarrow"] = measured(COPY, rows, str(path), str(folder / "copy.parquet"))
            for workers in sorted({1, args.workers}):
                out = str(folder / f"out-{rows}-{workers}")
                size[f"rows_only_{workers}"] = measured(CONVERT, rows, str(path), "", out, str(workers))
            result["sizes"].append(size)
        if args.images:
            path, photos = folder / "few.parquet", folder / "pixels"
            rows = int(args.images * ROWS_AN_IMAGE)
            make_rows(path, rows)
            make_photos(photos, path, args.images)
            result["with_pixels"] = measured(CONVERT, rows, str(path), str(photos), str(folder / "out-pixels"), "1")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
