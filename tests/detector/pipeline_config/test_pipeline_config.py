"""A pipeline.config as an experiment: every field against what it should become, and every field in one list."""

from __future__ import annotations

import collections
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.config import experiment_from_json, load_config
from detector.pipeline_config.reading import looks_like_pipeline, pipeline_experiment, read_pipeline
from detector.pipeline_config.text_format import parse_text
from schemas.errors import ConfigError, FormatError, InputError, WordTreeError

EXAMPLE = Path(__file__).resolve().parents[3] / "examples/faster_rcnn.config"
TYPE = 'type: "faster_rcnn_resnet101"'
RESIZER = "keep_aspect_ratio_resizer { min_dimension: 600 max_dimension: 1024 }"
GRID = "grid_anchor_generator { scales: [1, 2] aspect_ratios: 0.5 }"


def written(rcnn="", train="", rest="", *, extractor=TYPE, resizer=RESIZER, anchors=GRID):
    """A file that says little, and what is added to its messages."""
    return (
        f"model {{\nfaster_rcnn {{\nimage_resizer {{ {resizer} }}\nfeature_extractor {{ {extractor} }}\n"
        f"first_stage_anchor_generator {{ {anchors} }}\n{rcnn}\n}}\n}}\ntrain_config {{\n{train}\n}}\n{rest}"
    )


def value_of(experiment, key):
    section, _, name = key.partition(".")
    return getattr(getattr(experiment, section), name)


def leaf_lines(fields, path=""):
    """(path, line) of every scalar and every empty message; an oracle of what a reading has to account for."""
    found = collections.Counter()
    for field in fields:
        here = f"{path}.{field.name}".lstrip(".")
        if isinstance(field.value[0] if field.value else (), str) or field.value == ():
            found[here, field.line] += 1
        else:
            found += leaf_lines(field.value, here)
    return found


def accounted(reading):
    """(path, line) of every entry; of messages with content, that were taken as a whole, none."""
    entries = [entry for entry in reading.taken if entry.line and entry.value != "{...}"]
    found = collections.Counter()
    for entry in [*entries, *reading.other, *reading.unknown]:
        found[entry.path, entry.line] += 1
    return found


def check_all_accounted(text):
    reading = pipeline_experiment(text)
    expected, found = leaf_lines(parse_text(text, "x")), accounted(reading)
    assert set(found) == set(expected)
    assert all(count <= expected[place] for place, count in found.items())  # several values of a line are one entry
    return reading


