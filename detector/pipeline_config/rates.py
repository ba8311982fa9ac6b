"""`learning_rate { ... }` as a schedule of ours.

Their steps count from 0 and a rate holds from its step on; ours holds from the batch b = step + 1 (see
`detector.training.schedule`), so every step of a staircase is one more here and the rates are equal at each step.

    constant_learning_rate              constant
    manual_step_learning_rate           steps, as factors; with `warmup` a rise to the first of them
    exponential_decay_learning_rate     steps, written out: one staircase up to the end of the run
    cosine_decay_learning_rate          cosine, which ends with the run
"""

from __future__ import annotations

import itertools
from typing import Any

from detector.given_text import shortened
from detector.pipeline_config.fields import Fields, short_value

KINDS = (
    "constant_learning_rate",
    "manual_step_learning_rate",
    "exponential_decay_learning_rate",
    "cosine_decay_learning_rate",
)
WRITTEN_OUT = 10_000
RISE = "a rise from 0 here"
ONE_MORE = "one more than theirs: a rate holds from step n on there, in batch n + 1 here, counted from 1"


def read_rate(rate: Fields, steps: int) -> None:
    """Read the rate into the book.

    Args:
        rate: the message `learning_rate`.
        steps: of the run.

    Raises:
        FormatError: if a value is none of its field, or rates and steps make no schedule.
    """
    kind = rate.one_of(*KINDS)
    settings = rate.book.settings
    settings |= {"train.warmup_steps": 0, "train.warmup_power": 1.0, "train.schedule": "constant"}
    if not kind:
        rate.take(KINDS[0], {"train.learning_rate": 0.002}, default="no rate is named")
        return
    inside = rate.message(kind)
    if kind == KINDS[0]:
        inside.take("learning_rate", {"train.learning_rate": inside.number("learning_rate", 0.002)}, default=0.002)
    elif kind == KINDS[1]:
        _manual(inside, steps)
    elif kind == KINDS[2]:
        _exponential(inside, steps)
    else:
        _cosine(inside, steps)


def _manual(manual: Fields, steps: int) -> None:
    first = manual.number("initial_learning_rate", 0.002)
    rise, warm_up = 0, manual.flag("warmup", False)
    points: list[tuple[int, float]] = []
    for part in manual.messages("schedule"):
        points.append((part.integer("step", 0), part.number("learning_rate", 0.002)))
    at, rates = [step for step, _ in points], [rate for _, rate in points]
    if any(step < 0 for step in at) or any(later <= earlier for earlier, later in itertools.pairwise(at)):
        found = shortened(", ".join(map(str, at)))
        raise manual.error(f"found schedules at the steps {found}; expected rising numbers from 0")
    if any(not 0 <= rate <= 1e6 for rate in (first, *rates)):
        found = shortened(", ".join(f"{rate:g}" for rate in (first, *rates)))
        raise manual.error(f"found the rates {found}; expected numbers from 0")
    whole = (first, *rates)
    if at and (at[0] == 0 or warm_up):  # the first rate never holds, or is where the rise begins
        first, rise = rates[0], at[0] if warm_up else 0
        at, rates = at[1:], rates[1:]
    scales: list[float] = []
    before = first
    for rate in rates:
        if before == 0:
            raise manual.error(f"found a rate of 0 before {rate:g}; expected rates above 0 before the last")
        scales.append(float(f"{rate / before:.12g}"))
        before = rate
    schedule: dict[str, Any] = {"train.learning_rate": first, "train.schedule": "steps" if at else "constant"}
    remark = f"the rates are {short_value(tuple(whole))[1:-1]}"
    manual.take("initial_learning_rate", schedule, remark, default=0.002)
    manual.take("warmup", {"train.warmup_steps": rise, "train.warmup_power": 1.0}, RISE if rise else "", default=False)
    falls = {"train.schedule_steps": tuple(step + 1 for step in at), "train.schedule_scales": tuple(scales)}
    told: dict[str, int] = {}  # all of them decide the settings together, which the first of each name tells
    for part in manual.messages("schedule"):
        for name, key, why in (
            ("step", "train.schedule_steps", _never(at, steps) or ONE_MORE),
            ("learning_rate", "train.schedule_scales", "each over the one before"),
        ):
            if name not in part:
                continue
            if name in told:
                part.take(name, {}, f"with line {told[name]}")
            else:
                part.take(name, {key: falls[key]}, why if at else "the rate that the run begins with")
                told[name] = next(field.line for field in part.fields if field.name == name)
    manual.book.settings.update(falls)  # also where a part leaves one of its two to the default


def _never(at: list[int], steps: int) -> str:
    """What to say of a run that ends before the first change of its rate; nothing of another."""
    return f"the rate never falls: the run ends at step {steps:,}" if at and at[0] >= steps else ""


def _exponential(decay: Fields, steps: int) -> None:
    first, factor = decay.number("initial_learning_rate", 0.002), decay.number("decay_factor", 0.95)
    each = decay.integer("decay_steps", 4_000_000)
    if each < 1 or not 0 <= factor <= 1e6:
        raise decay.error(f"found decay_steps {each} and decay_factor {factor:g}; expected 1 or more, and 0 or more")
    count = max((steps - 1) // each, 0)
    if count > WRITTEN_OUT:
        raise decay.error(f"found {count:,} steps of the rate in {steps:,} steps; expected at most {WRITTEN_OUT:,}")
    rate = {"train.learning_rate": first, "train.schedule": "steps" if count else "constant"}
    decay.take("initial_learning_rate", rate, default=0.002)
    at = {"train.schedule_steps": tuple(each * k + 1 for k in range(1, count + 1))}
    decay.take("decay_steps", at, ONE_MORE if count else _never([each], steps), default=4_000_000)
    decay.take("decay_factor", {"train.schedule_scales": (factor,) * count}, default=0.95)
    stairs = decay.flag("staircase", True)
    decay.leave("staircase", "as it is here" if stairs else "always in stairs here, the same every decay_steps")
    burn_in = decay.integer("burnin_steps", 0)
    told = f"no rate of its own for the first {burn_in} steps here: see train.warmup_steps" if burn_in else "0: none"
    decay.leave_all({told: "burnin_steps burnin_learning_rate"})
    lowest = decay.number("min_learning_rate", 0.0)
    decay.leave("min_learning_rate", "as it is here" if lowest == 0 else "the rate has no floor here")


def _cosine(cosine: Fields, steps: int) -> None:
    peak, total = cosine.number("learning_rate_base", 0.002), cosine.integer("total_steps", 4_000_000)
    cosine.take("learning_rate_base", {"train.learning_rate": peak, "train.schedule": "cosine"}, default=0.002)
    same = total == steps
    cosine.leave("total_steps", "as num_steps" if same else f"the cosine ends with the run here, after {steps:,} steps")
    rise = cosine.integer("warmup_steps", 10_000)
    cosine.take("warmup_steps", {"train.warmup_steps": rise, "train.warmup_power": 1.0}, default=10_000)
    begin = cosine.number("warmup_learning_rate", 0.0002)
    cosine.leave("warmup_learning_rate", "as it is here" if begin == 0 else RISE)
    hold = cosine.integer("hold_base_rate_steps", 0)
    cosine.leave("hold_base_rate_steps", "as it is here" if hold == 0 else "the cosine begins after the rise here")
