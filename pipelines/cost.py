"""What a conversion would cost on Dataflow: plain arithmetic on counts, mean sizes and list prices.

Rows cross the shuffle once (written, then read); images are read and written once and never shuffled (rule R3). Prices
and CPU times are assumptions, noted on the date below: look them up before you quote them. GB is 10**9 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

PRICES_NOTED = "2026-11-21"
GB_PER_VCPU = 3.75
SHUFFLE_TIERS = ((250.0, 0.25), (4870.0, 0.5))  # the first 250 GB cost a quarter, the next 4,870 a half
FILES_PER_SHARD = 4  # shard, its two tables, its report


@dataclass(frozen=True, slots=True)
class Prices:
    """List prices in dollars, for batch jobs.

    Attributes:
        vcpu_hour, memory_gb_hour: of workers.
        shuffle_gb: of data written to or read from the shuffle service, before the discounts of `SHUFFLE_TIERS`.
        thousand_gets, thousand_puts: requests to the object store.
        storage_gb_month: of standard storage.
    """

    vcpu_hour: float = 0.056
    memory_gb_hour: float = 0.003557
    shuffle_gb: float = 0.011
    thousand_gets: float = 0.0004
    thousand_puts: float = 0.005
    storage_gb_month: float = 0.02

    @property
    def worker_hour(self) -> float:
        """One vCPU with its memory for an hour."""
        return self.vcpu_hour + GB_PER_VCPU * self.memory_gb_hour


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Milliseconds of one vCPU; the first group for each image of 96 KB with 640 x 480 pixels.

    Attributes:
        header, sha256, checksum, decode: steps on one image; the first is the same for any size.
        megabytes_per_second: of reading and writing, for each vCPU.
        row: parsing one row, and sending it off.
        overhead: what Python, the runner and retries multiply all this by.
    """

    header: float = 0.03
    sha256: float = 0.06
    checksum: float = 0.01
    decode: float = 1.7
    megabytes_per_second: float = 50.0
    row: float = 0.010
    overhead: float = 3.0


MEASURED_BYTES = 96_000.0  # of the image that the times are for
LIST_PRICES = Prices()
MEASURED_TIMES = CpuTimes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """What goes through a conversion.

    Attributes:
        images, rows: how many; an image may have several rows.
        image_bytes, row_bytes: means.
        shards: files to write, which bounds the workers that write side by side.
        decode: whether every image is decoded.
        sampled: from how many images the mean size is; None if it is exact.
        pixels: whether images are read and written.
    """

    images: int
    image_bytes: float
    rows: int
    row_bytes: float
    shards: int
    decode: bool = False
    sampled: int | None = None
    pixels: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """An estimate in the units of the bill, and in dollars."""

    shuffle_gb: float
    shuffle: float
    vcpu_hours: float
    compute: float
    requests: float
    storage_gb: float
    storage_month: float

    @property
    def once(self) -> float:
        """Dollars for the run, without storage."""
        return self.shuffle + self.compute + self.requests


def shuffle_dollars(gigabytes: float, prices: Prices = LIST_PRICES) -> float:
    """The price of a shuffle of so many GB, written and read counted apart."""
    charged, left = 0.0, gigabytes
    for size, share in SHUFFLE_TIERS:
        part = min(left, size)
        charged += part * share
        left -= part
    return (charged + left) * prices.shuffle_gb


def image_milliseconds(image_bytes: float, *, decode: bool = False, times: CpuTimes = MEASURED_TIMES) -> float:
    """vCPU milliseconds for one image: header, digest, checksum, read and write; before the overhead.

    Args:
        image_bytes: its size; steps that look at every byte, or every pixel, grow with it.
        decode: whether it is decoded whole.
        times: of one image of `MEASURED_BYTES`.
    """
    per_byte = times.sha256 + times.checksum + (times.decode if decode else 0.0)
    moved = 2 * image_bytes / (times.megabytes_per_second * 1e6) * 1e3
    return times.header + per_byte * image_bytes / MEASURED_BYTES + moved


def estimate(volume: Volume, prices: Prices = LIST_PRICES, times: CpuTimes = MEASURED_TIMES) -> Estimate:
    """What converting this volume costs."""
    image = image_milliseconds(volume.image_bytes, decode=volume.decode, times=times)
    images = volume.images if volume.pixels else 0
    hours = times.overhead * (images * image + volume.rows * times.row) / 3.6e6
    shuffled = 2 * volume.rows * volume.row_bytes / 1e9
    stored = images * volume.image_bytes / 1e9
    requests = images * prices.thousand_gets + FILES_PER_SHARD * volume.shards * prices.thousand_puts
    return Estimate(
        shuffle_gb=shuffled,
        shuffle=shuffle_dollars(shuffled, prices),
        vcpu_hours=hours,
        compute=hours * prices.worker_hour,
        requests=requests / 1e3,
        storage_gb=stored,
        storage_month=stored * prices.storage_gb_month,
    )


def lines(volume: Volume, found: Estimate, times: CpuTimes = MEASURED_TIMES) -> list[str]:
    """The estimate for people."""
    of = f", the mean of {volume.sampled}" if volume.sampled else ", none of which was found"
    of = "" if volume.sampled is None else of
    images = "no image is read"
    if volume.pixels:
        images = f"{_many(volume.images, 'image')} of {_size(volume.image_bytes)}{of}"
    stored = f", and {_dollars(found.storage_month)} a month for {_size(found.storage_gb * 1e9)} of shards"
    shuffled, hours = _size(found.shuffle_gb * 1e9), f"{found.vcpu_hours:,.2f} vCPU hours"
    return [
        f"cost     on Dataflow {_about(found.once)}{stored if volume.pixels else ''}",
        f"         {images}; in the shuffle {_many(volume.rows, 'row')}, one an image and file, of "
        f"{volume.row_bytes:,.0f} B",
        f"         {hours} {_dollars(found.compute)} (times {times.overhead:g} for Python and retries), "
        f"shuffle of {shuffled} {_dollars(found.shuffle)}, requests {_dollars(found.requests)}",
        f"         at most {volume.shards:,} vCPU{'s' * (volume.shards != 1)} at work at once, one for each shard; "
        f"list prices as assumed on {PRICES_NOTED}, check them before you quote them",
    ]


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _about(amount: float) -> str:
    told = _dollars(amount)
    return told if told.startswith("less") else f"about {told}"


def _dollars(amount: float) -> str:
    return "less than $0.01" if 0 < amount < 0.005 else f"${amount:,.2f}"


def _size(size: float) -> str:
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 999.5 or unit == "TB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if size >= 99.95 or unit == "B" else f"{size:,.1f} {unit}"
