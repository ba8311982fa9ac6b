"""The drawn data set: official layouts, pixels that agree with their boxes, and bytes that the seed fixes."""

from __future__ import annotations

import csv
import itertools
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from detector.demo.coco_writer import run_lengths
from detector.demo.dataset import DemoSizes, render_dataset
from detector.demo.figures import figure_mask
from detector.demo.kinds import COARSE, COARSE_SHARES, FINE, FINE_KINDS, KINDS, tail_counts
from detector.demo.outlines import SHAPES, area, extent, outline, placed
from detector.demo.scenes import (
    MOST_OVERLAP,
    SIZE,
    _overlap,
    boxed_scene,
    even_shares,
    generator,
    labelled_scene,
    training_shares,
)
from schemas.errors import ConfigError, OutputError
from wordtree.wordnet import load_wordnet

SIZES = DemoSizes(det_train=64, cls_train=60, eval=12)


def quiet(_):
    pass


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "data"
    assert render_dataset(out, seed=3, sizes=SIZES, log=quiet)
    return out


def instances(path):
    return json.loads(path.read_text())


def bytes_below(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_kind_is_a_hyponym_of_its_coarse_concept_in_wordnet():
    wordnet = load_wordnet()
    for kind in KINDS:
        assert kind.coarse.name.lower() in [word.lower() for word in wordnet.lemmas(kind.coarse.wnid)]
        if kind.fine:
            assert kind.coarse.wnid in wordnet.closure(kind.fine.wnid), kind
            assert kind.fine.name in wordnet.lemmas(kind.fine.wnid)
    assert len({concept.wnid for concept in (*COARSE, *FINE)}) == len(COARSE) + len(FINE)


def test_shares_sum_to_one():
    assert sum(COARSE_SHARES.values()) == pytest.approx(1)
    assert sum(training_shares()) == pytest.approx(1)
    assert sum(even_shares()) == pytest.approx(1)


@pytest.mark.parametrize("total", [44, 60, 1600, 1601])
def test_tail_falls_to_a_quarter_and_sums_to_the_total(total):
    counts = tail_counts(total)
    assert sum(counts) == total
    assert len(counts) == len(FINE_KINDS)
    assert counts[0] / counts[-1] == pytest.approx(4, rel=0.3)
    assert all(a >= b - 1 for a, b in itertools.pairwise(counts))


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_outline_has_the_size_asked_for_and_its_mask_the_area_of_the_polygon(shape):
    rng = np.random.default_rng(1)
    for _ in range(5):
        points = placed(outline(shape, rng), longer_side=60, left=10.25, top=12.5)
        left, top, width, height = extent(points)
        assert (left, top, max(width, height)) == pytest.approx((10.25, 12.5, 60))
        assert figure_mask(points, SIZE).sum() == pytest.approx(area(points), rel=0.06)


def test_area_of_a_unit_square_is_one():
    assert area(np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)) == 1


def test_pixels_of_figures_lie_inside_their_boxes_and_touch_each_side():
    for number in range(12):
        scene = boxed_scene(generator(0, "test", number), kinds=KINDS, shares=even_shares())
        for figure in scene.figures:
            left, top, width, height = extent(figure.points)
            assert left >= 0
            assert top >= 0
            assert left + width <= SIZE
            assert top + height <= SIZE
            rows, columns = np.nonzero(figure.mask > 0.02)
            assert columns.min() >= np.floor(left)
            assert rows.min() >= np.floor(top)
            assert columns.max() < np.ceil(left + width)
            assert rows.max() < np.ceil(top + height)
            assert abs(columns.min() - left) < 3  # a sharp tip fades before its end
            assert abs(rows.max() + 1 - top - height) < 3


def test_figures_hardly_hide_each_other():
    for number in range(30):
        figures = boxed_scene(generator(1, "test", number), kinds=KINDS, shares=even_shares()).figures
        boxes = [extent(figure.points) for figure in figures]
        pairs = [(a, b) for k, a in enumerate(boxes) for b in boxes[:k]]
        assert all(_overlap(a, b) <= MOST_OVERLAP + 1e-9 for a, b in pairs)


def test_labelled_figure_is_the_largest_thing_and_stands_out():
    for number, kind in enumerate(FINE_KINDS):
        scene = labelled_scene(generator(2, "test", number), kind)
        (figure,) = scene.figures
        assert figure.kind is kind
        assert max(extent(figure.points)[2:]) >= 35
        pixels = np.asarray(scene.image, float)
        inside = pixels[figure.mask > 0.9].mean(axis=0)
        around = pixels[figure.mask == 0].mean(axis=0)
        assert np.abs(inside - around).max() > 20


def test_run_lengths_go_down_the_columns():
    # column 0: 0 1; column 1: 1 1; column 2: 0 0
    assert run_lengths(np.array([[0, 1, 0], [1, 1, 0]], bool)) == [1, 3, 2]
    assert run_lengths(np.ones((2, 2), bool)) == [0, 4]
    assert run_lengths(np.zeros((2, 2), bool)) == [4]


