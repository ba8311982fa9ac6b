"""The demo's data set on disk, in the official layouts: COCO instances and ImageNet class folders.

    DATA/det_train/annotations/instances.json    boxes that carry coarse concepts alone
    DATA/det_train/images/*.jpg
    DATA/cls_train/WNID/WNID_N.JPEG               one fine label an image, no boxes; 5 % of them wrong
    DATA/eval/annotations/instances_coarse.json  boxes of the coarse concepts
    DATA/eval/annotations/instances_fine.json    boxes of the fine ones, on the same images
    DATA/eval/images/*.jpg
    DATA/synsets.csv                              category_name,wnid
    DATA/label_noise.csv                          which labels are wrong
    DATA/README.txt
    DATA/made.json                                written last: seed, sizes, counts

Boxed training pictures show figures of every kind, as COCO's boxes of "dog" show every breed; the kind is not said.
A few things are bad on purpose, so that rejects can be seen: see `README`.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from detector.demo.coco_writer import CocoWriter
from detector.demo.kinds import COARSE, FINE, FINE_KINDS, KINDS, Kind, tail_counts
from detector.demo.outlines import extent
from detector.demo.scenes import SIZE, boxed_scene, even_shares, generator, labelled_scene, training_shares
from schemas.errors import ConfigError, FormatError, OutputError

FORMAT = 1
QUALITY = 90
LABEL_NOISE = 0.05
CROWD_EVERY = 60
MARKER = "made.json"
Log = Callable[[str], None]

README = """\
Plane figures, {size} x {size} pixels, drawn by `wordtree demo` from seed {seed}.

det_train/   {det_images} images in COCO's layout. Boxes carry the coarse concepts alone: {coarse}.
             As in COCO, where a box of "dog" may hold any breed, a box of "triangle" holds any kind of triangle.
             {det_boxes} boxes; {crowds} crowds (iscrowd = 1); {empty} images show no figure.
cls_train/   {cls_images} images in ImageNet's layout, one folder a wnid. One figure each is labelled, with its fine
             concept; other things in the picture are not. Never boxed: {fine}.
             A long tail: {most} images of the most frequent class, {least} of the rarest.
             {noisy} images stand in a wrong folder: {noise:.0%} label noise. label_noise.csv lists them.
eval/        {eval_images} images in COCO's layout; the same images with coarse boxes and with fine boxes.
synsets.csv  every class name and its synset of WordNet 3.0.

Bad on purpose:
  det_train/images/{truncated}   a JPEG cut in the middle: its boxes are rejected with it
  cls_train/{empty_file}   a file without bytes
  det_train, annotation {zero_area}   a box of no area: rejected
  det_train, annotation {past_edge}   a box that reaches past the edge of its image: clipped
