"""The report's style sheet: one set of variables for light, one for dark; meaning is never in colour alone."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1b2430; --soft: #5c6878; --line: #d9dfe7; --page: #f6f8fa; --card:
  #ffffff; --accent: #0b63b5; --boxes: #0b63b5; --labels: #c2570c; --good: #1a7440; --warn: #8a5a00; --bad: #b3261e;
  --meter: #cfe2f5; --meter-un: #f6d9c2; --hit: #ffe9a8; --c0: #1b2430; --c1: #0b63b5; --c2: #c2570c; --c3: #1a7440;
  --c4: #8e44ad; --c5: #b08900; --c6: #b3261e; --c7: #0f8b8d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9dabbc; --line: #313a46; --page: #0f1318;
  --card: #171d24; --accent: #6cb2f5; --boxes: #5aa5ee; --labels: #f0965a; --good: #63c98b; --warn: #e0b04a; --bad:
  #f2857d; --meter: #214263; --meter-un: #5d3a1f; --hit: #6b5510; --c0: #e6eaf0; --c1: #5aa5ee; --c2: #f0965a; --c3:
  #63c98b; --c4: #c79ae0; --c5: #e0c04a; --c6: #f2857d; --c7: #56c9cb; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 6.2rem; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.55 system-ui, "Segoe UI", sans-serif; }
header { position: sticky; top: 0; z-index: 2; background: var(--card); border-bottom: 1px solid var(--line);
  padding: .8rem max(1.2rem, calc(50vw - 34rem)) .5rem; }
h1 { font-size: 1.25rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 .7rem; }
h3 { font-size: 1rem; margin: 1.3rem 0 .3rem; }
nav { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; margin-top: .3rem; font-size: .88rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: .2rem; }
main { max-width: 68rem; margin: 0 auto; padding: 1.2rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .7rem; padding: 1.1rem 1.3rem
  1.2rem; margin-bottom: 1.2rem; }
p { margin: .5rem 0; }
code, pre, .key { font-family: ui-monospace, "Cascadia Mono", Menlo, monospace; font-size: .86em; }
pre { overflow: auto; max-height: 32rem; padding: .8rem; background: var(--page); border-radius: .4rem; }
.note, .key, small { color: var(--soft); }
.note { font-size: .88rem; }
.missing { border-left: 3px solid var(--warn); padding: .4rem .8rem; background: var(--page); border-radius: .2rem;
  }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem; list-style: none;
  padding: 0; margin: 0 0 .8rem; }
.cards li { display: flex; flex-direction: column; border: 1px solid var(--line); border-radius: .6rem; padding:
  .7rem .9rem; background: var(--page); }
.cards b { font-size: 1.65rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .28rem .55rem; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--soft); font-weight: 500; font-size: .8rem; vertical-align: bottom; }
tbody th { font-weight: 500; }
.group th { padding-top: .9rem; font-weight: 650; }
.group td { padding-top: .9rem; }
.num { text-align: right; font-variant-numeric: tabular-nums; }
.wide { min-width: 6.5rem; position: relative; }
.path .key { white-space: nowrap; opacity: .8; }
td.path { color: var(--soft); font-size: .86em; overflow-wrap: anywhere; min-width: 9rem; }
.meter { position: absolute; inset: .2rem auto .2rem .3rem; width: calc((100% - .6rem) * var(--v)); background:
  var(--meter); border-radius: .2rem; z-index: 0; }
.unboxed .meter { background: var(--meter-un); }
td.wide { isolation: isolate; }
td.wide .meter { z-index: -1; }
.plot { width: 100%; height: auto; display: block; }
.plot path { fill: none; stroke-width: 2; stroke-linejoin: round; }
.plot path.total { stroke-width: 2.8; }
.plot path.raw { stroke-width: 1; opacity: .28; }
.grid { stroke: var(--line); }
.tick { fill: var(--soft); font-size: 11px; }
.name { fill: var(--ink); font-size: 13px; }
.cursor { stroke: var(--soft); }
rect.boxes { fill: var(--boxes); }
rect.labels { fill: var(--labels); }
path.boxes { stroke: var(--boxes); }
path.labels { stroke: var(--labels); }
.legend span::before { content: ""; display: inline-block; width: .8rem; height: .8rem; border-radius: .15rem;
  margin: 0 .35rem 0 .9rem; vertical-align: -.08rem; background: var(--boxes); }
.legend .labels::before { background: var(--labels); }
.legend span:first-child::before { margin-left: 0; }
.keys { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; font-size: .88rem; }
.keys i { display: inline-block; width: .8rem; height: .8rem; border-radius: .15rem; margin-right: .35rem;
  vertical-align: -.08rem; }
.inside { fill: var(--card); font-size: 11px; }
h4 { font-size: .95rem; margin: 1rem 0 .2rem; }
figure { margin: 0; }
.curves figcaption { display: flex; flex-wrap: wrap; gap: .35rem; align-items: center; margin-top: .4rem; }
.at { min-width: 6.5rem; font-variant-numeric: tabular-nums; }
button { font: inherit; font-size: .86rem; color: inherit; background: transparent; border: 1px solid var(--line);
  border-radius: 1rem; padding: .12rem .7rem; cursor: pointer; }
button:hover { border-color: var(--soft); }
button[aria-pressed="false"] { color: var(--soft); }
.filter button[aria-pressed="true"] { border-color: var(--accent); color: var(--accent); }
.curves button[aria-pressed="false"] { text-decoration: line-through; }
button i { display: inline-block; width: .7rem; height: .7rem; border-radius: 50%; margin-right: .35rem;
  vertical-align: -.05rem; }
output { color: var(--soft); font-variant-numeric: tabular-nums; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; margin-top:
  .8rem; }
.pictures figure { border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; background: var(--page); }
.pictures figure[hidden] { display: none; }
.pictures img { width: 100%; display: block; }
.pictures figcaption { padding: .45rem .7rem .6rem; font-size: .85rem; overflow-wrap: anywhere; }
.pictures ol { margin: .2rem 0 0; padding: 0; list-style: none; color: var(--soft); }
.chip { display: inline-block; border: 1px solid var(--line); border-radius: 1rem; padding: 0 .5rem; font-size:
  .8rem; white-space: nowrap; }
.chip.right, .chip.finer { color: var(--good); }
.chip.coarser { color: var(--warn); }
.chip.wrong, .chip.false, .chip.missed { color: var(--bad); }
.verdicts { list-style: none; padding: 0; margin: .4rem 0; display: grid; gap: .25rem 1.2rem; font-size: .88rem;
  grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); }
#find { font: inherit; color: inherit; background: transparent; width: 19rem; max-width: 100%; padding: .25rem
  .7rem; border: 1px solid var(--line); border-radius: 1rem; }
#tree-rows { padding: 0; }
#tree-rows ul { padding-left: 1.1rem; border-left: 1px solid var(--line); }
#tree-rows, #tree-rows ul { list-style: none; margin: 0; }
#tree-rows summary { cursor: pointer; }
#tree-rows .leaf { padding-left: 1.05rem; }
#tree-rows .key { margin: 0 .4rem; }
.tag { font-size: .8rem; margin-left: .5rem; font-variant-numeric: tabular-nums; color: var(--soft); white-space:
  nowrap; }
.tag.boxes { color: var(--boxes); }
.tag.labels { color: var(--labels); }
.tag.ap { color: var(--ink); border: 1px solid var(--line); border-radius: 1rem; padding: 0 .5rem; background:
  linear-gradient(to right, var(--meter) calc(100% * var(--v)), transparent 0); }
.hit { background: var(--hit); border-radius: .2rem; }
details > summary { cursor: pointer; }
@media print { header { position: static; } section { break-inside: avoid-page; border: 0; } }
"""
