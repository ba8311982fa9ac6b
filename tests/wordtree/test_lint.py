"""What a person should look at, as data."""

from __future__ import annotations

from wordtree.build import CutEdge, build_tree
from wordtree.build_options import BuildOptions
from wordtree.label_files import load_label_map
from wordtree.label_space import LabelMap, LabelRow
from wordtree.lint import NOTES, SUMMARIES, WIDE, Finding, lint, lint_lines, lint_rows, lint_space
from wordtree.mapping import PlacedLabel, place_labels
from wordtree.tree import WordTree


def placed(*labels: tuple[str, int]) -> list[PlacedLabel]:
    return [PlacedLabel(label, f"w{node}", node, "exact") for label, node in labels]


def test_nested_and_shared_labels_are_told(nouns):
    coco = load_label_map("coco")
    built = build_tree(nouns, [row.wnid for row in coco.rows])
    found = lint_space("coco", place_labels(coco, built.tree, nouns), built.tree, built.cut_edges)
    assert [(finding.severity, finding.kind, str(finding)) for finding in found] == [
        ("warning", "nested", "coco: 'hot dog' lies below 'sandwich': matter > dish > sandwich > hotdog"),
        ("warning", "nested", "coco: 'donut' lies below 'cake': matter > food > cake > doughnut"),
    ]
    two = LabelMap("two", [LabelRow("dog", "n02084071"), LabelRow("hound dog", "n02084071")])
    shared = lint_space("two", place_labels(two, built.tree, nouns), built.tree)
    assert [(finding.kind, finding.message) for finding in shared] == [
        ("shared node", "'dog' and 'hound dog' share the node n02084071 (dog)")
    ]


def test_labels_that_the_tree_wrongly_sets_apart_are_told(nouns):
    labels = ["n07695965", "n07697537"]  # sandwich, hot dog
    built = build_tree(nouns, labels, BuildOptions(hoist_only_leaves=True))
    space = LabelMap("x", [LabelRow(nouns.name(wnid), wnid) for wnid in labels])
    (found,) = lint_space("x", place_labels(space, built.tree, nouns), built.tree, built.cut_edges)
    assert found.kind == "set apart"
    assert found.message == "'hotdog' is a kind of 'sandwich', but not below it: the tree lets them exclude each other"


def test_labels_of_different_spaces_may_share_a_node_and_nest(pets):
    spaces = {"a": placed(("animal", 0), ("chair", 7)), "b": placed(("bird", 4), ("cat", 3), ("t", 5), ("h", 6))}
    assert [finding.kind for finding in lint(pets, spaces) if finding.severity == "warning"] == []


def test_every_kind_has_a_summary(pets):
    labels = placed(("dog", 2), ("hound dog", 2), ("/m/0bt9lr", 5), ("chair", 7), ("animal", 0))
    labels[2] = PlacedLabel("/m/0bt9lr", "n6", 5, "exact", "Terrier")
    lines = lint_lines(lint(pets, {"a": labels}, [CutEdge("n8", "n1")]))
    assert lines[:3] == [
        "look at  a: labels share a node: dog = hound dog",
        "look at  a: 2 labels lie below other labels (wanted if they are finer): dog < animal, Terrier < dog",
        "look at  a: a label is a kind of another one, but the tree lets them exclude each other: chair < animal",
    ]
    kinds = {"nested", "shared node", "set apart", "single", "same word", "wide"}
    assert kinds == set(NOTES)
    assert kinds - {"single", "same word", "wide"} | {"unlabelled"} == set(SUMMARIES)


def test_leaves_without_a_label_are_told_only_where_labels_are_known(pets):
    found = lint(pets, {"a": placed(("dog", 2), ("chair", 7), ("cat", 3), ("bird", 4))})
    assert [finding.message for finding in found if finding.kind == "unlabelled"] == [
        "n6 (terrier) is a leaf that no label stands on",
        "n7 (hound) is a leaf that no label stands on",
    ]
    assert lint(pets, {}) == (Finding("note", "single", "", 7, "n8 (chair) stands alone below n2 (thing)"),)


def test_single_wide_and_repeated_names_are_notes():
    wide = WordTree([f"n{node}" for node in range(WIDE + 2)], [-1] * (WIDE + 2), ["Bag", "bag", *map(str, range(WIDE))])
    assert [(finding.kind, finding.message) for finding in lint(wide, {})] == [
        ("wide", f"{WIDE + 2} siblings the roots (group 0)"),
        ("same word", "'Bag' is the word of n0, n1"),
    ]
    assert all(finding.severity == "note" for finding in lint(wide, {}))


def test_in_a_list_of_wnids_nested_labels_are_only_notes(pets):
    labels = [PlacedLabel(name, name, node, "exact") for node, name in enumerate(pets.names)]
    assert {finding.severity for finding in lint_space("imagenet", labels, pets, [CutEdge("n8", "n1")])} == {"note"}


def test_warnings_of_a_kind_are_one_line_with_examples_or_all_in_words(pets):
    labels = {"a": placed(("animal", 0), ("dog", 2), ("terrier", 5), ("thing", 1))}
    found = lint(pets, labels)
    assert lint_lines(found, full_in="lint.tsv") == [
        "look at  a: 2 labels lie below other labels (wanted if they are finer): dog < animal, terrier < dog",
        "look at  4 leaves that no label stands on: cat, bird, …",
        "notes    1 × group of one; all in lint.tsv",
    ]
    assert lint_lines(found, examples=1)[0].endswith(": dog < animal, …")
    assert lint_lines(found, examples=0)[1] == "look at  4 leaves that no label stands on"
    assert lint_lines(found, verbose=True)[:2] == [
        "look at  a: 'dog' lies below 'animal': animal > dog",
        "look at  a: 'terrier' lies below 'dog': animal > dog > terrier",
    ]
    assert lint_lines(()) == []
    rows = list(lint_rows(found, pets))
    assert rows[0] == ("warning", "nested", "a", "2", "n3", "'dog' lies below 'animal': animal > dog")
    assert len(rows) == len(found)
