"""Find objects with a TFLite file of `wordtree export`: LiteRT for the network, NumPy and Pillow for the rest.

    pip install ai-edge-litert numpy pillow
    python examples/find_objects_lite.py model model_int8.tflite PHOTO...

prints one JSON object a line for every object. Boxes, walk and suppression follow the model's export.json, for the walk
"thesis" and suppression "any". Pillow scales a photo by another law than `wordtree detect`, so that scores differ a
little where a photo does not have the size of the network's input.
"""

import json
import pathlib
import sys

import numpy as np
from PIL import Image

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:  # the one inside of TensorFlow
    from tensorflow.lite.python.interpreter import Interpreter


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def read_tree(folder):
    """(wnid, parent) of every node, and its name; siblings stand side by side, parents before their children."""
    rows = [line.split() for line in (folder / "tree/wordtree.tree").read_text().splitlines()]
    names = (folder / "tree/wordtree.names").read_text().splitlines()
    return [row[0] for row in rows], [int(row[1]) for row in rows], names


def run(interpreter, pixels):
    """The raw head of one image f32[H, W, 3]: xy, wh, object, classes, as floats."""
    runner = interpreter.get_signature_runner("serving_default")
    detail, outputs = runner.get_input_details()["images"], runner.get_output_details()
    if detail["dtype"] != np.float32:
        scale, zero = detail["quantization"]
        pixels = np.clip(np.round(pixels / scale) + zero, -128, 127)
    raw = runner(images=pixels[None].astype(detail["dtype"]))
    for name, value in raw.items():
        if value.dtype != np.float32:
            scale, zero = outputs[name]["quantization"]
            raw[name] = (value.astype(np.float32) - zero) * scale
    return {name: value[0] for name, value in raw.items()}


def boxes_of(raw, priors):
    """f32[S, 4] ymin, xmin, ymax, xmax of the canvas: centres in their cells, sizes as multiples of the priors."""
    height, width = raw["object"].shape[:2]
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    cells = np.stack([x, y], axis=-1)[:, :, None]
    centre = (sigmoid(raw["xy"]) + cells) / [width, height]
    half = np.exp(raw["wh"]) * priors / [width, height] / 2
    return np.concatenate([centre - half, centre + half], axis=-1).reshape(-1, 4)[:, [1, 0, 3, 2]]


def walk(logits, parents, threshold):
    """The node of one box and its probability: down to the best child while it is likely enough."""
    node, probability = -1, 1.0
    while children := [child for child, parent in enumerate(parents) if parent == node]:
        group = np.exp(logits[children] - logits[children].max())
        best = int(group.argmax())
        likely = probability * group[best] / group.sum()
        if node >= 0 and likely <= threshold:
            break
        node, probability = children[best], likely
        if likely <= threshold:
            break
    return node, probability


def overlap(box, boxes):
    """IoU of one box with others."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    inter = np.prod(np.maximum(high - low, 0), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - inter
    return np.where(union > 0, inter / np.maximum(union, 1e-12), 0)


def suppressed(found, iou):
    """(score, node, box) rows without those that lie on a better one, best first."""
    found, kept = sorted(found, key=lambda row: -row[0]), []
    for row in found:
        if not kept or overlap(row[2], np.array([other[2] for other in kept])).max() <= iou:
            kept.append(row)
    return kept


def letterboxed(image, canvas):
    """The whole image in the middle of a grey canvas, f32[H, W, 3]; and its scale and shift as (y, x)."""
    height, width = canvas
    factor = min(height / image.height, width / image.width)
    size = max(round(image.height * factor), 1), max(round(image.width * factor), 1)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    pixels = np.full((height, width, 3), 0.5, np.float32)
    small = image.resize(size[::-1], Image.Resampling.BILINEAR)
    pixels[top : top + size[0], left : left + size[1]] = np.asarray(small, np.float32) / 255
    return pixels, np.array([size[0] / height, size[1] / width]), np.array([top / height, left / width])


def main(folder, name, photos):
    """One JSON line an object."""
    folder = pathlib.Path(folder)
    about = json.loads((folder / "export.json").read_text())
    options, (wnids, parents, names) = about["decode"], read_tree(folder)
    interpreter = Interpreter(model_path=str(folder / pathlib.Path(name).name))
    if "serving_default" not in interpreter.get_signature_list():
        sys.exit(f"{name} is a network of two stages; docs/export.md shows how to run it")
    for photo in photos:
        pixels, scale, shift = letterboxed(Image.open(photo).convert("RGB"), about["canvas"])
        raw = run(interpreter, pixels)
        boxes = boxes_of(raw, np.array(about["priors"]))
        objectness, logits = sigmoid(raw["object"]).reshape(-1), raw["classes"].reshape(len(boxes), -1)
        found = []
        for slot in np.flatnonzero(objectness > options["threshold"]):
            node, probability = walk(logits[slot], parents, options["walk_threshold"])
            if objectness[slot] * probability > options["threshold"]:
                found.append((float(objectness[slot] * probability), node, boxes[slot]))
        for score, node, box in suppressed(found, options["iou_threshold"])[: options["limit"]]:
            box = np.clip((box.reshape(2, 2) - shift) / scale, 0, 1)
            if (box[1] > box[0]).all():  # not all in the grey around the photo
                row = {"image": photo, "box": box.reshape(4).round(6).tolist()}
                print(json.dumps({**row, "wnid": wnids[node], "name": names[node], "score": round(score, 6)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
