"""The flags of `wordtree detect`: what they become, what is refused, and a run from end to end."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow")

from detector.checkpoint import CheckpointInfo
from detector.cli_detect import add_detect, check_decode_flags, decode_options
from detector.config import DecodeConfig, Experiment, ModelConfig
from detector.run import Run
from schemas.errors import ConfigError, FormatError, LabelError
from wordtree.tree import WordTree

TREE = WordTree(
    ["n00000001", "n00000002", "n00000003", "n00000004"], [-1, -1, 0, 0], ["figure", "thing", "disc", "square"]
)


def parse(*words):
    parser = argparse.ArgumentParser()
    add_detect(parser.add_subparsers())
    return parser.parse_args(["detect", *map(str, words)])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", {}),
        (
            "--walk 0.3 --threshold 0 --iou 0.6 --limit 7",
            {"walk_threshold": 0.3, "threshold": 0.0, "iou_threshold": 0.6, "limit": 7},
        ),
        ("--walk-rule darknet --suppression subtree", {"walk": "darknet", "suppression": "subtree"}),
        ("--nodes n00000004,n00000001", {"walk": "map", "nodes": (3, 0)}),
        ("--nodes n00000002 --walk-rule topk", {"walk": "topk", "nodes": (1,), "suppression": "class"}),
        ("--walk-rule topk --top 2 --suppression any", {"walk": "topk", "top": 2}),
        ("--walk-rule leaves", {"walk": "leaves"}),
    ],
)
def test_flags_become_options(words, expected):
    args = parse("run", "a.jpg", *words.split())
    check_decode_flags(args)
    assert decode_options(args, TREE) == DecodeConfig(**expected)


def test_a_darknet_map_names_the_nodes(tmp_path):
    (tmp_path / "two.map").write_text("3\n1\n3\n")  # two classes of a data set may be one node
    args = parse("run", "a.jpg", "--map", tmp_path / "two.map")
    assert decode_options(args, TREE) == DecodeConfig(walk="map", nodes=(3, 1))
    (tmp_path / "bad.map").write_text("3\n9\n")
    with pytest.raises(FormatError, match=r"bad.map line 2: found '9'; expected a node from 0 to 3"):
        decode_options(parse("run", "a.jpg", "--map", tmp_path / "bad.map"), TREE)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("run a.jpg --threshold 3", "--threshold 3.0: expected a number from 0 to 1"),
        ("run a.jpg --limit 0", "--limit 0: expected 1 or more"),
        ("run a.jpg --batch-size 0", "--batch-size 0: expected 1 or more"),
        ("run a.jpg --map a.map --nodes n1", "both name the nodes"),
        ("run a.jpg --nodes n1 --walk-rule thesis", "--nodes goes with --walk-rule map or topk; found thesis"),
        ("run a.jpg --walk-rule map", "has no nodes to choose from"),
        ("run a.jpg --format json,xml", "--format: found 'xml'; expected some of json, coco, pictures"),
        ("run a.jpg --format pictures", "expected json or coco among them"),
        ("run a.jpg --categories c.csv", "add coco to --format"),
        ("run a.jpg --tree t", "--tree and --names go with --darknet"),
        ("a.jpg", "no run directory: found 'a.jpg' alone; expected a run directory, then images, folders or films"),
        ("run", "no images: found the run 'run' alone; expected a run directory, then images"),
        ("run@best", "no images: found the run 'run@best' alone"),
    ],
)
def test_flags_that_make_no_sense_are_refused(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").touch()
    args = parse(*words.split())
    with pytest.raises(ConfigError, match=message):
        args.run(args)


def test_help_names_both_forms(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    text = capsys.readouterr().out
    assert "wordtree detect RUN IMAGE..." in text
    assert "wordtree detect --darknet CFG WEIGHTS IMAGE..." in text


def test_a_wnid_that_is_no_node_is_refused():
    with pytest.raises(LabelError, match="n00000009"):
        decode_options(parse("run", "a.jpg", "--nodes", "n00000009"), TREE)


@pytest.fixture
def small_run(tmp_path):
    """A small untrained network whose boxes are likely."""
    from detector.architectures import build_detector

    model = ModelConfig(input_size=64, width=0.05, stages=4, output_stride=16, anchors=((0.3, 0.3), (0.6, 0.4)))
    experiment = Experiment(name="small", model=model)
    detector = build_detector(experiment, TREE)
    return Run(
        tmp_path / "run",
        experiment,
        TREE,
        detector,
        CheckpointInfo(step=3, images_seen=0, tree_digest=TREE.digest(), nodes=len(TREE)),
        {},
        {},
    )


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "photos/deep").mkdir(parents=True)
    for name in ("1.png", "2.png", "deep/3.png"):
        pixels = rng.integers(0, 255, (48, 60, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((120, 96)).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


def test_detect_from_end_to_end(small_run, photos, tmp_path, monkeypatch, capsys):
    import detector.run

    monkeypatch.setattr(detector.run, "open_run", lambda path: small_run)
    (tmp_path / "c.csv").write_text("wnid,id\nn00000001,11\n")
    out = tmp_path / "out"
    args = parse(
        "run", photos, "--recursive", "--out", out, "--threshold", "0.05", "--walk", "0", "--suppression", "class",
        "--format", "json,coco", "--categories", tmp_path / "c.csv", "--batch-size", "2",
    )  # fmt: skip
    assert args.run(args) == 0
    found = json.loads((out / "detections.json").read_text())
    assert [Path(entry["image"]).name for entry in found["images"]] == ["1.png", "2.png", "3.png"]
    assert found["options"]["suppression"] == "class"
    assert found["step"] == 3
    rows = [row for entry in found["images"] for row in entry["detections"]]
    assert rows
    assert {row["wnid"] for row in rows} <= {"n00000002", "n00000003", "n00000004"}  # a walk at 0 ends at a leaf
    assert all(row["score"] > 0.05 for row in rows)
    results = json.loads((out / "results.json").read_text())
    assert len(results) + found["without_category"] == len(rows)
    assert found["without_category"] == sum(row["wnid"] == "n00000002" for row in rows)
    assert {row["category_id"] for row in results} <= {11}
    assert {row["image_id"] for row in results} <= {1, 2, 3}
    said = capsys.readouterr()
    assert f"written to {out}/detections.json and {out}/results.json" in said.out
    assert "detected on 3/3 images" in said.err


def test_batches_do_not_change_what_is_found(small_run, photos, tmp_path):
    from detector.infer import detect

    paths = sorted(map(str, photos.rglob("*.png")))
    options = DecodeConfig(threshold=0.1)
    found = [
        detect(small_run, paths, tmp_path / f"{size}", options, formats=("json",), batch_size=size, log=lambda _: None)
        for size in (1, 3)
    ]
    for one, other in zip(found[0]["images"], found[1]["images"], strict=True):
        assert [row["wnid"] for row in one["detections"]] == [row["wnid"] for row in other["detections"]]
        for a, b in zip(one["detections"], other["detections"], strict=True):
            np.testing.assert_allclose([*a["box"], a["score"]], [*b["box"], b["score"]], atol=2e-4)


NETWORK = """
[net]
width=96
height=64
channels=3

