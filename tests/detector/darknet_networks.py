"""Random small networks in darknet's files: layers of every kind that is read, in odd orders and at odd sizes.

Batch normalisation has statistics like those of a trained network, some channels nearly constant: there the formulas of
a CPU and of a GPU differ most. Nothing of ours is imported; `darknet_reference` computes what such a network gives.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from PIL import Image

from tests.detector import darknet_reference as reference

SIDES = (32, 40, 48, 52, 60, 64, 75, 80, 96, 100)


class Network(NamedTuple):
    """What `write` puts into files.

    Attributes:
        canvas: (height, width) of the input.
        sections: before the [region], as `darknet_reference` takes them.
        weights: a dict a convolution.
        anchors, classes: of the [region].
        parents: of the tree's nodes; None for a flat list.
    """

    canvas: tuple[int, int]
    sections: list
    weights: list
    anchors: list
    classes: int
    parents: list | None


class Builder:
    """A network that grows layer by layer, with what each layer gives for one photo."""

    def __init__(self, rng, image):
        self.rng, self.image = rng, image
        self.sections, self.weights, self.outputs = [], [], []

    @property
    def here(self):
        return self.outputs[-1] if self.outputs else self.image.astype(np.float64)

    def add(self, section):
        """Append a layer; False if nothing would be left of the map."""
        try:
            weights = [self.kernel(section)] if section["kind"] == "convolutional" else []
            out = self.routed(section) if section["kind"] == "route" else self.computed(section, weights)
        except ValueError:
            return False
        if min(out.shape) < 1:
            return False
        self.sections.append(section)
        self.weights += weights
        self.outputs.append(out)
        return True

    def computed(self, section, weights):
        return reference.forward([section], weights, self.here, on_cpu=True)[0]

    def routed(self, section):
        sources = [self.outputs[k if k >= 0 else len(self.outputs) + k] for k in section["layers"]]
        parts = [np.split(source, section.get("groups", 1))[section.get("group_id", 0)] for source in sources]
        return np.concatenate(parts)

    def kernel(self, section):
        """Weights with which the layer's output has a mean near 0 and a deviation near 1."""
        rng, channels, filters, size = self.rng, self.here.shape[0], section["filters"], section["size"]
        kernel = rng.normal(size=(filters, channels, size, size)) * np.sqrt(2 / (channels * size * size))
        w = {"biases": rng.normal(size=filters) * 0.3}
        if section.get("batch_normalize"):
            quiet = rng.random(filters) < 0.15
            kernel[quiet] *= 3e-4  # variances of 1e-8 to 1e-7
            raw = reference.convolved(self.here, section, {"kernel": kernel})
            w["scales"] = rng.uniform(0.5, 1.5, filters) * rng.choice([-1, 1, 1, 1], filters)
            w["means"] = raw.mean(axis=(1, 2)) * rng.uniform(0.8, 1.2, filters)
            w["variances"] = np.maximum(raw.var(axis=(1, 2)) * rng.uniform(0.6, 1.6, filters), 1e-9)
        w["kernel"] = kernel
        return {name: value.astype(np.float32) for name, value in w.items()}

    def convolution(self, filters=None, **keys):
        rng = self.rng
        size = int(rng.choice([1, 3, 3, 3, 5]))
        section = {
            "kind": "convolutional",
            "batch_normalize": int(rng.random() < 0.8),
            "filters": filters or int(rng.choice([4, 6, 8, 12])),
            "size": size,
            "stride": 1,
            "pad": 1,
            "activation": str(rng.choice(["leaky", "leaky", "leaky", "relu", "linear", "logistic"])),
        }
        odd = rng.random()
        if odd < 0.1:
            section["stride"] = 2
        elif odd < 0.15:
            section |= {"stride_y": 2, "stride_x": 1}
        elif odd < 0.25 and size > 1:
            section["dilation"] = 2
        elif odd < 0.35:
            del section["pad"]
            section["padding"] = int(rng.integers(0, 2))
        return self.add({**section, **keys})

    def pool(self):
        size, stride, padding = [(2, 2, None), (2, 2, None), (2, 1, None), (3, 2, None), (2, 2, 0), (3, 1, 1)][
            self.rng.integers(6)
        ]
        section = {"kind": "maxpool", "size": size, "stride": stride}
        return self.add(section if padding is None else {**section, "padding": padding})

    def branch(self):
        """A route of one of four kinds, if the maps allow it."""
        rng, count = self.rng, len(self.outputs)
        kind = rng.integers(4)
        same = [k for k in range(count - 1) if self.outputs[k].shape[1:] == self.here.shape[1:]]
        double = [k for k in range(count - 1) if self.outputs[k].shape[1:] == tuple(2 * s for s in self.here.shape[1:])]
        if kind == 0 and same:
            self.add({"kind": "route", "layers": [-1, int(rng.choice(same))]})
        elif kind == 1 and double:
            back = self.outputs[-1]
            self.add({"kind": "route", "layers": [int(rng.choice(double))]})
            self.convolution(filters=8, size=1, stride=1, pad=1)
            if self.outputs[-1].shape[1:] == tuple(2 * s for s in back.shape[1:]):
                self.add({"kind": "reorg", "stride": 2})
                self.add({"kind": "route", "layers": [-1, count - 1 - len(self.outputs)]})
        elif kind == 2 and self.here.shape[0] % 2 == 0 and count:
            self.add({"kind": "route", "layers": [-1], "groups": 2, "group_id": int(rng.integers(2))})
        elif count > 1:  # a layer that leads nowhere
            self.add({"kind": "route", "layers": [-2]})


