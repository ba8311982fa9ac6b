"""Boxes and labels of one image spread through the hierarchy, by the rules of `wordtree.expansion`.

Copies keep source and verification of the row that they come from; `extra` of a copied box names its class. Labels are
spread for each source apart, so that what a machine thinks does not look verified. Classes that are not in the
hierarchy stay as they are. Contradictions are kept: both sides are what somebody said.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from pipelines.open_images.parsing import merged_extra
from pipelines.rows import BoxRow, LabelRow
from wordtree.expansion import Ancestry, expand_boxes, expand_labels


def spread_boxes(boxes: list[BoxRow], ancestry: Ancestry) -> list[BoxRow]:
    """All boxes, each followed by its copies for the classes above; the same class and box is not made twice."""
    known = [box for box in boxes if box.class_key in ancestry]
    first: dict[object, BoxRow] = {}
    own: dict[tuple[str, object], list[BoxRow]] = {}
    for box in known:
        first.setdefault(_place(box), box)
        own.setdefault((box.class_key, _place(box)), []).append(box)
    spread: list[BoxRow] = []
    for class_key, place in expand_boxes([(box.class_key, _place(box)) for box in known], ancestry):
        given = own.get((class_key, place))
        if given is not None:
            spread.extend(given)
            continue
        box = first[place]
        told = msgspec.json.encode({"expanded_from": box.class_key}).decode()
        spread.append(replace(box, class_key=class_key, annotation_id="", extra=merged_extra(box.extra, told)))
    return spread + [box for box in boxes if box.class_key not in ancestry]


def _place(box: BoxRow) -> object:
    return (box.ymin, box.xmin, box.ymax, box.xmax, box.is_group_of)


def spread_labels(labels: list[LabelRow], ancestry: Ancestry) -> list[LabelRow]:
    """All labels, then for each source its copies: positives for classes above, verified negatives for those below.

    A copy has the highest confidence of the labels that it comes from.
    """
    spread = list(labels)
    for source in dict.fromkeys(label.source for label in labels):
        known = [label for label in labels if label.source == source and label.class_key in ancestry]
        positives = {label.class_key for label in known if label.present}
        negatives = {label.class_key for label in known if not label.present}
        expanded = expand_labels(positives, negatives, ancestry)
        for present, classes in ((True, expanded.positives - positives), (False, expanded.negatives - negatives)):
            for class_key in sorted(classes):
                related = ancestry.descendants(class_key) if present else ancestry.ancestors(class_key)
                come_from = [label for label in known if label.present == present and label.class_key in related]
                spread.append(replace(max(come_from, key=lambda label: label.confidence), class_key=class_key))
    return spread