# where, text, setting, value
FIELDS = [
    ("rcnn", "first_stage_box_predictor_depth: 256", "two_stage.rpn_width", 256),
    ("rcnn", "first_stage_minibatch_size: 128", "two_stage.anchor_batch", 128),
    ("rcnn", "first_stage_positive_balance_fraction: 0.25", "two_stage.anchor_positives", 0.25),
    ("rcnn", "first_stage_nms_iou_threshold: 0.6", "two_stage.proposal_iou", 0.6),
    ("rcnn", "first_stage_max_proposals: 0x64", "two_stage.proposals", 100),
    ("rcnn", "first_stage_localization_loss_weight: 3", "two_stage.rpn_box_weight", 3.0),
    ("rcnn", "first_stage_objectness_loss_weight: .5", "two_stage.rpn_object_weight", 0.5),
    ("rcnn", "initial_crop_size: 17 maxpool_kernel_size: 1 maxpool_stride: 1", "two_stage.crop", 17),
    ("rcnn", "initial_crop_size: 17 maxpool_kernel_size: 1 maxpool_stride: 1", "two_stage.pool", 1),
    ("rcnn", "use_matmul_crop_and_resize: true", "two_stage.crop_method", "matmul"),
    ("rcnn", "clip_anchors_to_image: true", "two_stage.cross_boundary", True),
    ("rcnn", "second_stage_batch_size: 32", "two_stage.roi_batch", 32),
    ("rcnn", "second_stage_balance_fraction: 0.5", "two_stage.roi_positives", 0.5),
    ("rcnn", "second_stage_localization_loss_weight: 4", "two_stage.box_weight", 4.0),
    ("rcnn", "second_stage_classification_loss_weight: 1.5", "two_stage.class_weight", 1.5),
    ("rcnn", "second_stage_classification_loss_weight: 1.5", "two_stage.object_weight", 1.5),
    ("rcnn", "second_stage_post_processing { score_converter: SIGMOID }", "two_stage.classes", "sigmoid"),
    ("rcnn", "second_stage_post_processing { score_converter: SOFTMAX }", "two_stage.classes", "softmax"),
    ("rcnn", "second_stage_classification_loss { weighted_sigmoid {} }", "two_stage.classes", "sigmoid"),
    (
        "rcnn",
        "second_stage_box_predictor { mask_rcnn_box_predictor { use_dropout: true dropout_keep_probability: 0.7 } }",
        "model.dropout",
        0.3,
    ),
    (
        "rcnn",
        "first_stage_box_predictor_conv_hyperparams { regularizer { l2_regularizer { weight: 4e-5 } } }",
        "train.weight_decay",
        4e-5,
    ),
    ("extractor", 'type: "faster_rcnn_resnet50"', "model.network", "ResNet50"),
    ("extractor", 'type: "faster_rcnn_resnet50"', "two_stage.tail_stride", 1),
    ("extractor", 'type: "faster_rcnn_resnet152_keras"', "model.network", "ResNet152"),
    ("extractor", 'type: "faster_rcnn_resnet152_keras"', "two_stage.tail_stride", 2),
    ("extractor", "type: 'faster_rcnn_inception_resnet_v2'", "model.network", "InceptionResNetV2"),
    ("extractor", "type: 'faster_rcnn_mobilenet_v1'", "model.network", "MobileNet"),
    ("extractor", f"{TYPE} batch_norm_trainable: true", "two_stage.frozen_norm", False),
    ("extractor", f"{TYPE} batch_norm_trainable: false", "two_stage.frozen_norm", True),
    ("resizer", RESIZER, "model.input_size", 1024),
    ("resizer", RESIZER, "model.input_height", 0),
    ("resizer", RESIZER, "model.shorter_side", 600),
    ("resizer", "keep_aspect_ratio_resizer { min_dimension: 800 max_dimension: 1333 }", "model.input_size", 1344),
    ("resizer", "fixed_shape_resizer { height: 301 width: 640 }", "model.input_height", 304),
    ("resizer", "fixed_shape_resizer { height: 301 width: 640 }", "model.input_size", 640),
    ("resizer", "fixed_shape_resizer { height: 301 width: 640 }", "model.shorter_side", 0),
    ("train", "num_steps: 7000", "train.steps", 7000),
    ("train", "num_steps: 0", "train.steps", 1_000_000),
    ("train", "batch_size: 3", "train.batch_size", 3),
    ("train", "gradient_clipping_by_norm: 10.0", "train.clip_norm", 10.0),
    ("train", "max_number_of_boxes: 40", "data.max_boxes", 40),
    ("train", "use_bfloat16: true", "train.precision", "mixed_bfloat16"),
    ("train", "optimizer { momentum_optimizer { momentum_optimizer_value: 0.8 } }", "train.momentum", 0.8),
    ("train", "optimizer { momentum_optimizer {} }", "train.optimizer", "sgd"),
    ("train", "optimizer { adam_optimizer {} }", "train.optimizer", "adamw"),
    ("train", "optimizer { rms_prop_optimizer { epsilon: 1.0 } }", "train.optimizer", "sgd"),
    ("train", "optimizer { rms_prop_optimizer { epsilon: 1e-8 } }", "train.optimizer", "adamw"),
    ("train", "optimizer { use_moving_average: false }", "train.ema", 0.0),
    ("train", "optimizer { moving_average_decay: 0.99 }", "train.ema", 0.99),
    ("train", "data_augmentation_options { random_horizontal_flip { } }", "augment.flip", 0.5),
    ("train", "data_augmentation_options { random_horizontal_flip { probability: 0.25 } }", "augment.flip", 0.25),
    ("train", "data_augmentation_options { random_rgb_to_gray { } }", "augment.grey", 0.1),
    ("train", "data_augmentation_options { random_adjust_hue { max_delta: 0.05 } }", "augment.hue", 0.05),
    ("train", "data_augmentation_options { random_adjust_saturation { } }", "augment.saturation", 1.25),
    (
        "train",
        "data_augmentation_options { random_adjust_saturation { min_delta: 0.5 max_delta: 1.5 } }",
        "augment.saturation",
        2.0,
    ),
]


