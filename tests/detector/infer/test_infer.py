"""Photos and films in, boxes and words out: what cannot be read says why, nothing is lost, it fits the originals."""

from __future__ import annotations

import json
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip("tensorflow")

from detector.api import Detections  # noqa: E402
from detector.augment import unplace_boxes  # noqa: E402
from detector.config import DecodeConfig, ModelConfig  # noqa: E402
from detector.decode import decode_detections  # noqa: E402
from detector.infer import Unreadable, detect, find_inputs, lines_for_people, load_image  # noqa: E402
from detector.infer.canvas import draw, placement  # noqa: E402
from detector.infer.categories import categories_of_nodes, image_id, read_categories  # noqa: E402
from detector.infer.reading import Sight, read_sights  # noqa: E402
from detector.infer.words import duration, progress  # noqa: E402
from schemas.errors import ConfigError, FormatError, InputError, LabelError, OutputError  # noqa: E402
from tests.detector.decode.test_decode import read_case  # noqa: E402
from tests.reference_data import oracle_cases  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402

# figure > (disc, square); thing
TREE = WordTree(
    ["n00000001", "n00000002", "n00000003", "n00000004"], [-1, -1, 0, 0], ["figure", "thing", "disc", "square"]
)


class RedFinder:
    """One box around what is red; batch sizes are noted."""

    def __init__(self):
        self.batches = []

    def detect(self, images, options, content=None):
        def find(batch):
            self.batches.append(len(batch))
            boxes = np.zeros((len(batch), 2, 4), np.float32)
            for k, image in enumerate(batch):
                rows, columns = np.nonzero((image[..., 0] > 0.8) & (image[..., 1] < 0.2))
                size = np.array(image.shape[:2] * 2)
                if len(rows):
                    boxes[k, 0] = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1] / size
            return boxes

        boxes = tf.numpy_function(find, [images], tf.float32)
        boxes.set_shape([None, 2, 4])
        batch = tf.shape(images)[0]
        mask = tf.stack([boxes[:, 0, 2] > 0, tf.fill([batch], False)], axis=1)
        nodes, scores = tf.constant([[3, 0]]), tf.constant([[0.75, 0.0]])
        return Detections(boxes, tf.repeat(nodes, batch, axis=0), tf.repeat(scores, batch, axis=0), mask)


@pytest.fixture
def run():
    model = ModelConfig(input_size=64, input_height=32)
    return SimpleNamespace(
        path="run",
        tree=TREE,
        detector=RedFinder(),
        experiment=SimpleNamespace(model=model),
        checkpoint=SimpleNamespace(step=7),
    )


def photo(path, size=(80, 60), box=(20, 10, 60, 40)):
    """Grey with a red box (left, top, right, bottom)."""
    image = Image.new("RGB", size, (90, 90, 90))
    image.paste((255, 0, 0), box)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"plan: train", "not an image that can be read (begins with b'plan: tr')"),
        (None, "no such file"),
    ],
)
def test_file_that_is_no_image_says_what_it_is(tmp_path, data, reason):
    path = tmp_path / "x.jpg"
    if data is not None:
        path.write_bytes(data)
    assert load_image(str(path)) == Unreadable(str(path), reason)


def test_cut_image_is_unreadable_and_a_whole_one_is_rgb(tmp_path):
    path = tmp_path / "x.png"
    Image.effect_noise((64, 64), 90).save(path)
    whole = load_image(str(path))
    assert isinstance(whole, Image.Image)
    assert whole.mode == "RGB"
    path.write_bytes(path.read_bytes()[:1000])
    cut = load_image(str(path))
    assert isinstance(cut, Unreadable)
    assert " at 0x" not in cut.reason


