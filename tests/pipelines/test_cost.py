"""The estimate, against figures worked out by hand for 300 million images of 100 KB and a billion rows of 60 bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pipelines.cost import (
    GB_PER_VCPU,
    LIST_PRICES,
    MEASURED_BYTES,
    CpuTimes,
    Volume,
    estimate,
    image_milliseconds,
    lines,
    shuffle_dollars,
)

Coco = Any
PLAIN = CpuTimes(overhead=1.0)


def test_a_vcpu_with_its_memory_is_seven_cents_an_hour() -> None:
    assert GB_PER_VCPU == 3.75
    assert LIST_PRICES.worker_hour == pytest.approx(0.069, abs=5e-4)


@pytest.mark.parametrize(
    ("rows", "row_bytes", "gigabytes", "dollars", "within"),
    [
        (1_000_000_000, 60, 120, 0.3, 0.05),
        (375_000_000, 60, 45, 0.1, 0.05),
        (300_000_000 * 4, 40, 96, 0.3, 0.05),
        (300_000_000, 100_000, 60_000, 630, 5),
        (4 * 300_000_000, 100_000, 240_000, 2_600, 50),
    ],
)
def test_a_shuffle_is_billed_twice_and_discounted_by_tiers(
    rows: int, row_bytes: int, gigabytes: float, dollars: float, within: float
) -> None:
    found = estimate(Volume(images=0, image_bytes=0, rows=rows, row_bytes=row_bytes, shards=0))
    assert found.shuffle_gb == pytest.approx(gigabytes)
    assert found.shuffle == pytest.approx(dollars, abs=within)


def test_the_tiers_meet_without_a_jump() -> None:
    assert shuffle_dollars(0) == 0
    assert shuffle_dollars(250) == pytest.approx(250 * 0.25 * 0.011)
    assert shuffle_dollars(5120) == pytest.approx((250 * 0.25 + 4870 * 0.5) * 0.011)
    assert shuffle_dollars(5121) - shuffle_dollars(5120) == pytest.approx(0.011)


def test_cpu_of_an_image_is_the_sum_of_its_steps() -> None:
    moved = 2 * MEASURED_BYTES / 50e6 * 1e3
    assert image_milliseconds(MEASURED_BYTES) == pytest.approx(0.03 + 0.06 + 0.01 + moved)
    assert image_milliseconds(MEASURED_BYTES, decode=True) == pytest.approx(0.03 + 0.06 + 0.01 + 1.7 + moved)
    assert image_milliseconds(0) == pytest.approx(0.03)


def test_the_whole_chain_of_near_duplicates_and_resizing_comes_to_730_vcpu_hours() -> None:
    """Header, digest, perceptual hash, decoding, resizing and encoding again, checksum; 100 KB in and 43 KB out: 8.8 ms
    an image. The job here copies; the law of the sum is the same, so the steps are given as the digest's time."""
    steps = 0.06 + 1.3 + 4.4
    times = CpuTimes(sha256=steps * MEASURED_BYTES / 100_000, checksum=0.01 * MEASURED_BYTES / 100_000, overhead=1.0)
    saved = 300e6 * (100_000 - 43_000) / 50e6 / 3600  # of writing 100 KB, as a copy does
    volume = Volume(images=300_000_000, image_bytes=100_000, rows=0, row_bytes=0, shards=0)
    hours = estimate(volume, times=times).vcpu_hours - saved
    assert hours == pytest.approx(730, rel=0.02)
    assert hours * LIST_PRICES.worker_hour == pytest.approx(51, abs=1)
    assert 3 * hours == pytest.approx(2200, rel=0.02)
    assert 3 * hours * LIST_PRICES.worker_hour == pytest.approx(150, rel=0.02)


def test_a_billion_rows_take_about_four_vcpu_hours() -> None:
    volume = Volume(images=0, image_bytes=0, rows=1_000_000_000, row_bytes=60, shards=0)
    hours = estimate(volume, times=PLAIN).vcpu_hours
    assert 6e-6 * 1e9 / 3600 < hours < 13e-6 * 1e9 / 3600


