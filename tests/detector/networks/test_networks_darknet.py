"""Layers against darknet: the reorganisation, pooling and padding by slow loops, and whole networks by its numbers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.config import ModelConfig  # noqa: E402
from detector.networks.build import build_layers  # noqa: E402
from detector.networks.layers import AvgPool, Conv, Dropout, MaxPool, Reorg, Route  # noqa: E402
from detector.networks.pooling import DarknetMaxPool  # noqa: E402
from detector.networks.reorg import DarknetReorg  # noqa: E402
from tests.reference_data import oracle_cases  # noqa: E402

TOLERANCE = 5e-5  # the reference's own


def reorg_by_loops(maps, stride):
    """out[k, h, w] = view[k mod c, s h + (k div c) div s, s w + (k div c) mod s], over memory, one number at a time."""
    channels, height, width = maps.shape
    memory, part = maps.ravel(), channels // stride**2
    out = np.zeros(maps.size, maps.dtype)
    for k in range(channels):
        for h in range(height):
            for w in range(width):
                row = stride * h + (k // part) // stride
                column = stride * w + (k // part) % stride
                out[w + width * (h + height * k)] = memory[
                    column + width * stride * (row + height * stride * (k % part))
                ]
    return out.reshape(channels * stride**2, height // stride, width // stride)


@pytest.mark.parametrize(
    ("channels", "height", "width", "stride"),
    [(4, 2, 2, 2), (8, 6, 10, 2), (64, 26, 26, 2), (12, 4, 2, 2), (18, 6, 9, 3), (16, 8, 4, 4), (5, 3, 7, 1)],
)
def test_reorg_has_the_order_of_darknet(channels, height, width, stride):
    maps = np.arange(2 * channels * height * width, dtype=np.float32).reshape(2, channels, height, width)
    expected = np.stack([reorg_by_loops(one, stride) for one in maps]).transpose(0, 2, 3, 1)
    inputs = maps.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(np.asarray(DarknetReorg(stride)(inputs)), expected)
    free = keras.Input((None, None, channels))
    model = keras.Model(free, DarknetReorg(stride)(free))
    assert model.output_shape == (None, None, None, channels * stride**2)
    np.testing.assert_array_equal(model.predict(inputs, verbose=0), expected)
    signature = tf.function(DarknetReorg(stride), input_signature=[tf.TensorSpec([None, None, None, channels])])
    np.testing.assert_array_equal(signature(inputs), expected)


def test_reorg_is_not_space_to_depth():
    inputs = np.arange(64, dtype=np.float32).reshape(1, 4, 4, 4)
    assert np.any(np.asarray(DarknetReorg(2)(inputs)) != np.asarray(tf.nn.space_to_depth(inputs, 2)))


def test_reorg_refuses_maps_that_cannot_be_divided():
    with pytest.raises(ValueError, match="a map of 3x4x8; a stride of 2 needs"):
        DarknetReorg(2)(np.zeros((1, 3, 4, 8), np.float32))
    with pytest.raises(ValueError, match="a map of 4x4x6; a stride of 2 needs"):
        DarknetReorg(2)(np.zeros((1, 4, 4, 6), np.float32))


def pool_by_loops(maps, size, stride, padding):
    """Windows from -(padding div 2) on; what lies outside does not count."""
    channels, height, width = maps.shape
    rows, columns = ((side + padding - size) // stride + 1 for side in (height, width))
    out = np.full((channels, rows, columns), -np.inf, np.float32)
    for k in range(channels):
        for i in range(rows):
            for j in range(columns):
                for m in range(size):
                    for n in range(size):
                        y, x = i * stride + m - padding // 2, j * stride + n - padding // 2
                        if 0 <= y < height and 0 <= x < width:
                            out[k, i, j] = max(out[k, i, j], maps[k, y, x])
    return out


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(2, 2, None), (2, 1, None), (3, 2, None), (3, 1, 2), (2, 2, 0), (3, 2, 1)]
)
@pytest.mark.parametrize(("height", "width"), [(6, 8), (5, 7)])
def test_pools_pad_as_darknet_does(size, stride, padding, height, width):
    maps = np.random.default_rng(0).standard_normal((2, 3, height, width)).astype(np.float32) - 5  # zeros would win
    expected = np.stack([pool_by_loops(one, size, stride, size - 1 if padding is None else padding) for one in maps])
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, build_layers((MaxPool(size, stride, padding),), inputs, ModelConfig())[-1])
    np.testing.assert_array_equal(np.asarray(model(maps.transpose(0, 2, 3, 1))), expected.transpose(0, 2, 3, 1))


def test_the_pool_knows_its_shape_and_settings():
    pool = DarknetMaxPool(3, 2, 2)
    assert pool.compute_output_shape((None, 7, None, 4)) == (None, 4, None, 4)
    assert DarknetMaxPool.from_config(pool.get_config()).get_config() == pool.get_config()


def conv_by_loops(maps, kernel, bias, stride, pad):
    """maps [C, H, W], kernel [N, C, k, k]."""
    filters, _, size, _ = kernel.shape
    padded = np.pad(maps, ((0, 0), (pad, pad), (pad, pad)))
    rows, columns = ((side + 2 * pad - size) // stride + 1 for side in maps.shape[1:])
    out = np.zeros((filters, rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            window = padded[:, i * stride : i * stride + size, j * stride : j * stride + size]
            out[:, i, j] = np.einsum("nckl,ckl->n", kernel, window) + bias
    return out


@pytest.mark.parametrize(
    ("size", "stride", "pad"), [(3, 1, None), (3, 2, None), (1, 1, None), (3, 1, 0), (5, 2, 1), (2, 1, 1)]
)
@pytest.mark.parametrize("activation", ["linear", "leaky", "relu", "logistic"])
def test_convolutions_pad_as_darknet_does(size, stride, pad, activation):
    rng = np.random.default_rng(size)
    maps = rng.standard_normal((3, 7, 8)).astype(np.float32)
    inputs = keras.Input((None, None, 3))
    layer = Conv(4, size, stride, pad, batch_norm=False, activation=activation)
    model = keras.Model(inputs, build_layers((layer,), inputs, ModelConfig())[-1])
    kernel, bias = rng.standard_normal((4, 3, size, size)).astype(np.float32), np.float32([0.1, -0.2, 0.3, 0])
    model.get_layer("conv01").set_weights([kernel.transpose(2, 3, 1, 0), bias])
    expected = conv_by_loops(maps, kernel, bias, stride, size // 2 if pad is None else pad)
    squash = {
        "linear": lambda x: x,
        "leaky": lambda x: np.where(x > 0, x, 0.1 * x),
        "relu": lambda x: np.maximum(x, 0),
        "logistic": lambda x: 1 / (1 + np.exp(-x)),
    }[activation]
    found = np.asarray(model(maps.transpose(1, 2, 0)[None]))[0].transpose(2, 0, 1)
    np.testing.assert_allclose(found, squash(expected), atol=2e-5)


def case_layers(text):
    """The layers of an oracle's net.cfg, up to the layers that this project's heads replace."""
    layers = []
    for section in text.split("[")[2:]:
        kind, _, body = section.partition("]")
        keys = dict(line.replace(" ", "").split("=") for line in body.splitlines() if "=" in line and line[0] != "#")
        if kind == "convolutional":
            size = int(keys["size"])
            pad = size // 2 if keys.get("pad") == "1" else int(keys.get("padding", 0))
            norm, stride = keys.get("batch_normalize") == "1", int(keys.get("stride", 1))
            layers.append(Conv(int(keys["filters"]), size, stride, pad, norm, keys.get("activation", "logistic")))
        elif kind == "maxpool":
            size = int(keys["size"])
            layers.append(MaxPool(size, int(keys["stride"]), int(keys["padding"]) if "padding" in keys else None))
        elif kind == "route":
            sources = map(int, keys["layers"].split(","))
            layers.append(Route(tuple(n if n >= 0 else len(layers) + n for n in sources)))
        elif kind == "reorg":
            layers.append(Reorg(int(keys["stride"])))
        elif kind == "avgpool":
            layers.append(AvgPool())
        elif kind == "dropout":
            layers.append(Dropout(float(keys.get("probability", 0.5))))
        else:
            assert kind in ("region", "softmax", "cost")
            break
    return tuple(layers)


def load(model, layers, numbers, *, on_cpu):
    """The reference's weights [n, c, k, k] into `conv01` and `norm01`, ...

    darknet divides by sqrt(v) + 1e-6 on a CPU and by sqrt(v + 1e-5) on a GPU, as is done here: for the programs of a
    CPU the variance is put in with which the two are equal.
    """
    for index in range(sum(isinstance(layer, Conv) for layer in layers)):
        kernel, bias = numbers[f"conv{index}_weights"].transpose(2, 3, 1, 0), numbers[f"conv{index}_bias"]
        convolution = model.get_layer(f"conv{index + 1:02d}")
        if f"conv{index}_scale" not in numbers:
            convolution.set_weights([kernel, bias])
            continue
        convolution.set_weights([kernel])
        scale, mean, variance = (numbers[f"conv{index}_{key}"].astype(float) for key in ("scale", "mean", "var"))
        if on_cpu:
            variance = (np.sqrt(variance) + 1e-6) ** 2 - 1e-5
        model.get_layer(f"norm{index + 1:02d}").set_weights([scale, bias, mean, variance])


def cases(shared):
    """Folders of whole networks."""
    return [shared("oracle", name) for name in oracle_cases("detector", "classifier")]


@pytest.mark.parametrize("program", ["rel", "head", "headgpu"])
def test_whole_networks_agree_with_the_reference_layer_by_layer(shared, program):
    compared = 0
    for folder in cases(shared):
        if not (folder / f"{program}.npz").exists():
            continue
        layers = case_layers((folder / "net.cfg").read_text())
        with np.load(folder / "init.npz") as weights, np.load(folder / f"{program}.npz") as reference:
            images = keras.Input((None, None, 3))
            outputs = build_layers(layers, images, ModelConfig())
            model = keras.Model(images, outputs)
            load(model, layers, weights, on_cpu=program != "headgpu")
            pixels = np.load(folder / "input.npy").transpose(0, 2, 3, 1)
            found = [np.asarray(output) for output in model(pixels, training=False)]
            for name in reference.files:
                if name.startswith("infer_L") and int(name[7:9]) < len(found):
                    one = found[int(name[7:9])][:1]
                    one = one.transpose(0, 3, 1, 2) if one.ndim == 4 else one
                    expected = reference[name].reshape(one.shape)
                    np.testing.assert_allclose(one, expected, atol=TOLERANCE, err_msg=f"{folder.name} {name}")
                    compared += 1
            if "region_input_logits_infer" in reference.files:
                logits = found[-1].transpose(0, 3, 1, 2)
                np.testing.assert_allclose(
                    logits, reference["region_input_logits_infer"].reshape(logits.shape), atol=TOLERANCE
                )
    assert compared


def test_training_normalises_and_remembers_as_darknet_does_on_a_gpu(shared):
    for folder in cases(shared):
        if not (folder / "headgpu.npz").exists():
            continue
        layers = case_layers((folder / "net.cfg").read_text())
        with np.load(folder / "init.npz") as weights, np.load(folder / "headgpu.npz") as reference:
            images = keras.Input((None, None, 3))
            model = keras.Model(images, build_layers(layers, images, ModelConfig())[-1])
            load(model, layers, weights, on_cpu=False)
            pixels = np.load(folder / "input.npy").transpose(0, 2, 3, 1)
            logits = np.asarray(model(pixels, training=True)).transpose(0, 3, 1, 2)
            np.testing.assert_allclose(logits, reference["region_input_logits_train"], atol=TOLERANCE)
            convolutions = [index for index, layer in enumerate(layers) if isinstance(layer, Conv)]
            for number, index in enumerate(convolutions):
                if layers[index].batch_norm:
                    norm = model.get_layer(f"norm{number + 1:02d}")
                    count = len(pixels) * np.prod(reference[f"infer_L{index:02d}_conv_img0"].shape[2:])
                    for kind, moving, part in (
                        ("mean", norm.moving_mean, 1),
                        ("var", norm.moving_variance, count / (count - 1)),  # what is remembered is unbiased
                    ):
                        batch = reference[f"train_L{index:02d}_{kind}"] * part
                        expected = 0.99 * weights[f"conv{number}_{kind}"] + 0.01 * batch
                        np.testing.assert_allclose(np.asarray(moving.value), expected, atol=1e-6)