def test_folders_globs_and_other_file_systems_are_searched(tmp_path):
    import fsspec

    for name in ("b.jpg", "a.PNG", "deep/c.jpg", "deep/er/d.mp4", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    here = str(tmp_path)
    assert find_inputs([here]) == [f"{here}/a.PNG", f"{here}/b.jpg"]
    assert find_inputs([f"{here}/*.jpg", f"{here}/b.jpg"]) == [f"{here}/b.jpg"]
    assert find_inputs([here], recursive=True) == [
        f"{here}/{name}" for name in ("a.PNG", "b.jpg", "deep/c.jpg", "deep/er/d.mp4")
    ]
    assert find_inputs([f"{here}/**/*.jpg"]) == [f"{here}/b.jpg", f"{here}/deep/c.jpg"]
    assert find_inputs([f"{here}/notes.txt"]) == [f"{here}/notes.txt"]  # named, so meant
    (tmp_path / "outer/inner").mkdir(parents=True)
    (tmp_path / "outer/inner/e.jpg").touch()
    with pytest.raises(InputError, match=r"matches no image.*--recursive"):
        find_inputs([f"{here}/outer"])
    memory = fsspec.filesystem("memory")
    memory.pipe("/photos/x.jpg", b"1")
    memory.pipe("/photos/more/y.jpg", b"1")
    assert find_inputs(["memory://photos"]) == ["memory:///photos/x.jpg"]
    assert find_inputs(["memory://photos"], recursive=True) == ["memory:///photos/more/y.jpg", "memory:///photos/x.jpg"]


@pytest.mark.parametrize("size", [(80, 60), (60, 80), (37, 211), (64, 32), (20, 300)])
@pytest.mark.parametrize("fit", ["plain", "darknet"])
def test_boxes_come_back_from_the_canvas_to_the_image(size, fit):
    """And what is drawn there covers as many pixels as its placement says."""
    width, height = size
    canvas = (32, 64)
    place = placement(height, width, canvas, fit)
    corners = np.array([0.25, 0.25, 0.75, 0.75])
    assert place.scale_y == pytest.approx(min(1, 2 * height / width), abs=1 / 32)
    assert place.scale_x == pytest.approx(min(1, width / height / 2), abs=1 / 64)
    scale, shift = np.array([place.scale_y, place.scale_x] * 2), np.array([place.shift_y, place.shift_x] * 2)
    np.testing.assert_allclose(unplace_boxes(corners * scale + shift, place), corners, atol=1e-9)
    white = draw(np.full((height, width, 3), 255, np.uint8), canvas, fit)
    assert white.shape == (32, 64, 3)
    rows, columns = np.nonzero(white[..., 0] > 0.9)
    assert abs(len(set(rows.tolist())) - 32 * place.scale_y) <= 1
    assert abs(len(set(columns.tolist())) - 64 * place.scale_x) <= 1
    assert np.isclose(white, 0.5).any() == (len(rows) < 32 * 64)


CASES = oracle_cases("region", "detector")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("program", ["head", "headgpu"])
def test_boxes_equal_the_last_darknets_on_a_letterboxed_photo(shared, name, program):
    """Its numbers are for a photo of 640 x 480 and an input of the .cfg's size; suppression is per class."""
    folder = shared("oracle", name)
    if not (folder / f"{program}.npz").exists():
        pytest.skip(f"no {program} in this case")
    case, slots, classes, numbers = read_case(folder, program)
    words = dict(
        line.replace(" ", "").split("=") for line in (folder / "net.cfg").read_text().splitlines() if "=" in line
    )
    canvas = (int(words["height"]), int(words["width"]))
    for kind, iou in (("raw", 1.0), ("nms", case["nms"])):
        options = DecodeConfig(
            walk="darknet" if case["tree"] else "topk",
            top=classes,
            threshold=case["dets_thresh"],
            walk_threshold=case["dets_hier"],
            suppression="class",
            iou_threshold=iou,
            limit=10_000,
        )
        found = decode_detections(slots, options)
        keep = found.mask[0].numpy()
        boxes = unplace_boxes(found.boxes[0].numpy()[keep], placement(480, 640, canvas, "darknet")).clip(0, 1)
        theirs, probs = numbers[f"dets_img0_boxes_{kind}"], numbers[f"dets_img0_probs_{kind}"]
        rows, nodes = np.nonzero(probs)
        x, y, w, h = theirs[rows, :4].T
        expected = np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2, probs[rows, nodes]], axis=1).clip(0, 1)
        ours = np.concatenate([boxes, found.scores[0].numpy()[keep, None]], axis=1)
        assert len(ours) == len(expected)
        for node in range(classes):  # their rows are in no order: the nearest row, each once
            left = list(expected[nodes == node])
            for row in ours[found.nodes[0].numpy()[keep] == node]:
                distance = [np.abs(row - other).max() for other in left]
                assert min(distance) < 1e-5
                left.pop(int(np.argmin(distance)))
            assert not left


