"""Rule R3 made checkable: rows may be shuffled, encoded images may not.

Every step that reads images is a `PixelDoFn`. `shuffled_pixels` walks a pipeline's graph and names each step that
groups or reshuffles what comes out of one, however far downstream.
"""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from apache_beam.transforms import core, util

SHUFFLES = (
    beam.GroupByKey,
    beam.CoGroupByKey,
    beam.Reshuffle,
    core.CombineGlobally,
    core.CombinePerKey,
    util.ReshufflePerKey,
)


class PixelDoFn(beam.DoFn):
    """A step that reads images. What it puts out counts as pixels and must not be shuffled."""


class _Walker(PipelineVisitor):
    def __init__(self) -> None:
        self.pixels: set[Any] = set()
        self.violations: list[str] = []
        self.pixel_steps: list[str] = []

    def _look(self, node: AppliedPTransform) -> None:
        carries = any(value in self.pixels for value in (*node.inputs, *(s.pvalue for s in node.side_inputs)))
        if carries and isinstance(node.transform, SHUFFLES):
            self.violations.append(node.full_label)

    def enter_composite_transform(self, transform_node: AppliedPTransform) -> None:
        self._look(transform_node)

    def visit_transform(self, transform_node: AppliedPTransform) -> None:
        self._look(transform_node)
        reads = isinstance(getattr(transform_node.transform, "fn", None), PixelDoFn)
        if reads:
            self.pixel_steps.append(transform_node.full_label)
        sides = (side.pvalue for side in transform_node.side_inputs)
        if reads or any(value in self.pixels for value in (*transform_node.inputs, *sides)):
            self.pixels.update(transform_node.outputs.values())


def shuffled_pixels(pipeline: beam.Pipeline) -> list[str]:
    """Labels of the steps that shuffle what a `PixelDoFn` put out; rule R3 wants none."""
    walker = _Walker()
    pipeline.visit(walker)
    return walker.violations


def pixel_steps(pipeline: beam.Pipeline) -> list[str]:
    """Labels of the steps that read images."""
    walker = _Walker()
    pipeline.visit(walker)
    return walker.pixel_steps
