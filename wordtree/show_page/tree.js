"use strict";
const began = performance.now();
const read = id => JSON.parse(document.getElementById(id).textContent);
const $ = id => document.getElementById(id);
const D = read("data");
const N = D.names.length, words = D.words || D.names, parent = D.parent;
const ROW = 26, INDENT = 18, MOST_HITS = 100;
const say = n => n.toLocaleString("en");
const make = (tag, className, text) => {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
};

// What follows from the parents. Siblings stand side by side, and parents before their children.
const first = new Int32Array(N).fill(-1), width = new Int32Array(N), size = new Int32Array(N).fill(1);
const leaves = new Int32Array(N), depth = new Int32Array(N);
let roots = 0;
for (let i = 0; i < N; i++) {
  const p = parent[i];
  if (p < 0) { roots++; continue; }
  if (first[p] < 0) first[p] = i;
  width[p]++;
  depth[i] = depth[p] + 1;
}
for (let i = N - 1; i >= 0; i--) {
  if (!width[i]) leaves[i] = 1;
  if (parent[i] >= 0) { size[parent[i]] += size[i]; leaves[parent[i]] += leaves[i]; }
}
const counts = D.counts.map(({name, own}) => {
  const all = Float64Array.from(own);
  for (let i = N - 1; i >= 0; i--) if (parent[i] >= 0) all[parent[i]] += all[i];
  return {name, own, all, log: Math.log1p(all.reduce((a, b) => Math.max(a, b), 1))};
});
const weight = new Float64Array(N);
counts.forEach(c => c.all.forEach((v, i) => { weight[i] += v; }));
const byName = new Map(D.names.map((name, i) => [name, i]));
const named = new Map();  // node -> [[space, label, relation]]
D.spaces.forEach(({name, labels}) => labels.forEach(([node, label, relation]) => {
  if (!named.has(node)) named.set(node, []);
  named.get(node).push([name, label, relation]);
}));
const cutUp = new Map(), cutDown = new Map();  // is-a relations that the tree leaves out, both ways
D.cut.forEach(([child, hypernym]) => {
  for (const [map, key, value] of [[cutUp, child, hypernym], [cutDown, hypernym, child]])
    map.has(key) ? map.get(key).push(value) : map.set(key, [value]);
});
const pathOf = i => { const path = []; for (; i >= 0; i = parent[i]) path.push(i); return path.reverse(); };
const isBelow = (i, top) => { while (i > top) i = parent[i]; return i === top; };

// The rows: one list of the nodes that are in sight; only those in the window have elements.
const open = new Uint8Array(N);
let rows = [], rowOf = new Map(), picked = -1, sort = "order", used = false;
const tree = $("tree"), space = $("rows"), told = $("told");

function children(i) {
  const from = i < 0 ? 0 : first[i], count = i < 0 ? roots : width[i];
  let list = Array.from({length: count}, (_, k) => from + k);
  if (used) list = list.filter(k => weight[k] > 0);
  if (sort === "name") list.sort((a, b) => words[a].localeCompare(words[b], "en") || a - b);
  if (sort === "count") list.sort((a, b) => weight[b] - weight[a] || a - b);
  return list;
}
function list() {
  rows = [];
  rowOf = new Map();
  const stack = children(-1).reverse();
  while (stack.length) {
    const i = stack.pop();
    rowOf.set(i, rows.length);
    rows.push(i);
    if (open[i] && width[i]) { const below = children(i); for (let k = below.length - 1; k >= 0; k--) stack.push(below[k]); }
  }
  space.style.height = rows.length * ROW + "px";
  draw();
}
function draw() {
  const from = Math.max(0, Math.floor(tree.scrollTop / ROW) - 8);
  const to = Math.min(rows.length, Math.ceil((tree.scrollTop + tree.clientHeight) / ROW) + 8);
  const part = document.createDocumentFragment();
  for (let r = from; r < to; r++) part.append(row(rows[r], r));
  space.replaceChildren(part);
  tree.setAttribute("aria-activedescendant", rowOf.has(picked) ? "row" + picked : "");
  told.textContent = say(rows.length) + " of " + say(N) + " nodes in sight" + (D.notes.length ? " · " + D.notes.join(" · ") : "");
}
function row(i, r) {
  const e = make("div", "row" + (i === picked ? " picked" : ""));
  e.id = "row" + i;
  e.dataset.node = i;
  e.style.top = r * ROW + "px";
  e.setAttribute("role", "treeitem");
  e.setAttribute("aria-level", depth[i] + 1);
  const p = parent[i];
  e.setAttribute("aria-setsize", p < 0 ? roots : width[p]);
  e.setAttribute("aria-posinset", i - (p < 0 ? 0 : first[p]) + 1);
  e.setAttribute("aria-selected", i === picked);
  if (width[i]) e.setAttribute("aria-expanded", !!open[i]);
  const indent = make("span", "indent");
  indent.style.width = depth[i] * INDENT + "px";
  const fold = make("span", "fold" + (width[i] ? "" : " leaf"));
  e.append(indent, fold, make("span", "word", words[i]));
  if (named.has(i)) { const dot = make("span", "dot"); dot.title = "a label of " + spacesOf(i); e.append(dot); }
  if (D.words) e.append(make("span", "key", D.names[i]));
  if (width[i] && !open[i]) { const below = make("span", "below", "+" + say(size[i] - 1)); below.title = say(size[i] - 1) + " nodes below"; e.append(below); }
  e.append(make("span", "gap"));
  counts.forEach((c, k) => e.append(countCell(c, k, i)));
  return e;
}
function countCell(c, k, i) {
  const e = make("span", "count");
  e.style.setProperty("--tint", `var(--bar${["", "2", "3"][k % 3]})`);
  if (c.all[i]) e.style.setProperty("--part", (100 * Math.log1p(c.all[i]) / c.log).toFixed(1) + "%");
  e.append(make("span", "own", c.own[i] ? say(c.own[i]) : c.all[i] ? "·" : ""), make("span", "all", c.all[i] ? say(c.all[i]) : ""));
  e.title = `${c.name}: ${say(c.own[i])} here, ${say(c.all[i])} with all below`;
  return e;
}
const spacesOf = i => [...new Set(named.get(i).map(n => n[0]))].join(", ");

function toggle(i, to) {
  if (!width[i]) return;
  open[i] = to === undefined ? !open[i] : to;
  list();
}
function pick(i, {link = true, center = false} = {}) {
  picked = i;
  let changed = false;
  for (const a of pathOf(i).slice(0, -1)) if (!open[a]) { open[a] = 1; changed = true; }
  if (used && !weight[i]) { used = $("used").checked = false; changed = true; }
  if (changed) list();
  const top = rowOf.get(i) * ROW;
  if (center && (top < tree.scrollTop + ROW || top > tree.scrollTop + tree.clientHeight - 2 * ROW))
    tree.scrollTop = top - tree.clientHeight / 3;
  else if (top < tree.scrollTop) tree.scrollTop = top;
  else if (top + ROW > tree.scrollTop + tree.clientHeight) tree.scrollTop = top + ROW - tree.clientHeight;
  draw();
  details(i);
  $("details").scrollTop = 0;
  if (link) history.replaceState(null, "", "#n=" + encodeURIComponent(D.names[i]));
}
