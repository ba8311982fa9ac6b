"""`wordtree export`: a run to a directory of models, whole or not at all, and what the exports lost."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from detector.api import Classifier
from detector.architectures.faster_rcnn import FasterRcnn
from detector.architectures.yolo9000 import Yolo9000
from detector.dataset import Dataset, open_dataset
from detector.decode import check_decode
from detector.export.check import check, open_check
from detector.export.classifying import ServedClassifier
from detector.export.images import Fit, draw, fit_of
from detector.export.lite_model import RawNetwork, write_lite
from detector.export.lite_two_stage import RawTwoStage
from detector.export.plan import FORMATS, LITE_KINDS, ExportPlan, check_plan, refuse_existing, spread
from detector.export.serving import ServedDetector
from detector.export.serving_two_stage import ServedTwoStage
from detector.input import first_line
from detector.run import Run, write_tree
from schemas.errors import ConfigError, FormatError, InputError, OutputError

Log = Callable[[str], None]


def export(run: Run, out: Path, plan: ExportPlan, *, force: bool = False, log: Log = print) -> dict[str, Any]:
    """Write the directory `out`; returns what its export.json holds.

    Args:
        run: trained.
        out: directory to make; written whole or not at all.
        plan: what to make.
        force: replace `out` if it holds an export.
        log: takes progress lines.

    Raises:
        OutputError: `out` exists and `force` is not set, or it holds no export.
        ConfigError: the plan is wrong, or the run is no detector.
    """
    check_plan(plan)
    refuse_existing(out, force)
    check_run(run, plan)
    check_decode(plan.options, len(run.tree))
    calibration = open_dataset(plan.calibration) if plan.calibration else None
    subject = open_check(plan) if plan.check else None
    if calibration is not None and not len(calibration):
        raise InputError(f"--calibration {plan.calibration} has no images; expected some that show what it will see")
    out = out.absolute() if out.name else out.resolve()
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        about = describe(run, plan)
        write_tree(run.tree, partial / "tree")
        for name in plan.formats:
            log(f"writing {FORMATS[name]}")
            write_format(run, name, partial, plan, about, calibration)
        about["files"] = [described(name, partial) for name in plan.formats]
        # The check opens the directory as a user will, so this stands there before.
        (partial / "export.json").write_text(json.dumps(about, indent=1) + "\n")
        if subject is not None:
            about["check"] = check(run, partial, plan, subject, about["files"], log)
            (partial / "export.json").write_text(json.dumps(about, indent=1) + "\n")
        replace_directory(partial, out)
    except OSError as error:
        raise OutputError(f"{out}: cannot write it ({error.strerror or error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return about


def is_classifier(run: Run) -> bool:
    """Whether the run names whole images and finds no boxes."""
    return isinstance(run.detector, Classifier)


def has_two_stages(run: Run) -> bool:
    """Whether the run's detector has proposals between two networks."""
    return isinstance(run.detector, FasterRcnn)


def check_run(run: Run, plan: ExportPlan) -> None:
    """Refuse what this architecture cannot be.

    Raises:
        ConfigError: TFLite or a check of a classifier, or an architecture that is not known here.
    """
    if is_classifier(run):
        lite = [kind for kind in plan.formats if kind in LITE_KINDS]
        if lite or plan.check:
            what = f"--format {lite[0]}" if lite else "--check"
            raise ConfigError(
                f"{what} is for detectors, and {run.path} is a classifier; it can be saved-model and keras"
            )
    elif (lite := [kind for kind in plan.formats if kind in LITE_KINDS]) and not (
        has_two_stages(run) or isinstance(run.detector, Yolo9000)
    ):
        raise ConfigError(
            f"--format {lite[0]}: {run.path} is a {run.experiment.model.architecture!r} run; TFLite is for YOLO9000 "
            "and Faster R-CNN; it can be saved-model and keras"
        )


