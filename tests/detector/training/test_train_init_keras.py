"""Files of Keras's weights to begin with: every variable, and the maps of the network that they came from."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import h5py
import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # Keras's own, when it saves

from detector.architectures import build_detector  # noqa: E402
from detector.config import Experiment, LossConfig, ModelConfig, TwoStageConfig, load_config  # noqa: E402
from detector.dataset import open_dataset  # noqa: E402
from detector.networks.applications import DEVIATION, MEAN, tap_backbone  # noqa: E402
from detector.train import train  # noqa: E402
from detector.training.initial import initialise  # noqa: E402
from detector.training.keras_weights import fitting_width, wanted_layers  # noqa: E402
from schemas.errors import ConfigError, FormatError  # noqa: E402

NAME = "MobileNet"
MODEL = ModelConfig(network=NAME, width=0.25, input_size=64, anchors=((0.4, 0.4), (0.2, 0.3)))
HEADS = ("region", "classes", "rpn")


def published(top=True, name=NAME, **options):
    """A network as Keras builds it, every variable drawn anew; variances stay positive."""
    options = {"alpha": 0.25} | options if name == "MobileNet" else options
    size = (224 if top else None, 224 if top else None, 3)
    model = getattr(keras.applications, name)(
        weights=None, include_top=top, input_shape=size, **({"classes": 7} if top else {}), **options
    )
    rng = np.random.default_rng(4)
    for weight in model.weights:
        fan = np.prod(weight.shape[:-1]) if len(weight.shape) > 1 else 1.0
        values = rng.normal(size=weight.shape) / np.sqrt(fan)
        weight.assign(1 + 0.3 * rng.random(weight.shape) if len(weight.shape) == 1 else values)
    return model


def write_legacy(model, path, *, rename=lambda name: name, whole=False):
    """The layout of Keras 1 and 2, after their `save_weights_to_hdf5_group`."""
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights") if whole else file
        names = [rename(layer.name) for layer in model.layers]
        group.attrs["layer_names"] = [name.encode() for name in names]
        group.attrs["keras_version"], group.attrs["backend"] = b"2.1.6", b"tensorflow"
        for layer, name in zip(model.layers, names, strict=True):
            below = group.create_group(name)
            variables = [*layer.trainable_weights, *layer.non_trainable_weights]
            labels = [f"{name}/{variable.name}:0" for variable in variables]
            below.attrs["weight_names"] = [label.encode() for label in labels]
            for label, variable in zip(labels, variables, strict=True):
                below.create_dataset(label, data=variable.numpy())


def write(model, folder, kind):
    path = folder / {"weights": "x.weights.h5", "keras": "x.keras"}.get(kind, "x.h5")
    if kind == "weights":
        model.save_weights(path)
    elif kind == "keras":
        model.save(path)
    elif kind == "legacy":
        write_legacy(model, path)
    elif kind == "renamed":  # names of an older version: the order tells
        write_legacy(model, path, rename=lambda name: f"old/{name}")
    else:
        write_legacy(model, path, whole=True)
    return path


def detector(architecture, tree, **model):
    options = {"classifier": {}, "yolo9000": {}, "faster_rcnn": {"output_stride": 16}}[architecture]
    config = replace(MODEL, architecture=architecture, **options, **model)
    two_stage = TwoStageConfig(rpn_width=8, proposals=4, crop=4)
    return build_detector(Experiment(name="t", model=config, loss=LossConfig(weak="off"), two_stage=two_stage), tree)


def check_variables(found, source, restored):
    there = {weight.path: weight.numpy() for weight in source.weights}
    here = {weight.path: weight.numpy() for weight in found.model.weights}
    body = {path for path in here if not path.startswith(HEADS)}
    assert set(restored.whole) == body
    assert set(restored.missing) == set(here) - body
    for path in body:
        np.testing.assert_array_equal(here[path], there[path], err_msg=path)


@pytest.mark.parametrize("kind", ["weights", "keras", "legacy", "renamed", "whole"])
def test_every_kind_of_file_fills_both_stages(kind, tree, tmp_path):
    source = published(top=kind != "legacy")
    path, lines = write(source, tmp_path, kind), []
    found = detector("faster_rcnn", tree)
    restored = initialise(found, str(path), allow_partial=False, log=lines.append)
    check_variables(found, source, restored)
    assert restored.mismatched == {}
    assert len(restored.unused) == (kind != "legacy")
    assert f"  restored    {len(restored.whole)} variables" in lines


def test_the_maps_are_those_of_the_published_network(tree, tmp_path):
    source = published(top=False)
    path = write(source, tmp_path, "weights")
    found = detector("yolo9000", tree)
    initialise(found, str(path), allow_partial=False, log=lambda line: None)
    pixels = np.random.default_rng(0).random((2, 64, 96, 3)).astype(np.float32)
    expected = np.asarray(source(keras.applications.mobilenet.preprocess_input(pixels * 255), training=False))
    np.testing.assert_allclose(found.model(pixels, training=False)[1], expected, rtol=1e-4, atol=1e-4)
    two = detector("faster_rcnn", tree)
    initialise(two, str(path), allow_partial=False, log=lambda line: None)
    tap = keras.Model(source.input, source.get_layer("conv_pw_11_relu").output)
    expected = np.asarray(tap(keras.applications.mobilenet.preprocess_input(pixels * 255), training=False))
    np.testing.assert_allclose(two.first(pixels, training=False)[1], expected, rtol=1e-4, atol=1e-4)


def test_counted_layers_are_found_by_their_number(tree, tmp_path):
    """Xception's shortcuts have no names; another model was built before, so that Keras counts on."""
    config = ModelConfig(network="Xception")
    wanted = list(wanted_layers(config))
    counted = [layer for layer in wanted if not layer.name]
    assert [layer.kind for layer in counted] == ["conv2d", "batch_normalization"] * 4
    from detector.training.keras_file import StoredLayer, StoredModel
    from detector.training.keras_weights import pair_layers

    class Shaped:
        def __init__(self, shape):
            self.shape = shape

    def stored(layer, name, key=""):
        return StoredLayer(key or name, name, [Shaped(shape) for shape in layer.shapes])

    numbers = iter(range(31, 99))
    named = [stored(layer, layer.name or f"{layer.kind}_{next(numbers)}") for layer in wanted]
    top = StoredLayer("predictions", "predictions", [Shaped((2048, 5)), Shaped((5,))])
    for layers in ([*named, top], [named[0], top, *named[1:]]):  # in order, and with something between
        pairs = pair_layers(wanted, StoredModel(True, layers))
        assert [one.name for _, one in pairs] == [one.name for one in named]
    keyed = [stored(layer, "", layer.key) for layer in wanted]
    pairs = pair_layers(wanted, StoredModel(False, [*reversed(keyed)]))
    assert [one.key for _, one in pairs] == [layer.key for layer in wanted]


