"""The report of a run: one HTML file that needs no network.

    write_report(Path("run"), Path("report.html"), datasets=["det-train", "eval-fine"], detections=Path("found"))

Every section stands on its own: where its input is missing, it says so and names the command that makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detector.report.inputs import check_inputs, read_inputs
from detector.report.page import page
from detector.report.sections import sections, title
from schemas.errors import OutputError
from wordtree.files import write_text_file

__all__ = ["check_inputs", "write_report"]


def write_report(
    run: Path | str, out: Path | str, *, datasets: Sequence[Path | str] = (), detections: Path | str | None = None
) -> Path:
    """Write the report, whole or not at all; an older one is replaced.

    Args:
        run: run directory of `wordtree train`.
        out: HTML file to write; its folder is made if need be.
        datasets: dataset directories of `wordtree convert`: their counts are shown, and their boxes are the truth that
            detections are compared with.
        detections: directory of `wordtree detect`.

    Returns:
        `out`.

    Raises:
        InputError: if `run` is no directory, or `detections` has no detections.json.
        OutputError: if `out` cannot be written.
    """
    inputs = read_inputs(Path(run), [Path(folder) for folder in datasets], Path(detections) if detections else None)
    text = page(title(inputs), sections(inputs))
    target = Path(out)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{target}: cannot write the report ({error.strerror})") from error
    write_text_file(target, text, force=True)
    return target
