// The search page: the query, the minimum score and the hits.

import { currentPath } from "./root_path.js";
import { h, notify, number, fileName } from "./dom.js";
import { get, thumbnailUrl, upload } from "./api.js";
import { address, go, replaceAddress, read } from "./state.js";
import { chips, chosenCondition, isNarrowed, isSorted, pruneSorts, sortControl, timeline } from "./browse.js";
import { Grid } from "./grid.js";
import { Selection } from "./select.js";
import { Wall } from "./wall.js";
import { queryWithOutlines } from "./containment.js";
import { byAddedModel, byParts, loadCollection, optionControls, searchOptions } from "./search_options.js";
import { loadScores, summaryText, thresholdText } from "./threshold_text.js";
import { closeView, isOpen, view } from "./viewer.js";
import { hasWords, isText, wordsForm, wordsOf } from "./words.js";

const K = 200;
const MAX_K = 1000;
const MAX_JUDGED = 24; // best hits whose relation to the query is requested
const MAX_FILES = 8; // per selection, drop or paste
let page = null; // the state of the page that is shown: {key, grid, hits, ...}
let followId = null; // the image an action started from: it receives the focus among the new hits, or else the first
let labels = null;

// Searches with image files. `add`: add them to the current query instead of starting a new one.
export async function searchWith(files, { add = false } = {}) {
  const images = [...files].filter((file) => file.type.startsWith("image/") || /\.\w{3,4}$/.test(file.name || ""));
  if (!images.length) {
    notify("this is not an image; drop, paste or choose an image file");
    return;
  }
  notify("uploading…");
  const tokens = [],
    errors = [];
  for (const file of images.slice(0, MAX_FILES)) {
    try {
      tokens.push((await upload(file)).query);
    } catch (error) {
      errors.push(`${file.name || "the pasted image"}: ${error.message}`);
    }
  }
  if (images.length > MAX_FILES)
    errors.push(`${number(images.length)} images were selected; only the first ${MAX_FILES} are used`);
  if (errors.length) notify(errors.join("; "));
  else document.getElementById("status").replaceChildren();
  if (!tokens.length) return;
  const state = currentPath() === "/" ? read() : { like: [], minus: [], region: [] };
  const next = add ? { like: [...state.like, ...tokens] } : { like: tokens, minus: [], region: [], name: "" };
  go(address({ ...state, ...next, open: "" }));
}

export function leavePage() {
  if (page?.remember) window.removeEventListener("scroll", page.remember);
  page?.grid?.close();
  page = null;
}

export function show(main) {
  const state = read();
  const key = JSON.stringify([
    state.like,
    state.minus,
    state.region,
    state.where,
    state.label,
    state.name,
    state.seed,
    state.only,
    state.folder,
    state.like.length ? "" : state.sort,
    state.k,
    state.like.length && [state.parts, state.by],
  ]);
  if (!page || page.key !== key || !main.contains(page.root)) {
    leavePage();
    page = { key, root: h("div"), hits: [], all: [] };
    main.replaceChildren(page.root);
    document.title = state.like.length ? "Search · Lookalike" : "Lookalike";
    if (state.like.length) results(page, state);
    else start(page, state);
    if (followId !== null && document.activeElement === document.body) main.focus({ preventScroll: true });
    if (!state.like.length) followId = null;
  } else if (page.cut) page.cut(state);
  if (state.open) reveal(state.open);
  else if (isOpen()) closeView();
}

// ---- the start page

function start(current, state) {
  const zone = h(
    "div",
    { class: isNarrowed(state) ? "zone compact" : "zone" },
    h("h1", {}, "Find images that look alike"),
    wordsForm(),
    h("p", {}, "Drop an image here, paste one, or "),
    chooser("Choose an image", "main"),
    h("p", { class: "faint" }, "or start with one of the collection:"),
  );
  const summary = h("span", { class: "faint", role: "status" });
  const shuffle = h(
    "button",
    { type: "button", onclick: () => go(address({ ...read(), seed: String(Math.floor(Math.random() * 1e6)) })) },
    "Show others",
  );
  shuffle.hidden = isSorted(state);
  const facets = h("div");
  const years = h("nav", { class: "timeline", "aria-label": "Years" });
  current.root.append(
    zone,
    filters(state),
    facets,
    h("div", { class: "row order" }, sortControl(state), summary, h("span", { class: "spread" }), shuffle),
  );
  const wall = h("div", { class: "wall" }, years);
  current.root.append(wall);
  current.grid = new Wall(wall, {
    label: "Images of the collection",
    open: (n) => current.grid.tiles[n] && open(current.grid.tiles[n].id),
    act: (letter, n) => current.grid.tiles[n] && act(letter, current.grid.tiles[n].id),
    load: async (offset, k) => {
      const response = await get("/v1/images", { ...current.parameters, offset, k });
      if (page === current && response.total !== current.grid.count) current.recount(response.total);
      return response.images.map(flat);
    },
  });
  summary.before(new Selection(current.grid, current.root).button);
  list(current, state, { summary, facets, years });
}