def test_a_network_inside_of_another_is_found(tree, tmp_path):
    source = published(top=False)
    images = keras.Input((64, 64, 3))
    x = keras.layers.GlobalAveragePooling2D()(source(keras.layers.Rescaling(2.0, -1.0)(images)))
    keras.Model(images, keras.layers.Dense(3)(x)).save_weights(tmp_path / "own.weights.h5")
    found = detector("classifier", tree)
    restored = initialise(found, str(tmp_path / "own.weights.h5"), allow_partial=False, log=lambda line: None)
    check_variables(found, source, restored)


def test_gaps_are_refused_before_anything_is_changed(tree, tmp_path):
    path = write(published(top=False), tmp_path, "legacy")
    with h5py.File(path, "r+") as file:
        file["conv_pw_3"].attrs["weight_names"] = []
    found = detector("faster_rcnn", tree)
    before = {weight.path: weight.numpy() for weight in found.model.weights}
    with pytest.raises(ConfigError, match=r"does not hold all of this network's body: conv_pw_3/kernel; give"):
        initialise(found, str(path), allow_partial=False, log=print)
    for weight in found.model.weights:
        np.testing.assert_array_equal(weight.numpy(), before[weight.path])
    restored = initialise(found, str(path), allow_partial=True, log=lambda line: None)
    assert restored.body_gaps() == ["conv_pw_3/kernel"]
    after = next(weight for weight in found.model.weights if weight.path == "conv_pw_3/kernel")
    np.testing.assert_array_equal(after.numpy(), before["conv_pw_3/kernel"])
    words = (
        r"x.h5 fits model.width 0.25, and here that is 0.5: give --set model.width=0.25. It does not hold all .*"
        r"conv1/kernel \(\[3, 3, 3, 8\] there, \[3, 3, 3, 16\] here\).*; or --allow-partial"
    )
    with pytest.raises(ConfigError, match=words):
        initialise(detector("faster_rcnn", tree, width=0.5), str(path), allow_partial=False, log=print)