def test_photos_are_read_ahead_and_come_in_order(tmp_path):
    paths = [str(photo(tmp_path / f"{k}.png", size=(30 + k, 20))) for k in range(9)]
    (tmp_path / "4.png").write_bytes(b"gone")
    sights = list(read_sights(paths, (32, 64), "plain", ahead=3))
    assert [sight.path for sight in sights] == paths
    assert [sight.image.width for sight in sights if isinstance(sight, Sight)] == [30, 31, 32, 33, 35, 36, 37, 38]
    assert isinstance(sights[4], Unreadable)


def test_all_images_are_in_the_output_or_among_the_unreadable(tmp_path, run):
    for k in range(5):
        photo(tmp_path / f"photos/00{k}.png", size=(80 + 20 * k, 60), box=(20, 10, 60, 40))
    photo(tmp_path / "photos/nothing.png", box=(0, 0, 0, 0))
    (tmp_path / "photos/cut.png").write_bytes((tmp_path / "photos/000.png").read_bytes()[:60])
    (tmp_path / "photos/page.jpg").write_text("<html>")
    lines = []
    result = detect(
        run,
        find_inputs([str(tmp_path / "photos")]),
        tmp_path / "out",
        DecodeConfig(),
        formats=("json", "coco", "pictures"),
        batch_size=4,
        log=lines.append,
    )
    assert result["counts"] == {"in": 8, "written": 6, "unreadable": 2}
    assert sorted(row["image"].rsplit("/", 1)[1] for row in result["unreadable"]) == ["cut.png", "page.jpg"]
    assert json.loads((tmp_path / "out/detections.json").read_text()) == result
    assert run.detector.batches == [4, 2]
    assert sum(line.startswith("cannot read ") for line in lines) == 2
    assert lines[-1].startswith("detected on 8/8 images, ")
    for entry in result["images"]:
        width = entry["width"]
        rows = [] if "nothing" in entry["image"] else [[10 / 60, 20 / width, 40 / 60, 60 / width]]
        np.testing.assert_allclose([row["box"] for row in entry["detections"]], rows, atol=0.06)
        assert [row["path"] for row in entry["detections"]] == ["figure > square"] * len(rows)
        with Image.open(tmp_path / "out" / entry["picture"]) as picture:
            assert min(picture.size) >= 320
    coco = json.loads((tmp_path / "out/results.json").read_text())
    assert [row["image_id"] for row in coco] == [0, 1, 2, 3, 4]
    assert {row["category_id"] for row in coco} == {3}
    np.testing.assert_allclose([row["bbox"] for row in coco], [[20, 10, 40, 30]] * 5, atol=4)
    assert not list(tmp_path.glob(".*.partial"))


