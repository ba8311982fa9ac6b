"""From a data set's labels to a label map, with a person where the program is not certain.

`map_labels` decides what it can: meanings that the file or a shipped map gives, and words that have one likely sense.
The rest goes to a review file with up to five proposals a label. A person writes one of these into its column
`choice`, and gives the file back with `--reviewed`:

    1 ... 5        a proposal
    n02084071      another synset; the column relation then tells how it stands to the label, exact if left empty
    none           no synset fits
    (nothing)      not decided yet

Rows that were decided so are marked as reviewed in the map, and a map can be given back as well: `read_decisions`
takes both.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from schemas.errors import FormatError, LabelError
from wordtree.csv_lines import csv_rows
from wordtree.label_files import load_label_map
from wordtree.label_sources import LabelSource, SourceLabel
from wordtree.label_space import NO_SYNSET, LabelMap, Relation, check_relation
from wordtree.mapping import combine, nearest_node
from wordtree.matching import ACCEPT, Candidate, Matcher
from wordtree.suggestions import did_you_mean
from wordtree.text_files import read_text, split_lines
from wordtree.tree import WordTree
from wordtree.wordnet import WordNet, unknown_wnid

MOST_PROPOSALS = 5
MAP_COLUMNS = ("label", "wnid", "relation", "display_name", "aliases", "note", "rule", "confidence", "reviewed")
NODE_COLUMNS = ("node", "node_wnid", "node_relation")
PROPOSALS = tuple(str(number) for number in range(1, MOST_PROPOSALS + 1))
REVIEW_COLUMNS = ("label", "choice", "relation", "text", "parent", "rule", "confidence", *PROPOSALS)
REVIEW_HEAD = (
    "# Write into the column choice: 1 to 5 for a proposal, the wnid of another synset, or none; nothing for later.\n"
    "# Then run the same command again with --reviewed and this file.\n"
)

_PROPOSAL = re.compile(r"(n\d{8})(?:\s.*\[(\w+)\])?.*")


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person said a label means: a wnid or `none`."""

    wnid: str
    relation: Relation
    note: str = ""


@dataclass(frozen=True, slots=True)
class MappedLabel:
    """A label and what it means.

    Attributes:
        source: the label as the data set has it.
        wnid: the synset; `none` if there is none; "" if it waits for a reviewer.
        relation: how the synset stands to the label.
        rule: what found it: `reviewer`, `given`, `synset`, `openimages`, or a rule of `wordtree.phrases`.
        confidence: in [0, 1]; 1 unless words were matched.
        reviewed: a person decided.
        candidates: what else it may be, best first.
        note: why.
    """

    source: SourceLabel
    wnid: str
    relation: Relation
    rule: str
    confidence: float
    reviewed: bool
    candidates: tuple[Candidate, ...] = ()
    note: str = ""

    @property
    def label(self) -> str:
        """The data set's own string."""
        return self.source.label


def map_labels(
    source: LabelSource, matcher: Matcher, *, decisions: Mapping[str, Decision] | None = None, accept: float = ACCEPT
) -> tuple[MappedLabel, ...]:
    """What every label of a data set means, in its order.

    Args:
        source: the labels.
        matcher: finds candidates.
        decisions: what a person said, by label; these come before anything else.
        accept: the least confidence that a match of words needs to be taken without a reviewer.

    Raises:
        LabelError: the file gives a wnid that WordNet 3.0 does not know, or a decision is about another label.
    """
    decisions = decisions or {}
    names = {label.label for label in source.labels}
    for label in decisions:
        if label not in names:
            raise LabelError(f"{source.where}: a reviewed row is about {label!r}, which is no label here"
                             f"{did_you_mean(label, names)}")  # fmt: skip
    shipped = load_label_map("openimages") if any(name.startswith(("/m/", "/g/")) for name in names) else None
    mapped: dict[str, MappedLabel] = {}
    for label in source.labels:
        decision = decisions.get(label.label)
        if decision is not None:
            mapped[label.label] = MappedLabel(
                label, decision.wnid, decision.relation, "reviewer", 1.0, True, note=decision.note
            )
            continue
        found = _given(label, source, matcher)
        if found is None and shipped is not None:
            found = _by_mid(label, shipped)
        if found is not None:
            mapped[label.label] = found
    open_labels = [label for label in source.labels if label.label not in mapped]
    matches = matcher.match([(label.text, (label.parent,) if label.parent else ()) for label in open_labels])
    for label, found in zip(open_labels, matches, strict=True):
        mapped[label.label] = _matched(label, found, accept)
    return tuple(mapped[label.label] for label in source.labels)


def _given(label: SourceLabel, source: LabelSource, matcher: Matcher) -> MappedLabel | None:
    """The meaning that the file itself gives, as a wnid or as a synset's name."""
    if label.wnid:
        if label.wnid != NO_SYNSET and label.wnid not in matcher.wordnet:
            place = f" line {label.line}" if label.line else ""
            raise LabelError(f"{source.where}{place}: {unknown_wnid(matcher.wordnet, label.wnid)}")
        return MappedLabel(label, label.wnid, label.relation, "given", 1.0, source.reviewed, note=label.note)
    word, _, number = label.synset.rpartition(".n.")
    wnid = matcher.senses.synset(word, int(number)) if number.isdecimal() and len(number) < 5 else None
    return None if wnid is None else MappedLabel(label, wnid, "exact", "synset", 1.0, False)


