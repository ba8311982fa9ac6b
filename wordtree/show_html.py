"""A tree as one HTML file that needs no network: fold, search, counts. Rows are drawn late, so 82,000 nodes open."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence

from wordtree.show import Counts, node_counts, subtree_sums
from wordtree.tree import WordTree


def tree_html(
    tree: WordTree, counts: Counts | None = None, *, title: str = "WordTree", marked: Sequence[int] = ()
) -> str:
    """The page.

    Args:
        counts: numbers per node (by name, or N of them), such as images; a bar shows the sum below each node.
        title: heading and window title.
        marked: nodes to set in bold, such as labels.
    """
    own = node_counts(tree, counts)
    data = {
        "names": tree.names,
        "words": tree.display_names if tree.display_names != tree.names else None,
        "parent": tree.parent.tolist(),
        "count": own,
        "total": None if own is None else subtree_sums(tree, own),
        "size": subtree_sums(tree, [1] * len(tree)),
        "marked": sorted(set(marked)),
    }
    # "</" must not appear inside a script element.
    text = (
        json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/").replace("<!--", "<\\u0021--")
    )
    facts = (
        f"{len(tree):,} nodes · {int(tree.is_leaf.sum()):,} leaves · {tree.num_groups:,} groups · "
        f"depth {tree.max_depth} · {tree.digest()[:12]}"
    )
    return _PAGE.replace("@TITLE@", html.escape(title)).replace("@FACTS@", html.escape(facts)).replace("@DATA@", text)


_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>@TITLE@</title>
<style>
  :root { color-scheme: light dark; --ink: #1c2430; --soft: #6b7686; --line: #d5dbe3; --page: #fbfcfd; --hit: #ffe9a8;
          --bar: #7db2e8; }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e4e8ee; --soft: #93a0b2; --line: #38414d; --page: #14181d; --hit: #6b5510; --bar: #38699b; } }
  body { margin: 0 auto; max-width: 62rem; padding: 1.5rem; background: var(--page); color: var(--ink);
         font: 15px/1.5 system-ui, sans-serif; }
  h1 { font-size: 1.35rem; margin: 0; }
  .facts, .key, .num, #told { color: var(--soft); font-size: .82rem; }
  header { position: sticky; top: 0; background: var(--page); padding: .6rem 0; border-bottom: 1px solid var(--line); }
  input { font: inherit; color: inherit; background: transparent; width: 20rem; max-width: 60vw; padding: .25rem .6rem;
          border: 1px solid var(--line); border-radius: .4rem; }
  button { font: inherit; color: inherit; background: transparent; padding: .25rem .7rem; cursor: pointer;
           border: 1px solid var(--line); border-radius: .4rem; }
  ul { list-style: none; margin: 0; padding-left: 1.15rem; border-left: 1px solid var(--line); }
  #tree { border: 0; padding: .8rem 0; }
  summary { cursor: pointer; } summary::marker { color: var(--soft); }
  li > span { padding-left: 1rem; }
  .key { font-family: ui-monospace, monospace; margin-left: .5rem; }
  .num { margin-left: .5rem; }
  .bar { display: inline-block; height: .55rem; border-radius: .2rem; background: var(--bar); margin-left: .5rem; }
  .marked { font-weight: 600; } .hit { background: var(--hit); border-radius: .2rem; }
</style>
</head>
<body>
<h1>@TITLE@</h1>
<div class="facts">@FACTS@</div>
<header>
  <input id="find" type="search" placeholder="search a word or a wnid" aria-label="search" autofocus>
  <button id="fold">fold all</button> <span id="told"></span>
</header>
<ul id="tree"></ul>
<script type="application/json" id="data">@DATA@</script>
<script>
"use strict";
const D = JSON.parse(document.getElementById("data").textContent);
const N = D.names.length, word = i => D.words ? D.words[i] : D.names[i];
const kids = Array.from({length: N}, () => []), roots = [];
D.parent.forEach((p, i) => (p < 0 ? roots : kids[p]).push(i));
const marked = new Set(D.marked), most = D.total ? Math.max(1, ...roots.map(i => D.total[i])) : 1;
const top_ = document.getElementById("tree"), told = document.getElementById("told");
let hits = new Set(), shown = null;

function make(tag, text, kind) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (kind) e.className = kind;
  return e;
}
function line(e, i) {
  e.append(make("span", word(i), (marked.has(i) ? "marked " : "") + (hits.has(i) ? "hit" : "")));
  if (D.words) e.append(make("span", D.names[i], "key"));
  if (kids[i].length) e.append(make("span", (D.size[i] - 1).toLocaleString("en") + " below", "num"));
  if (D.total) {
    e.append(make("span", D.count[i].toLocaleString("en") +
      (kids[i].length ? " · " + D.total[i].toLocaleString("en") + " in all" : ""), "num"));
    const bar = make("span", "", "bar");
    bar.style.width = 9 * D.total[i] / most + "rem";
    e.append(bar);
  }
}
function row(i, open) {
  const li = make("li"), below = kids[i].filter(k => !shown || shown.has(k));
  if (!below.length) { const s = make("span"); line(s, i); li.append(s); return li; }
  const d = make("details"), s = make("summary");
  line(s, i);
  d.append(s);
  const fill = () => {
    if (d.childElementCount > 1) return;
    const ul = make("ul");
    below.forEach(k => ul.append(row(k, open)));
    d.append(ul);
  };
  d.addEventListener("toggle", () => { if (d.open) fill(); });
  if (open) { fill(); d.open = true; }
  li.append(d);
  return li;
}
function draw(open) {
  top_.replaceChildren(...roots.filter(i => !shown || shown.has(i)).map(i => row(i, open)));
}
function search() {
  const text = document.getElementById("find").value.trim().toLowerCase();
  hits = new Set(); shown = null; told.textContent = "";
  if (text.length > 1) {
    for (let i = 0; i < N; i++)
      if (word(i).toLowerCase().includes(text) || D.names[i].toLowerCase() === text) hits.add(i);
    shown = new Set();
    [...hits].slice(0, 300).forEach(i => { for (; i >= 0; i = D.parent[i]) shown.add(i); });
    told.textContent = hits.size.toLocaleString("en") + " found" + (hits.size > 300 ? ", 300 shown" : "");
  }
  draw(shown !== null);
}
let wait = 0;
document.getElementById("find").addEventListener("input", () => {
  clearTimeout(wait); wait = setTimeout(search, 150);
});
document.getElementById("fold").addEventListener("click", () => {
  document.getElementById("find").value = ""; search();
});
draw(N <= 60);
</script>
</body>
</html>
"""
