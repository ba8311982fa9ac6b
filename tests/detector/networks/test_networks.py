"""The lists of layers: equal to the published files, and what width, depth, stages and stride do to them."""

from __future__ import annotations

import json
from itertools import pairwise

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.architectures import build_detector  # noqa: E402
from detector.config import Experiment, ModelConfig, load_config  # noqa: E402
from detector.networks.build import build_features, build_layers, grid_of, layers_of, output_stride  # noqa: E402
from detector.networks.layers import AvgPool, Conv, Dropout, MaxPool, Reorg, Route  # noqa: E402
from detector.networks.published import channels, strides  # noqa: E402
from schemas.errors import ConfigError  # noqa: E402
from tests.detector.network_summary import billion_operations, format_summary, parameters, summarise  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402

ANCHORS = ((0.1, 0.1), (0.3, 0.4), (0.7, 0.7))


def read_cfg(path):
    """A .cfg as (section, {key: value}) pairs."""
    sections = []
    for line in path.read_text().splitlines():
        line = line.partition("#")[0].replace(" ", "")
        if line.startswith("["):
            sections.append((line.strip("[]"), {}))
        elif line:
            key, _, value = line.partition("=")
            sections[-1][1][key] = value
    return sections


def read_layers(sections):
    """The layers of a .cfg up to [region] or [softmax], the head's convolution among them."""
    layers = []
    for kind, keys in sections[1:]:
        if kind == "convolutional":
            norm = keys.get("batch_normalize") == "1"
            layers.append(Conv(int(keys["filters"]), int(keys["size"]), batch_norm=norm, activation=keys["activation"]))
        elif kind == "maxpool":
            layers.append(MaxPool(int(keys["size"]), int(keys["stride"])))
        elif kind == "route":
            layers.append(Route(tuple(n if n >= 0 else len(layers) + n for n in map(int, keys["layers"].split(",")))))
        elif kind == "reorg":
            layers.append(Reorg(int(keys["stride"])))
        elif kind == "avgpool":
            layers.append(AvgPool())
    return tuple(layers)


# configuration, file, classes, numbers in the .weights file, and darknet's BFLOPs
PUBLISHED = [
    ("yolov2", "yolov2", 80, 50_983_561, 62.94),
    ("yolov2_voc", "yolov2-voc", 20, 50_676_061, 29.36),
    ("yolov2_tiny", "yolov2-tiny", 80, 11_237_145, 5.41),
    ("yolov2_tiny_voc", "yolov2-tiny-voc", 20, 15_867_885, 6.97),
    ("yolo9000", "yolo9000", 9418, 48_807_501, 49.06),
    ("darknet19", "darknet19", 1000, 20_856_776, 5.58),
    ("darknet19_448", "darknet19_448", 1000, 20_856_776, 22.33),
]


@pytest.mark.parametrize(("name", "file", "classes", "numbers", "flops"), PUBLISHED)
def test_the_published_networks_layer_by_layer(shared, name, file, classes, numbers, flops):
    sections = read_cfg(shared("facts", f"{file}.cfg"))
    config = load_config(name).model
    expected = read_layers(sections)
    if config.architecture == "classifier":
        head = (Conv(classes, 1, batch_norm=False, activation="linear"), AvgPool())
        assert (*layers_of(config), *head) == expected
    else:
        head = Conv(len(config.anchors) * (5 + classes), 1, batch_norm=False, activation="linear")
        assert (*layers_of(config), head) == expected
        size = int(sections[0][1]["width"])
        assert config.input_size == size
        cells = np.array(sections[-1][1]["anchors"].split(","), float).reshape(-1, 2)
        np.testing.assert_allclose(np.array(config.anchors) * size / 32, cells)


@pytest.mark.parametrize(("name", "file", "classes", "numbers", "flops"), PUBLISHED)
def test_the_published_numbers_of_parameters_and_operations(name, file, classes, numbers, flops):
    rows = summarise(load_config(name).model, classes)
    assert parameters(rows) == numbers
    assert round(billion_operations(rows), 2) == flops
    assert f"{numbers:,}" in format_summary(rows).splitlines()[-1]


