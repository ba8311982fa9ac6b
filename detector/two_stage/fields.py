"""Where a cell of a map looks: the middle of its receptive field, from the layers' own numbers.

Where a map is halved by an odd kernel, the kernel's middle is a pixel, not the corner between the two pixels that the
cell stands for. So the cells of stride 16 of ResNet look at pixels 0.5, 16.5, ... and those of MobileNet at 15.5,
31.5, ..., half a cell before and behind the cells' own middles, 8, 24, ... (Darknet-19 and VGG, halved by pooling of
2 x 2, look at these.) Anchors and crops take this into account.

A kernel of k cells, d apart, whose first cell lies p cells before its input's first, with a step of s: its first output
looks at c + j ((k - 1) d / 2 - p), and the steps grow from j to j s pixels. p of "same" is what TensorFlow pads before,
max((k - 1) d + 1 - s, 0) / 2 rounded down, where the step divides the size. Branches that meet are averaged.
"""

from __future__ import annotations

from typing import Any

import keras

from detector.two_stage.dilation import layers_before

KERNELS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
POOLS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
WHOLE = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)  # look everywhere


def first_field(model: Any) -> float:
    """The middle of what the first cell of a functional network's last map sees: pixels from the image's edge.

    Args:
        model: from images [B, h, w, 3] to one map.
    """
    found: dict[Any, tuple[float, int] | None] = {}
    for operation in model.operations:
        before = [found[one] for one in layers_before(operation) if found.get(one) is not None]
        if isinstance(operation, keras.layers.InputLayer):
            found[operation] = (0.5, 1)
        elif not before or isinstance(operation, WHOLE):
            found[operation] = None
        else:
            known = [one for one in before if one is not None]
            step = known[0][1]
            found[operation] = _through(operation, sum(centre for centre, _ in known) / len(known), step)
    end = found[model.outputs[0]._keras_history.operation]
    if end is None:
        raise TypeError("this network does not end in a map")
    return end[0]


def _through(operation: Any, centre: float, step: int) -> tuple[float, int]:
    """Centre and step behind one layer."""
    if isinstance(operation, keras.layers.ZeroPadding2D):
        return centre - step * operation.padding[0][0], step
    if isinstance(operation, KERNELS):
        size = (operation.kernel_size[0] - 1) * operation.dilation_rate[0] + 1
        stride = operation.strides[0]
    elif isinstance(operation, POOLS):
        size, stride = operation.pool_size[0], operation.strides[0]
    else:
        return centre, step
    before = max(size - stride, 0) // 2 if operation.padding == "same" else 0
    return centre + step * ((size - 1) / 2 - before), step * stride
