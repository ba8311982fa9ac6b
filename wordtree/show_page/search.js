// Search: whole words before beginnings of words before the rest; short names first.
const find = $("find"), hits = $("hits");
let texts = null, found = [], at = 0;
function search(typed) {
  const text = typed.trim().toLowerCase().replaceAll("_", " ");
  if (!text) return [];
  texts = texts || words.map((w, i) => "|" + w.toLowerCase() + (D.also && D.also[i] ? "|" + D.also[i].toLowerCase() : "") + "|");
  const ranked = [];
  for (let i = 0; i < N; i++) {
    const t = texts[i];
    let rank = -1;
    if (D.names[i].toLowerCase() === text) rank = 0;
    else if (t.startsWith("|" + text + "|")) rank = 1;
    else if (t.includes("|" + text + "|")) rank = 2;
    else if (t.includes("|" + text)) rank = 3;
    else if (t.includes(" " + text)) rank = 4;
    else if (t.includes(text)) rank = 5;
    else if (D.names[i].toLowerCase().startsWith(text)) rank = 6;
    if (rank >= 0) ranked.push([rank, words[i].length, i]);
  }
  return ranked.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]).map(r => r[2]);
}
const nearPath = i => {  // the nearest ancestors tell more than the root
  const path = pathOf(i).slice(0, -1).map(a => words[a]);
  return path.length ? (path.length > 5 ? "… › " : "") + path.slice(-5).join(" › ") : "a root";
};
function marked(name, typed) {
  const e = make("span"), text = typed.trim().toLowerCase().replaceAll("_", " "), k = name.toLowerCase().indexOf(text);
  if (k < 0 || !text) e.textContent = name;
  else e.append(name.slice(0, k), make("mark", "", name.slice(k, k + text.length)), name.slice(k + text.length));
  return e;
}
function showHits() {
  found = search(find.value);
  at = 0;
  const shown = found.slice(0, MOST_HITS).map((i, k) => {
    const e = make("div", "found"), line = marked(words[i], find.value);
    e.id = "hit" + k;
    e.setAttribute("role", "option");
    const other = D.also && D.also[i] && !words[i].toLowerCase().includes(find.value.trim().toLowerCase())
      && D.also[i].split("|").find(w => w.toLowerCase().includes(find.value.trim().toLowerCase()));
    if (other) line.append(" (", marked(other, find.value), ")");
    if (D.words) line.append(make("span", "key", D.names[i]));
    e.append(line, make("span", "soft", nearPath(i)));
    e.title = pathOf(i).map(a => words[a]).join(" › ");
    e.addEventListener("mousedown", event => { event.preventDefault(); choose(k); });
    return e;
  });
  if (find.value.trim()) shown.push(make("div", "none soft", !found.length ? "No node has this word." :
    found.length > MOST_HITS ? `${say(found.length)} nodes, the best ${MOST_HITS} are shown` : found.length === 1 ? "1 node" : `${found.length} nodes`));
  hits.replaceChildren(...shown);
  hits.hidden = !shown.length;
  find.setAttribute("aria-expanded", !hits.hidden);
  move(0);
}
function move(k) {
  const options = [...hits.querySelectorAll(".found")];
  at = Math.max(0, Math.min(options.length - 1, k));
  options.forEach((e, j) => e.setAttribute("aria-selected", j === at));
  if (options.length) { options[at].scrollIntoView({block: "nearest"}); find.setAttribute("aria-activedescendant", "hit" + at); }
  else find.removeAttribute("aria-activedescendant");
}
function hideHits() { hits.hidden = true; find.setAttribute("aria-expanded", "false"); find.removeAttribute("aria-activedescendant"); }
function choose(k) {
  if (found[k] === undefined) return;
  hideHits();
  pick(found[k], {center: true});
  tree.focus({preventScroll: true});
}
find.addEventListener("input", showHits);
find.addEventListener("focus", () => { if (find.value.trim()) showHits(); });
find.addEventListener("blur", hideHits);
find.addEventListener("keydown", event => {
  if (event.key === "ArrowDown") hits.hidden ? showHits() : move(at + 1);
  else if (event.key === "ArrowUp") move(at - 1);
  else if (event.key === "Enter") choose(at);
  else if (event.key === "Escape") { hits.hidden ? (find.value = "") : hideHits(); }
  else return;
  event.preventDefault();
});
