"""Which rule for labels-only images finds classes that were never boxed? Every rule, with clean and with wrong labels.

Runs the commands a user would, on a folder in the layout of the joint experiments (det_train/ and eval_fine/,
eval_coarse/ in COCO form, cls_train/ in ImageNet form, synsets.csv). An arm differs from the configuration in the
options of its row in ARMS and in nothing else. `--noise 0.2` gives one labelled image in five a wrong label, drawn
uniformly from the other classes by a hash of its name. Runs take turns over the seeds, two at a time, each on one core;
a finished run is kept as one line of WORK/rows.jsonl and is not run again, so it can be stopped and started.

    python benchmarks/weak_rules.py ../shared/data/joint/tiny64 work --seeds 0 1 2 --noise 0 0.2

Prints a table and one JSON line. AP50, recall (100 boxes of any class, IoU 0.5) and CorLoc (the best box of a labelled
class overlaps it by 0.5) are those of `wordtree evaluate`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from wordtree.processes import environment, python

ARMS: dict[str, list[str]] = {
    "boxes alone": ["loss.weak=off"],
    "45 boxes a class": ["loss.weak=off"],
    "paper": ["loss.weak=paper"],
    "release2017": ["loss.weak=release2017"],
    "release2017_07": ["loss.weak=release2017_07"],
    "head": ["loss.weak=head"],
    "objectness": ["loss.weak=objectness"],
    "size": ["loss.weak=size"],
    "ancestor": ["loss.weak=ancestor"],
    "ancestor+pseudo": ["loss.weak=ancestor", "loss.weak_pseudo=0.5", "loss.weak_pseudo_after=400"],
    "marginal": ["loss.weak=marginal"],
    "marginal+pseudo": ["loss.weak=marginal", "loss.weak_pseudo=0.5", "loss.weak_pseudo_after=400"],
    "marginal+teacher": ["loss.weak=marginal", "loss.weak_teacher=true"],
    "marginal+robust": ["loss.weak=marginal", "loss.weak_robust=0.5"],
    "marginal+federated": ["loss.weak=marginal", "loss.federated=0.1"],
}
# What an arm trains on besides det-train; the others take the labelled images.
BOXES_ONLY = {"boxes alone": [], "45 boxes a class": ["det-extra"]}
COLUMNS = ("never_boxed", "boxed", "recall", "corloc")
ONE_CORE = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


def wordtree(*words: object, log: Path | None = None) -> None:
    """One command on one core; its output goes to `log`."""
    command = python("-m", "wordtree", *map(str, words))
    one_core = environment(**ONE_CORE)
    if log is None:
        subprocess.run(command, check=True, stdout=sys.stderr, env=environment())
        return
    with open(log, "a") as out:
        subprocess.run(command, check=True, stdout=out, stderr=subprocess.STDOUT, env=one_core)


def noisy_folder(source: Path, out: Path, noise: float) -> Path:
    """Links to the images of `source`/WNID/, a share of them below the folder of another wnid."""
    wnids = sorted(path.name for path in source.iterdir() if path.is_dir())
    for wnid in wnids:
        (out / wnid).mkdir(parents=True, exist_ok=True)
    for wnid in wnids:
        for image in sorted((source / wnid).iterdir()):
            draw = int.from_bytes(hashlib.blake2b(f"noise/{image.name}".encode(), digest_size=8).digest(), "little")
            others = [other for other in wnids if other != wnid]
            given = others[draw // 1000 % len(others)] if draw % 1000 < 1000 * noise else wnid
            link = out / given / image.name
            if not link.is_symlink():
                link.symlink_to(image.resolve())
    return out


def finely_labelled(folder: Path, out: Path, labels: Path) -> Path:
    """The boxes of images called WNID_*.JPEG with that wnid's label in place of the coarse one."""
    names = {wnid: name for name, wnid in (line.rsplit(",", 1) for line in labels.read_text().splitlines()[1:])}
    data = json.loads((folder / "instances.json").read_text())
    wnid_of = {image["id"]: image["file_name"].split("_")[0] for image in data["images"]}
    wnids = sorted(set(wnid_of.values()))
    data["categories"] = [{"id": k, "name": names[wnid]} for k, wnid in enumerate(wnids, start=1)]
    for box in data["annotations"]:
        box["category_id"] = wnids.index(wnid_of[box["image_id"]]) + 1
    out.write_text(json.dumps(data))
    return out


