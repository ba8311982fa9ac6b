"""What every metric is given: what is true of a dataset, what was found on it, and what the training data had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from detector.metrics.chains import Chains
from detector.metrics.columns import Found, Truths, was_looked_for
from detector.truth import Truth
from schemas.manifest import ClassEntry
from wordtree.tree import WordTree


@dataclass(frozen=True)
class Evidence:
    """What is true and what was found; classes are the dataset's class ids, images are numbers from 0.

    Attributes:
        tree: the classes.
        classes: of the dataset.
        nodes: class id to node, in the order of `classes`.
        truth: the boxes of the dataset, and what was looked for.
        labels: verified image labels (image number, node, present).
        found: detections, suppressed within each class.
        above: detections at nodes above the classes (their `klass` is a node); None where no detector can be asked.
        best: the best box of each class in images that hold it; None to take it from `found`.
        proposals: boxes whatever their class; None to take `found`.
        chains: names of proposals that lie on truths, whose classes are nodes; None where no detector can be asked.
    """

    tree: WordTree
    classes: Sequence[ClassEntry]
    nodes: Mapping[int, int]
    truth: Truth
    labels: list[tuple[int, int, bool]]
    found: Found
    above: Found | None = None
    best: Found | None = None
    proposals: Found | None = None
    chains: Chains | None = None

    @property
    def truths(self) -> Truths:
        """The boxes."""
        return self.truth.truths

    @cached_property
    def judged(self) -> Found:
        """Detections that can be right or wrong: in a federated dataset those of classes that were looked for."""
        if self.truth.federated is None:
            return self.found
        return self.found.take(was_looked_for(self.truths, self.found, self.truth.federated.absent))

    @property
    def ids(self) -> list[int]:
        """The class ids, in the order of `classes`."""
        return list(self.nodes)

    @property
    def truths_at_nodes(self) -> Truths:
        """The boxes of the classes, by node."""
        truths = self.truths.take(np.isin(self.truths.klass, self.ids))
        return replace(truths, klass=np.array([self.nodes[klass] for klass in truths.klass.tolist()], np.int64))

    @property
    def found_at_nodes(self) -> Found:
        """Detections by node; of classes that share a node only the first keeps its own, which are the same."""
        first: dict[int, int] = {}
        for klass, node in self.nodes.items():
            first.setdefault(node, klass)
        found = self.found.take(np.isin(self.found.klass, list(first.values())))
        return replace(found, klass=np.array([self.nodes[klass] for klass in found.klass.tolist()], np.int64))
