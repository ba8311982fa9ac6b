"""The classes of a dataset: their ids, their concepts, their nodes in a tree.

All are resolved before any work starts, so that a missing mapping is one error that lists what is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pipelines.sources.base import DatasetClass
from schemas.errors import LabelError
from schemas.label_map import LabelMapItem
from schemas.manifest import ClassEntry, is_key

if TYPE_CHECKING:
    from wordtree.tree import WordTree

NO_LABEL_MAP = "none"
SHOWN = 8  # classes that a message lists
_REJECT = "reject their annotations with --on-unknown-class reject, "  # advice where something is left then


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """The classes that are kept.

    Attributes:
        source: name of the dataset format.
        classes: by the key that rows use, in the order of their ids.
        dropped: labels of classes that have no concept; their annotations are rejected.
        tree_digest: of the tree that the nodes belong to, "" when there is none.
    """

    source: str
    classes: Mapping[str, ClassEntry]
    dropped: tuple[str, ...] = ()
    tree_digest: str = ""


def resolve_classes(
    classes: Sequence[DatasetClass],
    spec: str,
    *,
    source: str,
    tree_path: str = "",
    on_unknown: Literal["error", "reject"] = "error",
) -> LabelSpace:
    """Find concept and node of every class.

    Args:
        classes: as the dataset declares them.
        spec: a label map as `wordtree.label_files.load_label_map` takes it, or "none" for classes without concepts.
        source: name of the dataset format.
        tree_path: a tree that must know every concept, or "".
        on_unknown: whether a class that the map or the tree does not know ends the run, or its annotations are
            rejected.

    Raises:
        LabelError: listing the classes that the map or the tree does not know, or that share a name.
    """
    if spec == NO_LABEL_MAP:
        if tree_path:
            raise LabelError("--labels none gives no wnids, but --tree needs them; leave one of the two out")
        entries = {c.key: ClassEntry(id=c.id, label=c.label) for c in classes}
        return LabelSpace(source, entries)
    entries, unknown = _map_classes(classes, spec)
    if unknown and (on_unknown == "error" or not entries):
        raise LabelError(
            f"label map {spec!r} does not know {_with_hints(unknown, spec)} of the dataset's {len(classes)} classes. "
            f"Give a table with --labels FILE, {_REJECT if entries else ''}or take no map with --labels none"
        )
    if not tree_path:
        return LabelSpace(source, entries, tuple(unknown))
    return _place_in_tree(LabelSpace(source, entries, tuple(unknown)), tree_path, spec, on_unknown)


def _map_classes(classes: Sequence[DatasetClass], spec: str) -> tuple[dict[str, ClassEntry], list[str]]:
    from wordtree.label_files import load_label_map

    repeated = [label for label, count in Counter(c.label for c in classes).items() if count > 1]
    if repeated:
        raise LabelError(
            f"the dataset has several classes named {_listed(repeated)}, and a label map goes by name. Rename them in "
            "the annotations, or take no map with --labels none"
        )
    label_map = load_label_map(spec)
    entries: dict[str, ClassEntry] = {}
    unknown: list[str] = []
    for found in classes:
        row = label_map.get(found.label)
        if row is None:
            unknown.append(found.label)
            continue
        entries[found.key] = ClassEntry(
            id=found.id,
            label=found.label,
            wnid=row.wnid,
            display_name=row.display_name,
            relation=row.relation,
        )
    return entries, unknown


def _place_in_tree(space: LabelSpace, tree_path: str, spec: str, on_unknown: Literal["error", "reject"]) -> LabelSpace:
    tree = _read_tree(tree_path)
    missing = [entry for entry in space.classes.values() if entry.wnid not in tree]
    if missing and (on_unknown == "error" or len(missing) == len(space.classes)):
        told = _listed([f"{entry.label} ({entry.wnid})" for entry in missing])
        some = len(missing) < len(space.classes)
        raise LabelError(
            f"the tree {tree_path!r} has no node for {told}. "
            f"Build it again with this dataset's labels: wordtree tree build --labels {spec} ... --out {tree_path} "
            "(people of ImageNet are left out there unless --include-person is given)"
            + f", or {_REJECT.removesuffix(', ')}"
            * some
        )
    placed = {
        key: replace(entry, node=tree.index(entry.wnid)) for key, entry in space.classes.items() if entry.wnid in tree
    }
    dropped = (*space.dropped, *(entry.label for entry in missing))
    return replace(space, classes=placed, dropped=dropped, tree_digest=tree.digest())


def _read_tree(path: str) -> WordTree:
    from wordtree.files import read_tree

    return read_tree(path)


def _with_hints(unknown: Sequence[str], spec: str) -> str:
    """Labels that a map does not know, each with the one that may be meant."""
    from wordtree.label_files import load_label_map

    near = [(label, load_label_map(spec).near(label).removeprefix("; ")) for label in unknown[:SHOWN]]
    shown = ", ".join(f"{label!r} ({hint})" if hint else repr(label) for label, hint in near)
    return shown + (f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else "")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def label_map_items(space: LabelSpace, tree_path: str = "") -> list[LabelMapItem]:
    """The classes as labels.pbtxt has them; with a tree, each with its ancestors and descendants among the classes.

    Readers look a record's class text up among names and display names, so one of the two is the dataset's own label.
    """
    entries = list(space.classes.values())
    above: dict[int, tuple[int, ...]] = {}
    below: dict[int, list[int]] = {}
    if tree_path:
        tree = _read_tree(tree_path)
        ids_at: dict[int | None, list[int]] = {}
        for entry in entries:
            ids_at.setdefault(entry.node, []).append(entry.id)
        for entry in entries:
            assert entry.node is not None  # resolve_classes placed all or raised
            ancestors = [number for node in tree.ancestors(entry.node) for number in ids_at.get(node, ())]
            above[entry.id] = tuple(ancestors)
            for number in ancestors:
                below.setdefault(number, []).append(entry.id)
    return [
        LabelMapItem(
            name=entry.label if is_key(entry.label) else entry.wnid or entry.label,
            id=entry.id,
            display_name=entry.name,
            ancestor_ids=above.get(entry.id, ()),
            descendant_ids=tuple(sorted(below.get(entry.id, ()))),
        )
        for entry in entries
    ]
