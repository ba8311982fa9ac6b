"""One arm, in a process of its own: `python -m detector.bench.one_arm REQUEST.json RESULT.json`.

In this order, so that the peak of the memory is that of opening the run and looking at images one at a time: the
stopwatch, memory, operations, stages, and last the evaluation, which looks at many images at a time.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.bench.machine import MB, machine, peak_memory
from detector.cli_parts import start_tensorflow
from schemas.errors import FormatError, WordTreeError


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
    from detector.bench.stopwatch import measure_in_turns, milliseconds, parts_of
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
    options = DecodeConfig(threshold=request.threshold, iou_threshold=run.detector.overlap)
    predictor = Predictor(run, options)
    sights = looked_at(dataset, request.images, predictor.canvas, predictor.fit)
    whole = measure_in_turns({"whole": lambda sight: predictor([sight])}, sights, request.repeats)["whole"]
    peak = peak_memory()
    images = [np.asarray(sight.canvas)[None] for sight in sights]
    operations = count_operations(inference(run.detector, options), images)
    canvas = predictor.canvas
    stages = {name: compiled(compute, canvas) for name, compute in cumulative_stages(run.detector, options).items()}
    cumulative = measure_in_turns(stages, [tf.constant(image) for image in images], request.repeats)
    result = evaluate(run, dataset, batch_size=request.batch_size, log=_quiet, metrics=("coco", "recall"))
    return {
        **milliseconds(whole),
        "stages_ms": parts_of(cumulative),
        "peak_mb": round(peak / MB, 1),
        "memory_mb": round((peak - bare) / MB, 1),
        "parameters": int(run.detector.model.count_params()),
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


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
