"""The main job through the commands: real files in, detections out; bad input gives one line and exit code 2."""

from __future__ import annotations

import json
import re
import shlex
import shutil

import pytest

from wordtree.command import main

pytest.importorskip("tensorflow")

pytestmark = pytest.mark.xdist_group("main job")  # one worker, so that the job is done once

SHORT = [w for o in ("steps=6", "batch_size=8", "log_every=2", "checkpoint_every=2") for w in ("--set", f"train.{o}")]


@pytest.fixture(scope="module")
def job(user_folder, run_wordtree, tmp_path_factory):
    """Every step of the main job, done once."""
    work = tmp_path_factory.mktemp("job")
    data = user_folder / "data"
    labels = ["--labels", data / "synsets.csv", "--tree", "tree"]
    coco = ["--annotations", data / "det_train/annotations/instances.json", "--images", data / "det_train/images"]
    fine = ["--annotations", data / "eval/annotations/instances_fine.json", "--images", data / "eval/images"]
    run_wordtree("tree", "build", *labels[:2], "--out", "tree", cwd=work, check=True)
    run_wordtree("convert", "coco", "det", *coco, *labels, cwd=work, check=True)
    run_wordtree("convert", "imagenet", "cls", "--images", data / "cls_train", "--tree", "tree", cwd=work, check=True)
    run_wordtree("convert", "coco", "fine", *fine, *labels, cwd=work, check=True)
    command = ["train", "demo", "--data", "det", "cls", "--tree", "tree", "--out", "run", *SHORT]
    run_wordtree(*command, cwd=work, check=True)
    return work


def test_run_evaluates_and_shows_never_boxed_classes_apart(job, run_wordtree):
    done = run_wordtree("evaluate", "run", "fine", "--json", cwd=job, check=True)
    (result,) = json.loads(done.stdout)
    assert result["images"] == 12
    assert result["ground_truth"] == "records"
    assert result["summary"]["classes_boxed"] == 0
    assert result["summary"]["classes_unboxed"] == sum(row["truths"] > 0 for row in result["classes"])
    assert json.loads((job / "run/evaluation/fine.json").read_text()) == result


def test_detect_writes_json_and_pictures_with_paths(job, user_folder, run_wordtree):
    images = user_folder / "data/eval/images"
    run_wordtree("detect", "run", images, "--out", "found", "--threshold", "0", cwd=job, check=True)
    found = json.loads((job / "found/detections.json").read_text())
    assert len(found["images"]) == 12
    tree = (job / "tree/wordtree.tree").read_text()
    for entry in found["images"]:
        assert (job / "found" / entry["picture"]).stat().st_size > 1000
        assert entry["detections"]
        for row in entry["detections"]:
            assert row["wnid"] in tree
            assert row["path"].split(" > ")[-1] == row["label"]
            assert 0 <= row["box"][0] <= row["box"][2] <= 1
            assert 0 <= row["box"][1] <= row["box"][3] <= 1
            assert 0 <= row["score"] <= 1


def test_detect_counts_what_it_cannot_read_and_goes_on(job, user_folder, run_wordtree):
    folder = job / "mixed"
    folder.mkdir()
    good = sorted((user_folder / "data/eval/images").iterdir())[0]
    shutil.copy(good, folder / "good.jpg")
    (folder / "cut.jpg").write_bytes(good.read_bytes()[:300])
    (folder / "page.jpg").write_text("<html>gone</html>")
    done = run_wordtree("detect", "run", folder, "--out", "mixed-found", cwd=job, check=True)
    assert "2 of 3 images could not be read" in done.stdout
    unreadable = json.loads((job / "mixed-found/detections.json").read_text())["unreadable"]
    assert sorted(row["image"].rsplit("/", 1)[-1] for row in unreadable) == ["cut.jpg", "page.jpg"]


