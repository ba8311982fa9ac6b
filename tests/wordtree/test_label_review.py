"""Labels from files, the review by a person, and the command."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigError, FormatError, InputError, LabelError, WordTreeError
from wordtree.command import main
from wordtree.label_files import load_label_map
from wordtree.label_review import map_labels, map_table, read_decisions, review_table
from wordtree.label_sources import SourceLabel, read_labels
from wordtree.matching import Matcher

DOG, BIRD, TIE = "n02084071", "n01503061", "n03815615"


MATCHER = Matcher()


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return MATCHER


def read(tmp_path, name, text):
    file = tmp_path / name
    file.write_text(text)
    return read_labels(str(file))


def by_label(source, matcher, **more):
    return {row.label: row for row in map_labels(source, matcher, **more)}


def test_names_wnids_and_synset_names_stand_one_a_line(tmp_path, matcher):
    text = "\ufeff# mine\r\nhot dog\r\n\r\nn02084071 my dog\r\naerosol.n.02\r\nstop_sign.n.01\r\n"
    source = read(tmp_path, "my list.txt", text)
    assert source.name == "my_list"
    assert [label.line for label in source.labels] == [2, 4, 5, 6]
    rows = by_label(source, matcher)
    assert (rows["hot dog"].wnid, rows["hot dog"].rule) == ("", "word")  # the dish or the sausage
    assert (rows[DOG].wnid, rows[DOG].rule, rows[DOG].source.display_name) == (DOG, "given", "my dog")
    assert (rows["aerosol.n.02"].wnid, rows["aerosol.n.02"].rule) == ("n02682922", "synset")
    # LVIS made this name up: its words are read instead
    assert (rows["stop_sign.n.01"].wnid, rows["stop_sign.n.01"].rule) == ("", "head")


@pytest.mark.parametrize("header", ["", "LabelName,DisplayName\n"])
def test_open_images_lists_have_mids_with_or_without_header(tmp_path, matcher, header):
    source = read(
        tmp_path, "classes.csv", header + '/m/0bt9lr,Dog\n/m/xyz1,"Parrot, any"\n/m/zz9\n/m/02d9qx,Whiteboard\n'
    )
    rows = by_label(source, matcher)
    assert (rows["/m/0bt9lr"].wnid, rows["/m/0bt9lr"].rule, rows["/m/0bt9lr"].reviewed) == (DOG, "openimages", True)
    assert rows["/m/xyz1"].source.text == "Parrot, any"
    assert (rows["/m/zz9"].wnid, rows["/m/zz9"].rule) == ("", "no word")
    assert rows["/m/02d9qx"].wnid == "none"


def test_coco_json_gives_supercategories_and_lvis_json_synsets(tmp_path, matcher):
    categories = [
        {"id": 1, "name": "bird", "supercategory": "animal"},
        {"id": 2, "name": "aerosol_can", "synset": "aerosol.n.02"},
    ]
    source = read(tmp_path, "instances.json", json.dumps({"images": [], "categories": categories}))
    assert source.labels[0] == SourceLabel("bird", "bird", parent="animal")
    assert by_label(source, matcher)["aerosol_can"].wnid == "n02682922"
    assert [x.label for x in read(tmp_path, "a.json", '["dog", "cat"]').labels] == ["dog", "cat"]
    assert [x.label for x in read(tmp_path, "a.json", '{"0": "dog"}').labels] == ["dog"]


def test_synsets_of_lvis_that_wordnet_does_not_have_go_to_review(tmp_path, matcher):
    """Its own ones, verbs, and names that are none; the word is proposed for and nothing is taken."""
    given = {
        "aerosol_can": ("aerosol.n.02", "n02682922"),
        "cab_(taxi)": ("cab.n.03", "n02930766"),
        "Dixie_cup": ("Dixie_cup.n.01", "n03216710"),
        "stop_sign": ("stop_sign.n.01", ""),
        "run": ("run.v.01", ""),
        "bogus": ("nosuch.n.77", ""),
    }
    categories = [
        {"id": number, "name": name, "synset": synset, "synonyms": [name], "frequency": "f"}
        for number, (name, (synset, _)) in enumerate(given.items(), start=1)
    ]
    source = read(tmp_path, "lvis.json", json.dumps({"images": [], "annotations": [], "categories": categories}))
    rows = by_label(source, matcher)
    assert {name: row.wnid for name, row in rows.items() if row.rule == "synset"} == {
        name: wnid for name, (_, wnid) in given.items() if wnid
    }
    assert all(rows[name].wnid == "" for name, (_, wnid) in given.items() if not wnid)


def test_tables_may_give_wnids_parents_and_nothing(tmp_path, matcher):
    text = "name,parent,wnid,relation,note\ncrab,seafood,,,\nrover,,n02084071,narrower,a toy\nstuff,,none,,\n"
    rows = by_label(read(tmp_path, "t.csv", text), matcher)
    assert rows["crab"].candidates[0].wnid == "n07787715"
    assert (rows["rover"].wnid, rows["rover"].relation, rows["rover"].note) == (DOG, "narrower", "a toy")
    assert rows["stuff"].wnid == "none"
    assert [x.label for x in read(tmp_path, "one.csv", "class\ndog\ncat\n").labels] == ["dog", "cat"]


@pytest.mark.parametrize(
    ("name", "text", "error", "message"),
    [
        ("a.txt", "", InputError, "a.txt: the file is empty"),
        ("a.txt", "# nothing\n", InputError, "a.txt: the file has no labels"),
        ("a.txt", "dog\ncat\ndog\n", FormatError, "a.txt line 3: label 'dog' stands there already on line 1"),
        ("a.csv", "/m/1,a,b\n", FormatError, "a.csv line 1: found 3 cells; expected a MID and a name"),
        ("a.csv", "name,wnid\ndog,,x\n", FormatError, "a.csv line 2: found 3 cells; expected 2"),
        ("a.csv", "name,wnid\n,n02084071\n", FormatError, "a.csv line 2: name is empty"),
        ("a.csv", "name,relation\ndog,same\n", FormatError, "a.csv line 2: relation 'same' is unknown"),
        ("a.csv", 'name,wnid\n"dog,x\n', FormatError, "a.csv line 2: "),
        ("a.json", "{", FormatError, "a.json: this is no JSON"),
        ("a.json", '["dog", "b\\ud800"]', FormatError, "a.json: category 1 ('b\\ud800') has half a character"),
        (
            "a.txt",
            "dog\n" + "[" * 501,
            FormatError,
            "a.txt line 2: found a label of 501 characters; expected at most 500",
        ),
        ("a.json", "3", FormatError, "a.json: found int; expected `categories`, a list or an object of names"),
        ("a.json", "[{}]", FormatError, "a.json: category 0 has no name; found '{}'"),
        ("a.json", '["a\\tb"]', FormatError, r"a.json: label 'a\tb' has a tab or a line end in it"),
        ("a.json", '[{"name": "a", "synset": 3}]', FormatError, "category 0 ('a'): supercategory, synset and wnid"),
    ],
)
def test_bad_files_are_told_with_their_lines(tmp_path, name, text, error, message):
    with pytest.raises(error) as caught:
        read(tmp_path, name, text)
    assert message in str(caught.value)


@given(text=st.text(max_size=60), suffix=st.sampled_from([".txt", ".csv", ".tsv", ".json"]))
def test_any_text_is_read_or_told(tmp_path_factory, text, suffix):
    file = tmp_path_factory.mktemp("fuzz") / f"x{suffix}"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        source = read_labels(str(file))
        rows = map_labels(source, MATCHER)
    except WordTreeError:
        return
    assert [row.label for row in rows] == [label.label for label in source.labels]
    table = map_table(rows, MATCHER.wordnet)
    assert len(table.split("\n")) == 2 + sum(bool(row.wnid) for row in rows)
    review_table(rows, MATCHER.wordnet)


@given(cells=st.lists(st.text(max_size=12), max_size=6), head=st.booleans())
def test_any_review_file_is_read_or_told(tmp_path_factory, cells, head):
    file = tmp_path_factory.mktemp("fuzz") / "x.tsv"
    start = "label\tchoice\trelation\t1\n" if head else ""
    file.write_bytes((start + "\t".join(cells)).encode("utf-8", "surrogatepass"))
    try:
        decisions = read_decisions(file, MATCHER.wordnet)
    except WordTreeError:
        return
    assert all(d.wnid == "none" or d.wnid in MATCHER.wordnet for d in decisions.values())


def test_a_wnid_that_wordnet_does_not_know_is_told(tmp_path, matcher):
    source = read(tmp_path, "a.txt", "dog\nn99999999\n")
    with pytest.raises(LabelError, match=r"a.txt line 2: wnid 'n99999999' is no noun synset of WordNet 3.0"):
        map_labels(source, matcher)
    with pytest.raises(ConfigError, match=r"labels 'cocco' are neither a file nor one of coco.*did you mean 'coco'"):
        read_labels("cocco")
    with pytest.raises(ConfigError, match="imagenet: this space is all of WordNet"):
        read_labels("imagenet")


def test_what_is_not_certain_goes_to_the_review_with_proposals(tmp_path, matcher, nouns):
    rows = map_labels(read(tmp_path, "a.txt", "dog\nWild Bird\ntie\nzzz\n"), matcher)
    table = [line.split("\t") for line in map_table(rows, nouns).splitlines()]
    assert [line[0] for line in table] == ["label", "dog"]
    review = [line.split("\t") for line in review_table(rows, nouns).splitlines() if not line.startswith("#")]
    assert [line[0] for line in review] == ["label", "zzz", "Wild Bird", "tie"]
    assert review[2][7] == "n01503061 bird < vertebrate < chordate < animal [broader]"
    assert review_table(rows[:1], nouns) == ""
    assert all(row.wnid for row in map_labels(read(tmp_path, "a.txt", "tie\n"), matcher, accept=0.1))


def review_with(tmp_path, choices, relation=""):
    """The review file of some labels, with choices written into it."""
    file = tmp_path / "labels.review.tsv"
    lines = ["# comment", "label\tchoice\trelation\t1\t2"]
    lines += [f"{label}\t{choice}\t{relation}\tn01503061 bird < x [broader]\t" for label, choice in choices]
    file.write_text("\n".join(lines) + "\n")
    return file


def test_a_person_chooses_a_proposal_a_wnid_or_none(tmp_path, matcher, nouns):
    file = review_with(tmp_path, [("Wild Bird", "1"), ("tie", TIE), ("zzz", "None"), ("dog", "")])
    decisions = read_decisions(file, nouns)
    assert {label: (d.wnid, d.relation) for label, d in decisions.items()} == {
        "Wild Bird": (BIRD, "broader"),
        "tie": (TIE, "exact"),
        "zzz": ("none", "exact"),
    }
    source = read(tmp_path, "a.txt", "dog\nWild Bird\ntie\nzzz\n")
    rows = by_label(source, matcher, decisions=decisions)
    assert (rows["tie"].wnid, rows["tie"].rule, rows["tie"].reviewed) == (TIE, "reviewer", True)
    assert not rows["dog"].reviewed
    # the map can be given back: reviewed rows count, others are matched again
    again = tmp_path / "again.tsv"
    again.write_text(map_table(tuple(rows.values()), nouns))
    assert read_decisions(again, nouns) == decisions
    assert load_label_map(str(again)).unmapped == {"zzz": ""}
    assert read_decisions(review_with(tmp_path, [("a", "1")], "close"), nouns)["a"].relation == "close"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("2", "line 3: there is no proposal 2 for 'a'"),
        ("6", "line 3: there is no proposal 6 for 'a'"),
        ("dog", "line 3: 'dog' is a word, not a wnid; expected one of its 7 noun senses"),
        ("n99999999", "line 3: wnid 'n99999999' is no noun synset of WordNet 3.0"),
    ],
)
def test_a_bad_choice_is_told_with_its_line(tmp_path, nouns, choice, message):
    with pytest.raises((FormatError, LabelError)) as caught:
        read_decisions(review_with(tmp_path, [("a", choice)]), nouns)
    assert message in str(caught.value)


def test_bad_review_files_are_told(tmp_path, matcher, nouns):
    with pytest.raises(FormatError, match="line 4: label 'a' was decided above already"):
        read_decisions(review_with(tmp_path, [("a", "1"), ("a", "none")]), nouns)
    other = tmp_path / "x.tsv"
    other.write_text("label\twnid\n")
    with pytest.raises(FormatError, match=r"x.tsv line 1: found columns label, wnid; expected label and choice"):
        read_decisions(other, nouns)
    decisions = read_decisions(review_with(tmp_path, [("dogg", "none")]), nouns)
    with pytest.raises(LabelError, match="a reviewed row is about 'dogg', which is no label here; did you mean 'dog'"):
        map_labels(read(tmp_path, "a.txt", "dog\n"), matcher, decisions=decisions)


def run(capsys, *words):
    code = main(["tree", "map", *map(str, words)])
    done = capsys.readouterr()
    return code, done.out, done.err


def test_the_command_writes_a_map_and_a_review_that_is_fed_back(tmp_path, capsys):
    labels, out = tmp_path / "classes.txt", tmp_path / "maps"
    labels.write_text("dog\nWild Bird\n")
    code, told, _ = run(capsys, labels, "--out", out)
    assert code == 0
    assert "to review       1" in told
    review = out / "classes.review.tsv"
    assert sorted(file.name for file in out.iterdir()) == ["classes.review.tsv", "classes.tsv"]
    review.write_text(review.read_text().replace("Wild Bird\t", "Wild Bird\t1", 1))
    code, _, error = run(capsys, labels, "--out", out, "--reviewed", review)
    assert code == 2
    assert "exists with another content" in error
    code, _, error = run(capsys, labels, "--out", out, "--force")
    assert code == 2
    assert "classes.review.tsv: has 1 reviewed labels that would be lost, such as 'Wild Bird'; add --rev" in error
    code, told, _ = run(capsys, labels, "--out", out, "--reviewed", review, "--force", "--json")
    assert json.loads(told)["reviewed"] == 1
    assert [file.name for file in out.iterdir()] == ["classes.tsv"]  # nothing is left to review
    assert load_label_map(str(out / "classes.tsv")).row("Wild Bird").wnid == BIRD
    # once more, from the map: the same content
    assert run(capsys, labels, "--out", out, "--reviewed", out / "classes.tsv")[0] == 0


def test_the_command_finds_nodes_and_writes_darknets_map_if_all_have_one(tmp_path, capsys):
    tree, out = tmp_path / "tree", tmp_path / "maps"
    assert main(["tree", "build", "--labels", "voc", "--out", str(tree)]) == 0
    capsys.readouterr()
    code, told, _ = run(capsys, "voc", "--tree", tree, "--out", out, "--json")
    facts = json.loads(told)
    assert (code, facts["mapped"], facts["in_tree"], facts["reviewed"]) == (0, 20, 20, 20)
    assert (out / "voc.map").read_text() == (tree / "labels" / "voc.map").read_text()
    labels = tmp_path / "a.txt"
    labels.write_text("dog\nbroccoli.n.02\nzzz\n")
    code, _, error = run(capsys, labels, "--tree", tree, "--format", "map")
    assert code == 2
    assert "a .map needs a node for every label; 2 have none: 'broccoli.n.02', 'zzz'" in error
    code, told, error = run(capsys, labels, "--tree", tree)
    assert [line.split("\t")[0] for line in told.splitlines()] == ["label", "dog", "broccoli.n.02"]
    assert "1 of 3 labels wait for a review" in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["voc", "--accept", "2"], "--accept 2.0: expected a number from 0 to 1"),
        (["voc", "--format", "map"], "--format map needs --tree"),
        (["voc", "--json"], "--json tells what was written; add --out"),
        (["voc", "--format", "map", "--out", "x"], "--format map is for the terminal"),
    ],
)
def test_options_that_do_not_go_together_are_told(capsys, words, message):
    code, _, error = run(capsys, *words)
    assert code == 2
    assert message in error


def test_the_labels_themselves_are_never_replaced(tmp_path, capsys):
    labels = tmp_path / "mine.tsv"
    labels.write_text("label\twnid\ndog\tn02084071\n")
    code, _, error = run(capsys, labels, "--out", tmp_path, "--force")
    assert code == 2
    assert "--out would replace the labels themselves" in error
    assert labels.read_text() == "label\twnid\ndog\tn02084071\n"


def test_two_reviews_that_contradict_each_other_are_told(tmp_path, capsys):
    labels = tmp_path / "l.txt"
    labels.write_text("a\n")
    one = review_with(tmp_path, [("a", "1")])
    two = one.rename(tmp_path / "two.tsv")
    one = review_with(tmp_path, [("a", "none")])
    code, _, error = run(capsys, labels, "--reviewed", one, two)
    assert code == 2
    assert "'a' is n01503061 (broader) here and none (exact) in another --reviewed file" in error


def test_an_out_that_is_a_file_is_told(tmp_path, capsys):
    (tmp_path / "x").write_text("")
    code, _, error = run(capsys, "voc", "--out", tmp_path / "x")
    assert code == 2
    assert "x: cannot make this directory" in error