def _by_mid(label: SourceLabel, shipped: LabelMap) -> MappedLabel | None:
    """The meaning of a MID of Open Images, from the map that ships."""
    row = shipped.get(label.label)
    if row is not None:
        named = label if label.display_name else replace(label, display_name=row.display_name)
        return MappedLabel(named, row.wnid, row.relation, "openimages", 1.0, True, note=row.note)
    note = shipped.unmapped.get(label.label)
    return None if note is None else MappedLabel(label, NO_SYNSET, "exact", "openimages", 1.0, True, note=note)


def _matched(label: SourceLabel, found: tuple[Candidate, ...], accept: float) -> MappedLabel:
    if not found:
        return MappedLabel(label, "", "exact", "no word", 0.0, False)
    best = found[0]
    wnid = best.wnid if best.confidence >= accept else ""
    return MappedLabel(label, wnid, best.relation, best.rule, best.confidence, False, found, label.note)


def map_table(mapped: Sequence[MappedLabel], wordnet: WordNet, tree: WordTree | None = None) -> str:
    """The label map as a TSV: what is decided. `load_label_map` and `read_decisions` read it."""
    rows = ["\t".join((*MAP_COLUMNS, *(NODE_COLUMNS if tree else ())))]
    for row in mapped:
        if not row.wnid:
            continue
        none = row.wnid == NO_SYNSET
        shown = row.source.display_name or ("" if none else wordnet.name(row.wnid))
        cells = [row.label, row.wnid, "" if none else row.relation, shown, "|".join(row.source.aliases), row.note]
        cells += [row.rule, f"{row.confidence:.2f}", "yes" if row.reviewed else "no"]
        if tree:
            cells += place(row, tree, wordnet) or ("", "", "")
        rows.append("\t".join(cells))
    return "\n".join((*rows, ""))


def place(row: MappedLabel, tree: WordTree, wordnet: WordNet) -> tuple[str, str, str] | None:
    """Node, its name and its relation to the label; None if the label has no synset or the tree nothing above it."""
    if row.wnid in ("", NO_SYNSET):
        return None
    try:
        node, step = nearest_node(tree, wordnet, row.wnid)
    except LabelError:
        return None
    return str(node), tree.names[node], combine(row.relation, step)


def review_table(mapped: Iterable[MappedLabel], wordnet: WordNet) -> str:
    """The labels that wait for a person, the least certain first; "" if there are none."""
    waiting = sorted((row for row in mapped if not row.wnid), key=lambda row: row.confidence)
    if not waiting:
        return ""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    writer.writerow(REVIEW_COLUMNS)
    for row in waiting:
        proposals = [_proposal(candidate, wordnet) for candidate in row.candidates[:MOST_PROPOSALS]]
        proposals += [""] * (MOST_PROPOSALS - len(proposals))
        label = row.source
        writer.writerow([label.label, "", "", label.text, label.parent, row.rule, f"{row.confidence:.2f}", *proposals])
    return REVIEW_HEAD + buffer.getvalue()


def _proposal(candidate: Candidate, wordnet: WordNet) -> str:
    """`n02084071 dog, domestic dog < canine < carnivore [exact]`."""
    words = ", ".join(wordnet.lemmas(candidate.wnid)[:3])
    above = [wordnet.name(wnid) for wnid in wordnet.paths(candidate.wnid)[0][1:4]]
    return f"{candidate.wnid} {' < '.join((words, *above))} [{candidate.relation}]"


def read_decisions(path: str | Path, wordnet: WordNet) -> dict[str, Decision]:
    """What a person decided, by label: from a review file, or from a map's rows that are marked as reviewed.

    Raises:
        InputError, FormatError, LabelError: the file cannot be read, or a line is wrong; with the line.
    """
    lines = split_lines(read_text(Path(path)))
    skip = next((place for place, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    review = skip < len(lines) and "choice" in re.split(r"[\t,]", lines[skip])
    mark = "\t" if skip < len(lines) and "\t" in lines[skip] else ","
    table = csv_rows("\n".join(lines[skip:]), str(path), mark, first=skip + 1, quoted=review)
    decisions: dict[str, Decision] = {}
    columns = [column.strip().strip('"').casefold() for column in next(table, (0, []))[1]]
    if "label" not in columns or not ({"choice"} <= set(columns) or {"wnid", "reviewed"} <= set(columns)):
        raise FormatError(
            f"{path} line {skip + 1}: found columns {', '.join(columns)}; expected label and choice (a review "
            "file), or label, wnid and reviewed (a map)"
        )
    for line, cells in table:
        where = f"{path} line {line}"
        row = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
        decision = _decision(row, where, wordnet)
        if decision is None:
            continue
        if row["label"] in decisions:
            raise FormatError(f"{where}: label {row['label']!r} was decided above already")
        decisions[row["label"]] = decision
    return decisions


def _decision(row: Mapping[str, str], where: str, wordnet: WordNet) -> Decision | None:
    if "choice" not in row:
        if row.get("reviewed", "").casefold() != "yes":
            return None
        choice = row.get("wnid", "")
    else:
        choice = row["choice"]
    relation = check_relation(row.get("relation", ""), where)
    if not choice:
        return None
    if choice.casefold() == NO_SYNSET:
        return Decision(NO_SYNSET, "exact", row.get("note", ""))
    if choice.isdecimal() and len(choice) < 3:
        found = _PROPOSAL.fullmatch(row.get(choice, ""))
        if found is None:
            raise FormatError(f"{where}: there is no proposal {choice} for {row.get('label', '')!r}")
        choice = found.group(1)
        if not row.get("relation") and found.group(2):
            relation = check_relation(found.group(2), where)
    if choice not in wordnet:
        told = unknown_wnid(wordnet, choice)
        raise LabelError(f"{where}: {told}; expected 1 to {MOST_PROPOSALS}, a wnid, none, or nothing")
    return Decision(choice, relation, row.get("note", ""))
