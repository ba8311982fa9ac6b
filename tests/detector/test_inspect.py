"""Contact sheets: captions that can be read, classes found by any of their names, pictures and marks of every kind."""

from __future__ import annotations

import errno
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from detector import inspect
from detector.dataset import open_dataset
from detector.inspect import CAPTION_LETTERS, CAPTION_ROOM, dataset_sheet, fitted_caption
from schemas.boxes import Box
from schemas.errors import InputError
from schemas.manifest import ClassEntry
from schemas.record import BoxAnnotation, Caption, ImageLabel, ImageRecord, Keypoint, Part
from tests.detector.conftest import draw, png


@pytest.fixture
def dogs(make_dataset, tmp_path):
    """Three images in the way of ImageNet, whose labels are wnids, of twelve classes."""
    names = ["Border terrier", "beagle", *(f"dog {k}" for k in range(10))]
    classes = [
        ClassEntry(id=k + 1, label=f"n0209375{k}", wnid=f"n0209375{k}", display_name=name)
        for k, name in enumerate(names)
    ]
    records = [
        ImageRecord(
            image_id=f"n0209375{k}/n0209375{k}_{number}",
            source="test",
            uri="x.png",
            filename="x.png",
            has_boxes=False,
            format="png",
            height=32,
            width=32,
            labels=(ImageLabel(label=f"n0209375{k}", class_id=k + 1),),
            encoded=png(draw("disc", number)[0]),
        )
        for number, k in enumerate((0, 1, 1))
    ]
    return open_dataset(str(make_dataset(tmp_path / "dogs", records, classes, has_boxes=False)))


def test_caption_has_the_name_and_the_id_once(dogs, monkeypatch):
    seen = []
    monkeypatch.setattr(inspect, "contact_sheet", lambda images, captions, **_: seen.extend(captions))
    dataset_sheet(dogs, count=9)
    assert seen == ["Border terrier\nn02093750_0", "beagle\nn02093751_1", "beagle\nn02093751_2"]


@pytest.mark.parametrize("wanted", ["beagle", "Beagle", "n02093751"])
def test_class_is_found_by_any_of_its_names(dogs, wanted):
    assert dataset_sheet(dogs, count=9, wanted=wanted)[1] == 2


@pytest.mark.parametrize("wanted", ["cat", "dog 3"])
def test_class_without_images_names_some_that_there_are(dogs, wanted):
    with pytest.raises(
        InputError, match=rf"no image with '{wanted}'; it has Border terrier, beagle, .*, dog 5 and 4 more$"
    ):
        dataset_sheet(dogs, count=9, wanted=wanted)


def test_long_caption_loses_whole_words_and_says_so():
    font = ImageFont.load_default(CAPTION_LETTERS)
    words = ", ".join(["bald eagle", "no golden eagle"] * 9)
    for caption in (fitted_caption(words, "val_17"), fitted_caption("x" * 99, "y" * 99), fitted_caption("", "short")):
        assert all(font.getlength(line) <= CAPTION_ROOM for line in caption.split("\n"))
    cut = fitted_caption(words, "val_17")
    assert cut.endswith(" …\nval_17")
    kept = cut.removesuffix(" …\nval_17")
    assert words.startswith(kept)
    assert words[len(kept)] in ", "
    assert fitted_caption("x" * 99, "y" * 99).startswith("xx")
    assert "\n…yy" in fitted_caption("x" * 99, "y" * 99)
    assert fitted_caption("", "short") == "short"


def test_a_long_file_name_takes_nothing_from_the_labels():
    words = "bald eagle, no golden eagle"
    for name in ("short", "a/very/long/folder/" * 9 + "name.JPEG"):
        said, file = fitted_caption(words, name).split("\n")
        assert said == words
        assert name.endswith(file.removeprefix("…"))


def record_of(boxes=(), labels=(), encoded=None, **fields):
    """One image of 32 x 32."""
    known = {"image_id": "one", "source": "test", "uri": "x", "filename": "x", "has_boxes": bool(boxes)}
    known |= {"height": 32, "width": 32, "format": "png"}
    data = png(Image.new("RGB", (32, 32), "teal")) if encoded is None else encoded
    return ImageRecord(**known | fields, boxes=tuple(boxes), labels=tuple(labels), encoded=data)


def test_crowds_difficult_ones_groups_and_depictions_are_called_so(monkeypatch):
    drawn = []
    monkeypatch.setattr(inspect, "draw_detections", lambda image, boxes, truths: drawn.extend([*boxes, *truths]))
    box = BoxAnnotation(
        box=Box(0, 0, 1, 1),
        label="dog",
        is_crowd=True,
        is_difficult=True,
        is_group_of=False,
        is_depiction=True,
        keypoints=(Keypoint(0.5, 0.25, 2), Keypoint(0.0, 0.0, 0), Keypoint(0.75, 1.0, 1)),
        parts=(Part("head", Box(0.1, 0.1, 0.4, 0.4)),),
    )
    inspect._drawn(record_of([box]), {"dog": "Dog"})
    assert [row.caption for row in drawn] == ["Dog crowd difficult depiction", "head"]
    assert drawn[0].points == ((0.5, 0.25), (0.75, 1.0))  # what is not labelled is no point


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (ImageLabel(label="dog"), "Dog"),
        (ImageLabel(label="dog", present=False, confidence=0.0), "no Dog"),
        (ImageLabel(label="dog", confidence=0.625), "Dog 0.62"),
        (ImageLabel(label="cat"), "cat"),
    ],
)
def test_labels_tell_absence_and_doubt(label, words):
    assert inspect.label_words(label, {"dog": "Dog"}) == words


