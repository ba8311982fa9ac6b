"""The text format of protocol buffers, against the library's own reader and writer of it."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from hypothesis import given
from hypothesis import strategies as st

from detector.pipeline_config.text_format import DEEPEST, MOST_CHARACTERS, Scalar, parse_text
from schemas.errors import FormatError


def message_class():
    """A message with a field of every kind: message M { a..e single, f..g repeated, m messages }."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="all_kinds.proto", package="kinds", syntax="proto2")
    message = file.message_type.add(name="M")
    word = message.enum_type.add(name="Word")
    for number, name in enumerate(("NONE", "CONV", "FC")):
        word.value.add(name=name, number=number)
    fields = (
        ("a", kinds.TYPE_INT32, kinds.LABEL_OPTIONAL, ""),
        ("b", kinds.TYPE_BOOL, kinds.LABEL_OPTIONAL, ""),
        ("d", kinds.TYPE_DOUBLE, kinds.LABEL_OPTIONAL, ""),
        ("e", kinds.TYPE_ENUM, kinds.LABEL_OPTIONAL, ".kinds.M.Word"),
        ("s", kinds.TYPE_STRING, kinds.LABEL_OPTIONAL, ""),
        ("f", kinds.TYPE_DOUBLE, kinds.LABEL_REPEATED, ""),
        ("g", kinds.TYPE_STRING, kinds.LABEL_REPEATED, ""),
        ("m", kinds.TYPE_MESSAGE, kinds.LABEL_REPEATED, ".kinds.M"),
    )
    for number, (name, kind, label, type_name) in enumerate(fields, start=1):
        message.field.add(name=name, number=number, type=kind, label=label, type_name=type_name or None)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("kinds.M"))


M = message_class()
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
NUMBERS = st.floats(allow_nan=False, width=64)
MESSAGES = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "a": st.integers(-(2**31), 2**31 - 1),
            "b": st.booleans(),
            "d": NUMBERS,
            "e": st.integers(0, 2),
            "s": TEXTS,
            "f": st.lists(NUMBERS, max_size=3),
            "g": st.lists(TEXTS, max_size=3),
        },
    ),
    lambda inner: st.fixed_dictionaries({"m": st.lists(inner, max_size=3)}),
    max_leaves=8,
)


def filled(values):
    message = M()
    for name, value in values.items():
        if name == "m":
            message.m.extend([filled(inner) for inner in value])
        elif isinstance(value, list):
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)
    return message


def as_read(fields):
    """What was read, as the message that it says."""
    message = M()
    for field in fields:
        name, value = field.name, field.value
        if name == "m":
            message.m.append(as_read(value))
            continue
        assert isinstance(value, Scalar)
        if name in "sg":
            assert value.kind == "string"
            meant = value.text
        elif name == "b":
            meant = {"true": True, "false": False}[value.text]
        elif name == "e":
            meant = M.Word.Value(value.text)
        else:
            meant = int(value.text) if name == "a" else float(value.text)
        if name in "fg":
            getattr(message, name).append(meant)
        else:
            setattr(message, name, meant)
    return message


@given(values=MESSAGES, line=st.booleans(), short=st.booleans(), utf8=st.booleans(), pointed=st.booleans())
def test_what_the_library_writes_is_read_as_it_was(values, line, short, utf8, pointed):
    message = filled(values)
    text = text_format.MessageToString(
        message, as_one_line=line, use_short_repeated_primitives=short, as_utf8=utf8, pointy_brackets=pointed
    )
    assert as_read(parse_text(text, "x")) == message


WRITTEN = {
    "a: 1 b: true": [("a", 1, "1"), ("b", 1, "true")],
    "a: 1, b: true; d: .5": [("a", 1, "1"), ("b", 1, "true"), ("d", 1, ".5")],
    "# all\na: 0x1F # of it\nd: -1.5e-3f": [("a", 2, "0x1F"), ("d", 3, "-1.5e-3f")],
    "d: - inf": [("d", 1, "-inf")],
    "s: 'a\"b' \"c'd\"\n'e'": [("s", 1, "a\"bc'de")],
    r's: "\n\t\\\"\101\x41\u0041\U00000041?"': [("s", 1, '\n\t\\"AAAA?')],
    "f: [1,\n2] f: 3": [("f", 1, "1"), ("f", 2, "2"), ("f", 2, "3")],
    "f: []": [],
    "e: CONV": [("e", 1, "CONV")],
    "[a.b/c]: 4": [("[a.b/c]", 1, "4")],
}


