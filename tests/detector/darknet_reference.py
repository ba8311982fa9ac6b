"""darknet's forward pass and boxes once more: NumPy, float64, from its formulas alone; nothing of ours is imported.

A network is a list of sections, each a dict with "kind" and the keys of a .cfg; weights are a list with one dict a
convolution, by darknet's names. Maps are [C, H, W].

    batch normalisation   on a CPU (x - mean) / (sqrt(variance) + 1e-6), on a GPU (x - mean) / sqrt(variance + 1e-5)
    boxes                 as the head gives them; suppression of whole boxes; cut to the photo at last
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

# --- layers ---------------------------------------------------------------------------------------------------------


def forward(sections, weights, image, *, on_cpu):
    """The output of every layer before the [region], f64[C, H, W] each."""
    outputs, here, numbers = [], image.astype(np.float64), iter(weights)
    for section in sections:
        kind = section["kind"]
        if kind == "convolutional":
            here = activated(normalised(convolved(here, section, w := next(numbers)), section, w, on_cpu), section)
        elif kind == "maxpool":
            here = pooled(here, section)
        elif kind == "route":
            groups, part = section.get("groups", 1), section.get("group_id", 0)
            sources = [outputs[k if k >= 0 else len(outputs) + k] for k in section["layers"]]
            here = np.concatenate([np.split(source, groups)[part] for source in sources])
        elif kind == "reorg":
            here = reorganised(here, section["stride"])
        else:
            raise ValueError(kind)
        outputs.append(here)
    return outputs


def steps_of(section):
    """(from row to row, along a row)."""
    stride = section.get("stride", 1)
    return section.get("stride_y", stride), section.get("stride_x", stride)


def convolved(maps, section, w):
    """Without bias. im2col, as darknet does it; `dilation` spreads the kernel and the border."""
    size, d = section["size"], section.get("dilation", 1)
    pad = (size // 2 if section.get("pad") else section.get("padding", 0)) * d
    reach = d * (size - 1) + 1
    padded = np.pad(maps, ((0, 0), (pad, pad), (pad, pad)))
    down, along = steps_of(section)
    rows, columns = (padded.shape[1] - reach) // down + 1, (padded.shape[2] - reach) // along + 1
    out = np.zeros((section["filters"], rows, columns))
    for i in range(size):
        for j in range(size):
            window = padded[
                :, i * d : i * d + (rows - 1) * down + 1 : down, j * d : j * d + (columns - 1) * along + 1 : along
            ]
            out += np.einsum("nc,chw->nhw", w["kernel"][:, :, i, j].astype(np.float64), window)
    return out


def normalised(maps, section, w, on_cpu):
    """With bias."""
    column = {name: w[name].astype(np.float64)[:, None, None] for name in w if name != "kernel"}
    if section.get("batch_normalize"):
        deviation = np.sqrt(column["variances"]) + 1e-6 if on_cpu else np.sqrt(column["variances"] + 1e-5)
        maps = (maps - column["means"]) / deviation * column["scales"]
    return maps + column["biases"]


def activated(maps, section):
    """leaky has the slope 0.1."""
    return {
        "leaky": lambda x: np.where(x > 0, x, 0.1 * x),
        "linear": lambda x: x,
        "relu": lambda x: np.maximum(x, 0),
        "logistic": lambda x: 1 / (1 + np.exp(-x)),
    }[section["activation"]](maps)


def pooled(maps, section):
    """Windows begin at -(padding div 2); what lies outside does not count."""
    size = section["size"]
    padding = section.get("padding", size - 1)
    down, along = steps_of(section)
    rows, columns = (maps.shape[1] + padding - size) // down + 1, (maps.shape[2] + padding - size) // along + 1
    first, far = padding // 2, size + max(down, along)
    padded = np.pad(maps, ((0, 0), (first, far), (first, far)), constant_values=-np.inf)
    out = np.full((maps.shape[0], rows, columns), -np.inf)
    for i in range(size):
        for j in range(size):
            window = padded[:, i : i + (rows - 1) * down + 1 : down, j : j + (columns - 1) * along + 1 : along]
            out = np.maximum(out, window)
    return out


def reorganised(maps, stride):
    """The passthrough, number by number through memory."""
    channels, height, width = maps.shape
    part = channels // stride**2
    k, h, w = np.meshgrid(np.arange(channels), np.arange(height), np.arange(width), indexing="ij")
    row, column = stride * h + (k // part) // stride, stride * w + (k // part) % stride
    out = maps.ravel()[column + width * stride * (row + height * stride * (k % part))]
    return out.reshape(channels * stride**2, height // stride, width // stride)


# --- the head -------------------------------------------------------------------------------------------------------


def region(logits, anchors, classes, parents=None):
    """What the head says: boxes f64[S, 4] (x, y, w, h), objectness f64[S], conditional probabilities f64[S, N]."""
    count = len(anchors)
    _, height, width = logits.shape
    entries = logits.reshape(count, 5 + classes, height, width)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    i, j = np.meshgrid(np.arange(width), np.arange(height))
    side = np.array(anchors, np.float64)[:, :, None, None]
    boxes = np.stack(
        [
            (i + sigmoid(entries[:, 0])) / width,
            (j + sigmoid(entries[:, 1])) / height,
            np.exp(entries[:, 2]) * side[:, 0] / width,
            np.exp(entries[:, 3]) * side[:, 1] / height,
        ],
        axis=-1,
    ).reshape(-1, 4)
    probs = np.empty((classes, count * height * width))
    scores = entries[:, 5:].transpose(1, 0, 2, 3).reshape(classes, -1)
    for group in groups_of(parents or [-1] * classes):
        shifted = np.exp(scores[group] - scores[group].max(axis=0))
        probs[group] = shifted / shifted.sum(axis=0)
    return boxes, sigmoid(entries[:, 4]).reshape(-1), probs.T


def groups_of(parents):
    """Runs of lines with the same parent: lists of nodes."""
    starts = [0, *(k for k in range(1, len(parents)) if parents[k] != parents[k - 1]), len(parents)]
    return [list(range(a, b)) for a, b in pairwise(starts)]


def named(objectness, probs, parents, threshold, hier):
    """Rows (slot, class, score) that darknet's program of 2017 gives, whatever overlaps.

    Of a flat list every class of every box above the threshold. Of a tree one node a box, by a walk that multiplies
    absolute probabilities; its score is the objectness.
    """
    if parents is None:
        slots, classes = np.nonzero(objectness[:, None] * probs > threshold)
        return [(s, c, objectness[s] * probs[s, c]) for s, c in zip(slots, classes, strict=True)]
    return [(s, walked(probs[s], parents, hier)[0], objectness[s]) for s in np.flatnonzero(objectness > threshold)]


def walked(probs, parents, hier):
    """The node where the walk ends, and all products that were compared with `hier`."""
    absolute = probs.copy()
    for node, parent in enumerate(parents):
        if parent >= 0:
            absolute[node] *= absolute[parent]
    node, product, seen = -1, 1.0, []
    while True:
        children = [child for child, parent in enumerate(parents) if parent == node]
        if not children:
            return node, seen
        best = max(children, key=lambda child: absolute[child])
        seen.append(product * absolute[best])
        if seen[-1] <= hier:
            return (best if node < 0 else node), seen  # HEAD: the best root where the walk does not begin
        node, product = best, seen[-1]


def overlaps(boxes):
    """IoU f64[S, S] of boxes (x, y, w, h)."""
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    sides = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    inter = np.where((sides > 0).all(axis=-1), sides.prod(axis=-1), 0)
    areas = boxes[:, 2:].prod(axis=1)
    return inter / (areas[:, None] + areas[None] - inter)


def suppressed(rows, iou, limit, *, per_class):
    """The rows that stay: from the best score down, none overlaps a better one (of its class) that stays."""
    kept = []
    for slot, klass, score in sorted(rows, key=lambda row: -row[2]):
        if all(iou[slot, other] <= limit or (per_class and klass != there) for other, there, _ in kept):
            kept.append((slot, klass, score))
    return kept


# --- photos ---------------------------------------------------------------------------------------------------------


def resized(image, height, width):
    """resize_image of f32[C, h, w]: bilinear, corners on corners, columns first, in float32 as there."""
    image = image.astype(np.float32)
    part = np.stack([_line(image, c, width, 2) for c in range(width)], axis=2)
    rows = image.shape[1]
    out = []
    for r in range(height):
        at = np.float32(r) * (np.float32(rows - 1) / np.float32(height - 1))
        low = int(at)
        line = (1 - (at - np.float32(low))) * part[:, low]
        out.append(line if r == height - 1 or rows == 1 else line + (at - np.float32(low)) * part[:, low + 1])
    return np.stack(out, axis=1)


def _line(image, c, width, axis):
    count = image.shape[axis]
    if c == width - 1 or count == 1:
        return image[:, :, count - 1]
    at = np.float32(c) * (np.float32(count - 1) / np.float32(width - 1))
    low = int(at)
    share = at - np.float32(low)
    return (1 - share) * image[:, :, low] + share * image[:, :, low + 1]


def letterboxed(image, height, width):
    """letterbox_image: the photo on a grey canvas, and (scale, shift) of x and y in shares of the canvas."""
    rows, columns = image.shape[1:]
    if width / columns < height / rows:
        wide, high = width, rows * width // columns
    else:
        wide, high = columns * height // rows, height
    canvas = np.full((3, height, width), 0.5, np.float32)
    top, left = (height - high) // 2, (width - wide) // 2
    canvas[:, top : top + high, left : left + wide] = resized(image, high, wide)
    scale = np.array([wide / width, high / height])
    return canvas, scale, (1 - scale) / 2


def on_photo(boxes, scale, shift):
    """Boxes (x, y, w, h) of the canvas as (ymin, xmin, ymax, xmax) of the photo, cut to it."""
    centre, half = (boxes[:, :2] - shift) / scale, boxes[:, 2:] / scale / 2
    return np.concatenate([centre - half, centre + half], axis=1)[:, [1, 0, 3, 2]].clip(0, 1)
