"""Files of darknet that are no such files: one line that names the place, and nothing built or written before it."""

from __future__ import annotations

import os
import struct

import pytest

from detector.darknet.cfg import parse_cfg
from detector.darknet.classes import classes_of
from detector.darknet.run import export_network, open_darknet
from detector.darknet.shapes import conv_shapes, trace
from detector.darknet.weights import Header, random_layers, read_header, write_weights
from detector.run import Run
from schemas.errors import ConfigError, FormatError, InputError, OutputError, TreeError

CFG = """[net]
width=32
height=32
[convolutional]
batch_normalize=1
filters=8
size=3
pad=1
activation=leaky
[maxpool]
size=2
stride=2
[convolutional]
filters=14
size=1
activation=linear
[region]
anchors=1,2, 3,4
num=2
classes=2
softmax=1
"""


@pytest.fixture
def files(tmp_path):
    """A .cfg and its .weights file."""
    cfg, weights = tmp_path / "n.cfg", tmp_path / "n.weights"
    cfg.write_text(CFG)
    write_weights(weights, Header(0, 2, 0), random_layers(conv_shapes(parse_cfg(CFG)), 0))
    return cfg, weights


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(files):
    cfg, weights = files
    cfg.write_bytes(b"\xef\xbb\xbf" + CFG.replace("\n", "\r\n").encode())
    plain = open_darknet(cfg, weights)
    assert plain.experiment.model.anchors == ((1 / 16, 2 / 16), (3 / 16, 4 / 16))


def test_a_separator_inside_a_comment_ends_no_line():
    assert parse_cfg(CFG.replace("[maxpool]", "# a\u2028b\x0cc\n[maxpool]")).layers == parse_cfg(CFG).layers


@pytest.mark.parametrize("value", ["1e999", "nan", "inf", "٣"])
def test_numbers_of_a_list_are_finite_and_of_plain_digits(value):
    with pytest.raises(FormatError, match=r"^my.cfg line 18: \[region\] anchors=.*; expected numbers with commas"):
        parse_cfg(CFG.replace("1,2", f"{value},2"), "my.cfg")


@pytest.mark.parametrize(
    ("text", "layer"),
    [
        (CFG.replace("=32", "=65536"), 0),  # 65536 x 65536 x 8 numbers
        (CFG.replace("filters=8", "filters=10000000").replace("size=3", "size=255"), 0),
        (CFG.replace("[maxpool]", "[route]\nlayers=-1,-1\n" * 60 + "[maxpool]"), 18),  # 32 x 32 x 8 2^18 numbers
    ],
    ids=["image", "kernel", "routes"],
)
def test_a_layer_that_no_memory_holds_is_refused_by_name(text, layer):
    with pytest.raises(
        FormatError, match=rf"^my.cfg line [0-9]+: layer {layer} has an output of .*; expected at most "
    ):
        trace(parse_cfg(text, "my.cfg"), "my.cfg")


def test_the_size_of_the_weights_is_looked_at_before_the_network_is_built(files, monkeypatch):
    cfg, weights = files
    cfg.write_text(CFG.replace("filters=8", "filters=2000000"))
    monkeypatch.setattr("detector.darknet.run.build_network", lambda *_: pytest.fail("built"))
    with pytest.raises(FormatError, match="ends inside conv01"):
        open_darknet(cfg, weights)


def test_text_is_no_weights_file(tmp_path):
    (tmp_path / "w").write_text("hello, this is some text")
    with pytest.raises(FormatError, match=r"it is no \.weights file"):
        read_header(tmp_path / "w")


def test_a_device_is_no_weights_file():
    with pytest.raises(InputError, match=r"^/dev/zero: a pipe or a device; expected a file"):
        read_header("/dev/zero")


def test_more_images_than_the_header_holds_are_refused():
    with pytest.raises(ConfigError, match="18446744073709551616 images do not fit"):
        Header(0, 2, 0, 2**64).to_bytes()
    assert struct.unpack("<Q", Header(0, 2, 0, 2**64 - 1).to_bytes()[12:]) == (2**64 - 1,)


def test_a_directory_is_not_written_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (".", str(tmp_path)):
        with pytest.raises(OutputError, match="is a directory; expected the name of a file"):
            write_weights(name, Header(), (), force=True)


def test_names_that_make_no_tree_are_named(tmp_path):
    (tmp_path / "n.names").write_text("a\x00b\nc\n")
    with pytest.raises(TreeError, match=r"n\.names line 1: node 'a.*unseen characters"):
        classes_of(parse_cfg(CFG), "n.cfg", names=tmp_path / "n.names")


@pytest.mark.parametrize("cfg", ["no/such/o.cfg", "o.tree", "o.weights"])
def test_where_the_cfg_cannot_be_written_no_weights_are(files, tmp_path, cfg):
    run = open_darknet(*files)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises((OutputError, ConfigError)):
        export_network(run, cfg=tmp_path / cfg, weights=tmp_path / "o.weights")
    assert isinstance(run, Run)
    assert sorted(os.listdir(tmp_path)) == before
