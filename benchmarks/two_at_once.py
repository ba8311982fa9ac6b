"""Two commands that write to one output at once: does one win, and is its output as if it had been alone?

Makes a small COCO set (`coco_set.py`), then starts the same `wordtree convert` twice at once into one OUT, and the same
`wordtree stats` twice into one card, again and again, and compares all bytes with those of an undisturbed run. Prints
one line of JSON: how often the second was refused, with the name of the first, and how often it came when the first had
ended. Exits with 1 if anything else was seen.

    python benchmarks/two_at_once.py --repeats 20
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.coco_set import make_coco_set  # noqa: E402
from wordtree.processes import environment, python  # noqa: E402


def digests(path: Path) -> dict[str, str]:
    """SHA-256 of a file, or of every file below a folder, by name."""
    files = [path] if path.is_file() else [each for each in sorted(path.rglob("*")) if each.is_file()]
    return {str(each.relative_to(path.parent)): hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


def start(words: list[str]) -> subprocess.Popen[str]:
    """A command, begun."""
    command = python("-m", "wordtree", *words)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())


def both(words: list[str], out: Path, wanted: dict[str, str]) -> str:
    """What became of the second of two; anything but the two good ends is an error."""
    shutil.rmtree(out.parent)
    out.parent.mkdir()
    pair = [start(words), start(words)]
    ends = [(process, *process.communicate()) for process in pair]
    good = [process for process, _, _ in ends if process.returncode == 0]
    if not good or digests(out) != wanted or len(list(out.parent.iterdir())) != 1:
        raise SystemExit(f"{words}: {[(process.returncode, errors) for process, _, errors in ends]}")
    if len(good) == 2:
        return "came later"
    told = next(errors for process, _, errors in ends if process.returncode)
    if re.fullmatch(rf"wordtree \w+: {out}: process {good[0].pid} on \S+ writes to it; stop .*\n", told):
        return "was refused"
    raise SystemExit(f"{words}: {told}")


def main() -> None:
    """Run both commands against themselves, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--images", type=int, default=200)
    args = parser.parse_args()
    result: dict[str, object] = {"benchmark": "two_at_once", "repeats": args.repeats}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_coco_set(folder, args.images, 7, 0)
        source = ["--annotations", str(folder / "instances.json"), "--images", str(folder / "images")]
        place = folder / "place"
        place.mkdir()
        convert = ["convert", "coco", str(place / "out"), *source, "--labels", "none", "--shards", "8"]
        stats = ["stats", str(folder / "dataset"), "--out", str(place / "card.html")]
        for command, out in ((convert, place / "out"), (stats, place / "card.html")):
            subprocess.run(python("-m", "wordtree", *command), check=True, capture_output=True, env=environment())
            wanted = digests(out)
            if command is convert:
                shutil.copytree(out, folder / "dataset")
            seen = Counter(both(command, out, wanted) for _ in range(args.repeats))
            result[command[0]] = dict(seen)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
