"""How many labels a second does the mapper read, and how does NLTK's plain lookup compare?

The labels are the names that ship (COCO, VOC, Open Images), or those of --labels (one a line). Each program runs in a
process of its own, which tells the loading of its data and the matching apart:

    ours     `Matcher.match`: every way to read a label, its senses ranked by what labels of pictures mean, a confidence
    peer     NLTK: `wordnet.synsets(label, "n")`, which is `morphy` and a dictionary, in WordNet's own order

They do not do the same work: the peer neither splits a phrase nor chooses among senses. `found` counts the labels that
got at least one synset. The peer needs NLTK's data (NLTK_DATA, or --wordnet with the Debian package's folder). Without
it the line says why, and a bound stands beside ours: one lookup in our own dictionary for each label and its singulars.

Prints one line of JSON; the best of --repeats counts.

    python benchmarks/mapper_speed.py --wordnet /usr/share/wordnet
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.tree_build import nltk_layout  # noqa: E402

MEASURE = """
import json, sys, time
labels = open(sys.argv[1], encoding="utf-8").read().split("\\n")
begin = time.process_time()
{load}
loaded = time.process_time()
{match}
seconds = time.process_time() - loaded
print(json.dumps({{
    "labels": len(labels), "found": found, "load_s": round(loaded - begin, 3), "match_s": round(seconds, 4),
    "labels_per_s": round(len(labels) / seconds),
}}))
"""

OURS = (
    """
from wordtree.matching import Matcher
matcher = Matcher()
matcher.candidates("dog")
""",
    """
found = sum(bool(candidates) for candidates in matcher.match([(label, ()) for label in labels]))
""",
)

PEER = (
    """
import warnings
warnings.simplefilter("ignore")
import nltk.data
from nltk.corpus.reader.wordnet import WordNetCorpusReader
reader = WordNetCorpusReader(nltk.data.find("corpora/wordnet"), None)
reader.synsets("dog", "n")
""",
    """
found = sum(bool(reader.synsets(label.replace(" ", "_"), "n")) for label in labels)
""",
)

BOUND = (
    """
from wordtree.senses import load_senses
senses = load_senses()
senses.singulars("dog")
""",
    """
found = sum(any(senses.ranked(form) for form in senses.singulars(label)) for label in labels)
""",
)


def measure(program: tuple[str, str], labels: Path, repeats: int, env: dict[str, str]) -> dict[str, object]:
    """The best of some runs; the reason if it cannot run."""
    runs: list[dict[str, float]] = []
    for _ in range(repeats):
        command = [sys.executable, "-c", MEASURE.format(load=program[0], match=program[1]), str(labels)]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            if "LookupError" in done.stderr:
                return {"skipped": "NLTK has no WordNet data: set NLTK_DATA or give --wordnet"}
            return {"skipped": (done.stderr.strip().splitlines() or ["failed"])[-1]}
        runs.append(json.loads(done.stdout))
    return dict(min(runs, key=lambda run: run["match_s"]))


def shipped_names() -> list[str]:
    """The names of the label spaces that ship and have names."""
    from wordtree.label_files import load_label_map

    names: dict[str, None] = {}
    for space in ("coco", "voc", "openimages"):
        rows = load_label_map(space).rows
        names.update(dict.fromkeys(row.display_name if space == "openimages" else row.label for row in rows))
    return list(names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, help="a file of names, one a line; those that ship if left out")
    parser.add_argument("--wordnet", type=Path, default=Path(os.environ.get("WORDNET_DIR", "/usr/share/wordnet")))
    parser.add_argument("--repeats", type=int, default=3, help="the best counts")
    args = parser.parse_args()
    names = args.labels.read_text(encoding="utf-8").splitlines() if args.labels else shipped_names()
    with tempfile.TemporaryDirectory() as folder:
        labels = Path(folder) / "labels.txt"
        labels.write_text("\n".join(name for name in names if name.strip()), encoding="utf-8")
        env = dict(os.environ, PYTHONPATH=str(ROOT))
        if "NLTK_DATA" not in env and (args.wordnet / "index.sense").is_file():
            nltk_layout(args.wordnet, Path(folder))
            env["NLTK_DATA"] = folder
        result: dict[str, object] = {
            "benchmark": "mapper_speed",
            "ours": measure(OURS, labels, args.repeats, env),
            "nltk_lookup": measure(PEER, labels, args.repeats, env),
            "bound_one_lookup": measure(BOUND, labels, args.repeats, env),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