def test_masks_come_from_polygons_run_lengths_and_pngs_of_any_size():
    square = np.zeros((32, 32), np.uint8)
    square[8:24, 4:20] = 1
    polygon = BoxAnnotation(box=Box(0, 0, 1, 1), label="a", segmentation="[[4, 8, 20, 8, 20, 24, 4, 24]]")
    lengths = json.dumps({"size": [32, 32], "counts": _runs(square)})
    runs = BoxAnnotation(box=Box(0, 0, 1, 1), label="a", segmentation=lengths)
    small = BoxAnnotation(box=Box(0, 0, 1, 1), label="a", mask=png(Image.fromarray(square[2::4, 2::4] * 7)))
    for box in (polygon, runs, small):
        assert (inspect.mask_of(box, 32, 32) != 0).tolist() == (square != 0).tolist()
    for text in ("", "{", '{"size": [3, 3], "counts": [9]}'):
        assert inspect.mask_of(BoxAnnotation(box=Box(0, 0, 1, 1), label="a", segmentation=text), 32, 32) is None
    assert inspect.mask_of(BoxAnnotation(box=Box(0, 0, 1, 1), label="a", mask=b"no png"), 32, 32) is None


def _runs(mask):
    flat, runs, value = mask.T.ravel().tolist(), [], 0
    while flat:
        long = next((n for n, pixel in enumerate(flat) if pixel != value), len(flat))
        runs.append(long)
        flat, value = flat[long:], 1 - value
    return runs


def test_pictures_of_any_kind_are_shown():
    deep = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    shown = np.asarray(inspect.decoded(record_of(encoded=png(Image.fromarray(deep)))))[..., 0]
    assert (shown.min(), shown.max()) == (0, 255)
    assert np.all(np.diff(shown.ravel().astype(int)) >= 0)
    buffer = BytesIO()
    Image.new("CMYK", (32, 32), (0, 255, 255, 0)).save(buffer, "JPEG")
    assert inspect.decoded(record_of(encoded=buffer.getvalue())).mode == "RGB"
    for broken in (b"", b"<html>", png(Image.new("RGB", (32, 32)))[:60]):
        assert inspect.decoded(record_of(encoded=broken)).getcolors() == [(1024, inspect.DAMAGED)]


def test_a_sheet_of_every_kind_of_record_is_drawn(make_dataset, tmp_path):
    boxed = BoxAnnotation(
        box=Box(0.2, 0.2, 0.8, 0.8),
        label="dog",
        class_id=1,
        segmentation="[[8, 8, 24, 8, 24, 24]]",
        keypoints=(Keypoint(0.5, 0.5, 2),),
        parts=(Part("head", Box(0.2, 0.2, 0.4, 0.4)),),
    )
    records = [
        record_of([boxed], image_id="boxed"),
        record_of(labels=[ImageLabel(label="dog", class_id=1, confidence=0.4)], image_id="labelled"),
        record_of(image_id="captioned", captions=(Caption("a dog on a hill", "7"),)),
        record_of(encoded=b"cut", image_id="broken"),
        record_of(image_id="background", has_boxes=True),
    ]
    path = make_dataset(tmp_path / "all", records, [ClassEntry(id=1, label="dog")], has_boxes=True)
    sheet, shown = dataset_sheet(open_dataset(str(path)), count=9)
    assert shown == 5
    assert sheet.getpixel((218, 128)) != (0, 128, 128)  # the outline and tint of the first picture


@pytest.mark.parametrize("mode", ["RGB", "P", "1", "I;16", "CMYK"])
def test_a_huge_picture_is_shrunk_before_anything_is_made_of_it(mode, monkeypatch):
    monkeypatch.setattr(inspect, "MOST_SIDE", 32)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)  # between one and two times as many: Pillow warns
    shades = np.zeros((150, 200), np.uint16)
    shades[:, 100:] = 65535
    grey = Image.fromarray(shades) if mode == "I;16" else Image.fromarray((shades // 257).astype(np.uint8))
    buffer = BytesIO()
    (grey if mode == "I;16" else grey.convert(mode)).save(buffer, "TIFF" if mode == "CMYK" else "PNG")
    record = ImageRecord(
        image_id="a",
        source="test",
        uri="a.png",
        filename="a.png",
        has_boxes=True,
        format="png",
        height=150,
        width=200,
        encoded=buffer.getvalue(),
    )
    found = inspect.decoded(record)
    assert (found.mode, found.height, found.width in (33, 34)) == ("RGB", 25, True)
    assert (found.getpixel((5, 5)), found.getpixel((30, 20))) == ((0, 0, 0), (255, 255, 255))


def test_the_mask_of_a_shrunk_picture_is_shrunk_with_it():
    half = BoxAnnotation(
        box=Box(0, 0, 1, 0.5), label="a", class_id=1, segmentation="[[0, 0, 100, 0, 100, 150, 0, 150]]"
    )
    found = inspect.mask_of(half, 15, 20, (150, 200))
    assert found is not None
    assert (found[:, :10] == 1).all()
    assert (found[:, 10:] == 0).all()


def test_a_sheet_is_written_whole_or_not_at_all(dogs, tmp_path, monkeypatch):
    from wordtree.command import main

    def no_room(path, data):
        Path(path).touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_room)
    assert main(["inspect", str(dogs.path), "--out", str(tmp_path / "sheet.png")]) == 2
    assert not list(tmp_path.glob("*sheet*"))
