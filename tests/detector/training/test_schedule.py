"""Rates, sizes and decays: functions of the step, against a loop of darknet's own rules."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from detector.config import Experiment, LossConfig, ModelConfig, TrainConfig
from detector.training.schedule import average_decay, check_recipe, input_size_at, learning_rate
from schemas.errors import ConfigError

BASE = TrainConfig(steps=120, learning_rate=0.01, warmup_steps=0, warmup_power=4.0)


def darknet_rates(config, batches):
    """The rates of the first updates, told as darknet does: by a count of images, asked for after it has grown.

    darknet-spec.md section 3, in 32-bit floats.
    """
    f32, rates, seen, images = np.float32, [], 0, 64
    for _ in range(batches):
        seen += images
        batch = seen // images
        rate = f32(config.learning_rate)
        if batch < config.warmup_steps:
            rate *= f32(f32(batch) / f32(config.warmup_steps)) ** f32(config.warmup_power)
        elif config.schedule == "steps":
            for at, scale in zip(config.schedule_steps, config.schedule_scales, strict=True):
                if at > batch:
                    break
                rate *= f32(scale)
        elif config.schedule == "poly":
            rate *= (1 - f32(batch) / f32(config.steps)) ** f32(config.schedule_power)
        rates.append(float(rate))
    return rates


@pytest.mark.parametrize(
    "options",
    [
        {"schedule": "constant"},
        {"schedule": "constant", "warmup_steps": 10},
        {"schedule": "constant", "warmup_steps": 10, "warmup_power": 1.0},
        {"schedule": "steps", "schedule_steps": (40, 80), "schedule_scales": (0.1, 0.1), "warmup_steps": 20},
        {"schedule": "steps", "schedule_steps": (5, 100), "schedule_scales": (10.0, 0.1), "warmup_steps": 20},
        {"schedule": "steps", "schedule_steps": (-1, 10, 30), "schedule_scales": (0.1, 10.0, 0.1)},
        {"schedule": "steps", "schedule_steps": (60, 10), "schedule_scales": (0.5, 0.1)},
        {"schedule": "poly", "schedule_power": 4.0, "warmup_steps": 8},
        {"schedule": "poly", "schedule_power": 2.5},
    ],
)
def test_rates_are_darknets(options):
    config = replace(BASE, **options)
    found = [learning_rate(config, step) for step in range(config.steps)]
    np.testing.assert_allclose(found, darknet_rates(config, config.steps), rtol=3e-6, atol=1e-12)


def test_a_linear_rise_and_a_cosine_by_hand():
    config = TrainConfig(steps=110, warmup_steps=10, learning_rate=1.0)
    assert learning_rate(config, 0) == pytest.approx(0.1)
    assert learning_rate(config, 9) == pytest.approx(1.0)
    assert learning_rate(config, 60) == pytest.approx(0.5)  # half of the cosine
    assert learning_rate(config, 35) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert learning_rate(replace(config, schedule="constant"), 100) == 1.0
    assert learning_rate(replace(config, warmup_power=4.0), 4) == pytest.approx(0.5**4)


def test_averages_begin_by_forgetting():
    config = replace(BASE, ema=0.999)
    assert [average_decay(config, step) for step in (0, 90)] == [0.1, 0.91]
    assert average_decay(config, 1_000_000) == 0.999


SIZES = (320, 352, 384, 416)


def scaled(**options):
    train = {"steps": 3000, "multi_scale": SIZES, "multi_scale_every": 10, "seed": 3}
    return Experiment(name="t", model=ModelConfig(input_size=416), train=TrainConfig(**(train | options)))


def test_a_size_holds_for_ten_steps_and_every_size_comes_as_often():
    experiment = scaled()
    sizes = [input_size_at(experiment, step) for step in range(3000)]
    for start in range(0, 3000, 10):
        assert len(set(sizes[start : start + 10])) == 1
    counts = Counter(sizes[:2800:10])
    assert set(counts) == set(SIZES)
    assert all(abs(count - 70) < 4 * math.sqrt(70 * 0.75) for count in counts.values())


def test_the_last_200_steps_take_the_largest_size():
    """darknet asks at the start of a block whether batch + 200 is more than max_batches."""
    experiment = scaled(steps=3005)
    for start in range(0, 3005, 10):
        if start + 200 > 3005:
            assert input_size_at(experiment, start) == 416
    assert {input_size_at(experiment, step) for step in range(2700, 2800)} != {416}
    short = scaled(steps=100)
    assert [input_size_at(short, step) for step in (99, 91)] == [416, 416]
    assert {input_size_at(short, step) for step in range(90)} > {416}


def test_sizes_depend_on_the_seed_and_on_nothing_drawn_before():
    one, two = scaled(), scaled(seed=4)
    assert [input_size_at(one, step) for step in range(0, 500, 10)] != [
        input_size_at(two, step) for step in range(0, 500, 10)
    ]
    assert input_size_at(scaled(), 1234) == input_size_at(one, 1234)
    assert input_size_at(scaled(multi_scale=()), 7) == 416


@pytest.mark.parametrize(
    ("train", "loss", "message"),
    [
        ({"subdivisions": 3}, {}, r"train.subdivisions is 3; expected a divisor of train.batch_size, 32"),
        ({"schedule_steps": (5,)}, {}, r"train.schedule_steps has 1 numbers, train.schedule_scales 0"),
        ({"schedule": "steps"}, {}, r"train.schedule is 'steps'; name them"),
        ({"multi_scale": (64, 50)}, {}, r"train.multi_scale has 50; expected multiples of the output stride 32"),
        ({}, {"weak_teacher": True}, r"loss.weak_teacher needs averaged weights; set train.ema"),
    ],
)
def test_options_that_contradict_each_other_are_refused(train, loss, message):
    experiment = Experiment(name="t", loss=LossConfig(**loss), train=TrainConfig(**train))
    with pytest.raises(ConfigError, match=message):
        check_recipe(experiment, 32)
