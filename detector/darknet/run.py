"""Runs made of published networks, and published networks made of runs.

    RUN/config.json, tree/, training_nodes.json, checkpoints/step-00000000   as `wordtree train` writes them
    RUN/darknet.json                                                         header and sha256 of the .weights file;
                                                                             runs that begin with its weights have it
    RUN/darknet.map                                                          the map given with it

An untouched run is written back with the bytes it was read from: the header is kept, and `seen` counts on.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from detector.checkpoint import CheckpointInfo, list_checkpoints, read_info, save_checkpoint
from detector.config import Experiment
from detector.darknet.cfg import parse_cfg
from detector.darknet.classes import classes_of, read_map
from detector.darknet.experiment import Program, cfg_from_experiment, experiment_from_cfg
from detector.darknet.keras_weights import load_into, weights_from
from detector.darknet.normalisation import as_on_a_cpu
from detector.darknet.sections import read_cfg_text
from detector.darknet.shapes import conv_shapes
from detector.darknet.weights import VERSIONS, Header, read_header, read_weights, write_weights
from detector.limits import check_experiment
from detector.run import Run, find_checkpoint, open_run, split_run_path, write_tree
from schemas.errors import ConfigError, FormatError, OutputError
from wordtree.files import write_text_file
from wordtree.tree import WordTree
from wordtree.tree_formats import map_text, names_text, tree_text

HEADER_FILE, MAP_FILE = "darknet.json", "darknet.map"


def open_darknet(
    cfg: str | Path,
    weights: str | Path,
    tree: WordTree | str | Path | None = None,
    *,
    names: str | Path | None = None,
    labels: str | None = None,
    program: Program = "head",
    log: Callable[[str], None] = lambda line: None,
) -> Run:
    """A published network as a run without a directory: what `wordtree detect --darknet` uses.

    Args:
        cfg: path of the .cfg.
        weights: path of the .weights file.
        tree: its classes; a path, or the tree itself. Default: the tree that the .cfg names, else a flat list.
        names: words for people, one a class.
        labels: label space whose wnids are the keys of a flat list.
        program: which darknet the training settings follow.
        log: told what of the files was not used.

    Raises:
        InputError, FormatError, TreeError, ConfigError: naming the file, and in it the line or the layer.
    """
    opened = _open(Path(cfg), Path(weights), tree, names=names, labels=labels, program=program)
    for note in opened.notes:
        log(note)
    return opened.run


def as_darknet(run: Run) -> Run:
    """A network as darknet's program of 2017 runs it on a CPU: its batch normalisation, and pictures stretched.

    Where the .cfg says letter_box=1 they are not stretched. The run's detector is changed in place.

    Raises:
        ConfigError: if the network has no .cfg.
    """
    model = run.experiment.model
    if not model.cfg:
        raise ConfigError(f"--as-darknet: {run.path} has a network of our own; expected darknet's, with a .cfg")
    as_on_a_cpu(run.detector.model)
    stretched = not parse_cfg(model.cfg).net.letter_box
    return replace(run, experiment=replace(run.experiment, model=replace(model, stretched=stretched)))


def import_network(
    cfg: str | Path,
    weights: str | Path,
    out: str | Path,
    *,
    tree: WordTree | str | Path | None = None,
    names: str | Path | None = None,
    labels: str | None = None,
    class_map: str | Path | None = None,
    program: Program = "head",
    force: bool = False,
) -> tuple[Run, list[str]]:
    """A published network as a run directory; returns the run and notes on what was not used.

    Args:
        out: the directory to make, whole or not at all.
        class_map: a .map from the classes of a data set to nodes; it is checked and kept.
        force: replace `out` if it is a run that was imported.
        cfg, weights, tree, names, labels, program: as `open_darknet`.

    Raises:
        OutputError: if `out` exists.
        InputError, FormatError, TreeError, ConfigError: as `open_darknet`.
    """
    target = Path(out)
    if target.exists() and any(target.iterdir() if target.is_dir() else [target]):
        if not force:
            raise OutputError(f"{target} exists already; choose another --out or replace it with --force")
        if not (target / HEADER_FILE).is_file():
            raise OutputError(f"{target} is no imported run, so --force does not replace it; choose another --out")
        if trained := [path.name for path in list_checkpoints(target / "checkpoints") if read_info(path).step]:
            raise OutputError(
                f"{target} was trained on ({trained[-1]}), so --force does not replace it; choose another --out"
            )
    run, notes, training_notes, header = _open(
        Path(cfg), Path(weights), tree, names=names, labels=labels, program=program
    )
    nodes = read_map(class_map, run.tree) if class_map is not None else None
    if not target.absolute().parent.is_dir():
        raise OutputError(f"{target}: the directory {target.absolute().parent} does not exist; create it first")
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        write_tree(run.tree, partial / "tree")
        counts = {"boxes": {}, "labels": {}, "datasets": []}
        write_text_file(partial / "training_nodes.json", json.dumps(counts, indent=1) + "\n")
        if nodes is not None:
            write_text_file(partial / MAP_FILE, map_text(nodes))
        about = {"header": header._asdict(), "cfg": str(cfg), "weights": str(weights), "sha256": _sha256(Path(weights))}
        write_text_file(partial / HEADER_FILE, json.dumps(about, indent=1) + "\n")
        variables = {f"model/{weight.path}": weight for weight in run.detector.model.weights}
        save_checkpoint(partial / "checkpoints", replace(run.checkpoint, images_seen=0), variables)
        write_text_file(partial / "config.json", run.experiment.to_json())
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    except OSError as error:
        raise OutputError(f"{target}: cannot write it ({error.strerror})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return replace(run, path=target), [*notes, *training_notes]


def carry_header(source: str, out: Path) -> None:
    """Keep what a .weights file said for a run that begins with its weights: its images count on.

    Args:
        source: that file, or a run that was made of one; of any other run there is nothing to keep.
        out: directory of the new run.

    Raises:
        FormatError: if the file or RUN/darknet.json cannot be read.
    """
    folder, name = split_run_path(source)
    if not folder.is_dir():
        about = {"header": read_header(source)._asdict(), "weights": source}
    elif (folder / HEADER_FILE).is_file():
        header = _read_header(folder)
        seen = header.seen + read_info(find_checkpoint(folder, name)).images_seen
        about = {"header": header._replace(seen=seen)._asdict(), "run": source}
    else:
        return
    write_text_file(out / HEADER_FILE, json.dumps(about, indent=1) + "\n", force=True)


def export_network(
    run: str | Path | Run,
    *,
    cfg: str | Path | None = None,
    weights: str | Path | None = None,
    version: str = "",
    force: bool = False,
) -> dict[str, Any]:
    """Write a run as a .cfg and a .weights file.

    Args:
        run: a run, or its directory; of an averaged one the averaged weights are written.
        cfg: the .cfg to write; beside it STEM.tree and STEM.names, unless the classes are a flat list.
        weights: the .weights file to write.
        version: "v0.1" or "v0.2"; the version of the file that the run was made of by default, else v0.2.
        force: replace files.

    Returns:
        What was written: paths, numbers, bytes, header.

    Raises:
        OutputError: if a file exists and `force` is not set.
        ConfigError: if the network is none that a .cfg can say.
    """
    opened = run if isinstance(run, Run) else open_run(run)
    if not (cfg or weights):
        raise ConfigError("nothing to write; give --cfg, --weights or both")
    if cfg and (cfg == weights or Path(cfg).suffix in (".tree", ".names")):
        raise ConfigError(f"--cfg {cfg}: expected a name of its own, such as {Path(cfg).stem}.cfg")
    for path in (cfg, weights):
        if path and Path(path).exists() and not force:
            raise OutputError(f"{path} exists already; choose another name or replace it with --force")
    texts = _cfg_files(opened, Path(cfg)) if cfg else {}
    for path, text in texts.items():  # before anything is written
        if not path.absolute().parent.is_dir():
            raise OutputError(f"{path}: the directory {path.absolute().parent} does not exist; create it first")
        data = text.encode(errors="surrogateescape")
        if path.exists() and not force and (path.is_dir() or path.read_bytes() != data):
            raise OutputError(f"{path} exists with another content; choose another --cfg or replace it with --force")
    written: dict[str, Any] = {"run": str(opened.path), "step": opened.checkpoint.step}
    if weights:
        header = _header(opened, version)
        numbers, size = write_weights(weights, header, weights_from(opened.detector), force=force)
        written |= {"weights": str(weights), "numbers": numbers, "bytes": size, "header": header._asdict()}
    if cfg:
        for path, text in texts.items():
            write_text_file(path, text, force=force)
        written["cfg"] = [str(path) for path in texts]
    return written


def _open(
    cfg: Path,
    weights: Path,
    tree: WordTree | str | Path | None,
    *,
    names: str | Path | None,
    labels: str | None,
    program: Program,
) -> _Opened:
    text = read_cfg_text(cfg)
    experiment, notes = experiment_from_cfg(text, where=str(cfg), name=cfg.stem, program=program)
    parsed = parse_cfg(text, str(cfg))
    *shapes, head = conv_shapes(parsed, str(cfg))
    head = head._replace(name="classes" if parsed.region is None else "region")
    read_weights(weights, [*shapes, head])  # a file of another size is refused before anything is built
    classes, more = classes_of(parsed, str(cfg), tree=tree, names=names, labels=labels)
    left = max(experiment.loss.prior_images - read_header(weights).seen, 0)  # a trained one needs no pull to its priors
    experiment = replace(experiment, loss=replace(experiment.loss, prior_images=left))
    detector = build_network(experiment, classes, str(cfg))
    file = load_into(detector, weights)
    info = CheckpointInfo(0, file.header.seen, classes.digest(), len(classes))
    run = Run(cfg, experiment, classes, detector, info, {}, {})
    return _Opened(run, [*parsed.warnings, *more], notes[len(parsed.warnings) :], file.header)


class _Opened(NamedTuple):
    """A network with notes on what of its files was not used, on training with it, and the header of its weights."""

    run: Run
    notes: list[str]
    training_notes: list[str]
    header: Header


def build_network(experiment: Experiment, tree: WordTree, where: str) -> Any:
    """The detector of an experiment, after a look at its values."""
    from detector.architectures import build_detector

    return build_detector(check_experiment(experiment, where), tree)


def _header(run: Run, version: str) -> Header:
    """The header that the run was made of, with the images of its own training added."""
    if version and version not in VERSIONS:
        raise ConfigError(f"--format {version}: expected one of {', '.join(VERSIONS)}")
    header = _read_header(run.path) if (run.path / HEADER_FILE).is_file() else Header(*VERSIONS["v0.2"])
    if version:
        header = Header(*VERSIONS[version], header.seen)
    return header._replace(seen=header.seen + run.checkpoint.images_seen)


def _read_header(folder: Path) -> Header:
    try:
        return Header(**json.loads((folder / HEADER_FILE).read_text())["header"])
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{folder / HEADER_FILE} cannot be read ({error}); import the network again") from error


def _cfg_files(run: Run, cfg: Path) -> dict[Path, str]:
    """The texts of the .cfg, and of the tree and the names that it needs."""
    tree = run.tree
    flat = tree.num_groups == 1
    text = cfg_from_experiment(run.experiment, len(tree), tree="" if flat else f"{cfg.stem}.tree")
    if text == run.experiment.model.cfg or flat:
        return {cfg: text}
    return {cfg: text, cfg.with_suffix(".tree"): tree_text(tree), cfg.with_suffix(".names"): names_text(tree)}


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
