"""`wordtree convert coco`, from the parsing of its words to its end; further words are passed on to it."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path

from measured import measure

import pipelines.convert  # noqa: F401  (so that Beam's import is not counted)
from wordtree.command import main


def convert(dataset: Path, out: Path) -> None:
    """What follows `--pass` on the command line goes to `wordtree convert coco`."""
    words = ["--annotations", str(dataset / "instances.json"), "--images", str(dataset / "images"), "--labels", "none"]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        code = main(["convert", "coco", str(out / "dataset"), *words, *passed])
    if code:
        sys.exit(f"wordtree convert ended with {code}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--pass", dest="passed", nargs=argparse.REMAINDER, default=[])
    passed = parser.parse_known_args()[0].passed
    measure(convert)
