"""The builder's options one by one, people, the recipes, and how near they come to the published trees."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time

import pytest

from schemas.errors import ConfigError, FormatError, LabelError
from wordtree.build import CutEdge, LeftOut, build_tree
from wordtree.build_options import PERSON, TIES, BuildOptions
from wordtree.recipes import RECIPES, compare_trees, comparison_lines, read_patches, recipe_options
from wordtree.tree import WordTree
from wordtree.wordnet import WordNet

ENTITY = "n00001740"
A, B, C, D, E, F, G = (f"n0000000{number}" for number in range(1, 8))
WHOLE = BuildOptions(collapse=False)


def row(name: str, *parents: str, instance_of: tuple[str, ...] = ()) -> str:
    return "\t".join((name, " ".join(up[1:] for up in parents), " ".join(up[1:] for up in instance_of)))


# n1 a   n2 b: a   n3 c: g, f   n4 d: c   n6 f: a   n7 g: b   n5 e: an instance of a; g is one step longer than f
TOY = WordNet(
    {
        ENTITY: row("entity"),
        A: row("a", ENTITY),
        B: row("b", A),
        C: row("c", G, F),
        D: row("d", C),
        E: row("e", instance_of=(A,)),
        F: row("f", A),
        G: row("g", B),
        "n00001930": row("physical", ENTITY),
        "n00002137": row("abstraction", ENTITY),
    }
)


def parents(built) -> dict[str, str | None]:
    tree = built.tree
    names = tree.display_names
    return {names[n]: None if p < 0 else names[p] for n, p in enumerate(tree.parent.tolist())}


@pytest.mark.parametrize(("tie", "parent"), [("wnid-up", "f"), ("wnid-down", "g"), ("shortest", "f"), ("pointer", "g")])
def test_each_tie_rule_takes_the_path_that_it_says(tie, parent):
    # With f and g in the tree, c adds one node either way. Upwards: f (n6) before g (n7). Downwards: a b before a f.
    # f is nearer to the root; g comes first in the file.
    assert parents(build_tree(TOY, [C, F, G], dataclasses.replace(WHOLE, tie=tie)))["c"] == parent


def test_random_ties_depend_on_the_seed_alone_and_unknown_rules_are_refused():
    found = {parents(build_tree(TOY, [C, F, G], dataclasses.replace(WHOLE, tie=f"random:{n}")))["c"] for n in range(20)}
    assert found == {"f", "g"}
    with pytest.raises(ConfigError, match="tie rule 'best' is unknown; expected one of wnid-up, wnid-down, shortest"):
        build_tree(TOY, [C], BuildOptions(tie="best"))


def test_other_top_concepts_can_be_dropped():
    assert parents(build_tree(TOY, [B, F], dataclasses.replace(WHOLE, drop_top=(ENTITY, A)))) == {"b": None, "f": None}
    with pytest.raises(ConfigError, match="drop_top: wnid 'n12345678' is no noun synset"):
        build_tree(TOY, [B], BuildOptions(drop_top=("n12345678",)))


def test_one_root_is_put_above_several_roots_only():
    options = dataclasses.replace(WHOLE, drop_top=(ENTITY, A), one_root=True)
    assert parents(build_tree(TOY, [B, F], options)) == {"entity": None, "b": "entity", "f": "entity"}
    assert parents(build_tree(TOY, [B], options)) == {"b": None}
    assert parents(build_tree(TOY, [ENTITY, B, F], options)) == {"entity": None, "b": "entity", "f": "entity"}


def test_without_instances_single_things_are_left_out():
    assert parents(build_tree(TOY, [E, B])) == {"a": None, "b": "a", "e": "a"}
    built = build_tree(TOY, [E, B], BuildOptions(instances=False))
    assert parents(built) == {"b": None}
    assert built.left_out == (LeftOut(E, ""),)
    with pytest.raises(LabelError, match="all 1 labels are left out: they lie below no class"):
        build_tree(TOY, [E], BuildOptions(instances=False))


def test_labels_below_an_excluded_concept_are_left_out_but_not_the_concept_itself():
    built = build_tree(TOY, [B, C, D, F], BuildOptions(exclude=(F,)))
    assert parents(built) == {"a": None, "b": "a", "f": "a"}
    assert built.left_out == (LeftOut(C, F), LeftOut(D, F))
    assert (built.labels, built.report.left_out, built.report.num_labels) == ((B, F), 2, 2)
    kept = build_tree(TOY, [B, C, D, F], BuildOptions(exclude=(F,), keep=(D,)))
    assert "d" in parents(kept)
    assert kept.left_out == (LeftOut(C, F),)
    with pytest.raises(LabelError, match=r"all 1 labels are left out: they lie below n00000006 \(f\)"):
        build_tree(TOY, [C], BuildOptions(exclude=(F,)))


def test_a_circle_between_patches_and_wordnet_ends():
    # w1 hangs below w2 by patch, w2 below w1 in WordNet, and w2 is moved away by another patch.
    options = BuildOptions(patches={G: C, C: F})
    built = build_tree(TOY, [G, D], options)
    assert parents(built)["g"] == "c"
    with pytest.raises(ConfigError, match="the patches make a cycle"):
        build_tree(TOY, [G], BuildOptions(patches={G: D}))


def test_people_are_left_out_by_default_and_person_stays(nouns):
    girl, boy, groom = "n10084295", "n10285313", "n10148035"
    built = build_tree(nouns, [PERSON, girl, boy, groom, "n02084071"])
    assert built.labels == (PERSON, "n02084071", groom)  # ILSVRC's three classes of people were never withdrawn
    assert built.left_out == (LeftOut(girl, PERSON), LeftOut(boy, PERSON))
    everyone = build_tree(nouns, [PERSON, girl, boy, groom, "n02084071"], BuildOptions(exclude=()))
    assert everyone.left_out == ()
    assert girl in everyone.tree


def test_every_label_of_ilsvrc_is_in_its_default_tree(nouns, shared):
    wnids = (shared / "facts" / "ilsvrc1000.wnids").read_text().split()
    built = build_tree(nouns, wnids)
    assert built.left_out == ()
    assert len(wnids) == 1000
    assert all(wnid in built.tree for wnid in wnids)


def test_all_nouns_make_one_tree_of_82115_nodes(nouns):
    begin = time.process_time()
    built = build_tree(nouns, nouns.wnids, BuildOptions(exclude=()))
    assert time.process_time() - begin < 5
    assert len(built.tree) == 82115
    assert len(built.tree.roots()) == 1
    edges = sum(len(nouns.parents(wnid)) for wnid in nouns.wnids)
    # Every hypernym of WordNet is a tree edge, a cut edge, or already above by the tree.
    assert edges == 82114 + len(built.cut_edges) + sum(
        hypernym in {built.tree.names[node] for node in built.tree.ancestors(built.tree.index(wnid))[1:]}
        for wnid in nouns.wnids
        if len(nouns.parents(wnid)) > 1
        for hypernym in nouns.parents(wnid)
    )


def test_a_recipe_is_known_by_name():
    assert {recipe_options(name).tie for name in RECIPES} <= set(TIES)
    assert all(recipe_options(name).exclude == () for name in RECIPES)
    with pytest.raises(ConfigError, match=r"recipe 'yolo900' is unknown; .*did you mean 'yolo9000'"):
        recipe_options("yolo900")


def test_a_patch_table_is_read_with_its_lines(tmp_path):
    file = tmp_path / "patch.tsv"
    file.write_text("# why\nchild\tparent\tnote\nn1\tn2\tx\nn1\tn3\ty\n")
    with pytest.raises(FormatError, match=r"patch.tsv line 4: 'n1' has parent 'n2' already; expected one parent"):
        read_patches(str(file))
    assert len(read_patches("darknet")) == 4


def test_every_difference_from_a_published_tree_is_listed_with_its_reason():
    built = build_tree(TOY, [C, F, G], WHOLE)  # a(b(g) f(c))
    published = WordTree([A, B, E, F, G, C], [-1, 0, 0, 0, 1, 4])  # a(b(g(c)) e f): c elsewhere, e besides
    found = compare_trees(built, published, TOY)
    assert [(d.kind, d.wnid, d.parent, d.published, d.tie) for d in found.differences] == [
        ("missing", E, "", A, ""),
        ("parent", C, F, G, "wnid-down"),
    ]
    assert (found.nodes, found.published_nodes, found.same_parent, found.share) == (5, 6, 4, 4 / 6)
    told = "\n".join(comparison_lines(found, TOY))
    assert "the parent is the same for 4 (66.67%)" in told
    assert "1 missing, 0 extra, 1 with another parent" in told
    assert "1 of these 2 are ties" in told
    assert "n00000003 (c): below n00000006 (f), published below n00000007 (g); a tie: as published under wnid-" in told
    assert "n00000005 (e): missing, published below n00000001 (a); under no tie rule tried" in told
    same = compare_trees(built, built.tree, TOY)
    assert (same.share, same.differences, same.ties_tried) == (1, (), ())


def test_the_recipe_wordtree1k_gives_the_1369_nodes_of_the_paper(shared, nouns):
    labels = (shared / "facts" / "ilsvrc1000.wnids").read_text().split()
    built = build_tree(nouns, labels, recipe_options("wordtree1k"))
    assert (len(built.tree), built.left_out) == (1369, ())


def test_the_recipe_yolo9000_gives_at_least_992_of_1000_published_parents(shared, nouns):
    from wordtree.files import read_tree

    labels = (shared / "facts" / "9k_nodes_in_imagenet22k.txt").read_text().split()
    published = read_tree(shared / "facts" / "9k.tree")
    begin = time.process_time()
    built = build_tree(nouns, labels, recipe_options("yolo9000"))
    assert time.process_time() - begin < 1
    found = compare_trees(built, published, nouns, random_ties=2)
    assert found.share >= 0.992
    assert (found.nodes, found.count("missing"), found.count("extra"), found.count("parent")) == (9414, 4, 0, 54)
    names = built.tree.names
    above = {name: "-" if up < 0 else names[up] for name, up in zip(names, built.tree.parent.tolist(), strict=True)}
    edges = [line.split() for line in (shared / "facts" / "9k_tie_stable_edges.tsv").read_text().splitlines()]
    assert [child for child, parent in edges if above.get(child) != parent] == []
    # No difference is on an edge that no tie can change.
    assert not {difference.wnid for difference in found.differences} & {child for child, _ in edges}


def run(*words: object) -> int:
    import argparse

    from wordtree.cli_build import add_build

    parser = argparse.ArgumentParser()
    add_build(parser.add_subparsers())
    args = parser.parse_args(["build", *map(str, words)])
    return args.run(args)


@pytest.fixture
def people(tmp_path):
    """ImageNet's wnids of two dogs and of two people; and a data set that names a man itself."""
    (tmp_path / "wnids.txt").write_text("n02084071\nn02085620\nn10084295\nn10285313\n")
    (tmp_path / "mine.tsv").write_text("label\twnid\nMan\tn10287213\ndog\tn02084071\n")
    return f"imagenet:{tmp_path / 'wnids.txt'}", str(tmp_path / "mine.tsv")


