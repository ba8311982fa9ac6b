"""Write the nouns of WordNet 3.0 and the order of their senses into wordtree/data; the same bytes every time.

    apt-get install wordnet-base wordnet-sense-index
    python scripts/make_wordnet_snapshot.py                 # writes both files
    python scripts/make_wordnet_snapshot.py --check         # compares; exits 1 on a difference

The sources are data.noun and noun.exc of the Debian package wordnet-base (1:3.0-37), and index.sense of
wordnet-sense-index, all in /usr/share/wordnet.
"""

from __future__ import annotations

import argparse
import lzma
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from wordtree.senses import SENSES, senses_text  # noqa: E402
from wordtree.wordnet import HEADER, SNAPSHOT, load_wordnet, parse_data_noun  # noqa: E402

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


def sense_text(folder: Path) -> str:
    """Sense order and plural forms, from index.sense and noun.exc beside data.noun."""
    senses, plurals = ((folder / name).read_text(encoding="utf-8").splitlines() for name in ("index.sense", "noun.exc"))
    return senses_text(senses, plurals, load_wordnet(), where=str(folder / "index.sense"))


def main() -> int:
    """Write or compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("WORDNET_DIR", "/usr/share/wordnet")) / "data.noun"
    data = ROOT / "wordtree" / "data"
    parser.add_argument("--source", type=Path, default=default, help="data.noun of WordNet 3.0 (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=data / SNAPSHOT)
    parser.add_argument("--senses-out", type=Path, default=data / SENSES)
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    args = parser.parse_args()
    for needed in (args.source, args.source.with_name("index.sense"), args.source.with_name("noun.exc")):
        if not needed.is_file():
            packages = "wordnet-base and wordnet-sense-index"
            print(f"{needed}: no such file; install {packages}, or name data.noun with --source", file=sys.stderr)
            return 2
    good = write_or_compare(snapshot_text(args.source), args.out, check=args.check)
    return 0 if write_or_compare(sense_text(args.source.parent), args.senses_out, check=args.check) and good else 1


def write_or_compare(text: str, out: Path, *, check: bool) -> bool:
    """Write one file, or say whether it is the same; False if it is another."""
    packed = lzma.compress(text.encode(), format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC64, filters=FILTERS)
    if not check:
        out.write_bytes(packed)
        print(f"{out}: {len(packed)} bytes, {len(text.encode())} unpacked")
        return True
    found = out.read_bytes()
    if found == packed:
        print(f"{out}: same bytes")
        return True
    same = lzma.decompress(found) == text.encode()
    print(f"{out}: differs in {'compression alone' if same else 'content'}", file=sys.stderr)
    return False


if __name__ == "__main__":
    sys.exit(main())
