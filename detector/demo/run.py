"""`wordtree demo`: the whole job, by the very commands that a user would type.

    OUT/data/                             the drawn data set, in official layouts
    OUT/tree/                             the WordTree of its classes
    OUT/det-train, cls-train, eval-*/     dataset directories
    OUT/run/                              the trained run and its evaluation
    OUT/detections/                       boxes and paths on some of the evaluation pictures
    OUT/report.html                       what to look at

Each command runs in a process of its own and its output is passed on. A demo that was stopped goes on where it was:
drawing, converting and training find their finished work, the quick steps at the end are done again.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.demo.dataset import DemoSizes, render_dataset
from schemas.errors import OutputError, WordTreeError
from wordtree.processes import environment, python

Log = Callable[[str], None]

QUICK_SIZES = DemoSizes(det_train=128, cls_train=128, eval=32)
QUICK_STEPS = 120
QUICK_SETTINGS = (
    f"train.steps={QUICK_STEPS}",
    "train.batch_size=16",
    "train.warmup_steps=20",
    "train.log_every=10",
    "train.checkpoint_every=40",
)
RULE = "-" * 78


@dataclass(frozen=True)
class Step:
    """One command of the demo.

    Attributes:
        what: it does, for people.
        words: after `wordtree`; empty for drawing, which has no command of its own.
        minutes: expected on 2 CPU cores, (whole demo, quick demo).
    """

    what: str
    words: tuple[str, ...]
    minutes: tuple[float, float]

    def typed(self) -> str:
        """The command line as a person would type it."""
        return shlex.join(("wordtree", *self.words)) if self.words else ""


def demo_steps(out: Path, *, quick: bool) -> tuple[Step, ...]:
    """All steps, in order."""
    data, tree, run = out / "data", str(out / "tree"), str(out / "run")
    det, cls = str(out / "det-train"), str(out / "cls-train")
    coarse, fine = str(out / "eval-coarse"), str(out / "eval-fine")
    found, report = str(out / "detections"), str(out / "report.html")
    labels = ("--labels", str(data / "synsets.csv"))

    def coco(name: str, annotations: Path, images: Path) -> tuple[str, ...]:
        files = ("--annotations", str(annotations), "--images", str(images))
        return ("convert", "coco", name, *files, *labels, "--tree", tree)

    sure = ("--threshold", "0.1" if quick else "0.3")  # a short training leaves low scores
    settings = [word for setting in QUICK_SETTINGS for word in ("--set", setting)] if quick else []
    det_files, eval_files = data / "det_train", data / "eval"
    eval_images = eval_files / "images"
    shown = str(eval_images / "eval_0000[012]?.jpg")
    return (
        Step("draw the data set", (), (0.3, 0.1)),
        Step("build the tree of its classes from WordNet", ("tree", "build", *labels, "--out", tree), (0.05, 0.05)),
        Step(
            "convert the boxed images: coarse classes",
            coco(det, det_files / "annotations" / "instances.json", det_files / "images"),
            (0.05, 0.05),
        ),
        Step(
            "convert the labelled images: fine classes, no boxes",
            ("convert", "imagenet", cls, "--images", str(data / "cls_train"), "--tree", tree),
            (0.05, 0.05),
        ),
        Step(
            "convert the evaluation images with coarse boxes",
            coco(coarse, eval_files / "annotations" / "instances_coarse.json", eval_images),
            (0.05, 0.05),
        ),
        Step(
            "convert the evaluation images with fine boxes",
            coco(fine, eval_files / "annotations" / "instances_fine.json", eval_images),
            (0.05, 0.05),
        ),
        Step("look at the shapes of the boxes", ("anchors", det, "--count", "5", "--curve"), (0.05, 0.05)),
        Step(
            "train on both sets together",
            ("train", "demo", "--data", det, cls, "--tree", tree, "--out", run, *settings),
            (2.5, 0.4),
        ),
        Step(
            "evaluate: classes with boxes, and classes that never had one",
            ("evaluate", run, coarse, fine),
            (0.2, 0.1),
        ),
        Step("detect on evaluation images", ("detect", run, shown, "--out", found, *sure, "--force"), (0.2, 0.2)),
        Step(
            "write the report",
            ("report", run, "--data", det, cls, coarse, fine, "--detections", found, "--out", report, "--force"),
            (0.05, 0.05),
        ),
    )


def run_demo(out: Path, *, seed: int = 0, quick: bool = False, log: Log = print) -> Path:
    """Run all steps; returns the report's path.

    Args:
        out: directory to work in; made if need be.
        seed: of the drawn figures.
        quick: fewer images and a few steps of training: a look at every command, no useful detector.
        log: takes lines.

    Raises:
        OutputError: if `out` holds something else.
        WordTreeError: if a command fails; its own message was passed on before.
    """
    out = one_spelling(out)
    steps = demo_steps(out, quick=quick)
    total = sum(step.minutes[quick] for step in steps)
    log(f"The main job on data made on the spot, in {out}: {len(steps)} steps, about {total:.0f} min on 2 CPU cores")
    for number, step in enumerate(steps, start=1):
        log(f"  {number:>2}  {step.what}" + (f" (about {step.minutes[quick]:.0f} min)" * (step.minutes[quick] >= 1)))
    if quick:
        log("quick: every step in small; the detector learns little")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot make the directory ({error.strerror})") from error
    began = time.monotonic()
    for number, step in enumerate(steps, start=1):
        log(f"\n{RULE}\nstep {number} of {len(steps)}: {step.what}")
        if step.words:
            log(f"$ {step.typed()}")
        log(RULE)
        lap = time.monotonic()
        if step.words:
            _run(step, number, len(steps), out, log)
        else:
            render_dataset(out / "data", seed=seed, sizes=QUICK_SIZES if quick else DemoSizes(), log=log)
            log(f"{out / 'data' / 'README.txt'} says what was drawn")
        now = time.monotonic()
        log(f"step {number} took {now - lap:.1f} s; {(now - began) / 60:.1f} minutes so far")
    report = out / "report.html"
    log(f"\n{RULE}\ndone. Open {report.resolve().as_uri()}\n{RULE}")
    if quick:
        log(f"quick: trained for {QUICK_STEPS} steps alone, so the figures mean little; the whole demo learns")
    return report


def one_spelling(out: Path) -> Path:
    """The directory seen from the current one if it lies below it, else absolute.

    Commands note the paths they were given; another spelling of the same path would look like other data.
    """
    absolute = Path(os.path.abspath(out))
    here = Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute


def _run(step: Step, number: int, count: int, out: Path, log: Log) -> None:
    """One command in a process of its own, its lines passed on as they come."""
    code = stream(python("-m", "wordtree", *step.words), log)
    if code:
        raise WordTreeError(
            f"step {number} of {count} ended with exit code {code}: `{step.typed()}`; its message stands above. "
            f"Finished steps are kept: run `wordtree demo` with --out {shlex.quote(str(out))} again to go on"
        )


def stream(command: Sequence[str], log: Log) -> int:
    """Run a command, pass on each line of its output and errors, and return its exit code."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env=environment(PYTHONUNBUFFERED="1"),
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            log(line.rstrip("\n"))
    return process.returncode
