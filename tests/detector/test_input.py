"""The joint stream: exact shares, exact resume, right targets."""

from __future__ import annotations

import shutil
from io import BytesIO

import fsspec
import numpy as np
import pytest
from PIL import Image

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
    flags = [joint.example(position).targets.has_boxes for position in range(57)]
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
    with pytest.raises(InputError, match=r"has no manifest.json: it is no dataset directory; it is empty"):
        open_dataset(str(tmp_path / "half"))
    (tmp_path / "half" / ".work").mkdir()
    with pytest.raises(InputError, match=r"the conversion did not finish; run it again to resume"):
        open_dataset(str(tmp_path / "half"))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"it is no dataset directory; found a.jpg; expected one that `wordtree conv"):
        open_dataset(str(tmp_path / "photos"))
    make_dataset(tmp_path / "parts" / "train", [], (), has_boxes=True)
    with pytest.raises(InputError, match=r"it holds .*parts/train; give one of these"):
        open_dataset(str(tmp_path / "parts"))
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


def test_the_source_of_each_image_is_named(detection_set, label_set, tree):
    joint = stream(detection_set, label_set, tree)
    batch = next(iter(joint.batches(10, stop=1)))
    assert batch.source.dtype == tf.int32
    assert batch.source.numpy().tolist() == [joint.locate(k)[0] for k in range(10)]
    assert {0, 1} == set(batch.source.numpy().tolist())


@pytest.mark.parametrize("mode", ["zoom", "darknet", "release2017"])
def test_any_canvas_and_any_start_in_every_mode(detection_set, label_set, tree, mode):
    """Non-square, multi-scale, resumed: each batch is what drawing its examples one by one gives."""
    from detector import augment

    config = AugmentConfig(mode=mode, scale=1.5, shift=1.0, jitter=0.3, hue=0.1, saturation=1.5)
    datasets = [open_dataset(str(detection_set)), open_dataset(str(label_set))]
    joint = JointStream(datasets, tree, data=DataConfig(), augment=config, size=(24, 40), seed=2)
    sizes = [None, (32, 48), (40, 24)]

    def size_at(number):
        return sizes[number % 3] or (24, 40)

    rest = list(joint.batches(3, start=1, stop=4, size_at=size_at))
    for number, batch in enumerate(rest, start=1):
        canvas = size_at(number)
        assert batch.images.shape == (3, *canvas, 3)
        for k in range(3):
            example = joint.example(3 * number + k, canvas)
            image = tf.io.decode_image(example.image.encoded, 3)
            image = augment.place_image(image, tf.constant(example.image.placement), canvas, mode)
            image = augment.distort(image, tf.constant(example.image.colour))
            np.testing.assert_allclose(batch.images[k], image, atol=2e-5)
            for found, expected in zip(batch[1:], example.targets, strict=True):
                np.testing.assert_array_equal(found[k], expected)


@pytest.mark.parametrize("mode", [None, "zoom", "darknet"])
def test_content_is_where_the_drawn_pixels_are_not_grey(make_dataset, tmp_path, detection_set, tree, mode):
    """White pictures of all proportions, mirrored or not, on canvases of two sizes with a limit of the shorter side."""
    dataset = open_dataset(str(detection_set))
    records = []
    for number, (width, height) in enumerate(((40, 30), (30, 40), (90, 20), (16, 70), (25, 25), (64, 36))):
        buffer = BytesIO()
        Image.new("RGB", (width, height), (255, 255, 255)).save(buffer, "PNG")
        made = {"height": height, "width": width, "encoded": buffer.getvalue(), "image_id": str(number)}
        records.append(dataset.record(0)._replace(**made))
    path = make_dataset(tmp_path / "d", records, dataset.manifest.classes, has_boxes=True)
    config = None if mode is None else AugmentConfig(mode=mode, scale=1.5, shift=1.0, jitter=0.2)
    joint = JointStream(
        [open_dataset(str(path))], tree, data=DataConfig(), augment=config, size=(32, 64), seed=3, shorter=24
    )
    for number, batch in enumerate(joint.batches(6, stop=2, size_at=lambda number: (64, 128) if number else (32, 64))):
        height, width = (64, 128) if number else (32, 64)
        assert batch.content.dtype == tf.float32
        for k in range(6):
            rows, columns = np.nonzero((batch.images[k].numpy() != 0.5).any(axis=2))
            edges = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
            pixels = 2.01 if mode == "darknet" else 1.01  # darknet rounds the corner and the size down
            np.testing.assert_allclose(batch.content[k] * [height, width, height, width], edges, atol=pixels)
            if mode is None:  # the limit grows with the canvas
                record = records[joint.locate(6 * number + k)[1]]
                ratio = min(0.75 * height / min(record.height, record.width), height / record.height)
                wanted = min(ratio, width / record.width) * np.array([record.height, record.width])
                np.testing.assert_allclose(edges[2:] - edges[:2], wanted, atol=1.01)


def test_one_number_is_the_width_and_keeps_the_proportion(detection_set, tree):
    def of(size):
        return JointStream([open_dataset(str(detection_set))], tree, data=DataConfig(), augment=None, size=size, seed=0)

    assert of(416).canvas_of(320) == (320, 320)
    assert of((288, 512)).canvas_of(320) == (192, 320)  # 180 rows, in strides of 32
    assert of((288, 512)).canvas_of((64, 96)) == (64, 96)


