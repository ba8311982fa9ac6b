"""Building a tree from WordNet: the rules by hand on a toy graph, and the published trees."""

from __future__ import annotations

import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import ConfigError, LabelError
from wordtree.build import CutEdge, build_tree
from wordtree.build_options import BuildOptions
from wordtree.tree_formats import tree_text
from wordtree.wordnet import WordNet, load_wordnet

# A toy graph under entity(n00001740); names are letters.
#   n1 a: entity      n2 b: a       n3 c: b, f      n4 d: c       n5 e: c, a      n6 f: a
ENTITY = "n00001740"
A, B, C, D, E, F = (f"n0000000{number}" for number in range(1, 7))


def row(name: str, *parents: str) -> str:
    return f"{name}\t{' '.join(parent[1:] for parent in parents)}\t"


TOY = WordNet(
    {
        ENTITY: row("entity"),
        A: row("a", ENTITY),
        B: row("b", A),
        C: row("c", B, F),
        D: row("d", C),
        E: row("e", C, A),
        F: row("f", A),
        "n00001930": row("physical", ENTITY),
        "n00002137": row("abstraction", ENTITY),
    }
)
WHOLE = BuildOptions(collapse=False)


def parents(built) -> dict[str, str | None]:
    tree = built.tree
    names = tree.display_names
    return {names[n]: None if p < 0 else names[p] for n, p in enumerate(tree.parent.tolist())}


def test_of_two_paths_the_one_that_adds_fewer_nodes_is_taken():
    # e goes up by c (b or f, a) or straight to a: one node more than a against three.
    assert parents(build_tree(TOY, [A, E], WHOLE)) == {"a": None, "e": "a"}
    # With b and c in the tree both ways add one node; then the smaller wnid above e wins: a (n1) before c (n3).
    assert parents(build_tree(TOY, [B, C, E], WHOLE))["e"] == "a"


def test_labels_with_one_path_are_placed_first():
    # c has the ways b and f. f is a label with one path, so c adds one node there and two by b.
    built = build_tree(TOY, [C, F], WHOLE)
    assert parents(built) == {"a": None, "f": "a", "c": "f"}
    assert (built.report.single_path, built.report.several_paths, built.report.chosen) == (1, 1, 1)


def test_a_tie_goes_to_the_smaller_wnids_read_upwards():
    assert parents(build_tree(TOY, [C], WHOLE)) == {"a": None, "b": "a", "c": "b"}


def test_collapsing_leaves_out_nodes_with_one_child_but_never_a_label():
    # d goes up by c and f; c is no label. f has one child too, but is a label.
    assert parents(build_tree(TOY, [D, E, F])) == {"a": None, "e": "a", "f": "a", "d": "f"}
    assert parents(build_tree(TOY, [A, B, D])) == {"a": None, "b": "a", "d": "b"}
    assert parents(build_tree(TOY, [D])) == {"d": None}


def test_an_only_leaf_below_a_label_becomes_its_sibling_if_asked():
    built = build_tree(TOY, [A, B, F, D], BuildOptions(hoist_only_leaves=True))
    assert parents(built) == {"a": None, "b": "a", "f": "a", "d": "a"}
    assert built.report.hoisted == 1
    # d is still a kind of b and of f, which the tree does not say any more.
    assert built.cut_edges == (CutEdge(D, B), CutEdge(D, F))


def test_the_top_is_dropped_unless_it_is_a_label_or_asked_for():
    assert parents(build_tree(TOY, [A, ENTITY])) == {"entity": None, "a": "entity"}
    assert parents(build_tree(TOY, [B], BuildOptions(drop_top=(), collapse=False))) == {
        "entity": None,
        "a": "entity",
        "b": "a",
    }


def test_edges_that_the_tree_leaves_out_are_kept():
    built = build_tree(TOY, [B, C, F], WHOLE)
    assert parents(built)["c"] == "b"
    assert built.cut_edges == (CutEdge(C, F),)


def test_a_cut_edge_reaches_the_nearest_node_over_collapsed_ones():
    # d hangs below b, c is collapsed; WordNet says d < c < f.
    built = build_tree(TOY, [B, D, F])
    assert parents(built) == {"a": None, "b": "a", "d": "b", "f": "a"}
    assert built.cut_edges == (CutEdge(D, F),)


def test_a_patch_replaces_all_edges_above_its_child():
    assert parents(build_tree(TOY, [C, F], BuildOptions(collapse=False, patches={C: B})))["c"] == "b"


