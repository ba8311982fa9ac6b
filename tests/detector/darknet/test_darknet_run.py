"""`wordtree darknet`: runs made of darknet's files, used as any run, and written back with the same bytes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.checkpoint import CheckpointInfo, save_checkpoint  # noqa: E402
from detector.config import DecodeConfig  # noqa: E402
from detector.darknet.cfg import parse_cfg  # noqa: E402
from detector.darknet.classes import classes_of, read_map  # noqa: E402
from detector.darknet.run import carry_header, export_network, import_network, open_darknet  # noqa: E402
from detector.darknet.shapes import conv_shapes  # noqa: E402
from detector.darknet.weights import Header, random_layers, read_weights, write_weights  # noqa: E402
from detector.dataset import open_dataset  # noqa: E402
from detector.run import open_run  # noqa: E402
from detector.train import train  # noqa: E402
from detector.training.step import Trainer  # noqa: E402
from schemas.errors import ConfigError, FormatError, LabelError, OutputError, TreeError  # noqa: E402
from tests.detector.architectures.test_classifier import labels  # noqa: E402
from wordtree.command import main  # noqa: E402
from wordtree.files import read_tree  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402

TREE = "n00000001 -1\nn00000002 -1\nn00000003 0\nn00000004 0\n"
CFG = """[net]
width=64
height=32
batch=2
learning_rate=0.001
decay=0.0005

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[convolutional]
filters=18
size=1
stride=1
activation=linear

[region]
anchors=1,1.5,  4,3.25
num=2
classes=4
softmax=1
thresh=.6
tree=data/own.tree
"""
STRIDED = CFG[CFG.index("[conv") : CFG.index("[conv", CFG.index("[conv") + 1)]
CLASSIFIER = (
    CFG[: CFG.index("[region]")].replace("filters=18", "filters=4") + "[avgpool]\n[softmax]\n[cost]\ntype=sse\n"
)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """net.cfg, its tree, names, a map and random weights, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.cfg").write_text(CFG)
    (tmp_path / "own.tree").write_text(TREE)
    (tmp_path / "own.names").write_text("figure\nthing\ndisc\nsquare\n")
    (tmp_path / "own.map").write_text("2\n3\n")
    write_weights(tmp_path / "net.weights", Header(0, 1, 0, 1234), random_layers(conv_shapes(parse_cfg(CFG)), 1))
    return tmp_path


def test_an_imported_run_is_a_run_and_goes_back_byte_for_byte(files):
    run, notes = import_network("net.cfg", "net.weights", "run", class_map="own.map")
    assert notes == []
    assert run.checkpoint.images_seen == 1234
    opened = open_run("run")
    assert opened.tree == read_tree("own.tree")
    assert opened.tree.display_names == ("figure", "thing", "disc", "square")
    assert opened.experiment == run.experiment
    assert (files / "run" / "darknet.map").read_text() == "2\n3\n"
    assert json.loads((files / "run" / "training_nodes.json").read_text())["boxes"] == {}
    images = tf.random.uniform([2, 32, 64, 3], seed=1)
    for a, b in zip(run.detector.model(images), opened.detector.model(images), strict=True):
        np.testing.assert_array_equal(a, b)
    written = export_network("run", cfg="out.cfg", weights="out.weights")
    assert written["header"] == {"major": 0, "minor": 1, "revision": 0, "seen": 1234}
    assert (files / "out.weights").read_bytes() == (files / "net.weights").read_bytes()
    assert (files / "out.cfg").read_text() == CFG
    export_network("run", weights="wide.weights", version="v0.2")
    data = (files / "wide.weights").read_bytes()
    assert data[20:] == (files / "net.weights").read_bytes()[16:]
    assert data[:20] == Header(0, 2, 0, 1234).to_bytes()


def test_open_darknet_needs_no_directory_and_finds_boxes(files):
    run = open_darknet("net.cfg", "net.weights", "own.tree")
    found = run.detector.detect(tf.random.uniform([1, 32, 64, 3], seed=1), DecodeConfig(threshold=0.01))
    assert found.boxes.shape[-1] == 4
    assert bool(tf.reduce_any(found.mask))
    assert (run.checkpoint.step, run.checkpoint.images_seen) == (0, 1234)
    assert [path.name for path in files.iterdir() if path.is_dir()] == []


def test_a_fine_tuned_network_is_written_back(files):
    import_network("net.cfg", "net.weights", "run")
    run = open_run("run")
    experiment = replace(run.experiment, train=replace(run.experiment.train, checkpoint_every=20))
    trainer = Trainer(experiment, run.tree)
    for there, here in zip(run.detector.model.weights, trainer.model.weights, strict=True):
        here.assign(there.value)
    batch = labels([[2], [3]], images=tf.random.uniform([2, 32, 64, 3], seed=1))
    trainer.train_step(batch, 0)
    info = CheckpointInfo(1, 2, run.tree.digest(), len(run.tree))
    save_checkpoint(files / "run" / "checkpoints", info, trainer.variables())
    written = export_network("run", weights="tuned.weights")
    assert written["header"]["seen"] == 1236
    shapes = conv_shapes(parse_cfg(CFG))
    layers = [read_weights(files / name, shapes).layers for name in ("net.weights", "tuned.weights")]
    assert not np.array_equal(layers[0][0].kernel, layers[1][0].kernel)
    np.testing.assert_array_equal(layers[1][0].biases, trainer.model.get_layer("norm01").beta)
    again = open_darknet("net.cfg", "tuned.weights").detector
    for there, here in zip(trainer.model.weights, again.model.weights, strict=True):
        np.testing.assert_array_equal(there, here)


