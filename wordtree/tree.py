"""The WordTree: a hierarchy of concepts as flat arrays, ready for a softmax per group of siblings.

Nodes are numbered so that parents come before their children and siblings stand side by side. A *group* is such a run
of siblings: one softmax covers it. Group 0 is the roots. (YOLO9000, section 4, "Hierarchical classification"; the
order is the one that darknet's .tree files need.)

Shape shorthand: N nodes, G groups, D largest depth.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from schemas.errors import LabelError, TreeError
from wordtree.suggestions import did_you_mean

_NO_WORD = re.compile("[\n\r\0\ufeff\ud800-\udfff]")  # what a line of a UTF-8 text file cannot hold

IntArray = NDArray[np.int32]
BoolArray = NDArray[np.bool_]


class WordTree:
    """An immutable tree of concepts. Equal trees have equal names and parents; display names do not count.

    Attributes:
        names: N unique keys, normally wnids (`n02084071`).
        display_names: N words for people; they may repeat.
        parent: int32[N], the parent's node; -1 for a root.
        depth: int32[N]; roots have 0.
        max_depth: D.
        is_leaf: bool[N].
        group: int32[N], the group that a node belongs to.
        group_start: int32[G], first node of a group.
        group_size: int32[G], number of siblings in a group; sums to N.
        child_group: int32[N], the group of a node's children; -1 for a leaf.

    All arrays are read-only.
    """

    names: tuple[str, ...]
    display_names: tuple[str, ...]
    parent: IntArray
    depth: IntArray
    max_depth: int
    is_leaf: BoolArray
    group: IntArray
    group_start: IntArray
    group_size: IntArray
    child_group: IntArray

    def __init__(
        self,
        names: Sequence[str],
        parent: Sequence[int] | NDArray[np.integer],
        display_names: Sequence[str] | None = None,
    ) -> None:
        """Check the invariants once and derive the arrays.

        Args:
            names: N keys, unique, without white space.
            parent: N parents. parent[i] < i; -1 for roots; siblings stand side by side.
            display_names: N words for people; the names themselves if left out.

        Raises:
            TreeError: an invariant does not hold; the message names the node and its line in a .tree file.
        """
        words = tuple(names)
        shown = words if display_names is None else tuple(display_names)
        parents = np.asarray(parent)
        _check_names(words, shown)
        _check_parents(words, parents)
        parents = parents.astype(np.int32)

        starts_group = np.empty(len(words), dtype=bool)
        starts_group[0] = True
        np.not_equal(parents[1:], parents[:-1], out=starts_group[1:])
        group_start = np.flatnonzero(starts_group).astype(np.int32)
        group_parent = parents[group_start]
        _check_siblings(words, parents, group_start, group_parent)

        group_size = np.diff(np.append(group_start, len(words))).astype(np.int32)
        child_group = np.full(len(words), -1, dtype=np.int32)
        child_group[group_parent[1:]] = np.arange(1, len(group_start), dtype=np.int32)
        depth = _depths(parents)
        self._set("names", words)
        self._set("display_names", shown)
        self._set("parent", parents)
        self._set("depth", depth)
        self._set("max_depth", int(depth.max()))
        self._set("is_leaf", child_group < 0)
        self._set("group", (np.cumsum(starts_group) - 1).astype(np.int32))
        self._set("group_start", group_start)
        self._set("group_size", group_size)
        self._set("child_group", child_group)

    def _set(self, name: str, value: object) -> None:
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
        object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a WordTree cannot be changed; build a new one instead of setting {name!r}")

    def __reduce__(self) -> tuple[object, ...]:
        return WordTree, (self.names, self.parent, self.display_names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def __eq__(self, other: object) -> bool:
        return self.digest() == other.digest() if isinstance(other, WordTree) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest())

    def __repr__(self) -> str:
        return f"WordTree({len(self)} nodes, {self.num_groups} groups, depth {self.max_depth}, {self.digest()[:12]})"

    @property
    def num_groups(self) -> int:
        """G, the number of sibling groups: one softmax each."""
        return len(self.group_start)

    @functools.cached_property
    def _index(self) -> dict[str, int]:
        return {name: node for node, name in enumerate(self.names)}

    @functools.cached_property
    def _path_table(self) -> IntArray:
        table = np.full((len(self), self.max_depth + 1), -1, dtype=np.int32)
        nodes = np.arange(len(self), dtype=np.int32)
        for depth in range(self.max_depth + 1):
            here = nodes[self.depth == depth]
            if depth:
                table[here, :depth] = table[self.parent[here], :depth]
            table[here, depth] = here
        table.setflags(write=False)
        return table

    @functools.cached_property
    def _digest(self) -> str:
        lines = (f"{name} {parent}\n" for name, parent in zip(self.names, self.parent.tolist(), strict=True))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def digest(self) -> str:
        """sha256 over names and parents, as hex: the sha256 of the tree's .tree file. Manifests and weights keep it."""
        return self._digest

    def index(self, name: str) -> int:
        """The node with this name.

        Raises:
            LabelError: the tree has no such node; the message suggests near names.
        """
        node = self._index.get(name)
        if node is None:
            raise LabelError(f"{name!r} is no node of the tree ({len(self)} nodes){self._near(name)}")
        return node

    def path(self, node: int) -> tuple[int, ...]:
        """The nodes from the root to `node`, both included."""
        self._check(node)
        return tuple(self._path_table[node, : int(self.depth[node]) + 1].tolist())

    def ancestors(self, node: int) -> tuple[int, ...]:
        """The nodes above, nearest first, without `node` itself."""
        return self.path(node)[-2::-1]

    def children(self, node: int) -> range:
        """The children, side by side; empty for a leaf."""
        self._check(node)
        group = int(self.child_group[node])
        if group < 0:
            return range(0)
        start = int(self.group_start[group])
        return range(start, start + int(self.group_size[group]))

    def roots(self) -> range:
        """The nodes of group 0."""
        return range(int(self.group_size[0]))

    def descendants(self, node: int) -> IntArray:
        """int32[...], all nodes below, ascending, without `node` itself."""
        self._check(node)
        below = np.flatnonzero(self._path_table[:, self.depth[node]] == node).astype(np.int32)
        return below[below != node]

    def lca(self, a: int, b: int) -> int:
        """The lowest common ancestor, which may be `a` or `b` itself; -1 if they hang under different roots."""
        self._check(a)
        self._check(b)
        first, second = self._path_table[a], self._path_table[b]
        same = (first == second) & (first >= 0)
        return int(first[same][-1]) if same.any() else -1

    def path_table(self) -> IntArray:
        """int32[N, D+1], row n is the path of node n, root first, padded with -1. Read-only."""
        return self._path_table

    def ancestor_mask(self, node: int) -> BoolArray:
        """bool[N], true on the path of `node`, itself included: what a label at `node` says is present."""
        mask = np.zeros(len(self), dtype=bool)
        mask[list(self.path(node))] = True
        return mask

    def describe_path(self, node: int) -> str:
        """For people: `bird > penguin > king penguin`."""
        return " > ".join(self.display_names[step] for step in self.path(node))

    def _check(self, node: int) -> None:
        if not 0 <= node < len(self):
            raise IndexError(f"node {node} is outside the tree; expected 0..{len(self) - 1}")

    def _near(self, name: str) -> str:
        shown = [node for node, word in enumerate(self.display_names) if word.casefold() == name.casefold()]
        if shown and self.names[shown[0]] != name:
            told = " or ".join(f"{self.names[node]!r} ({self.display_names[node]})" for node in shown[:3])
            return f"; did you mean {told}?"
        if name[1:].isdigit():
            return "; it may be merged into a parent or belong to another tree"
        return did_you_mean(name, (*self.names, *self.display_names))


