"""Files that are none, or are far too large in some part: one short line, and no more read than the limit."""

from __future__ import annotations

import os

import pytest

from detector.config import MOST_BYTES, load_config
from detector.pipeline_config.reading import SHOWN, pipeline_experiment
from detector.pipeline_config.text_format import MOST_CHARACTERS
from schemas.errors import ConfigError, FormatError, WordTreeError

LONG = "q" * 200_000
TYPE = 'type: "faster_rcnn_resnet101"'
RESIZER = "keep_aspect_ratio_resizer { min_dimension: 600 max_dimension: 1024 }"
GRID = "grid_anchor_generator { scales: [1, 2] aspect_ratios: 0.5 }"
RATE = "optimizer { momentum_optimizer { learning_rate { manual_step_learning_rate { %s } } } }"


def written(rcnn="", train="", rest="", *, extractor=TYPE, resizer=RESIZER, anchors=GRID):
    """A file that says little, and what is added to its messages."""
    return (
        f"model {{\nfaster_rcnn {{\nimage_resizer {{ {resizer} }}\nfeature_extractor {{ {extractor} }}\n"
        f"first_stage_anchor_generator {{ {anchors} }}\n{rcnn}\n}}\n}}\ntrain_config {{\n{train}\n}}\n{rest}"
    )


@pytest.mark.parametrize("ending", ["config", "json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_is_refused(tmp_path, ending, kind):
    path = tmp_path / f"x.{ending}"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(WordTreeError, match=rf"x\.{ending}: it is a .*{kind}.*; expected a regular file"):
        load_config(str(path))


def test_a_pipe_without_an_ending_is_no_experiment(tmp_path):
    os.mkfifo(tmp_path / "x")
    with pytest.raises(ConfigError, match="no config"):
        load_config(str(tmp_path / "x"))


@pytest.mark.parametrize(("ending", "most"), [("config", 4 * MOST_CHARACTERS), ("json", MOST_BYTES)])
def test_large_files_are_refused(tmp_path, ending, most):
    path = tmp_path / f"x.{ending}"
    path.write_bytes(b"[" * (most + 1))
    with pytest.raises(WordTreeError, match=f"has {most + 1:,} bytes; expected at most {most:,}: give"):
        load_config(str(path))


def test_empty_and_absent_files_say_what_to_do(tmp_path):
    path = tmp_path / "x.config"
    with pytest.raises(
        WordTreeError, match=r"no such file; .*expected a pipeline\.config, .*name of an experiment: dark"
    ):
        load_config(str(path))
    path.write_text(" \n")
    with pytest.raises(WordTreeError, match=r"the file is empty; expected a pipeline\.config, .*copy it anew, or take"):
        load_config(str(path))
    path.write_bytes(b"model {\n\xff}")
    with pytest.raises(FormatError, match=r"x\.config line 2: found byte 0xff; expected UTF-8 text"):
        load_config(str(path))


@pytest.mark.parametrize(
    "parts",
    [
        {"rcnn": LONG},
        {"rcnn": f"{LONG}: [1 2]"},
        {"rcnn": f"clip_anchors_to_image: {LONG}"},
        {"extractor": f"type: '{LONG}'"},
        {"anchors": f"grid_anchor_generator {{ scales: [{'0,' * 2000}0] aspect_ratios: 1 }}"},
        {"train": RATE % " ".join(f"schedule {{ step: {2000 - k} }}" for k in range(2000))},
        {"train": RATE % " ".join(f"schedule {{ step: {k + 1} learning_rate: -1 }}" for k in range(2000))},
        {"train": f"optimizer {{ {'momentum_optimizer {} adam_optimizer {} ' * 2000} }}"},
    ],
)
def test_errors_stay_short(parts):
    with pytest.raises(WordTreeError) as caught:
        pipeline_experiment(written(**parts))
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def test_errors_of_experiments_stay_short(tmp_path):
    path = tmp_path / "x.json"
    for text in (f'{{"{LONG}": {{"a": 1}}}}', f'{{"train": {{"{LONG}": 1}}}}', f'{{"train": {{"steps": "{LONG}"}}}}'):
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load_config(str(path))
        assert len(str(caught.value)) < 800
    for override in (f"train.steps={LONG}", LONG, f"{LONG}=1", f"train.{LONG}=1"):
        with pytest.raises(ConfigError) as caught:
            load_config("tiny64", [override])
        assert len(str(caught.value)) < 800


def test_lists_are_told_up_to_a_number_and_kept_whole():
    names = [f"frist_stage_max_proposals{'s' * (number % 2)}" for number in range(3000)]
    reading = pipeline_experiment(written("\n".join(f"{name}: 1" for name in names), f"{LONG}: 1"))
    assert [entry.path.rpartition(".")[2] for entry in reading.unknown] == [*names, LONG]
    assert [bool(entry.note) for entry in reading.unknown] == [True] * 100 + [False] * 2901
    lines = reading.lines("x")
    at = lines.index("  not known, and not used: 3001")
    assert lines[at + SHOWN + 1] == "    and 2,801 more"
    assert lines[at + SHOWN].startswith("    line 205: ")
    few = pipeline_experiment(written(rest=f"{LONG}: 1")).lines("x")
    assert max(map(len, few)) < 400


def test_each_setting_of_a_schedule_is_told_once_with_its_reason():
    part = "schedule {\nstep: 90\nlearning_rate: 1e-4\n}"
    text = f"{part}\n{part.replace('90', '120').replace('1e-4', '1e-5')}"
    for steps, why in ((100, "one more than theirs"), (90, "the rate never falls: the run ends at step 90")):
        reading = pipeline_experiment(written(train=f"num_steps: {steps} {RATE % text}"))
        told = {entry.line: entry.note for entry in reading.taken if ".schedule." in entry.path}
        assert told[11].startswith(f"-> train.schedule_steps=(91, 121) ({why}")
        assert told[12].startswith("-> train.schedule_scales=(0.05, 0.1) (")
        assert (told[15], told[16]) == ("-> with line 11", "-> with line 12")


def test_what_the_experiment_does_not_read_is_neutral_and_unchecked():
    head = "second_stage_box_predictor { mask_rcnn_box_predictor { dropout_keep_probability: 7 } }"
    experiment = pipeline_experiment(
        written(head, "optimizer { use_moving_average: false moving_average_decay: 9 }")
    ).experiment
    assert (experiment.model.dropout, experiment.train.ema, experiment.augment.jitter) == (0, 0, 0)


def test_frozen_normalisation_asks_for_weights():
    for said, there in (("", True), ("batch_norm_trainable: false", True), ("batch_norm_trainable: true", False)):
        lines = "\n".join(pipeline_experiment(written(extractor=f'type: "faster_rcnn_resnet50" {said}')).lines("x"))
        assert ("without --init set two_stage.frozen_norm=false" in lines) == there


def test_names_of_a_box_are_explained_where_they_are_fewer_than_the_classes():
    for classes, there in ((3, False), (90, True)):
        lines = pipeline_experiment(written(f"num_classes: {classes}")).lines("x")
        assert ("--top 5: theirs tells" in lines[-1]) == there


def test_more_proposals_than_candidates_raise_these():
    two_stage = pipeline_experiment(written("first_stage_max_proposals: 8000")).experiment.two_stage
    assert (two_stage.proposals, two_stage.candidates) == (8000, 8000)
    with pytest.raises(FormatError, match="found min_dimension 15; expected 16 to 8192 pixels"):
        pipeline_experiment(written(resizer="keep_aspect_ratio_resizer { min_dimension: 15 }"))
