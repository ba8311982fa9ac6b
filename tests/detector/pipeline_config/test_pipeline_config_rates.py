"""Rates of a pipeline.config step by step, against the API's formulas written out."""

from __future__ import annotations

import math

import pytest

from detector.pipeline_config.reading import pipeline_experiment
from detector.training.schedule import learning_rate
from schemas.errors import FormatError

MODEL = (
    "model { faster_rcnn { feature_extractor { type: 'faster_rcnn_resnet50' } first_stage_anchor_generator { "
    "grid_anchor_generator { scales: 1 aspect_ratios: 1 } } } }"
)


def experiment_of(rate, steps):
    optimizer = f"optimizer {{ momentum_optimizer {{ learning_rate {{ {rate} }} }} }}"
    return pipeline_experiment(f"{MODEL} train_config {{ num_steps: {steps} {optimizer} }}").experiment


def rates_of(rate, steps):
    train = experiment_of(rate, steps).train
    return [learning_rate(train, step) for step in range(steps)]


def manual(points, first, steps):
    """The rate of a step is that of the last point at or before it."""
    return [([first] + [rate for at, rate in points if at <= step])[-1] for step in range(steps)]


@pytest.mark.parametrize("points", [[(5, 0.01), (8, 0.001)], [(1, 0.05)], [(9, 0.3), (10, 0.1), (11, 0.0)]])
def test_steps_by_hand(points):
    schedule = " ".join(f"schedule {{ step: {at} learning_rate: {rate} }}" for at, rate in points)
    found = rates_of(f"manual_step_learning_rate {{ initial_learning_rate: 0.1 {schedule} }}", 15)
    assert found == pytest.approx(manual(points, 0.1, 15), rel=1e-9)


def test_a_first_step_of_zero_replaces_the_first_rate():
    schedule = "schedule { step: 0 learning_rate: 0.2 } schedule { step: 4 learning_rate: 0.1 }"
    found = rates_of(f"manual_step_learning_rate {{ initial_learning_rate: 0.5 {schedule} }}", 8)
    assert found == pytest.approx([0.2] * 4 + [0.1] * 4)


def test_a_rise_to_the_first_step_is_one_step_ahead():
    schedule = "schedule { step: 10 learning_rate: 0.2 } schedule { step: 20 learning_rate: 0.02 }"
    found = rates_of(f"manual_step_learning_rate {{ initial_learning_rate: 0 warmup: true {schedule} }}", 30)
    theirs = [0.2 * step / 10 for step in range(10)] + [0.2] * 10 + [0.02] * 10
    assert found[10:] == pytest.approx(theirs[10:])
    assert found[:9] == pytest.approx(theirs[1:10])


def test_the_cosine_with_its_rise():
    text = "learning_rate_base: 0.04 total_steps: 50 warmup_learning_rate: 0 warmup_steps: 10"
    found = rates_of(f"cosine_decay_learning_rate {{ {text} }}", 50)
    theirs = [0.04 * step / 10 for step in range(10)]
    theirs += [0.02 * (1 + math.cos(math.pi * (step - 10) / 40)) for step in range(10, 50)]
    assert found[10:] == pytest.approx(theirs[10:])
    assert found[:9] == pytest.approx(theirs[1:10])


def test_the_exponential_is_a_staircase():
    text = "initial_learning_rate: 0.1 decay_steps: 4 decay_factor: 0.5"
    found = rates_of(f"exponential_decay_learning_rate {{ {text} }}", 15)
    assert found == pytest.approx([0.1 * 0.5 ** (step // 4) for step in range(15)])
    train = experiment_of("exponential_decay_learning_rate { decay_steps: 100 }", 50).train
    assert (train.schedule, train.schedule_steps, train.learning_rate) == ("constant", (), 0.002)


def test_constant_and_silent():
    assert rates_of("constant_learning_rate { learning_rate: 3e-4 }", 3) == [3e-4] * 3
    assert rates_of("", 3) == [0.002] * 3


WRONG = {
    "manual_step_learning_rate { schedule { step: 5 } schedule { step: 5 } }": "found schedules at the steps 5, 5",
    "manual_step_learning_rate { schedule { step: -5 } }": "found schedules at the steps -5",
    "manual_step_learning_rate { initial_learning_rate: 0 schedule { step: 5 } }": "found a rate of 0 before 0.002",
    "manual_step_learning_rate { initial_learning_rate: -1 }": "found the rates -1",
    "exponential_decay_learning_rate { decay_steps: 0 }": "found decay_steps 0",
    "exponential_decay_learning_rate { decay_steps: 1 }": "found 19,999 steps of the rate in 20,000 steps",
    "constant_learning_rate { learning_rate: -1 }": "train.learning_rate -1.0; expected 0 to",
    "constant_learning_rate {} cosine_decay_learning_rate {}": "expected one of them",
}


@pytest.mark.parametrize("rate", WRONG)
def test_what_makes_no_schedule_is_refused(rate):
    with pytest.raises(FormatError, match=WRONG[rate]):
        experiment_of(rate, 20_000)
