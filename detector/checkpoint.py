"""Checkpoints: one directory each, written whole or not at all, bound to a tree and a network.

    RUN/checkpoints/step-00000200/
        checkpoint.json     step, images seen, digest of the tree, shapes
        variables.npz       model/..., average/..., optimizer/...

A checkpoint of another tree or network is refused with the first thing that differs, never restored in part.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from schemas.errors import CheckpointError


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint belongs to."""

    step: int
    images_seen: int
    tree_digest: str
    nodes: int


def save_checkpoint(root: Path, info: CheckpointInfo, variables: Mapping[str, Any], *, keep: int = 2) -> Path:
    """Write named `variables` under `root`, and drop all but the newest `keep` checkpoints."""
    final = root / f"step-{info.step:08d}"
    partial = root / f".{final.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    arrays = {name: np.asarray(variable) for name, variable in variables.items()}
    with open(partial / "variables.npz", "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())
    (partial / "checkpoint.json").write_text(json.dumps(asdict(info), indent=1) + "\n")
    shutil.rmtree(final, ignore_errors=True)
    os.rename(partial, final)
    for old in list_checkpoints(root)[:-keep]:
        shutil.rmtree(old)
    return final


def list_checkpoints(root: Path) -> list[Path]:
    """Complete checkpoints by rising step."""
    return sorted(path for path in root.glob("step-*") if (path / "checkpoint.json").exists())


def read_info(path: Path) -> CheckpointInfo:
    """What the checkpoint at `path` belongs to.

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    try:
        info = CheckpointInfo(**json.loads((path / "checkpoint.json").read_text()))
        if not (isinstance(info.step, int) and info.step >= 0 and isinstance(info.tree_digest, str)):
            raise ValueError(f"step {info.step!r}, tree {info.tree_digest!r}")
        return info
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: no readable checkpoint ({error}); remove it to fall back on an older one"
        ) from error


def restore_checkpoint(path: Path, tree_digest: str, variables: Mapping[str, Any]) -> CheckpointInfo:
    """Put the values of a checkpoint into `variables` by name, all of them or none.

    Raises:
        CheckpointError: if the checkpoint was made with another tree, or a variable is missing or of another shape.
    """
    info = read_info(path)
    if info.tree_digest != tree_digest:
        raise CheckpointError(
            f"{path} was trained on the tree {info.tree_digest[:12]} ({info.nodes} nodes), but this tree is "
            f"{tree_digest[:12]}; give the tree of that run, or start a new run"
        )
    try:
        with np.load(BytesIO((path / "variables.npz").read_bytes())) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # zipfile and numpy raise many kinds for a damaged file
        raise CheckpointError(
            f"{path}/variables.npz cannot be read ({error}); remove {path} to use an older one"
        ) from error
    for name, variable in variables.items():
        if name not in arrays:
            raise CheckpointError(f"{path} has no {name!r}: it belongs to another network or optimizer")
        if tuple(arrays[name].shape) != tuple(variable.shape):
            raise CheckpointError(
                f"{path}: {name!r} has shape {arrays[name].shape}, this network expects {tuple(variable.shape)}"
            )
    for name, variable in variables.items():
        variable.assign(arrays[name])
    return info
