"""The card as a few lines of text, for terminals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.data_card.card import Card
from pipelines.statistics.image_figures import SHARES
from pipelines.statistics.results import known_formats, known_sizes

CLASSES = 5
REASONS = 5


def text_lines(card: Card) -> list[str]:
    """The summary: each dataset, then what several have in common."""
    lines: list[str] = []
    for number in range(len(card.files)):
        lines += [*_dataset(card, number), ""]
    lines += _between(card)
    return lines[:-1] if lines and not lines[-1] else lines


def _dataset(card: Card, number: int) -> Iterator[str]:
    files, found, tail = card.files[number], card.statistics.datasets[number], card.tails[number]
    counts = found.annotations.classes.values()
    boxes, labels, absent = (sum(row[k] for row in counts) for k in range(3))
    index, sizes, load = found.index, found.images.box_sizes, found.images.load
    yield f"{card.names[number]}  ({files.manifest.source}, {files.path})"
    said = [_many(boxes, "box", "boxes")] if boxes or files.manifest.has_boxes else []
    said += [_many(labels, "label", "labels")] if labels else []
    said += [_many(absent, "label", "labels") + " of absence"] if absent else []
    yield f"  images    {index.images.images:,} with {', '.join(said) or 'nothing said'}"
    formats = ", ".join(f"{name} {n:,}" for name, n in known_formats(index))
    sizes_known = len(known_sizes(index))
    told = [formats] if formats else []
    told += [f"{sizes_known:,} different size{'s' * (sizes_known != 1)}"] if sizes_known else []
    if told:
        yield f"  formats   {'; '.join(told)}"
    yield (
        f"  classes   {tail.classes - tail.none:,} of {tail.classes:,} occur: {tail.frequent:,} frequent, "
        f"{tail.common:,} common, {tail.rare:,} rare; Gini {tail.gini:.3f}, effective number {tail.effective:.1f}"
    )
    top = [(row.name, count.images) for row in card.classes if (count := row.counts[number]) and count.images]
    top.sort(key=lambda row: (-row[1], row[0]))
    if top:
        yield f"  most      {', '.join(f'{name} {n:,}' for name, n in top[:CLASSES])} images"
    if sum(sizes.coco):
        total = sum(sizes.coco)
        split = ", ".join(
            f"{100 * n / total:.0f} % {name}" for name, n in zip(("small", "medium", "large"), sizes.coco, strict=True)
        )
        middle = sizes.quantiles[SHARES.index(0.5)]
        mean = sum(n * images for n, images in load.boxes.items()) / max(sum(load.boxes.values()), 1)
        yield f"  boxes     {split}; median side {middle:.0f} pixels; {mean:.2f} an image"
    inside = card.statistics.same_bytes.inside[number]
    if inside.contents:
        occur = "occurs" if inside.contents == 1 else "occur"
        yield (
            f"  repeats   {_many(inside.contents, 'file', 'files')} {occur} more than once, "
            f"{_many(inside.more, 'image', 'images')} too many"
        )
    if found.images.orphans:
        yield f"  damaged   {found.images.orphans:,} annotations speak of images that the index does not have"
    for reason in found.rejects[:REASONS]:
        yield f"  rejected  {reason.count:,} {reason.reason}"
    if len(found.rejects) > REASONS:
        yield f"  rejected  {len(found.rejects) - REASONS:,} more reasons"


def _many(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _between(card: Card) -> Sequence[str]:
    if len(card.files) < 2:
        return []
    shared = card.statistics.same_bytes.between
    if not shared:
        return ["leaks     no file stands in two of the datasets"]
    return [
        f"leaks     {card.names[p.first]} and {card.names[p.second]} share {_many(p.contents, 'file', 'files')}: "
        f"{_many(p.images_first, 'image', 'images')} of the first, {p.images_second:,} of the second"
        for p in shared
    ]
