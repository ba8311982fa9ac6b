"""A tree as one HTML file that needs no network: fold, search, counts, and images of each node.

The page's style and script are the files in `show_page/`. Rows are drawn as they come into sight, so that a tree of
82,000 nodes opens at once too.
"""

from __future__ import annotations

import base64
import html
import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from wordtree.show_data import ShownImage, TreeData
from wordtree.tree import WordTree

if TYPE_CHECKING:
    from wordtree.files import TreeDirectory

MOST_SYNONYMS = 6
SCRIPTS = ("tree.js", "details.js", "search.js", "page.js")  # one after another: one script


def tree_html(shown: TreeDirectory | WordTree, data: TreeData | None = None, *, title: str = "WordTree") -> str:
    """The page.

    Args:
        shown: a tree; from a tree directory, the page also tells labels and is-a relations that the tree leaves out.
        data: counts and images to show at the nodes.
        title: heading and window title.
    """
    tree = shown if isinstance(shown, WordTree) else shown.tree
    data = data or TreeData()
    content = _content(tree, data) | {"spaces": [], "cut": []}
    if not isinstance(shown, WordTree):
        content["spaces"] = [
            {"name": name, "labels": [[label.node, label.label, label.relation] for label in labels]}
            for name, labels in shown.spaces.items()
        ]
        content["cut"] = [[tree.index(edge.child), tree.index(edge.hypernym)] for edge in shown.cut_edges]
    facts = (
        f"{len(tree):,} nodes · {int(tree.is_leaf.sum()):,} leaves · {tree.num_groups:,} groups · "
        f"depth {tree.max_depth} · {tree.digest()[:12]}"
    )
    parts = {
        "TITLE": html.escape(title),
        "FACTS": html.escape(facts),
        "STYLE": _asset("page.css"),
        "SCRIPT": "\n".join(_asset(name) for name in SCRIPTS),
        "DATA": _json(content),
        "IMAGES": _json([_image(image) for image in data.images]),
    }
    # In one pass: what is put in may hold such a mark itself.
    return re.sub(r"@([A-Z]+)@", lambda mark: parts[mark[1]], _asset("page.html"))


def _content(tree: WordTree, data: TreeData) -> dict[str, Any]:
    return {
        "names": tree.names,
        "words": tree.display_names if tree.display_names != tree.names else None,
        "also": _synonyms(tree),
        "parent": tree.parent.tolist(),
        "counts": [{"name": name, "own": own} for name, own in data.counts.items()],
        "images": data.images_per_node,
        "notes": data.notes,
    }


def _synonyms(tree: WordTree) -> list[str] | None:
    """Other words of each node's synset, joined by |; None if no name is a wnid."""
    from wordtree.wordnet import load_wordnet

    wordnet = load_wordnet()
    if not any(name in wordnet for name in tree.names):
        return None
    return [
        "|".join([word for word in wordnet.lemmas(name) if word != shown][:MOST_SYNONYMS]) if name in wordnet else ""
        for name, shown in zip(tree.names, tree.display_names, strict=True)
    ]


def _image(image: ShownImage) -> dict[str, Any]:
    return {
        "name": image.name,
        "src": f"data:image/{image.format};base64,{base64.b64encode(image.encoded).decode()}",
        "width": image.width,
        "height": image.height,
        "boxes": image.boxes,
        "labels": image.labels,
    }


def _json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _asset(name: str) -> str:
    return (files("wordtree") / "show_page" / name).read_text(encoding="utf-8")
