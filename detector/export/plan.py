"""What to export, checked before anything is opened."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from detector.config import DecodeConfig
from schemas.errors import ConfigError, OutputError

# Name of a format to the file or folder that it makes.
FORMATS = {
    "saved-model": "saved_model",
    "tflite": "model.tflite",
    "tflite-float16": "model_float16.tflite",
    "tflite-int8": "model_int8.tflite",
    "keras": "model.keras",
}
LITE_KINDS = {"tflite": "float32", "tflite-float16": "float16", "tflite-int8": "int8"}
CHECKED = ("saved-model", *LITE_KINDS)


@dataclasses.dataclass(frozen=True)
class ExportPlan:
    """What to make.

    Attributes:
        formats: of `FORMATS`.
        options: of the walk and of suppression, fixed in the SavedModel.
        calibration: of tflite-int8: a dataset whose images choose the scales.
        calibration_images: how many of them, evenly spread.
        check: a dataset, or image files; empty for no check.
        check_images: how many of them at most, evenly spread; 0 for all.
    """

    formats: tuple[str, ...] = ("saved-model",)
    options: DecodeConfig = dataclasses.field(default_factory=DecodeConfig)
    calibration: str = ""
    calibration_images: int = 100
    check: tuple[str, ...] = ()
    check_images: int = 200


def check_plan(plan: ExportPlan) -> None:
    """What can be refused before anything is opened.

    Raises:
        ConfigError: a format is unknown or twice there, or tflite-int8 has no calibration.
    """
    for name in plan.formats:
        if name not in FORMATS:
            raise ConfigError(f"no format {name!r}; there are {', '.join(FORMATS)}")
    if not plan.formats or len(set(plan.formats)) < len(plan.formats):
        raise ConfigError(
            f"--format {','.join(plan.formats)!r}: expected each format once, out of {', '.join(FORMATS)}"
        )
    if "tflite-int8" in plan.formats and not plan.calibration:
        raise ConfigError(
            "tflite-int8 chooses its scales by looking at images; give a dataset of such images with --calibration"
        )
    if plan.calibration_images < 1 or plan.check_images < 0:
        raise ConfigError("--calibration-images must be at least 1 and --check-images at least 0")


def spread(count: int, wanted: int) -> list[int]:
    """`wanted` of `count` rows, evenly spread; all of them if wanted is 0 or more than there are."""
    if not wanted or wanted >= count:
        return list(range(count))
    return [row * count // wanted for row in range(wanted)]


def refuse_existing(out: Path, force: bool) -> None:
    """Nothing is written over but an export, and that only when asked.

    Raises:
        OutputError: otherwise.
    """
    if not (out.exists() or out.is_symlink()):
        return
    if not force:
        raise OutputError(f"{out} exists already; choose another --out or replace it with --force")
    if not out.is_dir() or (any(out.iterdir()) and not (out / "export.json").exists()):
        raise OutputError(f"{out} holds no export, so --force does not replace it; choose another --out")
