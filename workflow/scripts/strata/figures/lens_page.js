"use strict";

const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

/** An element with properties (or, in SVG, attributes) and children; strings become text, never markup. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function drawing(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Numbers, as a reader sees them ---------------------------------------------------------------

const minus = (text) => text.replace("-", "−");
const fixed = (value, digits) => minus(value.toFixed(digits));
const amount = (value) => fixed(value, value < 0.0995 ? 3 : value < 9.995 ? 2 : 1);
const ordinal = (rank) => (rank + 1).toLocaleString("en");

function percent(logprob) {
  const value = 100 * Math.exp(logprob);
  if (value >= 9.95) return `${value.toFixed(1)} %`;
  if (value >= 0.001) return `${value.toPrecision(2)} %`;
  let exponent = Math.floor(logprob / Math.LN10 + 2);
  let digits = Math.exp(logprob - (exponent - 2) * Math.LN10).toFixed(1);
  if (digits === "10.0") [digits, exponent] = ["1.0", exponent + 1];
  const raised = String(exponent).replace(/./g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);
  return `${digits}·10${raised} %`;
}

const depthName = (depth) => (depth % 1 ? `${Math.floor(depth) || ""}½` : String(depth));

function depthMeaning(depth) {
  if (depth === 0) return "the embeddings, token and position";
  const block = Math.ceil(depth) - 1;
  return depth % 1 ? `after the attention of block ${block}, before its MLP` : `the output of block ${block}`;
}

// The data -------------------------------------------------------------------------------------

/** The header and the lenses, from the stream that lens_page.py packs. */
async function unpack(base64) {
  const packed = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const end = bytes.indexOf(10);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)));
  const planes = bytes.subarray(end + 1);
  const size = planes.length / 4;
  const integers = Int32Array.from({ length: size }, (_, i) =>
    planes[i] | (planes[i + size] << 8) | (planes[i + 2 * size] << 16) | (planes[i + 3 * size] << 24));
  return [header, readLenses(header, integers)];
}

function readLenses(header, integers) {
  const { decoders, depths, k } = header;
  const [nLenses, nDepths] = [decoders.length, depths.length];
  const nCells = header.input.length * nDepths;
  let start = 0;
  const next = (each) => {
    const taken = integers.subarray(start, (start += nLenses * nCells * each));
    return (lens) => taken.subarray(lens * nCells * each, (lens + 1) * nCells * each);
  };
  const names = ["guess", "gap", "topLogit", "entropy", "klFinal", "klInput", "guessRank", "inputRank", "targetRank",
    "finalLogprob", "inputLogprob", "targetLogprob"];
  const widths = { guess: k, gap: k, guessRank: nDepths };
  const fields = names.map((name) => [name, next(widths[name] ?? 1)]);
  return decoders.map((decoder, i) => {
    const own = Object.fromEntries(fields.map(([name, of]) => [name, of(i)]));
    return new Lens(header, decoder, own);
  });
}

/** One decoder's readouts at token t and depth index d. Tokens are entries of the header's table. */
class Lens {
  constructor(header, decoder, fields) {
    Object.assign(this, decoder);
    this.header = header;
    this.fields = fields;
    this.nDepths = header.depths.length;
    const { guess, gap } = fields;
    const k = header.k;
    // Guesses are told by their place among those of the depth below; log-probabilities by their gaps.
    this.guesses = new Int32Array(guess.length);
    this.logprobs = new Float64Array(guess.length);
    for (let i = 0; i < guess.length; i++) {
      const cell = Math.floor(i / k);
      if (cell % this.nDepths === 0) this.guesses[i] = guess[i];
      else this.guesses[i] = guess[i] < k ? this.guesses[(cell - 1) * k + guess[i]] : guess[i] - k;
      this.logprobs[i] = gap[i] + (i % k ? this.logprobs[i - 1] : 0);
    }
    this.logprobs = this.logprobs.map((bent) => -this.straight(bent));
  }