def test_an_image_twice_the_canvas_is_decoded_small(make_dataset, tmp_path, detection_set, tree):
    dataset = open_dataset(str(detection_set))
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 11, 3), np.uint8))
    buffer = BytesIO()
    photo.resize((203, 149), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95)
    record = dataset.record(0)._replace(height=149, width=203, encoded=buffer.getvalue(), format="jpeg")
    joint_of = [open_dataset(str(make_dataset(tmp_path / "d", [record], dataset.manifest.classes, has_boxes=True)))]
    for size, halvings in ((160, 0), (64, 1), (16, 3)):
        joint = JointStream(joint_of, tree, data=DataConfig(), augment=None, size=size, seed=0)
        assert joint.example(0).image.halvings == halvings
        from detector import augment

        place = tf.constant(np.array(augment.letterbox(149, 203), np.float32))
        whole = augment.place_image(tf.io.decode_image(buffer.getvalue(), 3), place, size)
        found = next(iter(joint.batches(1, stop=1))).images[0]
        assert float(tf.reduce_mean(tf.abs(found - whole))) < 4e-3
    darknet = JointStream(joint_of, tree, data=DataConfig(), augment=AugmentConfig(mode="darknet"), size=16, seed=0)
    assert darknet.example(0).image.halvings == 0


def test_what_is_cut_is_counted_and_said_once(make_dataset, tmp_path, detection_set, tree):
    dataset = open_dataset(str(detection_set))
    records = [dataset.record(k)._replace(boxes=dataset.record(k).boxes * 3) for k in range(4)]
    path = make_dataset(tmp_path / "d", records, dataset.manifest.classes, has_boxes=True)
    lines = []
    joint = JointStream(
        [open_dataset(str(path))], tree, data=DataConfig(max_boxes=2), augment=None, size=32, seed=0, log=lines.append
    )
    assert len(list(joint.batches(4, stop=3))) == 3
    assert (joint.counts.images, joint.counts.boxes, joint.counts.boxes_cut) == (12, 36, 12)
    assert lines == [
        "more than data.max_boxes = 2 boxes or data.max_labels = 4 labels: in the first 4 images 4 of 12 boxes and 0 "
        "labels are not trained on (said once)"
    ]


def test_a_damaged_record_or_image_is_named_by_the_stream(make_dataset, tmp_path, detection_set, tree):
    dataset = open_dataset(str(detection_set))
    whole = [dataset.record(k) for k in range(3)]
    bad = [whole[0], whole[1]._replace(encoded=b"\xff\xd8\xff no picture"), whole[2]]
    path = make_dataset(tmp_path / "image", bad, dataset.manifest.classes, has_boxes=True)
    joint = JointStream([open_dataset(str(path))], tree, data=DataConfig(), augment=None, size=32, seed=0)
    with pytest.raises(FormatError, match=r"image '1' \(1.png\) of .*Remove it from the source and convert again"):
        list(joint.batches(3, stop=2))
    path = make_dataset(tmp_path / "shard", whole, dataset.manifest.classes, has_boxes=True)
    shard = path / "train-00000-of-00001.tfrecord"
    data = bytearray(shard.read_bytes())
    data[200] ^= 1
    shard.write_bytes(bytes(data))
    joint = JointStream([open_dataset(str(path))], tree, data=DataConfig(), augment=None, size=32, seed=0)
    with pytest.raises(FormatError, match=r"record '0'.*CRC"):
        list(joint.batches(3, stop=2))


def test_a_remote_dataset_gives_the_same_batches(detection_set, label_set, tree):
    memory = fsspec.filesystem("memory")
    try:
        for name, path in (("det", detection_set), ("cls", label_set)):
            for file in path.iterdir():
                memory.pipe_file(f"/input/{name}/{file.name}", file.read_bytes())
        remote = stream("memory://input/det", "memory://input/cls", tree)
        assert [source.dataset.is_local for source in remote.sources] == [False, False]
        local = stream(detection_set, label_set, tree)
        for a, b in zip(remote.batches(4, stop=3), local.batches(4, stop=3), strict=True):
            for expected, found in zip(as_arrays(b), as_arrays(a), strict=True):
                np.testing.assert_array_equal(found, expected)
        memory.rm_file("/input/det/train-00000-of-00001.tfrecord")
        with pytest.raises(InputError, match="the shard cannot be read"):
            list(remote.batches(4, stop=9))
    finally:
        memory.store.clear()


def test_shards_stay_open_up_to_a_limit(make_dataset, tmp_path, detection_set, monkeypatch):
    import os

    dataset = open_dataset(str(detection_set))
    whole = [dataset.record(k) for k in range(3)]
    path = make_dataset(tmp_path / "d", whole, dataset.manifest.classes, has_boxes=True)
    split = open_dataset(str(path))
    for k in range(3):
        shutil.copy(path / split.shards[0], path / f"copy-{k}.tfrecord")
    split.shards = [f"copy-{k}.tfrecord" for k in range(3)]
    monkeypatch.setattr("detector.dataset.OPEN_SHARDS", 2)
    before = len(os.listdir("/proc/self/fd"))
    assert [split.record(k).image_id for k in (0, 1, 2, 0, 1, 2)] == ["0", "1", "2"] * 2
    assert len(os.listdir("/proc/self/fd")) - before == 2
    del split
    assert len(os.listdir("/proc/self/fd")) == before
    split = open_dataset(str(path))
    (path / split.shards[0]).unlink()
    with pytest.raises(InputError, match="the shard cannot be read"):
        split.read(0)