def test_report_is_one_file(job, run_wordtree):
    run_wordtree("evaluate", "run", "fine", cwd=job, check=True)
    words = ["report", "run", "--data", "det", "cls", "--out", "report.html"]
    run_wordtree(*words, cwd=job, check=True)
    text = (job / "report.html").read_text()
    assert "<html" in text
    assert not re.search(r"""(src|href)=["']https?://""", text)


def test_inspect_draws_a_sheet(job, run_wordtree):
    done = run_wordtree("inspect", "det", "--out", "sheet.png", "--count", "4", cwd=job, check=True)
    assert "4 images of det in sheet.png" in done.stdout
    assert (job / "sheet.png").read_bytes().startswith(b"\x89PNG")


BAD = {
    "missing annotations": (
        "convert coco out --annotations nothing.json --images det",
        r"nothing\.json",
    ),
    "empty folder": ("convert imagenet out --images empty", r"empty"),
    "broken json": ("convert coco out --annotations broken.json --images det", r"broken\.json"),
    "unknown class": (
        "convert coco out --annotations DATA/det_train/annotations/instances.json --images DATA/det_train/images "
        "--labels voc",
        r"'?\w+'?",
    ),
    "missing tree": ("train demo --data det --tree nowhere --out r1", r"nowhere"),
    "wrong tree": ("train demo --data det --tree other --out r2", r"was converted for the tree [0-9a-f]{12}"),
    "not a dataset": ("train demo --data empty --tree tree --out r3", r"no manifest.json"),
    "unknown config": ("train dmeo --data det --tree tree --out r4", r"did you mean 'demo'"),
    "unknown key": ("train demo --data det --tree tree --out r5 --set train.step=3", r"did you mean 'steps'"),
    "no run": ("evaluate nothing fine", r"no run directory 'nothing'"),
    "labels alone": ("evaluate run cls", r"has image labels alone"),
    "no image": ("detect run 'missing/*.jpg' --out f1", r"matches no image"),
    "no readable image": ("detect run broken.jpg --out f2", r"none of the 1 images could be read"),
    "bad threshold": ("detect run fine --out f3 --threshold 3", r"--threshold 3.0: expected a number from 0 to 1"),
    "words for beam elsewhere": ("tree show tree -- --runner=x", r"takes nothing after `--`"),
    "typo for beam": (
        "convert imagenet out9 --images DATA/cls_train -- --runer=DirectRunner",
        r"runer",
    ),
}


@pytest.fixture(scope="module")
def other_tree(job, run_wordtree):
    """`other` beside the run's own tree."""
    (job / "w.txt").write_text("n02084071\nn02121620\n")
    run_wordtree("tree", "build", "--labels", "imagenet:w.txt", "--out", "other", cwd=job, check=True)
    return job / "other"


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gives_one_clear_line_and_exit_code_2(name, job, other_tree, user_folder, monkeypatch, capfd):
    """In this process: a bug would be an exception here, and a traceback of a user's command."""
    (job / "empty").mkdir(exist_ok=True)
    (job / "broken.json").write_text('{"images": [{"id": 1,')
    (job / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    command, message = BAD[name]
    monkeypatch.chdir(job)
    code = main(shlex.split(command.replace("DATA", str(user_folder / "data"))))
    error = capfd.readouterr().err
    assert code == 2, error
    last = error.strip().splitlines()[-1]
    assert last.startswith("wordtree ")
    assert re.search(message, last)
    assert "Traceback" not in error


def test_a_checkpoint_of_another_tree_is_refused(job, other_tree, run_wordtree):
    shutil.copytree(job / "run", job / "swapped")
    shutil.rmtree(job / "swapped/tree")
    shutil.copytree(other_tree, job / "swapped/tree")
    (job / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    done = run_wordtree("detect", "swapped", "broken.jpg", "--out", "f9", cwd=job)
    assert done.returncode == 2
    assert re.search(r"was trained on the tree [0-9a-f]{12} \(\d+ nodes\), but this tree is", done.stderr)
