"""What people read: progress while it runs, and a short account at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

IMAGES_PRINTED, BOXES_PRINTED = 10, 5


def progress(done: int, total: int | None, seconds: float, before: int = 0) -> str:
    """One line: how many, how fast, how long still.

    Args:
        done: images so far.
        total: of all; None where films hide it.
        seconds: since the clock was started.
        before: images that were done when it was.
    """
    rate = (done - before) / max(seconds, 1e-9)
    if total is None:
        return f"detected on {done} images, {rate:.1f} images/s"
    left = (total - done) / rate if rate else 0.0
    return f"detected on {done}/{total} images, {rate:.1f} images/s, {duration(left)} left"


def duration(seconds: float) -> str:
    """Such as 8 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def name_of(entry: dict[str, Any]) -> str:
    """An image by its path, a frame with its number."""
    return entry["image"] if "frame" not in entry else f"{entry['image']} frame {entry['frame']}"


def lines_for_people(result: dict[str, Any], out: Path | str) -> list[str]:
    """What `wordtree detect` prints: the first images, those with objects before the others, and the totals."""
    entries = result["images"]
    lines = []
    shown = sorted(entries, key=lambda entry: not _rows(entry))[:IMAGES_PRINTED]
    for entry in shown:
        found = sorted(_rows(entry), key=lambda row: -row["score"])
        what = f"{len(found)} found" if found else f"nothing above {result['threshold']}"
        lines.append(f"{name_of(entry)}: {what}")
        lines.extend(f"  {row['score']:.2f}  {row['path']}" for row in found[:BOXES_PRINTED])
        if len(found) > BOXES_PRINTED:
            lines.append(f"  … and {len(found) - BOXES_PRINTED} more")
    rest = len(entries) - len(shown)
    if rest:
        lines.append(f"… and {rest} more {'image' if rest == 1 else 'images'} in {out}")
    objects = sum(len(_rows(entry)) for entry in entries)
    images = sum(bool(_rows(entry)) for entry in entries)
    few = "; lower --threshold to see more" if 2 * images < len(entries) and result["threshold"] > 0 else ""
    of = f"{len(entries)} {'image' if len(entries) == 1 else 'images'}"
    what = "name" if any("classes" in entry for entry in entries) else "object"
    return [*lines, f"{objects} {what}{'' if objects == 1 else 's'} in {images} of {of}{few}"]


def _rows(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The classes of a whole image, or what was found on it."""
    return entry.get("classes", entry["detections"])
