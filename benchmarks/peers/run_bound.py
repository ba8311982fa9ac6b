"""The bound: read every file, hash it, frame it as a TFRecord with its checksums, write it. No annotations."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from measured import measure

from schemas.tfrecord import frame


def convert(dataset: Path, out: Path) -> None:
    images = str(dataset / "images")
    with open(out / "bound.bytes", "wb") as stream:
        for name in sorted(os.listdir(images)):
            with open(os.path.join(images, name), "rb") as source:
                data = source.read()
            hashlib.sha256(data).hexdigest()
            stream.write(frame(data))


if __name__ == "__main__":
    measure(convert)