@pytest.mark.parametrize(
    ("file", "folder", "concepts"),
    [
        ("det_train/annotations/instances.json", "det_train/images", COARSE),
        ("eval/annotations/instances_coarse.json", "eval/images", COARSE),
        ("eval/annotations/instances_fine.json", "eval/images", FINE),
    ],
)
def test_coco_file_is_whole_and_consistent(data, file, folder, concepts):
    coco = instances(data / file)
    assert list(coco) == ["info", "licenses", "images", "annotations", "categories"]
    assert [category["name"] for category in coco["categories"]] == [concept.name for concept in concepts]
    images = {image["id"]: image for image in coco["images"]}
    assert {image["file_name"] for image in images.values()} == {path.name for path in (data / folder).iterdir()}
    assert [a["id"] for a in coco["annotations"]] == list(range(1, len(coco["annotations"]) + 1))
    categories = {category["id"] for category in coco["categories"]}
    bad = []
    for annotation in coco["annotations"]:
        image = images[annotation["image_id"]]
        assert annotation["category_id"] in categories
        x, y, w, h = annotation["bbox"]
        if not (w > 0 and h > 0 and x >= 0 and y >= 0 and x + w <= image["width"] and y + h <= image["height"]):
            bad.append(annotation)
        elif annotation["iscrowd"]:
            counts = annotation["segmentation"]["counts"]
            assert sum(counts) == image["width"] * image["height"]
            assert sum(counts[1::2]) == annotation["area"] > 0
        else:
            (polygon,) = annotation["segmentation"]
            points = np.array(polygon).reshape(-1, 2)
            assert extent(points) == pytest.approx((x, y, w, h), abs=0.02) or x + w > 96
            assert 0 < annotation["area"] <= w * h * 1.01
    if "eval" in file:
        assert not bad
    else:
        assert sorted(a["bbox"][2] == 0 for a in bad) == [False, True]
        assert any(a["iscrowd"] for a in coco["annotations"])
        assert set(images) - {a["image_id"] for a in coco["annotations"]}, "some images show nothing"


def test_good_images_decode_and_only_the_documented_ones_do_not(data):
    broken = []
    for path in [*data.rglob("*.jpg"), *data.rglob("*.JPEG")]:
        try:
            with Image.open(path) as image:
                image.load()
                assert (image.size, image.mode, image.format) == ((SIZE, SIZE), "RGB", "JPEG")
        except OSError:
            broken.append(path)
    readme = (data / "README.txt").read_text()
    assert len(broken) == 2
    assert all(path.name in readme for path in broken)


def test_class_folders_are_wnids_with_a_tail_and_some_labels_are_wrong(data):
    folder = data / "cls_train"
    files = {path.name: len(list(path.iterdir())) for path in folder.iterdir()}
    assert set(files) == {concept.wnid for concept in FINE}
    assert all(path.name.startswith(f"{path.parent.name}_") for path in folder.rglob("*.JPEG"))
    with open(data / "label_noise.csv", newline="") as file:
        noise = list(csv.DictReader(file))
    assert len(noise) == round(0.05 * SIZES.cls_train)
    assert all((folder / row["file"]).parent.name == row["label_wnid"] != row["true_wnid"] for row in noise)
    true = Counter(files)
    true[FINE_KINDS[-1].fine.wnid] -= 1  # the empty file
    for row in noise:
        true[row["label_wnid"]] -= 1
        true[row["true_wnid"]] += 1
    assert tuple(true[concept.wnid] for concept in FINE) == tail_counts(SIZES.cls_train)


def test_fine_boxes_are_coarse_boxes_of_the_same_images(data):
    coarse = instances(data / "eval/annotations/instances_coarse.json")
    fine = instances(data / "eval/annotations/instances_fine.json")
    assert coarse["images"] == fine["images"]
    all_boxes = {(a["image_id"], *a["bbox"]) for a in coarse["annotations"]}
    assert {(a["image_id"], *a["bbox"]) for a in fine["annotations"]} <= all_boxes


def test_same_seed_gives_the_same_bytes_and_another_seed_others(data, tmp_path):
    small = DemoSizes(det_train=10, cls_train=44, eval=3)
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        render_dataset(tmp_path / name, seed=seed, sizes=small, log=quiet)
    a, b, c = (bytes_below(tmp_path / name) for name in "abc")
    assert a == b
    assert set(a) == set(c) or a != c
    assert a["eval/images/eval_000001.jpg"] != c["eval/images/eval_000001.jpg"]


def test_picture_does_not_depend_on_how_many_there_are(data, tmp_path):
    render_dataset(tmp_path / "few", seed=3, sizes=DemoSizes(det_train=10, cls_train=44, eval=3), log=quiet)
    for name in ("det_train/images/det_000007.jpg", "eval/images/eval_000002.jpg"):
        assert (tmp_path / "few" / name).read_bytes() == (data / name).read_bytes()


def test_finished_data_is_left_alone_and_other_data_is_never_overwritten(data):
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    said = []
    assert not render_dataset(data, seed=3, sizes=SIZES, log=said.append)
    assert "complete already" in said[0]
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before
    with pytest.raises(OutputError, match=r"holds other data .* remove it"):
        render_dataset(data, seed=4, sizes=SIZES, log=quiet)


def test_foreign_directory_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match=r"no made\.json"):
        render_dataset(tmp_path, sizes=SIZES, log=quiet)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="expected det_train >= 10, cls_train >= 44"):
        render_dataset(tmp_path / "x", sizes=DemoSizes(cls_train=20), log=quiet)
