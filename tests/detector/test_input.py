"""The joint stream: exact shares, exact resume, right targets."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.config import AugmentConfig, DataConfig  # noqa: E402
from detector.dataset import open_dataset  # noqa: E402
from detector.input import JointStream  # noqa: E402
from schemas.errors import ConfigError, FormatError, InputError, TreeError  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402

STRONG = AugmentConfig(scale=1.5, shift=1.0, hue=0.1, saturation=1.5)


def stream(detection_set, label_set, tree, *, augment=STRONG, shares=(4.0, 1.0), seed=0):
    datasets = [open_dataset(str(detection_set)), open_dataset(str(label_set))]
    return JointStream(datasets, tree, data=DataConfig(shares=shares), augment=augment, size=32, seed=seed)


def as_arrays(batch):
    return [np.asarray(value) for value in batch]


def test_share_of_labels_only_images_is_exact_on_every_prefix(detection_set, label_set, tree):
    joint = stream(detection_set, label_set, tree)
    flags = [joint.example(position)[6] for position in range(57)]
    for count in range(1, len(flags) + 1):
        assert abs(count * 0.8 - sum(not boxed for boxed in flags[:count])) < 1


def test_each_epoch_of_a_source_holds_every_image_once(detection_set, label_set, tree):
    joint = stream(detection_set, label_set, tree)
    rows = [[], []]
    for position in range(300):
        source, row = joint.locate(position)
        rows[source].append(row)
    for source, count in enumerate((12, 20)):
        first, second = rows[source][:count], rows[source][count : 2 * count]
        assert sorted(first) == sorted(second) == list(range(count))
        assert first != second


def test_a_stream_started_in_the_middle_gives_the_same_batches(detection_set, label_set, tree):
    whole = list(stream(detection_set, label_set, tree).batches(4, stop=6))
    rest = list(stream(detection_set, label_set, tree).batches(4, start=4, stop=6))
    assert (len(whole), len(rest)) == (6, 2)
    for expected, found in zip(whole[4:], rest, strict=True):
        for a, b in zip(as_arrays(expected), as_arrays(found), strict=True):
            np.testing.assert_array_equal(a, b)


def test_another_seed_gives_another_order(detection_set, label_set, tree):
    one = [stream(detection_set, label_set, tree).locate(k) for k in range(20)]
    two = [stream(detection_set, label_set, tree, seed=1).locate(k) for k in range(20)]
    assert one != two


def test_plain_batch_holds_the_records_own_boxes_and_nodes(detection_set, label_set, tree):
    joint = stream(detection_set, label_set, tree, augment=None)
    batch = next(iter(joint.batches(10, stop=1)))
    assert batch.images.shape == (10, 32, 32, 3)
    for k in range(10):
        source, row = joint.locate(k)
        record = joint.sources[source].dataset.record(row)
        assert bool(batch.has_boxes[k]) == record.has_boxes
        assert int(tf.reduce_sum(tf.cast(batch.box_mask[k], tf.int32))) == len(record.boxes)
        for slot, box in enumerate(record.boxes):
            np.testing.assert_allclose(batch.boxes[k, slot], box.box, atol=1e-6)
            assert int(batch.nodes[k, slot]) == tree.index("n00000001")
        if record.labels:
            expected = {"disc": "n00000003", "square": "n00000004"}[record.labels[0].label]
            assert int(batch.image_nodes[k, 0]) == tree.index(expected)
            assert np.asarray(batch.image_node_sign[k]).tolist() == [1, 0, 0, 0]


def test_pixels_equal_the_stored_image(detection_set, label_set, tree):
    from io import BytesIO

    from PIL import Image

    joint = stream(detection_set, label_set, tree, augment=None)
    batch = next(iter(joint.batches(4, stop=1)))
    source, row = joint.locate(0)
    encoded = joint.sources[source].dataset.record(row).encoded
    pixels = np.asarray(Image.open(BytesIO(encoded)).convert("RGB"), np.float32) / 255
    np.testing.assert_allclose(batch.images[0], pixels, atol=1e-5)


def test_a_crowd_is_a_region_to_ignore(make_dataset, tmp_path, detection_set, tree):
    dataset = open_dataset(str(detection_set))
    record = dataset.record(0)
    crowd = record._replace(boxes=(record.boxes[0]._replace(is_crowd=True),))
    path = make_dataset(tmp_path / "crowd", [crowd], dataset.manifest.classes, has_boxes=True)
    joint = JointStream([open_dataset(str(path))], tree, data=DataConfig(), augment=None, size=32, seed=0)
    batch = next(iter(joint.batches(1, stop=1)))
    assert int(batch.nodes[0, 0]) == -1
    assert bool(batch.box_mask[0, 0])


def test_a_tree_without_the_classes_is_refused(detection_set):
    other = WordTree(["n00000009"], [-1])
    with pytest.raises(TreeError, match="1 of its 1 classes are not in the tree"):
        JointStream([open_dataset(str(detection_set))], other, data=DataConfig(), augment=None, size=32, seed=0)


def test_a_dataset_converted_for_another_tree_is_refused(make_dataset, tmp_path, detection_set, tree):
    dataset = open_dataset(str(detection_set))
    path = make_dataset(
        tmp_path / "d", [dataset.record(0)], dataset.manifest.classes, has_boxes=True, tree_digest="f" * 64
    )
    with pytest.raises(TreeError, match="was converted for the tree ffffffffffff"):
        open_dataset(str(path)).nodes(tree)


def test_missing_incomplete_and_empty_datasets_are_named(make_dataset, tmp_path, tree):
    with pytest.raises(InputError, match="no dataset directory"):
        open_dataset(str(tmp_path / "nothing"))
    (tmp_path / "half").mkdir()
    with pytest.raises(InputError, match=r"has no manifest.json: the conversion did not finish"):
        open_dataset(str(tmp_path / "half"))
    path = make_dataset(tmp_path / "empty", [], (), has_boxes=True)
    with pytest.raises(ConfigError, match="has no images"):
        JointStream([open_dataset(str(path))], tree, data=DataConfig(), augment=None, size=32, seed=0)


def test_a_damaged_shard_is_found_where_it_is_read(make_dataset, tmp_path, detection_set):
    dataset = open_dataset(str(detection_set))
    path = make_dataset(tmp_path / "d", [dataset.record(0)], dataset.manifest.classes, has_boxes=True)
    shard = path / "train-00000-of-00001.tfrecord"
    data = bytearray(shard.read_bytes())
    data[200] ^= 1
    shard.write_bytes(bytes(data))
    with pytest.raises(FormatError, match=r"train-00000-of-00001.tfrecord, record '0'.*CRC"):
        open_dataset(str(path)).read(0)
