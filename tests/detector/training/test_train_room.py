"""A full disk: training says so before it begins, and where it comes later, names what could not be written."""

from __future__ import annotations

import errno
import os

import pytest

pytest.importorskip("tensorflow")

from detector.checkpoint import list_checkpoints
from detector.dataset import open_dataset
from detector.train import train
from schemas.errors import OutputError
from tests.detector.train_stub import stub_experiment, use_stub


def no_room(*_args, **_options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def run(monkeypatch, detection_set, tree, tmp_path):
    """Trains a stub into tmp_path/run; takes the lines of the log."""
    use_stub(monkeypatch)
    datasets = [open_dataset(str(detection_set))]
    return lambda lines: train(stub_experiment(), tree, datasets, tmp_path / "run", lines.append)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot take room in advance")
def test_no_room_for_a_checkpoint_is_told_before_the_first_step(run, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(os, "posix_fallocate", lambda file, start, size: asked.append(size) or no_room())
    lines: list[str] = []
    with pytest.raises(OutputError, match=r"checkpoints: a checkpoint takes 0\.0 MB, and there is no room for it"):
        run(lines)
    assert asked[0] > 100
    assert not any(line.startswith(("compiling", "step")) for line in lines)
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot take room in advance")
def test_what_is_wrong_with_asking_for_room_is_not_a_lack_of_it(run, monkeypatch, tmp_path):
    def unknown(*_):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", unknown)
    run([])
    assert len(list_checkpoints(tmp_path / "run" / "checkpoints")) == 2


def test_a_checkpoint_that_does_not_fit_leaves_nothing_and_the_run_goes_on(run, monkeypatch, tmp_path):
    checkpoints = tmp_path / "run" / "checkpoints"
    told = r"step-00000004: the checkpoint cannot be written \(No space left on device\); make room"
    with monkeypatch.context() as full:
        full.setattr("detector.checkpoint.np.lib.format.write_array", no_room)
        with pytest.raises(OutputError, match=told):
            run([])
    assert list(checkpoints.iterdir()) == []
    run([])
    assert [path.name for path in list_checkpoints(checkpoints)] == ["step-00000008", "step-00000012"]


def test_a_line_that_cannot_be_written_ends_the_run_at_once(run, monkeypatch, tmp_path):
    class Full:
        write = close = staticmethod(no_room)

    monkeypatch.setattr("detector.training.journal.open", lambda *_, **__: Full(), raising=False)
    lines: list[str] = []
    with pytest.raises(OutputError, match=r"metrics\.jsonl: cannot be written \(No space left on device\); make room"):
        run(lines)
    assert not any(line.startswith("step") for line in lines)
