"""`wordtree tree map`: what the labels of a data set mean, and where they stand in a tree."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import ConfigError, LabelError, OutputError
from wordtree.cli_parts import add_parser, data_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wordtree.label_review import Decision, MappedLabel
    from wordtree.tree import WordTree
    from wordtree.wordnet import WordNet

ENDS = (".tsv", ".review.tsv", ".map")

MAP_HELP = """
labels are one of
  coco, voc, coco91, openimages, det200, ilsvrc1000, imagenet21k     shipped and reviewed
  FILE        names, wnids, synset names (aerosol.n.02) or MIDs with names, one a line; a CSV or TSV table with a
              header; a COCO, LVIS or Objects365 JSON file
  NAME=FILE   the same under another name

what --out gets
  NAME.tsv          label, wnid, relation, rule, confidence, reviewed: a label space for --labels
  NAME.review.tsv   what is not certain: write 1 to 5, a wnid or none into the column choice, and give it back
  NAME.map          darknet's form, if there is a tree and every label has a node
"""


def add_map(commands: Any) -> None:
    """Add `wordtree tree map`."""
    parser = add_parser(
        commands,
        "map",
        "find out what labels mean, and their nodes in a tree",
        "  wordtree tree map classes.txt --out maps\n"
        "  wordtree tree map classes.txt --out maps --reviewed maps/classes.review.tsv --force\n"
        "  wordtree tree map voc --tree tree --format map\n" + MAP_HELP,
        run=run_map,
    )
    parser.add_argument("labels", metavar="LABELS", help="a label space or a file of labels, see below")
    parser.add_argument("--tree", metavar="TREE", help="also find nodes in this tree")
    parser.add_argument("--out", metavar="DIR", help="where to write; the terminal if left out")
    parser.add_argument(
        "--reviewed", nargs="+", default=(), metavar="FILE", help="review files, or maps with reviewed rows"
    )
    parser.add_argument(
        "--accept",
        type=float,
        metavar="P",
        help="confidence from 0 to 1 that needs no review (default 0.8); 1 takes only words of one sense",
    )
    parser.add_argument("--format", choices=("tsv", "map"), default="tsv", help="without --out: a table, or a .map")
    parser.add_argument("--force", action="store_true", help="replace files in DIR that have another content")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run_map(args: argparse.Namespace) -> int:
    """Map a data set's labels; write or print the result."""
    from wordtree.files import read_tree
    from wordtree.label_review import map_labels, map_table
    from wordtree.label_sources import read_labels
    from wordtree.matching import ACCEPT, Matcher

    accept = ACCEPT if args.accept is None else args.accept
    if not 0 <= accept <= 1:
        raise ConfigError(f"--accept {accept}: expected a number from 0 to 1")
    if args.out is not None and args.format == "map":
        raise ConfigError("--format map is for the terminal; --out writes a .map beside the table by itself")
    if args.json and args.out is None:
        raise ConfigError("--json tells what was written; add --out")
    if args.out == "":
        raise ConfigError("--out is empty; expected a directory")
    source = read_labels(args.labels)
    tree = read_tree(args.tree) if args.tree else None
    if args.format == "map" and tree is None:
        raise ConfigError("--format map needs --tree")
    matcher = Matcher(tree=frozenset(tree.names) if tree else ())
    mapped = map_labels(source, matcher, decisions=_decisions(args.reviewed, matcher.wordnet), accept=accept)
    if args.out is None:
        darknet = args.format == "map" and tree is not None
        data_out(_map_text(mapped, tree, matcher.wordnet) if darknet else map_table(mapped, matcher.wordnet, tree))
        waiting = sum(not row.wnid for row in mapped)
        if waiting:
            print(f"{waiting} of {len(mapped)} labels wait for a review: write them with --out DIR", file=sys.stderr)
        return 0
    if any((Path(args.out) / f"{source.name}{end}").absolute() == Path(source.where).absolute() for end in ENDS):
        raise OutputError(f"{source.where}: --out would replace the labels themselves; choose another --out")
    _write(args, source.name, mapped, tree, matcher.wordnet)
    return 0