  /** Nats, from what lens_page.py rounds of them. */
  straight(bent) {
    return Math.expm1(bent / this.header.steps) / this.header.bend;
  }

  cell(t, d) {
    return t * this.nDepths + d;
  }

  guess(t, d, place = 0) {
    return this.guesses[this.cell(t, d) * this.header.k + place];
  }

  logprob(t, d, place = 0) {
    return this.logprobs[this.cell(t, d) * this.header.k + place];
  }

  logit(t, d, place = 0) {
    const top = this.fields.topLogit[this.cell(t, d)] / this.header.logitSteps;
    return top + this.logprob(t, d, place) - this.logprob(t, d);
  }

  nats(name, t, d) {
    return this.straight(this.fields[name][this.cell(t, d)]);
  }

  final(t) {
    return this.guess(t, this.nDepths - 1);
  }

  /** Ranks of a token at every depth, from 0; null where they were not read out. */
  ranks(t, token) {
    for (let d = 0; d < this.nDepths; d++) {
      const start = this.cell(t, d) * this.nDepths;
      if (this.guess(t, d) === token) return this.fields.guessRank.subarray(start, start + this.nDepths);
    }
    const span = [this.cell(t, 0), this.cell(t + 1, 0)];
    if (token === this.header.input[t]) return this.fields.inputRank.subarray(...span);
    if (token === this.header.target[t]) return this.fields.targetRank.subarray(...span);
    return null;
  }

  /** Log-probability of the final top guess, the input token or the true next token. */
  logprobOf(t, d, token) {
    if (token === this.final(t)) return -this.nats("finalLogprob", t, d);
    return -this.nats(token === this.header.input[t] ? "inputLogprob" : "targetLogprob", t, d);
  }
}

// What a colouring shows of a cell
const VALUES = {
  logit: (lens, t, d) => lens.logit(t, d),
  probability: (lens, t, d) => Math.exp(lens.logprob(t, d)),
  rank: (lens, t, d) => lens.ranks(t, lens.final(t))[d] + 1,
  kl_final: (lens, t, d) => lens.nats("klFinal", t, d),
  kl_input: (lens, t, d) => lens.nats("klInput", t, d),
  input_rank: (lens, t, d) => lens.ranks(t, lens.header.input[t])[d] + 1,
};
const BENT = { linear: (x) => x, root: Math.sqrt, log: Math.log };

/** Where a value lies on a colouring's scale, from 0 to 1. */
function placeOn({ scale, low, high }, value) {
  const bent = BENT[scale];
  const share = high > low ? (bent(value) - bent(low)) / (bent(high) - bent(low)) : 0;
  return Math.min(1, Math.max(0, share));
}

// The page -------------------------------------------------------------------------------------