def test_bad_patches_are_told():
    with pytest.raises(ConfigError, match="the patches make a cycle: n00000003 -> n00000004 -> n00000003"):
        build_tree(TOY, [C], BuildOptions(patches={C: D}))
    with pytest.raises(ConfigError, match="patch n00000003 -> n12345678: wnid 'n12345678' is no noun synset"):
        build_tree(TOY, [C], BuildOptions(patches={C: "n12345678"}))


def test_unknown_labels_are_listed_up_to_ten():
    with pytest.raises(LabelError, match=r"wnid 'n99999999' is no noun synset of WordNet 3.0"):
        build_tree(TOY, [A, "n99999999"])
    with pytest.raises(LabelError, match=r"12 labels are no noun synsets of WordNet 3.0: 'x0', 'x1'.*'x9' and 2 more"):
        build_tree(TOY, [f"x{number}" for number in range(12)])
    with pytest.raises(LabelError, match="no labels were given"):
        build_tree(TOY, [])


@given(st.lists(st.sampled_from(load_wordnet().wnids[::13]), min_size=1, max_size=40), st.randoms(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_label_is_a_node_the_order_does_not_matter_and_nothing_of_wordnet_is_lost(labels, rng, hoist):
    nouns = load_wordnet()
    options = BuildOptions(hoist_only_leaves=hoist, exclude=())
    built = build_tree(nouns, labels, options)
    tree = built.tree
    assert all(label in tree for label in labels)
    assert set(built.labels) == set(labels)
    shuffled = labels * 2
    rng.shuffle(shuffled)
    again = build_tree(nouns, shuffled, options)
    assert (again.tree, again.cut_edges) == (tree, built.cut_edges)
    # Inner nodes that are no labels have at least two children.
    assert all(len(tree.children(n)) > 1 or name in labels or tree.is_leaf[n] for n, name in enumerate(tree.names))
    # Tree edges and cut edges together are all of WordNet's is-a relations between nodes.
    above: dict[str, set[str]] = {}
    for edge in built.cut_edges:
        above.setdefault(edge.child, set()).add(edge.hypernym)
    for node, name in enumerate(tree.names):
        if tree.parent[node] >= 0:
            above.setdefault(name, set()).add(tree.names[tree.parent[node]])

    def closure(name: str) -> set[str]:
        return set().union(*({up} | closure(up) for up in above.get(name, ())))

    for name in tree.names:
        assert closure(name) == {up for up in nouns.closure(name) if up in tree}


def published_patches(shared) -> BuildOptions:
    rule = json.loads((shared / "facts" / "wordtree_rebuild_rule.json").read_text())
    patches = {child.split()[0]: parent.split()[0] for child, parent in rule["patch"].items()}
    return BuildOptions(drop_top=tuple(rule["drop_top"]), hoist_only_leaves=True, patches=patches, exclude=())


def test_the_1000_classes_of_ilsvrc_give_the_1369_nodes_of_the_paper(shared, nouns):
    labels = (shared / "facts" / "ilsvrc1000.wnids").read_text().split()
    nouns.paths(labels[0])
    begin = time.process_time()
    built = build_tree(nouns, labels, published_patches(shared))
    assert time.process_time() - begin < 1
    assert len(built.tree) == 1369
    assert tree_text(built.tree) == (shared / "facts" / "wordtree1k.rebuilt.tree").read_text()
    random.Random(0).shuffle(labels)
    assert build_tree(nouns, labels, published_patches(shared)).tree == built.tree


def test_all_tie_independent_parents_of_the_published_9k_tree_are_found(shared, nouns):
    labels = (shared / "facts" / "9k_nodes_in_imagenet22k.txt").read_text().split()
    tree = build_tree(nouns, labels, published_patches(shared)).tree
    found = {name: "-" if p < 0 else tree.names[p] for name, p in zip(tree.names, tree.parent.tolist(), strict=True)}
    edges = [line.split() for line in (shared / "facts" / "9k_tie_stable_edges.tsv").read_text().splitlines()]
    assert len(edges) == 9136
    assert [(child, parent) for child, parent in edges if found.get(child) != parent] == []
    assert len(tree) == 9415


def test_the_shipped_patches_are_those_of_the_published_tree(shared):
    from wordtree.recipes import read_patches

    assert read_patches("darknet") == published_patches(shared).patches
