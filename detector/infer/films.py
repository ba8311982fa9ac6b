"""Frames of a film, read with PyAV (`pip install av`), which brings FFmpeg's decoders along."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import fsspec
from PIL import Image

from detector.infer.sources import Unreadable, one_line
from schemas.errors import ConfigError


class Frame(NamedTuple):
    """One frame.

    Attributes:
        number: from 0, of all frames of the film.
        seconds: when it is shown; None where the film does not say.
        image: RGB, its pixels as they are stored.
    """

    number: int
    seconds: float | None
    image: Image.Image


def require_films() -> Any:
    """PyAV.

    Raises:
        ConfigError: if it is not installed.
    """
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise ConfigError(f"films need PyAV, which is not installed ({error}); pip install av") from error


def frames(path: str, every: int = 1) -> Iterator[Frame | Unreadable]:
    """Every so manieth frame of a film's first video stream, from the first on.

    A film that breaks off gives its frames up to there, then an `Unreadable`.

    Args:
        path: on any file system of fsspec.
        every: 1 for all frames.

    Raises:
        ConfigError: if PyAV is not installed.
    """
    av = require_films()
    number = -1
    try:
        with fsspec.open(path, "rb") as file, av.open(file) as film:
            if not film.streams.video:
                yield Unreadable(path, "no video stream in it")
                return
            for number, frame in enumerate(film.decode(video=0)):
                if number % every == 0:
                    yield Frame(number, frame.time, frame.to_image())
    except FileNotFoundError:
        yield Unreadable(path, "no such file")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        yield Unreadable(path, f"{one_line(error)} (after {number + 1} frames)")
        return
    if number < 0:
        yield Unreadable(path, "no frame in it")
