"""What the files say about one image, put together inside a shard; and rows that lie in files on the way there."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipelines import spool as spooling
from pipelines.joining import join
from pipelines.rows import BoxRow, ImageRow, LabelRow, Rejected, Statements, decode_row, encode_row
from pipelines.spool import read_spool, spool


def box(name: str) -> BoxRow:
    return BoxRow(ymin=0, xmin=0, ymax=1, xmax=1, class_key=name, annotation_id=name)


IDS = st.sampled_from(["a", "b", "c"])
NAMES = st.text("xyz", min_size=1, max_size=3)
ROWS = st.one_of(
    st.builds(lambda i, n: ImageRow(image_id=i, uri=n, has_boxes=False, boxes=(box(n),)), IDS, NAMES),
    st.builds(
        lambda i, n: Statements(image_id=i, boxes=(box(n),), labels=(LabelRow(class_key=n),), boxes_sought=True),
        IDS,
        NAMES,
    ),
    st.builds(lambda i: Rejected(kind="box", record=i, reason="box:malformed", image_id=i), IDS),
)


def slow_join(rows: list[ImageRow | Statements | Rejected]) -> tuple[dict[str, list[str]], int]:
    """Box names of each image that exists; how many boxes and labels find none or are rejected already."""
    images: dict[str, list[str]] = {}
    lost = 0
    for row in rows:
        if isinstance(row, ImageRow):
            if row.image_id in images:
                lost += len(row.boxes)
            else:
                images[row.image_id] = [b.class_key for b in row.boxes]
        elif isinstance(row, Rejected):
            lost += 1
    for row in rows:
        if isinstance(row, Statements):
            if row.image_id in images:
                images[row.image_id] += [b.class_key for b in row.boxes]
            else:
                lost += len(row.boxes) + len(row.labels)
    return images, lost


@given(st.lists(ROWS, max_size=12))
def test_joining_agrees_with_a_slow_loop_whatever_the_order_of_arrival(rows):
    elements = [encode_row(row, 0, place) for place, row in enumerate(rows)]
    joined = list(join(map(decode_row, sorted(reversed(elements)))))
    images = {row.image_id: [b.class_key for b in row.boxes] for row in joined if isinstance(row, ImageRow)}
    lost = sum(isinstance(row, Rejected) and row.kind != "image" for row in joined)
    assert (images, lost) == slow_join(rows)


def test_statements_of_an_image_that_nobody_names_are_rejected_one_by_one():
    row = Statements(image_id="9", boxes=(box("x"),), labels=(LabelRow(class_key="x", where="l.csv line 3"),))
    found = list(join([row]))
    assert [(r.kind, r.reason, r.record) for r in found if isinstance(r, Rejected)] == [
        ("box", "box:unknown_image", "x"),
        ("label", "label:unknown_image", "9#label1"),
    ]
    assert found[1].where == "l.csv line 3"  # type: ignore[union-attr]


def test_a_file_that_looked_for_boxes_says_so_for_the_image():
    image = ImageRow(image_id="1", uri="1.jpg", has_boxes=False)
    (joined,) = join([image, Statements(image_id="1", boxes_sought=True)])
    assert isinstance(joined, ImageRow)
    assert joined.has_boxes


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(min_size=1, max_size=40)), max_size=60))
def test_what_is_spooled_comes_back_by_shard(payloads):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        references = list(spool(iter(payloads), folder))
        for shard in range(4):
            mine = [reference for number, reference in references if number == shard]
            expected = [payload for number, payload in payloads if number == shard]
            assert sorted(read_spool(mine, folder)) == sorted(expected)


def test_a_large_spool_is_written_in_blocks(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(spooling, "BYTES_HELD", 10_000)
    payloads = [(number % 3, b"%06d" % number * 10) for number in range(2000)]
    references = list(spool(iter(payloads), str(tmp_path)))
    assert len(references) > 20
    assert len(list(tmp_path.iterdir())) == 1
    for shard, group in groupby(sorted(references), key=lambda pair: pair[0]):
        found = list(read_spool([reference for _, reference in group], str(tmp_path)))
        assert sorted(found) == [payload for number, payload in payloads if number == shard]
