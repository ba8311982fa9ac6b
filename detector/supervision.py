"""What the training data says of each node: who is boxed, who is only labelled, and what each set was searched for.

The rules for labels-only images may use it (`ancestor`, `federated`). It comes from the manifests and annotation
tables alone; no image is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.dataset import Dataset
from wordtree.tree import WordTree


@dataclass(frozen=True)
class Supervision:
    """Facts about the nodes of a tree.

    Attributes:
        boxed: bool[N] a boxed set has a class at this very node.
        annotated: bool[K, N] data set k was searched for objects of this class; all false for a labels-only set.
    """

    boxed: np.ndarray
    annotated: np.ndarray

    def nearest_boxed(self, tree: WordTree) -> np.ndarray:
        """i32[N]: the nearest ancestor-or-self that is boxed or has a boxed node right below; -1 where there is none.

        An ancestor of a boxed node is trained by its boxes too, since the loss of a box runs along the whole path.
        """
        trained = self.boxed.copy()
        for node in range(len(tree) - 1, -1, -1):
            if trained[node] and tree.parent[node] >= 0:
                trained[tree.parent[node]] = True
        nearest = np.full(len(tree), -1, np.int32)
        for node in range(len(tree)):
            parent = tree.parent[node]
            nearest[node] = node if trained[node] else nearest[parent] if parent >= 0 else -1
        return nearest

    def topmost_annotated(self, tree: WordTree) -> np.ndarray:
        """bool[K, N]: annotated nodes without an annotated node above them; their probabilities add up."""
        above = np.zeros_like(self.annotated)
        for node in range(len(tree)):
            parent = tree.parent[node]
            if parent >= 0:
                above[:, node] = above[:, parent] | self.annotated[:, parent]
        return self.annotated & ~above


def supervision_of(datasets: Sequence[Dataset], tree: WordTree) -> Supervision:
    """From the class lists of the manifests, in the order of the stream's sets.

    Raises:
        TreeError: if a set does not fit the tree.
    """
    annotated = np.zeros((len(datasets), len(tree)), bool)
    for number, dataset in enumerate(datasets):
        if dataset.has_boxes:
            annotated[number, list(dataset.nodes(tree).values())] = True
    return Supervision(np.asarray(annotated.any(axis=0)), annotated)


def no_supervision(tree: WordTree) -> Supervision:
    """Nothing known: every rule falls back on what the network itself says."""
    return Supervision(np.zeros(len(tree), bool), np.zeros((0, len(tree)), bool))
