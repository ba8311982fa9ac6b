"""What do classes, decoding and suppression add to the network? And what would a flat softmax over all classes cost?

YOLO9000's network with 9,418 classes in a tree of the published shape's size and random weights; the objectness bias is
set so that a few percent of the boxes are likely, as on photos. In one run, for each input size and batch:

    backbone     the features alone: the bound
    thesis, ...  whole inference with that walk, suppression in the graph
    flat         whole inference with a flat softmax over as many classes, every box classified

and the share of inference behind the backbone, (whole - backbone) / whole, by wall time and by CPU time of the process.
One JSON line.

    python benchmarks/decode_speed.py --sizes 416 544 --batches 1 8 --repeats 5
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from typing import Any


def random_tree(nodes: int, seed: int = 0) -> Any:
    """Groups of 1 to 10 siblings below nodes drawn at random, nearer to the newest: about as deep as the published."""
    import numpy as np

    from wordtree.tree import WordTree

    rng = np.random.default_rng(seed)
    parents, taken = [-1] * 4, set()
    while len(parents) < nodes:
        parent = int(len(parents) * rng.random() ** 0.5)
        if parent not in taken:
            taken.add(parent)
            parents += [parent] * min(int(rng.integers(1, 10)), nodes - len(parents))
    return WordTree([f"n{k:08d}" for k in range(nodes)], parents)


def detector_of(tree: Any, size: int, likely: float) -> Any:
    """The published network with random weights; about a share `likely` of its boxes has an objectness above 0.2."""
    import numpy as np
    import tensorflow as tf

    from detector.architectures import build_detector
    from detector.config import load_config

    experiment = load_config("yolo9000")
    anchors = experiment.model.anchors or ((0.06, 0.09), (0.23, 0.33), (0.7, 0.74))
    model = dataclasses.replace(experiment.model, input_size=size, anchors=anchors)
    detector: Any = build_detector(dataclasses.replace(experiment, model=model), tree)
    images = tf.random.stateless_uniform([2, size, size, 3], (1, 2))
    features = detector.model(images, training=False)[1]
    scale = 1.5 / float(tf.math.reduce_std(features)) / np.sqrt(int(features.shape[-1]))
    head = detector.head  # scores of a trained network are spread; those of a new one are all alike
    head.class_kernel.assign(tf.random.stateless_normal(head.class_kernel.shape, (3, 4)) * scale * 4)
    head.box_kernel.assign(tf.random.stateless_normal(head.box_kernel.shape, (5, 6)) * scale)
    logits = detector.predict(images, training=False).object_logits.numpy()
    bias = head.box_bias.numpy()
    bias[:, 4] -= np.quantile(logits, 1 - likely) - np.log(0.2 / 0.8)
    head.box_bias.assign(bias)
    return detector


def timed(works: dict[str, Any], images: Any, repeats: int) -> dict[str, tuple[float, float]]:
    """Least wall and CPU milliseconds of each, in turns, so that a busy machine is busy for all."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for work in works.values():
        work(images)
    for _ in range(repeats):
        for name, work in works.items():
            wall, cpu = time.perf_counter(), time.process_time()
            result = work(images)
            getattr(result, "boxes", result).numpy()  # waits for an accelerator too
            found[name].append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)))
    return {name: (min(wall for wall, _ in pairs), min(cpu for _, cpu in pairs)) for name, pairs in found.items()}


def measure(size: int, batches: list[int], repeats: int, nodes: int, likely: float) -> list[dict[str, Any]]:
    """One row a batch size."""
    import tensorflow as tf

    from detector.config import DecodeConfig
    from wordtree.tree import WordTree

    tree = random_tree(nodes)
    detector = detector_of(tree, size, likely)
    flat_tree = WordTree(list(tree.names), [-1] * nodes)
    flat = type(detector)(
        dataclasses.replace(
            detector.experiment, model=dataclasses.replace(detector.experiment.model, class_head="full")
        ),
        flat_tree,
    )
    flat.model.set_weights(detector.model.get_weights())
    options = {
        "thesis": DecodeConfig(),
        "darknet": DecodeConfig(walk="darknet"),
        "leaves": DecodeConfig(walk="leaves"),
        "map_200": DecodeConfig(walk="map", nodes=tuple(range(50, 250))),
        "subtree": DecodeConfig(suppression="subtree"),
        "threshold_0.005": DecodeConfig(threshold=0.005, limit=100),
    }
    works = {"backbone": tf.function(lambda images: detector.model(images, training=False)[1])}
    for name, option in options.items():
        works[name] = tf.function(lambda images, option=option: detector.detect(images, option))

    @tf.function
    def dense(images: Any) -> Any:
        from detector.nms import suppress

        found = flat.predict(images, training=False)
        probs = tf.nn.softmax(found.classes.logits)
        nodes = tf.argmax(probs, axis=-1, output_type=tf.int32)
        scores = tf.reduce_max(probs, axis=-1) * tf.sigmoid(found.object_logits)
        return suppress(found.boxes, nodes, scores, threshold=0.2, iou_threshold=0.45, limit=100)

    works["flat"] = dense
    rows = []
    for batch in batches:
        images = tf.random.stateless_uniform([batch, size, size, 3], (1, 2))
        objectness = tf.sigmoid(detector.predict(images, training=False).object_logits)
        row: dict[str, Any] = {"size": size, "batch": batch}
        row["likely_boxes"] = round(float(tf.reduce_sum(tf.cast(objectness > 0.2, tf.float32))) / batch, 1)
        row["detections"] = int(tf.reduce_sum(tf.cast(works["thesis"](images).mask, tf.int32)))
        times = timed(works, images, repeats)
        bound = times["backbone"]
        for name, (wall, cpu) in times.items():
            row[name] = {"wall_ms": round(wall, 1), "cpu_ms": round(cpu, 1)}
            if name != "backbone":
                row[name]["share_behind_backbone"] = round(1 - bound[0] / wall, 3)
                row[name]["share_cpu"] = round(1 - bound[1] / cpu, 3)
        rows.append(row)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[416])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=9418)
    parser.add_argument("--likely", type=float, default=0.03, help="share of boxes above the threshold")
    args = parser.parse_args()
    rows = [row for size in args.sizes for row in measure(size, args.batches, args.repeats, args.nodes, args.likely)]
    print(json.dumps({"benchmark": "decode_speed", "nodes": args.nodes, "rows": rows}))


if __name__ == "__main__":
    main()