@pytest.mark.parametrize(("name", "file"), [row[:2] for row in PUBLISHED])
def test_the_published_schedules_and_losses(shared, name, file):
    sections = read_cfg(shared("facts", f"{file}.cfg"))
    net, experiment = sections[0][1], load_config(name)
    train, region = experiment.train, sections[-1][1]
    rates = published_rates(net)
    for step in (0, 1, 50, 99, 100, 500, 999, 1000, 20_000, 39_999, 40_000, 400_000, 450_000):
        if step < int(net["max_batches"]):
            np.testing.assert_allclose(rates(step), configured_rate(train, step), rtol=1e-9, err_msg=str(step))
    assert (train.steps, train.momentum, train.weight_decay) == (int(net["max_batches"]), 0.9, float(net["decay"]))
    if sections[-1][0] == "region":
        loss = experiment.loss
        assert loss.rescore == (region["rescore"] == "1")
        assert loss.bias_match == (region["bias_match"] == "1")
        assert loss.ignore_iou == float(region["thresh"])
        scales = [loss.object_scale, loss.noobject_scale, loss.class_scale, loss.coord_scale]
        assert scales == [float(region[f"{key}_scale"]) for key in ("object", "noobject", "class", "coord")]
        assert experiment.augment.jitter == float(region["jitter"])
        assert train.multi_scale == (320, 352, 384, 416, 448, 480, 512, 544, 576, 608)
    for key in ("saturation", "exposure"):
        factor = float(net[key])
        assert getattr(experiment.augment, key) == pytest.approx(max(factor, 1 / factor))
    assert experiment.augment.hue == float(net["hue"])


def published_rates(net):
    """The rate of batch number b, as the file's keys are defined."""
    base, burn_in, power = float(net["learning_rate"]), int(net.get("burn_in", 0)), float(net.get("power", 4))

    def rate(step):
        if step < burn_in:
            return base * (step / burn_in) ** power
        if net["policy"] == "poly":
            return base * (1 - step / int(net["max_batches"])) ** power
        value = base
        for at, scale in zip(net["steps"].split(","), net["scales"].split(","), strict=True):
            value *= float(scale) if step >= int(at) else 1
        return value

    return rate


def configured_rate(train, step):
    if step < train.warmup_steps:
        return train.learning_rate * (step / train.warmup_steps) ** train.warmup_power
    if train.schedule == "poly":
        return train.learning_rate * (1 - step / train.steps) ** train.schedule_power
    reached = [s for at, s in zip(train.schedule_steps, train.schedule_scales, strict=True) if step >= at]
    return train.learning_rate * np.prod(reached)


@pytest.mark.parametrize(("name", "classes", "numbers"), [("yolov2_tiny_voc", 20, 15_867_885)])
def test_a_built_detector_has_the_published_number_of_parameters(name, classes, numbers):
    experiment = load_config(name)
    tree = WordTree([f"class{k}" for k in range(classes)], [-1] * classes)
    model = build_detector(experiment, tree).model
    assert model.count_params() == numbers
    assert model.get_layer("conv08").kernel.shape == (3, 3, 1024, 1024)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "classes", "numbers"), [(row[0], row[2], row[3]) for row in PUBLISHED[:5]])
def test_every_built_detector_has_the_published_number_of_parameters(name, classes, numbers):
    tree = WordTree([f"class{k}" for k in range(classes)], [-1] * classes)
    assert build_detector(load_config(name), tree).model.count_params() == numbers


def test_the_thesis_takes_the_whole_finer_map_through_the_passthrough():
    rows = {row.name: row for row in summarise(load_config("yolo9000_thesis").model, 9418)}
    assert rows["route_25"].output == (26, 26, 512)
    assert rows["reorg_26"].output == (13, 13, 2048)
    assert rows["route_27"].output == (13, 13, 3072)
    assert rows["region"].output == (13, 13, 3 * 9423)