def _decisions(files: Sequence[str], wordnet: WordNet) -> dict[str, Decision]:
    from wordtree.label_review import read_decisions

    found: dict[str, Decision] = {}
    for file in files:
        for label, decision in read_decisions(file, wordnet).items():
            before = found.setdefault(label, decision)
            if (before.wnid, before.relation) != (decision.wnid, decision.relation):
                raise LabelError(
                    f"{file}: {label!r} is {decision.wnid} ({decision.relation}) here and {before.wnid} "
                    f"({before.relation}) in another --reviewed file; keep one of the two"
                )
    return found


def _map_text(mapped: Sequence[MappedLabel], tree: WordTree | None, wordnet: WordNet) -> str:
    """Darknet's .map: the node of every label, a line each.

    Raises:
        LabelError: some labels have no node.
    """
    from wordtree.label_review import place
    from wordtree.tree_formats import map_text

    assert tree is not None
    places = [place(row, tree, wordnet) for row in mapped]
    missing = [row.label for row, found in zip(mapped, places, strict=True) if found is None]
    if missing:
        shown = ", ".join(repr(label) for label in missing[:8]) + (" …" if len(missing) > 8 else "")
        raise LabelError(f"a .map needs a node for every label; {len(missing)} have none: {shown}")
    return map_text(int(found[0]) for found in places if found)


def _write(
    args: argparse.Namespace, name: str, mapped: Sequence[MappedLabel], tree: WordTree | None, wordnet: WordNet
) -> None:
    from wordtree.files import write_text_file
    from wordtree.label_review import map_table, place, review_table
    from wordtree.label_space import NO_SYNSET

    out = Path(args.out)
    decided = [row for row in mapped if row.wnid]
    placed = [row for row in decided if tree and place(row, tree, wordnet)]
    complete = tree is not None and len(placed) == len(mapped)
    texts = {f"{name}.tsv": map_table(mapped, wordnet, tree)} if decided else {}
    texts[f"{name}.review.tsv"] = review_table(mapped, wordnet)
    texts[f"{name}.map"] = _map_text(mapped, tree, wordnet) if complete else ""
    texts = {file: text for file, text in texts.items() if text}
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot make this directory ({error.strerror})") from error
    stale = [out / f"{name}{end}" for end in ENDS if f"{name}{end}" not in texts]
    for file in (*(out / known for known, text in texts.items() if _differs(out / known, text)), *stale):
        if file.exists() and not args.force:
            raise OutputError(f"{file}: exists with another content; choose another --out or replace it with --force")
    for file in (out / f"{name}.review.tsv", out / f"{name}.tsv"):
        _keep_decisions(file, mapped, wordnet)
    for file, text in texts.items():
        write_text_file(out / file, text, force=args.force)
    for file in stale:
        file.unlink(missing_ok=True)
    rules = Counter(row.rule for row in decided)
    facts: dict[str, Any] = {
        "labels": len(mapped),
        "mapped": sum(row.wnid != NO_SYNSET for row in decided),
        "reviewed": sum(row.reviewed for row in decided),
        "none": sum(row.wnid == NO_SYNSET for row in decided),
        "to_review": len(mapped) - len(decided),
    }
    if tree:
        facts["in_tree"] = len(placed)
    if args.json:
        print(json.dumps(facts | {"rules": dict(sorted(rules.items())), "files": [str(out / file) for file in texts]}))
        return
    for key, value in facts.items():
        print(f"{key.replace('_', ' '):<10} {value:>6,}")
    print(f"{'found by':<10} " + ", ".join(f"{rule} {count}" for rule, count in rules.most_common()))
    for file in texts:
        print(out / file)
    if facts["to_review"]:
        review = out / f"{name}.review.tsv"
        print(f"\nfill in the column choice of {review}, then run the same command with --reviewed {review} --force")


def _keep_decisions(file: Path, mapped: Sequence[MappedLabel], wordnet: WordNet) -> None:
    """Refuse to replace a person's work that was not given back, even with --force."""
    from wordtree.label_review import read_decisions

    if not file.is_file():
        return
    reviewed = {row.label for row in mapped if row.reviewed}
    lost = [label for label in read_decisions(file, wordnet) if label not in reviewed]
    if lost:
        raise OutputError(
            f"{file}: has {len(lost)} reviewed labels that would be lost, such as {lost[0]!r}; add --reviewed {file}"
        )


def _differs(file: Path, text: str) -> bool:
    return file.is_file() and file.read_bytes() != text.encode()
