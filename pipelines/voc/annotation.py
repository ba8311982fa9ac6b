"""One file of Pascal VOC XML as a row.

    annotation    folder, filename, source, owner, size, segmented, object*
    object        name, bndbox, pose, truncated, difficult, occluded, part*, actions, point, ...
    part          name, bndbox

What the records have a place for goes there; everything else goes as JSON text into `extra`, so that nothing is lost:
the image's source, owner, flickrid, size and file name; an object's actions and point, flags in words that nobody can
read, and parts without a proper box. Boxes of parts are not boxes of the object.
"""

from __future__ import annotations

from pipelines.rows import BoxRow, ImageRow, Rejected
from pipelines.voc.corners import CORNERS, Sides, continuous
from pipelines.voc.markup import Element, as_json, parse_xml
from schemas.errors import RecordError
from schemas.numbers import parse_number

FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True, "": None, "unspecified": None}
FLAG_NAMES = ("difficult", "truncated", "occluded")
SIDES = ("xmin", "ymin", "xmax", "ymax")
LARGEST = 2**31  # no picture has as many pixels a side
Part = tuple[str, float, float, float, float]


def parse_annotation(
    data: bytes, stem: str, *, uri: str = "", corners: str = CORNERS[0], image_id: str = "", where: str = ""
) -> tuple[ImageRow, list[Rejected]]:
    """One XML file as a row, and its objects that cannot be read.

    Args:
        data: the file.
        stem: its name without ending.
        uri: of the image, for the row.
        corners: what the numbers of a box mean, one of `CORNERS`.
        image_id: of the image, the stem if "".
        where: what rejects call the file, STEM.xml if "".

    Raises:
        RecordError: `image:broken_xml`, `image:not_voc` for XML of another kind, or `image:xml_entities` for a
            document type, which is refused.
    """
    root = parse_xml(data)
    if root.tag != "annotation":
        hint = "; is it of CVAT for images? Export it as COCO or Pascal VOC" if root.find("image") is not None else ""
        raise RecordError("image:not_voc", f"the XML's root is <{root.tag}>; expected <annotation>{hint}")
    where, name = where or f"{stem}.xml", image_id or stem
    boxes: list[BoxRow] = []
    rejected: list[Rejected] = []
    for number, item in enumerate(root.findall("object"), start=1):
        try:
            boxes.append(_box_row(item, corners, f"{where} object {number}"))
        except RecordError as error:
            rejected.append(
                Rejected(
                    kind="box",
                    record=f"{name}#{number}",
                    reason=error.reason,
                    found=str(error),
                    where=f"{where} object {number}",
                    image_id=name,
                )
            )
    row = ImageRow(
        image_id=name,
        uri=uri,
        height=_size(root.findtext("size/height")),
        width=_size(root.findtext("size/width")),
        has_boxes=True,
        boxes=tuple(boxes),
        provenance=where,
        extra=as_json((child for child in root if child.tag != "object"), root.attrib),
    )
    return row, rejected


def _box_row(item: Element, corners: str, where: str) -> BoxRow:
    """One <object>.

    Raises:
        RecordError: `box:malformed`, if name or corners are missing, stand twice or are no numbers.
    """
    label, sides = _named_box(item, corners, "object")
    flags = {name: _flag(item.findtext(name)) for name in FLAG_NAMES}
    parts: list[Part] = []
    rest: list[Element] = []
    seen: set[str] = set()
    for child in item:
        part = _part(child, corners) if child.tag == "part" else None
        if part is not None:
            parts.append(part)
        elif child.tag in seen or not _has_place(child, flags):
            rest.append(child)
        seen.add(str(child.tag))
    return BoxRow(
        ymin=sides.ymin,
        xmin=sides.xmin,
        ymax=sides.ymax,
        xmax=sides.xmax,
        class_key=label,
        is_difficult=flags["difficult"][0],
        is_truncated=flags["truncated"][0],
        is_occluded=flags["occluded"][0],
        view=(item.findtext("pose") or "").strip(),
        flag_unread=", ".join(
            f"{name} is {item.findtext(name)!r}" for name, (_, readable) in flags.items() if not readable
        ),
        parts=tuple(parts),
        extra=as_json(rest, item.attrib),
        where=where,
    )


def _has_place(child: Element, flags: dict[str, tuple[bool | None, bool]]) -> bool:
    """Whether a child of an object is told in full by the fields of a row; the first of its tag."""
    tag = str(child.tag)
    if tag == "bndbox":
        return not child.attrib and all(side.tag in SIDES for side in child)
    plain = not len(child) and not child.attrib
    return plain and (tag in ("name", "pose") or (tag in flags and flags[tag][1]))


def _part(item: Element, corners: str) -> Part | None:
    """A <part> with its box, None if it holds anything else, or numbers that are no place in a picture."""
    if {str(child.tag) for child in item} != {"name", "bndbox"} or item.attrib:
        return None
    try:
        name, sides = _named_box(item, corners, "part")
    except RecordError:
        return None
    if not all(abs(side) < LARGEST for side in sides):  # NaN is not
        return None
    return name, sides.ymin, sides.xmin, sides.ymax, sides.xmax


def _named_box(item: Element, corners: str, what: str) -> tuple[str, Sides]:
    for tag in ("name", "bndbox", *(f"bndbox/{side}" for side in SIDES)):
        if len(item.findall(tag)) > 1:
            raise RecordError("box:malformed", f"the {what} has several <{tag}>; expected one")
    label = (item.findtext("name") or "").strip()
    if not label:
        raise RecordError("box:malformed", f"the {what} has no <name>")
    found = item.find("bndbox")
    if found is None:
        raise RecordError("box:malformed", f"{what} {label!r} has no <bndbox>")
    texts = {side: found.findtext(side) for side in SIDES}
    try:
        numbers = {side: parse_number(text or "") for side, text in texts.items()}  # 2011_003353: 45.70000076293945
    except ValueError:
        raise RecordError("box:malformed", f"{what} {label!r} has <bndbox> {texts}; expected four numbers") from None
    return label, continuous(corners, **numbers)


def _flag(text: str | None) -> tuple[bool | None, bool]:
    """A truth value, None where nothing or the format's own "Unspecified" stands; and whether it could be read."""
    word = (text or "").strip().lower()
    return FLAGS.get(word), word in FLAGS


def _size(text: str | None) -> int:
    """Pixels as the file states them; 0 for what cannot be a size."""
    try:
        pixels = parse_number(text or "0")
    except ValueError:
        return 0
    return int(pixels) if 0 < pixels < LARGEST else 0
