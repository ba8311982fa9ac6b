"""Duplicates and leaks as one HTML file with small pictures: no other files, no network, light and dark."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from PIL import Image, ImageOps

from pipelines.duplicates.find import NO_DISTANCE, Images, Leak, distance_between
from pipelines.duplicates.policy import Cluster
from pipelines.row_plane.shard import RecordFiles
from schemas.errors import FormatError
from schemas.tfexample import decode_record
from schemas.tfrecord import unframe

MOST_LEAKS, MOST_CLUSTERS, MOST_MEMBERS = 60, 60, 8
THUMBNAIL = 168
_QUALITY = 72

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; }
p { max-width: 46rem; } .soft { opacity: .72; }
dl { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
dl div { border: 1px solid var(--line); border-radius: .6rem; padding: .6rem .9rem; min-width: 8.5rem; }
dt { font-size: .8rem; opacity: .72; } dd { margin: 0; font-size: 1.45rem; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; } td, th { border-bottom: 1px solid var(--line); padding: .3rem .9rem .3rem 0;
  text-align: left; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.groups { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(23rem, 100%), 1fr)); }
.group { border: 1px solid var(--line); border-radius: .6rem; padding: .7rem; display: flex; flex-wrap: wrap;
  gap: .7rem; align-content: start; }
figure { margin: 0; flex: 0 1 calc(50% - .35rem); min-width: 8rem; }
figcaption { font-size: .78rem; overflow-wrap: anywhere; line-height: 1.35; }
figure img, .none { width: 100%; height: 8rem; object-fit: contain; border-radius: .35rem; background: var(--line); }
.none { display: grid; place-items: center; font-size: .8rem; }
.mark { white-space: nowrap; border-radius: .3rem; padding: 0 .35rem; font-size: .74rem;
  border: 1px solid currentColor; }
@media print { .group { break-inside: avoid; } }
"""


