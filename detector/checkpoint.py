"""Checkpoints: one directory each, written whole or not at all, bound to a tree and a network.

    RUN/checkpoints/step-00000200/
        checkpoint.json     step, images seen, digest of the tree, sums of the step's open log line
        variables.npz       model/..., average/..., optimizer/..., random/..., loss_scale/...
    RUN/checkpoints/best/   the same, with the weights that were evaluated alone, and the score that made it the best

A checkpoint of another tree or network is refused with the first thing that differs, never restored in part.

Variables are written and read one after another: besides the network itself a checkpoint takes the memory of its
largest variable.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from schemas.errors import CheckpointError, OutputError

BEST = "best"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint belongs to.

    Attributes:
        step: how many were done.
        images_seen: step times the batch.
        tree_digest: of the classes.
        nodes: their number.
        open_sums: sums of the loss terms of the steps since the last log line, so that a resumed run logs the same.
        open_steps: how many steps these are.
        score: of the best checkpoint: metric, value.
    """

    step: int
    images_seen: int
    tree_digest: str
    nodes: int
    open_sums: dict[str, float] = field(default_factory=dict)
    open_steps: int = 0
    score: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(
    root: Path, info: CheckpointInfo, variables: Mapping[str, Any], *, keep: int = 2, name: str = ""
) -> Path:
    """Write named `variables` under `root`, and drop all but the newest `keep` checkpoints.

    Args:
        root: directory of the checkpoints.
        info: what they belong to.
        variables: anything NumPy understands, by name.
        keep: how many of the newest stay; 0 keeps all.
        name: of a checkpoint outside of that count, such as "best".

    Raises:
        OutputError: if it cannot be written; nothing of it is left.
    """
    final = root / (name or f"step-{info.step:08d}")
    partial = root / f".{final.name}.partial"
    try:
        _write(root, final, partial, info, variables)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OutputError(
            f"{final}: the checkpoint cannot be written ({error.strerror or error}); make room and run the same "
            "command again, which goes on from the last one"
        ) from error
    if not name and keep:
        for old in list_checkpoints(root)[:-keep]:
            _remove(old)
    return final


def _write(root: Path, final: Path, partial: Path, info: CheckpointInfo, variables: Mapping[str, Any]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(".*"):  # of a process that was killed while it wrote or removed
        shutil.rmtree(left, ignore_errors=True)
    partial.mkdir()
    with open(partial / "variables.npz", "wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for variable_name, variable in variables.items():
                with archive.open(f"{variable_name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asarray(variable), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    with open(partial / "checkpoint.json", "w") as file:
        file.write(json.dumps(asdict(info), indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    _remove(final)
    os.rename(partial, final)
    _sync_directory(root)


def check_room(root: Path, variables: Mapping[str, Any]) -> None:
    """See that a checkpoint can be written, by taking its room on the disk for a moment; where that can be asked.

    Raises:
        OutputError: if there is no room.
    """
    size = sum(np.asarray(variable).nbytes for variable in variables.values())
    probe = root / ".room"
    root.mkdir(parents=True, exist_ok=True)
    try:
        with open(probe, "wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise OutputError(
                f"{root}: a checkpoint takes {size / 1e6:,.1f} MB, and there is no room for it ({error.strerror}); "
                "make room, or choose another --out"
            ) from error
    finally:
        probe.unlink(missing_ok=True)


def list_checkpoints(root: Path) -> list[Path]:
    """Complete checkpoints by rising step, without the best."""
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
        if not (isinstance(info.open_sums, dict) and isinstance(info.open_steps, int) and isinstance(info.score, dict)):
            raise ValueError(f"sums {info.open_sums!r} of {info.open_steps!r} steps, score {info.score!r}")
        return info
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: no readable checkpoint ({error}); remove it to fall back on an older one"
        ) from error


def open_variables(path: Path) -> Any:
    """The variables of the checkpoint at `path`: a mapping from name to array that reads one at a time, to be closed.

    Every byte is checked first, so that nothing is restored from a damaged file.

    Raises:
        CheckpointError: if the file is missing or damaged.
    """
    try:
        with zipfile.ZipFile(path / "variables.npz") as archive:
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} is damaged")
        return np.load(path / "variables.npz", allow_pickle=False)
    except Exception as error:  # zipfile and numpy raise many kinds for a damaged file
        raise CheckpointError(
            f"{path}/variables.npz cannot be read ({error}); remove {path} to use an older one"
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
    shapes = variable_shapes(path)
    for name, variable in variables.items():
        if name not in shapes:
            raise CheckpointError(f"{path} has no {name!r}: it belongs to another network or optimizer")
        if shapes[name] != tuple(variable.shape):
            raise CheckpointError(
                f"{path}: {name!r} has shape {shapes[name]}, this network expects {tuple(variable.shape)}"
            )
    with open_variables(path) as arrays:
        for name, variable in variables.items():
            variable.assign(arrays[name])
    return info


def variable_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each variable of the checkpoint at `path`, from the headers alone.

    Raises:
        CheckpointError: if the file is missing or damaged.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        with zipfile.ZipFile(path / "variables.npz") as archive:
            for entry in archive.namelist():
                with archive.open(entry) as file:
                    np.lib.format.read_magic(file)
                    shape, _, _ = np.lib.format.read_array_header_1_0(file)
                    shapes[entry.removesuffix(".npy")] = tuple(shape)
    except Exception as error:  # zipfile and numpy raise many kinds for a damaged file
        raise CheckpointError(
            f"{path}/variables.npz cannot be read ({error}); remove {path} to use an older one"
        ) from error
    return shapes


def _remove(folder: Path) -> None:
    """Out of sight at once: a removal that is cut short leaves no half checkpoint."""
    if folder.exists():
        hidden = folder.with_name(f".{folder.name}.removed")
        shutil.rmtree(hidden, ignore_errors=True)
        os.rename(folder, hidden)
        shutil.rmtree(hidden)


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
