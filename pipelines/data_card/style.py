"""The card's style sheet: one set of variables for light, one for dark; meaning is never in colour alone."""

from __future__ import annotations

_LIGHT = """--ink: #1b2430; --soft: #5c6878; --line: #dde3ea; --page: #f5f7f9; --card: #ffffff;
  --accent: #0b63b5; --warn: #8a5a00; --box: #ff3d71;
  --c0: #0b63b5; --c1: #c2570c; --c2: #1a7440; --c3: #8e44ad; --c4: #b08900; --c5: #b3261e; --c6: #0f8b8d;
  --c7: #6a7683;"""
_DARK = """--ink: #e6eaf0; --soft: #9dabbc; --line: #313a46; --page: #0f1318; --card: #171d24;
  --accent: #6cb2f5; --warn: #e0b04a; --box: #ff5c8a;
  --c0: #5aa5ee; --c1: #f0965a; --c2: #63c98b; --c3: #c79ae0; --c4: #e0c04a; --c5: #f2857d; --c6: #56c9cb;
  --c7: #9dabbc;"""

STYLE = (
    f":root {{ color-scheme: light dark; {_LIGHT} }}\n"
    f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}\n"
    """
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 4.6rem; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
header { position: sticky; top: 0; z-index: 3; background: var(--card); border-bottom: 1px solid var(--line);
  padding: .75rem max(1.2rem, calc(50vw - 36rem)) .5rem; }
h1 { font-size: 1.2rem; margin: 0; overflow-wrap: anywhere; }
h1 small { font-weight: 400; color: var(--soft); margin-left: .5rem; font-size: .9rem; }
h2 { font-size: 1.2rem; margin: 0 0 .25rem; }
h3 { font-size: .98rem; margin: 1.5rem 0 .4rem; }
h4 { font-size: .86rem; margin: 0 0 .35rem; font-weight: 600; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; margin-top: .25rem; font-size: .87rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: .2rem; }
main { max-width: 72rem; margin: 0 auto; padding: 1.2rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .8rem; padding: 1.1rem 1.35rem 1.25rem;
  margin-bottom: 1.1rem; }
p { margin: .35rem 0 .6rem; max-width: 62rem; }
.note { color: var(--soft); font-size: .87rem; }
.warn { border-left: 3px solid var(--warn); padding: .4rem .8rem; background: var(--page); border-radius: .2rem; }
code { font-family: ui-monospace, "Cascadia Mono", Menlo, monospace; font-size: .86em; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.4rem, 1fr)); gap: .7rem;
  margin: .9rem 0 1rem; }
.spaced { margin-top: 1rem; }
.tile { background: var(--page); border-radius: .6rem; padding: .6rem .8rem .65rem; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.25; font-weight: 650; font-variant-numeric: tabular-nums;
  letter-spacing: -.01em; }
.tile span { color: var(--soft); font-size: .82rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(23rem, 100%), 1fr)); gap: 1.1rem 1.6rem; }
.grid.three { grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr)); }
figure { margin: 0; min-width: 0; }
figcaption { color: var(--soft); font-size: .84rem; margin-top: .15rem; }
.scroll { overflow-x: auto; }
.wide { background: linear-gradient(var(--card), var(--card)) right / 1.4rem 100% no-repeat local,
  linear-gradient(to left, var(--line), transparent) right / .9rem 100% no-repeat scroll; }
.wide thead th { white-space: normal; overflow-wrap: anywhere; min-width: 4.4rem; max-width: 8rem; }
.wide .bar { width: 12%; min-width: 4rem; }
.wide .name, .wide thead th:first-child { position: sticky; left: 0; background: var(--card); max-width: none; }
table { border-collapse: collapse; font-size: .89rem; width: 100%; }
th, td { text-align: left; padding: .26rem .8rem .26rem 0; border-bottom: 1px solid var(--line);
  vertical-align: middle; }
td:last-child, th:last-child { padding-right: 0; }
thead th { color: var(--soft); font-weight: 500; font-size: .8rem; vertical-align: bottom; white-space: nowrap; }
tbody th { font-weight: 500; overflow-wrap: anywhere; }
.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tbody th small, td small { color: var(--soft); font-weight: 400; white-space: nowrap; }
.name { min-width: 10rem; }
.bar { min-width: 8rem; width: 34%; }
.bar i { display: block; height: .72rem; border-radius: .15rem; background: var(--c0); min-width: 1px; }
.bar i + i { background: var(--c1); margin-top: 2px; }
.plot { width: 100%; height: auto; display: block; overflow: visible; }
.gridline { stroke: var(--line); }
.axis { stroke: var(--soft); stroke-opacity: .6; }
.mark { stroke: var(--soft); stroke-dasharray: 3 4; }
.tick { fill: var(--soft); font-size: 12px; font-family: inherit; }
.plot path { fill: none; stroke-width: 2.4; stroke-linejoin: round; stroke-linecap: round; }
.legend { display: flex; flex-wrap: wrap; gap: .15rem 1.1rem; font-size: .85rem; padding: 0; margin: .4rem 0 0;
  list-style: none; }
.legend i { display: inline-block; width: .75rem; height: .75rem; border-radius: .15rem; margin-right: .4rem;
  vertical-align: -.06rem; }
.stack { display: flex; height: 1.35rem; border-radius: .35rem; overflow: hidden; background: var(--page); gap: 2px; }
.stack i { display: block; min-width: 2px; }
.pictures { display: flex; flex-wrap: wrap; gap: .7rem; margin: .6rem 0; }
.pictures figure { width: 10.2rem; }
.pictures.small figure { width: 8.2rem; }
.pictures .frame { border: 1px solid var(--line); border-radius: .45rem; overflow: hidden; background: var(--page);
  height: 8.2rem; display: flex; align-items: center; justify-content: center; }
.pictures.small .frame { height: 6.4rem; }
.pictures svg { max-width: 100%; max-height: 100%; width: 100%; height: 100%; display: block; }
.pictures .frame p { color: var(--soft); font-size: .78rem; padding: .4rem .6rem; margin: 0; text-align: center;
  overflow-wrap: anywhere; }
.pictures figcaption { font-size: .77rem; overflow: hidden; text-overflow: ellipsis; display: -webkit-box;
  -webkit-line-clamp: 2; -webkit-box-orient: vertical; overflow-wrap: anywhere; line-height: 1.35; }
.pictures rect { fill: none; stroke: var(--box); stroke-width: 2px; vector-effect: non-scaling-stroke; }
details > summary { cursor: pointer; color: var(--soft); font-size: .84rem; margin-top: .35rem; }
details.more > summary { color: var(--accent); }
.tree, .tree ul { list-style: none; margin: 0; padding-left: 1.1rem; }
.tree { padding-left: 0; }
.tree ul { border-left: 1px solid var(--line); margin-left: .3rem; }
.tree summary { color: inherit; font-size: .92rem; margin: 0; padding: .1rem 0; }
.tree .leaf { padding: .1rem 0 .1rem 1.05rem; font-size: .92rem; }
.tree .tag { color: var(--soft); font-size: .8rem; margin-left: .55rem; font-variant-numeric: tabular-nums; }
.tree .tag b { color: var(--ink); font-weight: 550; }
.reason { border-top: 1px solid var(--line); padding-top: .7rem; margin-top: .8rem; }
.reason h4 .num { color: var(--soft); font-weight: 400; margin-left: .5rem; }
.reason ul { margin: .2rem 0; padding-left: 1.1rem; font-size: .85rem; color: var(--soft); overflow-wrap: anywhere; }
#find { font: inherit; font-size: .88rem; color: inherit; background: transparent; width: 17rem; max-width: 100%;
  padding: .22rem .7rem; border: 1px solid var(--line); border-radius: 1rem; margin: .3rem 0 .5rem; }
footer { color: var(--soft); font-size: .84rem; max-width: 72rem; margin: 0 auto; padding: 0 1.4rem 2rem; }
@media (max-width: 40rem) { header { position: static; } section { padding: .9rem; } }
@media print { .scroll { overflow: visible; } .wide { font-size: .8em; } }
@media print { header { position: static; } body { background: none; } #find, nav { display: none; }
  section { border: 0; padding: .4rem 0; break-inside: auto; } figure, tr, .tile { break-inside: avoid; } }
"""
)

SCRIPT = """
const find = document.getElementById("find");
if (find) {
  const rows = [...document.querySelectorAll("#classes-table tbody tr")];
  find.hidden = false;
  find.addEventListener("input", () => {
    const word = find.value.trim().toLowerCase();
    const all = find.closest("section").querySelector("details.all");
    if (word && all) all.open = true;
    for (const row of rows) row.hidden = word !== "" && !row.firstElementChild.textContent.toLowerCase().includes(word);
  });
}
addEventListener("beforeprint", () => document.querySelectorAll("details.more").forEach((one) => { one.open = true; }));
"""