def random_network(seed):
    """A network, its photo u8[h, w, 3] and the random numbers that are left."""
    rng = np.random.default_rng(seed)
    canvas = (int(rng.choice(SIDES)), int(rng.choice(SIDES)))
    photo = random_photo(rng)
    builder = Builder(rng, reference.resized(photo.transpose(2, 0, 1).astype(np.float32) / 255, *canvas))
    for _ in range(int(rng.integers(3, 7))):
        builder.convolution()
        if max(builder.here.shape[1:]) > 8 or rng.random() < 0.2:
            builder.pool()
        if rng.random() < 0.4:
            builder.branch()
    while min(builder.here.shape[1:]) > 12:
        builder.add({"kind": "maxpool", "size": 2, "stride": 2})
    parents = random_tree(rng) if rng.random() < 0.4 else None
    classes = len(parents) if parents else int(rng.integers(1, 7))
    count = int(rng.integers(1, 5))
    rows, columns = builder.here.shape[1:]
    sides = rng.uniform(0.08, 0.9, size=(count, 2)) * [columns, rows]
    filters = count * (5 + classes)
    builder.add({"kind": "convolutional", "filters": filters, "size": 1, "stride": 1, "pad": 1, "activation": "linear"})
    head = builder.weights[-1]
    entries = head["biases"].reshape(count, 5 + classes)  # a view: few boxes are likely
    entries[:, 4] = rng.uniform(-2.5, 0, count)
    anchors = [[float(f"{side:.4f}") for side in pair] for pair in sides]
    return Network(canvas, builder.sections, builder.weights, anchors, classes, parents), photo, rng


def random_photo(rng):
    """Smooth colours, of any proportions."""
    height, width = int(rng.integers(20, 90)), int(rng.integers(20, 90))
    small = rng.integers(0, 256, (int(rng.integers(2, 7)), int(rng.integers(2, 7)), 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def random_tree(rng):
    """Parents of nodes: siblings side by side, parents first."""
    parents = [-1] * int(rng.integers(1, 4))
    for node in range(int(rng.integers(1, 5))):
        if node < len(parents):
            parents += [node] * int(rng.integers(1, 4))
    return parents


def write(network, photo, folder, name="net"):
    """NAME.cfg, NAME.weights, NAME.png, and NAME.tree where there is one."""
    (folder / f"{name}.cfg").write_text(cfg_text(network, f"{name}.tree"))
    with open(folder / f"{name}.weights", "wb") as file:
        file.write(struct.pack("<iiiQ", 0, 2, 0, 64))
        for w in network.weights:
            for key in ("biases", "scales", "means", "variances", "kernel"):
                file.write(w[key].astype("<f4").tobytes() if key in w else b"")
    if network.parents:
        rows = [f"n{node:08d} {parent}\n" for node, parent in enumerate(network.parents)]
        (folder / f"{name}.tree").write_text("".join(rows))
    Image.fromarray(photo).save(folder / f"{name}.png")


def cfg_text(network, tree):
    """The .cfg."""
    height, width = network.canvas
    parts = [f"[net]\nwidth={width}\nheight={height}\nchannels=3\n"]
    for section in network.sections:
        keys = {**section, "layers": ",".join(map(str, section["layers"]))} if "layers" in section else section
        lines = [f"{key}={value}\n" for key, value in keys.items() if key != "kind"]
        parts.append(f"[{section['kind']}]\n" + "".join(lines))
    anchors = ", ".join(f"{side:.4f}" for pair in network.anchors for side in pair)
    parts.append(
        f"[region]\nanchors={anchors}\nnum={len(network.anchors)}\nclasses={network.classes}\nsoftmax=1\n"
        + (f"tree={tree}\n" if network.parents else "")
    )
    return "\n".join(parts)
