"""Many ids in little memory: eight bytes for each whole number. Ids that are no whole numbers are kept as text."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.coco import Id, id_text, usual_id

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


def _whole(number: Id) -> int | None:
    """The id as a whole number of 64 bits, None if it is none."""
    if type(number) is not int:
        usual = usual_id(id_text(number))
        if not isinstance(usual, int):
            return None
        number = usual
    return number if _LOWEST <= number <= _HIGHEST else None


class SeenIds:
    """The ids that went by. Whole numbers lie in a few sorted arrays, each at least twice as long as the next."""

    def __init__(self) -> None:
        self._runs: list[NDArray[np.int64]] = []
        self._texts: set[str] = set()

    def repeated(self, ids: Sequence[Id | None]) -> set[int]:
        """Positions of the ids that went by before, here or in an earlier call; None is no id."""
        found: set[int] = set()
        numbers, places = array("q"), array("q")
        for place, given in enumerate(ids):
            if given is None:
                continue
            number = given if type(given) is int and _LOWEST <= given <= _HIGHEST else _whole(given)
            if number is not None:
                numbers.append(number)
                places.append(place)
            elif (text := id_text(given)) in self._texts:
                found.add(place)
            else:
                self._texts.add(text)
        values, first, inverse = np.unique(np.array(numbers, np.int64), return_index=True, return_inverse=True)
        known = np.zeros(len(values), bool)
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, values), len(run) - 1)
            known |= run[at] == values
        again = known[inverse]
        again[np.setdiff1d(np.arange(len(inverse)), first)] = True
        self._add(values[~known])
        return found.union(np.array(places, np.int64)[again].tolist())

    def _add(self, values: NDArray[np.int64]) -> None:
        if len(values):
            self._runs.append(values)
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            last = self._runs.pop()
            self._runs[-1] = np.sort(np.concatenate([self._runs[-1], last]))


class IdSet(Collection[str]):
    """Distinct ids as text, in the order of their numbers; grows by `add`."""

    def __init__(self) -> None:
        self._new = array("q")
        self._numbers: NDArray[np.int64] = np.zeros(0, np.int64)
        self._texts: dict[str, None] = {}

    def add(self, number: Id) -> None:
        """Take in an id."""
        whole = _whole(number)
        if whole is None:
            self._texts[id_text(number)] = None
        else:
            self._new.append(whole)

    def _sorted(self) -> NDArray[np.int64]:
        if self._new:
            self._numbers = np.union1d(self._numbers, np.array(self._new, np.int64))
            self._new = array("q")
        return self._numbers

    def __len__(self) -> int:
        return len(self._sorted()) + len(self._texts)

    def __iter__(self) -> Iterator[str]:
        numbers = self._sorted()
        for start in range(0, len(numbers), 4096):
            yield from map(str, numbers[start : start + 4096].tolist())
        yield from self._texts

    def __contains__(self, text: object) -> bool:
        if not isinstance(text, str):
            return False
        whole = _whole(text)
        if whole is None:
            return text in self._texts
        numbers = self._sorted()
        at = int(np.searchsorted(numbers, whole))
        return at < len(numbers) and int(numbers[at]) == whole

    def missing_from(self, others: IdSet) -> int:
        """How many of these ids the others do not hold."""
        numbers = len(np.setdiff1d(self._sorted(), others._sorted(), assume_unique=True))
        return numbers + len(self._texts.keys() - others._texts.keys())
