"""`wordtree tree find`: the synsets of a word, to find a wnid."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from schemas.errors import LabelError
from wordtree.cli_parts import add_parser, not_negative

if TYPE_CHECKING:
    from wordtree.senses import Senses

MOST_SENSES = 20
MOST_ABOVE = 4


def add_find(commands: Any) -> None:
    """Add `wordtree tree find`."""
    parser = add_parser(
        commands,
        "find",
        "list the synsets of a word, most usual sense first",
        "  wordtree tree find crane\n  wordtree tree find traffic light\n\n"
        "prints wnid, words and the concepts above, nearest first, from WordNet 3.0",
        run=run_find,
    )
    parser.add_argument("word", nargs="+", metavar="WORD", help="a noun, singular or plural; or a wnid")
    parser.add_argument("--most", type=not_negative, default=MOST_SENSES, metavar="N", help="senses told (default 20)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run_find(args: argparse.Namespace) -> int:
    """Print the synsets of a word."""
    from wordtree.senses import load_senses

    senses = load_senses()
    wordnet = senses.wordnet
    asked = " ".join(args.word)
    found = find_synsets(asked, senses)
    rows = [
        {
            "wnid": wnid,
            "words": list(wordnet.lemmas(wnid)),
            "above": [wordnet.name(above) for above in wordnet.paths(wnid)[0][1:]],
            "seen": count,
        }
        for wnid, count in found
    ]
    if args.json:
        print(json.dumps({"word": asked, "synsets": rows[: args.most]}, ensure_ascii=False))
        return 0
    for row in rows[: args.most]:
        above = [*row["above"][:MOST_ABOVE], *(["…"] if len(row["above"]) > MOST_ABOVE else [])]
        print(f"{row['wnid']}  {' < '.join((', '.join(row['words']), *above))}")
    if len(rows) > args.most:
        print(f"… and {len(rows) - args.most:,} senses more; --most {len(rows)} tells all")
    return 0


def find_synsets(word: str, senses: Senses) -> list[tuple[str, int]]:
    """(wnid, times seen) of a word or wnid, most usual first; those of its singulars after its own.

    Raises:
        LabelError: WordNet has no such noun; the message tells near words, or the noun that a phrase ends with.
    """
    from wordtree.phrases import readings
    from wordtree.suggestions import did_you_mean
    from wordtree.wordnet import LONGEST_TOLD, unknown_wnid

    wordnet = senses.wordnet
    if word in wordnet:
        return [(word, 0)]
    forms = senses.singulars(word)
    shown = word if len(word) <= LONGEST_TOLD else word[:LONGEST_TOLD] + "…"
    if not forms:
        if word[1:].isdecimal() and len(word) == 9:
            raise LabelError(unknown_wnid(wordnet, word))
        parts = list(dict.fromkeys(reading.word for reading in readings(word[:200], senses)))
        if parts:
            told = " or ".join(f"`wordtree tree find {part}`" for part in parts[:3])
            raise LabelError(f"{shown!r} is no noun of WordNet 3.0; try {told}")
        near = did_you_mean(word[:100].replace(" ", "_").casefold(), wordnet.words).replace("_", " ")
        raise LabelError(f"{shown!r} is no noun of WordNet 3.0{near or '; try a more usual or more general word'}")
    found: dict[str, int] = {}
    for form in forms:
        for wnid, count in senses.ranked(form):
            found.setdefault(wnid, count)
    return list(found.items())
