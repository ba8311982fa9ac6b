"""Two workers on this machine: they train like one, they stop together, and a lost one ends the job for a restart.

One undisturbed run of each detector is what all others are compared with.
"""

from __future__ import annotations

import json
import shutil
import signal

import pytest

pytest.importorskip("tensorflow")

from detector.checkpoint import list_checkpoints, read_info
from tests.detector.cluster_runs import (
    Runs,
    assert_close_rows,
    assert_close_states,
    assert_same_runs,
    finish,
    rows,
    small_experiment,
    state,
    textured_sets,
)

STEPS = 48
FIRST = 6  # steps that one process takes, too


def runs_of(detector, folder, tree):
    """Evaluated on the way, with every checkpoint kept."""
    sets = textured_sets(folder)
    experiment = small_experiment(detector, steps=STEPS, checkpoint_every=FIRST, evaluate_every=STEPS // 2)
    return Runs(folder, experiment, sets, tree, "--eval", sets[0], "--keep", 0)


@pytest.fixture(scope="module", params=["yolo9000", "faster_rcnn"])
def whole(request, tree, tmp_path_factory):
    """Two workers in peace: the runs, and what both printed."""
    runs = runs_of(request.param, tmp_path_factory.mktemp(request.param), tree)
    runs.detector, runs.texts = request.param, finish(runs.start_workers("whole"))
    return runs


@pytest.mark.slow
def test_two_workers_train_like_one_with_the_whole_batch(whole):
    finish([whole.start("one", "--set", f"train.steps={FIRST}")])
    assert_close_rows(rows(whole.folder / "one"), rows(whole.folder / "whole")[:FIRST])
    assert_close_states(state(whole.folder / "one"), state(whole.folder / "whole", FIRST))


@pytest.mark.slow
def test_logs_metrics_and_evaluations_are_written_once(whole):
    chief, other = whole.texts
    assert "2 workers, 2 replicas in all" in chief
    assert f"trained {STEPS} steps" in chief
    assert "step" not in other
    assert "evaluated" not in other
    assert [row["step"] for row in rows(whole.folder / "whole")] == list(range(1, STEPS + 1))
    assert [row["step"] for row in evaluations(whole.folder / "whole")] == [STEPS // 2, STEPS]
    assert chief.count(f"step {STEPS:>6}/") == 1
    assert not (whole.folder / "whole" / ".lock").exists()


@pytest.mark.slow
def test_workers_stop_together_and_a_lost_one_ends_the_job_for_a_restart(whole):
    """SIGTERM of all, then SIGKILL of one: after two restarts the run is the undisturbed one, bit for bit.

    Or goes on with another number of workers, close to it.
    """
    folder, parts = whole.folder, whole.folder / "parts"
    chief, other = whole.start_workers("parts")
    wait_for(chief, "step      9/")
    for process in (chief, other):
        process.send_signal(signal.SIGTERM)
    texts = finish([chief, other], 128 + signal.SIGTERM)
    assert f"of {STEPS}; the same command goes on from there" in texts[0]
    stopped = last_step(parts)
    assert 9 <= stopped < STEPS

    chief, other = whole.start_workers("parts")
    wait_for(chief, f"step {stopped + 3:>6}/")
    other.kill()
    other.communicate()
    text = chief.communicate(timeout=600)[0]
    assert chief.returncode == 2, text
    assert "worker 0 of 2 stops: worker 1 is gone" in text
    assert "Traceback" not in text

    shutil.copytree(parts, folder / "elsewhere")
    done = last_step(parts)
    assert done < STEPS
    finish(whole.start_workers("elsewhere", count=1))
    found, expected = rows(folder / "elsewhere"), rows(folder / "whole")
    assert [row["step"] for row in found] == list(range(1, STEPS + 1))
    assert found[:done] == expected[:done]
    assert_close_rows(expected[done : done + FIRST], found[done : done + FIRST])

    if whole.detector == "yolo9000":
        chief_text, _ = finish(whole.start_workers("parts"))
        assert f"resuming at step {done} " in chief_text
        assert_same_runs(folder / "whole", parts)
        assert (parts / "evaluations.jsonl").read_text() == (folder / "whole" / "evaluations.jsonl").read_text()


@pytest.mark.slow
def test_workers_with_other_settings_are_refused(tree, tmp_path):
    runs = Runs(tmp_path, small_experiment(), textured_sets(tmp_path), tree)
    extra = iter([[], ["--set", "train.learning_rate=0.5"]])
    texts = finish([*runs.start_workers("run", each=lambda: next(extra))], 2)
    for text in texts:
        assert "worker 1 of 2 was started with another --set train than worker 0" in text
    assert not (tmp_path / "run").exists()


def wait_for(process, start):
    """Read until a line begins like this."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(start):
            return
    raise AssertionError("".join(lines))


def last_step(run):
    """Of the newest checkpoint."""
    return read_info(list_checkpoints(run / "checkpoints")[-1]).step


def evaluations(run):
    return [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]
