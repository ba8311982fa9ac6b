"""Pieces of HTML that sections share: tables, figures with their numbers, pictures with boxes. All text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from pipelines.data_card.pictures import Picture


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page: its anchor, its heading (plain text), its HTML."""

    key: str
    heading: str
    html: str


def number(value: float | None) -> str:
    """A number for people; nothing for None."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}" if abs(value) < 1 else f"{value:,.1f}"


def used_columns(
    heads: Sequence[str], rows: Sequence[Sequence[str | int | float | None]], droppable: Iterable[str]
) -> tuple[list[str], list[list[str | int | float | None]]]:
    """The table without those of the droppable columns in which nothing stands."""
    gone = {n for n, head in enumerate(heads) if head in set(droppable) and not any(row[n] for row in rows)}
    kept = [n for n in range(len(heads)) if n not in gone]
    return [heads[n] for n in kept], [[row[n] for n in kept] for row in rows]


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str | int | float | None]], *, key: str = "", wide: bool = False
) -> str:
    """A table; the first cell of a row is its head, numbers stand right, text that begins with `<` is trusted HTML.

    One that is `wide` has heads that are broken into lines, and its first column stays in sight where it is scrolled.
    """
    body, right = [], set()
    for row in rows:
        cells = []
        for place, value in enumerate(row):
            if place == 0:
                text = str(value)
                cells.append(f'<th scope="row" class="name">{text if text.startswith("<") else escape(text)}</th>')
            elif isinstance(value, str):
                cells.append(f"<td{_class(value)}>{value if value.startswith('<') else escape(value)}</td>")
            else:
                right.add(place)
                cells.append(f'<td class="num">{number(value)}</td>')
        body.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(
        f'<th scope="col"{" class=num" if place in right else ""}>{escape(name)}</th>'
        for place, name in enumerate(heads)
    )
    ident = f' id="{key}"' if key else ""
    name = escape(heads[0] or "numbers")
    return (
        f'<div class="scroll{" wide" if wide else ""}" tabindex="0" role="region" aria-label="{name}"><table{ident}>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _class(value: str) -> str:
    return ' class="bar"' if value.startswith("<i ") else ""


def bar(*shares: float) -> str:
    """Bars for a table's cell, one below the other; shares in [0, 1]."""
    return "".join(f'<i style="width:{100 * min(max(share, 0), 1):.1f}%"></i>' for share in shares)


def figure(plot: str, caption: str, numbers: str = "", *, heading: str = "") -> str:
    """A plot, what it shows, and its numbers as a table that can be opened."""
    more = f'<details class="numbers"><summary>as a table</summary>{numbers}</details>' if numbers else ""
    head = f"<h4>{escape(heading)}</h4>" if heading else ""
    return f"<figure>{head}{plot}<figcaption>{escape(caption)}</figcaption>{more}</figure>"


def tiles(rows: Sequence[tuple[str, str]]) -> str:
    """Large numbers with what they are."""
    return (
        '<div class="tiles">'
        + "".join(f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>' for value, name in rows)
        + "</div>"
    )


def pictures(shown: Sequence[Picture], *, small: bool = False) -> str:
    """A row of pictures with their boxes; a note stands where a picture cannot."""
    if not shown:
        return ""
    parts = []
    for one in shown:
        text = escape(one.caption)
        if one.src:
            boxes = "".join(
                f'<rect x="{xmin * one.width:.1f}" y="{ymin * one.height:.1f}" width="{(xmax - xmin) * one.width:.1f}" '
                f'height="{(ymax - ymin) * one.height:.1f}"><title>{escape(name)}</title></rect>'
                for ymin, xmin, ymax, xmax, name in one.boxes
            )
            inside = (
                f'<svg viewBox="0 0 {one.width} {one.height}" role="img" aria-label="{text or "picture"}">'
                f'<image href="{one.src}" width="{one.width}" height="{one.height}"/>{boxes}</svg>'
            )
        else:
            inside = f"<p>{escape(one.note)}</p>"
        caption = f'<figcaption title="{text}">{text}</figcaption>' if text else ""
        parts.append(f'<figure><div class="frame">{inside}</div>{caption}</figure>')
    return f'<div class="pictures{" small" if small else ""}">{"".join(parts)}</div>'


def per_dataset(names: Sequence[str], blocks: Sequence[str], *, three: bool = False) -> str:
    """One block for each dataset, side by side; headings only if there are several."""
    headed = [
        f"<div>{f'<h4>{escape(name)}</h4>' if len(names) > 1 else ''}{block}</div>"
        for name, block in zip(names, blocks, strict=True)
        if block
    ]
    return f'<div class="grid{" three" if three else ""}">{"".join(headed)}</div>'
