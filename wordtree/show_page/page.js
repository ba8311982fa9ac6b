// Mouse and keys on the tree.
tree.addEventListener("scroll", () => requestAnimationFrame(draw), {passive: true});
tree.addEventListener("click", event => {
  const e = event.target.closest(".row");
  if (!e) return;
  const i = +e.dataset.node;
  if (event.target.classList.contains("fold") && width[i]) toggle(i); else pick(i);
});
tree.addEventListener("dblclick", event => {
  const e = event.target.closest(".row");
  if (e && !event.target.classList.contains("fold")) toggle(+e.dataset.node);
});
tree.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const r = rowOf.has(picked) ? rowOf.get(picked) : 0, page = Math.max(1, Math.floor(tree.clientHeight / ROW) - 1);
  const to = {ArrowDown: r + 1, ArrowUp: r - 1, Home: 0, End: rows.length - 1, PageDown: r + page, PageUp: r - page}[event.key];
  if (to !== undefined) pick(rows[Math.max(0, Math.min(rows.length - 1, to))]);
  else if (event.key === "ArrowRight") { if (width[picked] && !open[picked]) toggle(picked, 1); else if (children(picked).length) pick(children(picked)[0]); }
  else if (event.key === "ArrowLeft") { if (open[picked] && width[picked]) toggle(picked, 0); else if (parent[picked] >= 0) pick(parent[picked]); }
  else if (event.key === "Enter" || event.key === " ") toggle(picked);
  else if (event.key === "*") { children(parent[picked]).forEach(k => { open[k] = 1; }); list(); pick(picked, {center: true}); }
  else return;
  event.preventDefault();
});
document.addEventListener("keydown", event => {
  if (event.key === "/" && !/^(INPUT|SELECT)$/.test(document.activeElement.tagName) && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    find.focus();
    find.select();
  }
});
$("unfold").addEventListener("click", () => { open.fill(1); list(); pick(picked, {link: false, center: true}); });
$("fold").addEventListener("click", () => { open.fill(0); list(); pick(pathOf(picked)[0]); });
$("sort").addEventListener("change", event => { sort = event.target.value; list(); pick(picked, {link: false, center: true}); });
$("used").addEventListener("change", event => {
  used = event.target.checked;
  if (used && !weight[picked]) picked = pathOf(picked).filter(a => weight[a]).pop() ?? children(-1)[0] ?? picked;
  list();
  if (rows.length) pick(picked, {link: false, center: true});
});
$("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = (root.dataset.theme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
});
addEventListener("resize", draw);

// #n=WNID selects a node, #q=WORD searches, #theme=dark sets the colours; joined with &.
function follow() {
  const wish = new URLSearchParams(location.hash.slice(1));
  if (wish.get("theme")) document.documentElement.dataset.theme = wish.get("theme");
  const n = wish.get("n");
  const node = n === null ? undefined : byName.has(n) ? byName.get(n) : /^\d+$/.test(n) && +n < N ? +n : undefined;
  if (node !== undefined) pick(node, {link: false, center: true});
  if (wish.get("q")) { find.value = wish.get("q"); find.focus(); showHits(); if (n === null && found.length) pick(found[0], {link: false, center: true}); }
}
addEventListener("hashchange", follow);

if (counts.length) {
  $("usedlabel").hidden = false;
  $("sort").append(new Option("by count", "count"));
  $("columns").append(make("span"), ...counts.map(c => {
    const e = make("span", "count");
    e.append(make("span", "own", c.name), make("span", "all", "+ below"));
    return e;
  }));
}
for (let level = 0, sum = 0; level < 12; level++) {  // unfold what fits on a screen
  const nodes = [];
  for (let i = 0; i < N; i++) if (depth[i] === level && width[i]) nodes.push(i);
  sum += nodes.reduce((a, i) => a + width[i], 0);
  if (!nodes.length || roots + sum > 60) break;
  nodes.forEach(i => { open[i] = 1; });
}
picked = 0;  // not pick(): the page is laid out once
details(0);
list();
follow();
if (!location.hash) tree.focus({preventScroll: true});
document.documentElement.dataset.milliseconds = (performance.now() - began).toFixed(1);