@pytest.mark.parametrize(("where", "text", "key", "value"), FIELDS)
def test_fields_become_settings(where, text, key, value):
    reading = check_all_accounted(written(**{where: text}))
    assert value_of(reading.experiment, key) == value
    assert not reading.unknown
    assert any(f"{key}=" in entry.note for entry in reading.taken) or value == 0


# The API's own defaults, where ours are others or might become others.
SILENT = {
    "two_stage.rpn_box_weight": 1.0,
    "two_stage.box_weight": 1.0,
    "two_stage.proposals": 300,
    "two_stage.roi_batch": 64,
    "two_stage.frozen_norm": True,
    "model.output_stride": 16,
    "model.dropout": 0.0,
    "train.batch_size": 32,
    "train.ema": 0.9999,
    "train.clip_norm": 0.0,
    "train.warmup_steps": 0,
    "train.weight_decay": 0.0,
    "train.learning_rate": 0.002,
    "train.schedule": "constant",
    "train.momentum": 0.9,
    "augment.flip": 0.0,
    "augment.grey": 0.0,
    "data.max_boxes": 100,
    "loss.weak": "off",
    "model.architecture": "faster_rcnn",
}


@pytest.mark.parametrize("key", SILENT)
def test_where_the_file_is_silent_the_defaults_of_the_api_hold(key):
    assert value_of(pipeline_experiment(written()).experiment, key) == SILENT[key]


def test_anchors_have_their_pixels_on_the_canvas():
    grid = "grid_anchor_generator { width: 128 height: 64 scales: [0.5, 2] aspect_ratios: [1.0, 4.0] }"
    experiment = pipeline_experiment(
        written(anchors=grid, resizer="fixed_shape_resizer { height: 320 width: 640 }")
    ).experiment
    pixels = [(w * 640, h * 320) for w, h in experiment.model.anchors]
    # width = scale base sqrt(ratio), height = scale base / sqrt(ratio), each with its own base
    assert pixels == [pytest.approx(shape) for shape in [(64, 32), (128, 16), (256, 128), (512, 64)]]
    assert experiment.model.num_anchors == 4


def test_the_published_shapes_are_those_of_the_paper():
    from detector.two_stage.anchor_shapes import anchor_shapes

    grid = "grid_anchor_generator { scales: [0.25, 0.5, 1.0, 2.0] aspect_ratios: [0.5, 1.0, 2.0] }"
    experiment = pipeline_experiment(written(anchors=grid)).experiment
    assert experiment.model.anchors == anchor_shapes((1024, 1024))


def test_a_stride_of_eight_is_a_dilated_network_on_the_same_cut():
    grid = GRID.replace("scales", "height_stride: 8 width_stride: 8 scales")
    experiment = pipeline_experiment(
        written(extractor=f"{TYPE} first_stage_features_stride: 8", anchors=grid)
    ).experiment
    assert (experiment.model.output_stride, experiment.two_stage.cut) == (8, 16)