def describe(run: Run, plan: ExportPlan) -> dict[str, Any]:
    """What the models were made of."""
    model = run.experiment.model
    return {
        "format": "wordtree-export",
        "version": 1,
        "run": str(run.path),
        "step": run.checkpoint.step,
        "experiment": dataclasses.asdict(run.experiment),
        "tree_digest": run.tree.digest(),
        "nodes": len(run.tree),
        "canvas": list(model.canvas),
        "fit": fit_of(model),
        "kind": "classifier" if is_classifier(run) else "detector",
        "priors": priors_of(run),
        "middle": run.detector.middle if isinstance(run.detector, FasterRcnn) else 0.5,
        "decode": dataclasses.asdict(plan.options),
        "calibration": {"dataset": plan.calibration, "images": plan.calibration_images} if plan.calibration else None,
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
    }


def priors_of(run: Run) -> list[list[float]]:
    """Width and height in cells of each prior, or of each anchor, where the architecture has them in cells."""
    if isinstance(run.detector, FasterRcnn):
        found = run.detector.shapes
    elif isinstance(run.detector, Yolo9000):
        found = run.detector.priors
    else:
        return []
    return np.asarray(found, np.float64).round(6).tolist()


def write_format(
    run: Run, name: str, folder: Path, plan: ExportPlan, about: dict[str, Any], calibration: Dataset | None
) -> None:
    """One file or folder of `FORMATS` in `folder`, which holds the tree already."""
    path, canvas, fit = folder / FORMATS[name], run.experiment.model.canvas, fit_of(run.experiment.model)
    if name == "keras":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Keras hands TensorFlow's arrays to NumPy the old way
            run.detector.model.save(path)
    elif name == "saved-model":
        metadata = folder / "metadata.json"
        metadata.write_text(json.dumps(about, indent=1) + "\n")
        files = {"tree": "wordtree.tree", "names": "wordtree.names"}
        assets = {key: folder / "tree" / file for key, file in files.items()}
        served_as = ServedTwoStage if has_two_stages(run) else ServedDetector
        served_as = ServedClassifier if is_classifier(run) else served_as
        served = served_as(run.detector, run.tree, plan.options, canvas, fit, {**assets, "metadata": metadata})
        try:
            tf.saved_model.save(served, str(path), signatures=served.signatures())
        except tf.errors.OpError as error:  # TensorFlow's files have errors of their own, a full disk among them
            raise OutputError(f"{path}: cannot write it ({first_line(error)})") from error
        metadata.unlink()
    else:
        kind = LITE_KINDS[name]
        examples = None
        if kind == "int8" and calibration is not None:
            examples = [
                canvas_of(record.encoded or b"", canvas, fit, f"image {record.image_id!r} of {calibration.path}")
                for record in map(calibration.record, spread(len(calibration), plan.calibration_images))
            ]
        network = RawTwoStage(run.detector, canvas) if has_two_stages(run) else RawNetwork(run.detector.model, canvas)
        write_lite(network, kind, path, examples)


def canvas_of(encoded: bytes, canvas: tuple[int, int], fit: Fit, what: str) -> np.ndarray:
    """The letterboxed image f32[H, W, 3].

    Raises:
        FormatError: naming the image, if it cannot be decoded.
    """
    try:
        return draw(tf.constant(encoded), canvas, fit)[0].numpy()
    except tf.errors.InvalidArgumentError as error:
        raise FormatError(f"{what} cannot be decoded: {first_line(error)}") from error


def described(name: str, folder: Path) -> dict[str, Any]:
    """Format, path and size, and for a single file its sha256."""
    path = folder / FORMATS[name]
    if path.is_dir():
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return {"format": name, "path": FORMATS[name], "bytes": size}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"format": name, "path": FORMATS[name], "bytes": path.stat().st_size, "sha256": digest}


def replace_directory(fresh: Path, out: Path) -> None:
    """Put a finished directory in its place."""
    old = out.with_name(f".{out.name}.old-{os.getpid()}")
    shutil.rmtree(old, ignore_errors=True)
    try:
        if out.exists():
            out.rename(old)
        fresh.rename(out)
    except OSError as error:
        if old.exists() and not out.exists():
            old.rename(out)
        raise OutputError(f"{out}: cannot write it ({error.strerror})") from error
    finally:
        if out.exists():
            shutil.rmtree(old, ignore_errors=True)