def _where(names: Sequence[str], node: int) -> str:
    return f"line {node + 1}: node {names[node]!r}"


def _check_names(names: Sequence[str], display_names: Sequence[str]) -> None:
    if not names:
        raise TreeError("the tree has no nodes; expected at least one root")
    if len(display_names) != len(names):
        raise TreeError(f"found {len(display_names)} display names for {len(names)} nodes; expected one for each")
    first: dict[str, int] = {}
    for node, name in enumerate(names):
        if not name.isprintable() or name.split() != [name]:
            raise TreeError(f"{_where(names, node)}: a name must not be empty or hold white space or unseen characters")
        if first.setdefault(name, node) != node:
            raise TreeError(f"{_where(names, node)} stands on line {first[name] + 1} already; names must be unique")
    for node, word in enumerate(display_names):
        if not word.strip() or _NO_WORD.search(word):
            raise TreeError(f"{_where(names, node)}: display name {word!r} must be one line of text and not empty")


def _check_parents(names: Sequence[str], parent: NDArray[np.generic]) -> None:
    if parent.ndim != 1 or len(parent) != len(names):
        raise TreeError(f"found parents of shape {parent.shape} for {len(names)} nodes; expected one for each")
    if parent.dtype.kind not in "iu":
        raise TreeError(f"parents have type {parent.dtype}; expected integers")
    values = parent.astype(np.int64)
    if int(values[0]) != -1:
        raise TreeError(f"{_where(names, 0)} has parent {values[0]}; the first node must be a root (parent -1)")
    bad = np.flatnonzero(values < -1)
    if len(bad):
        raise TreeError(f"{_where(names, int(bad[0]))} has parent {values[bad[0]]}; expected -1 or more")
    bad = np.flatnonzero(values >= np.arange(len(names)))
    if len(bad):
        node = int(bad[0])
        raise TreeError(
            f"{_where(names, node)} has parent {values[node]}, but parents must come before their children "
            f"(expected less than {node})"
        )


