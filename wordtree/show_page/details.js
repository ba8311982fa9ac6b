// The panel of the selected node.
function link(i, text) {
  const b = make("button", "link", text || words[i]);
  b.type = "button";
  b.title = pathOf(i).map(a => words[a]).join(" › ");
  b.addEventListener("click", () => pick(i, {center: true}));
  return b;
}
function section(panel, title, ...parts) { panel.append(make("h3", "", title), ...parts); }
function details(i) {
  const panel = $("details");
  panel.replaceChildren(make("h2", "", words[i]));
  if (D.also && D.also[i]) panel.append(make("p", "also", "also " + D.also[i].split("|").join(", ")));
  const path = make("ol", "path");
  path.setAttribute("aria-label", "Path from the root");
  pathOf(i).forEach(a => { const li = make("li"); a === i ? li.append(make("span", "", words[a])) : li.append(link(a)); path.append(li); });
  panel.append(path);
  const group = parent[i] < 0 ? roots : width[parent[i]];
  const dl = make("dl");
  const fact = (key, value) => { const dd = make("dd"); dd.append(value); dl.append(make("dt", "", key), dd); };
  fact("name", make("code", "", D.names[i]));
  fact("node", String(i));
  fact("depth", String(depth[i]));
  fact("children", width[i] ? say(width[i]) + (size[i] - 1 > width[i] ? `, in all ${say(size[i] - 1)} nodes below, ${say(leaves[i])} of them leaves` : ", all leaves") : "none, a leaf");
  fact("group", group === 1 ? "1, has no siblings" : `one of ${say(group)} siblings, which share a softmax`);
  panel.append(dl);
  if (counts.length) {
    const table = make("table"), head = table.insertRow();
    head.append(...["", "here", "with all below"].map((t, k) => make("th", k ? "num" : "", t)));
    counts.forEach(c => {
      const tr = table.insertRow();
      tr.append(make("td", "", c.name), make("td", "num", say(c.own[i])), make("td", "num", say(c.all[i])));
    });
    section(panel, "Counts", table);
  }
  if (named.has(i)) {
    const table = make("table"), head = table.insertRow();
    head.append(...["label space", "label", "relation"].map(t => make("th", "", t)));
    named.get(i).forEach(cells => { const tr = table.insertRow(); cells.forEach(t => tr.append(make("td", "", t))); });
    section(panel, "Named by", table);
  }
  for (const [map, title] of [[cutUp, "Also a kind of"], [cutDown, "Also kinds of this"]]) if (map.has(i)) {
    const ul = make("ul", "kin");
    map.get(i).slice(0, 50).forEach(k => {
      const li = make("li");
      li.append(link(k), make("span", "soft", " " + pathOf(k).slice(0, -1).map(a => words[a]).join(" › ")));
      ul.append(li);
    });
    if (map.get(i).length > 50) ul.append(make("li", "soft", `and ${say(map.get(i).length - 50)} more`));
    section(panel, title, ul);
    ul.before(make("p", "soft", map === cutUp ? "WordNet says so too; a tree keeps one parent." : "The tree keeps them under another parent."));
  }
  pictures(panel, i);
}
let images = null, imagesOf = null;
function pictures(panel, i) {
  if (!D.images) return;
  if (!images) {
    images = read("images");
    imagesOf = new Map();
    images.forEach((image, k) => new Set([...image.boxes.map(b => b[0]), ...image.labels]).forEach(node => {
      if (!imagesOf.has(node)) imagesOf.set(node, []);
      imagesOf.get(node).push(k);
    }));
  }
  const own = (imagesOf.get(i) || []).slice(0, D.images), shown = new Set(own);
  if (shown.size < D.images && width[i]) {  // take turns among the nodes below, so that each is seen
    const below = [...imagesOf.keys()].filter(node => node !== i && isBelow(node, i)).sort((a, b) => a - b);
    for (let turn = 0; turn < D.images; turn++)
      for (const node of below) if (shown.size < D.images && imagesOf.get(node)[turn] !== undefined) shown.add(imagesOf.get(node)[turn]);
  }
  if (!shown.size) { if (weight[i]) section(panel, "Images", make("p", "soft", "None of its images is in this page.")); return; }
  const grid = make("div", "pictures");
  for (const k of shown) {
    const b = make("button", "picture");
    b.type = "button";
    b.title = caption(images[k]);
    b.append(canvas(images[k], i, 110));
    b.addEventListener("click", () => enlarge(images[k], i));
    grid.append(b);
  }
  section(panel, own.length ? "Images" : "Images of nodes below", grid);
}
const caption = image => image.name + " · " + [...new Set([...image.boxes.map(b => b[0]), ...image.labels])].map(node => words[node]).join(", ");
function canvas(image, i, room) {
  const scale = room / Math.max(image.width, image.height), e = make("div", "canvas"), img = make("img");
  e.style.width = image.width * scale + "px";
  e.style.height = image.height * scale + "px";
  img.src = image.src;
  img.alt = caption(image);
  e.append(img);
  for (const [node, top, left, bottom, right] of image.boxes) {
    const box = make("div", "box" + (isBelow(node, i) ? " mine" : ""));
    Object.assign(box.style, {top: 100 * top + "%", left: 100 * left + "%", height: 100 * (bottom - top) + "%", width: 100 * (right - left) + "%"});
    box.title = words[node];
    e.append(box);
  }
  return e;
}
function enlarge(image, i) {
  const large = $("large"), room = Math.min(innerWidth * .8, innerHeight * .75, Math.max(image.width, image.height, 420));
  large.replaceChildren(canvas(image, i, room), make("p", "soft", caption(image)));
  large.showModal();
}
$("large").addEventListener("click", () => $("large").close());