class Pictures:
    """Small pictures of images, read from their records."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._files = [RecordFiles(rows) for rows in images.rows]

    def close(self) -> None:
        """Close the files."""
        for files in self._files:
            files.__exit__()

    def html(self, number: int) -> str:
        """An img element, or a word where the image cannot be shown."""
        dataset, position = int(self._images.dataset[number]), int(self._images.position[number])
        columns = ["shard", "offset", "length"]
        place = self._images.rows[dataset].index.select(columns).slice(position, 1).to_pylist()[0]
        try:
            record = decode_record(unframe(self._files[dataset].framed(**place)))
            data = thumbnail(record.encoded or b"")
        except FormatError:
            data = b""
        if not data:
            return '<div class="none">cannot be shown</div>'
        text = base64.b64encode(data).decode()
        return f'<img alt="{escape(self._images.ids[number])}" src="data:image/jpeg;base64,{text}">'


def thumbnail(data: bytes) -> bytes:
    """A small upright JPEG of an image; b"" if it cannot be decoded."""
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data)) as image:
            warnings.simplefilter("ignore")
            image.draft("RGB", (2 * THUMBNAIL, 2 * THUMBNAIL))
            small = ImageOps.exif_transpose(image).convert("RGB")
            small.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL))
            buffer = io.BytesIO()
            small.save(buffer, "JPEG", quality=_QUALITY)
            return buffer.getvalue()
    except Exception:  # Pillow's decoders raise many kinds; the page says that it cannot be shown
        return b""


def page(
    images: Images,
    evaluation: Images | None,
    clusters: Sequence[Cluster],
    leaks: Sequence[Leak],
    found: Mapping[str, Any],
) -> str:
    """The page.

    Args:
        found: the figures, see `pipelines.duplicates.report.summary`.
    """
    body = "".join(_body(images, evaluation, clusters, leaks, found))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Duplicates and leaks</title><style>{_STYLE}</style></head>\n<body>{body}</body></html>\n"
    )


def _body(
    images: Images,
    evaluation: Images | None,
    clusters: Sequence[Cluster],
    leaks: Sequence[Leak],
    found: Mapping[str, Any],
) -> Iterator[str]:
    near = found["options"]["near"]
    told = "equal bytes" if near < 0 else f"equal bytes, or perceptual hashes with at most {near} of 64 bits different"
    yield f'<h1>Duplicates and leaks</h1><p class="soft">Same picture: {told}.</p><dl>'
    for name, number in (
        ("images", found["images"]),
        ("leaking images", found["images_leaking"]),
        ("clusters", found["clusters"]),
        ("surplus images", found["surplus"]),
        ("of them equal files", found["surplus_exact"]),
        ("of one colour", found["flat"]),
        ("not decoded", found["undecodable"]),
    ):
        yield f"<div><dt>{name}</dt><dd>{number:,}</dd></div>"
    yield "</dl>"
    if found["buckets_cut"]:
        yield (
            f"<p>{found['buckets_cut']:,} groups of look-alikes were too large to compare whole: "
            f"{found['comparisons_left_out']:,} comparisons were left out.</p>"
        )
    yield '<table><thead><tr><th>dataset<th class="n">images<th class="n">kept<th>dropped</thead><tbody>'
    for row in found["datasets"]:
        why = ", ".join(f"{count:,} {escape(reason)}" for reason, count in row["dropped"].items()) or "nothing"
        yield f'<tr><td>{escape(row["path"])}<td class="n">{row["images"]:,}<td class="n">{row["kept"]:,}<td>{why}'
    yield "</tbody></table>"
    pictures = Pictures(images)
    if evaluation is not None:
        yield from _leaks(images, evaluation, leaks, found, pictures)
    shown = clusters[:MOST_CLUSTERS]
    yield f"<h2>Clusters{_part(len(shown), len(clusters))}</h2>"
    if not clusters:
        yield "<p>No picture is there twice.</p>"
    yield '<div class="groups">'
    for cluster in shown:
        yield '<div class="group">'
        for number in (cluster.first, *cluster.others[: MOST_MEMBERS - 1]):
            first = number == cluster.first
            equal = images.sha[number] == images.sha[cluster.first]
            apart = "the largest" if first else _apart(equal, distance_between(images, number, cluster.first))
            yield _figure(images, number, pictures, apart)
        more = len(cluster.others) - (MOST_MEMBERS - 1)
        yield f'<p class="soft">and {more:,} more</p></div>' if more > 0 else "</div>"
    yield "</div>"
    pictures.close()


def _leaks(
    images: Images, evaluation: Images, leaks: Sequence[Leak], found: Mapping[str, Any], pictures: Pictures
) -> Iterator[str]:
    yield (
        '<h2>Evaluation datasets</h2><table><thead><tr><th>dataset<th class="n">images<th class="n">equal files'
        '<th class="n">near<th class="n">its images met</thead><tbody>'
    )
    for row in found["against"]:
        numbers = (row["images"], row["leaks_exact"], row["leaks_near"], row["images_met"])
        yield f"<tr><td>{escape(row['path'])}" + "".join(f'<td class="n">{number:,}' for number in numbers)
    yield "</tbody></table>"
    shown = sorted(leaks, key=lambda leak: (leak.distance, leak.image, leak.evaluation))[:MOST_LEAKS]
    yield f"<h2>Leaks{_part(len(shown), len(leaks))}</h2>"
    if not leaks:
        yield "<p>No image stands in an evaluation dataset.</p>"
    theirs = Pictures(evaluation)
    yield '<div class="groups">'
    for leak in shown:
        yield (
            f'<div class="group">{_figure(images, leak.image, pictures, _apart(leak.exact, leak.distance))}'
            f"{_figure(evaluation, leak.evaluation, theirs, 'evaluation')}</div>"
        )
    yield "</div>"
    theirs.close()


def _figure(images: Images, number: int, pictures: Pictures, mark: str) -> str:
    rows, position = images.rows[int(images.dataset[number])], int(images.position[number])
    size = f"{rows.index['width'][position].as_py()} × {rows.index['height'][position].as_py()}"
    where = f' <span class="soft">{escape(rows.path)}</span>' if len(images.rows) > 1 or mark == "evaluation" else ""
    return (
        f"<figure>{pictures.html(number)}<figcaption>{escape(images.ids[number])}{where}<br>{size} "
        f'<span class="mark">{mark}</span></figcaption></figure>'
    )


def _apart(equal: bool, distance: int) -> str:
    if equal:
        return "equal files"
    if distance == NO_DISTANCE:
        return "no hash"
    return "the same hash" if distance == 0 else f"{distance} bits apart"


def _part(shown: int, total: int) -> str:
    return "" if shown == total else f": {shown:,} of {total:,}"
