"""From the bytes of a file to an image that can be written, and the frame in which its annotations were drawn.

Boxes and stored pixels go together. As long as pixels stay as they are, EXIF orientation changes nothing; where the
annotation's size is the stored size with its sides swapped and EXIF says that viewers turn the image by a quarter, the
annotator saw it turned, so the boxes are turned back. Where a run asks for upright pixels, both are turned.
"""

from __future__ import annotations

import posixpath
from typing import NamedTuple

from pipelines.images.header import ImageHeader, read_header
from pipelines.images.orientation import QUARTER_TURNED, orientation_of_rotation
from pipelines.images.pixels import rewrite, verify
from pipelines.policy import Policy
from pipelines.rows import ImageRow, Noted
from schemas.errors import RecordError

_ENDINGS = {
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "png": (".png",),
    "gif": (".gif",),
    "bmp": (".bmp", ".dib"),
    "webp": (".webp",),
}
_SOFT = ("image:truncated", "image:too_many_pixels", "image:unsupported")  # faults that a policy may let pass
KNOWN_ENDINGS = {ending for endings in _ENDINGS.values() for ending in endings}


class Prepared(NamedTuple):
    """An image as it will be written.

    Attributes:
        data: its bytes; those of the file unless the policy had them rewritten.
        header: of these bytes.
        stored: header of the file as it was.
        turned: orientation by which pixels were turned from stored to upright; 1 for not at all.
        notes: what was fixed or kept, for repairs.jsonl.
    """

    data: bytes
    header: ImageHeader
    stored: ImageHeader
    turned: int = 1
    notes: tuple[Noted, ...] = ()


class Frame(NamedTuple):
    """The picture that the annotator saw.

    Attributes:
        height, width: in the row's pixels.
        orientation: the EXIF turn that showed it so.
        area: pixels of the file for each of the annotator's.
    """

    height: float
    width: float
    orientation: int = 1
    area: float = 1.0


def prepare(row: ImageRow, data: bytes, policy: Policy) -> Prepared:
    """Look at the file and apply the policy to it.

    Raises:
        RecordError: for an image that is rejected.
    """
    allowed = [check for check in _SOFT if policy.action(check) != "reject"] if policy.chosen else ()
    header = read_header(data, max_pixels=policy.max_pixels, allowed=allowed)
    notes: list[Noted] = []
    again = False  # whether the pixels must be written anew
    turned = 1
    for check, found in _oddities(row, header):
        action = policy.action(check)
        if action == "reject":
            raise RecordError(check, _MEANING[check], found=found)
        notes.append(noted_image(row, check, action, found))
        if action == "fix":
            again = True
            if check == "image:exif_turned" and turned == 1:
                turned = header.orientation
            elif check == "image:stated_rotation":
                turned = orientation_of_rotation(row.rotation or 0)
    if policy.verify == "decode" and not (header.fault and header.fault.reason == "image:truncated"):
        verify(data, header)
    if not again:
        return Prepared(data, header, header, notes=tuple(notes))
    data = rewrite(data, header, orientation=turned, upright=turned != 1)
    return Prepared(data, read_header(data, max_pixels=policy.max_pixels), header, turned, tuple(notes))


_MEANING = {
    "image:truncated": "the file ends early",
    "image:too_many_pixels": "it has too many pixels",
    "image:unsupported": "TensorFlow cannot decode it",
    "image:wrong_ending": "the file's name says another format than its bytes",
    "image:cmyk": "a JPEG of four inks",
    "image:sixteen_bit": "16 bits a channel",
    "image:animated": "several frames",
    "image:exif_turned": "EXIF says that it is stored turned",
    "image:stated_rotation": "the dataset says that it lies on its side",
}


def _oddities(row: ImageRow, header: ImageHeader) -> list[tuple[str, str]]:
    """What the policy has a say in: (check, what was found)."""
    found: list[tuple[str, str]] = []
    if header.fault is not None:
        found.append((header.fault.reason, header.fault.found))
    name = row.filename or row.uri
    ending = name[name.rfind(".") :].lower()
    if ending not in _ENDINGS[header.format] and ending in KNOWN_ENDINGS:
        found.append(("image:wrong_ending", f"{header.format} in {posixpath.basename(row.filename or row.uri)!r}"))
    if header.format == "jpeg" and header.channels == 4:
        found.append(("image:cmyk", "4 channels"))
    if header.bits > 8:
        found.append(("image:sixteen_bit", f"{header.bits} bits"))
    if header.animated:
        found.append(("image:animated", header.format))
    if header.orientation != 1:
        found.append(("image:exif_turned", f"orientation {header.orientation}"))
    if row.rotation:
        found.append(("image:stated_rotation", f"{row.rotation} degrees"))
    return found


def frame_of(row: ImageRow, header: ImageHeader, policy: Policy, relative: bool) -> tuple[Frame, tuple[Noted, ...]]:
    """What the row's numbers mean, and a note where the stated size is not the file's.

    Args:
        relative: whether the source's numbers are relative to the image.

    Raises:
        RecordError: for a size that the policy rejects.
    """
    if relative:
        return Frame(1, 1), ()
    stated = (row.height, row.width)
    if 0 in stated or stated == (header.height, header.width):
        return Frame(header.height, header.width), ()
    if stated == (header.width, header.height) and header.orientation in QUARTER_TURNED:
        return Frame(row.height, row.width, header.orientation), ()
    action = policy.action("image:size_mismatch")
    found = f"the annotation says {row.width} x {row.height}, the file {header.width} x {header.height}"
    if action == "reject":
        raise RecordError("image:size_mismatch", found)
    note = noted_image(row, "image:size_mismatch", action, found)
    if action == "scale":
        share = header.height * header.width / (row.height * row.width)
        return Frame(row.height, row.width, area=share), (note,)
    return Frame(header.height, header.width), (note,)


def noted_image(row: ImageRow, reason: str, action: str, found: str) -> Noted:
    """A note about the image of a row."""
    return Noted(
        kind="image",
        record=row.image_id,
        reason=reason,
        action="kept" if action == "keep" else "fixed",
        found=found,
        where=row.uri,
        image_id=row.image_id,
    )
