"""Weights to begin with: what is restored, what is copied by class, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.architectures import build_detector  # noqa: E402
from detector.checkpoint import CheckpointInfo, list_checkpoints, read_info, save_checkpoint  # noqa: E402
from detector.config import Experiment, LossConfig, ModelConfig  # noqa: E402
from detector.dataset import open_dataset  # noqa: E402
from detector.run import write_tree  # noqa: E402
from detector.train import train  # noqa: E402
from detector.training.initial import Restored, by_layer, class_rows, copy_rows, initialise  # noqa: E402
from schemas.errors import ConfigError, InputError  # noqa: E402
from tests.detector.train_stub import stub_experiment, use_stub  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402


def experiment(**model):
    options = {"input_size": 32, "width": 0.125, "stages": 3, "output_stride": 4, "anchors": ((0.4, 0.4), (0.2, 0.3))}
    return Experiment(name="t", model=ModelConfig(**(options | model)), loss=LossConfig(weak="paper"))


def filled(detector, seed=0):
    """Every weight drawn anew, biases too."""
    rng = np.random.default_rng(seed)
    for weight in detector.model.weights:
        weight.assign(rng.random(weight.shape).astype(np.float32))
    return detector


def as_run(detector, folder):
    """What `wordtree train` leaves, as far as its weights go."""
    folder.mkdir()
    write_tree(detector.tree, folder / "tree")
    (folder / "config.json").write_text(detector.experiment.to_json())
    info = CheckpointInfo(7, 28, detector.tree.digest(), len(detector.tree))
    named = {f"model/{weight.path}": weight for weight in detector.model.weights}
    save_checkpoint(folder / "checkpoints", info, named)
    return str(folder)


def values(detector):
    return {weight.path: weight.numpy().copy() for weight in detector.model.weights}


# "square" is not known to the other tree, "thing" stands elsewhere, "n9" is new
OTHER = WordTree(["n00000002", "n00000001", "n00000009", "n00000003"], [-1, -1, 1, 1])


def test_rows_of_classes_are_copied_by_wnid(tree, tmp_path):
    source = filled(build_detector(experiment(), tree))
    target = build_detector(experiment(), OTHER)
    before, lines = values(target), []
    restored = initialise(target, as_run(source, tmp_path / "run"), allow_partial=False, log=lines.append)
    there, here = values(source), values(target)
    for path in ("region/class_kernel", "region/class_bias"):
        for node, wnid in enumerate(OTHER.names):
            expected = there[path][:, tree.index(wnid)] if wnid in tree else before[path][:, node]
            np.testing.assert_array_equal(here[path][:, node], expected, err_msg=f"{path} of {wnid}")
    for path in set(there) - {"region/class_kernel", "region/class_bias"}:
        np.testing.assert_array_equal(here[path], there[path], err_msg=path)
    assert restored.rows == {"region/class_kernel": (3, 4), "region/class_bias": (3, 4)}
    assert restored.missing == restored.unused == []
    assert f"  restored    {len(there) - 2} variables" in lines


def test_the_same_tree_and_network_take_everything(tree, tmp_path):
    source, target = filled(build_detector(experiment(), tree)), build_detector(experiment(), tree)
    restored = initialise(target, as_run(source, tmp_path / "run"), allow_partial=False, log=lambda line: None)
    there, here = values(source), values(target)
    assert restored.whole == list(here)
    for path, value in there.items():
        np.testing.assert_array_equal(here[path], value, err_msg=path)


def test_gaps_in_the_body_are_refused_before_anything_is_changed(tree, tmp_path):
    source = as_run(filled(build_detector(experiment(stages=2), tree)), tmp_path / "run")
    target = build_detector(experiment(), tree)
    before, lines = values(target), []
    with pytest.raises(
        ConfigError, match=r"run does not hold all of this network's body: conv03/kernel, norm03/.* or --al"
    ):
        initialise(target, source, allow_partial=False, log=lines.append)
    for path, value in values(target).items():
        np.testing.assert_array_equal(value, before[path], err_msg=path)
    restored = initialise(target, source, allow_partial=True, log=lines.append)
    after = values(target)
    assert {path for path in after if not np.array_equal(after[path], before[path])} <= set(restored.whole)
    assert any(path.startswith("conv03/") for path in restored.missing)
    assert any(line.startswith("  missing     ") for line in lines)
    other = as_run(filled(build_detector(experiment(width=0.25), tree)), tmp_path / "wide")
    words = r"--set model.width=0.25. It .*conv02/kernel \(\[3, 3, 8, 16\] there, \[3, 3, 8, 8\] here\).*; or --a"
    with pytest.raises(ConfigError, match=words):
        initialise(target, other, allow_partial=False, log=lines.append)


def test_a_head_of_other_priors_begins_at_random(tree, tmp_path):
    source = as_run(filled(build_detector(experiment(anchors=((0.3, 0.3),)), tree)), tmp_path / "run")
    target = build_detector(experiment(), tree)
    before = values(target)
    restored = initialise(target, source, allow_partial=False, log=lambda line: None)
    heads = {path for path in before if path.startswith("region/")}
    assert set(restored.mismatched) == heads
    for path in heads:
        np.testing.assert_array_equal(values(target)[path], before[path])


def test_rows_by_hand():
    one = WordTree(["a1", "b2", "c3"], [-1, -1, -1])
    two = WordTree(["c3", "d4", "a1"], [-1, -1, -1])
    rows = class_rows(one, two)
    np.testing.assert_array_equal(rows, [[2, 0], [0, 2]])
    there, here = np.arange(6).reshape(2, 3), -np.ones((2, 3), int)
    np.testing.assert_array_equal(copy_rows(there, here, rows, 1), [[2, -1, 0], [5, -1, 3]])
    np.testing.assert_array_equal(copy_rows(there.T, here.T, rows, 0), [[2, 5], [-1, -1], [0, 3]])
    assert copy_rows(np.zeros((3, 3)), here, rows, 1) is None
    assert copy_rows(np.zeros(3), here, rows, -1) is None


def test_a_darknet_file_gives_its_layers(tree, tmp_path):
    from detector.darknet.keras_weights import weights_from
    from detector.darknet.weights import Header, write_weights

    source, target = filled(build_detector(experiment(), tree)), build_detector(experiment(), tree)
    write_weights(tmp_path / "net.weights", Header(), weights_from(source))
    restored = initialise(target, str(tmp_path / "net.weights"), allow_partial=False, log=lambda line: None)
    for path, value in values(source).items():
        np.testing.assert_array_equal(values(target)[path], value, err_msg=path)
    assert restored.missing == []
    first = [layer for layer in weights_from(source)][:2]
    write_weights(tmp_path / "first.weights", Header(), first)
    with pytest.raises(ConfigError, match=r"first.weights does not hold all of this network's body: conv03/kernel"):
        initialise(build_detector(experiment(), tree), str(tmp_path / "first.weights"), allow_partial=False, log=print)
    partly = build_detector(experiment(), tree)
    restored = initialise(partly, str(tmp_path / "first.weights"), allow_partial=True, log=lambda line: None)
    np.testing.assert_array_equal(values(partly)["norm02/gamma"], values(source)["norm02/gamma"])
    assert "norm02/gamma" in restored.whole
    assert "region/box_kernel" in restored.missing


def test_the_log_names_all_that_is_missing_by_layer():
    paths = [*(f"rpn/{k}" for k in range(12)), "classes/bias", *(f"conv{k}/kernel" for k in range(9))]
    assert by_layer(paths) == ["rpn (12)", "classes/bias", *(f"conv{k}/kernel" for k in range(9))]
    (_, line) = Restored(missing=paths).table()
    assert line == f"  missing     22: {', '.join(by_layer(paths))}"


def test_no_such_source_is_named(tree, tmp_path):
    detector = build_detector(experiment(), tree)
    with pytest.raises(
        InputError, match=r"--init .*nothing: no such run directory, .weights file or weights file of Keras"
    ):
        initialise(detector, str(tmp_path / "nothing"), allow_partial=False, log=print)
    with pytest.raises(InputError, match=r"no config.json there"):
        initialise(detector, str(tmp_path), allow_partial=False, log=print)


def test_a_run_begins_with_them_and_goes_on_without_asking_again(monkeypatch, detection_set, tree, tmp_path):
    use_stub(monkeypatch)
    datasets, lines = [open_dataset(str(detection_set))], []
    first = train(stub_experiment(ema=0.9), tree, datasets, tmp_path / "first", lines.append)
    config = stub_experiment(steps=4, learning_rate=0.0, schedule="constant", optimizer="sgd", ema=0.5)

    class Stop(Exception):
        pass

    def stop(line):
        if line.startswith("compiling"):
            raise Stop

    with pytest.raises(Stop):
        train(config, tree, datasets, tmp_path / "second", stop, init=str(first))
    start = list_checkpoints(tmp_path / "second" / "checkpoints")[-1]
    assert read_info(start).step == 0
    with (
        np.load(list_checkpoints(first / "checkpoints")[-1] / "variables.npz") as old,
        np.load(start / "variables.npz") as new,
    ):
        for name in ("norm01/moving_mean", "conv01/kernel", "region/bias"):
            for section in ("model", "average"):
                np.testing.assert_array_equal(new[f"{section}/{name}"], old[f"average/{name}"], err_msg=name)
    out = train(config, tree, datasets, tmp_path / "second", lines.append)
    with (
        np.load(list_checkpoints(out / "checkpoints")[-1] / "variables.npz") as end,
        np.load(list_checkpoints(first / "checkpoints")[-1] / "variables.npz") as old,
    ):
        np.testing.assert_array_equal(end["model/conv01/kernel"], old["average/conv01/kernel"])
    train(config, tree, datasets, out, lines.append, init=str(first))
    assert "--init is not used again: the run goes on from its checkpoint" in lines