@pytest.mark.parametrize("kind", ["weights", "legacy", "renamed"])
def test_the_width_of_a_file_is_told_by_its_shapes(kind, tmp_path):
    path = write(published(name="MobileNetV2", alpha=0.5), tmp_path, kind)
    model = ModelConfig(network="MobileNetV2", width=1.0)
    assert fitting_width(path, model) == 0.5
    if kind == "weights":
        assert fitting_width(path, replace(model, network="MobileNet")) is None
        assert fitting_width(path, replace(model, network="ResNet50")) is None  # has no width


def test_what_is_no_such_file_is_refused_by_name(tree, tmp_path):
    found = detector("yolo9000", tree)

    def refused(path, error, words, subject=found):
        with pytest.raises(error, match=words):
            initialise(subject, str(path), allow_partial=False, log=print)

    whole = write(published(top=False), tmp_path, "weights")
    (tmp_path / "cut.weights.h5").write_bytes(whole.read_bytes()[:5000])
    refused(tmp_path / "cut.weights.h5", FormatError, r"cut.weights.h5 is damaged")
    (tmp_path / "page.h5").write_text("<html>not found</html>")
    refused(tmp_path / "page.h5", FormatError, r"page.h5 begins with b'<html>no', which is no HDF5 and no zip")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    refused(tmp_path / "photos.zip", FormatError, r"photos.zip is a zip without model.weights.h5")
    (tmp_path / "cut.keras").write_bytes(b"PK\x03\x04" + bytes(50))
    refused(tmp_path / "cut.keras", FormatError, r"cut.keras is damaged")
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["images"] = np.zeros(3)
    refused(tmp_path / "images.h5", FormatError, r"images.h5 is an HDF5 file without layers \(it has images\)")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["layer_names"] = [b"fc_7"]
        file.create_group("fc_7").attrs["weight_names"] = [b"kernel"]
        file["fc_7/kernel"] = np.zeros((2, 2))
    refused(tmp_path / "other.h5", ConfigError, r"other.h5 holds no layer of MobileNet: it begins with fc_7")
    own = build_detector(load_config("tiny64", ["model.anchors=[[0.3,0.3]]", "model.width=0.125"]), tree)
    refused(whole, ConfigError, r"fits networks of keras.applications; model.network is 'darknet19'", own)


def test_statistics_of_the_input_must_be_those_that_are_constants_here(tmp_path):
    from detector.training.keras_weights import _check_statistics

    for variance in (np.array(DEVIATION), np.square(DEVIATION)):  # the published file has the first
        _check_statistics("x.h5", "EfficientNetB0", [np.array(MEAN), variance, np.array(0)])
    with pytest.raises(ConfigError, match=r"x.h5 normalises its input with mean \[0.0, 0.0, 0.0\]"):
        _check_statistics("x.h5", "EfficientNetB0", [np.zeros(3), np.ones(3), np.array(0)])


def test_a_classifier_is_trained_and_begins_detectors(label_set, tree, tmp_path):
    """`wordtree train darknet19 --set model.network=MobileNet`, then its run as --init of both detectors."""
    changes = [
        f"model.network={NAME}",
        "model.width=0.25",
        "model.input_size=64",
        "train.steps=2",
        "train.batch_size=4",
        "train.subdivisions=1",
        "train.checkpoint_every=2",
        "train.log_every=1",
        "train.learning_rate=0.01",
        "train.warmup_steps=0",
    ]
    config, data = load_config("darknet19", changes), [open_dataset(str(label_set))]
    out = train(config, tree, data, tmp_path / "run", lambda line: None)
    from detector.run import open_run

    source = open_run(out).detector.model
    for architecture in ("yolo9000", "faster_rcnn"):
        found = detector(architecture, tree)
        restored = initialise(found, str(out), allow_partial=False, log=lambda line: None)
        check_variables(found, source, restored)
    pixels = np.random.default_rng(0).random((1, 64, 64, 3)).astype(np.float32)
    images = keras.Input((None, None, 3))
    tapped = keras.Model(images, tap_backbone(images, MODEL, (16,))[16])
    known = {weight.path: weight.numpy() for weight in source.weights}
    for weight in tapped.weights:
        weight.assign(known[weight.path])
    np.testing.assert_allclose(
        found.first(pixels, training=False)[1], tapped(pixels, training=False), rtol=1e-4, atol=1e-5
    )
