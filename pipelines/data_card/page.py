"""The card as one HTML file: no asset outside it, no network (a policy forbids it), no clock: same data, same bytes."""

from __future__ import annotations

from html import escape

from pipelines.data_card import class_sections, fault_sections, image_sections
from pipelines.data_card.card import Card
from pipelines.data_card.markup import Section
from pipelines.data_card.style import SCRIPT, STYLE

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def sections(card: Card) -> list[Section]:
    """The sections in their order."""
    return [
        class_sections.overview(card),
        class_sections.classes(card),
        class_sections.tree(card),
        image_sections.boxes(card),
        image_sections.images(card),
        fault_sections.labels(card),
        fault_sections.together(card),
        fault_sections.rejects(card),
        fault_sections.duplicates(card),
        fault_sections.method(card),
    ]


def page(card: Card, title: str = "", made_of: str = "") -> str:
    """The whole HTML text.

    Args:
        card: what it tells.
        title: its heading; the names of the datasets if "".
        made_of: a digest of what the page follows from, which `is_of` finds in it.
    """
    parts = sections(card)
    title = title or ", ".join(card.names)
    links = "".join(f'<a href="#{part.key}">{escape(part.heading)}</a>' for part in parts)
    body = "".join(
        f'<section id="{part.key}" aria-labelledby="{part.key}-h"><h2 id="{part.key}-h">{escape(part.heading)}</h2>'
        f"{part.html}</section>\n"
        for part in parts
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n{_mark(made_of)}\n'
        f"<title>{escape(title)}: data card</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<header><h1>{escape(title)}<small>data card</small></h1><nav aria-label="sections">{links}</nav></header>\n'
        f"<main>\n{body}</main>\n<footer>Counted by <code>wordtree stats</code>. Pictures are small copies.</footer>\n"
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def is_of(page: bytes, made_of: str) -> bool:
    """Whether a page, or its beginning, says that it was made of this."""
    return _mark(made_of).encode() in page


def _mark(made_of: str) -> str:
    return f'<meta name="made-of" content="{made_of}">'
