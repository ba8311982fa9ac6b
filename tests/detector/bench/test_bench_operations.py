"""Operations: against loops, and of whole detectors against a count by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.architectures import build_detector  # noqa: E402
from detector.bench.operations import count_operations, einsum_products, flops_of  # noqa: E402
from detector.bench.stages import inference  # noqa: E402
from detector.config import DecodeConfig  # noqa: E402
from tests.detector.bench_runs import ONE, TWO  # noqa: E402
from tests.detector.conftest import TREE  # noqa: E402
from tests.detector.network_summary import summarise  # noqa: E402


def multiplications(equation, *shapes):
    """An einsum as a loop over every setting of its letters."""
    terms = equation.split("->")[0].split(",")
    sides = {}
    for term, shape in zip(terms, shapes, strict=True):
        sides |= dict(zip(term, shape, strict=True))
    return sum(1 for _ in itertools.product(*(range(side) for side in sides.values())))


@pytest.mark.parametrize(
    ("equation", "left", "right"),
    [("ij,jk->ik", (2, 3), (3, 4)), ("bhw,bw->bh", (2, 3, 4), (2, 4)), ("abc,dbe->dace", (1, 2, 3), (4, 2, 2))],
)
def test_an_einsum_multiplies_once_for_each_setting_of_its_letters(equation, left, right):
    assert einsum_products(equation, left, right) == multiplications(equation, left, right)


def test_einsums_with_dots_and_of_one_operand():
    assert einsum_products("...ij,...jk->...ik", (7, 5, 2, 3), (7, 5, 3, 4)) == 7 * 5 * 2 * 3 * 4
    assert einsum_products("...ij,jk->...ik", (7, 5, 2, 3), (3, 4)) == 7 * 5 * 2 * 3 * 4
    assert einsum_products("ij->ji", (2, 3), (2, 3)) == 0


def test_convolutions_and_products():
    # out 1 x 5 x 5 x 8, each number a sum over 3 x 3 cells of 4 channels
    assert flops_of("Conv2D", (1, 5, 5, 4), (3, 3, 4, 8), (1, 5, 5, 8), {}) == 2 * 5 * 5 * 8 * 3 * 3 * 4
    assert flops_of("Conv2D", (1, 5, 5, 4), (3, 3, 2, 8), (1, 5, 5, 8), {}) == 2 * 5 * 5 * 8 * 3 * 3 * 2  # two groups
    assert flops_of("DepthwiseConv2dNative", (1, 5, 5, 4), (3, 3, 4, 2), (1, 5, 5, 8), {}) == 2 * 5 * 5 * 8 * 9
    assert flops_of("MatMul", (3, 7), (7, 2), (3, 2), {"transpose_a": False}) == 2 * 3 * 7 * 2
    assert flops_of("MatMul", (7, 3), (7, 2), (3, 2), {"transpose_a": True}) == 2 * 3 * 7 * 2
    assert flops_of("BatchMatMulV2", (5, 3, 7), (5, 7, 2), (5, 3, 2), {"transpose_a": False}) == 2 * 5 * 3 * 7 * 2


def test_shapes_that_are_known_only_when_it_runs_count_and_what_is_not_needed_does_not():
    weights, more = tf.ones([3, 2]), tf.ones([6, 6])

    def compute(images):
        rows = tf.boolean_mask(tf.reshape(images, [-1, 3]), tf.reshape(images[..., 0], [-1]) > 0.5)
        tf.matmul(rows, weights)  # nobody reads it
        half = tf.matmul(rows, weights)
        wide = tf.nn.conv2d(images, tf.ones([3, 3, 3, 2]), 1, "SAME")

        def body(number, total):
            return number + 1, total + tf.reduce_sum(tf.matmul(more, more))

        _, total = tf.while_loop(lambda number, total: number < 3, body, (0, 0.0))
        return [half, wide, total]

    images = [np.zeros((1, 4, 4, 3), np.float32) for _ in range(2)]
    images[0][0, :2, :3] = 1  # six cells
    images[1][0, 0, 0] = 1
    counts = count_operations(compute, images)
    conv = 2 * 16 * 2 * 27
    assert [count.by_kind for count in counts] == [
        {"Conv2D": conv, "MatMul": 2 * 6 * 3 * 2},
        {"Conv2D": conv, "MatMul": 2 * 1 * 3 * 2},
    ]
    assert [count.flops for count in counts] == [conv + 72, conv + 12]
    assert counts[0].not_counted == ["MatMul"]  # of the loop


# Four stages of Darknet-19 at an eighth of the channels: (kernel, in, out, cells of an image of 32 pixels)
BODY = [
    (9, 3, 8, 32 * 32),
    (9, 8, 8, 16 * 16),
    (9, 8, 16, 64), (1, 16, 8, 64), (9, 8, 16, 64),
    (9, 16, 32, 16), (1, 32, 16, 16), (9, 16, 32, 16),
]  # fmt: skip


def test_a_detector_of_one_stage_counts_as_darknet_does():
    detector = build_detector(ONE, TREE)
    rows = summarise(ONE.model, len(TREE))
    (found,) = count_operations(inference(detector, DecodeConfig()), [np.zeros((1, 32, 32, 3), np.float32)])
    assert found.flops == 2 * sum(row.multiply_adds for row in rows)
    head = 32 * 2 * (5 + 4)
    assert found.flops == 2 * (sum(k * i * o * cells for k, i, o, cells in BODY) + head * 16)
    assert detector.model.count_params() == sum(k * i * o + 4 * o for k, i, o, _ in BODY) + head + 2 * (5 + 4)


@pytest.mark.parametrize(("proposals", "side"), [(4, 32), (12, 64)])
def test_a_detector_of_two_stages_costs_by_its_proposals(proposals, side):
    detector = build_detector(TWO, TREE)
    detector.proposals = proposals
    image = np.random.default_rng(0).random((1, side, side, 3)).astype(np.float32)
    (found,) = count_operations(inference(detector, DecodeConfig(threshold=0.0)), [image])
    scale = (side // 32) ** 2
    first = sum(k * i * o * cells for k, i, o, cells in BODY) + (9 * 32 * 16 + 16 * 2 * 5) * 16
    vector = (2 * 2 * 32) * 24 + 24 * 24 + 24 * (5 + 4)  # crops of 4, pooled to 2; two dense layers; the head
    assert found.flops == 2 * (first * scale + vector * proposals)
    norms_and_biases = sum(4 * o for *_, o, _ in BODY) + 16 + 10 + 24 + 24 + 9
    kernels = sum(k * i * o for k, i, o, _ in BODY) + 9 * 32 * 16 + 16 * 10 + vector
    assert detector.model.count_params() == kernels + norms_and_biases
