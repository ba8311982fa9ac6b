"""Images, names of files and places to write that are not as they should be, before and around a network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detector.draw import LEAST_SIDE
from detector.infer import Unreadable, find_inputs, load_image
from detector.infer import outputs as outputs_module
from detector.infer.outputs import Writer
from detector.infer.predictor import Found
from detector.infer.reading import Sight
from schemas.errors import InputError, OutputError

NOTHING = Found(np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros(0, np.float32))


def sight(width, height, path="a.png"):
    return Sight(path, Image.new("RGB", (width, height)), np.zeros((1, 1, 3), np.float32))


def writer(out, tree, formats=("json",), force=False):
    return Writer(out, tree, formats, categories=None, force=force)


def test_sixteen_bits_of_grey_are_not_clipped(tmp_path):
    values = np.arange(0, 65536, 4096, dtype=np.uint16).reshape(4, 4)
    Image.fromarray(values).save(tmp_path / "g.png")
    image = load_image(str(tmp_path / "g.png"))
    assert isinstance(image, Image.Image)
    assert np.array_equal(np.asarray(image), np.repeat((values >> 8)[..., None], 3, axis=2))


@pytest.mark.parametrize("error", [IndexError("x"), RuntimeError("y"), OverflowError("z"), EOFError()])
def test_whatever_a_decoder_raises_the_image_is_unreadable(tmp_path, monkeypatch, error):
    (tmp_path / "a.png").write_bytes(b"no image")

    def broken(*_):
        raise error

    monkeypatch.setattr(Image, "open", broken)
    found = load_image(str(tmp_path / "a.png"))
    assert isinstance(found, Unreadable)
    assert found.reason == (str(error) or "EOFError")


@pytest.mark.parametrize("pattern", ["foo://bar/x.jpg", "photos/**a", "zip://x::nope.zip"])
def test_a_pattern_that_no_file_system_takes_is_named(pattern, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        find_inputs([pattern])
    assert str(caught.value).startswith(f"{pattern!r} cannot be looked up")
    assert "\n" not in str(caught.value)


def test_a_picture_of_a_very_long_image_is_not_enlarged_beyond_reason(tmp_path, tree):
    made = writer(tmp_path / "out", tree, ("json", "pictures"))
    made.add(sight(20_000, 1), NOTHING)
    made.add(sight(30, 40, "b.png"), NOTHING)
    made.finish({}, {})
    sizes = []
    for name in ("a.png", "b.png"):
        with Image.open(tmp_path / "out" / "pictures" / name) as picture:
            sizes.append(picture.size)
    assert sizes[0] == (20_000, 1)
    assert min(sizes[1]) >= LEAST_SIDE


def test_two_processes_do_not_mix_their_pictures(tmp_path, tree, monkeypatch):
    one = writer(tmp_path / "out", tree)
    monkeypatch.setattr(outputs_module.os, "getpid", lambda: 1)
    two = writer(tmp_path / "out", tree)
    assert one.partial != two.partial
    two.add(sight(3, 4, "two.png"), NOTHING)
    two.finish({}, {})
    one.add(sight(3, 4, "one.png"), NOTHING)
    with pytest.raises(OutputError, match="exists already"):
        one.finish({}, {})
    one.abandon()
    assert [entry["image"] for entry in json.loads((tmp_path / "out/detections.json").read_text())["images"]] == [
        "two.png"
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_name_that_is_no_text_still_makes_json(tmp_path, tree):
    made = writer(tmp_path / "out", tree)
    made.add(sight(3, 4, "\udcff.png"), NOTHING)
    made.finish({}, {})
    assert json.loads((tmp_path / "out" / "detections.json").read_text(encoding="utf-8"))["images"][0]["image"] == (
        "\udcff.png"
    )


def test_a_place_that_cannot_be_written_is_named(tmp_path, tree):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"--out .*file/x: cannot write it \(Not a directory\)"):
        writer(tmp_path / "file" / "x", tree)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(OutputError, match="holds no detections"):
        writer(tmp_path / "link", tree, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "real"]


def test_the_working_directory_can_be_made_anew(tmp_path, tree, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "detections.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "out")
    made = writer(Path(), tree, force=True)
    assert made.partial.parent == tmp_path
    made.abandon()