async function list(current, state, { summary, facets, years }) {
  const collection = await loadCollection();
  pruneSorts(collection);
  const missing = isSorted(state) && state.sort !== "id" && collection && !collection.columns[state.sort.replace("-", "")];
  if (missing) state = { ...state, sort: "" };
  const narrowed = { where: condition(state, collection?.columns), contains: state.name };
  const order = isSorted(state)
    ? state.sort === "id"
      ? { order: "id" }
      : { sort: state.sort }
    : { order: "random", seed: state.seed || "1" };
  current.parameters = { ...narrowed, ...order };
  try {
    const response = await get("/v1/images", { ...current.parameters, k: 120 });
    if (page !== current) return;
    const filtered = narrowed.where || narrowed.contains;
    const say = (total) => {
      summary.textContent = `${number(total)} ${total === 1 ? "image" : "images"}${filtered ? "" : " in the collection"}`;
    };
    current.recount = (total) => {
      current.grid.recount(total); // others have added or removed images
      say(total);
    };
    current.grid.show(response.total, response.images.map(flat));
    say(response.total);
    rememberPlace(current);
    facets.replaceWith(chips(state, narrowed));
    timeline(years, current.grid, state, narrowed);
    if (!response.total)
      current.root.append(
        h(
          "p",
          { class: "empty" },
          filtered
            ? "No image matches the conditions; remove one."
            : "The collection is empty. Add images with: lookalike index FOLDER",
        ),
      );
    if (read().open) reveal(read().open);
  } catch (error) {
    showError(current, error);
  }
}

// Keeps in the history how far the list is scrolled, so that Back and a reload return there.
function rememberPlace(current) {
  const place = history.state?.scroll;
  if (place) window.scrollTo(0, place);
  let waiting = 0;
  current.remember = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      if (page === current) history.replaceState({ scroll: Math.round(window.scrollY) }, "");
    }, 150);
  };
  window.addEventListener("scroll", current.remember, { passive: true });
}

// ---- results

function results(current, state) {
  const explanation = h("p", { class: "says" });
  const level = h("output", {});
  const slider = h("input", {
    type: "range",
    min: "0",
    max: "1",
    step: "0.01",
    value: state.min || "0",
    "aria-label": "Minimum score of the hits",
  });
  const cut = h("div", { class: "cut" }, h("span", {}, "Minimum score"), slider, level, explanation);
  cut.hidden = hasWords(state); // scores of words are low for the best of them, and mean nothing as such
  const chips = h(
    "div",
    { class: "row" },
    ...state.like.map((name, n) => chip(name, n, state, false)),
    ...state.minus.map((name, n) => chip(name, n, state, true)),
    chooser("Another image", "add", { add: true }),
    wordsForm({ add: true }),
  );
  const summary = h("h1", {}, "Searching…");
  const again = h("a", { class: "button", href: "/", "data-link": true }, "New search");
  current.answer = h("p", { class: "answer", role: "status" }); // whether any hit is a copy, once they are judged
  current.root.append(
    h("div", { class: "ask" }, chips, h("div", { class: "controls" }, cut, filters(state))),
    h(
      "div",
      { class: "row" },
      summary,
      h("span", { class: "spread" }),
      again,
    ),
    current.answer,
  );
  current.grid = new Grid(current.root, {
    label: "Hits, most similar first",
    open: (n) => open(current.hits[n].id),
    act: (letter, n) => act(letter, current.hits[n].id),
  });
  const more = h("div", { class: "more" });
  current.root.append(more);
  again.before(new Selection(current.grid, current.root).button);
  current.showParts = () => {
    current.found?.remove();
    current.found = queryWithOutlines(state.like[0], current.all, (n) => current.grid.focus(n));
    if (current.found) current.grid.list.before(current.found);
  };
  current.explain = (min) => {
    explanation.textContent = thresholdText(min, current.hits, current.all.length, {
      calibrated: !byAddedModel(state),
      endless: current.hits.length === current.all.length && current.all.length >= Number(state.k || K),
    });
  };
  current.cut = (now) => {
    const min = Number(now.min || 0);
    if (document.activeElement !== slider) slider.value = String(min);
    // An image that shares only a part has a low score; that part is verified.
    current.hits = current.all.filter((hit) => hit.score >= min || min === 0 || hit.containment);
    current.grid.show(current.hits);
    level.textContent = min ? min.toFixed(2) : "all";
    current.explain(min);
    summary.textContent = headingText(current.hits, state);
    more.replaceChildren(
      ...(current.all.length >= Number(now.k || K) && current.all.length < MAX_K
        ? [
            h(
              "button",
              { type: "button", onclick: () => go(address({ ...read(), k: String(MAX_K) })) },
              `More, up to ${number(MAX_K)}`,
            ),
          ]
        : []),
    );
  };
  slider.addEventListener("input", () => {
    const next = { ...read(), min: Number(slider.value) ? slider.value : "" };
    replaceAddress(address(next));
    current.cut(next);
  });
  search(current, state);
}

