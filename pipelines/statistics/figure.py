"""A figure: something counted over rows in any order, in pieces, by any number of workers.

Laws, which the tests hold every figure to:

    merge(a, b) == merge(b, a)        merge(a, merge(b, c)) == merge(merge(a, b), c)        merge(a, zero()) == a
    add(state, batch) == merge(state, add(zero(), batch))
    result(add(... all batches ...)) is what a plain loop over the rows counts

States hold whole numbers and sets of hashes, never sums of floats: those would differ with the order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

Batch = TypeVar("Batch")
State = TypeVar("State")
Result = TypeVar("Result")


class Figure(ABC, Generic[Batch, State, Result]):
    """One figure; states are values: `add` and `merge` leave their arguments as they are."""

    @abstractmethod
    def zero(self) -> State:
        """The state before any row."""

    @abstractmethod
    def add(self, state: State, batch: Batch) -> State:
        """The state after the rows of a batch."""

    @abstractmethod
    def merge(self, left: State, right: State) -> State:
        """The state after the rows of both."""

    @abstractmethod
    def result(self, state: State) -> Result:
        """What is told of it."""


class Figures(Figure[Any, dict[str, Any], dict[str, Any]]):
    """Several figures over the same batches, by name."""

    def __init__(self, figures: Mapping[str, Figure[Any, Any, Any]]) -> None:
        self.figures = dict(figures)

    def zero(self) -> dict[str, Any]:
        return {name: figure.zero() for name, figure in self.figures.items()}

    def add(self, state: dict[str, Any], batch: Any) -> dict[str, Any]:
        return {name: figure.add(state[name], batch) for name, figure in self.figures.items()}

    def merge(self, left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
        return {name: figure.merge(left[name], right[name]) for name, figure in self.figures.items()}

    def result(self, state: dict[str, Any]) -> dict[str, Any]:
        return {name: figure.result(state[name]) for name, figure in self.figures.items()}
