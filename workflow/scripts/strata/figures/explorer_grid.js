// The grid: depth by position, the top guess in each cell, and the legend of its colours.

// What a colouring shows of a cell
const VALUES = {
  logit: (lens, t, d) => lens.logit(t, d),
  probability: (lens, t, d) => Math.exp(lens.logprob(t, d)),
  rank: (lens, t, d) => lens.rankOf(t, d, lens.final(t)) + 1,
  kl_final: (lens, t, d) => lens.nats("kl_final", t, d),
  kl_input: (lens, t, d) => lens.nats("kl_input", t, d),
  input_rank: (lens, t, d) => lens.rankOf(t, d, lens.input[t]) + 1,
};
const BENT = { linear: (x) => x, root: Math.sqrt, log: Math.log };

/** Where a value lies on a colouring's scale, from 0 to 1. */
function placeOn({ scale, low, high }, value) {
  const bent = BENT[scale];
  const share = high > low ? (bent(value) - bent(low)) / (bent(high) - bent(low)) : 0;
  return Math.min(1, Math.max(0, share));
}

/** The palette's entry for a share of a scale; `near`: the small values are the bright ones. */
function shade(palette, share, near = false) {
  const colour = Math.min(palette.length - 1, Math.floor(share * palette.length));
  return near ? palette.length - 1 - colour : colour;
}

/** A bar of a scale's colours with its ticks below. */
function drawBar(bar, labels, palette, scale) {
  const { high, near, ticks, capped } = scale;
  const stops = Array.from({ length: 33 }, (_, i) => palette[shade(palette, i / 32, near)]);
  bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  const isFree = (tick) => !capped || tick === high || placeOn(scale, tick) < 0.87; // of the last label
  labels.replaceChildren(...ticks.filter(isFree).map((tick) => {
    const text = (capped && tick === high ? "≥ " : "") + minus(String(Number(tick.toPrecision(6))));
    const label = element("span", { textContent: text });
    label.style.left = `${100 * placeOn(scale, tick)}%`;
    return label;
  }));
}

class Grid {
  /**
   * @param header of the page
   * @param view what is shown: see explorer.js
   * @param act `point(t, d)` at a cell, `keep()` it in the address, `follow(t, token)`
   */
  constructor(header, view, act) {
    Object.assign(this, { header, view, act });
    this.rows = [];
    const grid = byId("grid");
    grid.addEventListener("pointerover", (event) => this.at(event, (row, t) => this.show(row, t)));
    grid.addEventListener("focusin", (event) => this.at(event, (row, t) => {
      this.reach(row.cells[t]);
      this.show(row, t);
    }));
    grid.addEventListener("click", (event) => this.at(event, (row, t) => {
      this.show(row, t);
      act.follow(t, this.tokenIn(row, t));
    }));
    grid.addEventListener("keydown", (event) => this.at(event, (row, t) => this.press(event, row, t)));
  }

  /** Lay out a prompt: rows from the true next tokens down through the depths to the input tokens. */
  build() {
    const { depths, strings } = this.header;
    const { input, target, positions } = this.view.prompt;
    this.rows = [];
    for (const id of ["above", "depths", "below"]) byId(id).replaceChildren();
    const nextTitle = "the true next token; ★ where the final guess is right";
    this.addRow("above", "target", null, "next", nextTitle).forEach((cell, t) => {
      if (target[t] < 0) cell.setAttribute("aria-label", "no true next token");
      else cell.title = `true next token ${this.tokenName(target[t])}`;
    });
    for (let d = depths.length - 1; d >= 0; d--) {
      const cells = this.addRow("depths", "guess", d, depthName(depths[d]), depthMeaning(depths[d]));
      if (!isWhole(depths[d])) cells[0].parentElement.classList.add("half");
    }
    this.addRow("below", "input", null, "input", "the input token and its position").forEach((cell, t) => {
      cell.title = `input token ${this.tokenName(input[t])}`;
      cell.append(element("span", { className: "token", textContent: strings[input[t]] }));
      cell.append(element("span", { className: "position", textContent: positions[t] }));
    });
    this.reachable = null;
  }

