"""A darknet network with a passthrough, exported from its .cfg and .weights by the command."""

from __future__ import annotations

import argparse
import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip("tensorflow")

from detector.cli_export import add_export  # noqa: E402
from detector.config import DecodeConfig  # noqa: E402
from detector.darknet.run import open_darknet  # noqa: E402
from detector.export.lite import open_lite  # noqa: E402
from detector.infer import detect  # noqa: E402
from schemas.errors import ConfigError  # noqa: E402


def command(*words):
    parser = argparse.ArgumentParser()
    add_export(parser.add_subparsers())
    args = parser.parse_args(["export", *words])
    return args.run(args)


def photo(height, width):
    small = np.random.default_rng(height).integers(0, 256, (6, 5, 3), np.uint8)
    buffer = BytesIO()
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.slow
def test_published_files_become_models_that_see_and_find_as_darknet_does(shared, tmp_path, capsys):
    folder = shared("oracle", "N1_plain_det")
    files = [str(folder / "net.cfg"), str(folder / "init.weights")]
    options = ["--threshold", "0.3", "--walk-rule", "darknet", "--suppression", "class", "--limit", "30"]
    out = tmp_path / "model"
    assert command("--darknet", *files, "--out", str(out), "--format", "saved-model,tflite", *options, "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert about["fit"] == "darknet"

    photos = [photo(30, 70), photo(90, 41)]
    for number, encoded in enumerate(photos):
        (tmp_path / f"{number}.png").write_bytes(encoded)
    run = open_darknet(*files)
    decode = DecodeConfig(threshold=0.3, walk="darknet", suppression="class", limit=30)
    paths = [str(tmp_path / f"{number}.png") for number in range(2)]
    written = detect(run, paths, tmp_path / "found", decode, formats=("json",), log=lambda line: None)
    found = tf.saved_model.load(str(out / "saved_model")).signatures["serving_default"](images=tf.constant(photos))
    for row, entry in enumerate(written["images"]):
        expected, count = entry["detections"], int(found["count"][row])
        assert count == len(expected) > 0
        assert [word.decode() for word in found["wnids"][row, :count].numpy()] == [one["wnid"] for one in expected]
        np.testing.assert_allclose(found["boxes"][row, :count], [one["box"] for one in expected], atol=1.5e-5)
        np.testing.assert_allclose(found["scores"][row, :count], [one["score"] for one in expected], atol=6e-5)

    lite = open_lite(out)
    pixels = tf.constant(np.random.default_rng(3).random((2, *lite.network.canvas, 3)), tf.float32)
    expected, given = run.detector.predict(pixels, training=False), lite.predict(pixels)
    np.testing.assert_allclose(given.boxes, expected.boxes, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(given.object_logits, expected.object_logits, atol=1e-4)
    slots = tf.zeros([2, 1], tf.int32) + 4
    np.testing.assert_allclose(given.classes.conditional(slots), expected.classes.conditional(slots), atol=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected a run directory, or --darknet"),
        (["run", "--darknet", "a.cfg", "a.weights"], "and not both"),
        (["run", "--tree", "t"], "go with --darknet"),
        (["run", "--threshold", "1.5"], "--threshold"),
        (["run", "--format", "onnx"], "no format 'onnx'"),
    ],
)
def test_words_that_do_not_fit_are_refused_before_tensorflow_starts(words, message):
    with pytest.raises(ConfigError, match=message):
        command(*words)
