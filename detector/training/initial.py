"""Weights to begin with: of another run, of a darknet .weights file, or of a file of Keras's weights.

A variable is restored where name and shape agree. The head's rows of classes are copied by wnid, node by node, so a
network that was trained on one tree begins on another with everything that both know. What the network's body lacks is
refused unless the user allows it: a body that is half random is seldom meant.

Only the weights are taken, not the optimizer or the step: the schedule begins anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from detector.checkpoint import open_variables, variable_shapes
from detector.config import load_config
from detector.run import find_checkpoint, split_run_path, weights_section
from detector.training.keras_file import is_keras_file
from detector.training.keras_weights import fitting_width, read_backbone
from schemas.errors import ConfigError, InputError
from wordtree.files import read_tree
from wordtree.tree import WordTree

Log = Callable[[str], None]
HEADS = ("region", "classes", "rpn", "roi_dense1", "roi_dense2")  # what stands behind the body
# Of a head's variables: the axis with a row a class.
CLASS_AXIS = {"region/class_kernel": 1, "region/class_bias": 1, "classes/kernel": -1, "classes/bias": -1}
SHOWN = 8  # variables that a refusal names; the log names all


@dataclass
class Restored:
    """What became of each variable, by path.

    Attributes:
        whole: as it was.
        rows: only the classes that both trees have: (of these, of all).
        missing: not in the source.
        mismatched: shape there, shape here.
        unused: only in the source.
    """

    whole: list[str] = field(default_factory=list)
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)

    def body_gaps(self) -> list[str]:
        """What of the body of the network has no weights."""
        return [path for path in (*self.missing, *self.mismatched) if path.split("/")[0] not in HEADS]

    def table(self) -> list[str]:
        """For people."""
        lines = [f"  restored    {len(self.whole)} variables"]
        lines += [f"  by class    {path}: {known} of {all_} classes" for path, (known, all_) in self.rows.items()]
        for word, paths in (("missing", self.missing), ("not used", self.unused)):
            if paths:
                lines.append(f"  {word:10}  {len(paths)}: {', '.join(by_layer(paths))}")
        lines += [
            f"  mismatched  {path}: {list(there)} there, {list(here)} here"
            for path, (there, here) in self.mismatched.items()
        ]
        return lines


def by_layer(paths: Iterable[str]) -> list[str]:
    """All of them in short: "rpn (4)" for four variables of a layer; one alone by its path."""
    paths = list(paths)
    numbers = Counter(path.split("/")[0] for path in paths)
    first = {path.split("/")[0]: path for path in reversed(paths)}
    return [f"{layer} ({number})" if number > 1 else first[layer] for layer, number in numbers.items()]


def initialise(detector: Any, source: str, *, allow_partial: bool, log: Log) -> Restored:
    """Put the weights of `source` into a new detector's network, as far as they fit.

    Args:
        detector: its `model` and `tree`.
        source: a run directory, `RUN@best`, a darknet .weights file whose layers are those of the network, or a file of
            Keras (.weights.h5, .keras, .h5) for a network of keras.applications.
        allow_partial: gaps in the body of the network stay as they were initialised.
        log: told what was restored and what not.

    Raises:
        InputError: if there is no such run or file.
        ConfigError: if the body of the network would have gaps, which are named.
        CheckpointError, FormatError: if the source is damaged.
    """
    folder, _ = split_run_path(source)
    if folder.is_dir():
        restored = _from_run(detector, source, commit=False)
        refuse_gaps(restored, source, allow_partial, lambda: _hint(detector, _width_of_run(folder, detector)))
        _from_run(detector, source, commit=True)
    elif is_keras_file(source):
        restored = _from_keras(detector, source, allow_partial)
    elif Path(source).is_file():
        restored = _from_darknet(detector, source, allow_partial)
    else:
        raise InputError(f"--init {source}: no such run directory, .weights file or weights file of Keras")
    log(f"initial weights from {source}")
    for line in restored.table():
        log(line)
    return restored


def keep_origin(restored: Restored, source: str, out: Path) -> None:
    """Let the images that darknet's file says were seen count on, where the network's body was taken whole.

    Args:
        restored: what became of its variables.
        source: as the user gave it.
        out: directory of the new run.

    Raises:
        FormatError: if what is kept of the file cannot be read.
    """
    if restored.body_gaps() or is_keras_file(source):
        return
    from detector.darknet.run import carry_header

    carry_header(source, out)


def refuse_gaps(restored: Restored, source: str, allow_partial: bool, hint: Callable[[], str] = str) -> None:
    """Refuse a body with gaps.

    Args:
        restored: what was found.
        source: as the user gave it.
        allow_partial: gaps are allowed.
        hint: what would make it fit, if that is known; asked only where some shape is another.

    Raises:
        ConfigError: naming them.
    """
    gaps = restored.body_gaps()
    if gaps and not allow_partial:
        more = f" and {len(gaps) - SHOWN} more" if len(gaps) > SHOWN else ""
        reasons = [
            f"{path} ({list(restored.mismatched[path][0])} there, {list(restored.mismatched[path][1])} here)"
            if path in restored.mismatched
            else path
            for path in gaps[:SHOWN]
        ]
        fits = hint() if restored.mismatched else ""
        advice = "or" if fits else "give a run of the same network, or"
        raise ConfigError(
            f"--init {source} {fits}does not hold all of this network's body: {', '.join(reasons)}{more}; {advice} "
            "--allow-partial to begin these with random weights"
        )


def _hint(detector: Any, width: float | None) -> str:
    """What to set where the source is of another width."""
    here = detector.experiment.model.width
    if width is None or width == here:
        return ""
    return f"fits model.width {width:g}, and here that is {here:g}: give --set model.width={width:g}. It "


def _width_of_run(folder: Path, detector: Any) -> float | None:
    """None where it is of another network."""
    there, here = load_config(str(folder / "config.json")).model, detector.experiment.model
    same = (there.network, there.cfg, there.depth) == (here.network, here.cfg, here.depth)
    return there.width if same else None


def class_rows(source: WordTree, target: WordTree) -> tuple[np.ndarray, np.ndarray]:
    """i64[K], i64[K]: nodes of the source and of the target with the same wnid, by rising target."""
    pairs = [(source.index(wnid), node) for node, wnid in enumerate(target.names) if wnid in source]
    there, here = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(there, np.int64), np.array(here, np.int64)


def copy_rows(there: np.ndarray, here: np.ndarray, rows: tuple[np.ndarray, np.ndarray], axis: int) -> np.ndarray | None:
    """`here` with the rows of `there` along `axis`, or None where the other axes differ."""
    one, two = list(there.shape), list(here.shape)
    if len(one) != len(two):
        return None
    del one[axis], two[axis]
    if one != two:
        return None
    result = np.moveaxis(here.copy(), axis, 0)
    result[rows[1]] = np.moveaxis(there, axis, 0)[rows[0]]
    return np.moveaxis(result, 0, axis)


def _from_run(detector: Any, source: str, *, commit: bool) -> Restored:
    """What a run's weights give; with `commit` they are put in."""
    folder, name = split_run_path(source)
    if not (folder / "config.json").exists():
        raise InputError(f"--init {source}: no config.json there: it is no run of `wordtree train`")
    checkpoint = find_checkpoint(folder, name)
    prefix = weights_section(load_config(str(folder / "config.json"))) + "/"
    tree = read_tree(str(folder / "tree"))
    same_tree = tree.digest() == detector.tree.digest()
    rows = class_rows(tree, detector.tree)
    there = {n.removeprefix(prefix): s for n, s in variable_shapes(checkpoint).items() if n.startswith(prefix)}
    restored = Restored(unused=sorted(there.keys() - {weight.path for weight in detector.model.weights}))
    with open_variables(checkpoint) as arrays:
        for weight in detector.model.weights:
            _restore_one(weight, there, arrays, prefix, rows, same_tree, restored, commit)
    return restored


