// The list of prompts and passages, by category, with its search.

/**
 * @param header of the page: its prompts, and categories as a reader sees them
 * @param onChoose called with the id of the chosen prompt
 * @param onList called when others are listed
 */
function makeChooser({ prompts, categories }, onChoose, onList) {
  const [search, select, list] = [byId("search"), byId("category"), byId("list")];
  // What the search looks in: the id, the category, the text and the target.
  const haystack = ({ id, category, text, target }) =>
    [id, categories[category], text, target].join("\n").toLowerCase();

  const items = prompts.map((prompt) => {
    const link = element("a", { tabIndex: -1, href: `#${new URLSearchParams({ prompt: prompt.id })}` });
    link.dataset.id = prompt.id;
    const item = element("li", {}, link);
    return { prompt, link, item, haystack: haystack(prompt) };
  });
  const itemOf = new Map(items.map((item) => [item.prompt.id, item]));
  const groups = Object.entries(categories).map(([category, name]) => {
    const own = items.filter(({ prompt }) => prompt.category === category);
    const count = element("span", { className: "count" });
    const head = element("h3", {}, element("bdi", { textContent: name }), " ", count);
    const section = element("section", {}, head, element("ul", {}, ...own.map(({ item }) => item)));
    select.append(element("option", { value: category, textContent: `${name} (${own.length})` }));
    return { category, own, count, section };
  });
  list.append(...groups.map(({ section }) => section));
  select.prepend(element("option", { value: "", textContent: `all categories (${prompts.length})` }));
  select.value = "";

  const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);
  let words = null;

  /** A text with the words that were searched for marked. */
  function marked(text) {
    const [lower, parts] = [text.toLowerCase(), []];
    if (lower.length !== text.length) return [text]; // a letter that lower case lengthens
    let at = 0;
    while (words.length && at < text.length) {
      const found = words.map((word) => [lower.indexOf(word, at), word.length]).filter(([start]) => start >= 0);
      if (!found.length) break;
      const [start, length] = found.reduce((a, b) => (b[0] < a[0] || (b[0] === a[0] && b[1] > a[1]) ? b : a));
      parts.push(text.slice(at, start), element("mark", { textContent: text.slice(start, start + length) }));
      at = start + length;
    }
    return [...parts, text.slice(at)];
  }

  /** A text from shortly before the first word that was searched for, if that stands far in it. */
  function excerpt(text) {
    const lower = text.toLowerCase();
    const first = Math.min(...words.map((word) => lower.indexOf(word)).filter((at) => at >= 0));
    const start = text.lastIndexOf(" ", first - 20);
    return Number.isFinite(first) && first > 60 && start > 0 ? `…${text.slice(start)}` : text;
  }

  function label({ prompt, link }) {
    const name = element("bdi", { className: "id" }, ...marked(prompt.id));
    const text = element("bdi", { className: "excerpt" }, ...marked(excerpt(prompt.text)));
    link.replaceChildren(name, text);
    if (prompt.target) link.append(element("bdi", { className: "excerpt goal" }, "→ ", ...marked(prompt.target)));
  }

  function filter() {
    words = wordsOf(search.value);
    let total = 0;
    for (const { category, own, count, section } of groups) {
      let shown = 0;
      for (const item of own) {
        const fits = words.every((word) => item.haystack.includes(word));
        item.item.hidden = !fits || (select.value !== "" && select.value !== category);
        if (item.item.hidden) continue;
        shown += 1;
        label(item);
      }
      section.hidden = shown === 0;
      count.textContent = shown;
      total += shown;
    }
    const what = total === 1 ? "prompt or passage" : "prompts and passages";
    byId("found").textContent = total ? `${total} ${what}` : "Nothing found: try fewer words, or all categories.";
    reach(chosen && !chosen.item.hidden ? chosen : shownItems()[0]);
    onList();
  }

  const shownItems = () => groups.flatMap(({ own }) => own).filter(({ item }) => !item.hidden);
  let [chosen, reachable] = [null, null];

  /** Make an item the one that the Tab key leads to. */
  function reach(item) {
    if (reachable) reachable.link.tabIndex = -1;
    reachable = item ?? null;
    if (reachable) reachable.link.tabIndex = 0;
  }

  function focus(item) {
    if (!item) return;
    reach(item);
    item.link.focus();
  }

  search.addEventListener("input", filter);
  select.addEventListener("change", filter);
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") focus(reachable);
    else if (event.key === "Enter" && shownItems().length) onChoose(shownItems()[0].prompt.id);
    else if (event.key === "Escape" && search.value) {
      search.value = "";
      filter();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  list.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return; // to open it elsewhere
    event.preventDefault();
    onChoose(link.dataset.id);
  });
  list.addEventListener("keydown", (event) => {
    const link = event.target.closest("a");
    if (!link) return;
    const shown = shownItems();
    const at = shown.indexOf(itemOf.get(link.dataset.id));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: shown.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (to < 0) search.focus();
    else focus(shown[to]);
  });
  return {
    /** Mark a prompt as the one that is shown. */
    mark(id) {
      chosen?.link.removeAttribute("aria-current");
      chosen = itemOf.get(id);
      chosen.link.setAttribute("aria-current", "page");
      if (chosen.item.hidden) return;
      reach(chosen);
      // Not scrollIntoView, which would scroll the page too.
      const [box, seen] = [chosen.link.getBoundingClientRect(), list.getBoundingClientRect()];
      if (box.top < seen.top + 40) list.scrollTop += box.top - seen.top - 40;
      else if (box.bottom > seen.bottom) list.scrollTop += box.bottom - seen.bottom;
    },
    /** The id of the prompt so many places on among those that are listed, if there is one. */
    beside(step) {
      const shown = shownItems();
      return shown[shown.indexOf(chosen) + step]?.prompt.id;
    },
    /** Each link leads to its prompt as it would be shown now. */
    link(addressOf) {
      for (const { prompt, link } of items) link.href = addressOf(prompt.id);
    },
    /** List all, or what the search says. */
    filter,
    search,
  };
}
