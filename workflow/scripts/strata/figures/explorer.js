// The page: what is shown, the address that says so, and how a reader moves.

/**
 * What is shown, as the address spells it: `prompt`, `decoder`, `colour`; and where they are not what one
 * sees first, `half` (1: half-depths too, of decoders that have them), `noise` (of the trace), `position`
 * and `depth` of the cell whose readouts are shown, `follow` (position:token id).
 */
function addressOf(header, view, changed = {}) {
  const { id, decoder, colour, half, noise, t, d, follow } = { ...view, ...changed };
  const fields = new URLSearchParams({ prompt: id, decoder, colour });
  if (half) fields.set("half", 1);
  if (noise !== header.noise) fields.set("noise", noise);
  if (id === view.id) {
    const { positions } = view.prompt;
    if (t !== firstPosition(view.prompt)) fields.set("position", positions[t]);
    if (d !== header.depths.length - 1) fields.set("depth", header.depths[d]);
    if (follow) fields.set("follow", `${positions[follow.t]}:${header.ids[follow.token]}`);
  }
  return `#${fields}`;
}

/** Index of the position that one sees first: where the target is asked for, or the beginning of a passage. */
const firstPosition = ({ target }) => (target[target.length - 1] < 0 ? 0 : target.length - 1);

/** What an address asks for; what it asks for in vain is told in `missing`. */
function readAddress(header, hash) {
  const fields = new URLSearchParams(hash.slice(1));
  const missing = [];
  const oneOf = (name, known, otherwise) => {
    const wanted = fields.get(name);
    if (wanted === null || known.includes(wanted)) return wanted ?? otherwise;
    missing.push(`no ${name} “${wanted}”`);
    return otherwise;
  };
  const names = (list) => list.map(({ name }) => name);
  return {
    id: oneOf("prompt", header.prompts.map(({ id }) => id), header.prompts[0].id),
    decoder: oneOf("decoder", names(header.decoders), header.decoders[0].name),
    colour: oneOf("colour", Object.keys(header.colourings), Object.keys(header.colourings)[0]),
    noise: oneOf("noise", names(header.noises), header.noise),
    half: fields.get("half") === "1",
    position: fields.get("position"),
    depth: fields.get("depth"),
    follow: fields.get("follow"),
    missing,
  };
}

/** The cell (t, d) and the followed token that an address names, as indices of its prompt. */
function readCell(header, prompt, { position, depth, follow, half }) {
  const { depths, ids } = header;
  const { positions } = prompt;
  const last = depths.length - 1;
  const indexOf = (list, text, otherwise) => {
    const at = text === null ? -1 : list.indexOf(Number(text));
    return at < 0 ? otherwise : at;
  };
  const t = indexOf(positions, position, firstPosition(prompt));
  let d = indexOf(depths, depth, last);
  if (!half && !isWhole(depths[d])) d = depths.indexOf(Math.floor(depths[d]));
  const [at, id] = (follow ?? ":").split(":");
  const followed = { t: indexOf(positions, at || null, -1), token: indexOf(ids, id || null, -1) };
  return { t, d, follow: followed.t < 0 || followed.token < 0 ? null : followed };
}

