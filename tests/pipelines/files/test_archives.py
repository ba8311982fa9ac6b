"""Archives read in place, against Python's tarfile and zipfile."""

from __future__ import annotations

import io
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.files.archives import is_archive, members, read_member
from pipelines.files.archives_ranges import LOCAL_STEP, Ranges
from pipelines.rows import Member
from schemas.errors import FormatError, InputError, RecordError

LONG = "n01440764/" + "a" * 120 + "/" + "ü" * 90 + ".JPEG"


def contents(path: object) -> list[tuple[str, bytes]]:
    return [(name, read_member(str(path), member)) for name, member in members(str(path))]


def tar(files: dict[str, bytes], form: int = tarfile.DEFAULT_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def tarfile_says(path: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        return [(m.name, archive.extractfile(m).read()) for m in archive if m.isreg()]  # type: ignore[union-attr]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def one(data: bytes, name: str = "a.tar") -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return one


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_reads_as_tarfile_reads_it(write: Callable[..., Path], form: int) -> None:
    noise = random.Random(form).randbytes
    files = {f"n{n:08d}/x_{n}.JPEG": noise(size) for n, size in enumerate((0, 1, 511, 512, 513, 5000, 100_000))}
    if form != tarfile.USTAR_FORMAT:
        files[LONG] = noise(700)
    path = write(tar(files, form))
    assert contents(path) == tarfile_says(path) == list(files.items())


@given(
    st.dictionaries(
        st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), min_size=1),
        st.binary(max_size=1200),
    )
)
def test_any_names_and_bytes_survive(files: dict[str, bytes]) -> None:
    with fsspec.open("memory://archives/any.tar", "wb") as stream:
        stream.write(tar({f"x/{name}x": data for name, data in files.items()}, form=tarfile.PAX_FORMAT))  # type: ignore[attr-defined]
    found = contents("memory://archives/any.tar")
    assert found == [(f"x/{name}x", data) for name, data in files.items()]


def test_a_tar_of_tars_is_read_without_unpacking(write: Callable[..., Path]) -> None:
    inner = {f"n0000000{n}": {f"n0000000{n}_{k}.JPEG": b"%d-%d" % (n, k) * 999 for k in range(3)} for n in range(4)}
    path = write(tar({f"{wnid}.tar": tar(files) for wnid, files in inner.items()}))
    expected = [(f"{w}.tar/{name}", data) for w, files in inner.items() for name, data in files.items()]
    assert contents(path) == expected
    outer = list(members(str(path), nested=False))
    assert [name for name, _ in outer] == [f"{wnid}.tar" for wnid in inner]
    below = [(name, read_member(str(path), m)) for name, m in members(str(path), outer[2][1])]
    assert below == list(inner["n00000002"].items())


