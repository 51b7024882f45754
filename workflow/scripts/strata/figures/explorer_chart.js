// The rank of a token that is followed, by depth.

function drawChart(header, view) {
  const { follow, lens, prompt } = view;
  const ranks = follow && lens.ranks(follow.t, follow.token);
  const isVisible = (d) => view.halves || isWhole(header.depths[d]);
  const shown = ranks ? [...ranks.keys()].filter(isVisible) : [];
  const isTold = shown.some((d) => ranks[d] !== null);
  byId("follow-card").hidden = !follow;
  byId("chart").toggleAttribute("hidden", !isTold);
  byId("chart").replaceChildren(...(isTold ? lineOf(header, shown, ranks) : []));
  if (!follow) return;
  const name = element("bdi", { className: "token", textContent: header.strings[follow.token] });
  byId("chart-title").replaceChildren("Rank of ", name, ` at position ${prompt.positions[follow.t]}`);
  const unknown = `No rank: the ${lens.name} decoder has it among its ${header.k} best at no depth shown.`;
  const beyond = `Hollow: not among the ${header.k} best there; the rank of this token was not kept.`;
  byId("chart-note").textContent = !isTold ? unknown : shown.some((d) => ranks[d] === null) ? beyond : "";
}

/** Parts of the chart: rank 1 on top, log scale; `shown` are the indices of the depths that are drawn. */
function lineOf({ depths, k, exact }, shown, ranks) {
  const box = { left: 58, right: 332, top: 12, bottom: 150 };
  const deepest = depths[depths.length - 1];
  const rank = (d) => (ranks[d] ?? k) + 1; // beyond the k best: the least it can be
  const decades = Math.max(1, Math.ceil(Math.log10(Math.max(...shown.map(rank)))));
  const x = (depth) => box.left + ((box.right - box.left) * depth) / deepest;
  const y = (rank) => box.top + ((box.bottom - box.top) * Math.log10(rank)) / decades;
  const label = (text, at) => drawing("text", { "text-anchor": "middle", ...at }, text);
  const parts = [];
  for (let power = 0; power <= decades; power++) {
    const at = y(10 ** power);
    parts.push(drawing("line", { class: "rule", x1: box.left, x2: box.right, y1: at, y2: at }));
    parts.push(label((10 ** power).toLocaleString("en"), { x: box.left - 7, y: at + 3.5, "text-anchor": "end" }));
  }
  for (const depth of depthTicks(deepest)) {
    parts.push(drawing("line", { class: "rule", x1: x(depth), x2: x(depth), y1: box.bottom, y2: box.bottom + 4 }));
    parts.push(label(depth, { x: x(depth), y: box.bottom + 16 }));
  }
  parts.push(label("depth (blocks applied)", { x: (box.left + box.right) / 2, y: box.bottom + 32 }));
  parts.push(label("rank, log scale", { transform: `translate(11 ${(box.top + box.bottom) / 2}) rotate(-90)` }));
  const told = shown.filter((d) => ranks[d] !== null);
  // A line ends where the ranks of its neighbours are not known.
  const runs = [];
  for (const [i, d] of told.entries()) {
    if (i && shown.indexOf(d) === shown.indexOf(told[i - 1]) + 1) runs[runs.length - 1].push(d);
    else runs.push([d]);
  }
  for (const run of runs) {
    const points = run.map((d) => `${x(depths[d])},${y(rank(d))}`).join(" ");
    parts.push(drawing("polyline", { points }));
  }
  for (const d of shown) {
    const text = ranks[d] === null ? `rank above ${k}` : `rank ${ordinal(ranks[d], exact)}`;
    const title = drawing("title", {}, `depth ${depthName(depths[d])}: ${text}`);
    const at = { cx: x(depths[d]), cy: y(rank(d)), r: isWhole(depths[d]) ? 3.2 : 2 };
    parts.push(drawing("circle", ranks[d] === null ? { class: "beyond", ...at } : at, title));
  }
  return parts;
}

/** At most eight depths, evenly apart. */
function depthTicks(deepest) {
  const step = [1, 2, 3, 4, 6, 8, 12, 16, 24].find((size) => deepest / size <= 7) ?? 48;
  return Array.from({ length: Math.floor(deepest / step) + 1 }, (_, i) => i * step);
}