def test_requests_and_storage() -> None:
    read = estimate(Volume(images=300_000_000, image_bytes=100_000, rows=0, row_bytes=0, shards=0))
    assert read.requests == pytest.approx(120)
    assert read.storage_gb == pytest.approx(30_000)
    assert read.storage_month == pytest.approx(600)
    one_object_an_image = 300_000_000 * LIST_PRICES.thousand_puts / 1e3
    assert one_object_an_image == pytest.approx(1500)
    shards = estimate(Volume(images=0, image_bytes=0, rows=0, row_bytes=0, shards=60_000))
    assert shards.requests == pytest.approx(4 * 60_000 * 0.005 / 1e3)


def test_the_lines_state_amounts_prices_and_assumptions() -> None:
    volume = Volume(
        images=300_000_000, image_bytes=100_000, rows=375_000_000, row_bytes=60, shards=150_000, sampled=200
    )
    told = "\n".join(lines(volume, estimate(volume)))
    assert "300,000,000 images of 100 KB, the mean of 200; in the shuffle 375,000,000 rows, " in told
    assert "rows, one an image and file, of 60 B" in told
    assert "cost     on Dataflow about $" in told
    assert "shuffle of 45.0 GB $0.12" in told
    assert "$600.00 a month for 30.0 TB of shards" in told
    assert "at most 150,000 vCPUs" in told
    assert "check them" in told


def test_a_dry_run_prints_the_estimate_and_writes_nothing(coco: Coco, convert: Callable[..., Any]) -> None:
    sizes = []
    for number in range(1, 31):
        coco.image(number)
        coco.box(number)
        coco.box(number)
        sizes.append((coco.folder / "images" / f"{number}.jpg").stat().st_size)
    words = coco.write()
    done = convert("coco", *words, "--shards", 3, "--dry-run")
    assert done.code == 0
    assert not done.out.exists()
    assert "cost     on Dataflow less than $0.01" in done.stdout
    assert f"30 images of {sum(sizes) / 30:.0f} B, the mean of 30; " in done.stdout
    facts = json.loads(convert("coco", *words, "--shards", 3, "--dry-run", "--json").stdout)
    assert facts["volume"]["image_bytes"] == pytest.approx(sum(sizes) / 30)
    assert facts["volume"]["images"] == 30
    assert facts["volume"]["rows"] >= 30
    assert facts["volume"]["row_bytes"] > 24, "a row has its hash and place at least"
    assert facts["cost"]["shuffle_gb"] == pytest.approx(2e-9 * facts["volume"]["rows"] * facts["volume"]["row_bytes"])
    assert facts["cost"]["storage_gb"] == pytest.approx(sum(sizes) / 1e9)
    assert facts["cost"]["once"] == pytest.approx(sum(facts["cost"][key] for key in ("shuffle", "compute", "requests")))


def test_an_estimate_looks_past_images_that_are_not_there(coco: Coco, convert: Callable[..., Any]) -> None:
    coco.image(1)
    coco.image(2)
    coco.image(3, file_name="gone.jpg")
    (coco.folder / "images" / "gone.jpg").unlink()
    words = coco.write()
    size = sum(path.stat().st_size for path in (coco.folder / "images").iterdir()) / 2
    told = convert("coco", *words, "--dry-run").stdout
    assert f"3 images of {size:.0f} B, the mean of 2" in told


def test_a_file_where_a_folder_is_named_costs_no_traceback(coco: Coco, convert: Callable[..., Any]) -> None:
    coco.image(1, file_name="")
    coco.images[0]["file_name"] = "a/b.jpg"
    (coco.folder / "images" / "a").write_bytes(b"a file")
    assert "1 image of 0 B, none of which was found" in convert("coco", *coco.write(), "--dry-run").stdout
