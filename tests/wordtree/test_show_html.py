"""The page of a tree, as text and in a JavaScript engine; what a browser shows is checked by eye."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from wordtree.build import CutEdge
from wordtree.files import TreeDirectory
from wordtree.mapping import PlacedLabel
from wordtree.show_data import ShownImage, TreeData
from wordtree.show_html import tree_html
from wordtree.tree import WordTree


def embedded(page: str, name: str):
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found.group(1))


def test_the_page_needs_no_network_and_holds_tree_counts_labels_and_cut_edges(pets):
    inside = TreeDirectory(pets, (CutEdge("n6", "n4"),), {"zoo": (PlacedLabel("doggy", "n3", 2, "close"),)}, {})
    page = tree_html(inside, TreeData({"boxes": [1, 2, 3, 4, 5, 6, 7, 8]}, notes=("one",)), title="pets & <more>")
    assert not re.search(r"https?://|<link|@import|url\(|\bfetch\(|XMLHttpRequest|<script [^>]*src", page)
    assert "default-src 'none'" in page
    assert "<title>pets &amp; &lt;more&gt; · WordTree</title>" in page
    assert "8 nodes · 5 leaves · 4 groups · depth 2" in page
    data = embedded(page, "data")
    assert data["words"][2] == "dog"
    assert data["counts"] == [{"name": "boxes", "own": [1, 2, 3, 4, 5, 6, 7, 8]}]
    assert data["spaces"] == [{"name": "zoo", "labels": [[2, "doggy", "close"]]}]
    assert data["cut"] == [[5, 3]]
    assert data["notes"] == ["one"]


def test_the_words_of_a_synset_can_be_searched():
    tree = WordTree(["n02084071", "n02112826"], [-1, 0], ["dog", "corgi"])
    assert embedded(tree_html(tree), "data")["also"] == ["domestic dog|Canis familiaris", "Welsh corgi"]
    assert embedded(tree_html(WordTree(["a"], [-1])), "data")["also"] is None


def test_names_cannot_break_out_of_the_page():
    tree = WordTree(["a", "b"], [-1, 0], ["</script><b>@DATA@@IMAGES@", "<!-- x"])
    page = tree_html(tree, title="@SCRIPT@")
    assert page.count("</script>") == 3
    assert "<title>@SCRIPT@ · WordTree</title>" in page
    assert embedded(page, "data")["words"] == list(tree.display_names)


def test_images_are_data_urls_with_their_boxes(pets):
    image = ShownImage("d: 7", "png", b"\x89PNG", 4, 3, boxes=((2, 0.0, 0.25, 0.5, 1.0),), labels=(3,))
    page = tree_html(pets, TreeData({"boxes": [0, 0, 1, 0, 0, 0, 0, 0]}, (image,), 8))
    assert embedded(page, "data")["images"] == 8
    assert embedded(page, "images") == [
        {
            "name": "d: 7",
            "src": "data:image/png;base64,iVBORw==",
            "width": 4,
            "height": 3,
            "boxes": [[2, 0.0, 0.25, 0.5, 1.0]],
            "labels": [3],
        }
    ]


DOCUMENT = """
const elements = {};
const element = () => ({
  dataset: {}, style: {setProperty() {}}, classList: {contains: () => false}, clientHeight: 600, scrollTop: 0,
  value: "", children: [], hidden: false, textContent: "", append(...x) { this.children.push(...x); },
  replaceChildren(...x) { this.children = x.flatMap(y => y.fragment ? y.children : [y]); }, setAttribute() {},
  removeAttribute() {}, addEventListener(name, f) { this["on" + name] = f; }, focus() {}, insertRow: () => element(),
  before() {}, querySelectorAll: () => [], scrollIntoView() {}});
const document = {
  getElementById: id => elements[id] ??= element(), createElement: element, activeElement: {tagName: "BODY"},
  createDocumentFragment: () => Object.assign(element(), {fragment: true}), addEventListener() {},
  documentElement: element()};
const location = {hash: process.argv[2] || ""}, history = {replaceState() {}}, matchMedia = () => ({matches: false});
const addEventListener = () => {}, Option = function (text, value) { return {text, value}; };
elements.data = {textContent: process.env.DATA};
elements.images = {textContent: "[]"};
"""


def run_script(page, tmp_path, ask, link=""):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = page.rsplit("<script>", 1)[1].split("</script>")[0]
    (tmp_path / "page.js").write_text(f"{DOCUMENT}{script}\nconsole.log(JSON.stringify({ask}));")
    done = subprocess.run(
        [node, str(tmp_path / "page.js"), link],
        capture_output=True,
        text=True,
        check=False,
        env={"DATA": json.dumps(embedded(page, "data")), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_script_adds_up_counts_and_searches_whole_words_first(pets, tmp_path):
    page = tree_html(pets, TreeData({"boxes": [1, 0, 0, 0, 0, 3, 0, 5]}))
    ask = """{size: [...size], leaves: [...leaves], all: [...counts[0].all], path: pathOf(5),
      below: [isBelow(5, 0), isBelow(7, 0)],
      found: search("h").map(i => words[i]), exact: search("N3"), none: search("xyz"), rows}"""
    assert run_script(page, tmp_path, ask) == {
        "size": [6, 2, 3, 1, 1, 1, 1, 1],
        "leaves": [4, 1, 2, 1, 1, 1, 1, 1],
        "all": [4, 5, 3, 0, 0, 3, 0, 5],
        "path": [0, 2, 5],
        "below": [True, False],
        "found": ["hound", "thing", "chair"],
        "exact": [2],
        "none": [],
        "rows": [0, 2, 5, 6, 3, 4, 1, 7],
    }


def test_the_script_folds_sorts_and_hides_what_is_not_used(pets, tmp_path):
    page = tree_html(pets, TreeData({"boxes": [0, 0, 0, 1, 2, 0, 0, 9]}))
    ask = """(() => { const seen = []; toggle(2, 0); seen.push(rows); sort = "count"; used = true;
      list(); seen.push(rows);
      pick(5); seen.push(rows.includes(5), picked); return seen; })()"""
    assert run_script(page, tmp_path, ask) == [[0, 2, 3, 4, 1, 7], [1, 7, 0, 4, 3], True, 5]


def test_a_link_selects_a_node_by_name_number_or_word(pets, tmp_path):
    page = tree_html(pets)
    assert run_script(page, tmp_path, "picked", "#n=n6") == 5
    assert run_script(page, tmp_path, "picked", "#n=3") == 3
    assert run_script(page, tmp_path, "picked", "#q=bird") == 4
    assert run_script(page, tmp_path, "picked", "#n=nobody") == 0


def test_of_a_large_tree_only_the_rows_in_sight_get_elements(tmp_path):
    size = 9_418
    tree = WordTree([f"x{i}" for i in range(size)], [-1, *[(i - 1) // 40 for i in range(1, size)]])
    ask = "(open.fill(1), list(), [rows.length, elements.rows.children.length, elements.tree === tree])"
    rows, elements, _ = run_script(tree_html(tree), tmp_path, ask)
    assert rows == size
    assert elements < 60
