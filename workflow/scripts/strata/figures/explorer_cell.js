// One cell: its guesses and what was read out there.

/** @param follow called with (t, token) when a guess is chosen */
function drawCell(header, view, follow) {
  const { lens, prompt, t, d } = view;
  const { strings, ids, depths } = header;
  const tokenName = (token) => `${strings[token]} (id ${ids[token]})`;
  byId("detail-title").textContent = `Depth ${depthName(depths[d])}, position ${prompt.positions[t]}`;
  byId("detail-what").textContent = depthMeaning(depths[d]);

  const places = Array.from({ length: header.k }, (_, place) => place);
  byId("guesses").replaceChildren(...places.map((place) => {
    const token = lens.guess(t, d, place);
    const bar = element("span", { className: "share" });
    bar.style.width = `${100 * Math.exp(lens.logprob(t, d, place))}%`;
    const name = element("button", { type: "button", className: "token", textContent: strings[token] });
    name.title = `Follow ${tokenName(token)}`;
    name.addEventListener("click", () => follow(t, token));
    const row = element("tr", {},
      element("td", { textContent: place + 1 }),
      element("td", {}, name),
      element("td", { className: "bar" }, bar),
      element("td", { textContent: percent(lens.logprob(t, d, place)) }),
      element("td", { textContent: fixed(lens.logit(t, d, place), 1) }));
    row.classList.toggle("final", token === lens.final(t));
    row.classList.toggle("followed", view.follow?.t === t && view.follow.token === token);
    return row;
  }));

  const distances = [["entropy", "entropy"], ["KL(final ‖ depth)", "kl_final"], ["KL(input ‖ depth)", "kl_input"]];
  byId("distances").replaceChildren(...distances.map(([label, name]) => element("div", {},
    element("dt", { textContent: label }), element("dd", { textContent: `${amount(lens.nats(name, t, d))} nat` }))));

  const references = { final: lens.final(t), input: prompt.input[t], next: prompt.target[t] };
  byId("references").replaceChildren(...Object.entries(references).map(([label, token]) => {
    const row = element("tr", {}, element("th", { scope: "row", textContent: label }));
    if (token < 0) {
      row.append(element("td", { className: "token", textContent: "none" }));
      return row;
    }
    const logprob = lens.logprobOf(t, d, token);
    row.append(
      element("td", { className: "token", textContent: strings[token], title: tokenName(token) }),
      element("td", { textContent: ordinal(lens.ranks(t, token)[d], header.exact) }),
      element("td", { textContent: percent(logprob) }),
      element("td", { textContent: label === "next" ? `${amount(-logprob / Math.LN2)} bit` : "" }));
    return row;
  }));
}
