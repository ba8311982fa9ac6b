"""Classes, concepts and nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.labelling import label_map_items, resolve_classes
from pipelines.sources.base import DatasetClass
from schemas.errors import LabelError
from schemas.manifest import ClassEntry

DOG, ANIMAL, CAT = "n02084071", "n00015388", "n02121620"
CLASSES = (DatasetClass("1", 1, "dog"), DatasetClass("4", 4, "animal"))


@pytest.fixture
def tree_path(tmp_path: Path) -> str:
    """animal > dog, cat."""
    path = tmp_path / "wordtree.tree"
    path.write_text(f"{ANIMAL} -1\n{DOG} 0\n{CAT} 0\n")
    return str(path)


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "map.csv"
    path.write_text(f"label,wnid,relation\ndog,{DOG},exact\nanimal,{ANIMAL},broader\n")
    return str(path)


def test_classes_get_their_concepts(table: str) -> None:
    space = resolve_classes(CLASSES, table, source="coco")
    dog = space.classes["1"]
    assert (dog.id, dog.label, dog.wnid, dog.relation, dog.node) == (1, "dog", DOG, "exact", None)
    assert (space.source, space.dropped, space.tree_digest) == ("coco", (), "")


def test_a_tree_gives_nodes_and_its_digest(table: str, tree_path: str) -> None:
    from wordtree.files import read_tree

    space = resolve_classes(CLASSES, table, source="coco", tree_path=tree_path)
    assert {key: entry.node for key, entry in space.classes.items()} == {"1": 1, "4": 0}
    assert space.tree_digest == read_tree(tree_path).digest()


def test_a_label_map_has_ancestors_and_descendants_among_the_classes(table: str, tree_path: str) -> None:
    space = resolve_classes(CLASSES, table, source="coco", tree_path=tree_path)
    items = label_map_items(space, tree_path)
    assert [(i.name, i.id, i.display_name, i.ancestor_ids, i.descendant_ids) for i in items] == [
        (DOG, 1, "dog", (4,), ()),
        (ANIMAL, 4, "animal", (), (1,)),
    ]


def test_a_concept_that_the_tree_lacks_is_an_error_that_tells_how_to_build_it(tmp_path: Path, table: str) -> None:
    path = tmp_path / "small.tree"
    path.write_text(f"{ANIMAL} -1\n{CAT} 0\n")
    with pytest.raises(LabelError, match=rf"no node for 'dog \({DOG}\)'.*wordtree tree build --labels .*map\.csv"):
        resolve_classes(CLASSES, table, source="coco", tree_path=str(path))


def test_without_a_map_there_is_no_concept_and_no_tree(tree_path: str) -> None:
    space = resolve_classes(CLASSES, "none", source="coco")
    assert space.classes["1"] == ClassEntry(id=1, label="dog")
    with pytest.raises(LabelError, match="--labels none gives no wnids"):
        resolve_classes(CLASSES, "none", source="coco", tree_path=tree_path)


def test_unknown_classes_are_listed_or_dropped(table: str) -> None:
    classes = (*CLASSES, *(DatasetClass(str(n), n, f"thing {n}") for n in range(10, 20)))
    with pytest.raises(LabelError, match=r"'thing 10', .*'thing 17' and 2 more of the dataset's 12 classes"):
        resolve_classes(classes, table, source="coco")
    space = resolve_classes(classes, table, source="coco", on_unknown="reject")
    assert list(space.classes) == ["1", "4"]
    assert len(space.dropped) == 10


def test_if_no_class_at_all_is_known_the_map_is_the_wrong_one(table: str) -> None:
    with pytest.raises(LabelError, match="does not know 'blorb'"):
        resolve_classes([DatasetClass("1", 1, "blorb")], table, source="coco", on_unknown="reject")


def test_a_wnid_as_label_is_shown_by_the_concept_s_name() -> None:
    space = resolve_classes([DatasetClass(DOG, 1, DOG)], "imagenet", source="imagenet")
    assert [(i.name, i.display_name) for i in label_map_items(space)] == [(DOG, "dog")]


def test_classes_that_the_tree_left_out_are_told_or_rejected(tmp_path):
    from wordtree.build import build_tree
    from wordtree.tree_formats import tree_text
    from wordtree.wordnet import load_wordnet

    girl = "n10084295"
    built = build_tree(load_wordnet(), [DOG, girl])
    assert [left.wnid for left in built.left_out] == [girl]
    (tmp_path / "x.tree").write_text(tree_text(built.tree))
    classes = [DatasetClass(key=wnid, id=at, label=wnid) for at, wnid in enumerate((DOG, girl), 1)]
    with pytest.raises(LabelError, match=rf"no node for '{girl} .*--include-person.*--on-unknown-class reject"):
        resolve_classes(classes, "imagenet", source="imagenet", tree_path=str(tmp_path / "x.tree"))
    space = resolve_classes(
        classes, "imagenet", source="imagenet", tree_path=str(tmp_path / "x.tree"), on_unknown="reject"
    )
    assert (list(space.classes), space.dropped) == ([DOG], (girl,))


@pytest.mark.parametrize(
    ("spec", "label", "hint"),
    [
        ("coco", "Dog", "did you mean 'dog'?"),
        ("coco", "traffic_light", "did you mean 'traffic light'?"),
        ("voc", "Bicycle", "did you mean 'bicycle'?"),
        ("imagenet", f"{DOG}-dog", f"did you mean '{DOG}'?"),
        ("imagenet", "Dog", "did you mean 'n02084071'"),
        ("openimages", "hot Dog", "did you mean '"),
    ],
)
def test_a_label_that_is_nearly_one_gets_a_hint(spec: str, label: str, hint: str) -> None:
    with pytest.raises(LabelError) as caught:
        resolve_classes([DatasetClass("1", 1, label)], spec, source="coco")
    assert f"does not know '{label}' ({hint}" in str(caught.value)


def test_rejecting_all_classes_is_no_advice(table: str, tmp_path: Path) -> None:
    unknown = [DatasetClass("1", 1, "zweep"), DatasetClass("2", 2, "blorb")]
    with pytest.raises(LabelError, match="--on-unknown-class reject"):
        resolve_classes([*unknown, *CLASSES], table, source="coco")
    with pytest.raises(LabelError) as caught:
        resolve_classes(unknown, table, source="coco", on_unknown="reject")
    assert "--on-unknown-class" not in str(caught.value)
    path = tmp_path / "cats.tree"
    path.write_text(f"{CAT} -1\n")
    with pytest.raises(LabelError, match="has no node for") as caught:
        resolve_classes(CLASSES, table, source="coco", tree_path=str(path), on_unknown="reject")
    assert "--on-unknown-class" not in str(caught.value)
