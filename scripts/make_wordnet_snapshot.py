"""Write wordtree/data/wordnet-3.0-nouns.tsv.xz from data.noun of WordNet 3.0; the same bytes every time.

    apt-get install wordnet-base
    python scripts/make_wordnet_snapshot.py                 # writes the snapshot
    python scripts/make_wordnet_snapshot.py --check         # compares; exits 1 on a difference

The source is the Debian package wordnet-base (1:3.0-37), file /usr/share/wordnet/data.noun.
"""

from __future__ import annotations

import argparse
import lzma
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from wordtree.wordnet import HEADER, SNAPSHOT, parse_data_noun  # noqa: E402

# Everything that shapes the bytes is fixed here, so that a new default of a library does not change them.
FILTERS = [
    {
        "id": lzma.FILTER_LZMA2,
        "dict_size": 8 << 20,
        "lc": 4,
        "lp": 0,
        "pb": 0,
        "mode": lzma.MODE_NORMAL,
        "nice_len": 273,
        "mf": lzma.MF_BT4,
        "depth": 512,
    }
]


def snapshot_text(source: Path) -> str:
    """Header, then one line per synset: offset, lemmas, hypernyms, instance hypernyms, separated by tabs."""
    rows = parse_data_noun(source.read_text(encoding="utf-8").splitlines(), where=str(source))
    return "\n".join((HEADER, *(f"{wnid[1:]}\t{row}" for wnid, row in rows.items()), ""))


def main() -> int:
    """Write or compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("WORDNET_DIR", "/usr/share/wordnet")) / "data.noun"
    parser.add_argument("--source", type=Path, default=default, help="data.noun of WordNet 3.0 (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "wordtree" / "data" / SNAPSHOT)
    parser.add_argument("--check", action="store_true", help="compare with --out instead of writing")
    args = parser.parse_args()
    if not args.source.is_file():
        print(f"{args.source}: no such file; install wordnet-base or name it with --source", file=sys.stderr)
        return 2
    text = snapshot_text(args.source).encode()
    packed = lzma.compress(text, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC64, filters=FILTERS)
    if not args.check:
        args.out.write_bytes(packed)
        print(f"{args.out}: {len(packed)} bytes, {len(text)} unpacked")
        return 0
    found = args.out.read_bytes()
    if found == packed:
        print(f"{args.out}: same bytes")
        return 0
    same = lzma.decompress(found) == text
    print(f"{args.out}: differs in {'compression alone' if same else 'content'}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
