"""What is evaluated is what was converted: figures equal to pycocotools', whatever the source's ids and faults are."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pycocotools")

from detector.dataset import Dataset, open_dataset
from detector.evaluate import evaluate_results
from detector.evaluation_table import notes, table
from pipelines import assembling
from pipelines.export_coco import export_coco
from pipelines.plan import Options, make_plan
from pipelines.policy import policy_of
from pipelines.sources.coco import Source
from pipelines.writing import read_piece, write_shard
from tests.detector.coco_judge import clean, ours, shaken, stats
from tests.pipelines.test_every_set import SETS

NEAR = 1e-9


def evaluated(dataset: Dataset, results: list[dict[str, Any]], path: Path, **options: Any) -> list[float]:
    """The twelve numbers of a results list."""
    path.write_text(json.dumps(results))
    return ours(evaluate_results(path, dataset, metrics=("coco",), **options)["summary"])


@pytest.mark.parametrize("name", SETS)
def test_a_set_and_its_coco_file_give_the_figures_of_pycocotools(
    name: str, shared: Callable[..., Path], convert: Callable[..., Any], tmp_path: Path
) -> None:
    words = [str(word) for word in SETS[name].words(shared("data", *SETS[name].folder.split("/")))]
    done = convert(*words)
    if not done.manifest["has_boxes"] or not done.counts["images_written"]:
        pytest.skip("no boxes, or no images")
    export_coco(str(done.out), str(tmp_path / "back.json"))
    back = json.loads((tmp_path / "back.json").read_text())
    results = shaken(back, np.random.default_rng(7))
    wanted = stats(back, results)
    assert wanted[1] > 0.1
    dataset = open_dataset(str(done.out))
    own = {image["id"]: image.get("source_id", image["id"]) for image in back["images"]}
    named = [{**row, "image_id": own[row["image_id"]]} for row in results]
    np.testing.assert_allclose(evaluated(dataset, named, tmp_path / "named.json"), wanted, rtol=0, atol=NEAR)
    official = evaluated(dataset, results, tmp_path / "r.json", official=str(tmp_path / "back.json"))
    np.testing.assert_allclose(official, wanted, rtol=0, atol=NEAR)
    if "--annotations" in words and words[0] == "coco":
        source = json.loads(Path(words[words.index("--annotations") + 1]).read_text())
        np.testing.assert_allclose(stats(source, results), wanted, rtol=0, atol=NEAR)


def converted(folder: Path, on: dict[str, str]) -> Dataset:
    """The set in a folder, without Beam between its rows and its shard."""
    source = Source(annotations=str(folder / "a.json"), images=str(folder))
    options = Options(labels="none", shards=1, policy=policy_of(on), on_unknown_class="reject")
    plan = make_plan(source, str(folder / "out"), options)
    assembling.begin(plan)
    payloads = [row for number, piece in enumerate(source.pieces()) for _, row in read_piece(plan.job, number, piece)]
    write_shard(plan.job, 0, payloads)
    assembling.assemble(plan)
    return open_dataset(str(folder / "out"))


def picture(width: int, height: int, turned: bool) -> bytes:
    exif = Image.Exif()
    if turned:
        exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


IDS: dict[str, Callable[[int], Any]] = {
    "from 0": lambda n: n,
    "from 1": lambda n: n + 1,
    "text": lambda n: f"img {9 - n}/ü",
    "numbers as text": lambda n: str(7 * n + 5),
    "huge": lambda n: 2**62 - 11 * n,
    "as floats": lambda n: float(3 * n),
}
CLASSES: dict[str, Callable[[int], Any]] = {
    "from 0": lambda n: n,
    "sparse": lambda n: 5 + 9 * n,
    "text": lambda n: f"kind-{n}",
    "as floats": lambda n: 2.0 + n,
}


def odd_set(folder: Path, rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, str]]:
    """Write a set with ids, boxes and faults as people have them; and the policy to convert it with."""
    pick = lambda options: options[list(options)[int(rng.integers(len(options)))]]  # noqa: E731
    image_id, class_id, box_id = pick(IDS), pick(CLASSES), pick(IDS)
    faulty, repeated, scaled = rng.random(3) < (0.5, 0.3, 0.3)
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    truth["categories"] = [{"id": class_id(n), "name": f"c{n}"} for n in range(3)]
    sides = int(rng.choice([60, 300]))
    for n in rng.permutation(int(rng.integers(1, 8))).tolist():
        width, height = (int(side) for side in rng.integers(sides // 2, sides, 2))
        turned, twice = bool(faulty and rng.random() < 0.3), bool(scaled and rng.random() < 0.5)
        (folder / f"{n}.jpg").write_bytes(picture(height, width, True) if turned else picture(width, height, False))
        if twice and not turned:
            width, height = 2 * width, 2 * height
        truth["images"].append({"id": image_id(n), "file_name": f"{n}.jpg", "width": width, "height": height})
        for k in range(int(rng.integers(0, 6)) if rng.random() < 0.9 else 0):
            w, h = rng.uniform(3, [width * 0.6, height * 0.6])
            x, y = rng.uniform([-3 if faulty else 0] * 2, [width - w + 3 * faulty, height - h + 3 * faulty])
            bbox = [round(float(v), int(rng.integers(0, 3))) for v in (x, y, w, h)]
            entry = {"id": box_id(k if repeated else 10 * n + k), "image_id": image_id(n), "bbox": bbox}
            entry |= {"category_id": class_id(int(rng.integers(3))), "area": w * h * 0.8, "iscrowd": 0}
            if rng.random() < 0.2:
                entry["area"] = 1024.00001  # no small object; float32 would make it one
            match int(rng.integers(12)):
                case 0:
                    entry["iscrowd"] = 1
                case 1:
                    del entry["area"], entry["iscrowd"]
                case 2:
                    del entry["id"]
                case 3 if faulty:
                    del entry["bbox"]
                case 4 if faulty:
                    entry["bbox"][2] = -4
                case 5 if faulty:
                    entry["category_id"] = class_id(77)
                case 6 if faulty:
                    entry["image_id"] = image_id(88)
            truth["annotations"].append(entry)
    if rng.random() < 0.1:
        truth["annotations"] = []
    (folder / "a.json").write_text(json.dumps(truth))
    return truth, {"image:size_mismatch": "scale"} if scaled else {}


@pytest.mark.parametrize("block", range(4))
def test_sets_with_odd_ids_and_faults_give_the_figures_of_pycocotools(block: int, tmp_path: Path) -> None:
    whole = 0
    for seed in range(50 * block, 50 * block + 50):
        rng = np.random.default_rng(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        source, on = odd_set(folder, rng)
        dataset = converted(folder, on)
        export_coco(dataset.path, str(folder / "back.json"))
        back = json.loads((folder / "back.json").read_text())
        results = shaken(back, rng) if rng.random() < 0.9 else []
        wanted = stats(*clean(back, results))
        found = evaluated(dataset, results, folder / "r.json", categories="source")
        np.testing.assert_allclose(found, wanted, rtol=0, atol=NEAR, err_msg=f"seed {seed}")
        official = evaluated(dataset, results, folder / "r.json", official=str(folder / "back.json"))
        np.testing.assert_allclose(official, wanted, rtol=0, atol=NEAR, err_msg=f"seed {seed}, official")
        counts = dataset.manifest.counts
        if not counts.rejected_by_reason and not counts.fixed_by_reason.keys() - {"box:clipped"}:
            whole += 1
            np.testing.assert_allclose(
                stats(*clean(source, results)), wanted, rtol=0, atol=NEAR, err_msg=f"seed {seed}"
            )
    assert whole > 10


def test_lvis_data_is_scored_by_what_people_looked_for(coco: Any, convert: Callable[..., Any], tmp_path: Path) -> None:
    """Birds are verified to be absent in the second picture only, and not every dog of the first one has a box."""
    coco.categories = [{"id": n, "name": name, "frequency": "f"} for n, name in ((1, "bird"), (2, "dog"), (5, "cow"))]
    lists = {1: ([], [2]), 2: ([1], []), 3: ([], [])}
    for number, (absent, partial) in lists.items():
        coco.image(number, neg_category_ids=absent, not_exhaustive_category_ids=partial)
    coco.box(1, (0, 0, 4, 4), 2, iscrowd=None)
    coco.box(3, (0, 0, 4, 4), 2, iscrowd=None)
    coco.box(3, (4, 2, 3, 3), 1, iscrowd=None)
    dataset = open_dataset(str(convert("coco", *coco.write(), "--labels", "none").out))
    bird = {"category_id": 1, "bbox": [4, 2, 3, 3]}
    results = [
        {"image_id": 1, "category_id": 2, "bbox": [5, 1, 2, 2], "score": 0.9},  # a dog without a box, perhaps
        {"image_id": 1, "category_id": 2, "bbox": [0, 0, 4, 4], "score": 0.8},
        {"image_id": 3, "category_id": 2, "bbox": [0, 0, 4, 4], "score": 0.7},
        {"image_id": 1, **bird, "score": 0.9},  # nobody looked
        {"image_id": 3, **bird, "score": 0.8},
    ]
    path = tmp_path / "r.json"
    path.write_text(json.dumps(results))
    found = evaluate_results(path, dataset)
    assert (found["rules"], found["left_out"]["not_looked_for"]) == ("LVIS", 1)
    assert [row["AP50"] for row in found["classes"]] == [pytest.approx(1), pytest.approx(1), None]
    assert [row["VOC10"] for row in found["classes"]] == [pytest.approx(1), pytest.approx(2 / 3), None]
    assert (found["summary"]["AR_300"], "AR_100" in found["summary"]) == (pytest.approx(1), False)
    assert "LVIS's rules" in notes(found)[0]
    assert "means, LVIS's rules" in table(found)
    path.write_text(json.dumps([*results, {"image_id": 2, **bird, "score": 0.9}]))
    assert evaluate_results(path, dataset)["classes"][0]["AP50"] == pytest.approx(0.5)  # verified to be absent


@pytest.mark.parametrize("lists", [{"neg_category_ids": [18]}, {"not_exhaustive_category_ids": []}, {}])
def test_images_that_list_classes_make_a_federated_set(coco: Any, convert: Callable[..., Any], lists: Any) -> None:
    coco.image(1, **lists)
    coco.box(1)
    assert open_dataset(str(convert("coco", *coco.write()).out)).is_federated == bool(lists)
