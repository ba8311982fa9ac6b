"""Photos in, words out: what cannot be read says why, and what is printed stays short."""

from __future__ import annotations

import pytest
from PIL import Image

from detector.infer import Unreadable, lines_for_people, load_image


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
    lines = lines_for_people(result([0] * 20 + [7] + [0] * 11), "out")
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
    assert lines_for_people(result([1] * 11), "out")[-2] == "… and 1 more image in out/detections.json"