function start(header) {
  const view = { id: null, prompt: null };
  const packedOf = new Map([...document.querySelectorAll("[data-prompt]")].map((e, i) => [header.prompts[i].id, e]));
  const indexOf = new Map(header.prompts.map((prompt) => [prompt.id, prompt]));

  // Addresses ------------------------------------------------------------------------------------

  let waiting = null;
  /** Write what is shown into the address, without a step of history: browsers bear few writes a second. */
  function keep() {
    clearTimeout(waiting);
    waiting = setTimeout(keepNow, 150);
  }

  function keepNow() {
    clearTimeout(waiting);
    waiting = null;
    if (settled !== turn) return; // what is shown is not what the address asks for by now
    history.replaceState(null, "", addressOf(header, view));
  }

  /** Go to an address, as a step of history. */
  function visit(changed) {
    if (waiting !== null) keepNow();
    const hash = addressOf(header, view, changed);
    if (hash !== location.hash) history.pushState(null, "", hash);
    return show(hash);
  }

  let [turn, settled] = [0, 0];
  async function show(hash) {
    const own = ++turn;
    const wanted = readAddress(header, hash);
    const isNew = wanted.id !== view.id;
    const prompt = isNew ? await unpackPrompt(header, packedOf.get(wanted.id).textContent) : view.prompt;
    if (own !== turn) return; // the reader has moved on
    const { id, decoder, colour, half, noise } = wanted;
    const lens = prompt.lenses.find(({ name }) => name === decoder);
    const halves = half && lens.hasHalves;
    const cell = readCell(header, prompt, { ...wanted, half: halves });
    Object.assign(view, { id, prompt, decoder, lens, colour, half, halves, noise, ...cell });
    view.scale = { ...header.colourings[colour], ...prompt.scales[colour] };
    byId("missing").hidden = !wanted.missing.length;
    byId("missing").textContent = `The link asked for what is not in this page: ${wanted.missing.join(", ")}.`;
    if (isNew) build();
    draw();
    settled = own;
    byId("page").hidden = false;
    grid.reveal();
    chooser.mark(view.id);
    drawSteps();
  }

  // Drawing --------------------------------------------------------------------------------------

  function build() {
    const { category, text, target } = indexOf.get(view.id);
    document.title = `${view.id} · ${header.model} lens`;
    byId("prompt").textContent = view.id;
    byId("prompt-category").textContent = header.categories[category];
    byId("text").textContent = text;
    byId("goal").textContent = target;
    byId("goal").parentElement.hidden = !target;
    grid.build();
  }

  /** Whether there is a prompt before and one after, of those that are listed. */
  function drawSteps() {
    for (const [id, step] of [["previous", -1], ["next", 1]]) byId(id).disabled = chooser.beside(step) === undefined;
  }

  function draw() {
    for (const radio of document.querySelectorAll("[name=decoder]")) radio.checked = radio.value === view.decoder;
    byId("colouring").value = view.colour;
    byId("half").checked = view.half;
    byId("half").disabled = !view.lens.hasHalves;
    byId("norm").textContent = view.lens.norm;
    byId("what").textContent = view.lens.what;
    grid.draw();
    drawCell(header, view, follow);
    drawChart(header, view);
    trace.draw();
    chooser.link((id) => addressOf(header, view, { id }));
  }

  function point(t, d) {
    if (view.t === t && view.d === d) return;
    Object.assign(view, { t, d });
    grid.mark();
    drawCell(header, view, follow);
    trace.mark();
  }

  function follow(t, token) {
    const isFollowed = view.follow?.t === t && view.follow.token === token;
    view.follow = token === undefined || isFollowed ? null : { t, token };
    grid.draw();
    drawCell(header, view, follow);
    drawChart(header, view);
    keep();
  }

  // Acting ---------------------------------------------------------------------------------------

  const grid = new Grid(header, view, { point, keep, follow });
  const trace = new TracePanel(header, view, { point, choose: visit });
  const chooser = makeChooser(header, (id) => {
    openChooser(false);
    visit({ id });
  }, drawSteps);

  const isFoldable = () => byId("open-chooser").offsetParent !== null;
  const isOpen = () => isFoldable() && byId("chooser").classList.contains("open");
  /** Unfold the list, or fold it, where there is no room for it beside the grid. */
  function openChooser(open) {
    if (isOpen() && !open) byId("open-chooser").focus();
    byId("chooser").classList.toggle("open", open);
    byId("open-chooser").setAttribute("aria-expanded", open);
    if (!open) return;
    chooser.mark(view.id);
    chooser.search.focus();
  }

  function move(step) {
    const id = chooser.beside(step);
    if (id !== undefined) visit({ id });
  }

  const unfollow = () => view.follow && follow(view.follow.t, undefined);
  byId("unfollow").addEventListener("click", unfollow);
  byId("previous").addEventListener("click", () => move(-1));
  byId("next").addEventListener("click", () => move(1));
  byId("open-chooser").addEventListener("click", () => openChooser(!isOpen()));
  byId("controls").addEventListener("change", () => visit({
    decoder: document.querySelector("[name=decoder]:checked").value,
    colour: byId("colouring").value,
    half: byId("half").checked,
  }));
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Escape") {
      if (isOpen()) openChooser(false);
      else unfollow();
    }
    if (event.target.matches("input[type=search], select")) return;
    const actions = { "/": () => openChooser(true), n: () => move(1), p: () => move(-1) };
    if (!(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  });
  window.addEventListener("hashchange", () => {
    clearTimeout(waiting);
    waiting = null;
    show(location.hash);
  });

  chooser.filter();
  return show(location.hash).then(() => {
    keepNow();
    requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("drawn"))); // once it is painted
  });
}

unpackHeader(byId("data").textContent)
  .then(start)
  .catch((error) => {
    byId("trouble").hidden = false;
    throw error;
  });
