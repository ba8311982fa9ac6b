"""TFRecord framing against TensorFlow, and damage found where it is read."""

from __future__ import annotations

import io

import pytest

from schemas.errors import FormatError
from schemas.tfrecord import frame, read_records, unframe


def test_tensorflow_reads_our_frames_and_we_read_its(tmp_path):
    tf = pytest.importorskip("tensorflow")
    rows = [b"", b"a", b"b" * 1000]
    ours = tmp_path / "ours"
    ours.write_bytes(b"".join(map(frame, rows)))
    assert [row.numpy() for row in tf.data.TFRecordDataset(str(ours))] == rows
    theirs = tmp_path / "theirs"
    with tf.io.TFRecordWriter(str(theirs)) as writer:
        for row in rows:
            writer.write(row)
    assert theirs.read_bytes() == ours.read_bytes()
    with theirs.open("rb") as file:
        assert list(read_records(file)) == rows


@pytest.mark.parametrize("position", range(4 + 16))
def test_one_wrong_byte_anywhere_is_found(position):
    framed = bytearray(frame(b"data"))
    framed[position] ^= 1
    with pytest.raises(FormatError, match="CRC"):
        unframe(bytes(framed), "shard 0")
    with pytest.raises(FormatError, match="shard 0, record 0"):
        list(read_records(io.BytesIO(bytes(framed)), "shard 0"))


@pytest.mark.parametrize("length", [3, 14, 19])
def test_a_file_cut_short_is_found(length):
    with pytest.raises(FormatError, match="record 0"):
        list(read_records(io.BytesIO(frame(b"data")[:length]), "shard 0"))