function headingText(hits, state) {
  if (!hits.length) return "No hits";
  const found = hits.filter((hit) => hit.containment).length;
  const similar = hasWords(state)
    ? `${number(hits.length)} best matches`
    : `${number(hits.length - found)} most similar`;
  if (!byParts(state)) return similar;
  return found ? `${number(found)} by parts, ${similar}` : `No parts found; ${similar}`;
}

async function search(current, state) {
  const collection = state.parts || state.by || state.only.length ? await loadCollection() : null;
  const parameters = {
    like: state.like,
    minus: state.minus,
    region: state.region,
    where: condition(state, collection?.columns),
    k: state.k || K,
  };
  try {
    const options = searchOptions(state);
    const [response] = await Promise.all([get("/v1/search", { ...parameters, ...options }), loadScores()]);
    if (page !== current) return;
    current.all = response.hits.map(flat);
    current.cut(read());
    if (options.parts) current.showParts();
    restoreFocus(current);
    if (read().open) reveal(read().open);
    if (state.like.length === 1 && !state.minus.length && !hasWords(state)) relate(current, { ...parameters, by: options.by });
  } catch (error) {
    showError(current, error);
  }
}

// Moves the focus to the followed image, unless the user has focused something else.
function restoreFocus(current) {
  const at = current.hits.findIndex((hit) => hit.id === followId);
  const unfocused = [document.body, document.getElementById("main")].includes(document.activeElement);
  if (followId !== null && unfocused && current.hits.length) current.grid.focus(Math.max(at, 0));
  followId = null;
}

// The relations of the best hits, requested after the hits because they take longer.
async function relate(current, parameters) {
  try {
    const response = await get("/v1/search", { ...parameters, k: MAX_JUDGED, relations: true });
    if (page !== current) return;
    const relations = new Map(response.hits.map((hit) => [hit.id, hit.relation]));
    for (const hit of current.all) hit.relation = relations.get(hit.id) || null;
    current.grid.relate(current.hits.map((hit) => hit.relation));
    current.explain(Number(read().min || 0));
    // The summary is about images as wholes; where parts are found, it would deny them.
    const hasParts = current.all.some((hit) => hit.containment);
    current.answer.textContent = response.summary && !hasParts ? summaryText(response.summary) : "";
  } catch {
    /* the hits are shown without relations */
  }
}

// ---- parts

function flat(image) {
  return {
    id: image.id,
    score: image.score,
    percentile: image.percentile,
    width: image.metadata.width,
    height: image.metadata.height,
    label: image.metadata.label,
    relation: image.relation || null,
    containment: image.containment || null,
  };
}

function chooser(text, kind, options = {}) {
  const input = h("input", {
    type: "file",
    accept: "image/*,.heic,.avif,.jxl",
    multiple: true,
    hidden: true,
    onchange: () => searchWith(input.files, options),
  });
  const button = h(
    "button",
    { type: "button", class: kind, onclick: () => input.click() },
    kind === "add" ? h("span", { "aria-hidden": "true" }, "+") : null,
    text,
  );
  return [button, input];
}

function chip(name, n, state, minus) {
  const without = (list) => list.filter((_, index) => index !== n);
  // Regions belong to images by position, so both are removed together.
  const next = minus
    ? { ...state, minus: without(state.minus) }
    : { ...state, like: without(state.like), region: without(state.region) };
  if (isText(name)) return wordsChip(name, minus, () => searchAgain(next, ""));
  const title = name.startsWith("query:") ? "your image" : fileName(name);
  const region = !minus && state.region[n] ? state.region[n].split(",").map((v) => `${100 * Number(v)}%`) : null;
  const box = region && h("span", { class: "box" });
  if (box) Object.assign(box.style, { left: region[0], top: region[1], width: region[2], height: region[3] });
  const openView = () => view({ name, more, less, region: (part) => searchRegion(name, part), closed: () => {} });
  return h(
    "div",
    { class: minus ? "chip minus" : "chip" },
    h(
      "button",
      {
        class: "show",
        type: "button",
        "aria-label": `${minus ? "Less like" : "Like"} ${title}: open it, or draw a box on it`,
        onclick: openView,
      },
      h("img", {
        src: thumbnailUrl(name),
        alt: "",
        onerror: (event) => {
          event.target.alt = "expired";
        },
      }),
    ),
    box,
    h("span", { class: "tag" }, minus ? "less like" : region ? "region" : "like"),
    h(
      "button",
      { class: "away", type: "button", "aria-label": `Remove ${title}`, onclick: () => searchAgain(next, "") },
      "✕",
    ),
  );
}