NO_USE = [
    ("rcnn", "num_classes: 90", "the nodes of --tree"),
    ("rcnn", "first_stage_atrous_rate: 2", "not dilated here"),
    ("rcnn", "first_stage_atrous_rate: 1", "as it is here"),
    ("rcnn", "hard_example_miner { num_hard_examples: 64 }", "RoIs are sampled"),
    ("rcnn", "second_stage_box_predictor { mask_rcnn_box_predictor { share_box_across_classes: false } }", "one box"),
    ("train", 'fine_tune_checkpoint: "model.ckpt"', "--init"),
    ("train", 'freeze_variables: ".Conv1."', "two_stage.frozen_stride"),
    ("train", "data_augmentation_options { random_crop_image { min_area: 0.5 } }", "augment.scale"),
    ("rest", 'train_input_reader { tf_record_input_reader { input_path: "a" input_path: "b" } }', "--data"),
    ("rest", 'eval_input_reader { label_map_path: "a" } eval_input_reader { label_map_path: "b" }', "--data"),
    ("rest", 'eval_config { metrics_set: "coco_detection_metrics" }', "wordtree evaluate --metrics coco"),
    ("rest", "eval_config { batch_size: 4 }", "wordtree evaluate --batch-size 4"),
    ("rest", "graph_rewriter { quantization { delay: 10 } }", "quantised"),
]


@pytest.mark.parametrize(("where", "text", "why"), NO_USE)
def test_what_has_no_use_says_why(where, text, why):
    plain = pipeline_experiment(written())
    reading = check_all_accounted(written(**{where: text}))
    assert not reading.unknown
    assert not any(why in entry.note for entry in plain.other)
    assert any(why in entry.note for entry in reading.other)
    assert reading.experiment == plain.experiment


def test_detections_are_told_as_flags_that_the_command_has():
    import argparse

    from detector.cli_detect import add_detect, check_decode_flags

    suppression = "score_threshold: 0.3 iou_threshold: 0.5 max_total_detections: 20 max_detections_per_class: 10"
    text = f"num_classes: 3 second_stage_post_processing {{ batch_non_max_suppression {{ {suppression} }} }}"
    reading = check_all_accounted(written(text))
    parser = argparse.ArgumentParser()
    add_detect(parser.add_subparsers())
    args = parser.parse_args(["detect", "run", "x.jpg", *reading.flags])
    check_decode_flags(args)
    assert (args.threshold, args.iou, args.limit, args.suppression) == (0.3, None, 20, "class")
    assert reading.experiment.two_stage.final_iou == 0.5
    assert (args.walk_rule, args.top) == ("topk", 3)


def test_unknown_fields_are_listed_with_line_and_neighbour():
    text = written("frist_stage_max_proposals: 10", "quantum { a: 1\nb {} }", "[an.extension]: 3")
    reading = check_all_accounted(text)
    assert [(entry.path, entry.line, entry.value, entry.note) for entry in reading.unknown] == [
        ("model.faster_rcnn.frist_stage_max_proposals", 6, "10", "(did you mean 'first_stage_max_proposals'?)"),
        ("train_config.quantum.a", 10, "1", ""),
        ("train_config.quantum.b", 11, "{}", ""),
        ("[an.extension]", 13, "3", ""),
    ]
    assert reading.experiment == pipeline_experiment(written()).experiment
    assert "    line 6: model.faster_rcnn.frist_stage_max_proposals: 10 (did you mean" in "\n".join(reading.lines("x"))


def test_the_last_of_two_scalars_holds_and_messages_are_joined():
    text = written(
        "first_stage_max_proposals: 10\nfirst_stage_max_proposals: 20", "num_steps: 5", "train_config { batch_size: 2 }"
    )
    reading = check_all_accounted(text)
    assert reading.experiment.two_stage.proposals == 20
    assert (reading.experiment.train.steps, reading.experiment.train.batch_size) == (5, 2)
    (entry,) = [entry for entry in reading.other if "stands again" in entry.note]
    assert (entry.path, entry.line) == ("model.faster_rcnn.first_stage_max_proposals", 6)


