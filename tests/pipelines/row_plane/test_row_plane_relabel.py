"""New concepts, nodes and confidences, against a slow loop over the records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.row_plane.confidences import read_confidences
from pipelines.row_plane.relabel import RelabelOptions, relabel
from schemas.arrow import annotations_table
from schemas.errors import FormatError, InputError, LabelError
from schemas.label_map import parse_label_map
from schemas.record import ImageRecord
from tests.pipelines.row_plane_datasets import box, image, label, rejects, rich_records, rows, write_dataset

NEW = {"dog": "n02083346", "Spätzle": "n07695965"}  # canine; noodles by another wnid; no cat


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    more = [
        image("only-cat", labels=[label(2), label(2, source="people")]),
        image("cat-box", boxes=[box(2)]),
        image("nothing", labels=[]),
    ]
    return write_dataset(tmp_path / "data", [*rich_records(), *more])


@pytest.fixture
def new_map(tmp_path: Path) -> str:
    path = tmp_path / "labels.tsv"
    path.write_text("label\twnid\n" + "".join(f"{name}\t{wnid}\n" for name, wnid in NEW.items()))
    return str(path)


def all_records() -> list[ImageRecord]:
    more = [image("only-cat", labels=[label(2), label(2, source="people")]), image("cat-box", boxes=[box(2)])]
    return [*rich_records(), *more, image("nothing", labels=[])]


def rows_of(records: Sequence[ImageRecord]) -> list[dict[str, Any]]:
    return annotations_table(records).to_pylist()


def expected_rows(records: Sequence[ImageRecord]) -> list[dict[str, Any]]:
    """The rows of records that know no cat; each keeps the number that it had."""
    return [{**row, "wnid": NEW[row["label"]]} for row in rows_of(records) if row["label"] != "cat"]


def in_shard_order(records: Sequence[ImageRecord], shards: int = 3) -> list[ImageRecord]:
    return [record for number in range(shards) for record in records[number::shards]]


def test_a_new_map_rewrites_rows_and_rejects_what_it_does_not_know(dataset: Path, tmp_path: Path, new_map: str) -> None:
    out = tmp_path / "out"
    manifest = relabel(str(dataset), str(out), RelabelOptions(labels=new_map, on_unknown_class="reject")).manifest
    found = [{name: value for name, value in row.items() if name != "origin"} for row in rows(out, "annotations")]
    assert found == expected_rows(in_shard_order(all_records()))
    lost = [row for row in rows_of(all_records()) if row["label"] == "cat"]
    told = sorted((r["kind"], r["image_id"], r["reason"]) for r in rejects(out))
    want = [(row["kind"], row["image_id"], f"{row['kind']}:unknown_class") for row in lost]
    want.append(("image", "only-cat", "image:no_label"))
    assert told == sorted(want)
    assert {r["found"] for r in rejects(out)} == {"class 'cat'", "none of its labels is kept"}
    counts = manifest.counts
    assert (counts.images_in, counts.images_written, counts.images_rejected) == (46, 45, 1)
    assert counts.annotations_in == counts.annotations_written + counts.annotations_rejected
    assert counts.annotations_rejected == len(lost)
    assert [(entry.id, entry.label, entry.wnid) for entry in manifest.classes] == [
        (1, "dog", NEW["dog"]),
        (7, "Spätzle", NEW["Spätzle"]),
    ]
    assert [item.name for item in parse_label_map((out / "labels.pbtxt").read_text())] == list(NEW.values())
    index = {row["image_id"]: row for row in rows(out, "index")}
    assert "only-cat" not in index
    assert index["cat-box"]["has_boxes"] is True, "it is background now"
    assert "nothing" in index, "it had no label before"
    assert index["everything"]["not_exhaustive"] == "[7]"


def test_unknown_classes_end_the_run_unless_told_otherwise(dataset: Path, tmp_path: Path, new_map: str) -> None:
    with pytest.raises(LabelError, match="does not know 'cat' of the dataset's 3 classes"):
        relabel(str(dataset), str(tmp_path / "out"), RelabelOptions(labels=new_map))
    assert not (tmp_path / "out").exists()


def test_a_tree_that_knows_no_class_is_not_met_by_advice_that_was_taken(dataset: Path, tmp_path: Path) -> None:
    tree = tmp_path / "t.tree"
    tree.write_text("n02374451 -1\n")
    for action in ("error", "reject"):
        with pytest.raises(LabelError, match="no node for 3 of 3 classes") as caught:
            relabel(str(dataset), str(tmp_path / "out"), RelabelOptions(tree=str(tree), on_unknown_class=action))
        assert "--on-unknown-class" not in str(caught.value)


def test_the_same_dataset_by_another_path_is_the_same(
    dataset: Path, tmp_path: Path, new_map: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for data, table in ((dataset, new_map), (dataset.name, Path(new_map).name), (f"./{dataset.name}", new_map)):
        done = relabel(str(data), "out", RelabelOptions(labels=str(table), on_unknown_class="reject"))
    assert done.was_complete


def test_a_new_tree_gives_nodes_and_the_old_concepts_stay(dataset: Path, tmp_path: Path) -> None:
    from wordtree.files import read_tree

    tree = tmp_path / "t.tree"
    tree.write_text("n00001740 -1\nn02084071 0\nn02121620 0\n")
    with pytest.raises(LabelError, match=r"no node for 1 of 3 classes: 'Spätzle' \(n07803545\)"):
        relabel(str(dataset), str(tmp_path / "out"), RelabelOptions(tree=str(tree)))
    out = tmp_path / "out"
    options = RelabelOptions(tree=str(tree), on_unknown_class="reject")
    manifest = relabel(str(dataset), str(out), options).manifest
    assert manifest.tree_digest == read_tree(str(tree)).digest()
    assert [(entry.label, entry.wnid, entry.node) for entry in manifest.classes] == [
        ("dog", "n02084071", 1),
        ("cat", "n02121620", 2),
    ]
    assert {row["label"] for row in rows(out, "annotations")} == {"dog", "cat"}
    assert {r["reason"] for r in rejects(out)} == {"box:unknown_class", "label:unknown_class", "image:no_label"}


def test_factors_by_class_and_source_the_most_exact_line_first(dataset: Path, tmp_path: Path) -> None:
    table = tmp_path / "factors.tsv"
    lines = [
        ("label", "source", "factor", "kind"),
        ("*", "*", "0.5", "*"),
        ("Spätzle", "*", "3", "*"),
        ("Spätzle", "machine", "0.1", "label"),
        ("*", "machine", "0.2", "box"),
        ("no such class", "*", "1", "*"),
    ]
    table.write_text("".join("\t".join(line) + "\n" for line in lines))
    done = relabel(str(dataset), str(tmp_path / "out"), RelabelOptions(confidences=str(table)))

    def factor(row: dict[str, Any]) -> float:
        for name, source, number, kind in lines[1:][::-1]:
            exact = (name in ("*", row["label"]), source in ("*", row["source"]), kind in ("*", row["kind"]))
            if all(exact) and (name, source) != ("*", "*"):
                return float(number)
        return 0.5

    old = rows(dataset, "annotations")
    want = [float(np.float32(min(1.0, row["confidence"] * factor(row)))) for row in old]
    assert [row["confidence"] for row in rows(tmp_path / "out", "annotations")] == want
    assert done.unused_lines == 1
    cut = sum(row["confidence"] * factor(row) > 1 for row in old)
    assert cut > 0
    assert done.manifest.counts.fixed_by_reason == {"annotation:confidence_cut": cut}


def test_confidences_of_single_statements(dataset: Path, tmp_path: Path) -> None:
    table = tmp_path / "values.tsv"
    table.write_text("label\timage_id\tconfidence\nSpätzle\tlabelled\t0.75\ncat\tcat-box\t0.125\ncat\tnowhere\t1\n")
    done = relabel(str(dataset), str(tmp_path / "out"), RelabelOptions(confidences=str(table)))
    new = {("labelled", "Spätzle"): 0.75, ("cat-box", "cat"): 0.125}
    want = [
        {**r, "confidence": new.get((r["image_id"], r["label"]), r["confidence"])} for r in rows(dataset, "annotations")
    ]
    assert [{k: v for k, v in r.items() if k != "origin"} for r in rows(tmp_path / "out", "annotations")] == want
    assert done.unused_lines == 1
    told = json.loads((tmp_path / "out" / "manifest.json").read_text())["options"]
    assert [Path(path).name for path in told["inputs"]] == ["values.tsv"]
    assert told["of"]["path"] == str(dataset)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label\tfactor\nx\t1\n", "found columns label, factor; expected label, source, factor or"),
        ("label,source,factor\nx,y,1\n", "found columns label,source,factor; expected"),
        ("label\tsource\tfactor\nx\ty\t-1\n", "line 2: found -1; expected a factor of 0 or more"),
        ("label\tsource\tfactor\nx\ty\tnan\n", "line 2: found nan; expected a factor"),
        ("image_id\tlabel\tconfidence\nx\ty\t1.5\n", "line 2: found 1.5; expected a confidence in 0 to 1"),
        ("image_id\tlabel\tconfidence\nx\ty\tlots\n", "expected tabs between cells"),
        ("label\tsource\tfactor\tkind\nx\ty\t1\tboxes\n", "line 2: kind is 'boxes'"),
        ("label\tsource\tfactor\nx\ty\t1\na\tb\t1\nx\ty\t2\n", "line 4: says the same as line 2"),
        ("", "expected tabs between cells"),
    ],
)
def test_a_table_that_is_none_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.tsv"
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        read_confidences(str(path))
    with pytest.raises(InputError, match="does not exist"):
        read_confidences(str(tmp_path / "none.tsv"))
