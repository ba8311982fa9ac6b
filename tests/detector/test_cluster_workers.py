"""Two workers on this machine: they train like one, they stop together, and a lost one ends the job for a restart."""

from __future__ import annotations

import signal

import pytest

pytest.importorskip("tensorflow")

from detector.checkpoint import list_checkpoints, read_info
from tests.detector.cluster_runs import (
    Runs,
    assert_close_runs,
    assert_same_runs,
    finish,
    small_experiment,
    textured_sets,
)


@pytest.mark.slow
def test_two_workers_train_like_one_with_the_whole_batch(tree, tmp_path):
    runs = Runs(tmp_path, small_experiment(), textured_sets(tmp_path), tree)
    finish([runs.start("one")])
    chief, other = finish(runs.start_workers("two"))
    assert "2 workers, 2 replicas in all" in chief
    assert "trained 6 steps" in chief
    assert "step" not in other
    assert_close_runs(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_workers_stop_together_and_a_lost_one_ends_the_job_for_a_restart(tree, tmp_path):
    """SIGTERM of all, then SIGKILL of one: after two restarts the run is the undisturbed one, bit for bit."""
    runs = Runs(tmp_path, small_experiment(steps=60, checkpoint_every=10), textured_sets(tmp_path), tree)
    finish(runs.start_workers("whole"))

    chief, other = runs.start_workers("parts")
    wait_for(chief, "step     12/")
    for process in (chief, other):
        process.send_signal(signal.SIGTERM)
    texts = finish([chief, other], 128 + signal.SIGTERM)
    assert "of 60; the same command goes on from there" in texts[0]
    stopped = read_info(list_checkpoints(tmp_path / "parts" / "checkpoints")[-1]).step
    assert 12 < stopped < 60

    chief, other = runs.start_workers("parts")
    wait_for(chief, f"step {stopped + 3:>6}/")
    other.kill()
    other.communicate()
    text = chief.communicate(timeout=600)[0]
    assert chief.returncode == 2, text
    assert "worker 0 of 2 stops: worker 1 is gone" in text
    assert "Traceback" not in text

    chief_text, _ = finish(runs.start_workers("parts"))
    assert "resuming at step" in chief_text
    assert_same_runs(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
def test_a_run_of_one_goes_on_with_two_workers_and_ends_like_it(tree, tmp_path):
    """The configuration does not say how many; the first worker alone sees the run's directory."""
    runs = Runs(tmp_path, small_experiment(), textured_sets(tmp_path), tree)
    finish(runs.start_workers("one", count=1))
    (process,) = runs.start_workers("parts", count=1)
    wait_for(process, "step      3/")
    process.kill()
    process.communicate()
    chief, _ = finish(runs.start_workers("parts"))
    assert "resuming at step" in chief
    assert_close_runs(tmp_path / "one", tmp_path / "parts")


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
