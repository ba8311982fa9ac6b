"""What a person should look at in a tree and its label spaces, as data.

    warning  nested         a label lies below another label of the same space: "hot dog" below "sandwich"
    warning  shared node    two labels of one space stand on one node
    warning  set apart      a label is a kind of another one in WordNet, but the tree lets them exclude each other
    warning  unlabelled     a leaf that no label stands on: it is never a positive
    note     single         a group of one: its softmax is always 1 and teaches nothing
    note     same word      several nodes have the same display name
    note     wide           a group of more than `WIDE` siblings

In a list of wnids (ImageNet) labels lie below each other by nature, so there the first three are notes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from wordtree.build import CutEdge
from wordtree.tree import WordTree

WIDE = 100
LINT_COLUMNS = ("severity", "kind", "space", "node", "wnid", "message")

# For people: what one warning of a kind says, and what several say.
SUMMARIES = {
    "nested": (
        "a label lies below another one (wanted if it is finer)",
        "{count} labels lie below other labels (wanted if they are finer)",
    ),
    "shared node": ("labels share a node", "{count} nodes hold several labels"),
    "set apart": (
        "a label is a kind of another one, but the tree lets them exclude each other",
        "{count} labels are kinds of others, but the tree lets them exclude each other",
    ),
    "unlabelled": ("a leaf that no label stands on", "{count} leaves that no label stands on"),
}
NOTES = {
    "single": "group of one",
    "same word": "word of several nodes",
    "wide": f"group of more than {WIDE}",
    "nested": "wnid below another",
    "shared node": "shared node",
    "set apart": "wnids set apart",
}

_ID = re.compile(r"[0-9/]")

Severity = Literal["warning", "note"]


class Label(Protocol):
    """What lint needs to know of a placed label."""

    @property
    def label(self) -> str:
        """The data set's own string."""
        ...

    @property
    def wnid(self) -> str:
        """The synset it means."""
        ...

    @property
    def node(self) -> int:
        """Where it stands."""
        ...

    @property
    def display_name(self) -> str:
        """A word for people."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at.

    Attributes:
        severity: `warning` if training or evaluation may go wrong, else `note`.
        kind: one of the kinds at the head of this module.
        space: the label space it is about; empty for the tree as a whole.
        node: where.
        message: for people.
        brief: the same in a few words, for a list of examples: "hot dog < sandwich".
    """

    severity: Severity
    kind: str
    space: str
    node: int
    message: str
    brief: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.space}: {self.message}" if self.space else self.message


def lint(
    tree: WordTree, spaces: Mapping[str, Sequence[Label]], cut_edges: Iterable[CutEdge] = ()
) -> tuple[Finding, ...]:
    """Everything to look at, warnings first.

    Args:
        tree: the tree.
        spaces: by name, the labels of a space and their nodes; without spaces, leaves count as labelled.
        cut_edges: is-a relations that the tree leaves out.
    """
    cut = tuple(cut_edges)
    found = [finding for name, labels in spaces.items() for finding in lint_space(name, labels, tree, cut)]
    if spaces:
        labelled = {label.node for labels in spaces.values() for label in labels}
        found.extend(
            Finding(
                "warning",
                "unlabelled",
                "",
                node,
                f"{_named(tree, node)} is a leaf that no label stands on",
                tree.display_names[node],
            )
            for node in range(len(tree))
            if tree.is_leaf[node] and node not in labelled
        )
    found.extend(_lint_shape(tree))
    return tuple(sorted(found, key=lambda finding: finding.severity != "warning"))


