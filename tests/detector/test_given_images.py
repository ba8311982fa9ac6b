"""Images of Python callers: what is no RGB from 0 to 1 is refused in words; inside of a graph nothing is looked at."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.architectures import build_detector  # noqa: E402
from detector.config import DecodeConfig, Experiment, ModelConfig  # noqa: E402
from detector.export.lite_slots import LiteSlots  # noqa: E402
from detector.given_images import check_images  # noqa: E402
from schemas.errors import InputError  # noqa: E402

MODEL = {"input_size": 32, "width": 0.125, "stages": 2, "output_stride": 2}
RIGHT = np.random.default_rng(0).random((2, 32, 32, 3)).astype(np.float32)
WRONG = {
    "uint8[2, 32, 32, 3]": (RIGHT * 255).astype(np.uint8),
    "int64[2, 32, 32, 3]": (RIGHT * 255).astype(np.int64),
    "bool[2, 32, 32, 3]": RIGHT > 0.5,
    "float32[2, 32, 32, 3] from 0": RIGHT * 255,
    "float32[2, 32, 32, 3] from -0.99": RIGHT * 2 - 1,
    "float32[2, 32, 32, 3] from nan": np.where(RIGHT > 0.9, np.nan, RIGHT).astype(np.float32),
    "float32[32, 32, 3]": RIGHT[0],
    "float32[2, 32, 32, 4]": np.concatenate([RIGHT, RIGHT[..., :1]], axis=-1),
    "float32[2, 3, 32, 32]": RIGHT.transpose(0, 3, 1, 2),
}


@pytest.fixture(scope="module")
def detectors(tree):
    """Everything that a Python caller may hand images to, by name."""
    boxes = build_detector(Experiment(name="d", model=ModelConfig(**MODEL, anchors=((0.3, 0.3),))), tree)
    names = build_detector(Experiment(name="c", model=ModelConfig(**MODEL, architecture="classifier")), tree)
    lite = type("Lite", (LiteSlots,), {"predict": lambda self, *a, **k: pytest.fail("computed")})()
    options = DecodeConfig()
    return {
        "detect": lambda images: boxes.detect(images, options),
        "score_nodes": lambda images: boxes.score_nodes(images, [0, 1]),
        "classify": names.classify,
        "name": lambda images: names.name(images, options),
        "tflite detect": lambda images: lite.detect(images, options),
        "tflite score_nodes": lambda images: lite.score_nodes(images, [0, 1]),
    }


@pytest.mark.parametrize("what", ["detect", "score_nodes", "classify", "name", "tflite detect", "tflite score_nodes"])
@pytest.mark.parametrize("given", [np.asarray, tf.constant], ids=["array", "tensor"])
def test_what_is_no_image_is_refused_with_what_was_found(detectors, what, given):
    for found, images in WRONG.items():
        with pytest.raises(InputError, match="divide pixels of 8 bits by 255") as caught:
            detectors[what](given(images))
        assert f"images: found {found}" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_floats_from_0_to_1_are_taken_as_before(detectors):
    for images in (RIGHT, tf.constant(RIGHT), RIGHT.astype(np.float64), RIGHT * 1.0005, RIGHT[:0]):
        assert check_images(images) is None
    found = detectors["detect"](RIGHT)
    assert found.boxes.shape[0] == 2
    assert len(detectors["classify"](RIGHT)) == 2


def test_inside_of_a_graph_nothing_is_added():
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)])
    def graph(images):
        check_images(images)
        return tf.shape(images)

    assert {op.type for op in graph.get_concrete_function().graph.get_operations()} <= {
        "Placeholder",
        "Shape",
        "Identity",
    }
    assert graph(np.zeros((1, 2, 2, 3), np.uint8)).numpy().tolist() == [1, 2, 2, 3]


def test_faster_rcnn_is_guarded_by_the_same_lines(tree):
    from detector.architectures.slot_detector import SlotDetector

    stub = SimpleNamespace(predict=lambda *a, **k: pytest.fail("computed"))
    with pytest.raises(InputError):
        SlotDetector.detect(stub, WRONG["uint8[2, 32, 32, 3]"], DecodeConfig())
