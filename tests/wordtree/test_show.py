"""Pictures of a tree: text, Graphviz, HTML."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from schemas.errors import LabelError
from wordtree.show import fitting_depth, tree_dot, tree_lines
from wordtree.show_html import tree_html
from wordtree.tree import WordTree


def test_a_tree_as_text(pets):
    assert tree_lines(pets, marked=[3, 5], counts={"n6": 2, "n3": 1000}) == [
        "animal  n1  0 (1,002)",
        "├── dog  n3  1,000 (1,002)",
        "│   ├── terrier  n6 *  2",
        "│   └── hound  n7  0",
        "├── cat  n4 *  0",
        "└── bird  n5  0",
        "thing  n2  0 (0)",
        "└── chair  n8  0",
    ]


def test_depth_root_and_length_are_limited(pets):
    assert tree_lines(pets, max_depth=0) == ["animal  n1  … 5 below", "thing  n2  … 1 below"]
    assert tree_lines(pets, root=2) == ["dog  n3", "├── terrier  n6", "└── hound  n7"]
    assert tree_lines(pets, most=3)[-2:] == ["│   ├── terrier  n6", "… and 5 nodes more"]
    assert [fitting_depth(pets, most) for most in (0, 2, 5, 6, 8)] == [0, 0, 0, 1, 2]


def test_names_that_are_words_already_are_shown_once():
    assert tree_lines(WordTree(["a", "b"], [-1, 0])) == ["a", "└── b"]


def test_wrong_counts_are_refused(pets):
    with pytest.raises(LabelError, match="'n9' is no node"):
        tree_lines(pets, counts={"n9": 1})
    with pytest.raises(ValueError, match="found 1 counts for 8 nodes"):
        tree_lines(pets, counts=[1])


def test_graphviz_text_quotes_names():
    tree = WordTree(["a", "b"], [-1, 0], ['say "a"', "back\\slash"])
    text = tree_dot(tree, marked=[1])
    assert '0 [label="say \\"a\\"", tooltip="a"];' in text
    assert '1 [label="back\\\\slash", tooltip="b", style=filled, fillcolor="#dcecff"];' in text
    assert "  0 -> 1;\n" in text
    assert "0 -> 1" not in tree_dot(tree, root=1)


def test_the_page_needs_no_network_and_holds_the_tree(pets):
    page = tree_html(pets, counts=[1, 2, 3, 4, 5, 6, 7, 8], title="pets & <more>", marked=[2])
    assert not re.search(r"https?://|src=|@import|url\(", page)
    assert "<title>pets &amp; &lt;more&gt;</title>" in page
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data = json.loads(found.group(1))
    assert data["words"][2] == "dog"
    assert data["total"][0] == 1 + 3 + 4 + 5 + 6 + 7
    assert data["marked"] == [2]


def test_names_cannot_break_out_of_the_page():
    page = tree_html(WordTree(["a", "b"], [-1, 0], ["</script><b>@DATA@", "<!-- x"]))
    assert page.count("</script>") == 2
    found = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    assert json.loads(found.group(1))["words"] == ["</script><b>@DATA@", "<!-- x"]


def test_the_pages_script_is_valid_and_builds_the_rows(pets, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = tree_html(pets).rsplit("<script>", 1)[1].split("</script>")[0]
    (tmp_path / "page.js").write_text(script)
    done = subprocess.run([node, "--check", str(tmp_path / "page.js")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