def test_images_seen_count_on_through_import_training_and_export(files, detection_set):
    """And a layer that leads nowhere is trained on with no gradient."""
    odd = CFG.replace("width=64", "width=62").replace("height=32", "height=33")  # 16 x 9 cells
    cfg = odd.replace("[convolutional]\nfilters=18", "[route]\nlayers=-2\n" + STRIDED + "[convolutional]\nfilters=18")
    (files / "net.cfg").write_text(cfg)
    layers = list(random_layers(conv_shapes(parse_cfg(cfg)), 1))
    write_weights(files / "net.weights", Header(0, 2, 0, 10_598_400), layers, force=True)
    import_network("net.cfg", "net.weights", "run")
    experiment = open_run("run").experiment
    experiment = replace(experiment, train=replace(experiment.train, steps=1, weight_decay=0.0))
    train(
        experiment,
        read_tree("run/tree"),
        [open_dataset(str(detection_set))],
        files / "tuned",
        lambda _: None,
        init="run",
    )
    assert export_network("tuned", weights="tuned.weights")["header"] == {
        "major": 0,
        "minor": 2,
        "revision": 0,
        "seen": 10_598_402,
    }
    assert export_network("tuned", weights="old.weights", version="v0.1")["header"]["seen"] == 10_598_402
    tuned = read_weights("tuned.weights", conv_shapes(parse_cfg(cfg))).layers
    np.testing.assert_array_equal(tuned[1].kernel, layers[1].kernel)  # what nothing reads
    assert not np.array_equal(tuned[2].kernel, layers[2].kernel)
    (files / "again").mkdir()
    carry_header("tuned", files / "again")
    assert json.loads((files / "again/darknet.json").read_text())["header"]["seen"] == 10_598_402
    carry_header("tuned.weights", files / "again")
    assert json.loads((files / "again/darknet.json").read_text())["header"]["seen"] == 10_598_402
    with pytest.raises(OutputError, match=r"tuned was trained on \(step-00000001\), so --force does not replace it"):
        import_network("net.cfg", "net.weights", "tuned", force=True)


def test_a_changed_run_is_written_with_its_tree_beside_it(files):
    import_network("net.cfg", "net.weights", "run")
    run = open_run("run")
    longer = replace(run, experiment=replace(run.experiment, train=replace(run.experiment.train, steps=77)))
    written = export_network(longer, cfg="new.cfg", weights="new.weights")
    assert written["cfg"] == ["new.cfg", "new.tree", "new.names"]
    cfg = parse_cfg((files / "new.cfg").read_text())
    original = parse_cfg(CFG)
    assert cfg.net == original.net._replace(max_batches=77)
    assert cfg.region is not None
    assert original.region is not None
    assert cfg.region.anchors == original.region.anchors
    assert (files / "new.tree").read_text() == TREE
    again = open_darknet("new.cfg", "new.weights")
    assert again.tree == run.tree
    assert again.tree.display_names == run.tree.display_names
    with pytest.raises(OutputError, match=r"new.cfg exists already"):
        export_network(longer, cfg="new.cfg")


def test_a_classifier_is_imported_and_exported(files):
    (files / "c.cfg").write_text(CLASSIFIER)
    write_weights(files / "c.weights", Header(0, 2, 0, 5), random_layers(conv_shapes(parse_cfg(CLASSIFIER)), 1))
    run, _ = import_network("c.cfg", "c.weights", "run", names="own.names")
    assert run.tree.num_groups == 1
    probs = run.detector.classify(tf.random.uniform([1, 32, 64, 3], seed=1)).numpy()
    np.testing.assert_allclose(probs.sum(), 1, rtol=1e-5)
    export_network("run", cfg="out.cfg", weights="out.weights")
    assert (files / "out.weights").read_bytes() == (files / "c.weights").read_bytes()
    assert (files / "out.cfg").read_text() == CLASSIFIER


