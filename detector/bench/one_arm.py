"""One arm, in a process of its own: `python -m detector.bench.one_arm REQUEST.json RESULT.json`.

In this order, so that the peak of the memory is that of opening the run and looking at images one at a time: every
image twice, memory, operations, the stopwatch on the whole and its stages in the same rounds, and last the evaluation,
which looks at many images at a time.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.bench.machine import MB, machine, peak_memory
from detector.cli_parts import start_tensorflow
from schemas.errors import FormatError, WordTreeError

WHOLE = "photo"  # the last stage, whose end is that of the whole: boxes from the canvas to the photo


@dataclass(frozen=True)
class Request:
    """What the process is asked.

    Attributes:
        run: directory, or directory@checkpoint.
        canvas: (height, width) in pixels.
        proposals: or None.
        dataset: with boxes.
        threshold: least score of a detection, of what is timed.
        images: how many are looked at by the stopwatch.
        repeats: measurements of each time.
        batch_size: of the evaluation.
    """

    run: str
    canvas: tuple[int, int]
    proposals: int | None
    dataset: str
    threshold: float = 0.2
    images: int = 8
    repeats: int = 20
    batch_size: int = 8


def measure_arm(request: Request) -> dict[str, Any]:
    """All figures of an arm; keys in docs/bench.md."""
    import keras
    import numpy as np
    import tensorflow as tf

    from detector.bench.operations import count_operations
    from detector.bench.stages import compiled, cumulative_stages, inference
    from detector.bench.stopwatch import CPU, cores_used, measure_in_turns, milliseconds, parts_of
    from detector.config import DecodeConfig
    from detector.dataset import open_dataset
    from detector.evaluate import evaluate
    from detector.infer.predictor import Predictor
    from detector.run import at_canvas, open_run, with_proposals

    bare = peak_memory()
    run = at_canvas(open_run(request.run), request.canvas)
    if request.proposals is not None:
        run = with_proposals(run, request.proposals)
    dataset = open_dataset(request.dataset)
    options = DecodeConfig(threshold=request.threshold, iou_threshold=run.localizer.overlap)
    predictor = Predictor(run, options)
    sights = looked_at(dataset, request.images, predictor.canvas, predictor.fit)
    for sight in [*sights, *sights]:
        predictor([sight])
    peak = peak_memory()
    images = [np.asarray(sight.canvas)[None] for sight in sights]
    operations = count_operations(inference(run.localizer, options), images)
    canvas = predictor.canvas
    stages = {name: compiled(compute, canvas) for name, compute in cumulative_stages(run.localizer, options).items()}
    calls: dict[str, Callable[[Any], Any]] = {
        name: lambda each, call=call: call(each[1]) for name, call in stages.items()
    }
    calls[WHOLE] = lambda each: predictor([each[0]])
    inputs = list(zip(sights, map(tf.constant, images), strict=True))
    cumulative = measure_in_turns(calls, inputs, request.repeats)
    whole = cumulative[WHOLE]
    result = evaluate(run, dataset, batch_size=request.batch_size, log=_quiet, metrics=("coco", "recall"))
    return {
        **milliseconds(whole),
        "cores_used": cores_used(whole),
        "stages_ms": parts_of(cumulative),
        "stages_cpu_ms": parts_of(cumulative, CPU),
        "peak_mb": round(peak / MB, 1),
        "memory_mb": round((peak - bare) / MB, 1),
        "parameters": int(run.localizer.model.count_params()),
        "flops": round(sum(each.flops for each in operations) / len(operations)),
        "flops_not_counted": operations[0].not_counted,
        "summary": result["summary"],
        "images": result["images"],
        "step": run.checkpoint.step,
        "timed_images": len(images),
        "machine": machine(),
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
        **_card(tf),
    }


def looked_at(dataset: Any, count: int, canvas: tuple[int, int], fit: Any) -> list[Any]:
    """Images of a dataset, evenly spread, on their canvas, as `wordtree detect` has them.

    Raises:
        FormatError: naming an image that cannot be decoded.
    """
    from io import BytesIO

    import numpy as np
    from PIL import Image

    from detector.export.plan import spread
    from detector.infer.canvas import draw
    from detector.infer.reading import Sight
    from detector.infer.sources import one_line, rgb

    sights = []
    for record in map(dataset.record, spread(len(dataset), count)):
        try:
            image = rgb(Image.open(BytesIO(record.encoded or b"")))
        except Exception as error:  # a decoder may raise anything for a damaged file
            what = f"image {record.image_id!r} ({record.uri}) of {dataset.path}"
            raise FormatError(f"{what} cannot be decoded: {one_line(error)}") from error
        sights.append(Sight(path=record.uri, image=image, canvas=draw(np.asarray(image), canvas, fit)))
    return sights


def _card(tf: Any) -> dict[str, float]:
    """The peak of a graphics card's memory, where there is one."""
    if not tf.config.list_physical_devices("GPU"):
        return {}
    return {"gpu_peak_mb": round(tf.config.experimental.get_memory_info("GPU:0")["peak"] / MB, 1)}


def _quiet(line: str) -> None:
    """An arm is a line of the whole job's log."""


def main(request_path: str, result_path: str) -> int:
    """Read the request, write the result whole; an expected error is its last line and 2."""
    asked = json.loads(Path(request_path).read_text())
    request = Request(**{**asked, "canvas": tuple(asked["canvas"])})
    try:
        start_tensorflow()
        result = measure_arm(request)
    except WordTreeError as error:
        print(str(error), file=sys.stderr)
        return 2
    partial = Path(f"{result_path}.partial")
    partial.write_text(json.dumps(result))
    os.replace(partial, result_path)
    return 0


def end_with_standard_input() -> None:
    """End this process when its standard input does: who started it is gone, and nobody waits for the result."""

    def watch() -> None:
        while os.read(0, 1):  # not sys.stdin, whose lock would be held when the interpreter ends
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    end_with_standard_input()
    sys.exit(main(*sys.argv[1:]))
