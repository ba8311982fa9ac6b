"""Two small runs with random weights for the tests of the bench: one stage and two."""

from __future__ import annotations

import json
from pathlib import Path

import tensorflow as tf

from detector.architectures import build_detector
from detector.checkpoint import CheckpointInfo, save_checkpoint
from detector.config import Experiment, ModelConfig, TwoStageConfig
from detector.run import write_tree
from tests.detector.conftest import TREE

ANCHORS = ((0.35, 0.35), (0.5, 0.5))
MODEL = {"input_size": 32, "width": 0.125, "stages": 4, "output_stride": 8, "anchors": ANCHORS, "num_anchors": 2}
ONE = Experiment(name="one", model=ModelConfig(**MODEL))
TWO = Experiment(
    name="two",
    model=ModelConfig(architecture="faster_rcnn", **MODEL),
    two_stage=TwoStageConfig(
        cut=8, second_stage="dense", head_width=24, rpn_width=16, proposals=12, candidates=20, crop=4
    ),
)


def write_run(experiment: Experiment, path: Path, seed: int = 0) -> Path:
    """A run directory as `wordtree train` leaves it, after no step."""
    tf.keras.utils.set_random_seed(seed)
    detector = build_detector(experiment, TREE)
    write_tree(TREE, path / "tree")
    (path / "training_nodes.json").write_text(json.dumps({"boxes": {"n00000003": 5}, "labels": {}, "datasets": []}))
    info = CheckpointInfo(step=1, images_seen=4, tree_digest=TREE.digest(), nodes=len(TREE))
    save_checkpoint(path / "checkpoints", info, {f"model/{w.path}": w for w in detector.model.weights})
    (path / "config.json").write_text(experiment.to_json())
    return path