def test_build_leaves_out_people_of_a_wnid_list_but_not_those_that_a_data_set_names(people, tmp_path, capsys):
    out = tmp_path / "tree"
    assert run("--labels", *people, "--out", out) == 0
    told = capsys.readouterr().out
    assert "left out 2 labels below person (n00007846): female child, male child; " in told
    assert "--include-person keeps them" in told
    lines = (out / "left_out.tsv").read_text().splitlines()
    assert lines[1:] == [
        "imagenet\tn10084295\tn10084295\tn00007846\tfemale child",
        "imagenet\tn10285313\tn10285313\tn00007846\tmale child",
    ]
    # A .map has a line for each class, so a space that lost classes has none.
    assert sorted(file.name for file in (out / "labels").iterdir()) == ["imagenet.tsv", "mine.map", "mine.tsv"]
    assert json.loads((out / "build.json").read_text())["options"]["keep"] == [
        "n09835506",
        "n10148035",
        "n10287213",
        "n10565667",
    ]
    names = (out / "wordtree.labels").read_text().split()
    assert "n10287213" in names
    assert "n10084295" not in names


def test_people_can_be_kept_and_anything_can_be_excluded(people, tmp_path, capsys):
    assert run("--labels", *people, "--include-person", "--out", tmp_path / "a", "--json") == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == []
    assert run("--labels", *people, "--exclude", PERSON, "n02084071", "--out", tmp_path / "b", "--json") == 0
    left_out = json.loads(capsys.readouterr().out)["left_out"]
    assert left_out == ["n02085620", "n10084295", "n10285313", "n10287213"]


