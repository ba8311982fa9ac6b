"""The types that flow through the detector: `Batch` in, named losses or `Detections` out.

Shape shorthand: B images, M boxes kept per image, L labels kept per image, K detections, N tree nodes.
Masks say what is there; no number has a second meaning, but for node -1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from detector.config import DecodeConfig


class Batch(NamedTuple):
    """One batch of the joint stream.

    Attributes:
        images: f32[B, S, S, 3] RGB in [0, 1].
        boxes: f32[B, M, 4] `rel_yxyx`.
        nodes: i32[B, M] tree node of each box; -1 for a region to ignore (a crowd), neither object nor background.
        box_mask: bool[B, M] which rows of boxes and nodes are there.
        has_boxes: bool[B] whether people looked for boxes; where False only the image labels are known.
        image_nodes: i32[B, L] tree nodes of the image labels.
        image_node_sign: i8[B, L] +1 present, -1 verified absent, 0 no row.
        image_node_weight: f32[B, L] confidence in [0, 1].
        source: i32[B] which data set the image comes from, by its number in the stream.
        content: f32[B, 4] `rel_yxyx` where the picture lies on the canvas; the rest is padding. None: everywhere.
    """

    images: Any
    boxes: Any
    nodes: Any
    box_mask: Any
    has_boxes: Any
    image_nodes: Any
    image_node_sign: Any
    image_node_weight: Any
    source: Any = None
    content: Any = None


class Detections(NamedTuple):
    """What was found, best first.

    Attributes:
        boxes: f32[B, K, 4] `rel_yxyx`.
        nodes: i32[B, K] tree nodes.
        scores: f32[B, K] objectness times the node's absolute probability, in [0, 1].
        mask: bool[B, K] which rows are there.
    """

    boxes: Any
    nodes: Any
    scores: Any
    mask: Any


class Learner(Protocol):
    """What is trained: a network over a tree, and its losses. The trainer knows only this."""

    model: Any
    tree: Any

    def supervise(self, supervision: Any) -> None:
        """Tell the rules for labels-only images what the training data says of each node."""
        ...

    def losses(self, batch: Batch, *, training: bool, images_seen: Any, teacher: Any = None) -> dict[str, Any]:
        """Named loss terms, f32[B] each: one value an image. The mean over images of their sum is trained.

        Args:
            batch: of the joint stream.
            training: whether batch normalisation uses the batch's own statistics.
            images_seen: images up to and with this batch, an integer tensor; what begins or ends after so many steps
                is decided by it.
            teacher: another learner of the same kind, with averaged weights, or None.
        """
        ...


class Finder(Protocol):
    """What finds boxes, trained here or loaded from a file. Scorer and predictor know only this."""

    overlap: float  # above it two boxes are one object, where nothing else is asked for

    def score_nodes(self, images: Any, nodes: Any, content: Any = None) -> tuple[Any, Any]:
        """Boxes f32[B, S, 4] and scores f32[B, S, len(nodes)] for fixed nodes, before suppression.

        Args:
            images: f32[B, S, S, 3].
            nodes: of the tree.
            content: f32[B, 4] where each picture lies, as in `Batch`; None: everywhere.
        """
        ...

    def detect(self, images: Any, options: DecodeConfig, content: Any = None) -> Detections:
        """Detections after the walk down the tree and suppression; `content` as in `score_nodes`."""
        ...


@runtime_checkable
class Localizer(Learner, Finder, Protocol):
    """An architecture that finds boxes.

    Attributes:
        proposals: how many boxes of an image are looked at a second time; 0 where there is one stage.
    """

    proposals: int

    def set_proposals(self, count: int) -> None:
        """Look at so many of them from now on.

        Raises:
            ConfigError: where there is one stage.
        """
        ...

    def predict(self, images: Any, *, training: bool, content: Any = None) -> Any:
        """What every slot says: its boxes, objectness and classes (`detector.region.slots.Predictions`)."""
        ...

    def stages(self) -> dict[str, Callable[[Any], Any]]:
        """For a stopwatch: by name, functions of images that end with a stage each, in the order in which they run."""
        ...


@runtime_checkable
class Classifier(Learner, Protocol):
    """An architecture that names whole images."""

    def classify(self, images: Any) -> Any:
        """Absolute probability of every node: f32[B, h, w, 3] to f32[B, N]; the leaves sum to 1."""
        ...

    def name(self, images: Any, options: DecodeConfig) -> tuple[Any, Any]:
        """Names by the walk of the options: nodes i32[B, T] and P(node) f32[B, T], best first."""
        ...


Detector = Localizer | Classifier