  addRow(section, kind, d, label, labelTitle) {
    const head = element("th", { scope: "row", textContent: label, title: labelTitle });
    const cells = this.view.prompt.input.map((_, t) => {
      const cell = element(kind === "guess" ? "td" : "th", { tabIndex: -1 });
      if (kind !== "guess") cell.scope = "col";
      cell.setAttribute("role", kind === "guess" ? "gridcell" : "columnheader");
      Object.assign(cell.dataset, { row: this.rows.length, t });
      return cell;
    });
    const row = element("tr", {}, head, ...cells);
    byId(section).append(row);
    this.rows.push({ kind, d, row, cells });
    return cells;
  }

  tokenName(token) {
    return `${this.header.strings[token]} (id ${this.header.ids[token]})`;
  }

  /** The token that a cell of the grid holds; undefined where there is none. */
  tokenIn({ kind, d }, t) {
    const { prompt, lens } = this.view;
    const token = kind === "guess" ? lens.guess(t, d) : kind === "input" ? prompt.input[t] : prompt.target[t];
    return token < 0 ? undefined : token;
  }

  draw() {
    const { view, header } = this;
    const { lens, scale, follow } = view;
    for (const row of this.rows) {
      row.row.hidden = row.kind === "guess" && !view.halves && !isWhole(header.depths[row.d]);
      row.cells.forEach((cell, t) => {
        const token = this.tokenIn(row, t);
        const final = lens.final(t);
        cell.classList.toggle("followed", token !== undefined && follow?.t === t && follow.token === token);
        if (row.kind === "target" && token !== undefined) {
          const star = element("span", { className: "star", textContent: "★ " });
          cell.replaceChildren(...(token === final ? [star] : []), header.strings[token]);
        } else if (row.kind === "guess") {
          const share = placeOn(scale, VALUES[view.colour](lens, t, row.d));
          const colour = shade(header.palette, share, scale.near);
          cell.textContent = header.strings[token];
          cell.style.backgroundColor = header.palette[colour];
          cell.style.color = header.inks[colour];
          cell.classList.toggle("final", token === final);
        }
      });
    }
    this.mark();
    const { row } = this.rowOfDepth(view.d);
    if (!this.reachable || row.hidden || this.reachable.closest("tr").hidden) this.reach(this.cellShown());
    byId("legend-caption").textContent = scale.caption;
    drawBar(byId("bar"), byId("ticks"), header.palette, scale);
    const free = "The scale spans depths 1 to the last of all decoders of this text; depth 0 may lie beyond it.";
    byId("legend-note").textContent = scale.capped ? "" : free;
  }

  rowOfDepth(d) {
    return this.rows.find((row) => row.d === d);
  }

  cellShown() {
    return this.rowOfDepth(this.view.d).cells[this.view.t];
  }

  /** Mark the cell whose readouts are shown. */
  mark() {
    this.shown?.classList.remove("shown");
    this.shown = this.cellShown();
    this.shown.classList.add("shown");
  }

  /** Scroll the grid, and not the page, to the cell whose readouts are shown. */
  reveal() {
    const scroller = byId("scroller");
    const cell = this.cellShown();
    const left = cell.offsetLeft - cell.parentElement.firstChild.offsetWidth;
    const right = cell.offsetLeft + cell.offsetWidth - scroller.clientWidth;
    scroller.scrollLeft = Math.max(Math.min(scroller.scrollLeft, left), right + 8);
  }

  /** Make a cell the one that the Tab key leads to. */
  reach(cell) {
    if (this.reachable) this.reachable.tabIndex = -1;
    this.reachable = cell;
    cell.tabIndex = 0;
  }

  at(event, act) {
    const cell = event.target.closest("[data-row]");
    if (cell) act(this.rows[cell.dataset.row], Number(cell.dataset.t));
  }

  show(row, t) {
    if (row.kind === "guess") this.act.point(t, row.d);
  }

  press(event, row, t) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const open = this.rows.filter((one) => !one.row.hidden);
    const at = open.indexOf(row);
    const go = (to, column) => {
      open[to]?.cells[column]?.focus();
      this.act.keep();
    };
    const follow = () => this.act.follow(t, this.tokenIn(row, t));
    const actions = {
      ArrowUp: () => go(at - 1, t),
      ArrowDown: () => go(at + 1, t),
      ArrowLeft: () => go(at, t - 1),
      ArrowRight: () => go(at, t + 1),
      Home: () => go(at, 0),
      End: () => go(at, row.cells.length - 1),
      PageUp: () => go(0, t),
      PageDown: () => go(open.length - 1, t),
      Enter: follow,
      " ": follow,
    };
    if (!(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  }
}