function wordsChip(name, minus, remove) {
  const words = wordsOf(name);
  return h(
    "div",
    { class: minus ? "chip minus said" : "chip said" },
    h("q", {}, words),
    h("span", { class: "tag" }, minus ? "without" : "words"),
    h("button", { class: "away", type: "button", "aria-label": `Remove ${words}`, onclick: remove }, "✕"),
  );
}

function filters(state) {
  const submit = (name) => (event) => go(address({ ...read(), [name]: event.target.value.trim(), open: "" }));
  const name = h("input", {
    type: "text",
    id: "name",
    placeholder: "Find by name",
    "aria-label": "Find by name",
    value: state.name,
    onchange: submit("name"),
  });
  const where = h("input", {
    type: "text",
    placeholder: "Condition: width > 1000 and format = 'JPEG'",
    "aria-label": "Condition on metadata",
    value: state.where,
    onchange: submit("where"),
    title: "SQL syntax; the Collection page lists the columns",
  });
  const select = h(
    "select",
    { "aria-label": "Label", onchange: submit("label") },
    h("option", { value: "" }, "Any label"),
    state.label && h("option", { value: state.label, selected: true }, state.label),
  );
  select.hidden = !state.label;
  fillLabels(select, state.label);
  return h("div", { class: "filters" }, !state.like.length && name, select, where, optionControls(state));
}

async function fillLabels(select, chosen) {
  try {
    labels ||= (await get("/v1/labels")).labels.slice(0, 500);
  } catch {
    return;
  }
  if (!labels.length) return;
  select.hidden = false;
  select.append(
    ...labels
      .filter(({ label }) => label !== chosen)
      .map(({ label, images }) => h("option", { value: label }, `${label} (${number(images)})`)),
  );
}

function condition(state, columns) {
  const label = state.label && `label = '${state.label.replaceAll("'", "''")}'`;
  const others = [label, chosenCondition(state, columns)].filter(Boolean);
  return [...others, state.where && (others.length ? `(${state.where})` : state.where)].filter(Boolean).join(" and ");
}

function showError(current, error) {
  if (error.name === "AbortError") return;
  followId = null;
  current.root.append(h("p", { class: "empty", role: "alert" }, error.message));
  const heading = current.root.querySelector(".ask + .row h1");
  if (heading) heading.textContent = "Search failed";
}

// ---- actions on a hit

function open(id) {
  go(address({ ...read(), open: id }));
}

function reveal(id) {
  const current = page;
  const n = current.grid.positions?.get(id) ?? current.hits.findIndex((hit) => hit.id === id);
  const hit = current.hits[n];
  const state = read();
  const query = state.like.length === 1 && !state.region.length && !hasWords(state) ? state.like[0] : null;
  view({
    name: `id:${id}`,
    score: hit?.score,
    percentile: hit?.percentile,
    relation: hit?.relation,
    containment: hit?.containment,
    query,
    more,
    less,
    add,
    region: (part) => searchRegion(`id:${id}`, part),
    step:
      n < 0
        ? null
        : async (by) => {
            const to = current.grid.at ? await current.grid.at(n + by) : current.hits[n + by];
            if (to && isOpen()) go(address({ ...read(), open: to.id }), { replace: true });
          },
    closed: () => {
      if (read().open) replaceAddress(address({ ...read(), open: "" }));
      if (n >= 0 && page === current) current.grid.focus(n);
    },
  });
}

function searchAgain(state, id) {
  followId = id;
  go(address({ ...state, open: "" }));
}
export function more(id) {
  searchAgain({ ...filtersOf(), like: [`id:${id}`] }, id);
  window.scrollTo(0, 0);
}
function less(id) {
  const state = read();
  if (!state.like.length) {
    notify("choose an image to search with first, then exclude others");
    return;
  }
  searchAgain({ ...state, minus: [...state.minus, `id:${id}`] }, id);
}
function add(id) {
  const state = read();
  searchAgain({ ...state, like: [...state.like, `id:${id}`] }, id);
}
function searchRegion(name, part) {
  searchAgain({ ...filtersOf(), like: [name], region: [part.join(",")] }, "");
  window.scrollTo(0, 0);
}
function filtersOf() {
  const { where, label, only, folder, min, parts, by } = currentPath() === "/" ? read() : {};
  return { like: [], minus: [], region: [], where, label, only, folder, min, parts, by };
}

function act(letter, id) {
  if (letter === "m") more(id);
  else if (letter === "l") less(id);
  else if (letter === "a") add(id);
  else return false;
  return true;
}
