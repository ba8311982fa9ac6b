"""How fast is a tree built, how much memory does it take, and how does a plain builder on NLTK compare?

Three trees, each in a process of its own, loading of the nouns included: all 82,115 nouns, the labels given with
--labels (one wnid a line; the ImageNet nodes of the published 9k tree, say), and the same labels with a plain builder:
dictionaries of lists over NLTK's own reader, no collapsing, no cut edges, no checks. Without NLTK data (NLTK_DATA, or
--wordnet with the Debian package's folder) the plain builder is left out, and the line says why.

Prints one line of JSON: CPU seconds (the best of --repeats), wall seconds of the same run, and peak memory.

    python benchmarks/tree_build.py --labels 9k.txt --wordnet /usr/share/wordnet
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

MEASURE = """
import json, resource, sys, time
wall, begin = time.perf_counter(), time.process_time()
{body}
seconds, wall = time.process_time() - begin, time.perf_counter() - wall
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({{"nodes": nodes, "cpu_s": round(seconds, 2), "wall_s": round(wall, 2), "peak_rss_mb": round(peak)}}))
"""

OURS = """
from wordtree.build import build_tree
from wordtree.build_options import BuildOptions
from wordtree.wordnet import load_wordnet
wordnet = load_wordnet()
labels = open(sys.argv[1]).read().split() if sys.argv[1] else wordnet.wnids
nodes = len(build_tree(wordnet, labels, BuildOptions(exclude=())).tree)
"""

PLAIN = """
from nltk.corpus.reader.wordnet import WordNetCorpusReader
import nltk.data, warnings
warnings.simplefilter("ignore")
reader = WordNetCorpusReader(nltk.data.find("corpora/wordnet"), None)
waiting, parent = [], {}
def place(path):
    for step, name in enumerate(path):
        if name in parent:
            break
        parent[name] = path[step + 1] if step + 1 < len(path) else None
for wnid in open(sys.argv[1]).read().split():
    paths = reader.synset_from_pos_and_offset("n", int(wnid[1:])).hypernym_paths()
    paths = [["n%08d" % synset.offset() for synset in reversed(path)] for path in paths]
    place(paths[0]) if len(paths) == 1 else waiting.append(paths)
for paths in waiting:
    place(min(paths, key=lambda path: sum(name not in parent for name in path)))
nodes = len(parent)
"""


def measure(body: str, labels: str, repeats: int, env: dict[str, str]) -> dict[str, object]:
    """The best of some runs; the reason if it cannot run."""
    runs: list[dict[str, float]] = []
    for _ in range(repeats):
        command = [sys.executable, "-c", MEASURE.format(body=body), labels]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            return {"skipped": (done.stderr.strip().splitlines() or ["failed"])[-1]}
        runs.append(json.loads(done.stdout))
    return dict(min(runs, key=lambda run: run["cpu_s"]))


def nltk_layout(source: Path, folder: Path) -> None:
    """NLTK's layout from the Debian packages; its reader wants a file `lexnames` too (man page lexnames(5WN))."""
    corpus = folder / "corpora" / "wordnet"
    corpus.mkdir(parents=True)
    for file in source.iterdir():
        shutil.copyfile(file, corpus / file.name)
    kinds = ["3", "3", "4", *["1"] * 26, *["2"] * 15, "3"]
    (corpus / "lexnames").write_text("".join(f"{i:02d}\tlex.{i}\t{kind}\n" for i, kind in enumerate(kinds)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", help="a file of wnids; every ninth noun if left out")
    parser.add_argument("--wordnet", default=os.environ.get("WORDNET_DIR", "/usr/share/wordnet"))
    parser.add_argument("--repeats", type=int, default=3, help="the best counts")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = dict(os.environ, PYTHONPATH=str(ROOT))
        labels = args.labels
        if labels is None:
            sys.path.insert(0, str(ROOT))
            from wordtree.wordnet import load_wordnet

            labels = str(folder / "labels.txt")
            Path(labels).write_text("\n".join(load_wordnet().wnids[::9]))
        labels = str(Path(labels).resolve())
        if "NLTK_DATA" not in env and (Path(args.wordnet) / "index.sense").is_file():
            nltk_layout(Path(args.wordnet), folder)
            env["NLTK_DATA"] = name
        result = {
            "benchmark": "tree_build",
            "all_nouns": measure(OURS, "", args.repeats, env),
            "labels": measure(OURS, labels, args.repeats, env),
            "plain_builder_on_nltk": measure(PLAIN, labels, 1, env),
        }
    ours, plain = result["labels"], result["plain_builder_on_nltk"]
    if "cpu_s" in ours and "cpu_s" in plain:
        result["times_faster"] = round(plain["cpu_s"] / max(ours["cpu_s"], 0.01), 1)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
