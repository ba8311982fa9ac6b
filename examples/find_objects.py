"""Find objects with a model of `wordtree export`, with nothing installed but TensorFlow.

    python examples/find_objects.py model/saved_model PHOTO...

prints one JSON object a line for every object: image, box (relative ymin, xmin, ymax, xmax), wnid, name, path, score.
"""

import json
import sys

import tensorflow as tf


def main(folder, photos):
    model = tf.saved_model.load(folder)
    find = model.signatures["serving_default"]
    for photo in photos:  # or several at once: `images` is a list of encoded files
        with open(photo, "rb") as file:
            found = find(images=tf.constant([file.read()]))
        found = {name: value[0].numpy() for name, value in found.items()}
        for row in range(found["count"]):
            words = {name: found[f"{name}s"][row].decode() for name in ("wnid", "name", "path")}
            box = [round(float(side), 5) for side in found["boxes"][row]]
            print(json.dumps({"image": photo, "box": box, **words, "score": round(float(found["scores"][row]), 5)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
