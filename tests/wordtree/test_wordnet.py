"""WordNet: the shipped snapshot, NLTK's data, and their agreement."""

from __future__ import annotations

import builtins
import lzma
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schemas.errors import FormatError, InputError, LabelError
from wordtree.wordnet import NUM_SYNSETS, load_wordnet, parse_data_noun, read_nltk

REPOSITORY = Path(__file__).resolve().parents[2]
LICENCE = "  1 WordNet 3.0 Copyright 2006 by Princeton University.  All rights reserved.  "


def test_dog_has_two_paths_to_the_root_in_the_order_of_the_file(nouns):
    assert nouns.lemmas("n02084071") == ("dog", "domestic dog", "Canis familiaris")
    assert nouns.hypernyms("n02084071") == ("n02083346", "n01317541")
    assert [nouns.name(wnid) for wnid in nouns.paths("n02084071")[1]] == [
        "dog",
        "domestic animal",
        "animal",
        "organism",
        "living thing",
        "whole",
        "object",
        "physical entity",
        "entity",
    ]
    assert [len(path) for path in nouns.paths("n02084071")] == [14, 9]
    assert nouns.name("n02083346") == "canine"


def test_single_things_have_instance_hypernyms(nouns):
    (mars,) = (wnid for wnid in nouns.synsets_of("Mars") if "Red Planet" in nouns.lemmas(wnid))
    assert nouns.hypernyms(mars) == ()
    assert "terrestrial planet" in [nouns.name(wnid) for wnid in nouns.instance_hypernyms(mars)]
    assert nouns.parents(mars) == nouns.instance_hypernyms(mars)


def test_words_are_found_whatever_their_case_and_spaces(nouns):
    assert nouns.synsets_of("Hot Dog") == nouns.synsets_of("hot_dog") == ("n07676602", "n07697537", "n10187710")
    assert nouns.synsets_of("no such word") == ()


def test_there_are_82115_synsets_and_one_root(nouns):
    assert len(nouns) == NUM_SYNSETS == len(nouns.wnids)
    assert list(nouns.wnids) == sorted(nouns.wnids)
    assert [wnid for wnid in nouns.wnids if not nouns.parents(wnid)] == ["n00001740"]
    assert all(above in nouns for wnid in nouns.wnids for above in nouns.parents(wnid))


def test_loading_takes_less_than_a_second():
    load_wordnet.cache_clear()
    begin = time.process_time()
    load_wordnet()
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ("wnid", "message"),
    [
        ("n99999999", "wnid 'n99999999' is no noun synset of WordNet 3.0; offsets of other WordNet versions differ"),
        ("sandwich", "'sandwich' is a word, not a wnid; expected one of its 1 noun senses: n07695965 (sandwich)"),
        ("02084071", "'02084071' is no wnid; expected 'n' and eight digits such as 'n02084071'"),
    ],
)
def test_an_unknown_wnid_is_told_with_what_to_do(nouns, wnid, message):
    with pytest.raises(LabelError) as caught:
        nouns.lemmas(wnid)
    assert message in str(caught.value)


def test_a_damaged_line_is_told_with_its_number():
    with pytest.raises(FormatError, match=r"data.noun line 2: expected a noun synset; found 'what'"):
        parse_data_noun([LICENCE, "what"], where="data.noun")


def test_another_version_is_refused():
    line = "00001740 03 n 01 entity 0 000 | that which is"
    with pytest.raises(FormatError, match=r"expected data.noun of WordNet 3.0 with 82115 synsets; found 1 synsets"):
        parse_data_noun([LICENCE, line], where="data.noun")


def test_the_snapshot_is_made_again_byte_for_byte(wordnet_dir):
    script = REPOSITORY / "scripts" / "make_wordnet_snapshot.py"
    command = [sys.executable, str(script), "--check", "--source", str(wordnet_dir / "data.noun")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "same bytes" in done.stdout


def test_a_changed_snapshot_fails_the_check(wordnet_dir, tmp_path):
    changed = tmp_path / "changed.xz"
    changed.write_bytes(lzma.compress(b"something else"))
    script = REPOSITORY / "scripts" / "make_wordnet_snapshot.py"
    command = [
        sys.executable,
        str(script),
        "--check",
        "--out",
        str(changed),
        "--source",
        str(wordnet_dir / "data.noun"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "differs in content" in done.stderr


def test_both_readers_agree_on_every_synset(nouns, nltk_data):
    again = read_nltk()
    assert again.rows == nouns.rows
    assert again.digest == nouns.digest


@pytest.mark.filterwarnings("ignore:The multilingual functions")
def test_nltks_own_reader_agrees_on_a_sample_though_without_order(nouns, nltk_data):
    if not (nltk_data / "index.sense").is_file():
        pytest.skip("NLTK's reader needs index.sense (Debian package wordnet-sense-index)")
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    reader = WordNetCorpusReader(str(nltk_data), None)
    for wnid in nouns.wnids[::397]:
        synset = reader.synset_from_pos_and_offset("n", int(wnid[1:]))
        assert [lemma.replace("_", " ") for lemma in synset.lemma_names()] == list(nouns.lemmas(wnid))
        assert {f"n{s.offset():08d}" for s in synset.hypernyms()} == set(nouns.hypernyms(wnid))
        assert {f"n{s.offset():08d}" for s in synset.instance_hypernyms()} == set(nouns.instance_hypernyms(wnid))


def test_missing_nltk_data_is_told(monkeypatch, tmp_path):
    data = pytest.importorskip("nltk.data")
    monkeypatch.setattr(data, "path", [str(tmp_path)])
    with pytest.raises(InputError, match=r"NLTK has no WordNet data .corpora/wordnet.; get it with"):
        read_nltk()


def test_missing_nltk_is_told(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("nltk"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match="the package nltk is missing; install it with"):
        read_nltk()
