"""Label spaces: shipped maps, the user's files, and their nodes."""

from __future__ import annotations

import pytest

from schemas.errors import ConfigError, FormatError, InputError, LabelError
from wordtree.build import build_tree
from wordtree.label_files import load_label_map
from wordtree.label_space import LabelMap, LabelRow
from wordtree.mapping import PlacedLabel, combine, nearest_node, place_labels

DARKNET_SPELLINGS = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}


def test_coco_has_80_classes_on_80_synsets_of_wordnet(nouns):
    coco = load_label_map("coco")
    assert (len(coco), coco.labels[0], coco.labels[-1]) == (80, "person", "toothbrush")
    assert len({row.wnid for row in coco.rows}) == 80
    assert all(row.wnid in nouns and row.display_name for row in coco.rows)
    assert all(row.note for row in coco.rows if row.relation != "exact")


@pytest.mark.parametrize(
    ("label", "wnid", "lemma"),
    [
        ("toilet", "n04446521", "commode"),
        ("sink", "n04223580", "sink"),
        ("cake", "n07628870", "cake"),
        ("fire hydrant", "n03346898", "fire hydrant"),
        ("boat", "n02858304", "boat"),
        ("kite", "n03621473", "kite"),
        ("clock", "n03046257", "clock"),
        ("cat", "n02121808", "domestic cat"),
        ("hot dog", "n07697537", "hotdog"),
        ("hotdog", "n07697537", "hotdog"),
        ("book", "n02870092", "volume"),
        ("mouse", "n03793489", "computer mouse"),
    ],
)
def test_coco_labels_mean_what_a_person_would_say(nouns, label, wnid, lemma):
    assert load_label_map("coco").wnid(label) == wnid
    assert lemma in nouns.lemmas(wnid)


def test_spellings_of_darknet_and_voc_are_known_and_voc_shares_cocos_synsets():
    coco, voc = load_label_map("coco"), load_label_map("voc")
    assert len(voc) == 20
    for spelling, label in DARKNET_SPELLINGS.items():
        assert coco.row(spelling).label == label
        assert voc.row(label).label == spelling
    assert all(coco.wnid(label) == voc.wnid(label) for label in voc.labels)


def test_every_wnid_is_its_own_label_of_imagenet():
    imagenet = load_label_map("imagenet")
    assert imagenet.row("n02084071") == LabelRow("n02084071", "n02084071", display_name="dog")
    assert "n99999999" not in imagenet
    with pytest.raises(LabelError, match="'dog' is a word, not a wnid; expected one of its 7 noun senses"):
        imagenet.wnid("dog")


def test_an_unknown_label_suggests_what_is_near():
    coco = load_label_map("coco")
    assert coco.get("hot_dog") is None
    with pytest.raises(LabelError, match=r"coco.tsv: 'hot_dog' is none of its 80 labels; did you mean 'hot dog'"):
        coco.wnid("hot_dog")
    with pytest.raises(LabelError, match="'necktie' is none of its 80 labels; did you mean 'tie'"):
        coco.wnid("necktie")


def test_a_list_of_wnids_may_have_names_comments_and_a_byte_order_mark(tmp_path):
    file = tmp_path / "wnids.txt"
    file.write_bytes(b"\xef\xbb\xbf# mine\r\nn02084071\tmy dog\r\n\r\nn02121808\r\n")
    space = load_label_map(f"imagenet:{file}")
    assert space.name == "imagenet"
    assert [(row.label, row.display_name) for row in space.rows] == [
        ("n02084071", "my dog"),
        ("n02121808", "domestic cat"),
    ]


def test_a_csv_with_quotes_and_other_columns_is_read(tmp_path):
    file = tmp_path / "my classes.csv"
    file.write_text('id,category_name,wnid,role\n1,"dog, any",n02084071,train\n2,Katze,n02121808\n')
    space = load_label_map(str(file))
    assert space.name == "my_classes"
    assert space.labels == ("dog, any", "Katze")
    assert load_label_map(f"pets={file}").name == "pets"


def test_a_tsv_may_have_relation_display_name_aliases_and_note(tmp_path):
    file = tmp_path / "x.tsv"
    file.write_text(
        "# who, when\nclass\twnid\trelation\tdisplay_name\taliases\tnote\n"
        "Wauwau\tn02084071\tclose\tHündchen\ta|b\twhy\n"
    )
    space = load_label_map(str(file))
    assert space.rows == (LabelRow("Wauwau", "n02084071", "close", "Hündchen", "why", ("a", "b")),)
    assert space.wnid("b") == "n02084071"


