"""The report's script: the tree's rows as they are opened, search in it, reading the curves, choosing pictures.

Text is only ever set as text, never as HTML. Without the script all but the tree can be read.
"""

from __future__ import annotations

SCRIPT = r"""
"use strict";
(() => {
  const make = (tag, text, kind) => {
    const e = document.createElement(tag);
    if (text !== undefined) e.textContent = text;
    if (kind) e.className = kind;
    return e;
  };
  const number = v => v.toLocaleString("en");
  const source = document.getElementById("tree-data");
  if (source) tree(JSON.parse(source.textContent));
  document.querySelectorAll("figure.curves").forEach(curves);
  pictures();

  function tree(D) {
    const N = D.names.length, kids = Array.from({length: N}, () => []), roots = [], most = 300;
    D.parent.forEach((p, i) => (p < 0 ? roots : kids[p]).push(i));
    const below = counts => {
      if (!counts) return null;
      const sum = counts.slice();
      for (let i = N - 1; i >= 0; i--) if (D.parent[i] >= 0) sum[D.parent[i]] += sum[i];
      return sum;
    };
    const totals = {boxes: below(D.boxes), labels: below(D.labels)}, size = below(Array(N).fill(1));
    const top = document.getElementById("tree-rows"), told = document.getElementById("told");
    const find = document.getElementById("find");
    let hits = new Set(), shown = null;

    function line(e, i) {
      e.append(make("span", D.words[i], hits.has(i) ? "hit" : ""));
      e.append(make("span", D.names[i], "key"));
      if (i in D.ap) {
        const tag = make("span", "AP50 " + (100 * D.ap[i]).toFixed(1), "tag ap");
        tag.style.setProperty("--v", D.ap[i]);
        e.append(tag);
      }
      for (const kind of ["boxes", "labels"]) {
        if (!totals[kind] || !totals[kind][i]) continue;
        const own = D[kind][i], all = totals[kind][i];
        const told = own === all ? number(own) : number(own) + " of " + number(all);
        e.append(make("span", told + " " + kind, "tag " + kind));
      }
      if (kids[i].length && N > 60) e.append(make("span", number(size[i] - 1) + " below", "tag"));
    }
    function row(i, open) {
      const li = make("li"), inner = kids[i].filter(k => !shown || shown.has(k));
      if (!inner.length) {
        const leaf = make("div", undefined, "leaf");
        line(leaf, i);
        li.append(leaf);
        return li;
      }
      const box = make("details"), head = make("summary");
      line(head, i);
      box.append(head);
      const fill = () => {
        if (box.childElementCount > 1) return;
        const ul = make("ul");
        more(ul, inner, 0, open);
        box.append(ul);
      };
      box.addEventListener("toggle", () => { if (box.open) fill(); });
      if (open) { fill(); box.open = true; }
      li.append(box);
      return li;
    }
    function more(ul, nodes, from, open) {
      nodes.slice(from, from + most).forEach(k => ul.append(row(k, open)));
      if (from + most >= nodes.length) return;
      const li = make("li"), button = make("button", "show more of " + number(nodes.length));
      button.type = "button";
      button.addEventListener("click", () => { li.remove(); more(ul, nodes, from + most, open); });
      li.append(button);
      ul.append(li);
    }
    function draw(open) {
      top.replaceChildren();
      more(top, roots.filter(i => !shown || shown.has(i)), 0, open);
    }
    function search() {
      const text = find.value.trim().toLowerCase();
      hits = new Set();
      shown = null;
      told.textContent = "";
      if (text.length > 1) {
        for (let i = 0; i < N; i++)
          if (D.words[i].toLowerCase().includes(text) || D.names[i].toLowerCase() === text) hits.add(i);
        shown = new Set();
        [...hits].slice(0, most).forEach(i => { for (; i >= 0; i = D.parent[i]) shown.add(i); });
        told.textContent = number(hits.size) + " found" + (hits.size > most ? ", " + most + " shown" : "");
      }
      draw(shown !== null || N <= 60);
    }
    let wait = 0;
    find.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(search, 150); });
    document.getElementById("fold").addEventListener("click", () => {
      find.value = "";
      hits = new Set();
      shown = null;
      told.textContent = "";
      draw(false);
    });
    draw(N <= 60);
  }

  function curves(figure) {
    const svg = figure.querySelector("svg.lines"), data = JSON.parse(figure.querySelector("script").textContent);
    if (!svg) return;
    const cursor = svg.querySelector(".cursor"), at = figure.querySelector(".at");
    const buttons = [...figure.querySelectorAll("button[data-name]")];
    const left = +svg.dataset.left, right = +svg.dataset.right, last = +svg.dataset.xmax;
    const groups = new Map([...svg.querySelectorAll("g[data-series]")].map(g => [g.dataset.series, g]));
    buttons.forEach(button => button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true", group = groups.get(button.dataset.name);
      button.setAttribute("aria-pressed", on);
      if (group) group.style.display = on ? "" : "none";
    }));
    const show = step => {
      let named = step;
      buttons.forEach(button => {
        const points = data[button.dataset.name];
        let best = points[points.length - 1];
        if (step !== null) for (const p of points) if (Math.abs(p[0] - step) < Math.abs(best[0] - step)) best = p;
        named = best[0];
        button.querySelector("output").textContent = Number(best[1].toPrecision(4)).toString();
      });
      at.textContent = step === null ? "last step" : "step " + number(named);
      const x = step === null ? -9 : left + named / last * (right - left);
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
    };
    svg.addEventListener("pointermove", event => {
      const frame = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / frame.width;
      const x = (event.clientX - frame.left) * scale;
      show(Math.max(0, (x - left) / (right - left) * last));
    });
    svg.addEventListener("pointerleave", () => show(null));
  }

  function pictures() {
    const buttons = [...document.querySelectorAll(".filter button")];
    buttons.forEach(button => button.addEventListener("click", () => {
      buttons.forEach(other => other.setAttribute("aria-pressed", other === button));
      const wanted = button.dataset.show;
      document.querySelectorAll(".pictures figure").forEach(figure => {
        figure.hidden = wanted !== "" && figure.dataset.kind !== wanted;
      });
    }));
  }
})();
"""
