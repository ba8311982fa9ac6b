"""Which things belong together, by pairs: union-find, with pairs taken in bulk."""

from __future__ import annotations

import numpy as np

_HELD = 1 << 20  # pairs before they are worked in


class Clusters:
    """Clusters of n things; the root of a cluster is its smallest member, whatever the order of the pairs."""

    def __init__(self, number: int) -> None:
        self._parent = np.arange(number)
        self._waiting: list[np.ndarray] = []
        self._held = 0

    def link(self, first: np.ndarray, second: np.ndarray) -> None:
        """Join the clusters of first[k] and second[k], for all k."""
        self._waiting.append(np.stack([first, second], axis=1))
        self._held += len(first)
        if self._held > _HELD:
            self._join()

    def roots(self) -> np.ndarray:
        """The root of each thing."""
        self._join()
        return self._flat().copy()

    def _flat(self) -> np.ndarray:
        """Every thing's parent made its root."""
        while not np.array_equal(above := self._parent[self._parent], self._parent):
            self._parent = above
        return self._parent

    def _join(self) -> None:
        if not self._waiting:
            return
        pairs = self._flat()[np.concatenate(self._waiting)]
        self._waiting, self._held = [], 0
        pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
        for low, high in pairs.tolist():
            first, second = self._find(low), self._find(high)
            if first != second:
                self._parent[max(first, second)] = min(first, second)

    def _find(self, number: int) -> int:
        parent = self._parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = int(parent[number])
        return number