def test_what_exists_is_kept_and_a_failure_leaves_nothing(tmp_path, run):
    path = str(photo(tmp_path / "a.png"))
    out = tmp_path / "out"
    detect(run, [path], out, DecodeConfig(), formats=("json",), log=lambda line: None)
    assert sorted(file.name for file in out.iterdir()) == ["detections.json"]
    with pytest.raises(OutputError, match="exists already"):
        detect(run, [path], out, DecodeConfig(), log=lambda line: None)
    detect(run, [path], out, DecodeConfig(), formats=("coco",), force=True, log=lambda line: None)
    assert sorted(file.name for file in out.iterdir()) == ["results.json"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").touch()
    with pytest.raises(OutputError, match="holds no detections"):
        detect(run, [path], tmp_path / "mine", DecodeConfig(), force=True, log=lambda line: None)
    (tmp_path / "b.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match="none of the 1 images could be read; the first: "):
        detect(run, [str(tmp_path / "b.jpg")], tmp_path / "new", DecodeConfig(), log=lambda line: None)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "b.jpg", "mine", "out"]


class BandFinder:
    """On every canvas the same boxes: two in the bands, one across an edge of the photo, one on it."""

    BOXES = ((0.0, 0.1, 0.12, 0.4), (0.9, 0.1, 1.0, 0.4), (0.0, 0.2, 0.5, 0.8), (0.4, 0.4, 0.6, 0.6))

    def detect(self, images, options, content=None):
        batch = tf.shape(images)[0]
        boxes = tf.repeat(tf.constant([self.BOXES]), batch, axis=0)
        scores = tf.repeat(tf.constant([[0.9, 0.8, 0.7, 0.6]]), batch, axis=0)
        return Detections(boxes, tf.repeat(tf.constant([[3, 2, 1, 0]]), batch, axis=0), scores, scores > 0)


def test_boxes_in_the_bands_around_a_photo_are_no_detections(tmp_path, run):
    """A photo of 64 x 16 on a canvas of 64 x 32 pixels: bands of a quarter above and below."""
    run.detector = BandFinder()
    path = str(photo(tmp_path / "wide.png", size=(64, 16), box=(2, 2, 5, 5)))
    result = detect(run, [path], tmp_path / "out", DecodeConfig(), formats=("json", "coco"), log=lambda line: None)
    rows = result["images"][0]["detections"]
    assert [row["wnid"] for row in rows] == ["n00000002", "n00000001"]
    np.testing.assert_allclose([row["box"] for row in rows], [[0, 0.2, 0.5, 0.8], [0.3, 0.4, 0.7, 0.6]], atol=1e-6)
    assert len(json.loads((tmp_path / "out/results.json").read_text())) == 2


def film(path, frames=10):
    """Grey frames with a red box that moves to the right."""
    av = pytest.importorskip("av")
    buffer = BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 96, 64, "yuv420p", 4_000_000
        for k in range(frames):
            image = Image.new("RGB", (96, 64), (90, 90, 90))
            image.paste((255, 0, 0), (4 + 6 * k, 16, 28 + 6 * k, 48))
            for packet in stream.encode(av.VideoFrame.from_image(image)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    path.write_bytes(buffer.getvalue())
    return path


def test_frames_of_a_film_are_images_with_a_number_and_a_time(tmp_path, run):
    path = str(film(tmp_path / "walk.mkv"))
    still = str(photo(tmp_path / "still.png"))
    result = detect(
        run,
        [path, still],
        tmp_path / "out",
        DecodeConfig(),
        formats=("json", "coco", "pictures"),
        every=3,
        log=lambda line: None,
    )
    assert [(e.get("frame"), e.get("seconds")) for e in result["images"]] == [
        (0, 0.0), (3, 0.6), (6, 1.2), (9, 1.8), (None, None)
    ]  # fmt: skip
    for entry in result["images"][:-1]:
        (row,) = entry["detections"]
        left = (4 + 6 * entry["frame"]) / 96
        np.testing.assert_allclose(row["box"], [0.25, left, 0.75, left + 0.25], atol=0.07)
        assert entry["picture"] == f"pictures/walk-{entry['frame']:06d}.png"
        assert (tmp_path / "out" / entry["picture"]).exists()
    assert json.loads((tmp_path / "out/results.json").read_text())[1]["image_id"] == f"{path}#3"
    assert "walk.mkv frame 3: 1 found" in "\n".join(lines_for_people(result, "out"))


def test_film_that_cannot_be_read_is_counted(tmp_path, run):
    pytest.importorskip("av")
    (tmp_path / "bad.mp4").write_bytes(b"no film at all" * 10)
    still = str(photo(tmp_path / "still.png"))
    result = detect(
        run, [str(tmp_path / "bad.mp4"), still], tmp_path / "out", DecodeConfig(), formats=("json",), log=lambda _: None
    )
    assert result["counts"] == {"in": 2, "written": 1, "unreadable": 1}
    assert result["unreadable"][0]["reason"].endswith("(after 0 frames)")


def test_films_without_pyav_are_refused_with_the_remedy(tmp_path, run, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(ConfigError, match="pip install av"):
        detect(run, [str(tmp_path / "a.mp4")], tmp_path / "out", DecodeConfig(), log=lambda line: None)
    assert not (tmp_path / "out").exists()


def test_categories_are_read_and_lie_above_finer_nodes(tmp_path):
    files = {
        "labels.pbtxt": 'item { name: "n00000001" id: 5 }\nitem { name: "n00000004" id: 9 }',
        "table.csv": "wnid,id\nn00000001,5\nn00000004,9\n",
        "coco.json": json.dumps({"categories": [{"id": 5, "wnid": "n00000001"}, {"id": 9, "wnid": "n00000004"}]}),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        assert read_categories(tmp_path / name, TREE) == {0: 5, 3: 9}
    assert categories_of_nodes(TREE, {0: 5, 3: 9}) == [5, None, 5, 9]
    assert categories_of_nodes(TREE, None) == [0, 1, 2, 3]
    assert image_id("000000000139", "x/000000000139.jpg", None) == 139
    assert image_id("cat", "x/cat.jpg", None) == "x/cat.jpg"


@pytest.mark.parametrize(
    ("name", "text", "error", "words"),
    [
        ("a.csv", "wnid,id\nn00000009,1\n", LabelError, "'n00000009' .id 1. is no node of the tree"),
        ("a.csv", "wnid,id\nn00000001,1\nn00000001,2\n", LabelError, "ids 1 and 2 are both 'n00000001'"),
        ("a.csv", "wnid,id\nn00000001,one\n", FormatError, "line 2: found id 'one'; expected a number"),
        ("a.json", '{"categories": [{"id": 1, "name": "cat"}]}', FormatError, "found no categories with a wnid"),
    ],
)
def test_categories_that_fit_no_tree_are_refused(tmp_path, name, text, error, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(error, match=words):
        read_categories(tmp_path / name, TREE)


def result(counts, threshold=0.2):
    rows = [[{"score": 0.3 + 0.01 * k, "path": f"animal > dog {k}"} for k in range(count)] for count in counts]
    images = [{"image": f"{number}.jpg", "detections": found} for number, found in enumerate(rows)]
    return {"threshold": threshold, "images": images}


def test_few_images_are_printed_whole_best_first():
    assert lines_for_people(result([2, 0, 1]), "out") == [
        "0.jpg: 2 found",
        "  0.31  animal > dog 1",
        "  0.30  animal > dog 0",
        "2.jpg: 1 found",
        "  0.30  animal > dog 0",
        "1.jpg: nothing above 0.2",
        "3 objects in 2 of 3 images",
    ]


def test_many_images_and_boxes_are_counted_not_printed():
    lines = lines_for_people(result([0] * 20 + [7] + [0] * 11), "out/detections.json")
    assert lines[:8] == [
        "20.jpg: 7 found",
        *(f"  0.3{k}  animal > dog {k}" for k in (6, 5, 4, 3, 2)),
        "  … and 2 more",
        "0.jpg: nothing above 0.2",
    ]
    assert lines[-2:] == [
        "… and 22 more images in out/detections.json",
        "7 objects in 1 of 32 images; lower --threshold to see more",
    ]
    assert len(lines) == 10 + 5 + 1 + 2


def test_one_is_singular_and_nothing_is_below_a_threshold_of_zero():
    assert lines_for_people(result([1]), "out")[-1] == "1 object in 1 of 1 image"
    assert lines_for_people(result([0], threshold=0), "out")[-1] == "0 objects in 0 of 1 image"
    assert lines_for_people(result([1] * 11), "out")[-2] == "… and 1 more image in out"


def test_progress_says_how_long_still():
    assert progress(50, 200, 10.0) == "detected on 50/200 images, 5.0 images/s, 30 s left"
    assert progress(50, None, 10.0) == "detected on 50 images, 5.0 images/s"
    assert [duration(s) for s in (0.4, 59.6, 3661)] == ["0 s", "1 min 0 s", "1 h 1 min"]