def _check_siblings(
    names: Sequence[str], parent: IntArray, group_start: IntArray, group_parent: NDArray[np.integer]
) -> None:
    _, first_seen = np.unique(group_parent, return_index=True)
    if len(first_seen) == len(group_parent):
        return
    repeated = np.ones(len(group_parent), dtype=bool)
    repeated[first_seen] = False
    node = int(group_start[np.flatnonzero(repeated)[0]])
    above = int(parent[node])
    kin = "the roots" if above < 0 else f"the children of {names[above]!r}"
    raise TreeError(
        f"{_where(names, node)} stands apart from its siblings: {kin} must stand side by side (they begin on "
        f"line {int(np.flatnonzero(parent == above)[0]) + 1})"
    )


def _depths(parent: IntArray) -> IntArray:
    depth: list[int] = []
    above: int
    for above in parent.tolist():  # parents come first, so one pass is enough, however deep the tree is
        depth.append(depth[above] + 1 if above >= 0 else 0)
    return np.array(depth, dtype=np.int32)


def from_parents(
    parent_of: dict[str, str | None], display_name: dict[str, str] | None = None, *, order: Iterable[str] | None = None
) -> WordTree:
    """A tree from a mapping of name to parent's name (None for roots), laid out as darknet lays out 9k.tree.

    All roots first; then, node by node, its children as one block followed by what is below each child in turn.
    Siblings stand in the order of `order`, by default sorted by name.

    Raises:
        TreeError: a parent is not a key, or the mapping has a cycle.
    """
    children: dict[str | None, list[str]] = {}
    for name in sorted(parent_of) if order is None else order:
        above = parent_of[name]
        if above is not None and above not in parent_of:
            raise TreeError(f"node {name!r} has parent {above!r}, which is not in the tree")
        children.setdefault(above, []).append(name)
    names: list[str] = []
    index: dict[str | None, int] = {None: -1}
    blocks: list[str | None] = [None]
    while blocks:
        block = children.get(blocks.pop(), [])
        for name in block:
            index[name] = len(names)
            names.append(name)
        blocks.extend(reversed(block))
    if len(names) != len(parent_of):
        lost = min(set(parent_of) - set(names))
        raise TreeError(f"node {lost!r} does not lead up to a root; the parents form a cycle")
    shown = None if display_name is None else [display_name.get(name, name) for name in names]
    return WordTree(names, [index[parent_of[name]] for name in names], shown)
