"""Counts and images of datasets at the nodes of a tree."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from schemas.arrow import annotations_table, index_row, index_table
from schemas.boxes import Box
from schemas.errors import FormatError, InputError
from schemas.manifest import ClassEntry, Counts, Manifest, ShardEntry
from schemas.record import BoxAnnotation, ImageLabel, ImageRecord
from schemas.tfexample import encode_record
from schemas.tfrecord import frame
from wordtree.show_data import read_tree_data
from wordtree.tree import WordTree

CLASSES = ("n02084071", "n02112826", "n02121620", "n99999999")  # dog, corgi, cat, none of WordNet


def box(class_id, *corner):
    return BoxAnnotation(box=Box(*corner), label=CLASSES[class_id - 1], class_id=class_id, wnid=CLASSES[class_id - 1])


def label(class_id, present=True):
    wnid = CLASSES[class_id - 1]
    return ImageLabel(label=wnid, class_id=class_id, wnid=wnid, present=present)


def image(name, *, size=100, boxes=(), labels=(), kind="jpeg"):
    return ImageRecord(
        image_id=name,
        source="coco",
        uri=name,
        filename=name,
        has_boxes=bool(boxes),
        format=kind,
        height=4,
        width=8,
        boxes=boxes,
        labels=labels,
        encoded=name.encode().ljust(size, b"."),
    )


def write_dataset(folder, records, *, tree=None, nodes=(None,) * 4):
    """A dataset directory as `wordtree convert` writes it, as far as a reader of it sees."""
    folder.mkdir()
    offset, rows, data = 0, [], b""
    for record in records:
        framed = frame(encode_record(record))
        rows.append(index_row(record, "train-0.tfrecord", offset, len(framed)))
        offset += len(framed)
        data += framed
    (folder / "train-0.tfrecord").write_bytes(data)
    pq.write_table(index_table(rows), folder / "train.index.parquet")
    pq.write_table(annotations_table(records), folder / "train.annotations.parquet")
    manifest = Manifest(
        source="coco",
        split="train",
        has_boxes=True,
        options={},
        versions={},
        source_files=(),
        counts=Counts(images_in=len(records), images_written=len(records)),
        shards=(ShardEntry(name="train-0.tfrecord", records=len(records), bytes=offset, sha256=""),),
        classes=tuple(
            ClassEntry(id=i, label=wnid, wnid=wnid, node=node)
            for i, (wnid, node) in enumerate(zip(CLASSES, nodes, strict=True), 1)
        ),
        tree_digest="" if tree is None else tree.digest(),
    )
    (folder / "manifest.json").write_text(manifest.to_json())
    return str(folder)


@pytest.fixture
def tree():
    """animal(0) | dog(1) cat(2)"""
    return WordTree(["n00015388", "n02084071", "n02121620"], [-1, 0, 0], ["animal", "dog", "cat"])


RECORDS = [
    image("a", boxes=(box(1, 0, 0, 0.5, 0.5), box(1, 0.5, 0.5, 1, 1), box(2, 0, 0, 1, 1))),
    image("b", boxes=(box(4, 0, 0, 1, 1),), labels=(label(3), label(1, present=False))),
    image("c", labels=(label(3),), size=9000),
    image("d"),
]


def test_boxes_labels_and_absent_are_counted_at_nodes_or_their_nearest_hypernyms(tree, tmp_path):
    data = read_tree_data(tree, [write_dataset(tmp_path / "d", RECORDS)])
    # The corgi's box counts for dog: the tree has no corgi.
    assert data.counts == {"boxes": [0, 3, 0], "labels": [0, 0, 2], "absent": [0, 1, 0]}
    assert data.images == ()
    (note,) = data.notes
    assert note.endswith("d: 1 annotations are not counted, their classes have no node in this tree")


def test_two_datasets_add_up_and_the_nodes_of_the_conversion_count_if_the_tree_is_the_same(tree, tmp_path):
    same = write_dataset(tmp_path / "same", RECORDS, tree=tree, nodes=(0, 0, 0, 0))
    other = write_dataset(tmp_path / "other", RECORDS)
    assert read_tree_data(tree, [same]).counts["boxes"] == [4, 0, 0]
    assert read_tree_data(tree, [same, other]).counts["boxes"] == [4, 3, 0]


def test_images_come_with_their_boxes_and_present_labels(tree, tmp_path):
    data = read_tree_data(tree, [write_dataset(tmp_path / "d", RECORDS)], images_per_node=8)
    shown = {image.name: image for image in data.images}
    assert set(shown) == {"d: a", "d: b", "d: c"}
    assert shown["d: a"].boxes == ((1, 0, 0, 0.5, 0.5), (1, 0.5, 0.5, 1, 1), (1, 0, 0, 1, 1))
    assert shown["d: a"].encoded == RECORDS[0].encoded
    assert (shown["d: b"].boxes, shown["d: b"].labels, shown["d: b"].nodes) == ((), (2,), (2,))
    assert data.images_per_node == 8


def test_large_images_are_left_out_and_a_dataset_of_large_ones_is_told(tree, tmp_path):
    records = [image("big", labels=(label(1),), size=160_000)]
    data = read_tree_data(tree, [write_dataset(tmp_path / "d", records)], images_per_node=8)
    assert data.images == ()
    assert data.images_per_node == 0
    assert [note.split(": ")[1] for note in data.notes] == ["no image is shown, all are larger than 150 KB"]
    data = read_tree_data(tree, [str(tmp_path / "d")], images_per_node=8, max_image_kb=160)
    assert len(data.images) == 1


def test_small_images_are_preferred_and_of_larger_ones_the_smallest(tree, tmp_path):
    sizes = {"a": 90_000, "b": 50_000, "c": 30_000, "d": 20_000, "e": 149_000}
    records = [image(name, labels=(label(1),), size=size) for name, size in sizes.items()]
    data = read_tree_data(tree, [write_dataset(tmp_path / "d", records)], images_per_node=4)
    assert [image.name for image in data.images] == ["d: c", "d: d", "d: b", "d: a"]


def test_every_class_gets_an_image_before_any_gets_a_second_and_the_budget_holds(tree, tmp_path):
    records = [image(f"dog{i}", labels=(label(1),), size=3000) for i in range(5)]
    records += [image(f"cat{i}", labels=(label(3),), size=3000) for i in range(5)]
    path = write_dataset(tmp_path / "d", records)
    data = read_tree_data(tree, [path], images_per_node=2)
    assert [image.name for image in data.images] == ["d: dog0", "d: cat0", "d: dog1", "d: cat1"]
    data = read_tree_data(tree, [path], images_per_node=4, max_page_mb=3 * 4000 / 2**20)
    assert [image.name for image in data.images] == ["d: dog0", "d: cat0", "d: dog1"]
    assert data.notes == ("5 images are left out, the page holds 0.0114441 MB of them",)


def test_what_browsers_do_not_show_is_left_out(tree, tmp_path):
    records = [image("x", labels=(label(1),), kind=""), image("y", labels=(label(1),), kind="png")]
    data = read_tree_data(tree, [write_dataset(tmp_path / "d", records)], images_per_node=2)
    assert [image.name for image in data.images] == ["d: y"]


def test_a_dataset_that_is_missing_incomplete_or_damaged_is_named(tree, tmp_path):
    with pytest.raises(InputError, match="no dataset directory"):
        read_tree_data(tree, [str(tmp_path / "nowhere")])
    path = write_dataset(tmp_path / "d", RECORDS)
    (tmp_path / "d/train-0.tfrecord").write_bytes(b"\0" * 10_000)
    with pytest.raises(FormatError, match=r"train-0.tfrecord, record 'a': the CRC of the record's length is wrong"):
        read_tree_data(tree, [path], images_per_node=1)
    (tmp_path / "d/train-0.tfrecord").unlink()
    with pytest.raises(InputError, match=r"train-0.tfrecord: no such file; the dataset is incomplete"):
        read_tree_data(tree, [path], images_per_node=1)
    (tmp_path / "d/train.annotations.parquet").write_bytes(b"nothing")
    with pytest.raises(FormatError, match=r"train.annotations.parquet: cannot be read"):
        read_tree_data(tree, [path])
    (tmp_path / "d/manifest.json").unlink()
    with pytest.raises(InputError, match=r"has no manifest.json: it was lost, or not copied with the others"):
        read_tree_data(tree, [path])
