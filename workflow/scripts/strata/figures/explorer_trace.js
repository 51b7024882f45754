// The causal trace of a prompt: what is restored of the answer by putting one state back.

const LITTLE = 0.1; // of the clean probability

class TracePanel {
  /**
   * @param header of the page
   * @param view what is shown: see explorer.js
   * @param act `point(t, d)` at a cell of the grid, `choose({noise})`
   */
  constructor(header, view, act) {
    Object.assign(this, { header, view, act });
    byId("trace-card").hidden = !header.noises.length;
    byId("noise").append(...header.noises.map(({ name, label }) =>
      element("option", { value: name, textContent: label })));
    byId("noise").addEventListener("change", () => act.choose({ noise: byId("noise").value }));
    const cells = byId("trace-cells");
    for (const kind of ["pointerover", "click"]) {
      cells.addEventListener(kind, ({ target }) => {
        if (target.dataset.t) act.point(Number(target.dataset.t), header.depths.indexOf(Number(target.dataset.depth)));
      });
    }
    if (!header.noises.length) return;
    byId("trace-caption").textContent = header.restoration.caption;
    drawBar(byId("trace-bar"), byId("trace-ticks"), header.palette, header.restoration);
  }

  noise() {
    return this.header.noises.findIndex(({ name }) => name === this.view.noise);
  }

  draw() {
    const { header, view } = this;
    if (!header.noises.length) return;
    const { trace, target } = view.prompt;
    const noise = this.noise();
    byId("noise").value = view.noise;
    byId("traced").hidden = !trace;
    byId("untraced").hidden = Boolean(trace);
    const isPrompt = target[target.length - 1] >= 0;
    byId("untraced").textContent = isPrompt
      ? "No trace here: of each category, the first prompts with a subject have one (trace.everywhere in config.yaml)."
      : "No trace: a passage has no subject and no target.";
    byId("trace-cells").replaceChildren();
    if (!trace) return;
    const corrupted = trace.corrupted[noise];
    const name = element("bdi", { className: "token", textContent: header.strings[target[target.length - 1]] });
    byId("trace-measure").replaceChildren("p(", name, "): ", this.levels(trace, noise));
    byId("trace-map").hidden = corrupted === null || trace.clean <= corrupted;
    if (!byId("trace-map").hidden) byId("trace-cells").replaceChildren(...this.cells(trace, noise));
    this.mark();
  }

  /** What the noise does to the target's probability, in words. */
  levels({ clean, corrupted }, noise) {
    if (corrupted[noise] === null) return `${share(clean)} clean; there is no other subject to put in place of this one.`;
    return `${share(clean)} clean, ${share(corrupted[noise])} corrupted.${this.warning(clean - corrupted[noise], clean)}`;
  }

  warning(taken, clean) {
    if (taken <= 0) return " Nothing was taken away that could be restored.";
    return taken < LITTLE * clean ? " Little was taken away: what is restored of it is uncertain." : "";
  }

  /** A row for each token from the first noised one on, a column for each depth. */
  cells(trace, noise) {
    const { header, view } = this;
    const { palette, restoration, strings, traceDepths } = header;
    const { input, positions } = view.prompt;
    const [left, top, height] = [112, 4, 15];
    const width = Math.min(22, 222 / traceDepths.length);
    const tokens = input.map((_, t) => t).slice(trace.start);
    const parts = tokens.map((t, row) => {
      const star = t < trace.stop ? "*" : "";
      const text = drawing("text", { x: left - 6, y: top + height * (row + 0.75), "text-anchor": "end" });
      const whole = strings[input[t]];
      text.append(whole.length > 14 ? `${whole.slice(0, 13)}…` : whole, star);
      text.append(drawing("title", {}, `${whole}${star} at position ${positions[t]}`));
      return text;
    });
    for (const [row, t] of tokens.entries()) {
      for (const [d, depth] of traceDepths.entries()) {
        const fill = palette[shade(palette, placeOn(restoration, trace.restoration(noise, d, t)))];
        const at = { x: left + width * d, y: top + height * row, width: width - 0.75, height: height - 0.75 };
        const cell = drawing("rect", { ...at, fill });
        Object.assign(cell.dataset, { t, depth });
        parts.push(cell);
      }
    }
    const bottom = top + height * tokens.length;
    for (const depth of depthTicks(traceDepths[traceDepths.length - 1])) {
      parts.push(drawing("text", { x: left + width * (depth + 0.5), y: bottom + 13, "text-anchor": "middle" }, depth));
    }
    const middle = left + (width * traceDepths.length) / 2;
    parts.push(drawing("text", { x: middle, y: bottom + 28, "text-anchor": "middle" }, "depth of the restored state"));
    byId("trace-cells").setAttribute("viewBox", `0 0 340 ${bottom + 34}`);
    return parts;
  }

  /** Mark the cell of the grid that is shown, and say what is restored there. */
  mark() {
    const { header, view } = this;
    const { trace, input, positions } = view.prompt;
    const said = byId("trace-said");
    if (!header.noises.length || !trace || byId("trace-map").hidden) return;
    const depth = Math.floor(header.depths[view.d]);
    const d = header.traceDepths.indexOf(depth);
    const noise = this.noise();
    this.marked?.classList.remove("shown");
    this.marked = byId("trace-cells").querySelector(`[data-t="${view.t}"][data-depth="${depth}"]`);
    this.marked?.classList.add("shown");
    const token = element("bdi", { className: "token", textContent: header.strings[input[view.t]] });
    const where = [`State of depth ${depth} at `, token, `, position ${positions[view.t]}: `];
    if (view.t < trace.start) said.replaceChildren(...where, "before the noise, so nothing to restore.");
    else if (d < 0) said.replaceChildren(...where, "not restored; it is what is decoded.");
    else {
      const restoration = `restoration ${fixed(trace.restoration(noise, d, view.t), 2)}`;
      const p = share(trace.p(noise, d, view.t));
      said.replaceChildren(...where, element("strong", { textContent: restoration }), `, p = ${p}.`);
    }
  }
}