@pytest.mark.parametrize("text", WRITTEN)
def test_ways_to_write(text):
    found = [(field.name, field.line, field.value.text) for field in parse_text(text, "x")]
    assert found == WRITTEN[text]


@pytest.mark.parametrize("text", ["m { a: 1 m: { b: true } }", "m < a: 1 m < b: true > >", "m: [{a: 1 m {b: true}}]"])
def test_ways_to_write_messages(text):
    assert as_read(parse_text(text, "x")) == filled({"m": [{"a": 1, "m": [{"b": True}]}]})
    assert text_format.Parse(text, M()) == filled({"m": [{"a": 1, "m": [{"b": True}]}]})


WRONG = {
    "a": "line 1: found the end of the file; expected ':' or '{' behind a",
    "a 1": "line 1: found '1'; expected ':' or '{' behind a",
    "\na:": "line 2: found the end of the file; expected a value for a",
    "m {\n a: 1": "line 2: found the end of the file; expected the name of a field or '}'",
    "m { a: 1 >": "line 1: found '>'; expected the name of a field or '}'",
    "}": "line 1: found '}'; expected the name of a field",
    "a: 1\n\ns: 'open": 'line 3: found "\'open"; expected the closing quote in the same line',
    "s: 'a\nb'": 'line 1: found "\'a"; expected the closing quote in the same line',
    "a: 12abc": "line 1: found '12abc'; expected a name, a number, a string or a mark",
    "s: \u201ca\u201d }": "line 1: found '\u201ca\u201d }'; expected a name, a number, a string or a mark. "
    "These are no straight quotes: an office program changed them",
    r"s: C:\tf\a.record": r"line 1: found '\\tf\\a.record'; expected a name, a number, a string or a mark. "
    "Paths stand in quotes",
    "m { a: 1 }\n}": "line 2: found '}'; expected the name of a field",
    "m {\n m { a: 1 }\n": "line 3: found the end of the file; expected the name of a field or '}'",
    "a: 1 stray": "line 1: found the end of the file; expected ':' or '{' behind stray",
    "a: 1 $": "line 1: found '$'; expected a name, a number, a string or a mark",
    "f: [1 2]": "line 1: found '2'; expected ',' or ']' in the list of f",
    "f: [1, ]": "line 1: found ']'; expected a value for f",
    "f [1]": "line 1: found '1'; expected ':' before the list of f",
    "a: - b": "line 1: found 'b'; expected a number",
    r"s: '\x'": "line 1: found '\\\\x'; expected its digits behind it",
    r"s: '\477'": "line 1: found '\\\\477'; expected a byte, up to \\377",
    r"s: '\U00110000'": "line 1: found '\\\\U00110000'; expected a character of Unicode",
    "[a b": "line 1: found the end of the file; expected the name of an extension and ']'",
    "5: 1": "line 1: found '5'; expected the name of a field",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told_with_its_line(text):
    with pytest.raises(FormatError) as caught:
        parse_text(text, "p.config")
    assert str(caught.value) == f"p.config {WRONG[text]}"


def test_limits():
    deep = "m { " * DEEPEST + "} " * DEEPEST
    fields = parse_text(deep, "x")
    for _ in range(DEEPEST - 1):
        fields = fields[0].value
    assert fields[0].value == ()
    with pytest.raises(FormatError, match=f"messages within messages, {DEEPEST + 1} deep; expected at most {DEEPEST}"):
        parse_text("m { " * 10_000, "x")
    with pytest.raises(FormatError, match="line 1: found more than 300,000 words and marks"):
        parse_text("a{}" * 100_001, "x")
    with pytest.raises(FormatError, match="characters; expected at most 1,000,000"):
        parse_text(" " * (MOST_CHARACTERS + 1), "x")


@given(st.text(st.sampled_from("am{}<>[]:;,'\"\\#-.19x \n")))
def test_any_text_is_read_or_refused(text):
    told = "x line "
    try:
        parse_text(text, "x")
    except FormatError as error:
        told = str(error)
    assert told.startswith("x line ")
