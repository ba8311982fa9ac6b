"""The report: everything from outside is escaped, missing parts say how to make them, hits and misses are counted."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from detector.report import write_report
from detector.report.inputs import DatasetFacts, Missing, check_inputs, read_inputs
from detector.report.pictures import _drawn
from detector.report.truths import truths_of_images
from schemas.arrow import annotations_table, index_row, index_table
from schemas.boxes import Box
from schemas.errors import InputError, OutputError
from schemas.manifest import ClassEntry, Counts, Manifest, ShardEntry
from schemas.record import BoxAnnotation, ImageRecord
from wordtree.tree import WordTree
from wordtree.tree_formats import names_text, tree_text

EVIL = "<script>alert('x')</script>&\"</title>"
# figure > triangle > right triangle; star
TREE = WordTree(
    ["n1", "n2", "n3", "n4", "n5"], [-1, 0, 0, 1, 1], ["figure", f"triangle {EVIL}", "star", "right one", "flat one"]
)
VOID = {"meta", "img", "input", "br"}


class Checker(HTMLParser):
    """Balanced tags, unique ids; collects scripts, images and links."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.scripts, self.urls, self.text = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.urls += [attrs[key] for key in ("src", "href") if key in attrs]
        if tag == "img":
            assert attrs["alt"]
        if tag not in VOID:
            self.open.append(tag)
        self.last = tag

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.scripts if self.open and self.open[-1] == "script" else self.text).append(data)


def checked(path):
    checker = Checker()
    checker.feed(path.read_text())
    assert checker.open == []
    assert len(set(checker.ids)) == len(checker.ids)
    assert all(url.startswith(("data:image/", "#")) for url in checker.urls)
    return checker


@pytest.fixture
def run(tmp_path):
    """A run that holds every part."""
    folder = tmp_path / "run <1>"
    (folder / "tree").mkdir(parents=True)
    (folder / "tree" / "wordtree.tree").write_text(tree_text(TREE))
    (folder / "tree" / "wordtree.names").write_text(names_text(TREE))
    (folder / "config.json").write_text(json.dumps({"name": f"tiny {EVIL}", "model": {"input_size": 96}}))
    os.utime(folder / "config.json", (1, 1))
    rows = [
        {"step": s, "images": 8 * s, "learning_rate": 0.1, "loss": 9 / s, "odd<b>": 1 / s} for s in range(10, 60, 10)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 60, "lo')
    os.utime(folder / "metrics.jsonl", (151, 151))
    (folder / "training_nodes.json").write_text(json.dumps({"boxes": {"n2": 40}, "labels": {"n4": 7, "n5": 3}}))
    classes = [
        {"label": "triangle", "wnid": "n2", "boxed": True, "truths": 9, "AP50": 0.75, "AP": 0.5, "AP75": 0.25},
        {"label": EVIL, "wnid": "n4", "boxed": False, "truths": 5, "AP50": 0.5, "AP": 0.25, "AP75": None},
        {"label": "flat", "wnid": "n5", "boxed": False, "truths": 0, "AP50": None, "AP": None, "AP75": None},
    ]
    extra = {"path": f"figure > {EVIL}", "node": 1, "training_boxes": 40, "training_labels": 0}
    evaluation = {
        "dataset": "eval",
        "images": 2,
        "seconds": 1.5,
        "summary": {"AP": 0.3, "AP50": 0.6, "AP75": 0.2, "AP50_boxed": 0.75, "AP50_unboxed": 0.5},
        "classes": [extra | row for row in classes],
    }
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "eval.json").write_text(json.dumps(evaluation))
    return folder


@pytest.fixture
def pictures(tmp_path):
    """Two images, and detections on them: `(folder, paths)`."""
    found = tmp_path / "found"
    (found / "pictures").mkdir(parents=True)
    entries, paths = [], []
    for number, wnid in enumerate(("n4", "n3")):
        path = tmp_path / f"photo&{number}.png"
        Image.new("RGB", (40, 30), (number, 90, 90)).save(path)
        Image.new("RGB", (400, 300)).save(found / "pictures" / f"{number}.png")
        box = [0.1, 0.1, 0.5, 0.5]
        row = {"box": box, "wnid": wnid, "label": "x", "path": f"figure > {EVIL}", "score": 0.71}
        picture = f"pictures/{number}.png"
        entries.append({"image": str(path), "picture": picture, "height": 30, "width": 40, "detections": [row]})
        paths.append(path)
    (found / "detections.json").write_text(json.dumps({"run": "run", "images": entries}))
    return found, paths