@pytest.mark.parametrize(
    ("options", "canvas", "cells", "features"),
    [
        ({"stages": 6, "output_stride": 32}, (64, 96), (2, 3), 128),
        ({"stages": 6, "output_stride": 8}, (64, 96), (8, 12), 128),
        ({"stages": 4, "output_stride": 32}, (96, 64), (12, 8), 32),
        ({"stages": 5, "output_stride": 16, "head_convs": 2, "head_width": 64}, (64, 64), (4, 4), 8),
        ({"head_convs": 3, "passthrough": 64}, (64, 128), (2, 4), 128),
        ({"head_convs": 1, "passthrough": 512}, (64, 32), (2, 1), 128),
        ({"head_convs": 2, "passthrough": 64, "output_stride": 16}, (32, 32), (2, 2), 128),
        ({"head_convs": 2, "passthrough": 64, "stages": 4}, (32, 48), (4, 6), 128),
        ({"network": "tiny", "head_convs": 1, "head_width": 512}, (64, 96), (2, 3), 64),
        ({"network": "tiny", "head_convs": 2, "passthrough": 64, "depth": 2.0}, (64, 64), (2, 2), 128),
    ],
)
def test_depth_stride_and_neck_are_configuration(options, canvas, cells, features):
    config = ModelConfig(width=0.125, input_size=canvas[1], input_height=canvas[0], anchors=ANCHORS, **options)
    images = keras.Input((None, None, 3))
    model = keras.Model(images, build_features(images, config))
    output = model(np.zeros((1, *canvas, 3), np.float32))
    assert tuple(output.shape) == (1, *cells, features)
    assert grid_of(config) == cells
    assert summarise(config, 10)[-2].output == (*cells, features)
    assert parameters(summarise(config, 10)) == model.count_params() + features * 3 * 15 + 3 * 15


def test_the_shapes_of_the_small_experiments_stay():
    for name, stride, widths in (("tiny64", 8, (16, 32, 64, 128, 256)), ("demo", 8, (8, 16, 32, 64, 128))):
        config = load_config(name).model
        layers = layers_of(config)
        convs = [layer.filters for layer in layers if isinstance(layer, Conv)]
        a, b, c, d, e = widths
        assert convs == [a, b, c, b, c, d, c, d, e, d, e, d, e]
        assert sum(isinstance(layer, MaxPool) for layer in layers) == 3
        assert output_stride(config) == strides(layers)[-1] == stride


@pytest.mark.parametrize(
    ("depth", "counts"),
    [(1, [1, 1, 3, 3, 5, 5]), (2, [1, 1, 5, 5, 9, 9]), (0.5, [1, 1, 3, 3, 3, 3]), (0.2, [1, 1, 1, 1, 1, 1])],
)
def test_depth_multiplies_pairs_of_bottleneck_and_3x3(depth, counts):
    layers = layers_of(ModelConfig(depth=depth))
    found = [0]
    for layer in layers:
        if isinstance(layer, MaxPool):
            found.append(0)
        else:
            found[-1] += 1
    assert found == counts
    sizes = [layer.size for layer in layers if isinstance(layer, Conv)]
    assert all(pair != (1, 1) for pair in pairwise(sizes))
    assert sizes[-1] == 3


@pytest.mark.parametrize("width", [0.01, 0.1, 0.25, 0.5, 0.77, 1, 1.5, 2])
def test_widths_are_multiples_of_eight_and_can_be_reorganised(width):
    assert channels(1024, width) % 8 == 0
    assert parameters(summarise(ModelConfig(width=width, head_convs=3, passthrough=64, input_size=64), 7)) > 0
    assert channels(32, 1) == 32


def test_an_input_size_that_does_not_fit_the_stride_is_refused():
    with pytest.raises(ConfigError, match=r"model.input_size is 100; expected a multiple of the output stride 32"):
        grid_of(ModelConfig(input_size=100))
    with pytest.raises(ConfigError, match=r"model.input_height is 33; expected a multiple of the output stride 32"):
        grid_of(ModelConfig(input_size=64, input_height=33))
    assert grid_of(ModelConfig(input_size=64), (320, 608)) == (10, 19)


