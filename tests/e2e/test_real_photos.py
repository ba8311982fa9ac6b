"""Faster R-CNN learns eight real photos by heart, by the commands that a user has."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("tensorflow")

PLAIN = [f"augment.{key}" for key in ("scale=1", "aspect=1", "shift=0", "flip=0", "hue=0", "saturation=1")]
SETTINGS = [
    *PLAIN,
    "augment.exposure=1",
    "model.input_size=192",
    "model.input_height=144",
    "model.batch_norm_momentum=0.9",
    "train.steps=120",
    "train.warmup_steps=20",
    "train.learning_rate=2e-3",
    "train.ema=0.9",
    "train.weight_decay=0",
]


@pytest.mark.slow
def test_eight_real_photos_are_learnt_by_heart(shared, run_wordtree, tmp_path):
    devkit = shared("data", "voc", "voc2012_100", "VOCdevkit", "VOC2012")
    run = lambda *words: run_wordtree(*words, cwd=tmp_path, check=True)  # noqa: E731
    run("tree", "build", "--labels", "voc", "--out", "tree")
    run("convert", "voc", "eight", "--devkit", devkit, "--set", "trainval", "--tree", "tree", "--limit", "8")
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    run("train", "faster_rcnn_small", "--data", "eight", "--tree", "tree", "--out", "run", *settings)
    run("evaluate", "run", "eight", "--metrics", "coco")
    result = json.loads((tmp_path / "run" / "evaluation" / "eight.json").read_text())
    assert result["images"] == 8
    assert result["summary"]["AP50"] > 0.9
