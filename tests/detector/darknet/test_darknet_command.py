"""`wordtree detect --darknet` from files to JSON: the boxes of darknet's formulas, all of them, and what is told."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip("tensorflow")

from detector.config import DecodeConfig  # noqa: E402
from detector.darknet.cfg import parse_cfg  # noqa: E402
from detector.darknet.run import export_network, import_network, open_darknet  # noqa: E402
from detector.darknet.shapes import conv_shapes  # noqa: E402
from detector.darknet.weights import Header, random_layers, write_weights  # noqa: E402
from detector.run import open_run  # noqa: E402
from tests.detector.darknet_boxes import compare  # noqa: E402
from tests.detector.darknet_networks import random_network  # noqa: E402
from wordtree.command import main  # noqa: E402

CONV = "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\nstride={}\npad=1\nactivation=leaky\n"
HEAD = (
    "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n[region]\nanchors=1,2, 3,4\nnum=2\nclasses=2\nsoftmax=1\n"
)
CLASSIFIER = "[convolutional]\nfilters=4\nsize=1\nactivation=linear\n[avgpool]\n[softmax]\ntree=own.tree\n"
TREE = "n00000001 -1\nn00000002 -1\nn00000003 0\nn00000004 0\n"

# Seed of a network: whether with --as-darknet. benchmarks/darknet_boxes.py runs sixty.
NETWORKS = {0: True, 23: True, 6: False, 38: False}


def cfg(width, height, *body, net=""):
    return f"[net]\nwidth={width}\nheight={height}\n{net}" + "".join(body)


def write(folder, text, name="net"):
    """NAME.cfg and random NAME.weights."""
    (folder / f"{name}.cfg").write_text(text)
    write_weights(
        folder / f"{name}.weights", Header(0, 2, 0, 10_598_400), random_layers(conv_shapes(parse_cfg(text)), 1)
    )
    return str(folder / f"{name}.cfg"), str(folder / f"{name}.weights")


def photo(path, height, width):
    small = np.random.default_rng(height).integers(0, 256, (6, 5, 3), np.uint8)
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(path)
    return str(path)


@pytest.mark.parametrize("seed", NETWORKS)
def test_no_box_of_darknets_formulas_is_lost(seed, tmp_path):
    outcome = compare(seed, tmp_path, as_darknet=NETWORKS[seed])
    assert outcome.kept > 5
    assert outcome.cut > 0  # boxes that reach beyond the photo are among them
    assert (outcome.lost, outcome.added) == (0, 0)
    assert outcome.score < 1e-5
    assert outcome.side < 1e-5


def test_the_networks_of_the_test_have_every_kind_of_layer():
    sections = [section for seed in NETWORKS for section in random_network(seed)[0].sections]
    assert {"reorg", "route", "maxpool", "convolutional"} == {section["kind"] for section in sections}
    assert {"dilation", "groups", "stride_x", "padding"} <= {key for section in sections for key in section}
    assert any(random_network(seed)[0].parents for seed in NETWORKS)
    dead = [unread(seed) for seed in NETWORKS]
    assert any(dead)


def unread(seed):
    """Convolutions whose output no layer reads."""
    sections, read = random_network(seed)[0].sections, set()
    for k, section in enumerate(sections):
        read |= {n if n >= 0 else k + n for n in section["layers"]} if "layers" in section else {k - 1}
    return [k for k, s in enumerate(sections[:-1]) if s["kind"] == "convolutional" and k not in read]


@pytest.mark.parametrize(("side", "cells"), [(300, 10), (208, 7), (416, 13)])
def test_a_head_has_the_cells_that_its_layers_give_and_priors_in_them(side, cells, shared, tmp_path):
    """yolov2-tiny at 300 and 208 pixels, as darknet runs it: five pools round up."""
    text = shared("facts", "yolov2-tiny.cfg").read_text()
    for key in ("width", "height"):
        text = text.replace(f"{key}=416", f"{key}={side}")
    thin = "\n".join(
        f"filters={int(line[8:]) // 16}" if line.startswith("filters=") and line != "filters=425" else line
        for line in text.splitlines()
    )
    run = open_darknet(*write(tmp_path, thin))
    raw = run.detector.model(tf.zeros([1, side, side, 3]))[0]
    assert raw.shape[1:3] == (cells, cells)
    anchors = parse_cfg(text).region.anchors
    np.testing.assert_allclose(run.detector.priors, anchors, rtol=1e-5)
    boxes = run.detector.predict(tf.zeros([1, side, side, 3]), training=False)
    wide = (boxes.boxes[0, :, 3] - boxes.boxes[0, :, 1]) * cells / tf.exp(boxes.sizes[0, :, 0])
    np.testing.assert_allclose(tf.reshape(wide, [-1, 5])[0], [pair[0] for pair in anchors], rtol=1e-4)


def test_a_layer_that_leads_nowhere_is_kept_and_written_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = cfg(32, 32, CONV.format(2), CONV.format(1), "[route]\nlayers=-2\n", CONV.format(2), HEAD)
    write(tmp_path, text)
    run, _ = import_network("net.cfg", "net.weights", "run")
    export_network("run", cfg="out.cfg", weights="out.weights")
    assert (tmp_path / "out.weights").read_bytes() == (tmp_path / "net.weights").read_bytes()
    names = {layer.name for layer in run.detector.model.layers}
    assert {"conv02", "norm02", "conv03"} <= names
    images = tf.random.uniform([1, 32, 32, 3], seed=1)
    before = run.detector.model(images)[0].numpy()
    run.detector.model.get_layer("conv02").kernel.assign(tf.zeros([3, 3, 8, 8]))
    np.testing.assert_array_equal(run.detector.model(images)[0], before)


def test_a_mean_in_the_middle_of_a_network_is_a_map_of_one_cell(tmp_path):
    run = open_darknet(*write(tmp_path, cfg(32, 32, CONV.format(2), "[avgpool]\n", CONV.format(1), HEAD)))
    assert run.detector.model(tf.zeros([2, 32, 32, 3]))[0].shape == (2, 1, 1, 2, 5)
    np.testing.assert_allclose(run.experiment.model.anchors, ((1, 2), (3, 4)))


def test_what_was_not_used_is_told_where_objects_are_looked_for(tmp_path, capsys):
    text = cfg(
        32,
        32,
        CONV.format(2).replace("activation", "Activation"),
        HEAD,
        net="steps=1,2\nscales=.1\npolicy=steps\nmosaic=1\n",
    )
    files = write(tmp_path, text)
    words = [
        "--darknet",
        *files,
        photo(tmp_path / "a.png", 20, 30),
        "--out",
        str(tmp_path / "found"),
        "--format",
        "json",
    ]
    assert main(["detect", *words]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert told == [
        "note: line 7: [net] the key 'mosaic' is not known and was not used",
        "note: line 4: [net] steps=1,2; expected as many steps as scales; found 2 and 1. "
        "It counts in training alone: not used",
        "note: line 14: [convolutional] 'Activation' is not 'activation', and was not used, as in darknet; "
        "activation=logistic holds",
        "note: 2 classes without names; give --names or --tree",
    ]
    assert main(["export", "--darknet", *files, "--format", "keras", "--out", str(tmp_path / "model")]) == 0
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")] == told


def test_as_darknet_is_for_networks_with_a_cfg_imported_ones_too(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network, picture, _ = random_network(3)
    from tests.detector.darknet_networks import write as write_network

    write_network(network, picture, tmp_path)
    import_network("net.cfg", "net.weights", "run")
    found = []
    for words in (["--darknet", "net.cfg", "net.weights"], ["run"]):
        flags = ["--as-darknet", "--format", "json", "--out", "found", "--force", "--json", "--threshold", "0.1"]
        assert main(["detect", *words, "net.png", *flags]) == 0
        found.append(json.loads(capsys.readouterr().out)["images"])
    assert found[0] == found[1]
    assert found[0][0]["detections"]
    text = (tmp_path / "net.cfg").read_text()
    (tmp_path / "net.cfg").write_text(text.replace("channels=3", "channels=3\nletter_box=0"))
    assert open_darknet("net.cfg", "net.weights").experiment.model.stretched
    assert not open_run("run").experiment.model.stretched


def test_classes_of_whole_photos_have_the_names_of_the_tree(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.tree").write_text(TREE)
    (tmp_path / "own.names").write_text("figure\nthing\ndisc\nsquare\n")
    write(tmp_path, cfg(32, 48, CONV.format(2), CLASSIFIER))
    paths = [photo(tmp_path / f"{side}.png", side, 30) for side in (20, 50)]
    words = [
        "detect",
        "--darknet",
        "net.cfg",
        "net.weights",
        *paths,
        "--names",
        "own.names",
        "--out",
        "found",
        "--force",
    ]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    run = open_darknet("net.cfg", "net.weights", names="own.names")
    from detector.infer.canvas import draw

    canvases = np.stack([draw(np.asarray(Image.open(path)), (48, 32), "darknet") for path in paths])
    probs = run.detector.classify(canvases).numpy()
    for row, entry in enumerate(found["images"]):
        assert entry["detections"] == []
        leaves = sorted((1, 2, 3), key=lambda node: -probs[row, node])
        assert [name["wnid"] for name in entry["classes"]] == [run.tree.names[node] for node in leaves]
        np.testing.assert_allclose([name["score"] for name in entry["classes"]], probs[row, leaves], atol=1e-6)
        assert {name["path"] for name in entry["classes"]} == {"figure > disc", "figure > square", "thing"}
        assert (tmp_path / "found" / entry["picture"]).exists()
    assert main([*words, "--walk-rule", "thesis", "--walk", "0.99"]) == 0
    assert "2 names in 2 of 2 images" in capsys.readouterr().out
    assert main([*words, "--format", "coco"]) == 2
    assert "is a classifier of whole images and finds no boxes; expected json" in capsys.readouterr().err


def test_decoded_boxes_are_whole_until_they_are_suppressed(tmp_path):
    """Two priors of one cell at the corner, of which one reaches far beyond: cut first, they would be one."""
    run = open_darknet(*write(tmp_path, cfg(32, 32, CONV.format(32), HEAD)))
    head = run.detector.head
    head.box_kernel.assign(tf.zeros_like(head.box_kernel.value))
    head.box_bias.assign([[0, 0, 0.5, 0, 3.0], [0, 0, 0.5, 0.5, 2.0]])  # IoU 0.10 whole, 1 when cut to the canvas
    found = run.detector.detect(tf.zeros([1, 32, 32, 3]), DecodeConfig(threshold=0.1, walk="leaves"))
    np.testing.assert_array_equal(found.boxes[0, :2], [[0, 0, 1, 1]] * 2)
    assert int(tf.reduce_sum(tf.cast(found.mask, tf.int32))) == 2