[convolutional]
batch_normalize=1
filters=6
size=3
stride=2
pad=1
activation=leaky

[maxpool]
size=16
stride=16

[convolutional]
filters=18
size=1
activation=linear

[region]
anchors = 0.7,1.1, 2,1.3
classes=4
num=2
softmax=1
tree=mini.tree
"""


def test_a_published_network_is_run_from_its_own_files(photos, tmp_path, capsys):
    """Its files in, detections out. The canvas is darknet's, 96 x 64."""
    from detector.darknet.cfg import parse_cfg
    from detector.darknet.shapes import conv_shapes, parameter_count

    (tmp_path / "net.cfg").write_text(NETWORK)
    (tmp_path / "mini.tree").write_text("n00000001 -1\nn00000002 -1\nn00000003 0\nn00000004 0\n")
    rng = np.random.default_rng(0)
    count = parameter_count(conv_shapes(parse_cfg(NETWORK)))
    numbers = np.abs(rng.normal(size=count)).astype("<f4")
    (tmp_path / "net.weights").write_bytes(np.array([0, 1, 0, 0], "<i4").tobytes() + numbers.tobytes())
    words = ["--darknet", tmp_path / "net.cfg", tmp_path / "net.weights", "--tree", tmp_path / "mini.tree", photos]
    args = parse(*words, "--out", tmp_path / "out", "--walk-rule", "darknet", "--threshold", "0.01", "--no-pictures")
    assert args.run(args) == 0
    found = json.loads((tmp_path / "out/detections.json").read_text())
    assert found["counts"] == {"in": 2, "written": 2, "unreadable": 0}
    assert all(row["wnid"].startswith("n0000000") for entry in found["images"] for row in entry["detections"])
    assert found["images"][0]["detections"]
    capsys.readouterr()
