"""Reading and writing .weights files: byte for byte, through the Keras network too, and what is refused."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest

from detector.darknet.cfg import parse_cfg
from detector.darknet.shapes import ConvShape, conv_shapes, parameter_count
from detector.darknet.weights import (
    Header,
    check_numbers,
    random_layers,
    read_header,
    read_weights,
    write_weights,
)
from schemas.errors import ConfigError, FormatError, InputError, OutputError

SHAPES = [ConvShape("conv01", 4, 3, 3, True), ConvShape("conv02", 14, 4, 1, False)]
NUMBERS = 4 * 4 + 4 * 3 * 9 + 14 + 14 * 4

NET = """[net]
width=32
height=64
batch=2
momentum=0.9
decay=0.0005
learning_rate=0.001
[convolutional]
batch_normalize=1
filters=4
size=3
stride=1
pad=1
activation=leaky
[maxpool]
size=2
stride=2
[convolutional]
filters=5
size=1
activation=relu
[convolutional]
filters=14
size=1
activation=linear
[region]
anchors=1,2, 3,4
num=2
classes=2
softmax=1
"""


def counted(path, header, numbers):
    """A file whose numbers are 0, 1, 2, ..."""
    path.write_bytes(header + np.arange(numbers, dtype="<f4").tobytes())
    return path


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (struct.pack("<iiii", 0, 1, 0, 77), Header(0, 1, 0, 77)),
        (struct.pack("<iiiQ", 0, 2, 0, 2**40), Header(0, 2, 0, 2**40)),
        (struct.pack("<iiiQ", 1, 0, 5, 3), Header(1, 0, 5, 3)),
    ],
)
def test_numbers_stand_where_the_format_says(tmp_path, header, expected):
    file = read_weights(counted(tmp_path / "w", header, NUMBERS), SHAPES)
    assert file.header == expected
    first, last = file.layers
    names = ("biases", "scales", "means", "variances")
    for k, name in enumerate(names):
        np.testing.assert_array_equal(getattr(first, name), np.arange(4 * k, 4 * k + 4))
    np.testing.assert_array_equal(first.kernel, np.arange(16, 124).reshape(4, 3, 3, 3))
    np.testing.assert_array_equal(last.biases, np.arange(124, 138))
    np.testing.assert_array_equal(last.kernel, np.arange(138, NUMBERS).reshape(14, 4, 1, 1))
    assert last.scales is last.means is last.variances is None
    write_weights(tmp_path / "again", file.header, file.layers)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "w").read_bytes()


HEADER = struct.pack("<iiii", 0, 1, 0, 0)
WRONG_FILES = {
    "short": (b"abc", "3 bytes; expected a header of 16 or 20 bytes"),
    "transposed": (struct.pack("<iiii", 1001, 1, 0, 0) + bytes(9), "dense layers stand transposed"),
    "negative": (struct.pack("<iiii", -5, 1, 0, 0), "version -5.1.0; it is no .weights file"),
    "v0.2 cut": (struct.pack("<iiii", 0, 2, 0, 0), "16 bytes; a header of version 0.2 has 20"),
    "no layers": (HEADER, "ends inside conv01 (4 filters 3x3x3), layer 1 of 2: 776 of 792 bytes are missing"),
    "cut in 1": (
        HEADER + bytes(400),
        "ends inside conv01 (4 filters 3x3x3), layer 1 of 2: 376 of 792 bytes are missing",
    ),
    "cut in 2": (HEADER + bytes(4 * NUMBERS - 4), "ends inside conv02 (14 filters 1x1x4), layer 2 of 2: 4 of 792"),
    "cut in a number": (HEADER + bytes(4 * NUMBERS - 1), "ends inside conv02"),
    "too long": (HEADER + bytes(4 * NUMBERS + 8), "8 bytes stand behind the last layer, conv02 (14 filters 1x1x4)"),
    "a byte too long": (HEADER + bytes(4 * NUMBERS + 1), "1 bytes stand behind the last layer"),
}


@pytest.mark.parametrize("kind", WRONG_FILES)
def test_a_wrong_file_is_refused_with_the_layer(tmp_path, kind):
    data, message = WRONG_FILES[kind]
    (tmp_path / "w").write_bytes(data)
    with pytest.raises(FormatError) as caught:
        read_weights(tmp_path / "w", SHAPES)
    assert str(caught.value).startswith(f"{tmp_path}/w")
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match=r"cannot read it"):
        read_header(tmp_path / "none")


def test_the_first_part_of_a_network_is_read_when_asked_for(tmp_path):
    data = HEADER + np.arange(124, dtype="<f4").tobytes()
    (tmp_path / "w").write_bytes(data)
    file = read_weights(tmp_path / "w", SHAPES, first_part=True)
    assert ([layer.shape for layer in file.layers], file.missing) == (SHAPES[:1], SHAPES[1:])
    (tmp_path / "w").write_bytes(data[:-4])
    with pytest.raises(FormatError, match=r"ends inside conv01"):
        read_weights(tmp_path / "w", SHAPES, first_part=True)


def test_numbers_that_no_training_gives_are_refused_with_layer_and_filter(tmp_path):
    layers = list(random_layers(SHAPES, 0))
    assert layers[0].variances is not None
    layers[0].variances[2] = -0.5
    with pytest.raises(FormatError, match=r"w: conv01 \(.*\): the variance of filter 2 is -0.5; expected 0 or more"):
        check_numbers(layers[0], "w")
    layers[1].kernel[7, 0] = np.nan
    with pytest.raises(FormatError, match=r"w: conv02 \(.*\): kernel of filter 7 are not finite"):
        check_numbers(layers[1], "w")


def test_an_existing_file_is_kept_and_a_failed_write_leaves_nothing(tmp_path):
    layers = list(random_layers(SHAPES, 0))
    assert write_weights(tmp_path / "w", Header(), layers) == (NUMBERS, 16 + 4 * NUMBERS)
    with pytest.raises(OutputError, match=r"exists; choose another name"):
        write_weights(tmp_path / "w", Header(), layers)
    write_weights(tmp_path / "w", Header(0, 2), layers, force=True)
    assert os.path.getsize(tmp_path / "w") == 20 + 4 * NUMBERS

    def broken():
        yield layers[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"No space left"):
        write_weights(tmp_path / "x", Header(), broken())
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
    with pytest.raises(ConfigError, match=r"do not fit into a header of version 0.1"):
        write_weights(tmp_path / "x", Header(0, 1, 0, 2**31), layers)


def test_untrained_weights_are_he_normal_and_those_of_their_seed():
    shape = ConvShape("conv01", 64, 32, 3, True)
    first, again, other = (next(random_layers([shape], seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.kernel, again.kernel)
    assert not np.array_equal(first.kernel, other.kernel)
    assert float(first.kernel.std()) == pytest.approx((2 / (9 * 32)) ** 0.5, rel=0.02)
    assert first.variances is not None
    np.testing.assert_array_equal(first.variances, 1)


@pytest.fixture(scope="module")
def network():
    """A small detector."""
    pytest.importorskip("tensorflow")
    from detector.darknet.experiment import experiment_from_cfg
    from detector.darknet.run import build_network
    from wordtree.tree import WordTree

    return build_network(experiment_from_cfg(NET)[0], WordTree(["a", "b"], [-1, -1]), "net.cfg")


def noise(path, shapes, seed=5):
    """A file of random numbers, variances above 0."""
    random = np.random.default_rng(seed)
    layers = list(random_layers(shapes, seed))
    for layer in layers:
        for array in layer.arrays():
            array[...] = random.standard_normal(array.shape)
        if layer.variances is not None:
            layer.variances[...] = np.abs(layer.variances) + 0.1
    write_weights(path, Header(0, 1, 0, 9), layers, force=True)
    return path


def test_the_keras_network_computes_what_the_file_says(network, tmp_path):
    """A loop over the definition: convolution, normalisation, leaky, max-pool, bias, relu, head."""
    import tensorflow as tf

    from detector.darknet.keras_weights import detector_shapes, load_into

    shapes = conv_shapes(parse_cfg(NET))
    assert [shape[1:] for shape in detector_shapes(network)] == [shape[1:] for shape in shapes]
    path = noise(tmp_path / "w", shapes)
    assert load_into(network, path).header.seen == 9
    first, second, head = read_weights(path, shapes).layers
    image = np.random.default_rng(0).random((64, 32, 3)).astype(np.float32)
    padded = np.pad(image.transpose(2, 0, 1), ((0, 0), (1, 1), (1, 1)))
    x = np.zeros((4, 64, 32))
    for dy in range(3):
        for dx in range(3):
            x += np.einsum("nc,chw->nhw", first.kernel[:, :, dy, dx], padded[:, dy : dy + 64, dx : dx + 32])
    assert first.scales is not None
    assert first.means is not None
    assert first.variances is not None
    x = (x - first.means[:, None, None]) / np.sqrt(first.variances + 1e-5)[:, None, None]
    x = x * first.scales[:, None, None] + first.biases[:, None, None]
    x = np.where(x > 0, x, 0.1 * x).reshape(4, 32, 2, 16, 2).max(axis=(2, 4))
    x = np.maximum(np.einsum("nc,chw->nhw", second.kernel[:, :, 0, 0], x) + second.biases[:, None, None], 0)
    expected = np.einsum("nc,chw->hwn", head.kernel[:, :, 0, 0], x) + head.biases
    raw, features = network.model(tf.constant(image[None]), training=False)
    np.testing.assert_allclose(features[0], x.transpose(1, 2, 0), atol=1e-4)
    expected = expected.reshape(32, 16, 2, 7)  # per prior x, y, w, h, objectness, then two classes
    np.testing.assert_allclose(raw[0], expected[..., :5], atol=2e-4)
    logits = network.model.get_layer("region").class_logits(features)
    np.testing.assert_allclose(logits[0], expected[..., 5:].reshape(-1, 2), atol=2e-4)


def test_what_was_loaded_is_written_with_the_same_bytes(network, tmp_path):
    from detector.darknet.keras_weights import load_into, weights_from

    path = noise(tmp_path / "w", conv_shapes(parse_cfg(NET)))
    file = load_into(network, path)
    write_weights(tmp_path / "again", file.header, weights_from(network))
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_the_network_does_not_hang_on_the_file(network, tmp_path):
    """Training changes the weights in place: the file must stay as it is."""
    from detector.darknet.keras_weights import load_into

    path = noise(tmp_path / "w", conv_shapes(parse_cfg(NET)))
    before = path.read_bytes()
    load_into(network, path)
    for variable in network.model.weights:
        variable.assign_add(np.ones(variable.shape, np.float32))
    assert path.read_bytes() == before


def test_nothing_is_loaded_of_a_file_that_is_refused(network, tmp_path):
    from detector.darknet.keras_weights import load_into, weights_from

    shapes = conv_shapes(parse_cfg(NET))
    before = [array.copy() for layer in weights_from(network) for array in layer.arrays()]
    layers = [layer for layer in read_weights(noise(tmp_path / "w", shapes), shapes).layers]
    layers[-1] = layers[-1]._replace(biases=np.full(14, np.inf, np.float32))
    write_weights(tmp_path / "bad", Header(), layers)
    with pytest.raises(FormatError, match=r"region \(14 filters 1x1x5\): biases of filter 0 are not finite"):
        load_into(network, tmp_path / "bad")
    after = [array for layer in weights_from(network) for array in layer.arrays()]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_network_that_no_cfg_can_say_is_refused():
    keras = pytest.importorskip("keras")
    from detector.darknet.keras_weights import detector_shapes

    class Other:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")])

    with pytest.raises(ConfigError, match=r"this network has 15 numbers, of which 0 have a place"):
        detector_shapes(Other)


def round_trip(shared, tmp_path, name):
    """A random file of a published network, through Keras and back; the two files must be one."""
    from detector.darknet.classes import class_count
    from detector.darknet.experiment import experiment_from_cfg
    from detector.darknet.keras_weights import load_into, weights_from
    from detector.darknet.run import build_network
    from wordtree.files import read_tree
    from wordtree.tree import WordTree

    text = shared("facts", name).read_text()
    cfg = parse_cfg(text)
    shapes, count = conv_shapes(cfg), class_count(cfg)
    tree = WordTree([f"c{k}" for k in range(count)], [-1] * count)
    if count == 9418:
        tree = read_tree(shared("facts", "9k.tree"))
    write_weights(tmp_path / "in", Header(0, 2, 0, 123), random_layers(shapes, 3))
    assert os.path.getsize(tmp_path / "in") == 20 + 4 * parameter_count(shapes)
    detector = build_network(experiment_from_cfg(text)[0], tree, name)
    file = load_into(detector, tmp_path / "in")
    write_weights(tmp_path / "out", file.header, weights_from(detector))
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()
    (tmp_path / "in").unlink()
    (tmp_path / "out").unlink()


def test_tiny_yolov2_makes_the_round_trip(shared, tmp_path):
    pytest.importorskip("tensorflow")
    round_trip(shared, tmp_path, "yolov2-tiny.cfg")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["yolov2.cfg", "yolov2-voc.cfg", "yolov2-tiny-voc.cfg", "yolo9000.cfg", "darknet19.cfg"]
)
def test_the_other_published_networks_make_the_round_trip(shared, tmp_path, name):
    pytest.importorskip("tensorflow")
    round_trip(shared, tmp_path, name)