def test_a_recipe_settles_all_options(people, tmp_path):
    with pytest.raises(ConfigError, match="--recipe yolo9000 settles all options; leave out --tie and --one-root"):
        run("--labels", people[1], "--recipe", "yolo9000", "--tie", "pointer", "--one-root", "--out", tmp_path / "x")


def test_build_compares_with_a_published_tree(people, tmp_path, capsys):
    published = tmp_path / "published.tree"
    published.write_text("n02084071 -1\nn10287213 -1\nn02085620 0\n")
    out = tmp_path / "tree"
    assert run("--labels", people[1], "--compare", published, "--out", out) == 0
    told = capsys.readouterr().out
    assert "2 nodes built, 3 published; the parent is the same for 2 (66.67%)" in told
    rows = [line.split("\t") for line in (out / "comparison.tsv").read_text().splitlines()]
    assert rows[0] == ["kind", "wnid", "name", "parent", "published_parent", "tie"]
    assert ["missing", "n02085620", "Chihuahua", "", "n02084071", ""] in rows


@pytest.mark.parametrize(
    "option",
    [
        *("--tie", "--drop-top", "--keep-top", "--one-root", "--no-collapse", "--hoist-only-leaves", "--patch"),
        *("--no-instances", "--exclude", "--include-person", "--recipe", "--compare"),
    ],
)
def test_every_option_says_what_it_changes(option, capsys):
    with pytest.raises(SystemExit):
        run("--help")
    text = capsys.readouterr().out
    at = text.index(f"  {option}")
    assert len(" ".join(text[at:].split("\n  --", 2)[0].split())) > len(option) + 20


def test_nltks_data_and_the_snapshot_give_identical_trees(nouns, nltk_data):
    from wordtree.tree_formats import tree_text
    from wordtree.wordnet import read_nltk

    other = read_nltk()
    labels = nouns.wnids[::19]
    for options in (BuildOptions(), recipe_options("yolo9000"), BuildOptions(tie="pointer", exclude=())):
        ours, theirs = (build_tree(source, labels, options) for source in (nouns, other))
        assert tree_text(ours.tree) == tree_text(theirs.tree)
        assert ours.tree.display_names == theirs.tree.display_names
        assert (ours.cut_edges, ours.left_out) == (theirs.cut_edges, theirs.left_out)


def test_cut_edges_are_sorted_and_never_repeat(nouns):
    cut = build_tree(nouns, nouns.wnids[::11]).cut_edges
    assert all(a < b for a, b in itertools.pairwise(cut))
    assert all(isinstance(edge, CutEdge) for edge in cut)