def test_a_table_may_have_any_line_ends_and_a_byte_order_mark(tmp_path):
    for end in ("\n", "\r\n", "\r"):
        (tmp_path / "x.csv").write_bytes(f"\ufefflabel,wnid{end}dog,n02084071{end}".encode())
        assert load_label_map(str(tmp_path / "x.csv")).labels == ("dog",)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", InputError, "x.csv: the file is empty"),
        ("label,wnid\n", InputError, "x.csv: the table has a header and no rows"),
        ("label,synset\na,b\n", FormatError, "x.csv line 1: found columns label, synset; column wnid is missing"),
        ("thing,wnid\na,b\n", FormatError, "x.csv line 1: found columns thing, wnid; column label (or name,"),
        ("x" * 200_000, FormatError, "x.csv line 1: field larger than field limit"),
        ("dog\ncat\n", FormatError, "for a list of names, run `wordtree tree map "),
        ("label,name\na,b\n", FormatError, "column wnid is missing; `wordtree tree map "),
        ("n02084071\n", FormatError, "for a list of wnids write imagenet:"),
        (
            "label,wnid\ndog,n02084071\n\ndog,n02121808\n",
            FormatError,
            "x.csv line 4: label 'dog' stands on line 2 already",
        ),
        ("label,wnid\ndog,\n", FormatError, "x.csv line 2: wnid is empty"),
        ("label,wnid\n,n02084071\n", FormatError, "x.csv line 2: label is empty"),
        ("label,wnid\ndog,n02084071,x\n", FormatError, "x.csv line 2: found 3 cells; expected 2"),
        ("label,wnid\ndog,n99999999\n", LabelError, "x.csv line 2: wnid 'n99999999' is no noun synset of WordNet 3.0"),
        (
            "label,wnid\na,n1\nb,n2\n",
            LabelError,
            "x.csv: 2 wnids are no noun synsets of WordNet 3.0: line 2 'n1', line 3",
        ),
        (
            "label,wnid,relation\na,n02084071,same\n",
            FormatError,
            "x.csv line 2: relation 'same' is unknown; expected one",
        ),
        ("label,wnid,aliases\na,n02084071,b\nb,n02121808,\n", FormatError, "alias 'b' of 'a' belongs to 'b' too"),
    ],
)
def test_a_bad_table_is_told_with_its_line(tmp_path, text, error, message):
    file = tmp_path / "x.csv"
    file.write_text(text)
    with pytest.raises(error) as caught:
        load_label_map(str(file))
    assert message in str(caught.value)


def test_a_bad_list_or_word_is_told(tmp_path):
    file = tmp_path / "x.txt"
    file.write_text("n02084071\nn02121808\nn02084071\n")
    with pytest.raises(FormatError, match=r"x.txt line 3: wnid 'n02084071' stands on line 1 already"):
        load_label_map(f"imagenet:{file}")
    file.write_text("n02084071\ndog\n")
    with pytest.raises(LabelError, match=r"x.txt line 2: 'dog' is a word, not a wnid"):
        load_label_map(f"imagenet:{file}")
    file.write_bytes(b"n02084071\nn02121808 \xff\n")
    with pytest.raises(FormatError, match=r"x.txt line 2: found byte 0xff; expected UTF-8 text"):
        load_label_map(f"imagenet:{file}")
    with pytest.raises(InputError, match=r"nowhere.tsv: no such file"):
        load_label_map(str(tmp_path / "nowhere.tsv"))
    with pytest.raises(
        ConfigError, match=r"label space 'cocoo' is neither a file nor one of coco, voc.*did you mean 'coco'"
    ):
        load_label_map("cocoo")


def test_a_label_that_is_no_node_goes_to_its_nearest_hypernym(nouns):
    tree = build_tree(nouns, ["n02084071", "n02121808", "n01503061"]).tree
    assert nearest_node(tree, nouns, "n02084071") == (tree.index("n02084071"), "exact")
    # Samoyed < spitz < working dog < dog
    assert nearest_node(tree, nouns, "n02111889") == (tree.index("n02084071"), "broader")
    with pytest.raises(
        LabelError, match=r"neither n07695965 \(sandwich\) nor anything above it in WordNet is in the tree"
    ):
        nearest_node(tree, nouns, "n07695965")
    space = LabelMap("x", [LabelRow("Laika", "n02111889", "narrower"), LabelRow("bread", "n07695965")])
    with pytest.raises(LabelError, match="label space 'x': label 'bread': neither n07695965"):
        place_labels(space, tree, nouns)
    placed = place_labels(LabelMap("x", space.rows[:1]), tree, nouns)
    assert placed == (PlacedLabel("Laika", "n02111889", tree.index("n02084071"), "close", ""),)


def test_relations_over_two_steps():
    assert combine("exact", "broader") == "broader"
    assert combine("narrower", "exact") == "narrower"
    assert combine("broader", "broader") == "broader"
    assert combine("narrower", "broader") == "close"
