"""COCO instances JSON from scenes: images, annotations with polygons or run lengths, categories.

cocodataset.org/#format-data. Boxes are [x, y, width, height] in pixels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detector.demo.kinds import Concept
from detector.demo.outlines import area, extent
from detector.demo.scenes import Crowd, Figure


class CocoWriter:
    """Collects one instances file. Ids of images, annotations and categories count from 1.

    Args:
        description: of the data set.
        concepts: the categories, in order.
    """

    def __init__(self, description: str, concepts: Sequence[Concept]) -> None:
        self.description = description
        self.category_ids = {concept: number for number, concept in enumerate(concepts, start=1)}
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add_image(self, name: str, image: Image.Image) -> int:
        """A further image; returns its id."""
        self.images.append(
            {
                "id": len(self.images) + 1,
                "file_name": name,
                "width": image.width,
                "height": image.height,
                "license": 1,
                "date_captured": "",
            }
        )
        return len(self.images)

    def add_figure(self, image_id: int, figure: Figure, concept: Concept) -> int:
        """The box and the polygon of one figure; returns the annotation's id."""
        polygon = [round(float(v), 2) for v in figure.points.ravel()]
        return self._add(image_id, concept, extent(figure.points), [polygon], area(figure.points), crowd=False)

    def add_crowd(self, image_id: int, crowd: Crowd) -> int:
        """One box around all figures of a crowd, and run lengths of the pixels that they cover."""
        covered = np.max([figure.mask for figure in crowd.figures], axis=0) >= 0.5
        box = extent(np.concatenate([figure.points for figure in crowd.figures]))
        segmentation = {"counts": run_lengths(covered), "size": list(covered.shape)}
        return self._add(image_id, crowd.kind.coarse, box, segmentation, float(covered.sum()), crowd=True)

    def add_box(self, image_id: int, xywh: tuple[float, float, float, float], concept: Concept) -> int:
        """A box without a figure: a mistake made on purpose."""
        x, y, w, h = xywh
        return self._add(image_id, concept, xywh, [[x, y, x + w, y, x + w, y + h, x, y + h]], w * h, crowd=False)

    def widen(self, annotation_id: int, *, beyond: float) -> None:
        """Pull a box's right edge to x = `beyond`: a slip of the hand, made on purpose."""
        box = self.annotations[annotation_id - 1]["bbox"]
        box[2] = round(beyond - box[0], 2)

    def _add(
        self, image_id: int, concept: Concept, box: Sequence[float], segmentation: Any, size: float, *, crowd: bool
    ) -> int:
        self.annotations.append(
            {
                "id": len(self.annotations) + 1,
                "image_id": image_id,
                "category_id": self.category_ids[concept],
                "bbox": [round(v, 2) for v in box],
                "area": round(size, 2),
                "iscrowd": int(crowd),
                "segmentation": segmentation,
            }
        )
        return len(self.annotations)

    def to_json(self) -> str:
        """The file's text."""
        categories = [
            {"id": number, "name": concept.name, "supercategory": "shape"}
            for concept, number in self.category_ids.items()
        ]
        return json.dumps(
            {
                "info": {
                    "description": self.description,
                    "url": "",
                    "version": "1.0",
                    "year": 2025,
                    "contributor": "",
                    "date_created": "",
                },
                "licenses": [{"id": 1, "name": "CC0 1.0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}],
                "images": self.images,
                "annotations": self.annotations,
                "categories": categories,
            }
        )

    def write(self, path: Path) -> None:
        """Write the file, and its folder if need be."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_json())


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """COCO's uncompressed RLE: lengths of runs of 0, 1, 0, ... down the columns; the first may be 0.

    Law: they sum to the number of pixels, every second one to the number that is set.
    """
    flat = np.concatenate([[False], mask.ravel(order="F")]).astype(np.int8)
    changes = np.flatnonzero(np.diff(flat))
    return [int(v) for v in np.diff(np.concatenate([[0], changes, [mask.size]]))]
