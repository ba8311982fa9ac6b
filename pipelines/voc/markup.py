"""XML of strangers, and the parts of it that have no place of their own, as JSON.

A document type or entities are refused unread: expanding them can take any amount of memory. UTF-8 and UTF-16 are read
with and without a byte order mark; what is no UTF-8 and says nothing else is a Windows code page.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from typing import cast

from schemas.errors import RecordError
from wordtree.text_files import what_it_is

Element = ElementTree.Element
DEEPEST = 50  # elements in elements
Json = str | dict[str, "Json"] | list["Json"]


def parse_xml(data: bytes) -> Element:
    """The root of a small XML file.

    Raises:
        RecordError: `image:xml_entities` for a document type, which is refused, or `image:broken_xml`.
    """
    plain = data.replace(b"\0", b"").upper()  # UTF-16 too
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise RecordError("image:xml_entities", "the XML declares a document type or entities, which is refused")
    root = _root(data)
    level = [root]
    for _ in range(DEEPEST):
        level = [child for element in level for child in element]
        if not level:
            return root
    raise RecordError("image:broken_xml", f"elements are nested more than {DEEPEST} deep")


def _root(data: bytes) -> Element:
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:  # written in a Windows code page without saying so
            try:
                return ElementTree.fromstring(data.decode("cp1252", errors="replace"))
            except (ElementTree.ParseError, ValueError):
                pass
        raise RecordError("image:broken_xml", what_it_is(data) or f"not well-formed XML: {error}") from error


def as_json(elements: Iterable[Element], attributes: dict[str, str] | None = None) -> str:
    """Elements as the JSON text of one object: by tag, a list where a tag stands again, attributes as `@name`; "" for
    none. Text stays text: nobody says which words are numbers.
    """
    found = _children(elements)
    for name, value in (attributes or {}).items():
        found[f"@{name}"] = value
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")) if found else ""


def _value(element: Element) -> Json:
    text = (element.text or "").strip()
    if not len(element) and not element.attrib:
        return text
    found = _children(element)
    for name, value in element.attrib.items():
        found[f"@{name}"] = value
    if text:
        found["#text"] = text
    return found


def _children(elements: Iterable[Element]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    lists: set[str] = set()
    for element in elements:
        tag, value = str(element.tag), _value(element)
        if tag not in found:
            found[tag] = value
        elif tag in lists:
            cast("list[Json]", found[tag]).append(value)
        else:
            lists.add(tag)
            found[tag] = [found[tag], value]
    return found