function start(header, lenses) {
  const { depths, strings, input, target, colourings, palette } = header;
  const nTokens = input.length;
  const last = depths.length - 1;
  // What is drawn, how, and of which cell (t, d) the readouts are shown; which token (t, token) is followed.
  const state = { lens: null, colouring: null, half: false, t: nTokens - 1, d: last, follow: null };

  function shade(share, near) {
    const colour = Math.min(palette.length - 1, Math.floor(share * palette.length));
    return near ? palette.length - 1 - colour : colour;
  }

  const isVisible = (d) => state.half || depths[d] % 1 === 0;
  const tokenName = (token) => `${strings[token]} (id ${header.ids[token]})`;

  // Grid: rows from the true next tokens down through the depths to the input tokens.
  const rows = [];

  function addRow(section, kind, d, label, labelTitle) {
    const head = element("th", { scope: "row", textContent: label, title: labelTitle });
    const cells = input.map((_, t) => {
      const cell = element(kind === "guess" ? "td" : "th", { tabIndex: -1 });
      if (kind !== "guess") cell.scope = "col";
      cell.setAttribute("role", kind === "guess" ? "gridcell" : "columnheader");
      Object.assign(cell.dataset, { row: rows.length, t });
      return cell;
    });
    const row = element("tr", {}, head, ...cells);
    section.append(row);
    rows.push({ kind, d, row, cells });
    return cells;
  }

  const nextTitle = "the true next token; ★ where the final guess is right";
  addRow(byId("above"), "target", null, "next", nextTitle).forEach((cell, t) => {
    if (target[t] < 0) cell.setAttribute("aria-label", "no true next token");
    else cell.title = `true next token ${tokenName(target[t])}`;
  });
  for (let d = last; d >= 0; d--) {
    const cells = addRow(byId("depths"), "guess", d, depthName(depths[d]), depthMeaning(depths[d]));
    if (depths[d] % 1) cells[0].parentElement.classList.add("half");
  }
  addRow(byId("below"), "input", null, "input", "the input token and its position").forEach((cell, t) => {
    cell.title = `input token ${tokenName(input[t])}`;
    cell.append(element("span", { className: "token", textContent: strings[input[t]] }));
    cell.append(element("span", { className: "position", textContent: header.positions[t] }));
  });

  /** The token that a cell of the grid holds; undefined where there is none. */
  function tokenIn({ kind, d }, t) {
    const token = kind === "guess" ? state.lens.guess(t, d) : kind === "input" ? input[t] : target[t];
    return token < 0 ? undefined : token;
  }

  const isFollowed = (t, token) => token !== undefined && state.follow?.t === t && state.follow.token === token;

  function drawGrid() {
    const colouring = colourings[state.colouring];
    for (const row of rows) {
      row.row.hidden = row.kind === "guess" && !isVisible(row.d);
      row.cells.forEach((cell, t) => {
        const token = tokenIn(row, t);
        const final = state.lens.final(t);
        cell.classList.toggle("followed", isFollowed(t, token));
        if (row.kind === "target" && token !== undefined) {
          const star = element("span", { className: "star", textContent: "★ " });
          cell.replaceChildren(...(token === final ? [star] : []), strings[token]);
        } else if (row.kind === "guess") {
          const colour = shade(placeOn(colouring, VALUES[state.colouring](state.lens, t, row.d)), colouring.near);
          cell.textContent = strings[token];
          cell.style.backgroundColor = palette[colour];
          cell.style.color = header.inks[colour];
          cell.classList.toggle("final", token === final);
          cell.classList.toggle("shown", state.t === t && state.d === row.d);
        }
      });
    }
  }

  function drawLegend() {
    const colouring = colourings[state.colouring];
    const { caption, high, near, ticks, capped } = colouring;
    byId("legend-caption").textContent = caption;
    const stops = Array.from({ length: 33 }, (_, i) => palette[shade(i / 32, near)]);
    byId("bar").style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    const isFree = (tick) => !capped || tick === high || placeOn(colouring, tick) < 0.87; // of the last label
    byId("ticks").replaceChildren(...ticks.filter(isFree).map((tick) => {
      const text = (capped && tick === high ? "≥ " : "") + minus(String(Number(tick.toPrecision(6))));
      const label = element("span", { textContent: text });
      label.style.left = `${100 * placeOn(colouring, tick)}%`;
      return label;
    }));
    byId("legend-note").textContent = state.colouring === "logit"
      ? "The scale spans depths 1 to the last of all decoders; depth 0 may lie beyond it." : "";
  }

  function drawDetail() {
    const { lens, t, d } = state;
    const ofAll = Array.from({ length: header.k }, (_, place) => place);
    byId("detail-title").textContent = `Depth ${depthName(depths[d])}, position ${header.positions[t]}`;
    byId("detail-what").textContent = depthMeaning(depths[d]);
    byId("guesses").replaceChildren(...ofAll.map((place) => {
      const token = lens.guess(t, d, place);
      const bar = element("span", { className: "share" });
      bar.style.width = `${100 * Math.exp(lens.logprob(t, d, place))}%`;
      const row = element("tr", {},
        element("td", { textContent: place + 1 }),
        element("td", { className: "token", textContent: strings[token], title: tokenName(token) }),
        element("td", { className: "bar" }, bar),
        element("td", { textContent: percent(lens.logprob(t, d, place)) }),
        element("td", { textContent: fixed(lens.logit(t, d, place), 1) }));
      row.classList.toggle("final", token === lens.final(t));
      return row;
    }));
    const distances = [["entropy", "entropy"], ["KL(final ‖ depth)", "klFinal"], ["KL(input ‖ depth)", "klInput"]];
    byId("distances").replaceChildren(...distances.map(([label, name]) => element("div", {},
      element("dt", { textContent: label }), element("dd", { textContent: `${amount(lens.nats(name, t, d))} nat` }))));
    const references = { final: lens.final(t), input: input[t], next: target[t] };
    byId("references").replaceChildren(...Object.entries(references).map(([label, token]) => {
      const row = element("tr", {}, element("th", { scope: "row", textContent: label }));
      if (token < 0) {
        row.append(element("td", { className: "token", textContent: "none" }));
        return row;
      }
      const logprob = lens.logprobOf(t, d, token);
      row.append(
        element("td", { className: "token", textContent: strings[token], title: tokenName(token) }),
        element("td", { textContent: ordinal(lens.ranks(t, token)[d]) }),
        element("td", { textContent: percent(logprob) }),
        element("td", { textContent: label === "next" ? `${amount(-logprob / Math.LN2)} bit` : "" }));
      return row;
    }));
  }

  function drawChart() {
    const followed = state.follow;
    const ranks = followed && state.lens.ranks(followed.t, followed.token);
    byId("unfollow").hidden = !followed;
    byId("chart").toggleAttribute("hidden", !ranks);
    byId("chart").replaceChildren(...(ranks ? lineOf(ranks) : []));
    if (!followed) {
      byId("chart-title").textContent = "Rank by depth";
      byId("chart-note").textContent = "Click a token in the grid, or press Enter on it, to follow its rank.";
      return;
    }
    const name = element("bdi", { className: "token", textContent: strings[followed.token] });
    byId("chart-title").replaceChildren("Rank of ", name, ` at position ${header.positions[followed.t]}`);
    byId("chart-note").textContent = ranks ? "" : `No rank: the ${state.lens.name} decoder has it on top at no depth.`;
  }

  function lineOf(ranks) {
    const box = { left: 58, right: 332, top: 12, bottom: 150 };
    const shown = [...ranks.keys()].filter(isVisible);
    const decades = Math.max(1, Math.ceil(Math.log10(Math.max(...shown.map((d) => ranks[d])) + 1)));
    const x = (depth) => box.left + ((box.right - box.left) * depth) / depths[last];
    const y = (rank) => box.top + ((box.bottom - box.top) * Math.log10(rank)) / decades;
    const label = (text, at) => drawing("text", { "text-anchor": "middle", ...at }, text);
    const step = [1, 2, 3, 4, 6, 8, 12, 16, 24].find((size) => depths[last] / size <= 7) ?? 48;
    const parts = [];
    for (let power = 0; power <= decades; power++) {
      const at = y(10 ** power);
      parts.push(drawing("line", { class: "rule", x1: box.left, x2: box.right, y1: at, y2: at }));
      parts.push(label((10 ** power).toLocaleString("en"), { x: box.left - 7, y: at + 3.5, "text-anchor": "end" }));
    }
    for (let depth = 0; depth <= depths[last]; depth += step) {
      parts.push(drawing("line", { class: "rule", x1: x(depth), x2: x(depth), y1: box.bottom, y2: box.bottom + 4 }));
      parts.push(label(depth, { x: x(depth), y: box.bottom + 16 }));
    }
    parts.push(label("depth (blocks applied)", { x: (box.left + box.right) / 2, y: box.bottom + 32 }));
    parts.push(label("rank, log scale", { transform: `translate(11 ${(box.top + box.bottom) / 2}) rotate(-90)` }));
    const points = shown.map((d) => [x(depths[d]), y(ranks[d] + 1)]);
    parts.push(drawing("polyline", { points: points.map((point) => point.join()).join(" ") }));
    shown.forEach((d, i) => {
      const [cx, cy] = points[i];
      const told = drawing("title", {}, `depth ${depthName(depths[d])}: rank ${ordinal(ranks[d])}`);
      parts.push(drawing("circle", { cx, cy, r: depths[d] % 1 ? 2 : 3.2 }, told));
    });
    return parts;
  }

  function draw() {
    drawGrid();
    drawLegend();
    drawDetail();
    drawChart();
    byId("norm").textContent = state.lens.norm;
    byId("what").textContent = state.lens.what;
  }

  // Acting ---------------------------------------------------------------------------------------

  const rowOfDepth = (d) => rows.find((row) => row.d === d);
  const placeOf = (event) => {
    const cell = event.target.closest("[data-row]");
    return cell && { cell, row: rows[cell.dataset.row], t: Number(cell.dataset.t) };
  };

  function show(row, t) {
    if (row.kind !== "guess" || (state.t === t && state.d === row.d)) return;
    rowOfDepth(state.d).cells[state.t].classList.remove("shown");
    Object.assign(state, { t, d: row.d });
    row.cells[t].classList.add("shown");
    drawDetail();
  }

  let reachable = rowOfDepth(state.d).cells[state.t];
  /** Make a cell the one that the Tab key leads to. */
  function reach(cell) {
    reachable.tabIndex = -1;
    reachable = cell;
    reachable.tabIndex = 0;
  }

  function follow(t, token) {
    state.follow = token === undefined || isFollowed(t, token) ? null : { t, token };
    drawGrid();
    drawChart();
  }

  const grid = byId("grid");
  grid.addEventListener("pointerover", (event) => {
    const place = placeOf(event);
    if (place) show(place.row, place.t);
  });
  grid.addEventListener("focusin", (event) => {
    const place = placeOf(event);
    if (!place) return;
    reach(place.cell);
    show(place.row, place.t);
  });
  grid.addEventListener("click", (event) => {
    const place = placeOf(event);
    if (!place) return;
    show(place.row, place.t);
    follow(place.t, tokenIn(place.row, place.t));
  });
  grid.addEventListener("keydown", (event) => {
    const place = placeOf(event);
    if (!place || event.altKey || event.ctrlKey || event.metaKey) return;
    const open = rows.filter(({ row }) => !row.hidden);
    const at = open.indexOf(place.row);
    const go = (row, t) => open[row]?.cells[t]?.focus();
    const actions = {
      ArrowUp: () => go(at - 1, place.t),
      ArrowDown: () => go(at + 1, place.t),
      ArrowLeft: () => go(at, place.t - 1),
      ArrowRight: () => go(at, place.t + 1),
      Home: () => go(at, 0),
      End: () => go(at, nTokens - 1),
      PageUp: () => go(0, place.t),
      PageDown: () => go(open.length - 1, place.t),
      Enter: () => follow(place.t, tokenIn(place.row, place.t)),
      " ": () => follow(place.t, tokenIn(place.row, place.t)),
    };
    if (!(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  });
  const unfollow = () => state.follow && follow(state.follow.t, undefined);
  document.addEventListener("keydown", (event) => event.key === "Escape" && unfollow());
  byId("unfollow").addEventListener("click", unfollow);

  // A browser may restore what was chosen when a page is loaded again: the controls say what is drawn.
  function choose() {
    state.lens = lenses.find(({ name }) => name === document.querySelector("[name=decoder]:checked").value);
    state.colouring = byId("colouring").value;
    state.half = byId("half").checked;
    if (!isVisible(state.d)) state.d = depths.indexOf(Math.floor(depths[state.d]));
    if (reachable.closest("tr").classList.contains("half") && !state.half) reach(rowOfDepth(state.d).cells[state.t]);
    draw();
  }
  byId("controls").addEventListener("change", choose);
  choose();
  reach(reachable);
  byId("page").hidden = false;
}

unpack(byId("data").textContent.trim())
  .then(([header, lenses]) => start(header, lenses))
  .catch((error) => {
    byId("trouble").hidden = false;
    throw error;
  });