def write_rows(folder, images, boxes, **manifest):
    """A dataset directory with rows and no shards: `boxes` are (image, wnid, label, box, flag or False)."""
    folder.mkdir()
    records = [
        ImageRecord(
            image_id=str(number),
            source="x",
            uri="",
            filename="",
            has_boxes=True,
            height=30,
            width=40,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            boxes=tuple(
                BoxAnnotation(box=box, label=label, class_id=1, wnid=wnid, **({flag: True} if flag else {}))
                for image, wnid, label, box, flag in boxes
                if image == number
            ),
        )
        for number, path in enumerate(images)
    ]
    rows = [index_row(record, "s", 0, 1) for record in records]
    pq.write_table(index_table(rows), folder / "train.index.parquet")
    pq.write_table(annotations_table(records), folder / "train.annotations.parquet")
    counts = Counts(
        images_in=3,
        images_written=2,
        images_rejected=1,
        annotations_in=2,
        annotations_written=2,
        rejected_by_reason={"image:truncated": 1},
        fixed_by_reason={"box:clipped": 4},
    )
    facts = {
        "source": "coco",
        "split": "train",
        "has_boxes": True,
        "options": {},
        "versions": {},
        "source_files": (),
        "counts": counts,
        "shards": (ShardEntry(name="s", records=2, bytes=2_000_000, sha256=""),),
        "classes": (ClassEntry(id=1, label="triangle", wnid="n2"),),
    }
    (folder / "manifest.json").write_text(Manifest(**(facts | manifest)).to_json())
    reject = {"reason": "image:truncated", "record": f"17 {EVIL}", "found": "1596 bytes", "where": "", "kind": "image"}
    (folder / "rejects.jsonl").write_text(json.dumps(reject) + "\n")
    return folder


@pytest.fixture
def dataset(tmp_path, pictures):
    boxes = [(0, "n2", "triangle", Box(0.1, 0.1, 0.5, 0.5), False), (1, "n3", "star", Box(0.6, 0.6, 0.9, 0.9), False)]
    return write_rows(tmp_path / "det", pictures[1], boxes)


def test_whole_report_is_well_formed_and_needs_no_network(run, dataset, pictures, tmp_path):
    out = write_report(run, tmp_path / "new" / "report.html", datasets=[dataset], detections=pictures[0])
    checker = checked(out)
    text = " ".join(checker.text)
    assert out == tmp_path / "new" / "report.html"
    for shown in ("75.0 %", "50.0 %", "5", "nodes", "2.5", "minutes", "image:truncated", "1596 bytes", "box:clipped"):
        assert shown in text, shown
    assert "://" not in re.sub(r"data:[^\"]*", "", out.read_text())
    assert not list(out.parent.glob(".*"))


def test_names_from_outside_never_become_markup(run, dataset, pictures, tmp_path):
    out = write_report(run, tmp_path / "report.html", datasets=[dataset], detections=pictures[0])
    page = out.read_text()
    assert "<script>alert" not in page
    assert EVIL in " ".join(checked(out).text)  # it is shown, as text
    data = [json.loads(text) for text in checked(out).scripts if text.startswith("{")]
    tree = next(item for item in data if "words" in item)
    assert tree["words"] == list(TREE.display_names)
    assert tree["ap"] == {"1": 0.75, "3": 0.5}
    assert (tree["boxes"], tree["labels"]) == ([0, 40, 0, 0, 0], [0, 0, 0, 7, 3])


def test_empty_run_says_of_every_part_how_to_make_it(tmp_path):
    (tmp_path / "run").mkdir()
    text = " ".join(checked(write_report(tmp_path / "run", tmp_path / "report.html")).text)
    for command in (
        "wordtree train CONFIG",
        "wordtree evaluate run",
        "wordtree detect run",
        "wordtree report RUN --data",
    ):
        assert command in text


@pytest.mark.parametrize(
    "part", ["config.json", "metrics.jsonl", "training_nodes.json", "evaluation/eval.json", "tree/wordtree.tree"]
)
@pytest.mark.parametrize("damage", [None, "", "{", "[1]", '{"classes": 3}'])
def test_any_part_may_be_missing_or_damaged(run, dataset, pictures, tmp_path, part, damage):
    (run / part).unlink()
    if damage is not None:
        (run / part).write_text(damage)
    out = write_report(run, tmp_path / "report.html", datasets=[dataset, tmp_path / "none"], detections=pictures[0])
    checked(out)
    assert 'class="missing"' in out.read_text()


def test_missing_run_and_unwritable_target_are_one_line_errors(run, tmp_path):
    with pytest.raises(InputError, match="no run directory"):
        write_report(tmp_path / "nowhere", tmp_path / "report.html")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write the report"):
        write_report(run, tmp_path / "file" / "report.html")