"""


@dataclass(frozen=True)
class DemoSizes:
    """How many good images of each sort; `det_train` and `cls_train` get one broken image more."""

    det_train: int = 1200
    cls_train: int = 1600
    eval: int = 200


def render_dataset(out: Path, *, seed: int = 0, sizes: DemoSizes | None = None, log: Log = print) -> bool:
    """Draw the data set, whole or not at all.

    Law: equal seed and sizes, equal bytes (with one version of Pillow and NumPy).

    Returns:
        False if `out` holds this very data set already.

    Raises:
        OutputError: if `out` holds something else.
        ConfigError: if a size is too small for every class to appear.
    """
    sizes = sizes or DemoSizes()
    if sizes.det_train < 10 or sizes.cls_train < 4 * len(FINE_KINDS) or sizes.eval < 1:
        raise ConfigError(f"{sizes}: expected det_train >= 10, cls_train >= {4 * len(FINE_KINDS)} and eval >= 1")
    wanted = {"format": FORMAT, "seed": seed, "sizes": dataclasses.asdict(sizes)}
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        found = _read_marker(out)
        if {key: found.get(key) for key in wanted} == wanted:
            log(f"complete already: {out}")
            return False
        raise OutputError(
            f"{out} holds other data (found {found or 'no ' + MARKER}; wanted {wanted}); choose another directory, or "
            "remove it"
        )
    began = time.monotonic()
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    counts: dict[str, Any] = {}
    counts |= _write_detection(partial / "det_train", seed, sizes.det_train)
    log(f"{counts['det_images']:,} images with {counts['det_boxes']:,} boxes ({time.monotonic() - began:.1f} s)")
    counts |= _write_classification(partial, seed, sizes.cls_train)
    log(f"{counts['cls_images']:,} images with a label ({time.monotonic() - began:.1f} s)")
    counts |= _write_evaluation(partial / "eval", seed, sizes.eval)
    log(f"{counts['eval_images']:,} images to evaluate on ({time.monotonic() - began:.1f} s)")
    _write_table(
        partial / "synsets.csv",
        ["category_name", "wnid"],
        [[concept.name, concept.wnid] for concept in (*COARSE, *FINE)],
    )
    names = {"coarse": _listed(COARSE), "fine": _listed(FINE), "size": SIZE, "seed": seed, "noise": LABEL_NOISE}
    (partial / "README.txt").write_text(README.format(**names, **counts))
    (partial / MARKER).write_text(json.dumps(wanted | {"counts": counts}, indent=1) + "\n")
    if out.exists():
        out.rmdir()
    partial.rename(out)
    return True


def _read_marker(out: Path) -> dict[str, Any]:
    path = out / MARKER
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise FormatError(f"{path}: not JSON ({error}); remove {out} and draw again") from error
    return found if isinstance(found, dict) else {}


def _write_detection(folder: Path, seed: int, count: int) -> dict[str, Any]:
    """Coarse boxes; the last image is cut short, and two annotations are bad."""
    coco = CocoWriter(f"WordTree demo, training boxes, seed {seed}", COARSE)
    (folder / "images").mkdir(parents=True)
    empty = crowds = 0
    past_edge = zero_area = 0
    for number in range(1, count + 2):
        rng = generator(seed, "det_train", number)
        scene = boxed_scene(rng, kinds=KINDS, shares=training_shares(), crowd=number % CROWD_EVERY == 0)
        name = f"det_{number:06d}.jpg"
        data = jpeg(scene.image)
        image_id = coco.add_image(name, scene.image)
        for figure in scene.figures:
            annotation = coco.add_figure(image_id, figure, figure.kind.coarse)
            if not past_edge and extent(figure.points)[0] > SIZE / 2:
                past_edge = annotation
                coco.widen(annotation, beyond=SIZE + 7.5)
            elif past_edge and not zero_area:
                zero_area = coco.add_box(image_id, (40.0, 30.0, 0.0, 12.0), COARSE[1])
        if scene.crowd:
            coco.add_crowd(image_id, scene.crowd)
            crowds += 1
        empty += not scene.figures and not scene.crowd
        (folder / "images" / name).write_bytes(data if number <= count else data[: len(data) // 2])
    coco.write(folder / "annotations" / "instances.json")
    return {
        "det_images": count + 1,
        "det_boxes": sum(not a["iscrowd"] for a in coco.annotations),
        "crowds": crowds,
        "empty": empty,
        "truncated": f"det_{count + 1:06d}.jpg",
        "past_edge": past_edge,
        "zero_area": zero_area,
    }


def _write_classification(out: Path, seed: int, count: int) -> dict[str, Any]:
    """One folder a fine class; a share of the images stands in the folder of another class."""
    tail = tail_counts(count)
    kinds = [kind for kind, images in zip(FINE_KINDS, tail, strict=True) for _ in range(images)]
    order = generator(seed, "label_noise", 0).permutation(count)
    noisy = {int(number) for number in order[: round(LABEL_NOISE * count)]}
    wrong: list[list[str]] = []
    folder = out / "cls_train"
    for number, kind in enumerate(kinds):
        label = _wrong_kind(kind, seed, number) if number in noisy else kind
        assert label.fine is not None
        assert kind.fine is not None
        path = folder / label.fine.wnid / f"{label.fine.wnid}_{number + 1}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(labelled_scene(generator(seed, "cls_train", number), kind).image))
        if label != kind:
            wrong.append([path.relative_to(folder).as_posix(), label.fine.wnid, kind.fine.wnid])
    _write_table(out / "label_noise.csv", ["file", "label_wnid", "true_wnid"], wrong)
    rarest = FINE[-1].wnid
    empty_file = f"{rarest}/{rarest}_{count + 1}.JPEG"
    (folder / empty_file).touch()
    return {
        "cls_images": count + 1,
        "most": tail[0],
        "least": tail[-1],
        "noisy": len(wrong),
        "empty_file": empty_file,
    }


def _wrong_kind(kind: Kind, seed: int, number: int) -> Kind:
    others = [other for other in FINE_KINDS if other != kind]
    return others[int(generator(seed, "wrong_label", number).integers(len(others)))]


def _write_evaluation(folder: Path, seed: int, count: int) -> dict[str, Any]:
    """The same images under two annotation files. Nothing is bad here."""
    coarse = CocoWriter(f"WordTree demo, evaluation, coarse boxes, seed {seed}", COARSE)
    fine = CocoWriter(f"WordTree demo, evaluation, fine boxes, seed {seed}", FINE)
    (folder / "images").mkdir(parents=True)
    for number in range(1, count + 1):
        scene = boxed_scene(generator(seed, "eval", number), kinds=KINDS, shares=even_shares())
        name = f"eval_{number:06d}.jpg"
        (folder / "images" / name).write_bytes(jpeg(scene.image))
        for coco in (coarse, fine):
            coco.add_image(name, scene.image)
        for figure in scene.figures:
            coarse.add_figure(number, figure, figure.kind.coarse)
            if figure.kind.fine:
                fine.add_figure(number, figure, figure.kind.fine)
    coarse.write(folder / "annotations" / "instances_coarse.json")
    fine.write(folder / "annotations" / "instances_fine.json")
    return {"eval_images": count}


def jpeg(image: Image.Image) -> bytes:
    """Encoded with one fixed quality."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _write_table(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _listed(concepts: Any) -> str:
    return ", ".join(concept.name for concept in concepts)
