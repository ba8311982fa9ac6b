"""S3 as an input and as an output: a real server on loopback, whole conversions, and only the bytes that are needed."""

from __future__ import annotations

import gc
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.files import storage
from pipelines.files.faults import StorageError
from schemas.errors import RecordError
from schemas.tfexample import decode_record
from schemas.tfrecord import unframe

pytest.importorskip("moto")
pytest.importorskip("s3fs")
from tests.pipelines.conftest import run_words
from tests.pipelines.object_server import ObjectServer, serve

pytestmark = pytest.mark.filterwarnings("ignore")  # what moto and botocore warn of is theirs


@pytest.fixture(scope="module")
def running() -> Iterator[ObjectServer]:
    server = ObjectServer()
    yield server
    server.stop()


@pytest.fixture
def store(running: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    yield from serve(monkeypatch, running)


def upload(store: ObjectServer, folder: Path, name: str) -> None:
    """A folder's files as objects below s3://bucket/NAME."""
    for path in folder.rglob("*"):
        if path.is_file():
            store.put("bucket", f"{name}/{path.relative_to(folder).as_posix()}", path.read_bytes())


@pytest.fixture
def dataset(coco: Any, jpeg: Callable[..., bytes], store: ObjectServer) -> list[str]:
    """A COCO dataset with bad images, here and at s3://bucket/coco; the words that name it there."""
    for number in range(1, 41):
        coco.image(number)
        coco.box(number)
    coco.image(50, data=b"")
    coco.image(51, data=jpeg()[:-20])
    coco.write()
    (coco.folder / "images" / "7.jpg").unlink()
    upload(store, coco.folder, "coco")
    store.put("bucket", "coco/images/", b"")  # the mark of a folder, as consoles leave it
    return ["coco", "--annotations", "s3://bucket/coco/instances.json", "--images", "s3://bucket/coco/images"]


def local_words(coco: Any) -> list[str]:
    folder = coco.folder
    return ["coco", "--annotations", str(folder / "instances.json"), "--images", str(folder / "images")]


def run(words: list[str], out: str, *more: str) -> int:
    return run_words(words[0], out, *words[1:], *more)


def output(store: ObjectServer, name: str) -> dict[str, bytes]:
    """The objects below s3://bucket/NAME."""
    return {key[len(name) + 1 :]: data for key, data in store.objects("bucket").items() if key.startswith(f"{name}/")}


def without_paths(manifest: bytes) -> dict[str, Any]:
    """What does not depend on where the input lies."""
    data = json.loads(manifest)
    data["options"] = {key: value for key, value in data["options"].items() if "/" not in str(value)}
    data["source_files"] = [{**entry, "path": ""} for entry in data["source_files"]]
    return data


@pytest.mark.parametrize("workers", [1, 2])
def test_a_conversion_from_bucket_to_bucket_writes_what_a_local_one_does(
    dataset: list[str], coco: Any, store: ObjectServer, tmp_path: Path, workers: int
) -> None:
    assert run(dataset, "s3://bucket/out", "--shards", "3", "--workers", str(workers)) == 0
    assert run(local_words(coco), str(tmp_path / "out"), "--shards", "3") == 0
    expected = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    found = output(store, "out")
    assert set(found) == set(expected), "no work file and no temporary name is left"
    assert without_paths(found.pop("manifest.json")) == without_paths(expected.pop("manifest.json"))
    for name in found:
        assert found[name] == expected[name], name
    reasons = {json.loads(line)["reason"] for line in found["rejects.jsonl"].splitlines()}
    assert {"image:empty", "image:missing", "image:truncated"} <= reasons
    assert store.uploads("bucket") == []
    copied = [r for r in store.log if r.method == "PUT" and "tmp-" in r.path]
    assert not copied, "an object needs no temporary name"


def test_each_image_is_one_request(dataset: list[str], store: ObjectServer) -> None:
    assert run(dataset, "s3://bucket/out") == 0
    for number in (1, 7, 50):
        asked = [r.method for r in store.log if r.path == f"/bucket/coco/images/{number}.jpg"]
        assert asked == ["GET"]


def test_a_broken_conversion_resumes_in_the_bucket(dataset: list[str], store: ObjectServer) -> None:
    words = ("--shards", "4")
    assert run(dataset, "s3://bucket/undisturbed", *words) == 0
    store.fault = lambda r: 403 if r.method == "PUT" and r.path.endswith("train-00002-of-00004.tfrecord") else None
    with pytest.raises(Exception, match="permission denied"):
        run(dataset, "s3://bucket/out", *words)
    begun = output(store, "out")
    assert "manifest.json" not in begun
    assert "train-00002-of-00004.tfrecord" not in begun
    store.fault = lambda r: None
    store.log.clear()
    assert run(dataset, "s3://bucket/out", *words) == 0
    assert output(store, "out") == output(store, "undisturbed")
    for name in begun:
        if f".work/{name}.report.json" in begun:
            again = [r for r in store.log if r.method == "PUT" and r.path.endswith(f"/out/{name}")]
            assert not again, f"{name} was finished and is written again"


def test_a_finished_dataset_is_found_complete_and_force_replaces_it(
    dataset: list[str], store: ObjectServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run(dataset, "s3://bucket/out")
    before = output(store, "out")
    store.put("bucket", "out-of-others/train-00000-of-00001.tfrecord", b"not ours")
    assert run(dataset, "s3://bucket/out") == 0
    assert "complete already" in capsys.readouterr().out
    assert run(dataset, "s3://bucket/out", "--force", "--shards", "2") == 0
    after = output(store, "out")
    assert {name for name in after if name.endswith(".tfrecord")} == {
        f"train-{i:05d}-of-00002.tfrecord" for i in range(2)
    }
    assert set(before) - set(after) == {"train-00000-of-00001.tfrecord"}
    assert output(store, "out-of-others") == {"train-00000-of-00001.tfrecord": b"not ours"}


@pytest.fixture
def wide(coco: Any, store: ObjectServer) -> str:
    """A dataset directory with one shard of some megabytes at s3://bucket/wide."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0)
    for number in range(1, 61):
        buffer = io.BytesIO()
        Image.fromarray(noise.integers(0, 256, (200, 200, 3), np.uint8)).save(buffer, "JPEG", quality=95)
        coco.image(number, data=buffer.getvalue(), width=200, height=200)
        coco.box(number)
    coco.write()
    local = coco.folder.parent / "wide"
    run(local_words(coco), str(local))
    upload(store, local, "wide")
    assert (local / "train-00000-of-00001.tfrecord").stat().st_size > 2_000_000
    return "s3://bucket/wide"


def test_footers_and_records_are_read_by_range(wide: str, store: ObjectServer) -> None:
    table = pq.read_table(io.BytesIO(storage.read_bytes(storage.join(wide, "train.index.parquet")))).to_pylist()
    store.put("bucket", "large.parquet", padded_parquet())
    store.log.clear()
    with storage.opened("s3://bucket/large.parquet") as stream:
        metadata = pq.read_metadata(stream)
    assert metadata.num_rows == 400_000
    whole = len(store.objects("bucket")["large.parquet"])
    assert whole > 3_000_000
    assert store.served(ends="large.parquet") < 200_000
    row = table[30]
    store.log.clear()
    with storage.opened(storage.join(wide, row["shard"])) as stream:
        stream.seek(row["offset"])
        record = decode_record(unframe(stream.read(row["length"]), row["shard"]))
    assert record.image_id == row["image_id"]
    assert store.served() <= row["length"] + 300_000


def padded_parquet() -> bytes:
    """A table of several megabytes whose footer is small."""
    import numpy as np
    import pyarrow as pa

    buffer = io.BytesIO()
    pq.write_table(pa.table({"x": np.random.default_rng(0).integers(0, 1 << 60, 400_000)}), buffer)
    return buffer.getvalue()


def test_the_readers_of_training_and_of_data_cards_fetch_the_records_they_ask_for(
    wide: str, store: ObjectServer
) -> None:
    from detector.dataset import open_dataset
    from schemas.dataset_files import open_dataset_files

    shard = len(store.objects("bucket")["wide/train-00000-of-00001.tfrecord"])
    dataset = open_dataset(wide)
    assert len(dataset) == 60
    store.log.clear()
    assert [dataset.record(row).image_id for row in (3, 50, 11)] == [dataset.image_ids[row] for row in (3, 50, 11)]
    assert store.served(ends=".tfrecord") <= sum(int(dataset.lengths[row]) for row in (3, 50, 11)) < shard / 10
    files = open_dataset_files(wide)
    (place,) = files.small_examples(1, small=1 << 20, max_bytes=1 << 20)[18]
    store.log.clear()
    assert files.read(place).image_id == place.image_id
    assert store.served(ends=".tfrecord") <= place.length


def test_what_another_process_writes_is_seen(store: ObjectServer) -> None:
    """fsspec remembers listings for ever; a conversion's parts run in several processes."""
    store.put("bucket", "folder/one", b"1")
    assert storage.list_folder("s3://bucket/folder") == ([], ["one"])
    assert not storage.exists("s3://bucket/folder/two")
    store.put("bucket", "folder/two", b"22")
    store.put("bucket", "folder/deep/three", b"")
    assert storage.size_of("s3://bucket/folder/two") == 2
    assert storage.list_folder("s3://bucket/folder") == (["deep"], ["one", "two"])
    assert storage.is_folder("s3://bucket/folder/deep")
    store.put("bucket", "folder/two", b"longer")
    assert storage.size_of("s3://bucket/folder/two") == 6


def test_marks_of_folders_are_no_files(store: ObjectServer) -> None:
    for name, data in {"a/": b"", "a/b/": b"", "a/b/x.jpg": b"x", "a/c/": b""}.items():
        store.put("bucket", name, data)
    assert storage.list_folder("s3://bucket/a") == (["b", "c"], [])
    assert storage.list_folder("s3://bucket/a/c") == ([], [])
    assert storage.files_below("s3://bucket/a") == ["b/x.jpg"]
    storage.remove("s3://bucket/a")
    assert store.objects("bucket") == {}


def test_names_are_no_patterns(store: ObjectServer) -> None:
    for name in ("out1/x", "out[1]/x", "out[1]/y*", "out[1]/yy"):
        store.put("bucket", name, b"")
    storage.write_bytes("s3://bucket/out[1]/?", b"q", "s3://bucket/out[1]/.work")
    assert storage.read_bytes("s3://bucket/out[1]/?") == b"q"
    storage.remove("s3://bucket/out[1]/y*")
    assert storage.list_folder("s3://bucket/out[1]") == ([], ["?", "x", "yy"])
    storage.remove("s3://bucket/out[1]")
    assert set(store.objects("bucket")) == {"out1/x"}


def test_an_upload_appears_at_its_end_or_not_at_all(store: ObjectServer) -> None:
    store.put("bucket", "kept", b"before")
    block = bytes(1 << 20)

    def write(name: str, blocks: int, *, fail: bool) -> None:
        with storage.writing(f"s3://bucket/{name}", "s3://bucket/.work") as stream:
            for _ in range(blocks):
                stream.write(block)
            assert f"{name}" not in set(store.objects("bucket")) - {"kept"}
            if fail:
                raise ZeroDivisionError

    for name, blocks in (("kept", 1), ("kept", 20), ("small", 1), ("large", 20)):
        with pytest.raises(ZeroDivisionError):
            write(name, blocks, fail=True)
        gc.collect()  # fsspec commits what was written when a file is collected
        assert store.objects("bucket") == {"kept": b"before"}
        assert store.uploads("bucket") == []
    write("large", 20, fail=False)
    assert len(store.objects("bucket")["large"]) == 20 << 20
    parts = [r for r in store.log if r.method == "PUT" and "partNumber" in r.query]
    assert len(parts) >= 2


def test_a_bucket_is_not_made_of_a_mistyped_name(dataset: list[str], store: ObjectServer) -> None:
    with pytest.raises(Exception, match=r"cannot write to 's3://bukcet/out': .*bucket"):
        run(dataset, "s3://bukcet/out")
    store.log.clear()
    storage.make_folder("s3://bukcet/out")
    assert not store.log


@pytest.mark.parametrize(
    ("name", "reason"),
    [("no", "image:missing"), ("x" * 2000, "image:unreadable"), ("\0", "image:bad_path"), ("\udc80", "image:bad_path")],
)
def test_what_is_wrong_with_one_object_costs_this_object(store: ObjectServer, name: str, reason: str) -> None:
    store.put("bucket", "i/1", b"")
    with pytest.raises(RecordError) as caught:
        storage.read_item(f"s3://bucket/i/{name}")
    assert caught.value.reason == reason


def test_items_are_fetched_ahead_in_order_but_not_far(store: ObjectServer) -> None:
    paths = [f"s3://bucket/i/{number}" for number in range(50)]
    for number in range(50):
        store.put("bucket", f"i/{number}", b"%d" % number)
    found = storage.fetched_ahead(iter(paths), storage.read_item, remote=True)
    first = next(found)
    assert len(store.log) <= 17
    assert [first, *found] == [(path, b"%d" % number) for number, path in enumerate(paths)]
    assert len(store.log) == 50


def test_a_name_that_only_a_local_folder_understands(store: ObjectServer) -> None:
    store.put("bucket", "images/sub/1.jpg", b"x")
    for name in ("sub/1.jpg", "./sub/1.jpg", "sub//1.jpg", "./sub/./1.jpg"):
        assert storage.read_item(storage.join("s3://bucket/images", name)) == b"x"


def test_what_cannot_be_deleted_is_an_error(store: ObjectServer) -> None:
    """The server's answer to a deletion of many is 200, with the failures in its text."""
    for number in range(3):
        store.put("bucket", f"out/{number}", b"")
    error = (
        b"<DeleteResult><Error><Key>out/1</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    )
    store.fault = lambda r: error if r.method == "POST" and "delete" in r.query else None
    with pytest.raises(StorageError, match=r"3 files could not be deleted, such as bucket/out/0"):
        storage.remove("s3://bucket/out")
