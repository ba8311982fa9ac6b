"""A dataset in COCO's form, of any size: JPEGs of 640 x 480 pixels and about 97 KiB, seven boxes each.

The files come from a few bodies of noise, from coarse to fine, and each has a comment segment of its own: all differ,
each takes its own place on the disk, and reading, hashing and decoding them is the work that real photos give. The
first N images of a larger set are those of a smaller one of the same seed.

    python benchmarks/coco_set.py FOLDER --images 4000

makes FOLDER/images/000000000001.jpg ... and FOLDER/instances.json; 40,000 images take 4 GB.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, CLASSES, BODIES = 640, 480, 80, 16
BOXES = 7  # per image; COCO has 7.3
NOISE_WIDTH, QUALITY = 160, 80  # together about 97 KiB


def jpeg_bodies(rng: random.Random, count: int = BODIES) -> list[bytes]:
    """JPEGs of noise enlarged from different sizes, so that their sizes differ as those of photos do."""
    from PIL import Image

    bodies: list[bytes] = []
    for number in range(count):
        width = round(NOISE_WIDTH * (0.5 + 0.8 * number / max(count - 1, 1)))
        height = width * HEIGHT // WIDTH
        noise = Image.frombytes("RGB", (width, height), rng.randbytes(width * height * 3)).resize((WIDTH, HEIGHT))
        stream = io.BytesIO()
        noise.save(stream, "JPEG", quality=QUALITY)
        bodies.append(stream.getvalue())
    return bodies


def with_comment(jpeg: bytes, comment: bytes) -> bytes:
    """The same picture with a comment segment (marker FF FE) behind the start of image."""
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def make_coco_set(folder: Path, images: int, boxes: int = BOXES, seed: int = 0, points: int = 0) -> int:
    """Write a dataset; the bytes of all its images.

    Args:
        folder: to make.
        images: how many.
        boxes: per image.
        seed: of pictures and boxes.
        points: corners of each object's polygon; 0 leaves `segmentation` out.
    """
    bodies, rng = jpeg_bodies(random.Random(seed)), random.Random(f"boxes {seed}")
    (folder / "images").mkdir(parents=True)
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    total = 0
    for number in range(1, images + 1):
        data = with_comment(bodies[number % len(bodies)], b"%010d" % number)
        name = f"{number:012d}.jpg"
        (folder / "images" / name).write_bytes(data)
        total += len(data)
        entries.append({"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH})
        for _ in range(boxes):
            x, y, w, h = rng.uniform(0, 500), rng.uniform(0, 400), rng.uniform(1, 139), rng.uniform(1, 79)
            annotation: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": rng.randint(1, CLASSES),
                "bbox": [round(v, 2) for v in (x, y, w, h)],
                "area": round(w * h, 4),
                "iscrowd": 0,
            }
            if points:
                inside = ((x + w * rng.random(), y + h * rng.random()) for _ in range(points))
                annotation["segmentation"] = [[round(v, 2) for point in inside for v in point]]
            annotations.append(annotation)
    categories = [{"id": n, "name": f"class {n}"} for n in range(1, CLASSES + 1)]
    instances = {"images": entries, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(instances))
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="to make")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--boxes", type=int, default=BOXES, help="per image (default: %(default)s; COCO has 7.3)")
    parser.add_argument("--points", type=int, default=0, help="of a polygon for each box (default: no polygons)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    total = make_coco_set(args.folder, args.images, args.boxes, args.seed, args.points)
    facts = {
        "images": args.images,
        "megabytes": round(total / 1e6, 1),
        "kib_per_image": round(total / args.images / 1024, 1),
    }
    print(json.dumps({"folder": str(args.folder), **facts}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
