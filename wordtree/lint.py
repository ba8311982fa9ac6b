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
from dataclasses import dataclass
from typing import Literal, Protocol

from wordtree.build import CutEdge
from wordtree.tree import WordTree

WIDE = 100
LINT_COLUMNS = ("severity", "kind", "space", "node", "wnid", "message")

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
    """

    severity: Severity
    kind: str
    space: str
    node: int
    message: str

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
            Finding("warning", "unlabelled", "", node, f"{_named(tree, node)} is a leaf that no label stands on")
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
            found.append(Finding(severity, "shared node", name, node, told))
        above = next((step for step in tree.ancestors(node) if step in at), None)
        if above is not None:
            told = f"{words[0]} lies below {at[above][0]}: {tree.describe_path(node)}"
            found.append(Finding(severity, "nested", name, node, told))
    for edge in cut_edges:
        node = tree.index(edge.child)
        child, hypernym = at.get(node), at.get(tree.index(edge.hypernym))
        if child and hypernym:
            told = f"{child[0]} is a kind of {hypernym[0]}, but not below it: the tree lets them exclude each other"
            found.append(Finding(severity, "set apart", name, node, told))
    return tuple(found)


def lint_lines(findings: Sequence[Finding], *, most: int = 10, full_in: str = "") -> list[str]:
    """The findings for people: the first warnings in words, everything else counted.

    Args:
        findings: from `lint`.
        most: how many are told in words.
        full_in: the file that holds all, for the last line.
    """
    warnings = [finding for finding in findings if finding.severity == "warning"]
    lines = [f"look at  {finding}" for finding in warnings[:most]]
    rest = Counter(f"{finding.severity}: {finding.kind}" for finding in findings)
    for finding in warnings[:most]:
        rest[f"{finding.severity}: {finding.kind}"] -= 1
    counted = ", ".join(f"{count} × {kind}" for kind, count in rest.items() if count > 0)
    if counted:
        lines.append(f"look at  … {'and ' if lines else ''}{counted}{f' (all in {full_in})' if full_in else ''}")
    return lines


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


def _named(tree: WordTree, node: int) -> str:
    return f"{tree.names[node]} ({tree.display_names[node]})"
