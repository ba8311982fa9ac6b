"""Label spaces: what a data set calls its classes, and which WordNet synset each of them means.

A `LabelMap` is a reviewed table of label, wnid and *relation*: how the synset stands to the label.

    exact      the synset is what the label means
    broader    the synset is more general than the label: a positive for the synset, never a negative
    narrower   the synset is more special than the label
    close      they overlap

A label may also have no synset: `none` in the files. It is known, but has no row here: data sets reject its boxes.

`wordtree.label_files` reads them; `wordtree.mapping` finds their nodes in a tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from schemas.errors import FormatError, LabelError
from wordtree.suggestions import did_you_mean
from wordtree.wordnet import FIND_HINT, WordNet, load_wordnet, unknown_wnid

NO_SYNSET = "none"
_WNID = re.compile(r"n\d{8}")
Relation = Literal["exact", "broader", "narrower", "close"]
RELATIONS: tuple[str, ...] = get_args(Relation)


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One class of a data set.

    Attributes:
        label: the data set's own string.
        wnid: the synset it means.
        relation: how the synset stands to the label.
        display_name: a word for people.
        note: why this synset, if it needs saying.
        aliases: other spellings of the label in public files.
    """

    label: str
    wnid: str
    relation: Relation = "exact"
    display_name: str = ""
    note: str = ""
    aliases: tuple[str, ...] = ()


class LabelMap:
    """The label space of one data set, in the data set's order.

    Args:
        name: a short word for the space: `coco`; names its files in a tree directory.
        rows: the classes; may be empty if `every_wnid`.
        every_wnid: any wnid of WordNet is a label and means itself (ImageNet).
        unmapped: labels that no synset fits, and why; they are not in `rows`.
        where: the file the rows come from, for messages.

    Raises:
        FormatError: two rows share a label or an alias.
    """

    def __init__(
        self,
        name: str,
        rows: Iterable[LabelRow],
        *,
        every_wnid: bool = False,
        unmapped: Mapping[str, str] | None = None,
        where: str = "",
    ) -> None:
        self.name = name
        self.rows = tuple(rows)
        self.unmapped = dict(unmapped or {})
        self.every_wnid = every_wnid
        self.where = where or f"label space {name!r}"
        self._by_label: dict[str, LabelRow] = {}
        for row in self.rows:
            if row.label in self._by_label:
                raise FormatError(f"{self.where}: label {row.label!r} stands there twice; labels must be unique")
            self._by_label[row.label] = row
        for label in self.unmapped:
            if label in self._by_label:
                raise FormatError(f"{self.where}: label {label!r} stands there twice; labels must be unique")
        for row in self.rows:
            for alias in row.aliases:
                other = self._by_label.setdefault(alias, row)
                if other is not row:
                    raise FormatError(f"{self.where}: alias {alias!r} of {row.label!r} belongs to {other.label!r} too")

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, label: object) -> bool:
        return isinstance(label, str) and self.get(label) is not None

    def __repr__(self) -> str:
        return f"LabelMap({self.name!r}, {len(self)} labels{', every wnid' if self.every_wnid else ''})"

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in order, without aliases."""
        return tuple(row.label for row in self.rows)

    def get(self, label: str) -> LabelRow | None:
        """The row of a label or of one of its aliases; None if there is none."""
        row = self._by_label.get(label)
        if row is None and self.every_wnid and label in load_wordnet():
            row = LabelRow(label, label, display_name=load_wordnet().name(label))
            self._by_label[label] = row
        return row

    def row(self, label: str) -> LabelRow:
        """The row of a label or of one of its aliases.

        Raises:
            LabelError: there is none; the message suggests near labels.
        """
        row = self.get(label)
        if row is not None:
            return row
        if self.every_wnid:
            raise LabelError(f"{self.where}: {unknown_wnid(load_wordnet(), label)}")
        if label in self.unmapped:
            why = self.unmapped[label]
            raise LabelError(f"{self.where}: {label!r} has no synset{f' ({why})' if why else ''}")
        raise LabelError(f"{self.where}: {label!r} is none of its {len(self)} labels{self.near(label)}")

    def near(self, label: str) -> str:
        """The end of a message about a label that is none: `; did you mean 'dog'?`, or nothing."""
        inside = [wnid for wnid in _WNID.findall(label) if self.get(wnid) is not None]
        named = [row.label for row in self.rows if row.display_name.casefold() == label.casefold()]
        senses = load_wordnet().synsets_of(label)[:3] if self.every_wnid else ()
        found = [*inside[:1], *named[:1], *senses]
        return f"; did you mean {' or '.join(map(repr, found))}?" if found else did_you_mean(label, self._by_label)

    def wnid(self, label: str) -> str:
        """The synset that a label means.

        Raises:
            LabelError: as `row`.
        """
        return self.row(label).wnid


def check_wnids(rows: Sequence[tuple[int, LabelRow]], where: str, wordnet: WordNet) -> None:
    """Raise a LabelError that lists the rows whose wnid WordNet does not know, with their lines."""
    unknown = [(line, row.wnid) for line, row in rows if row.wnid not in wordnet]
    if len(unknown) == 1:
        line, wnid = unknown[0]
        raise LabelError(f"{where} line {line}: {unknown_wnid(wordnet, wnid)}")
    if unknown:
        told = ", ".join(f"line {line} {wnid!r}" for line, wnid in unknown[:10])
        more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
        raise LabelError(f"{where}: {len(unknown)} wnids are no noun synsets of WordNet 3.0: {told}{more}; {FIND_HINT}")


def check_relation(text: str, where: str) -> Relation:
    """The relation that a file names; an empty field means exact."""
    word = text.strip() or "exact"
    if word not in RELATIONS:
        raise FormatError(f"{where}: relation {word!r} is unknown; expected one of {', '.join(RELATIONS)}")
    return cast(Relation, word)
