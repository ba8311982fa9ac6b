"""The page around the sections: head, navigation, style and script in one file. A policy forbids it the network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from detector.report.script import SCRIPT
from detector.report.style import STYLE

if TYPE_CHECKING:
    from detector.report.sections import Section

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page(title: str, sections: Sequence[Section]) -> str:
    """The whole HTML text.

    Args:
        title: plain text.
        sections: their HTML is trusted; headings are plain text.
    """
    links = "".join(f'<a href="#{escape(part.key)}">{escape(part.heading)}</a>' for part in sections)
    body = "".join(
        f'<section id="{escape(part.key)}" aria-labelledby="{escape(part.key)}-h">'
        f'<h2 id="{escape(part.key)}-h">{escape(part.heading)}</h2>{part.html}</section>\n'
        for part in sections
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<header><h1>{escape(title)}</h1><nav aria-label="sections">{links}</nav></header>\n'
        f"<main>\n{body}</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