def test_what_exists_is_not_replaced_and_what_fails_leaves_nothing(files):
    import_network("net.cfg", "net.weights", "run")
    with pytest.raises(OutputError, match=r"run exists already"):
        import_network("net.cfg", "net.weights", "run")
    import_network("net.cfg", "net.weights", "run", force=True)
    (files / "mine").mkdir()
    (files / "mine" / "thesis.txt").write_text("a year's work")
    with pytest.raises(OutputError, match=r"mine is no imported run, so --force does not replace it"):
        import_network("net.cfg", "net.weights", "mine", force=True)
    (files / "short.weights").write_bytes((files / "net.weights").read_bytes()[:-4])
    with pytest.raises(
        FormatError, match=r"short.weights: ends inside region \(18 filters 1x1x8\), layer 3 of 3: 4 of"
    ):
        import_network("net.cfg", "short.weights", "other")
    with pytest.raises(FormatError, match=r"own.names line 1: found 'figure'; expected a node"):
        import_network("net.cfg", "net.weights", "other", class_map="own.names")
    with pytest.raises(OutputError, match=r"the directory .*deep does not exist"):
        import_network("net.cfg", "net.weights", "deep/run")
    assert not (files / "other").exists()
    assert not [path.name for path in files.iterdir() if path.name.startswith(".")]


def test_classes_come_from_a_tree_names_or_a_label_space(files):
    cfg = parse_cfg(CFG)
    assert classes_of(cfg, "net.cfg")[0] == read_tree("own.tree")  # data/own.tree: found beside the .cfg by its name
    with pytest.raises(TreeError, match=r"the tree has 2 nodes, but net.cfg has 4 classes"):
        classes_of(cfg, "net.cfg", tree=WordTree(["a", "b"], [-1, -1]))
    (files / "own.tree").unlink()
    with pytest.raises(ConfigError, match=r"names the tree data/own.tree, which is not there; give it with --tree"):
        classes_of(cfg, "net.cfg")
    flat = parse_cfg(CFG.replace("tree=data/own.tree", ""))
    tree, notes = classes_of(flat, "net.cfg")
    assert tree.names == ("class0", "class1", "class2", "class3")
    assert notes == ["4 classes without names; give --names or --tree"]
    (files / "own.names").write_text("hot dog\ncat\ncat\ndog\n\n")
    tree, _ = classes_of(flat, "net.cfg", names="own.names")
    assert tree.names == ("hot_dog", "cat", "cat-2", "dog")
    assert tree.display_names == ("hot dog", "cat", "cat", "dog")
    (files / "own.names").write_text("hot dog\ncat\nsofa\ndog\n")
    tree, _ = classes_of(flat, "net.cfg", names="own.names", labels="coco")
    assert tree.names == ("n07697537", "n02121808", "n04256520", "n02084071")
    (files / "own.names").write_text("hot dog\ncatt\nsofa\ndog\n")
    with pytest.raises(LabelError, match=r"own.names line 2: "):
        classes_of(flat, "net.cfg", names="own.names", labels="coco")
    with pytest.raises(ConfigError, match=r"--labels voc has 20 classes, but net.cfg has 4"):
        classes_of(flat, "net.cfg", labels="voc")
    (files / "own.names").write_text("a\nb\n")
    with pytest.raises(FormatError, match=r"own.names: 2 names, but net.cfg has 4 classes"):
        classes_of(flat, "net.cfg", names="own.names")
    with pytest.raises(FormatError, match=r"own.map line 2: found '3'; expected a node of the tree, 0 to 2"):
        read_map("own.map", WordTree(["a", "b", "c"], [-1, -1, -1]))


def test_published_names_have_wnids_in_the_shipped_label_spaces(shared):
    for names, labels_name, cfg_name in (("coco.names", "coco", "yolov2.cfg"), ("voc.names", "voc", "yolov2-voc.cfg")):
        cfg = parse_cfg(shared("facts", cfg_name).read_text())
        tree, _ = classes_of(cfg, cfg_name, names=shared("facts", names), labels=labels_name)
        assert all(name.startswith("n") and len(name) == 9 for name in tree.names)


def test_the_commands(files, capsys):
    assert main(["darknet", "show", "net.cfg", "net.weights"]) == 0
    shown = capsys.readouterr().out
    assert "conv03  conv 1x1/1 linear bias" in shown
    assert "region: 2 priors, 4 classes; 1,018 parameters" in shown
    assert "net.weights: version 0.1.0, 1,234 images seen, 4,088 bytes" in shown
    assert main(["darknet", "show", "net.cfg", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == {"v0.1": 4088, "v0.2": 4092}
    assert main(["darknet", "init", "net.cfg", "--seed", "1", "--out", "same.weights", "--format", "v0.1"]) == 0
    assert (files / "same.weights").read_bytes()[16:] == (files / "net.weights").read_bytes()[16:]
    assert main(["darknet", "import", "net.cfg", "net.weights", "--tree", "own.tree", "--out", "run"]) == 0
    assert "1,018 parameters, 4 classes, 1,234 images seen" in capsys.readouterr().out
    assert main(["darknet", "export", "run", "--cfg", "o.cfg", "--weights", "o.weights", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == 4088
    assert (files / "o.weights").read_bytes() == (files / "net.weights").read_bytes()
    assert main(["darknet", "export", "run"]) == 2
    assert "nothing to write; give --cfg, --weights or both" in capsys.readouterr().err
    assert main(["darknet", "show", "none.cfg"]) == 2
    assert "none.cfg: no such file" in capsys.readouterr().err
