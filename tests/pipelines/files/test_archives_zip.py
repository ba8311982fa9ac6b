"""Zip files read in place, against Python's zipfile."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

import pytest

from pipelines.files.archives import members, read_member
from pipelines.rows import Member
from schemas.errors import FormatError, RecordError


def contents(path: object) -> list[tuple[str, bytes]]:
    return [(name, read_member(str(path), member)) for name, member in members(str(path))]


def make_zip(path: Path, before: bytes = b"") -> dict[str, bytes]:
    noise = random.Random(3).randbytes
    files = {"val2017/": b"", "val2017/a.jpg": noise(5000), "val2017/empty.png": b"", "masks/ü.png": bytes(90_000)}
    with path.open("wb") as stream:
        stream.write(before)
        with zipfile.ZipFile(stream, "w") as archive:
            for name, data in files.items():
                method = zipfile.ZIP_DEFLATED if name.endswith(".png") else zipfile.ZIP_STORED
                archive.writestr(zipfile.ZipInfo(name), data, method)
            with archive.open("streamed.png", "w", force_zip64=True) as entry:
                entry.write(noise(100))
    files["streamed.png"] = zipfile.ZipFile(path).read("streamed.png")
    del files["val2017/"]
    return files


@pytest.mark.parametrize("before", [b"", b"#!/bin/sh\n" * 30])
def test_a_zip_reads_as_zipfile_reads_it(tmp_path: Path, before: bytes) -> None:
    files = make_zip(tmp_path / "a.zip", before)
    assert dict(contents(tmp_path / "a.zip")) == files
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert files == {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def test_a_zip_with_more_members_than_the_old_form_counts(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(66_000):
            archive.writestr(zipfile.ZipInfo(f"{number}"), b"")
        archive.writestr("last.png", b"png" * 40)
    listing = list(members(str(tmp_path / "a.zip")))
    assert [name for name, _ in listing] == [*map(str, range(66_000)), "last.png"]
    assert read_member(str(tmp_path / "a.zip"), listing[-1][1]) == b"png" * 40


def test_zip_offsets_past_32_bits_are_read(tmp_path: Path) -> None:
    path = tmp_path / "large.zip"
    with path.open("wb") as stream:
        stream.truncate(0)
        archive = zipfile.ZipFile(stream, "w", allowZip64=True)
        archive.writestr("first.png", b"1")
        stream.seek((1 << 32) + 5)  # a file with a hole
        archive.start_dir = stream.tell()
        archive.writestr("last.png", b"2" * 99)
        archive.close()
    assert contents(path) == [("first.png", b"1"), ("last.png", b"2" * 99)]


@pytest.mark.parametrize("keep", [10, 3000, -30, -1])
def test_a_cut_zip_is_an_error(tmp_path: Path, keep: int) -> None:
    make_zip(tmp_path / "a.zip")
    (tmp_path / "b.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:keep])
    with pytest.raises(FormatError, match="cut short"):
        contents(tmp_path / "b.zip")


def test_a_zip_without_its_beginning_is_an_error(tmp_path: Path) -> None:
    make_zip(tmp_path / "a.zip")
    (tmp_path / "b.zip").write_bytes((tmp_path / "a.zip").read_bytes()[1000:])
    with pytest.raises(FormatError, match="1,000 bytes are missing"):
        contents(tmp_path / "b.zip")


def test_damaged_bytes_cost_their_member_alone(tmp_path: Path) -> None:
    files = make_zip(tmp_path / "a.zip")
    found = dict(members(str(tmp_path / "a.zip")))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    for name in ("val2017/a.jpg", "masks/ü.png"):
        data[found[name].offset + 30 + len(name.encode()) + 20] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(data)
    for name, member in found.items():
        if name in ("val2017/a.jpg", "masks/ü.png"):
            with pytest.raises(RecordError, match="does not hold") as caught:
                read_member(str(tmp_path / "a.zip"), member)
            assert caught.value.reason == "image:bad_member"
        else:
            assert read_member(str(tmp_path / "a.zip"), member) == files[name]


def test_a_zip_member_larger_than_stated_is_not_unpacked_whole(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(50_000_000))
    ((_, member),) = members(str(tmp_path / "a.zip"))
    lying = Member(member.offset, member.length, member.packing.replace("50000000", "1000"))
    with pytest.raises(RecordError, match="does not hold") as caught:
        read_member(str(tmp_path / "a.zip"), lying)
    assert "more than 1,000 bytes" in caught.value.found


def test_encrypted_and_strange_zip_members_and_links_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"1" * 50, zipfile.ZIP_BZIP2)
        link = zipfile.ZipInfo("b.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "a.png")
        archive.writestr("c.png", b"1")
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\1\2") + 8] |= 1  # c.png's entry says that it is encrypted
    path.write_bytes(data)
    assert {name: member.packing for name, member in members(str(path))} == {
        "a.png": "refused packed by method 12; expected stored or deflated",
        "b.png": "refused a link",
        "c.png": "refused encrypted",
    }


@pytest.mark.parametrize("length_too", [False, True])
def test_a_list_longer_than_its_end_says_is_an_error(length_too: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"1")
        archive.writestr("b.png", b"2")
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\5\6")
    data[end + 8 : end + 12] = b"\1\0\1\0"
    if length_too:
        data[end + 12 : end + 16] = (46 + len("a.png")).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(FormatError, match="Is it damaged"):
        list(members(str(path)))
