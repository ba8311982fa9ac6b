"""Rule R3: encoded images never pass a shuffle. The graph of every job is walked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.pvalue import AsList

import pipelines
from pipelines.beam_options import beam_options
from pipelines.convert import build
from pipelines.plan import Options, make_plan
from pipelines.planes import PixelDoFn, pixel_steps, shuffled_pixels
from pipelines.sources.coco import Source


def graph(make: Callable[[beam.Pipeline], object]) -> beam.Pipeline:
    """A pipeline that is built and not run."""
    pipeline = beam.Pipeline(options=beam_options([]))
    make(pipeline)
    return pipeline


class Read(PixelDoFn):
    def process(self, element: Any) -> Any:
        yield element, b"pixels"


def test_convert_reads_images_behind_its_only_shuffle(coco: Any) -> None:
    coco.image(1)
    _, annotations, _, images = coco.write()
    job = make_plan(Source(annotations, images), "nowhere", Options()).job
    pipeline = graph(lambda p: build(p, job))
    assert pixel_steps(pipeline) == ["write shards"]
    assert shuffled_pixels(pipeline) == []


@pytest.mark.parametrize(
    ("shuffle", "label"),
    [
        (lambda images: images | "group" >> beam.GroupByKey(), "group"),
        (lambda images: images | "mix" >> beam.Reshuffle(), "mix"),
        (lambda images: images | beam.Map(lambda pair: pair) | "group" >> beam.GroupByKey(), "group"),
        (lambda images: ((images, images) | beam.Flatten()) | "group" >> beam.GroupByKey(), "group"),
        (lambda images: images | "count" >> beam.combiners.Count.PerKey(), "count"),
    ],
)
def test_a_shuffle_of_images_is_found_wherever_it_hides(shuffle: Callable[[Any], object], label: str) -> None:
    pipeline = graph(lambda p: shuffle(p | beam.Create([1], reshuffle=False) | "read" >> beam.ParDo(Read())))
    assert any(step.split("/")[0] == label for step in shuffled_pixels(pipeline))


def test_images_as_a_side_input_are_found_too() -> None:
    def make(p: beam.Pipeline) -> None:
        images = p | "ids" >> beam.Create([1], reshuffle=False) | "read" >> beam.ParDo(Read())
        rows = p | "rows" >> beam.Create([(1, 2)], reshuffle=False)
        side = rows | beam.Map(lambda row, _: row, AsList(images)).with_output_types(tuple[int, int])
        assert side | "group" >> beam.GroupByKey()

    assert "group" in shuffled_pixels(graph(make))


def test_images_are_read_in_one_place_which_only_the_marked_step_calls() -> None:
    root = Path(pipelines.__file__).parent
    texts = {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*.py")}
    assert [name for name, text in texts.items() if "read_image(" in text] == ["writing.py", "fetching.py"]
    assert [name for name, text in texts.items() if "image_root, row.uri" in text] == ["fetching.py"]
    assert sorted(name for name, text in texts.items() if "write_shard(" in text) == ["convert.py", "writing.py"]
    assert texts["convert.py"].count("write_shard(") == 1
    assert "class WriteShard(PixelDoFn)" in texts["convert.py"]


def test_what_is_shuffled_is_small(coco: Any) -> None:
    for number in range(1, 21):
        coco.image(number, data=bytes(100_000))
        coco.box(number)
    _, annotations, _, images = coco.write()
    job = make_plan(Source(annotations, images), "nowhere", Options()).job
    assert max(len(element) for _, element in job.source.pack(0, "", job.packing)) < 200
