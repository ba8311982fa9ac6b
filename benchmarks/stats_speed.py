"""How fast does `wordtree stats` count, beside pyarrow alone?

Makes a dataset's tables with a million annotation rows (or as many as told), four fifths boxes, then measures in
processes of their own: the whole job, from nothing to every figure; and pyarrow reading the same file and grouping it
by class and kind, which is one of those figures; and pyarrow only reading the columns that the job reads. Prints one
line of JSON: rows per second of CPU and of wall time without imports, and the peak memory of each process.

    python benchmarks/stats_speed.py --rows 1000000
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from schemas.arrow import ANNOTATIONS_SCHEMA, INDEX_SCHEMA  # noqa: E402
from schemas.manifest import ClassEntry, Counts, Manifest  # noqa: E402

PER_IMAGE = 7
SHARD = 2000

MEASURED = """
import json, resource, sys, time
begun = time.process_time()
{imports}
ready, wall = time.process_time(), time.perf_counter()
{work}
done, wall = time.process_time(), time.perf_counter() - wall
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({{"cpu": done - ready, "imports": ready - begun, "wall": wall, "peak": peak, "found": found}}))
"""

STATS = MEASURED.format(
    imports="from pipelines.statistics.job import count\nfrom schemas.dataset_files import open_dataset_files",
    work="one = count([open_dataset_files(sys.argv[1])], workers=int(sys.argv[2])).datasets[0]\n"
    "found = sum(map(sum, one.annotations.classes.values()))",
)

GROUP_BY = MEASURED.format(
    imports="import pyarrow, pyarrow.parquet as pq",
    work="table = pq.read_table(sys.argv[1] + '/train.annotations.parquet', columns=['class_id', 'kind', 'presence'])\n"
    "groups = table.group_by(['class_id', 'kind', 'presence']).aggregate([([], 'count_all')])\n"
    "found = sum(groups['count_all'].to_pylist())",
)

READ = MEASURED.format(
    imports="import pyarrow, pyarrow.parquet as pq\nfrom pipelines.statistics.batches import ANNOTATION_COLUMNS",
    work="file = pq.ParquetFile(sys.argv[1] + '/train.annotations.parquet')\n"
    "found = sum(len(b) for b in file.iter_batches(1 << 17, columns=list(ANNOTATION_COLUMNS), use_threads=False))",
)


def make_tables(folder: Path, rows: int, classes: int, seed: int) -> None:
    """An index, annotations and a manifest; a row group for each shard, as conversions write them."""
    rng = np.random.default_rng(seed)
    images = -(-rows // PER_IMAGE)
    ids = [f"{number:012}" for number in range(images)]
    with pq.ParquetWriter(folder / "train.index.parquet", INDEX_SCHEMA) as writer:
        for first in range(0, images, SHARD):
            mine = ids[first : first + SHARD]
            sha = [hashlib.sha256(name.encode()).hexdigest() for name in mine]
            given = {"image_id": mine, "sha256": sha, "width": rng.integers(300, 640, len(mine)), "height": 480}
            given |= {"format": "jpeg", "has_boxes": True, "orientation": 1, "shard": f"{first}", "length": 1}
            writer.write_table(_table(INDEX_SCHEMA, given, len(mine)))
    with pq.ParquetWriter(folder / "train.annotations.parquet", ANNOTATIONS_SCHEMA) as writer:
        for first in range(0, rows, SHARD * PER_IMAGE):
            n = min(SHARD * PER_IMAGE, rows - first)
            low = rng.random((n, 2), np.float32) * 0.8
            high = low + rng.random((n, 2), np.float32) * 0.2
            box = rng.random(n) < 0.8
            class_id = np.minimum(rng.zipf(1.3, n), classes)
            given = {"image_id": [ids[k // PER_IMAGE] for k in range(first, first + n)], "class_id": class_id}
            given |= {"kind": np.where(box, "box", "label"), "label": [f"class {k}" for k in class_id], "presence": 1}
            given |= {"confidence": np.where(box, 1, rng.random(n)).astype(np.float32), "is_crowd": False}
            given |= {"source": np.where(box, "", "machine")}
            for name, side in zip(("ymin", "xmin", "ymax", "xmax"), (*low.T, *high.T), strict=True):
                given[name] = pa.array(side, pa.float32(), mask=~box)
            given["area"] = pa.array(high[:, 0] * 9000, pa.float32(), mask=~box)
            writer.write_table(_table(ANNOTATIONS_SCHEMA, given, n))
    manifest = Manifest(
        source="coco",
        split="train",
        has_boxes=True,
        options={},
        versions={},
        source_files=(),
        counts=Counts(images_in=images, images_written=images, annotations_in=rows, annotations_written=rows),
        shards=(),
        classes=tuple(ClassEntry(id=k, label=f"class {k}") for k in range(1, classes + 1)),
    )
    (folder / "manifest.json").write_text(manifest.to_json())


def _table(schema: pa.Schema, given: dict[str, object], n: int) -> pa.Table:
    """A table of n rows; a single value fills its column, and what is not given is empty."""
    empty = {pa.string(): "", pa.bool_(): False}
    columns = []
    for field in schema:
        value = given.get(field.name, None if field.nullable else empty.get(field.type, 0))
        whole = isinstance(value, list | np.ndarray | pa.Array)
        columns.append(pa.array(value, field.type) if whole else pa.repeat(pa.scalar(value, field.type), n))
    return pa.table(columns, schema=schema)


def measured(script: str, *words: str) -> dict[str, float]:
    """What a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *words], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=600)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3, help="the best counts")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    result: dict[str, object] = {"benchmark": "stats_speed", "rows": args.rows, "classes": args.classes}
    with tempfile.TemporaryDirectory() as name:
        make_tables(Path(name), args.rows, args.classes, args.seed)
        runs: dict[str, list[dict[str, float]]] = {"stats": [], "group_by": [], "read": []}
        for _ in range(args.repeats):
            runs["stats"].append(measured(STATS, name, str(args.workers)))
            runs["group_by"].append(measured(GROUP_BY, name))
            runs["read"].append(measured(READ, name))
        for kind, found in runs.items():
            assert all(run["found"] == args.rows for run in found), kind
            result[f"{kind}_rows_per_cpu_s"] = round(args.rows / min(run["cpu"] for run in found))
            result[f"{kind}_rows_per_s"] = round(args.rows / min(run["wall"] for run in found))
            result[f"{kind}_peak_mb"] = round(max(run["peak"] for run in found))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
