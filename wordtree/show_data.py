"""What datasets say about the nodes of a tree: counts of boxes and labels, and a few small images with their boxes.

Images are shown as they are stored, so only small ones are taken, and no more than a budget: the page stays light.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from schemas.errors import LabelError
from wordtree.tree import WordTree

if TYPE_CHECKING:
    from schemas.dataset_files import DatasetFiles
    from schemas.record import ImageRecord

IMAGES_PER_NODE = 8
SMALL_KB = 40
MAX_IMAGE_KB = 150
MAX_PAGE_MB = 5.0
FORMATS = ("jpeg", "png", "gif", "webp", "bmp")
RECORD_OVERHEAD = 4096


@dataclass(frozen=True, slots=True)
class ShownImage:
    """An image to be shown beside the nodes it belongs to.

    Attributes:
        name: dataset and image id.
        format, encoded, width, height: the file as it is, and its size in stored pixels.
        boxes: (node, ymin, xmin, ymax, xmax), relative to the stored pixels.
        labels: nodes that the whole image is labelled with.
    """

    name: str
    format: str
    encoded: bytes
    width: int
    height: int
    boxes: tuple[tuple[int, float, float, float, float], ...] = ()
    labels: tuple[int, ...] = ()

    @property
    def nodes(self) -> tuple[int, ...]:
        """The nodes it belongs to, each once, ascending."""
        return tuple(sorted({*(box[0] for box in self.boxes), *self.labels}))


@dataclass(frozen=True)
class TreeData:
    """What the datasets say.

    Attributes:
        counts: by `boxes`, `labels` and `absent`, numbers per node; what is zero everywhere is left out.
        images: for the page; see `ShownImage`.
        images_per_node: the most that the page shows at once.
        notes: what could not be counted or shown, for people.
    """

    counts: dict[str, list[int]] = field(default_factory=dict)
    images: tuple[ShownImage, ...] = ()
    images_per_node: int = 0
    notes: tuple[str, ...] = ()


def read_tree_data(
    tree: WordTree,
    datasets: Sequence[str],
    *,
    images_per_node: int = 0,
    max_image_kb: int = MAX_IMAGE_KB,
    max_page_mb: float = MAX_PAGE_MB,
) -> TreeData:
    """Count, and choose images: first one of every class, then a second of every class, until the budget is spent.

    Args:
        datasets: directories written by `wordtree convert`.
        images_per_node: the most images of each class.
        max_image_kb: larger files are left out; small ones are preferred.
        max_page_mb: all images together, as they stand in the page.

    Raises:
        InputError, FormatError: a dataset is missing, incomplete or damaged.
    """
    from schemas.dataset_files import open_dataset_files

    opened = [open_dataset_files(path) for path in datasets]
    counts = {"boxes": [0] * len(tree), "labels": [0] * len(tree), "absent": [0] * len(tree)}
    notes: list[str] = []
    places = [class_nodes(tree, files) for files in opened]
    for files, nodes in zip(opened, places, strict=True):
        lost = 0
        for class_id, found in files.class_counts().items():
            node = nodes.get(class_id)
            if node is None:
                lost += found.boxes + found.labels + found.absent
                continue
            counts["boxes"][node] += found.boxes
            counts["labels"][node] += found.labels
            counts["absent"][node] += found.absent
        if lost:
            notes.append(f"{files.path}: {lost:,} annotations are not counted, their classes have no node in this tree")
    images: tuple[ShownImage, ...] = ()
    if images_per_node:
        images, more = _choose_images(opened, places, images_per_node, max_image_kb * 1024, max_page_mb * 2**20)
        notes.extend(more)
    return TreeData(
        {name: numbers for name, numbers in counts.items() if any(numbers)},
        images,
        images_per_node if images else 0,
        tuple(notes),
    )


def class_nodes(tree: WordTree, files: DatasetFiles) -> dict[int, int]:
    """Class id to node: as converted if it was for this tree, else the wnid's own node or its nearest hypernym's.

    Classes that have no node are left out.
    """
    from wordtree.mapping import nearest_node
    from wordtree.wordnet import load_wordnet

    same = files.manifest.tree_digest == tree.digest()
    nodes: dict[int, int] = {}
    for entry in files.manifest.classes:
        if same and entry.node is not None:
            nodes[entry.id] = entry.node
        elif entry.wnid in tree:
            nodes[entry.id] = tree.index(entry.wnid)
        elif entry.wnid in load_wordnet():
            try:
                nodes[entry.id] = nearest_node(tree, load_wordnet(), entry.wnid)[0]
            except LabelError:
                continue
    return nodes


def _choose_images(
    opened: Sequence[DatasetFiles],
    places: Sequence[dict[int, int]],
    images_per_node: int,
    max_bytes: int,
    budget: float,
) -> tuple[tuple[ShownImage, ...], list[str]]:
    notes: list[str] = []
    wanted: list[tuple[int, int, int, object]] = []  # (rank, dataset, class, place): one of each class first
    for number, (files, nodes) in enumerate(zip(opened, places, strict=True)):
        examples = files.small_examples(
            images_per_node, small=SMALL_KB * 1024 + RECORD_OVERHEAD, max_bytes=max_bytes + RECORD_OVERHEAD
        )
        if files.manifest.counts.images_written and not examples:
            notes.append(f"{files.path}: no image is shown, all are larger than {max_bytes // 1024} KB")
        for class_id, found in examples.items():
            if class_id in nodes:
                wanted.extend((rank, number, class_id, place) for rank, place in enumerate(found))
    wanted.sort(key=lambda entry: entry[:3])
    chosen: dict[tuple[int, str], ShownImage] = {}
    have: dict[int, int] = {}
    skipped, spent = 0, 0.0
    for _, number, class_id, place in wanted:
        files, nodes = opened[number], places[number]
        key = (number, place.image_id)  # type: ignore[attr-defined]
        if key in chosen or have.get(nodes[class_id], 0) >= images_per_node:
            continue
        record = files.read(place)  # type: ignore[arg-type]
        size = len(record.encoded or b"") * 4 / 3
        if not record.encoded or record.format not in FORMATS or len(record.encoded) > max_bytes:
            continue
        if spent + size > budget:
            skipped += 1
            continue
        spent += size
        chosen[key] = shown_image(files.path, record, nodes)
        for node in chosen[key].nodes:
            have[node] = have.get(node, 0) + 1
    if skipped:
        notes.append(f"{skipped:,} images are left out, the page holds {budget / 2**20:g} MB of them")
    return tuple(chosen.values()), notes


def shown_image(dataset: str, record: ImageRecord, nodes: dict[int, int]) -> ShownImage:
    """The image with the boxes and labels whose classes have nodes; what is verified absent is no label."""
    return ShownImage(
        name=f"{dataset.rstrip('/').rsplit('/', 1)[-1]}: {record.image_id}",
        format=record.format,
        encoded=record.encoded or b"",
        width=record.width,
        height=record.height,
        boxes=tuple(
            (nodes[box.class_id], *(round(float(side), 4) for side in box.box))  # type: ignore[misc]
            for box in record.boxes
            if box.class_id in nodes
        ),
        labels=_once(nodes[label.class_id] for label in record.labels if label.present and label.class_id in nodes),
    )


def _once(nodes: Iterable[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(nodes))