WRONG = [
    (
        {"rcnn": "first_stage_max_proposals: 1.5"},
        FormatError,
        "line 6: model.faster_rcnn.first_stage_max_proposals: found 1.5; expected a whole number",
    ),
    ({"rcnn": "first_stage_max_proposals: 0"}, FormatError, "two_stage.proposals 0; expected 1 to 10000"),
    ({"rcnn": "first_stage_nms_iou_threshold: nan"}, FormatError, "two_stage.proposal_iou nan; expected 0 to 1"),
    ({"rcnn": "first_stage_nms_iou_threshold: 'x'"}, FormatError, "found 'x'; expected a number"),
    ({"rcnn": "clip_anchors_to_image: maybe"}, FormatError, "found maybe; expected true or false"),
    ({"rcnn": "hard_example_miner: 3 second_stage_box_predictor: 3"}, FormatError, "found 3; expected a message"),
    (
        {"rcnn": "second_stage_post_processing { score_converter: HARD }"},
        FormatError,
        "found HARD; expected one of IDENTITY, SIGMOID, SOFTMAX",
    ),
    ({"rcnn": "number_of_stages: 3"}, ConfigError, "masks as a third stage, which is not built here; expected 2"),
    ({"rcnn": "number_of_stages: 1"}, ConfigError, "proposals alone"),
    ({"rcnn": "context_config {}"}, ConfigError, "attention over other images"),
    (
        {"rcnn": "second_stage_box_predictor { rfcn_box_predictor {} }"},
        ConfigError,
        "line 6: found rfcn_box_predictor, R-FCN",
    ),
    (
        {"rcnn": "second_stage_box_predictor { mask_rcnn_box_predictor { predict_instance_masks: true } }"},
        ConfigError,
        "no masks",
    ),
    ({"rcnn": "maxpool_kernel_size: 2 maxpool_stride: 1"}, ConfigError, "max-pooling of 2 by steps of 1"),
    ({"rcnn": "initial_crop_size: 15 maxpool_kernel_size: 2 maxpool_stride: 2"}, FormatError, "expected a multiple"),
    (
        {"extractor": 'type: "faster_rcnn_inception_v2"'},
        ConfigError,
        "line 4: found the feature extractor 'faster_rcnn_inception_v2', which is not built here; expected one of fas",
    ),
    ({"extractor": 'type: "faster_rcnn_resnet50_fpn_keras"'}, ConfigError, "expected one of"),
    ({"extractor": ""}, ConfigError, "found the feature extractor ''"),
    (
        {"extractor": f"{TYPE} first_stage_features_stride: 32"},
        ConfigError,
        "a stride of 32, which is not built here; expected 8 or 16",
    ),
    (
        {"extractor": f"{TYPE} first_stage_features_stride: 8"},
        FormatError,
        "found height_stride 16 (the default); expected first_stage_features_stride, 8",
    ),
    ({"resizer": "identity_resizer {}"}, ConfigError, "expected keep_aspect_ratio_resizer or fixed_shape_resizer"),
    (
        {"resizer": f"{RESIZER} fixed_shape_resizer {{}}"},
        FormatError,
        "fixed_shape_resizer in line 3; expected one of them",
    ),
    ({"resizer": "keep_aspect_ratio_resizer { min_dimension: 2000 }"}, FormatError, "expected the second larger"),
    ({"resizer": "fixed_shape_resizer { height: 9000 }"}, FormatError, "found height 9000; expected 8 to 8192 pixels"),
    ({"anchors": "multiscale_anchor_generator {}"}, ConfigError, "expected grid_anchor_generator"),
    ({"anchors": "grid_anchor_generator { scales: 1 }"}, FormatError, "found aspect_ratios []; expected one or more"),
    ({"anchors": "grid_anchor_generator { scales: 1000 aspect_ratios: 1 }"}, FormatError, "at most 10 canvases"),
    ({"train": "batch_size: -1"}, FormatError, "train.batch_size -1; expected 1 to"),
    ({"train": "optimizer { momentum_optimizer {} adam_optimizer {} }"}, FormatError, "expected one of them"),
    ({"train": "data_augmentation_options { random_adjust_saturation { min_delta: 0 } }"}, FormatError, "above 0"),
    ({"rest": "eval_config: 4"}, FormatError, "line 12: eval_config: found 4; expected a message"),
]