def test_a_listing_reads_headers_alone(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tar({f"{n}.JPEG": bytes(100_000) for n in range(20)})
    path = write(tar({f"n{n:08d}.tar": inner for n in range(5)}))
    fetched: list[int] = []
    fetch = Ranges.fetch

    def counted(self: Ranges, offset: int, length: int) -> bytes:
        data = fetch(self, offset, length)
        fetched.append(len(data))
        return data

    monkeypatch.setattr(Ranges, "fetch", counted)
    listing = list(members(str(path)))
    assert len(listing) == 100
    headers = 5 * (1 + 20) + 6 * 2  # of outer and inner members, the marks of the ends, and what may follow these
    assert sum(fetched) <= headers * LOCAL_STEP
    assert sum(fetched) < path.stat().st_size // 20
    fetched.clear()
    read_member(str(path), listing[50][1])
    assert fetched == [100_000]


def test_links_and_sparse_files_are_refused_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("folder", "a.JPEG"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.size = (tarfile.DIRTYPE, 0) if name == "folder" else (tarfile.REGTYPE, 3)
            archive.addfile(entry, io.BytesIO(b"abc"))
        archive.addfile(special("soft.JPEG", tarfile.SYMTYPE, "/etc/passwd"))
        archive.addfile(special("hard.JPEG", tarfile.LNKTYPE, "a.JPEG"))
        archive.addfile(special("pipe", tarfile.FIFOTYPE))
        entry = tarfile.TarInfo("holes.JPEG")
        entry.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "b.JPEG"}
        archive.addfile(entry)
    found = dict(members(str(path)))
    assert list(found) == ["a.JPEG", "soft.JPEG", "hard.JPEG", "b.JPEG"]
    assert read_member(str(path), found["a.JPEG"]) == b"abc"
    for name, why in (("soft.JPEG", "a link to /etc/passwd"), ("hard.JPEG", "a link to a.JPEG"), ("b.JPEG", "sparse")):
        with pytest.raises(RecordError) as caught:
            read_member(str(path), found[name])
        assert caught.value.reason == "image:refused_member"
        assert why in caught.value.found


def test_an_old_sparse_file_is_passed_over_with_its_map(write: Callable[..., Path]) -> None:
    data = bytearray(tar({"holes.JPEG": b"x" * 512, "after.JPEG": b"y"}))
    data[156:157], data[482:483] = b"S", b"\1"
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    more = bytes(504) + b"\1" + bytes(7) + bytes(512)  # two more blocks of its map
    path = write(bytes(data[:512]) + more + bytes(data[512:]))
    found = dict(members(str(path)))
    assert found["holes.JPEG"].packing.startswith("refused a sparse file")
    assert read_member(str(path), found["after.JPEG"]) == b"y"


def test_slashes_in_front_are_taken_off_and_other_names_stay(write: Callable[..., Path]) -> None:
    names = ["/train_0/a.jpg", "./b.jpg", ".//./c.jpg", "../d.jpg", "x/../../e.jpg", ".hidden"]
    path = write(tar({name: b"1" for name in names}))
    assert [name for name, _ in contents(path)] == [
        *("train_0/a.jpg", "b.jpg", "c.jpg", "../d.jpg", "x/../../e.jpg", ".hidden")
    ]


def test_names_that_are_no_unicode_are_told_as_surrogates(write: Callable[..., Path]) -> None:
    path = write(tar({"h\udcfchn.jpg": b"1"}, form=tarfile.GNU_FORMAT))
    assert contents(path) == [("h\udcfchn.jpg", b"1")]


def test_sizes_in_base_256_are_read(write: Callable[..., Path]) -> None:
    data = bytearray(tar({"a": b"x" * 600, "b": b"y"}))
    data[124:136] = b"\x80" + (600).to_bytes(11, "big")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    assert contents(write(bytes(data))) == [("a", b"x" * 600), ("b", b"y")]


@pytest.mark.parametrize("keep", [100, 512, 700, 1024, 1536, 2000, 2048])
def test_a_cut_tar_is_an_error_with_the_position(write: Callable[..., Path], keep: int) -> None:
    path = write(tar({"a": b"x" * 600, "b": b"y"})[:keep])
    with pytest.raises(FormatError, match=rf"a\.tar' .*byte {keep if keep != 100 else 0:,}|begins with") as caught:
        contents(path)
    assert "Fetch it again" in str(caught.value) or "damaged" in str(caught.value)


def test_a_cut_inner_tar_is_named(write: Callable[..., Path]) -> None:
    inner = tar({"a": b"x" * 600, "b": b"y"})
    path = write(tar({"n1.tar": inner, "n2.tar": inner[:1024]}))
    with pytest.raises(FormatError, match=r"'n2\.tar' in archive .* ends at byte .*'a' reaches to byte"):
        contents(path)


def test_a_damaged_header_is_an_error_with_the_position(write: Callable[..., Path]) -> None:
    data = bytearray(tar({"a": b"x" * 600, "b": b"y"}))
    data[1536 + 10] ^= 1
    with pytest.raises(FormatError, match="has at byte 1,536"):
        contents(write(bytes(data)))


def test_what_stands_behind_the_end_is_not_lost_in_silence(write: Callable[..., Path]) -> None:
    one = tar({"a": b"x"})
    with pytest.raises(FormatError, match="another archive begins at byte 10,240"):
        contents(write(one + tar({"b": b"y"})))
    assert contents(write(one + b"padding of an old tape")) == [("a", b"x")]
    assert contents(write(one[:1024] + bytes(512))) == [("a", b"x")]  # a lone block of zeros, as GNU tar accepts


def test_empty_archives_have_no_members(write: Callable[..., Path]) -> None:
    assert contents(write(tar({}))) == []
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    assert contents(write(buffer.getvalue(), "a.zip")) == []
    with pytest.raises(FormatError, match="is empty without"):
        contents(write(b""))


@pytest.mark.parametrize(
    ("begin", "tool"), [(b"\x1f\x8b\x08", "gunzip"), (b"BZh9", "bunzip2"), (b"\xfd7zXZ\0", "unxz")]
)
def test_an_archive_that_is_compressed_as_a_whole_is_refused_with_advice(
    write: Callable[..., Path], begin: bytes, tool: str
) -> None:
    assert is_archive("train_0.tar.gz")
    with pytest.raises(FormatError, match=rf"{tool} train_0\.tar\.gz"):
        contents(write(begin + bytes(600), "train_0.tar.gz"))


def test_what_is_no_archive_is_refused(write: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="a page of an error"):
        contents(write(b"<html>" * 200))
    with pytest.raises(InputError, match="does not exist"):
        contents(tmp_path / "none.tar")
    with pytest.raises(InputError, match="cannot be read"):
        contents(tmp_path)


def test_tar_sizes_past_32_bits_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "large.tar"
    large = tarfile.TarInfo("large")
    large.size = 9 << 30
    after = tarfile.TarInfo("after")
    after.size = 1
    with path.open("wb") as stream:
        stream.write(large.tobuf(tarfile.GNU_FORMAT))
        stream.seek(9 << 30, 1)
        stream.write(after.tobuf() + b"y".ljust(512, b"\0") + bytes(1024))
    (_, _), (name, member) = members(str(path))
    assert (name, read_member(str(path), member)) == ("after", b"y")


def test_any_file_system_will_do(tmp_path: Path) -> None:
    files = {"a.png": b"1" * 999, "b.png": b""}
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    for name, data in (
        ("a.zip", (tmp_path / "a.zip").read_bytes()),
        ("b.tar", tar({"n1.tar": tar({"x": b"1" * 999})})),
    ):
        with fsspec.open(f"memory://archives/{name}", "wb") as stream:
            stream.write(data)  # type: ignore[attr-defined]
    assert dict(contents("memory://archives/a.zip")) == files
    assert contents("memory://archives/b.tar") == [("n1.tar/x", b"1" * 999)]
    with pytest.raises(InputError, match="does not exist"):
        contents("memory://archives/none.tar")


@pytest.mark.parametrize("packing", ["", "deflate", "zip 0 9 00000000"])
def test_an_archive_that_went_or_shrank_costs_the_image(tmp_path: Path, packing: str) -> None:
    (tmp_path / "a.tar").write_bytes(b"short")
    with pytest.raises(RecordError) as caught:
        read_member(str(tmp_path / "a.tar"), Member(2, 9, packing))
    assert caught.value.reason == "image:bad_member"
    with pytest.raises(RecordError) as caught:
        read_member(str(tmp_path / "none.tar"), Member(2, 9, packing))
    assert caught.value.reason == "image:missing"


def test_raw_deflate_is_unpacked(tmp_path: Path) -> None:
    import zlib

    packer = zlib.compressobj(wbits=-15)
    data = packer.compress(b"abc" * 100) + packer.flush()
    (tmp_path / "x.bin").write_bytes(b"head" + data)
    assert read_member(str(tmp_path / "x.bin"), Member(4, len(data), "deflate")) == b"abc" * 100


@given(
    st.sampled_from(["tar", "zip"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=4),
    st.floats(0, 1),
)
def test_any_damage_is_told_and_never_a_crash(kind: str, flips: list[tuple[float, int]], keep: float) -> None:
    buffer = io.BytesIO()
    if kind == "tar":
        buffer.write(tar({LONG: b"1" * 700, "n1.tar": tar({"a": b"2" * 20})}, tarfile.GNU_FORMAT))
    else:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.png", b"1" * 700)
            archive.writestr("b.png", b"2" * 20)
    data = bytearray(buffer.getvalue())
    for place, change in flips:
        data[int(place * (len(data) - 1))] ^= change
    path = f"memory://archives/damaged.{kind}"
    with fsspec.open(path, "wb") as stream:
        stream.write(bytes(data[: int(len(data) * keep) if keep < 0.5 else len(data)]))  # type: ignore[attr-defined]
    try:
        for _, member in members(path):
            try:
                read_member(path, member)
            except RecordError as error:
                assert error.reason.startswith("image:")  # noqa: PT017
    except FormatError as error:
        assert "damaged.zip" in str(error) or "damaged.tar" in str(error)  # noqa: PT017


def test_what_is_larger_than_any_image_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"")
    with pytest.raises(RecordError) as caught:
        read_member(str(tmp_path / "a.tar"), Member(512, 9 << 30))
    assert "no image has more" in caught.value.found


def test_a_size_of_thousands_of_digits_is_an_error(tmp_path: Path) -> None:
    value = b"9" * 5000
    said = b"5011 size=" + value + b"\n"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = special("PaxHeaders/a", b"x")
        entry.size = len(said)
        archive.addfile(entry, io.BytesIO(said))
        archive.addfile(tarfile.TarInfo("a.jpg"))
    data = buffer.getvalue()
    assert len(said) == 5011
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(FormatError, match="no possible size"):
        list(members(str(tmp_path / "a.tar")))
