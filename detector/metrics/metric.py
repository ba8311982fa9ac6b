"""A metric: its key, what it gives for each class, how that is called, and the function. One a file.

Every module of `detector.metrics` that has `METRICS` is found by `all_metrics`; tables, CSV, JSON, the report and the
choice of a run's best checkpoint follow from what is declared there.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import detector.metrics
from detector.metrics.evidence import Evidence

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Figure:
    """A number in [0, 1] of each class, None where it has no truth that counts.

    Attributes:
        key: in the rows of classes.
        title: in tables of text.
        name: in the report; the title if "".
        mean_key: of its means over classes in the summary; the key if "".
        usual: stands in every row, measured or not.
        late: stands behind all others in JSON and CSV.
        has_mean: whether the summary has its means.
        bars: whether the report draws its means by group.
    """

    key: str
    title: str
    name: str = ""
    mean_key: str = ""
    usual: bool = False
    late: bool = False
    has_mean: bool = True
    bars: bool = True

    @property
    def summary_key(self) -> str:
        """Of its means."""
        return self.mean_key or self.key

    @property
    def page_name(self) -> str:
        """In the report."""
        return self.name or self.title


@dataclass(frozen=True)
class Metric:
    """What `--metrics` can ask for.

    Attributes:
        key: its name.
        place: the order in which metrics stand.
        figures: of each class.
        measure: fills the figures into the rows of the classes, and gives further tables for the JSON by their keys.
        in_training: whether evaluations on the way have it, so that it can choose the best checkpoint.
        fits: whether it is asked by default of a dataset of this source ("coco", "openimages", ...).
    """

    key: str
    place: int
    figures: tuple[Figure, ...]
    measure: Callable[[Evidence, Rows], dict[str, Any]]
    in_training: bool = False
    fits: Callable[[str], bool] = lambda source: True


def all_metrics() -> dict[str, Metric]:
    """Every metric by its key, in order."""
    modules = [importlib.import_module(f"{detector.metrics.__name__}.{m.name}") for m in _modules()]
    found = [metric for module in modules for metric in getattr(module, "METRICS", ())]
    return {metric.key: metric for metric in sorted(found, key=lambda metric: (metric.place, metric.key))}


def all_figures() -> list[Figure]:
    """The figures of all metrics, in the order of JSON and CSV."""
    figures = [figure for metric in all_metrics().values() for figure in metric.figures]
    return sorted(figures, key=lambda figure: figure.late)


def _modules() -> list[pkgutil.ModuleInfo]:
    return list(pkgutil.iter_modules(detector.metrics.__path__))