@pytest.mark.parametrize(("parts", "kind", "message"), WRONG)
def test_what_is_wrong_or_not_built_is_refused(parts, kind, message):
    with pytest.raises(kind) as caught:
        pipeline_experiment(written(**parts), "p.config")
    assert str(caught.value).startswith("p.config")
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", ["ssd", "center_net", "experimental_model"])
def test_other_models_are_refused(kind):
    with pytest.raises(
        ConfigError, match=rf"line 2: found a model {kind}, which is not built here; expected faster_rcnn"
    ):
        pipeline_experiment(f"model {{\n{kind} {{ num_classes: 1 }} }}")
    with pytest.raises(FormatError, match="found no model; expected model"):
        pipeline_experiment("train_config { batch_size: 1 }")


def test_the_example_of_the_documents():
    assert not check_all_accounted(EXAMPLE.read_text()).unknown
    experiment = read_pipeline(EXAMPLE).experiment
    assert experiment_from_json(experiment.to_json()) == experiment
    assert load_config(str(EXAMPLE), ["train.steps=7", "train.batch_size=2"]).train.steps == 7
    assert (experiment.name, experiment.model.network) == ("faster_rcnn", "MobileNet")


def test_the_command_lists_and_shows(run_train, tmp_path, capsys):
    path = tmp_path / "small.config"
    path.write_text(written("frist_stage_max_proposals: 10"))
    assert run_train(str(path), "--show-config", "--set", "two_stage.proposals=20") == 0
    shown = capsys.readouterr()
    assert experiment_from_json(shown.out) == load_config(str(path), ["two_stage.proposals=20"])
    assert shown.err.startswith(f"read {path}, a pipeline.config")
    assert "not known, and not used: 1" in shown.err


@pytest.fixture
def run_train():
    """`wordtree train` without a process of its own."""
    import argparse

    from detector.cli_train import add_train

    def run(*words):
        parser = argparse.ArgumentParser()
        add_train(parser.add_subparsers())
        args = parser.parse_args(["train", *words])
        return args.run(args)

    return run


def test_how_a_file_is_recognised(tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("# about\n\n# it\nmodel: {\n")
    assert looks_like_pipeline("anything.config")
    assert looks_like_pipeline(str(other))
    other.write_text("models = 3")
    assert not looks_like_pipeline(str(other))
    assert not looks_like_pipeline("tiny64")
    assert not looks_like_pipeline(str(tmp_path))
    with pytest.raises(InputError, match="no such file"):
        load_config("nowhere.config")
    with pytest.raises(ConfigError, match="did you mean 'tiny64'"):
        load_config("tiny6")
    large = tmp_path / "large.config"
    large.write_bytes(b"#" * 5_000_000)
    with pytest.raises(FormatError, match="5,000,000 bytes; expected at most"):
        read_pipeline(large)


WORDS = re.findall(r"\w+|[^\w\s]|\s+", EXAMPLE.read_text())


@settings(max_examples=60)
@given(
    first=st.integers(0, len(WORDS) - 1),
    length=st.integers(0, 4),
    put=st.lists(st.sampled_from([*WORDS, "-1", "1e99", "nan", "''", "0", "[", "true", "ssd", "\x00"]), max_size=4),
)
def test_any_change_of_a_file_is_read_or_refused(first, length, put):
    text = "".join([*WORDS[:first], *put, *WORDS[first + length :]])
    try:
        experiment = check_all_accounted(text).experiment
    except WordTreeError:
        return
    assert experiment_from_json(experiment.to_json()) == experiment


def test_values_of_several_lines_are_told_line_by_line():
    grid = "grid_anchor_generator { aspect_ratios: 1 scales: 1\nscales: [2,\n3] }"
    reading = check_all_accounted(written(anchors=grid))
    assert len(reading.experiment.model.anchors) == 3