def _restore_one(
    weight: Any,
    there: Mapping[str, tuple[int, ...]],
    arrays: Any,
    prefix: str,
    rows: tuple[np.ndarray, np.ndarray],
    same_tree: bool,
    restored: Restored,
    commit: bool,
) -> None:
    path, shape = weight.path, tuple(weight.shape)
    axis = CLASS_AXIS.get(path)
    if path not in there:
        restored.missing.append(path)
    elif there[path] == shape and (same_tree or axis is None):
        restored.whole.append(path)
        if commit:
            weight.assign(arrays[prefix + path])
    elif axis is None:
        restored.mismatched[path] = (there[path], shape)
    else:
        new = copy_rows(arrays[prefix + path], np.asarray(weight.value), rows, axis)
        if new is None:
            restored.mismatched[path] = (there[path], shape)
            return
        restored.rows[path] = (len(rows[1]), shape[axis])
        if commit:
            weight.assign(new)


def _from_keras(detector: Any, source: str, allow_partial: bool) -> Restored:
    """The body alone: a head of this detector is in no such file."""
    file = read_backbone(source, detector.experiment.model)
    restored, taken = Restored(unused=file.unused), []
    for weight in detector.model.weights:
        path, shape = weight.path, tuple(weight.shape)
        if path not in file.arrays:
            restored.missing.append(path)
        elif file.arrays[path].shape != shape:
            restored.mismatched[path] = (file.arrays[path].shape, shape)
        else:
            restored.whole.append(path)
            taken.append(weight)
    model = detector.experiment.model
    refuse_gaps(restored, source, allow_partial, lambda: _hint(detector, fitting_width(source, model)))
    for weight in taken:
        weight.assign(file.arrays[weight.path])
    return restored


def _from_darknet(detector: Any, source: str, allow_partial: bool) -> Restored:
    from detector.darknet.keras_weights import load_into

    file = load_into(detector, source, first_part=True)
    layers = {shape.name for shape in file.missing}
    paths = [weight.path for weight in detector.model.weights]
    missing = [path for path in paths if _darknet_layer(path) in layers]
    restored = Restored(whole=[path for path in paths if path not in missing], missing=missing)
    refuse_gaps(restored, source, allow_partial)
    return restored


def _darknet_layer(path: str) -> str:
    """The convolution to which a variable belongs in a .weights file: norm01 belongs to conv01."""
    layer = path.split("/")[0]
    return f"conv{layer[4:]}" if layer.startswith("norm") else layer