def test_a_passthrough_without_a_finer_map_or_a_convolution_is_refused():
    with pytest.raises(ConfigError, match=r"model\.head_convs of at least 1"):
        layers_of(ModelConfig(passthrough=64))
    with pytest.raises(ConfigError, match=r"model\.stages of at least 2"):
        layers_of(ModelConfig(passthrough=64, head_convs=1, stages=1))


def test_an_unknown_architecture_names_the_known_ones(tree):
    experiment = Experiment(name="x", model=ModelConfig(architecture="yolo", anchors=ANCHORS))
    with pytest.raises(ConfigError, match=r"no architecture 'yolo'; there are .*yolo9000"):
        build_detector(experiment, tree)


def test_mixed_precision_computes_in_16_bits_and_keeps_weights_in_32():
    config = ModelConfig(input_size=64, width=0.125, head_convs=3, passthrough=64)
    images = np.random.default_rng(0).random((2, 64, 64, 3)).astype(np.float32)
    before = keras.mixed_precision.global_policy()
    try:
        keras.utils.set_random_seed(3)
        inputs = keras.Input((None, None, 3))
        exact = keras.Model(inputs, build_features(inputs, config))
        for policy, kind in (("mixed_bfloat16", tf.bfloat16), ("mixed_float16", tf.float16)):
            keras.mixed_precision.set_global_policy(policy)
            inputs = keras.Input((None, None, 3))
            model = keras.Model(inputs, build_features(inputs, config))
            model.set_weights(exact.get_weights())
            output = model(images, training=False)
            assert output.dtype == kind
            assert {weight.dtype for weight in model.weights} == {"float32"}
            found = np.asarray(tf.cast(output, tf.float32))
            expected = np.asarray(exact(images, training=False))
            assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    finally:
        keras.mixed_precision.set_global_policy(before)


def test_the_same_seed_gives_the_same_weights_under_the_same_names():
    config = ModelConfig(input_size=32, width=0.125, stages=3, output_stride=4)

    def make(seed):
        keras.utils.set_random_seed(seed)
        images = keras.Input((None, None, 3))
        return keras.Model(images, build_features(images, config)).weights

    one, two, other = make(1), make(1), make(2)
    assert [weight.path for weight in one] == [weight.path for weight in two]
    assert one[0].path == "conv01/kernel"
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert np.any(one[0].numpy() != other[0].numpy())


def test_weights_start_as_darknet_starts_them():
    keras.utils.set_random_seed(0)
    images = keras.Input((None, None, 64))
    layers = (Conv(256, 3), Conv(128, 1, batch_norm=False, activation="linear"))
    model = keras.Model(images, build_layers(layers, images, ModelConfig())[-1])
    kernel = model.get_layer("conv01").kernel.numpy()
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.02)
    np.testing.assert_array_equal(model.get_layer("conv02").bias.numpy(), 0)
    norm = model.get_layer("norm01")
    assert (norm.epsilon, norm.momentum) == (1e-5, 0.99)
    with pytest.raises(ValueError, match="norm02"):
        model.get_layer("norm02")


def test_a_model_comes_back_from_its_settings():
    config = ModelConfig(input_size=64, width=0.125, head_convs=2, passthrough=64)
    images = keras.Input((None, None, 3))
    layers = (*layers_of(config), Dropout(0.3), MaxPool(3, 2), AvgPool())
    model = keras.Model(images, build_layers(layers, images, config)[-1])
    again = keras.Model.from_config(json.loads(json.dumps(model.get_config())))
    again.set_weights(model.get_weights())
    pixels = np.random.default_rng(1).random((1, 64, 96, 3)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(model(pixels)), np.asarray(again(pixels)))


def test_the_network_may_be_the_text_of_a_cfg(shared):
    for name, file, *_ in PUBLISHED:
        config = ModelConfig(cfg=shared("facts", f"{file}.cfg").read_text(), network="of no account")
        published = load_config(name).model
        assert layers_of(config) == layers_of(published)
        assert output_stride(config) == 32