def lint_space(
    name: str, labels: Sequence[Label], tree: WordTree, cut_edges: Iterable[CutEdge] = ()
) -> tuple[Finding, ...]:
    """Labels of one space on one node, and labels that are kinds of other labels: by the tree, or by an edge of
    WordNet that the tree leaves out.

    "hot dog" lies below "sandwich": a box of one is not a negative for the other.
    """
    severity: Severity = "note" if all(label.label == label.wnid for label in labels) else "warning"
    at: dict[int, list[str]] = {}
    for label in labels:
        at.setdefault(label.node, []).append(_word(label))
    found: list[Finding] = []
    for node, words in at.items():
        if len(words) > 1:
            told = f"{' and '.join(words)} share the node {_named(tree, node)}"
            found.append(Finding(severity, "shared node", name, node, told, " = ".join(map(_bare, words))))
        above = next((step for step in tree.ancestors(node) if step in at), None)
        if above is not None:
            told = f"{words[0]} lies below {at[above][0]}: {tree.describe_path(node)}"
            found.append(Finding(severity, "nested", name, node, told, f"{_bare(words[0])} < {_bare(at[above][0])}"))
    for edge in cut_edges:
        node = tree.index(edge.child)
        child, hypernym = at.get(node), at.get(tree.index(edge.hypernym))
        if child and hypernym:
            told = f"{child[0]} is a kind of {hypernym[0]}, but not below it: the tree lets them exclude each other"
            brief = f"{_bare(child[0])} < {_bare(hypernym[0])}"
            found.append(Finding(severity, "set apart", name, node, told, brief))
    return tuple(found)


def lint_lines(
    findings: Sequence[Finding], *, examples: int = 2, verbose: bool = False, full_in: str = ""
) -> list[str]:
    """The findings for people: a line for the warnings of each kind and space, and one that counts the notes.

    Args:
        findings: from `lint`.
        examples: how many warnings of a kind are told as examples.
        verbose: tell every warning in words, one a line.
        full_in: the file that holds all, for the last line.
    """
    warnings = [finding for finding in findings if finding.severity == "warning"]
    if verbose:
        lines = [f"look at  {finding}" for finding in warnings]
    else:
        groups: dict[tuple[str, str], list[Finding]] = {}
        for finding in warnings:
            groups.setdefault((finding.kind, finding.space), []).append(finding)
        lines = [f"look at  {_summary(group, examples)}" for group in groups.values()]
    notes = Counter(finding.kind for finding in findings if finding.severity == "note")
    if notes:
        lines.append("notes    " + ", ".join(f"{count:,} × {NOTES[kind]}" for kind, count in notes.items()))
    if lines and full_in:
        lines[-1] += f"; all in {full_in}"
    return lines


def _summary(group: Sequence[Finding], examples: int) -> str:
    """All warnings of one kind in a line: how many, what it means, the first of them."""
    one, several = SUMMARIES[group[0].kind]
    told = one if len(group) == 1 else several.format(count=f"{len(group):,}")
    shown = [finding.brief for finding in group[:examples]] + (["…"] if len(group) > examples > 0 else [])
    space = f"{group[0].space}: " if group[0].space else ""
    return f"{space}{told}{': ' if shown else ''}{', '.join(shown)}"


def lint_rows(findings: Iterable[Finding], tree: WordTree) -> Iterable[tuple[str, ...]]:
    """The findings as rows with `LINT_COLUMNS`."""
    for found in findings:
        yield found.severity, found.kind, found.space, str(found.node), tree.names[found.node], found.message


def _lint_shape(tree: WordTree) -> Iterable[Finding]:
    for group, (start, size) in enumerate(zip(tree.group_start.tolist(), tree.group_size.tolist(), strict=True)):
        above = int(tree.parent[start])
        where = "the roots" if above < 0 else f"below {_named(tree, above)}"
        if size == 1:
            yield Finding("note", "single", "", start, f"{_named(tree, start)} stands alone {where}")
        if size > WIDE:
            yield Finding("note", "wide", "", start, f"{size} siblings {where} (group {group})")
    nodes: dict[str, list[int]] = {}
    for node, word in enumerate(tree.display_names):
        nodes.setdefault(word.casefold(), []).append(node)
    for same in nodes.values():
        if len(same) > 1:
            told = ", ".join(tree.names[node] for node in same[:5]) + (" …" if len(same) > 5 else "")
            yield Finding("note", "same word", "", same[0], f"{tree.display_names[same[0]]!r} is the word of {told}")


def _word(label: Label) -> str:
    """The label in quotes, and what it means if it is a number or an id."""
    shown = label.display_name
    return f"{label.label!r} ({shown})" if shown and _ID.search(label.label) else repr(label.label)


def _bare(word: str) -> str:
    """A word of `_word` without its quotes or, for an id, what the id means."""
    quoted, _, meaning = word.partition(" (")
    return meaning.removesuffix(")") if meaning and _ID.search(quoted) else word[1:-1]


def _named(tree: WordTree, node: int) -> str:
    return f"{tree.names[node]} ({tree.display_names[node]})"
