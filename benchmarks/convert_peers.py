"""`wordtree convert coco` beside other converters and beside the bound, on the same images in one run (Linux).

Each converter runs in a process of its own, in turns, --repeats times; the run with the fewest CPU seconds counts.

    bound            read, sha256, crc32c, write: what no converter can go below (in plain Python)
    wordtree         one worker; wordtree_2 has two
    od_api           the TensorFlow Object Detection API's own script
    official         the model garden's script, in one process; official_2 in two
    tfds, tfds_beam  TensorFlow Datasets, from a generator, and from a Beam pipeline on Beam's local runner

The first turn looks at memory and compares what was written, the others are timed. CPU seconds are those of the
conversion alone, of all processes it starts, after a first conversion of eight images in the same process, so that
nothing that is imported or set up once counts; `whole_cpu_s` counts all. Memory is the peak of all processes together.
What each one wrote is read back and compared image by image: `wrong` must be 0.

Before each run memory is touched and given back, see `peers/watch.py`: without it a virtual machine's first use of
memory is counted as the converter's time, and counts for more than the writing of the files.

With --large N (40000 in our own figures: 8 GB of disk) also: memory at N images against memory at --images, and, with
every image decoded (--verify=decode), whether two workers end sooner than one.

    sh benchmarks/peers/install.sh peers
    python benchmarks/convert_peers.py --peers peers --images 4000 --large 40000

Prints a table on stderr and one line of JSON. CPU seconds bear a busy machine; wall seconds, and so the comparison of
two workers with one, want an idle one: see `load_before`, and `load_after`, to which the run itself adds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.coco_set import BOXES, make_coco_set  # noqa: E402
from benchmarks.peers.contents import compare  # noqa: E402
from benchmarks.peers.watch import touch_memory, watch  # noqa: E402

WARM_UP = 8  # images
DECODE = "--verify=decode"
RATIOS = ("bound", "od_api", "official", "tfds", "tfds_beam")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Converter:
    """One line of the table: the environment ("" is ours), the runner in `peers/`, its words."""

    name: str
    environment: str
    runner: str
    words: tuple[str, ...] = ()


CONVERTERS = (
    Converter("bound", "", "run_bound.py"),
    Converter("wordtree", "", "run_wordtree.py"),
    Converter("wordtree_2", "", "run_wordtree.py", ("--pass", "--workers=2")),
    Converter("od_api", "od_api", "run_od_api.py"),
    Converter("official", "official", "run_official.py"),
    Converter("official_2", "official", "run_official.py", ("--processes", "2")),
    Converter("tfds", "tfds", "run_tfds.py"),
    Converter("tfds_beam", "tfds", "run_tfds.py", ("--beam",)),
)


def python_of(converter: Converter, peers: Path | None) -> str | None:
    """The Python that runs a converter; None if its environment is not there."""
    if not converter.environment:
        return sys.executable
    python = peers / converter.environment / "bin" / "python" if peers else None
    return str(python.absolute()) if python and python.exists() else None


def run(converter: Converter, python: str, dataset: Path, work: Path, *, sample: bool, check: bool) -> Row:
    """One run: seconds, with `sample` memory and, with `check`, what it wrote; or why it failed."""
    out = work / "out"
    env = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
    if not converter.environment:
        env["PYTHONPATH"] = str(ROOT)
    script = str(ROOT / "benchmarks" / "peers" / converter.runner)
    words = [str(dataset), str(out), "--warm-up", str(work / "few"), *converter.words]
    try:
        os.sync()
        touch_memory(_memory_to_touch(dataset))
        done = watch([python, script, *words], env=env, cwd=work, sample=sample)
        if done.code:
            return {"failed": (done.errors.strip().splitlines() or [f"exit status {done.code}"])[-1]}
        row: Row = json.loads(done.output.strip().splitlines()[-1])
        row |= {"whole_cpu_s": round(done.cpu_s, 3), "peak_mb": round(done.peak_mb, 1), "sampled": sample}
        return row | compare(dataset, out) if check and converter.name != "bound" else row
    finally:
        for folder in work.glob("out*"):
            shutil.rmtree(folder)


def _memory_to_touch(dataset: Path) -> int:
    """Twice what will be written, if half of the free memory is enough for it."""
    written = sum(entry.stat().st_size for entry in os.scandir(dataset / "images"))
    with open("/proc/meminfo") as stream:
        free = next(int(line.split()[1]) * 1024 for line in stream if line.startswith("MemAvailable:"))
    return min(2 * written, free // 2)


def best(runs: Sequence[Row], key: str, images: int) -> Row:
    """The run with the lowest `key` of those whose memory was not looked at, if there are such; with the highest memory
    of all runs and with what the first run's check found."""
    failed = next((row for row in runs if "failed" in row), None)
    if failed or not runs:
        return failed or {"failed": "no run"}
    timed = [row for row in runs if not row["sampled"]] or runs
    row = {name: value for name, value in min(timed, key=lambda row: row[key]).items() if name != "sampled"}
    found = {name: runs[0][name] for name in ("records", "boxes", "wrong") if name in runs[0]}
    row |= {"peak_mb": max(each["peak_mb"] for each in runs), **found}
    return {"images_per_cpu_s": round(images / row["cpu_s"]), "images_per_s": round(images / row["wall_s"]), **row}