def test_a_full_disk_leaves_no_part_of_a_report(run, tmp_path, monkeypatch):
    def no_room(path, data):
        with open(path, "wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_room)
    with pytest.raises(OutputError, match=r"report.html: cannot write it \(No space left on device\)"):
        write_report(run, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == [run]


def test_missing_pictures_leave_the_words(run, pictures, tmp_path):
    folder, paths = pictures
    for path in [*paths, *(folder / "pictures").iterdir()]:
        path.unlink()
    page = write_report(run, tmp_path / "report.html", detections=folder).read_text()
    assert page.count("No picture of it.") == 2
    assert "hits and misses are not known" in page


def test_minutes_are_summed_over_the_processes_of_the_training(run):
    inputs = read_inputs(run, [], None)
    assert (inputs.minutes, inputs.timed) == (2.5, False)  # by the times of the files
    seconds = ((0, 30), (0, 90), (20, 91), (20, 100), (40, 75))  # the last value of each process: 90, 100, 75
    rows = [json.dumps({"from": start, "step": 10 * k, "seconds": t}) for k, (start, t) in enumerate(seconds, 1)]
    (run / "timing.jsonl").write_text("\n".join([*rows, '{"step": 60, "sec']))
    inputs = read_inputs(run, [], None)
    assert (inputs.minutes, inputs.timed) == ((90 + 100 + 75) / 60, True)


def test_detections_that_are_not_there_are_refused(run, tmp_path):
    with pytest.raises(InputError, match=r"'\S*nosuch' holds no detections\.json; make it with `wordtree detect RUN"):
        write_report(run, tmp_path / "report.html", detections=tmp_path / "nosuch")
    with pytest.raises(InputError, match="no run directory"):
        check_inputs(tmp_path / "nowhere", None)


def test_report_looks_at_its_inputs_before_its_output(run, tmp_path, monkeypatch, capsys):
    from wordtree.command import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "report.html").write_text("old")
    assert main(["report", str(run), "--detections", "nosuch"]) == 2
    assert "holds no detections.json" in capsys.readouterr().err
    assert main(["report", str(run)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_picture_has_the_last_name_and_the_list_below_it_the_path(run, pictures, tmp_path):
    row = {"box": [0, 0, 1, 1], "wnid": "n4", "path": "figure > triangle > right one", "score": 0.71}
    assert _drawn(row).caption == "right one 0.71"
    assert _drawn(row | {"label": "right"}).caption == "right 0.71"
    folder, paths = pictures
    first = write_report(run, tmp_path / "a.html", detections=folder).read_text()
    for picture in (folder / "pictures").iterdir():
        picture.unlink()
    assert write_report(run, tmp_path / "b.html", detections=folder).read_text() == first  # drawn from the images
    for path in paths:
        Image.new("RGB", (9, 9)).save(path)  # another image by now
    assert "No picture of it." in write_report(run, tmp_path / "c.html", detections=folder).read_text()


def test_resumed_log_counts_each_step_once(run):
    (run / "metrics.jsonl").write_text('{"step": 2, "loss": 5}\n{"step": 1, "loss": 7}\n{"step": 2, "loss": 4}\n')
    assert read_inputs(run, [], None).metrics == ({"step": 1, "loss": 7}, {"step": 2, "loss": 4})


def test_large_tree_is_drawn_row_by_row(run, tmp_path):
    tree = WordTree([f"n{k}" for k in range(9418)], [-1] + [(k - 1) // 20 for k in range(1, 9418)])
    (run / "tree" / "wordtree.tree").write_text(tree_text(tree))
    (run / "tree" / "wordtree.names").write_text(names_text(tree))
    nodes = {"boxes": {f"n{k}": 9418 - k for k in range(9418)}, "labels": {}}
    (run / "training_nodes.json").write_text(json.dumps(nodes))
    out = write_report(run, tmp_path / "report.html")
    assert out.stat().st_size < 600_000
    assert out.read_text().count("<li") < 100


def test_truths_are_found_by_the_bytes_of_the_image_and_the_deeper_class_stays(tmp_path, pictures, dataset):
    copy = tmp_path / "elsewhere.png"
    copy.write_bytes(pictures[1][0].read_bytes())
    fine = write_rows(
        tmp_path / "fine",
        pictures[1],
        [
            (0, "n4", "right one", Box(0.1, 0.1, 0.51, 0.5), False),
            (0, "n5", "flat one", Box(0.5, 0.5, 0.9, 0.9), "is_crowd"),
            (0, "n5", "flat one", Box(0.5, 0.0, 0.9, 0.3), "is_difficult"),
        ],
    )
    facts = read_inputs(tmp_path, [dataset, fine], None).datasets
    assert all(isinstance(item, DatasetFacts) for item in facts)
    for order in (facts, facts[::-1]):
        found = truths_of_images([copy, tmp_path / "gone.png"], order, TREE)
        assert list(found) == [copy]
        assert sorted((truth.wnid, truth.crowd) for truth in found[copy]) == [("n4", False), ("n5", True), ("n5", True)]


def test_dataset_without_manifest_is_named(tmp_path):
    (tmp_path / "half").mkdir()
    (part,) = read_inputs(tmp_path, [tmp_path / "half"], None).datasets
    assert isinstance(part, Missing)
    assert part.what == "The dataset half is missing: there is no manifest.json."


def test_report_replaces_an_older_one(run, tmp_path):
    out = Path(tmp_path / "report.html")
    out.write_text("old")
    write_report(run, out)
    assert "old" not in out.read_text()[:3]
