"""Reading and writing .cfg files: the published ones, and every way in which a file can be wrong."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.config import AugmentConfig, Experiment, LossConfig, ModelConfig, TrainConfig, experiment_from_json
from detector.darknet.cfg import parse_cfg
from detector.darknet.cfg_text import cfg_text
from detector.darknet.experiment import MULTI_SCALE, cfg_from_experiment, experiment_from_cfg
from detector.darknet.sections import read_cfg_text
from detector.darknet.settings import NetSettings, RegionSettings, SoftmaxSettings
from detector.darknet.shapes import conv_shapes, grid, parameter_count, trace
from detector.limits import check_experiment
from detector.networks.layers import AvgPool, Conv, Dropout, MaxPool, Reorg, Route
from schemas.errors import FormatError
from wordtree.files import write_text_file

NET = "[net]\nwidth=32\nheight=64\n"
CONV = "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\npad=1\nactivation=leaky\n"
LAST = "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n"
REGION = "[region]\nanchors=1,2, 3,4\nnum=2\nclasses=2\nsoftmax=1\n"

# Of the papers and of the files themselves: parameters, grid (rows, columns), operations of one image in 10^9.
PUBLISHED = {
    "yolov2.cfg": (50_983_561, (19, 19), 62.938),
    "yolov2-voc.cfg": (50_676_061, (13, 13), 29.360),
    "yolov2-tiny.cfg": (11_237_145, (13, 13), 5.406),
    "yolov2-tiny-voc.cfg": (15_867_885, (13, 13), 6.971),
    "yolo9000.cfg": (48_807_501, (17, 17), 49.062),
    "yolo9000.release-2017-01-04.cfg": (48_807_501, (13, 13), 28.690),
    "darknet19.cfg": (20_856_776, (8, 8), 7.291),
    "darknet19_448.cfg": (20_856_776, (14, 14), 22.328),
    "darknet9000.cfg": (29_485_226, (14, 14), 25.707),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_have_their_parameters_and_cost(shared, name):
    cfg = parse_cfg(shared("facts", name).read_text(), name)
    parameters, cells, operations = PUBLISHED[name]
    assert parameter_count(conv_shapes(cfg)) == parameters
    assert grid(cfg) == cells
    assert 2e-9 * sum(row.multiply_adds for row in trace(cfg)) == pytest.approx(operations, abs=1e-3)
    assert cfg.warnings == ()


def test_the_published_yolo9000_has_the_published_bytes(shared):
    cfg = parse_cfg(shared("facts", "yolo9000.cfg").read_text())
    assert 16 + 4 * parameter_count(conv_shapes(cfg)) == 195_230_020


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_file_written_anew_says_the_same(shared, name):
    cfg = parse_cfg(shared("facts", name).read_text(), name)
    again = parse_cfg(cfg_text(cfg.net, cfg.layers, cfg.head, region=cfg.region, softmax=cfg.softmax))
    assert again[:5] == cfg[:5]


def test_routes_count_from_the_start_and_from_here():
    text = (
        NET
        + CONV
        + "[maxpool]\nsize=2\nstride=2\n"
        + CONV
        + "[route]\nlayers=-1, 1\n[reorg]\nstride=2\n[route]\nlayers=-2\n"
    )
    layers = parse_cfg(text).layers
    assert layers == (Conv(8, 3), MaxPool(2, 2), Conv(8, 3), Route((2, 1)), Reorg(2), Route((3,)))
    shapes = [(row.height, row.width, row.channels) for row in trace(parse_cfg(text))]
    assert shapes == [(64, 32, 8), (32, 16, 8), (32, 16, 8), (32, 16, 16), (16, 8, 64), (32, 16, 16)]


def test_white_space_comments_short_names_and_defaults_are_darknets():
    text = "\n# a\n;b\n[network]\n width = 3 2\nheight=32 # pixels\nbatch=64\nbatch=1\n"
    text += "[conv]\npad=0\npadding=2\nsize=5\n[max]\nstride=2\n"
    cfg = parse_cfg(text)
    assert (cfg.net.width, cfg.net.height, cfg.net.batch) == (32, 32, 64)
    assert cfg.layers == (Conv(1, 5, batch_norm=False, activation="logistic"), MaxPool(2, 2))
    assert cfg.warnings == ("line 8: [network] 'batch' stands there again; as in darknet the first one holds",)


def test_a_detector_is_split_before_its_last_convolution():
    cfg = parse_cfg(NET + CONV + LAST + REGION)
    assert cfg.layers == (Conv(8, 3),)
    assert cfg.head == Conv(14, 1, batch_norm=False, activation="linear")
    assert cfg.region is not None
    assert cfg.region.anchors == ((1.0, 2.0), (3.0, 4.0))
    assert [str(shape) for shape in conv_shapes(cfg)] == ["conv01 (8 filters 3x3x3)", "conv02 (14 filters 1x1x8)"]


def test_a_region_alone_has_logits_as_its_input():
    cfg = parse_cfg("[net]\nwidth=5\nheight=3\nchannels=14\n" + REGION)
    assert (cfg.layers, cfg.head, grid(cfg)) == ((), None, (3, 5))


def test_keys_that_nobody_uses_are_listed_with_the_nearest_known():
    cfg = parse_cfg(NET + CONV.replace("filters", "filtres") + "[maxpool]\nsize=2\nstride=2\nfoo=1\n")
    assert cfg.warnings == (
        "line 6: [convolutional] the key 'filtres' is not known and was not used (did you mean 'filters'?)",
        "line 13: [maxpool] the key 'foo' is not known and was not used",
    )


WRONG = {
    "": "found no section at the start; expected [net]",
    "width=3\n": "line 1: found width=3 before any section",
    "[convolutional]\n": "found [convolutional] at the start; expected [net]",
    "[net\n": "line 1: found '[net'; expected a section",
    "[net]\nwidth\n": "line 2: found 'width'; expected [section] or key=value",
    "[net]\nheight=3\n": "line 1: [net] has no width; expected the size of the input",
    NET + "[lstm]\n": "line 4: [lstm] is no section that is known",
    NET + "[crop]\nflip=1\n": "line 4: [crop] is not built here: cropping is done by the input pipeline",
    NET + "[yolo]\n": "line 4: [yolo] is not built here: that is the head of YOLOv3",
    NET + "[connected]\noutput=9\n": "line 4: [connected] is not built here: a fully connected layer",
    NET + CONV.replace("leaky", "mish"): "line 9: [convolutional] activation=mish; expected one of leaky",
    NET + CONV + "groups=2\n": "line 10: [convolutional] groups=2; expected 1: grouped convolutions",
    NET + "[route]\nlayers=-1\n": "line 5: [route] layers=-1; expected layers before this one, which is number 0",
    NET + "[route]\n": "line 4: [route] has no layers; expected numbers of earlier layers",
    NET + CONV + "[route]\nlayers=a\n": "line 11: [route] layers=a; expected whole numbers",
    NET + CONV + "[reorg]\nstride=2\nreverse=1\n": "line 12: [reorg] reverse=1; expected 0",
    NET + CONV + LAST + REGION + "[maxpool]\n": "line 19: [maxpool] stands behind the head",
    NET + CONV + LAST + REGION.replace("num=2", "num=3"): "line 15: [region] anchors=1,2,3,4; expected 6 numbers",
    NET
    + CONV
    + LAST
    + REGION.replace("1,2", "0,2"): "line 15: [region] anchors=0,2,3,4; expected widths and heights above 0",
    NET + CONV + LAST + REGION.replace("softmax=1", ""): "line 14: [region] has no softmax; expected 1: independent",
    NET + CONV + LAST + REGION.replace("classes=2", "classes=3"): "filters=14; expected num (classes + 5) = 16",
    NET + CONV + REGION: "line 10: [region] stands behind a convolution of size 3, stride 1, batch_normalize 1",
    NET + REGION + "coords=5\n": "line 9: [region] coords=5; expected 4",
    NET + "[maxpool]\nsize=2\n" + REGION: "line 6: [region] has no [convolutional] before it",
    NET + CONV + "[softmax]\n": "line 10: [softmax] has no [avgpool] before its softmax",
    NET + CONV + LAST + "[avgpool]\n[softmax]\ngroups=2\n": "line 16: [softmax] groups=2; expected 1",
    NET + CONV + "[cost]\n": "line 10: [cost] stands without a [softmax]",
}


# What changes the output of a layer, or which numbers the .weights file holds: never a note alone.
UNBUILT = [
    *(CONV + key for key in ("groups=2", "flipped=1", "xnor=1", "binary=1", "bin_output=1", "antialiasing=1")),
    *(CONV + key for key in ("share_index=-1", "cbn=1", "sway=1", "rotate=1", "stretch=1", "stretch_sway=1")),
    *(CONV + key for key in ("coordconv=1", "dontload=1", "dontloadscales=1", "numload=4", "stride_x=0")),
    *(CONV.replace("pad=1", "padding=0") + key for key in ("dilation=2",)),
    *(CONV.replace("size=3", "size=2") + key for key in ("dilation=2",)),
    *(CONV + key for key in ("stride=2\ndilation=2", "stride_y=2\ndilation=2")),
    *("[maxpool]\nsize=2\nstride=2\n" + key for key in ("maxpool_depth=1", "antialiasing=2", "maxpool_zero_nonmax=1")),
    *(CONV + "[reorg]\nstride=2\n" + key for key in ("reverse=1", "flatten=1", "extra=1")),
    CONV + "[route]\nlayers=-1\ngroups=2\ngroup_id=2",
    CONV + "[route]\nlayers=-1\ngroups=0",
    "[Convolutional]\nfilters=1",
    CONV.replace("leaky", "Leaky"),
    CONV.replace("leaky", "leaky # as in the paper"),
    "[reorg3d]\nstride=2",
]


@pytest.mark.parametrize("section", UNBUILT)
def test_what_would_be_computed_otherwise_is_refused_with_its_line(section):
    with pytest.raises(FormatError, match=r"^my\.cfg line [0-9]+: \[") as caught:
        parse_cfg(NET + section + "\n", "my.cfg")
    line = int(str(caught.value).split("line ")[1].split(":")[0])
    word = str(caught.value).split("] ")[1].split(";")[0].split(" ")[0]
    found = (NET + section + "\n").splitlines()[line - 1]
    assert found.replace(" ", "").startswith(word.split("=")[0]) or found.startswith("[")


def test_a_padded_head_is_refused():
    with pytest.raises(
        FormatError, match=r"line 15: \[region\] stands behind .* padding 1; expected .* without padding"
    ):
        parse_cfg(NET + CONV + LAST.replace("size=1", "size=1\npadding=1") + REGION[:-1], "my.cfg")


# Keys that count in training alone, with values that no program of ours takes.
TRAINING = [
    ("net", "batch=many", "batch", 1),
    ("net", "momentum=1.5", "momentum", 0.9),
    ("net", "learning_rate=fast", "learning_rate", 0.001),
    ("net", "policy=sgdr", "policy", "constant"),
    ("net", "policy=steps\nsteps=1,2\nscales=.1", "policy", "constant"),
    ("net", "policy=steps\nsteps=many", "steps", ()),
    ("net", "adam=1", None, None),
    ("net", "hue=5", "hue", 0.0),
    ("net", "max_batches=1e9", "max_batches", 0),
    ("net", "burn_in=-1", "burn_in", 0),
    ("region", "jitter=1.3", "jitter", 0.2),
    ("region", "rescore=2", "rescore", False),
    ("region", "thresh=", "thresh", 0.5),
    ("region", "random=often", "random", False),
]


@pytest.mark.parametrize(("section", "lines", "key", "value"), TRAINING, ids=[row[1] for row in TRAINING])
def test_a_key_of_training_is_told_with_its_line_and_stops_nothing(section, lines, key, value):
    net, region = (lines + "\n" if section == name else "" for name in ("net", "region"))
    cfg = parse_cfg(NET + net + CONV + LAST + REGION + region, "my.cfg")
    assert any(
        line.startswith("line ") and line.endswith("It counts in training alone: not used") for line in cfg.warnings
    )
    if key:
        assert getattr(cfg.net if section == "net" else cfg.region, key) == value
    experiment, notes = experiment_from_cfg(NET + net + CONV + LAST + REGION + region)
    check_experiment(experiment, "my.cfg")
    assert notes[: len(cfg.warnings)] == list(cfg.warnings)


def test_the_type_of_a_cost_and_the_share_of_a_dropout_stop_nothing():
    cfg = parse_cfg(NET + CONV + "[dropout]\nprobability=1\n" + LAST + "[avgpool]\n[softmax]\n[cost]\ntype=L1\n")
    assert cfg.softmax == SoftmaxSettings(cost="sse")
    assert [line.split(";")[0] for line in cfg.warnings] == [
        "line 11: [dropout] probability=1",
        "line 19: [cost] type=L1",
    ]


def test_random_is_a_factor_in_some_programs():
    assert parse_cfg(NET + CONV + LAST + REGION + "random=1.4\n").region.random is True


def test_settings_beyond_our_limits_are_held_within_and_told():
    text = NET + "hue=.8\nsaturation=0.001\npolicy=steps\nsteps=-9,7\nscales=.1,.1\n" + CONV + LAST + REGION
    experiment, notes = experiment_from_cfg(text)
    assert check_experiment(experiment, "x") == experiment
    assert (experiment.augment.hue, experiment.augment.saturation) == (0.5, 100)
    assert experiment.train.schedule_steps == (-1, 7)
    assert "augment.hue is 0.8, beyond 0 to 0.5; it is held within" in notes


def test_capitals_count_as_in_darknet_and_what_holds_is_told():
    cfg = parse_cfg(NET + CONV.replace("activation", "Activation").replace("filters", "Filters"))
    assert cfg.layers == (Conv(1, 3, activation="logistic"),)
    assert cfg.warnings == (
        "line 6: [convolutional] 'Filters' is not 'filters', and was not used, as in darknet; filters=1 holds",
        "line 9: [convolutional] 'Activation' is not 'activation', and was not used, as in darknet; "
        "activation=logistic holds",
    )


def test_steps_along_a_row_dilations_and_groups_of_channels_are_read():
    pool = "[maxpool]\nsize=3\nstride=1\nstride_y=2\n"
    dilated = CONV.replace("size=3", "size=3\ndilation=4")
    route = "[route]\nlayers=-1,-2\ngroups=4\ngroup_id=3\n"
    one = CONV.replace("size=3", "size=1\ndilation=7\nstride_x=2\nstride_y=2")
    cfg = parse_cfg(NET + CONV + pool + dilated + dilated + route + one)
    assert cfg.layers[1:] == (
        MaxPool(3, 2, stride_x=1),
        Conv(8, 3, dilation=4),
        Conv(8, 3, dilation=4),
        Route((3, 2), 4, 3),
        Conv(8, 1, 2),
    )
    assert [row.output for row in trace(cfg)] == [
        (64, 32, 8),
        (32, 32, 8),
        *[(32, 32, 8)] * 2,
        (32, 32, 4),
        (16, 16, 8),
    ]


@pytest.mark.parametrize(
    ("line", "said", "stretched"), [("", None, False), ("letter_box=1", True, False), ("letter_box=0", False, True)]
)
def test_photos_are_stretched_where_the_file_says_so(line, said, stretched):
    text = f"{NET}{line}\n{CONV}{LAST}{REGION}"
    cfg = parse_cfg(text)
    assert (cfg.net.letter_box, cfg.warnings) == (said, ())
    experiment, _ = experiment_from_cfg(text)
    assert experiment.model.stretched is stretched
    longer = dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, steps=9))
    assert parse_cfg(cfg_from_experiment(longer, 2)).net.letter_box is said


def test_comments_may_be_in_any_encoding_and_come_back_as_they_were(tmp_path):
    data = (NET + CONV + LAST + REGION).encode() + "# 大小\n".encode("gbk") + b"# taille r\xe9duite\n"
    (tmp_path / "n.cfg").write_bytes(data)
    text = read_cfg_text(tmp_path / "n.cfg")
    experiment, _ = experiment_from_cfg(text)
    again = experiment_from_json(experiment.to_json())
    write_text_file(tmp_path / "o.cfg", cfg_from_experiment(again, 2))
    assert (tmp_path / "o.cfg").read_bytes() == data
    (tmp_path / "n.cfg").write_bytes(NET.encode() + b"momentum=un\xe9\n\xe9=1\n")
    for line in parse_cfg(read_cfg_text(tmp_path / "n.cfg")).warnings:
        assert line.encode().isascii()  # it can be printed anywhere
    (tmp_path / "n.cfg").write_bytes("[net]\nwidth=3\n".encode("utf-16"))
    with pytest.raises(FormatError, match=r"n\.cfg: holds bytes of zero; expected text: save it as UTF-8"):
        parse_cfg(read_cfg_text(tmp_path / "n.cfg"), str(tmp_path / "n.cfg"))


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told_with_file_line_section_and_key(text):
    with pytest.raises(FormatError) as caught:
        parse_cfg(text, "my.cfg")
    assert str(caught.value).startswith("my.cfg")
    assert WRONG[text] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_network_that_shrinks_to_nothing_or_joins_what_does_not_fit_is_refused():
    pool = "[maxpool]\nsize=2\nstride=2\n"
    with pytest.raises(FormatError, match=r"layer 2 \[route\] joins maps of 32 x 16, 64 x 32"):
        trace(parse_cfg(NET + CONV + pool + "[route]\nlayers=-1,0\n"))
    with pytest.raises(FormatError, match="no multiple of its stride"):
        trace(parse_cfg(NET + "[reorg]\nstride=3\n"))
    six = CONV.replace("filters=8", "filters=6") + "[reorg]\nstride=2\n"
    with pytest.raises(FormatError, match=r"line 10: layer 1 \[reorg\] gets 64 x 32 x 6, .* a multiple of 4$"):
        trace(parse_cfg(NET + six))
    with pytest.raises(FormatError, match=r"line 10: layer 1 \[route\] cuts 8 channels into 3 groups"):
        trace(parse_cfg(NET + CONV + "[route]\nlayers=-1\ngroups=3\n"))
    with pytest.raises(FormatError, match="nothing is left of the image at layer 0"):
        trace(parse_cfg(NET + "[convolutional]\nsize=99\n"))


LAYERS = st.lists(
    st.one_of(
        st.builds(
            Conv,
            st.integers(1, 9),
            st.sampled_from([1, 3, 5]),
            st.integers(1, 2),
            st.sampled_from([None, 0]),
            st.booleans(),
            st.sampled_from(["leaky", "linear", "relu", "logistic"]),
            st.sampled_from([None, 3]),
            st.just(1),
        ).map(lambda layer: layer._replace(pad=None) if layer.size == 1 else layer),
        st.integers(2, 4).map(lambda dilation: Conv(4, 3, dilation=dilation)),
        st.builds(
            MaxPool, st.integers(2, 3), st.integers(1, 2), st.sampled_from([None, 0]), st.sampled_from([None, 4])
        ),
        st.builds(Reorg, st.integers(1, 2)),
        st.just(AvgPool()),
        st.builds(Dropout, st.floats(0, 0.9)),
    ),
    min_size=1,
    max_size=6,
)


@given(LAYERS, st.data())
def test_any_list_of_layers_parses_back(layers, data):
    for _ in range(2):
        place = data.draw(st.integers(1, len(layers)))
        sources = data.draw(st.lists(st.integers(0, place - 1), min_size=1, max_size=3))
        layers = [
            *layers[:place],
            Route(tuple(sources), *data.draw(st.sampled_from([(1, 0), (3, 2)]))),
            *layers[place:],
        ]
    layers = [
        Route((0,)) if isinstance(layer, Route) and max(layer.layers) >= k else layer for k, layer in enumerate(layers)
    ]
    assert parse_cfg(cfg_text(NetSettings(32, 32), tuple(layers))).layers == tuple(layers)


REAL = st.floats(1e-6, 100, allow_nan=False)


@given(REAL, REAL, st.booleans(), st.lists(st.tuples(st.integers(1, 10**6), REAL), max_size=4), st.integers(0, 5000))
def test_any_settings_parse_back(rate, side, random, steps, burn_in):
    policy = (
        {"policy": "steps", "steps": tuple(s for s, _ in steps), "scales": tuple(v for _, v in steps)} if steps else {}
    )
    net = NetSettings(32, 64, learning_rate=rate, burn_in=burn_in, hue=0.1, decay=rate, **policy)
    region = RegionSettings(((side, rate), (2.0, 1.0)), 2, random=random, thresh=rate, tree="a.tree")
    head = Conv(14, 1, batch_norm=False, activation="linear")
    cfg = parse_cfg(cfg_text(net, (Conv(8, 3),), head, region=region, comments=["made by a test"]))
    assert (cfg.net, cfg.region, cfg.head, cfg.warnings) == (net, region, head, ())


def test_the_experiment_of_a_published_network(shared):
    text = shared("facts", "yolo9000.cfg").read_text()
    experiment, notes = experiment_from_cfg(text, where="x/yolo9000.cfg")
    assert experiment.name == "yolo9000"
    assert experiment.model.canvas == (544, 544)
    first = experiment.model.anchors[0]
    assert first == pytest.approx((0.77871 * 32 / 544, 1.14074 * 32 / 544))
    train = experiment.train
    assert (train.optimizer, train.momentum, train.weight_decay, train.clip_norm) == ("sgd", 0.9, 5e-4, 0.0)
    assert (train.learning_rate, train.warmup_steps, train.warmup_power) == (1e-3, 1000, 4.0)
    assert (train.schedule, train.schedule_steps, train.schedule_scales) == ("steps", (400_000, 450_000), (0.1, 0.1))
    assert (train.steps, train.multi_scale, train.multi_scale_every) == (500_200, MULTI_SCALE, 10)
    assert experiment.loss == LossConfig(weak="head", small_box_weight=True)
    assert experiment.augment == AugmentConfig(
        mode="darknet", jitter=0.2, hue=0.1, saturation=1 / 0.75, exposure=1 / 0.75
    )
    assert notes == ["[net] batch=1, as for testing; to train set train.batch_size and train.subdivisions (64 and 8)"]


def test_the_program_of_2017_has_other_rules(shared):
    text = shared("facts", "yolo9000.release-2017-01-04.cfg").read_text()
    experiment, _ = experiment_from_cfg(text, program="release2017")
    assert experiment.loss == LossConfig(weak="release2017", small_box_weight=False)
    assert experiment.augment.mode == "release2017"
    assert experiment.model.batch_norm_momentum == 0.9
    assert experiment.train.schedule_scales == (10.0, 0.1, 0.1)
    tiny, _ = experiment_from_cfg(shared("facts", "yolov2-tiny.cfg").read_text())
    assert tiny.loss.rescore is False


def test_a_classifier_gets_its_schedule_and_crops(shared):
    experiment, notes = experiment_from_cfg(shared("facts", "darknet19_448.cfg").read_text())
    assert experiment.model.architecture == "classifier"
    assert (experiment.train.schedule, experiment.train.schedule_power) == ("poly", 4.0)
    assert (experiment.train.batch_size, experiment.train.subdivisions) == (128, 4)
    assert (experiment.augment.scale, experiment.augment.aspect) == (512 / 448, 1 / 0.75)
    assert notes == []


def test_other_policies_are_written_out_or_told():
    body = CONV + LAST + REGION
    step, _ = experiment_from_cfg(NET + "batch=2\npolicy=step\nstep=10\nscale=.5\nmax_batches=31\n" + body)
    assert (step.train.schedule_steps, step.train.schedule_scales) == ((10, 20, 30), (0.5, 0.5, 0.5))
    sigmoid, notes = experiment_from_cfg(NET + "batch=2\npolicy=sigmoid\ngamma=.1\nstep=10\n" + body)
    assert sigmoid.train.schedule == "constant"
    assert notes == ["[net] policy=sigmoid has no counterpart; train.schedule=constant"]


def test_what_is_no_whole_network_makes_no_experiment():
    with pytest.raises(FormatError, match="has no convolution before a"):
        experiment_from_cfg(NET + CONV)
    with pytest.raises(FormatError, match="channels=1; expected 3"):
        experiment_from_cfg(NET + "channels=1\n" + CONV + LAST + REGION)


def test_an_experiment_keeps_its_text_until_something_in_it_changes(shared):
    text = shared("facts", "yolov2-voc.cfg").read_text()
    experiment, _ = experiment_from_cfg(text, name="mine")
    experiment = dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, max_boxes=7))
    assert cfg_from_experiment(experiment, 20) == text
    longer = dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, steps=99))
    written = parse_cfg(cfg_from_experiment(longer, 20))
    original = parse_cfg(text)
    assert written.net == original.net._replace(max_batches=99)
    assert (written.layers, written.head, written.region) == (original.layers, original.head, original.region)


def test_our_own_networks_are_written_and_read_back():
    pytest.importorskip("tensorflow")
    model = ModelConfig(
        width=0.25, passthrough=64, head_convs=3, input_size=96, input_height=64, anchors=((0.1, 0.2), (0.5, 0.5))
    )
    train = TrainConfig(optimizer="sgd", schedule="poly", schedule_power=2.0, warmup_steps=0, steps=50)
    text = cfg_from_experiment(Experiment(name="own", model=model, train=train), 7, tree="own.tree")
    cfg = parse_cfg(text)
    from detector.networks.build import layers_of

    assert cfg.layers == layers_of(model)
    assert cfg.head == Conv(24, 1, batch_norm=False, activation="linear")
    assert cfg.region is not None
    assert (cfg.region.tree, cfg.region.classes) == ("own.tree", 7)
    back, _ = experiment_from_cfg(text)
    assert back.model.canvas == (64, 96)
    assert back.model.anchors[0] == pytest.approx((0.1, 0.2))
    assert (back.train.schedule, back.train.schedule_power, back.train.steps) == ("poly", 2.0, 50)


def test_a_classifier_is_written_with_its_tree():
    pytest.importorskip("tensorflow")
    model = ModelConfig(architecture="classifier", width=0.25, stages=3, input_size=32)
    cfg = parse_cfg(cfg_from_experiment(Experiment(name="own", model=model), 7, tree="own.tree"))
    assert cfg.softmax == SoftmaxSettings(tree="own.tree", cost="masked")
    assert cfg.head == Conv(7, 1, batch_norm=False, activation="linear")