def in_turns(
    plan: Sequence[tuple[Converter, str]], dataset: Path, work: Path, repeats: int, check: bool
) -> dict[str, list[Row]]:
    """The runs of each converter; one that fails is not tried again."""
    runs: dict[str, list[Row]] = {converter.name: [] for converter, _ in plan}
    for turn in range(repeats):
        for converter, python in plan:
            done = runs[converter.name]
            if not any("failed" in row for row in done):
                print(f"turn {turn + 1} of {repeats}: {converter.name}", file=sys.stderr, flush=True)
                done.append(run(converter, python, dataset, work, sample=turn == 0, check=check and turn == 0))
    return runs


def small_part(args: argparse.Namespace, work: Path) -> Row:
    """Every converter on the small set, and ours against the others."""
    dataset = work / "small"
    make_coco_set(dataset, args.images, args.boxes, args.seed)
    chosen = [converter for converter in CONVERTERS if not args.only or converter.name in args.only]
    pythons = {converter.name: python_of(converter, args.peers) for converter in chosen}
    plan = [(converter, python) for converter in chosen if (python := pythons[converter.name])]
    runs = in_turns(plan, dataset, work, args.repeats, True)
    missing: Row = {"skipped": "not installed: sh benchmarks/peers/install.sh FOLDER, then --peers FOLDER"}
    rows = {name: best(runs[name], "cpu_s", args.images) if python else missing for name, python in pythons.items()}
    ours: int | None = rows.get("wordtree", {}).get("images_per_cpu_s")
    ratios = {
        name: round(ours / rows[name]["images_per_cpu_s"], 2)
        for name in RATIOS
        if ours and "images_per_cpu_s" in rows.get(name, {})
    }
    return {"converters": rows, "wordtree_over": ratios}


def large_part(args: argparse.Namespace, work: Path, small: Row) -> Row:
    """Ours on the large set: memory against the small set, and two workers against one with every image decoded."""
    dataset = work / "large"
    make_coco_set(dataset, args.large, args.boxes, args.seed)
    plan = [(Converter("wordtree", "", "run_wordtree.py"), sys.executable)]
    help_text = subprocess.run(
        [sys.executable, "-m", "wordtree", "convert", "coco", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if knows := DECODE.split("=")[0] in help_text:
        plan += [
            (Converter(f"decode_{n}", "", "run_wordtree.py", ("--pass", DECODE, f"--workers={n}")), sys.executable)
            for n in (1, 2)
        ]
    runs = in_turns(plan, dataset, work, args.large_repeats, False)
    rows = {name: best(found, "wall_s", args.large) for name, found in runs.items()}
    if not knows:
        rows["decode"] = {"skipped": f"`wordtree convert coco` knows no {DECODE}"}
    result: Row = {"images": args.large, "converters": rows}
    peaks = [row.get("peak_mb") for row in (small["converters"].get("wordtree", {}), rows["wordtree"])]
    if peaks[0] and peaks[1]:
        result["memory_ratio"] = round(peaks[1] / peaks[0], 3)
    if all("wall_s" in rows.get(f"decode_{n}", {}) for n in (1, 2)):
        result["two_workers_times_faster"] = round(rows["decode_1"]["wall_s"] / rows["decode_2"]["wall_s"], 2)
    return result


def table(rows: dict[str, Row]) -> str:
    """The rows for people."""
    columns = ("images_per_cpu_s", "images_per_s", "cpu_s", "user_s", "system_s", "whole_cpu_s", "peak_mb", "wrong")
    lines = [f"{'':<12}" + "".join(f"{name:>17}" for name in columns)]
    for name, row in rows.items():
        why = row.get("skipped") or row.get("failed")
        lines.append(f"{name:<12}" + (f" {why}" if why else "".join(f"{row.get(key, ''):>17}" for key in columns)))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder made by peers/install.sh")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--boxes", type=int, default=BOXES, help="per image")
    parser.add_argument("--large", type=int, default=0, help="images of the large set (default: leave it out)")
    parser.add_argument("--repeats", type=int, default=3, help="of every converter; the best counts")
    parser.add_argument("--large-repeats", type=int, default=2, help="on the large set (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=[converter.name for converter in CONVERTERS], metavar="NAME")
    parser.add_argument("--work", type=Path, help="where the temporary folder is made")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=args.work) as name:
        work = Path(name).resolve()
        make_coco_set(work / "few", WARM_UP, args.boxes, args.seed)
        small = small_part(args, work)
        print(table(small["converters"]), file=sys.stderr)
        result: Row = {"benchmark": "convert_peers", "images": args.images, "boxes_per_image": args.boxes, **small}
        if args.large:
            shutil.rmtree(work / "small")
            result["large"] = large_part(args, work, small)
            print(table(result["large"]["converters"]), file=sys.stderr)
    loads = {"load_before": round(load, 2), "load_after": round(os.getloadavg()[0], 2)}
    machine = {"cores": os.cpu_count(), **loads, "python": platform.python_version()}
    print(json.dumps({**result, "machine": machine}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