def prepare(data: Path, work: Path, noises: list[float]) -> None:
    """The tree and the dataset directories."""
    work.mkdir(parents=True, exist_ok=True)
    labels, tree = data / "synsets.csv", work / "tree"
    wordtree("tree", "build", "--labels", labels, "--out", tree)
    for name in ("det_train", "eval_fine", "eval_coarse"):
        source = ["--annotations", data / name / "instances.json", "--images", data / name / "images"]
        wordtree("convert", "coco", work / name.replace("_", "-"), *source, "--labels", labels, "--tree", tree)
    if (data / "det_extra").exists():
        boxes = finely_labelled(data / "det_extra", work / "det-extra.json", labels)
        source = ["--annotations", boxes, "--images", data / "det_extra" / "images"]
        wordtree("convert", "coco", work / "det-extra", *source, "--labels", labels, "--tree", tree)
    for noise in noises:
        images = data / "cls_train" if not noise else noisy_folder(data / "cls_train", work / f"noise-{noise}", noise)
        wordtree("convert", "imagenet", work / f"cls-{noise}", "--images", images, "--tree", tree)


def one_run(work: Path, config: str, arm: str, seed: int, noise: float, overrides: list[str]) -> dict[str, object]:
    """Train and evaluate one arm; returns its row."""
    run = work / "runs" / f"{arm.replace(' ', '-')}-noise{noise}-seed{seed}"
    run.parent.mkdir(parents=True, exist_ok=True)
    log = run.with_name(f"{run.name}.log")
    datasets = [work / name for name in ["det-train", *BOXES_ONLY.get(arm, [f"cls-{noise}"])]]
    sets = [word for option in [*ARMS[arm], *overrides, f"train.seed={seed}"] for word in ("--set", option)]
    began = time.monotonic()
    wordtree("train", config, "--data", *datasets, "--tree", work / "tree", "--out", run, *sets, log=log)
    seconds = time.monotonic() - began
    wordtree("evaluate", run, work / "eval-fine", work / "eval-coarse", log=log)
    fine, coarse = (json.loads((run / "evaluation" / f"eval-{name}.json").read_text()) for name in ("fine", "coarse"))
    return {
        "arm": arm,
        "noise": noise,
        "seed": seed,
        "never_boxed": round(fine["summary"]["AP50"], 4),
        "boxed": round(coarse["summary"]["AP50"], 4),
        "recall": round(fine["summary"]["recall100_unboxed"], 4),
        "corloc": round(fine["summary"]["corloc_unboxed"], 4),
        "classes": {row["label"]: round(row["AP50"], 4) for row in fine["classes"]},
        "train_seconds": round(seconds),
        "steps": int(fine["step"]),
    }


def table(rows: list[dict], noises: list[float]) -> str:
    """Means over the seeds, with the range of AP50 on never boxed classes."""
    lines = []
    for noise in noises:
        lines.append(f"\n{round(100 * noise)} % wrong labels")
        lines.append(f"{'arm':20} seeds  never boxed AP50       boxed AP50  recall  CorLoc")
        for arm in ARMS:
            mine = [row for row in rows if row["arm"] == arm and row["noise"] == noise]
            if not mine:
                continue
            never, boxed, recall, corloc = (sum(row[k] for row in mine) / len(mine) for k in COLUMNS)
            low, high = min(row["never_boxed"] for row in mine), max(row["never_boxed"] for row in mine)
            spread = f"{never:.3f} ({low:.3f} to {high:.3f})"
            lines.append(f"{arm:20} {len(mine):5}  {spread}  {boxed:10.3f}  {recall:6.3f}  {corloc:6.3f}")
    return "\n".join(lines)


def main() -> None:
    """Prepare, run what is missing, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--config", default="tiny64")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.2])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    prepare(args.data, args.work, args.noise)
    kept = args.work / "rows.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {(row["arm"], row["noise"], row["seed"]) for row in rows}
    wanted = [(arm, noise, seed) for seed in args.seeds for noise in args.noise for arm in args.arms]

    def work_on(task: tuple[str, float, int]) -> None:
        arm, noise, seed = task
        row = one_run(args.work, args.config, arm, seed, noise, args.set)
        rows.append(row)
        with open(kept, "a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), file=sys.stderr, flush=True)

    with ThreadPoolExecutor(args.workers) as pool:
        for future in [pool.submit(work_on, task) for task in wanted if task not in done]:
            future.result()
    rows.sort(key=lambda row: (row["noise"], list(ARMS).index(row["arm"]), row["seed"]))
    print(table(rows, args.noise), file=sys.stderr)
    print(json.dumps({"benchmark": "weak_rules", "config": args.config, "set": args.set, "runs": rows}))


if __name__ == "__main__":
    main()
