"""Metrics side by side: expansion over the dataset's classes, classes that share a node, groups in the summary."""

from __future__ import annotations

import pytest

from detector.measure import Training, measure
from detector.metrics.evidence import Evidence
from detector.truth import truth_of
from schemas.boxes import Box
from schemas.manifest import ClassEntry
from schemas.record import BoxAnnotation, ImageRecord
from tests.detector.metrics.columns_of import found_of
from wordtree.tree import WordTree

# animal > (dog > terrier, cat)
TREE = WordTree(["n1", "n2", "n3", "n4"], [-1, 0, 0, 1], ["animal", "dog", "cat", "terrier"])
ANIMAL, DOG, CAT, TERRIER = range(4)
A, B = (0, 0, 10, 10), (50, 50, 70, 70)


def evidence(boxes, found, *, nodes, labels=()):
    """Boxes (image, class, x0 y0 x1 y1, flags) on two images of 100 x 100 pixels."""

    def annotation(row):
        _, klass, (x0, y0, x1, y1), *flags = row
        box = Box(y0 / 100, x0 / 100, y1 / 100, x1 / 100)
        return BoxAnnotation(box=box, label="", class_id=klass, **dict.fromkeys(flags, True))

    records = [
        ImageRecord(
            image_id=str(number), source="x", uri="", filename="", has_boxes=True, height=100, width=100,
            boxes=tuple(annotation(row) for row in boxes if row[0] == number),
        )
        for number in range(2)
    ]  # fmt: skip
    return Evidence(
        tree=TREE,
        classes=[ClassEntry(id=klass, label=f"c{klass}", wnid=TREE.names[node]) for klass, node in nodes.items()],
        nodes=nodes,
        truth=truth_of(records, from_coco=False),
        labels=list(labels),
        found=found_of(found),
    )


def figures(result, name):
    return [row.get(name) for row in result["classes"]]


NONE = Training({}, {})


def test_open_images_truths_stand_for_the_classes_above_them_and_absent_labels_for_those_below():
    nodes = {1: ANIMAL, 2: DOG, 3: TERRIER}
    boxes = [(0, 3, A), (1, 2, B, "is_group_of")]
    found = [(0, 1, A, 0.9), (0, 2, A, 0.8), (0, 3, A, 0.7), (1, 1, B, 0.6), (1, 3, B, 0.95), (1, 2, A, 0.1)]
    result = measure(evidence(boxes, found, nodes=nodes), NONE, ("openimages",))
    # Terriers were not looked for in the second image, so that detection is dropped. Dogs: one of two found, then a
    # false one. Animals: both.
    assert figures(result, "OpenImages") == [1.0, 0.5, 1.0]
    absent = evidence(boxes, found, nodes=nodes, labels=[(1, TERRIER, False)])
    assert figures(measure(absent, NONE, ("openimages",)), "OpenImages") == [1.0, 0.5, 0.5]
    above = evidence(boxes, found, nodes=nodes, labels=[(1, CAT, False)])
    assert figures(measure(above, NONE, ("openimages",)), "OpenImages") == [1.0, 0.5, 1.0]


def test_classes_that_share_a_node_are_not_counted_twice_in_the_tree():
    nodes = {1: DOG, 2: DOG, 3: CAT}
    boxes = [(0, 1, A), (1, 2, B)]
    found = [(0, 1, A, 0.9), (0, 2, A, 0.9), (1, 1, B, 0.8), (1, 2, B, 0.8)]
    result = measure(evidence(boxes, found, nodes=nodes), NONE, ("tree", "openimages"))
    assert result["tree"]["precision"]["nodes"] == {"n1": 1.0, "n2": 1.0}
    assert figures(result, "OpenImages") == [1.0, 1.0, None]
    assert result["tree"]["names"]["all"]["walk"]["exact"] == 1.0


def test_ignored_boxes_count_nowhere():
    nodes = {1: DOG, 2: CAT}
    boxes = [(0, 1, A), (0, 1, B, "is_crowd"), (1, 2, B, "is_difficult")]
    found = [(0, 1, A, 0.9), (0, 1, B, 0.95), (1, 2, B, 0.5)]
    result = measure(evidence(boxes, found, nodes=nodes), NONE, ("coco", "voc07", "voc10", "recall", "errors", "tree"))
    assert figures(result, "truths") == [1, 0]
    for name in ("AP", "VOC07", "VOC10", "recall100", "CorLoc"):
        assert figures(result, name) == [pytest.approx(1.0), None], name
    assert result["errors"]["all"]["correct"] == 1
    assert sum(result["errors"]["all"].values()) == 1


def test_summary_has_the_mean_of_each_group():
    nodes = {1: ANIMAL, 2: DOG, 3: CAT, 4: TERRIER}
    boxes = [(0, 2, A), (1, 3, B), (1, 4, A)]
    found = [(0, 2, A, 0.9), (1, 4, A, 0.3)]
    training = Training({"n2": 4}, {"n3": 2, "n4": 2})
    summary = measure(evidence(boxes, found, nodes=nodes), training, ("voc10",))["summary"]
    assert summary["VOC10"] == pytest.approx(2 / 3)
    assert (summary["VOC10_boxed"], summary["VOC10_unboxed"]) == (1.0, 0.5)
    assert (summary["VOC10_unboxed_near"], summary["VOC10_unboxed_far"]) == (1.0, 0.0)  # the terrier is a dog
    counts = ("classes_boxed", "classes_unboxed", "classes_unboxed_near", "classes_unboxed_far", "classes_untrained")
    assert [summary[name] for name in counts] == [1, 2, 1, 1, 0]
    assert summary["AP50"] is None
