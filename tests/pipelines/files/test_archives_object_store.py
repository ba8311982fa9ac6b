"""Archives on S3: a real server on loopback, and only the bytes that are needed."""

from __future__ import annotations

import io
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipelines.files.archives import members, read_member
from pipelines.files.archives_ranges import REMOTE_STEP
from pipelines.rows import Member
from schemas.errors import InputError, RecordError

pytest.importorskip("moto")
pytest.importorskip("s3fs")
from tests.pipelines.object_server import ObjectServer, serve

pytestmark = pytest.mark.filterwarnings("ignore")  # what moto and botocore warn of is theirs

DOG, CAT = "n02084071", "n02121620"


@pytest.fixture(scope="module")
def running() -> Iterator[ObjectServer]:
    server = ObjectServer()
    yield server
    server.stop()


@pytest.fixture
def store(running: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    yield from serve(monkeypatch, running)


def tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def test_a_tar_of_tars_is_listed_by_its_headers_and_read_by_ranges(store: ObjectServer) -> None:
    noise = random.Random(0).randbytes
    inner = {wnid: {f"{wnid}_{n}.JPEG": noise(400_000) for n in range(4)} for wnid in (DOG, CAT)}
    data = tar({f"{wnid}.tar": tar(files) for wnid, files in inner.items()})
    store.put("bucket", "train.tar", data)
    listing = list(members("s3://bucket/train.tar"))
    assert [name for name, _ in listing] == [f"{w}.tar/{name}" for w, files in inner.items() for name in files]
    assert store.served(ends="train.tar") <= 20 * REMOTE_STEP < len(data) / 2
    store.log.clear()
    name, member = listing[5]
    assert read_member("s3://bucket/train.tar", member) == inner[CAT][name.split("/")[1]]
    assert store.served(ends="train.tar") == 400_000
    assert [request.method for request in store.log] == ["GET"]


def test_a_zip_is_listed_by_its_end_and_read_by_ranges(store: ObjectServer) -> None:
    files = {f"{n}.png": random.Random(n).randbytes(300_000) for n in range(4)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    store.put("bucket", "masks.zip", buffer.getvalue())
    found = dict(members("s3://bucket/masks.zip"))
    assert store.served(ends="masks.zip") < 140_000  # its first and last 64 KiB
    assert {name: read_member("s3://bucket/masks.zip", member) for name, member in found.items()} == files


def test_what_is_not_there_costs_its_image_and_a_range_past_the_end_too(store: ObjectServer) -> None:
    store.put("bucket", "short.tar", b"short")
    for path, offset, reason in (
        ("s3://bucket/short.tar", 2, "image:bad_member"),
        ("s3://bucket/short.tar", 2000, "image:bad_member"),
        ("s3://bucket/none.tar", 2, "image:missing"),
    ):
        with pytest.raises(RecordError) as caught:
            read_member(path, Member(offset, 9))
        assert caught.value.reason == reason
    with pytest.raises(InputError, match="does not exist"):
        list(members("s3://bucket/none.tar"))


def test_a_conversion_reads_the_tars_where_they_lie(
    store: ObjectServer, jpeg: Callable[..., bytes], convert: Callable[..., Any]
) -> None:
    files = {wnid: {f"{wnid}_{n}.JPEG": jpeg(seed=n) for n in range(3)} for wnid in (DOG, CAT)}
    store.put("bucket", "set/train.tar", tar({f"{wnid}.tar": tar(inner) for wnid, inner in files.items()}))
    done = convert("imagenet", "--images", "s3://bucket/set/train.tar")
    assert {record.filename: record.encoded for record in done.records.values()} == {**files[DOG], **files[CAT]}
