"""What was measured: a line of arms.jsonl each, appended when an arm is done, so that a second command goes on.

A line holds what its figures depend on: the checkpoint, the images, the options and the machine. If one of these is
another now, the arm is measured anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from detector.bench.one_arm import Request
from detector.run import find_checkpoint, split_run_path
from schemas.errors import OutputError

FILE = "arms.jsonl"
MEASUREMENT = 2  # how figures are measured: lines of another way are measured anew


def identity(request: Request, machine: dict[str, object], data_digest: str) -> str:
    """A digest of all that the figures of an arm depend on.

    Args:
        request: of the arm.
        machine: of `detector.bench.machine`.
        data_digest: of the dataset's manifest.
    """
    folder, name = split_run_path(request.run)
    checkpoint = find_checkpoint(folder, name)
    weights = os.stat(checkpoint / "variables.npz")
    asked = {key: value for key, value in asdict(request).items() if key not in ("run", "dataset", "batch_size")}
    parts = {
        **asked,
        "measurement": MEASUREMENT,
        "config": digest((folder / "config.json").read_bytes()),
        "checkpoint": digest((checkpoint / "checkpoint.json").read_bytes()),
        "weights": [weights.st_size, weights.st_mtime_ns],
        "data": data_digest,
        "machine": machine,
    }
    return digest(json.dumps(parts, sort_keys=True).encode())


def digest(data: bytes) -> str:
    """Short, of bytes."""
    return hashlib.sha256(data).hexdigest()[:20]


def read_records(out: Path) -> dict[str, dict[str, Any]]:
    """Lines by identity, the last of each; a line that a kill cut in two is not there."""
    try:
        lines = (out / FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except NotADirectoryError as error:
        raise OutputError(f"--out {out} is a file; expected a directory") from error
    found = {}
    for line in lines:
        try:
            row = json.loads(line)
            found[row["identity"]] = row
        except (ValueError, KeyError, TypeError):
            continue
    return found


def append_record(out: Path, row: dict[str, Any]) -> None:
    """One more line, on the disk when this returns."""
    path = out / FILE
    torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    with open(path, "a", encoding="utf-8") as file:
        file.write("\n" * torn + json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


def claim(out: Path, *, force: bool) -> None:
    """Make the directory, or take one that is a bench already; `force` forgets what it measured.

    Raises:
        OutputError: it is a file, or holds something else.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"--out {out} is a file; expected a directory")
    if out.is_dir() and any(out.iterdir()) and not ((out / FILE).exists() or (out / "runs").is_dir()):
        raise OutputError(f"--out {out} is not empty and holds no bench; choose another")
    out.mkdir(parents=True, exist_ok=True)
    if force:
        (out / FILE).unlink(missing_ok=True)
    (out / FILE).touch()
