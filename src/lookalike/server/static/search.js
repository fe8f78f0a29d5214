// The search page: what is asked, how it is cut, and the hits.

import { here } from "./root_path.js";
import { h, say, number, fileName } from "./dom.js";
import { get, picture, upload } from "./api.js";
import { address, go, note, read } from "./state.js";
import { Grid } from "./grid.js";
import { learn, meaning } from "./threshold_text.js";
import { isOpen, leave, view } from "./viewer.js";

const K = 200;
const MOST = 1000;
const JUDGED = 24;
const AT_ONCE = 8; // pictures of one choice, drop or paste
let page = null; // what is on the screen: {key, grid, hits, ...}
let follow = null; // a picture that was acted upon: the focus goes to it among the new hits, or to the first
let labels = null;

// `add`: to what is asked already; otherwise the search begins anew with them.
export async function take(files, { add = false } = {}) {
  const pictures = [...files].filter((file) => file.type.startsWith("image/") || /\.\w{3,4}$/.test(file.name || ""));
  if (!pictures.length) { say("that is no picture; drop, paste or choose an image file"); return; }
  say("looking at your picture…");
  const kept = [], told = [];
  for (const file of pictures.slice(0, AT_ONCE)) {
    try { kept.push((await upload(file)).query); } catch (error) { told.push(`${file.name || "the pasted picture"}: ${error.message}`); }
  }
  if (pictures.length > AT_ONCE) told.push(`${number(pictures.length)} pictures were chosen; the first ${AT_ONCE} are taken, ${AT_ONCE} at a time`);
  if (told.length) say(told.join("; ")); else document.getElementById("status").replaceChildren();
  if (!kept.length) return;
  const state = here() === "/" ? read() : { like: [], minus: [], region: [] };
  const next = add ? { like: [...state.like, ...kept] } : { like: kept, minus: [], region: [], name: "" };
  go(address({ ...state, ...next, open: "" }));
}

export function leavePage() { page?.grid?.close(); page = null; }

export function show(main) {
  const state = read();
  const key = JSON.stringify([state.like, state.minus, state.region, state.where, state.label, state.name, state.seed, state.k]);
  if (!page || page.key !== key || !main.contains(page.root)) {
    leavePage();
    page = { key, root: h("div"), hits: [], all: [] };
    main.replaceChildren(page.root);
    document.title = state.like.length ? "Search · Lookalike" : "Lookalike";
    if (state.like.length) results(page, state); else start(page, state);
    if (follow !== null && document.activeElement === document.body) main.focus({ preventScroll: true });
    if (!state.like.length) follow = null;
  } else if (page.cut) page.cut(state);
  if (state.open) reveal(state.open); else if (isOpen()) leave();
}

// ---- before anything is asked

function start(here, state) {
  const zone = h("div", { class: "zone" },
    h("h1", {}, "Find pictures that look alike"),
    h("p", {}, "Drop a picture here, paste one, or "), chooser("Choose a picture", "main"),
    h("p", { class: "faint" }, "or begin with one of yours:"));
  const summary = h("span", { class: "faint" });
  const again = h("button", { type: "button", onclick: () => go(address({ ...read(), seed: String(Math.floor(Math.random() * 1e6)) })) }, "Others");
  here.root.append(zone, filters(state), h("div", { class: "row" }, summary, h("span", { class: "spread" }), !state.name && again));
  here.grid = new Grid(here.root, { label: "Pictures of the collection", open: (n) => open(here.hits[n].id), act: (letter, n) => act(letter, here.hits[n].id) });
  list(here, state, summary);
}

async function list(here, state, summary) {
  const wanted = { k: state.name || state.label || state.where ? 300 : 60, where: condition(state), contains: state.name, order: state.name ? "id" : "random", seed: state.seed || "1" };
  try {
    const found = await get("/v1/images", wanted);
    here.hits = found.images.map(flat);
    here.grid.show(here.hits);
    const narrowed = state.name || state.label || state.where;
    summary.textContent = narrowed ? `${number(found.total)} pictures${found.total > here.hits.length ? `, ${here.hits.length} shown` : ""}` : `${number(found.total)} pictures in the collection`;
    if (!found.total) here.root.append(h("p", { class: "empty" }, narrowed ? "Nothing fits; ask for less." : "The collection is empty. Fill it with: lookalike index FOLDER"));
  } catch (error) { trouble(here, error); }
}

// ---- what was asked and what was found

function results(here, state) {
  const says = h("p", { class: "says" });
  const level = h("output", {});
  const slider = h("input", { type: "range", min: "0", max: "1", step: "0.01", value: state.min || "0", "aria-label": "Cut-off: only pictures at least so alike" });
  const cut = h("div", { class: "cut" }, h("span", {}, "At least so alike"), slider, level, says);
  const chips = h("div", { class: "row" }, ...state.like.map((name, n) => chip(name, n, state, false)), ...state.minus.map((name, n) => chip(name, n, state, true)), chooser("Another picture", "add", { add: true }));
  const summary = h("h1", {}, "Looking…");
  here.root.append(h("div", { class: "ask" }, chips, h("div", { class: "controls" }, cut, filters(state))), h("div", { class: "row" }, summary, h("span", { class: "spread" }), h("a", { class: "button", href: "/", "data-link": true }, "Start anew")));
  here.grid = new Grid(here.root, { label: "Hits, most alike first", open: (n) => open(here.hits[n].id), act: (letter, n) => act(letter, here.hits[n].id) });
  const more = h("div", { class: "more" });
  here.root.append(more);
  here.say = (min) => { says.textContent = meaning(min, here.hits, here.all.length, { endless: here.hits.length === here.all.length && here.all.length >= Number(state.k || K) }); };
  here.cut = (now) => {
    const min = Number(now.min || 0);
    if (document.activeElement !== slider) slider.value = String(min);
    here.hits = here.all.filter((hit) => hit.score >= min || min === 0);
    here.grid.show(here.hits);
    level.textContent = min ? min.toFixed(2) : "all";
    here.say(min);
    summary.textContent = here.all.length ? `${number(here.hits.length)} most alike` : "Nothing found";
    more.replaceChildren(...(here.all.length >= Number(now.k || K) && here.all.length < MOST ? [h("button", { type: "button", onclick: () => go(address({ ...read(), k: String(MOST) })) }, `More, up to ${number(MOST)}`)] : []));
  };
  slider.addEventListener("input", () => {
    const next = { ...read(), min: Number(slider.value) ? slider.value : "" };
    note(address(next));
    here.cut(next);
  });
  search(here, state);
}

async function search(here, state) {
  const wanted = { like: state.like, minus: state.minus, region: state.region, where: condition(state), k: state.k || K };
  try {
    const [found] = await Promise.all([get("/v1/search", wanted), learn()]);
    if (page !== here) return;
    here.all = found.hits.map(flat);
    here.cut(read());
    settle(here);
    if (read().open) reveal(read().open);
    if (state.like.length === 1 && !state.minus.length) relate(here, wanted);
  } catch (error) { trouble(here, error); }
}

// Who asked anew with a key goes on with keys among the hits; whoever is elsewhere by now stays there.
function settle(here) {
  const at = here.hits.findIndex((hit) => hit.id === follow);
  const lost = [document.body, document.getElementById("main")].includes(document.activeElement);
  if (follow !== null && lost && here.hits.length) here.grid.focus(Math.max(at, 0));
  follow = null;
}

// What the best hits are to the query: slower, so it comes after them.
async function relate(here, wanted) {
  try {
    const found = await get("/v1/search", { ...wanted, k: JUDGED, relations: true });
    if (page !== here) return;
    const told = new Map(found.hits.map((hit) => [hit.id, hit.relation]));
    for (const hit of here.all) hit.relation = told.get(hit.id) || null;
    here.grid.relate(here.hits.map((hit) => hit.relation));
    here.say(Number(read().min || 0));
    const copies = here.all.filter((hit) => ["copy", "identical"].includes(hit.relation?.relation)).length;
    if (copies && !document.getElementById("status").textContent) say(`${copies} of the best ${found.hits.length} are copies of this picture, edited or not`);
  } catch { /* the hits stand without it */ }
}

// ---- parts

function flat(image) {
  return { id: image.id, score: image.score, width: image.metadata.width, height: image.metadata.height, relation: image.relation || null };
}

function chooser(text, kind, options = {}) {
  const input = h("input", { type: "file", accept: "image/*,.heic,.avif,.jxl", multiple: true, hidden: true, onchange: () => take(input.files, options) });
  const button = h("button", { type: "button", class: kind, onclick: () => input.click() }, kind === "add" ? h("span", { "aria-hidden": "true" }, "+") : null, text);
  return [button, input];
}

function chip(name, n, state, minus) {
  const without = (list) => list.filter((_, at) => at !== n);
  // Boxes go with the pictures by place: those of the pictures that stay, stay.
  const next = minus ? { ...state, minus: without(state.minus) } : { ...state, like: without(state.like), region: without(state.region) };
  const called = name.startsWith("query:") ? "your picture" : fileName(name);
  const region = !minus && state.region[n] ? state.region[n].split(",").map((v) => `${100 * Number(v)}%`) : null;
  const box = region && h("span", { class: "box" });
  if (box) Object.assign(box.style, { left: region[0], top: region[1], width: region[2], height: region[3] });
  const open_ = () => view({ name, more, less, region: (part) => region_(name, part), closed: () => {} });
  return h("div", { class: minus ? "chip minus" : "chip" },
    h("button", { class: "show", type: "button", "aria-label": `${minus ? "Less like" : "Like"} ${called}: look at it, or draw a box on it`, onclick: open_ }, h("img", { src: picture(name), alt: "", onerror: (event) => { event.target.alt = "no longer kept"; } })),
    box, h("span", { class: "tag" }, minus ? "less like" : region ? "this part" : "like"),
    h("button", { class: "away", type: "button", "aria-label": `Take ${called} out`, onclick: () => ask(next, "") }, "✕"));
}

function filters(state) {
  const submit = (name) => (event) => go(address({ ...read(), [name]: event.target.value.trim(), open: "" }));
  const name = h("input", { type: "text", id: "name", placeholder: "Find by name", "aria-label": "Find by name", value: state.name, onchange: submit("name") });
  const where = h("input", { type: "text", placeholder: "Condition: width > 1000 and format = 'JPEG'", "aria-label": "Condition on metadata", value: state.where, onchange: submit("where"), title: "as in SQL; the Collection page lists the columns" });
  const select = h("select", { "aria-label": "Label", onchange: submit("label") }, h("option", { value: "" }, "Any label"), state.label && h("option", { value: state.label, selected: true }, state.label));
  select.hidden = !state.label;
  fillLabels(select, state.label);
  return h("div", { class: "filters" }, !state.like.length && name, select, where);
}

async function fillLabels(select, chosen) {
  try { labels ||= (await get("/v1/labels")).labels.slice(0, 500); } catch { return; }
  if (!labels.length) return;
  select.hidden = false;
  select.append(...labels.filter((one) => one.label !== chosen).map((one) => h("option", { value: one.label }, `${one.label} (${number(one.images)})`)));
}

function condition(state) {
  const label = state.label && `label = '${state.label.replaceAll("'", "''")}'`;
  return [label, state.where && (label ? `(${state.where})` : state.where)].filter(Boolean).join(" and ");
}

function trouble(here, error) {
  if (error.name === "AbortError") return;
  follow = null;
  here.root.append(h("p", { class: "empty", role: "alert" }, error.message));
  const heading = here.root.querySelector(".ask + .row h1");
  if (heading) heading.textContent = "That did not work";
}

// ---- what can be done with a hit

function open(id) { go(address({ ...read(), open: id })); }

function reveal(id) {
  const here = page;
  const n = here.hits.findIndex((hit) => hit.id === id);
  const hit = here.hits[n];
  const state = read();
  const query = state.like.length === 1 && !state.region.length ? state.like[0] : null;
  view({
    name: `id:${id}`, score: hit?.score, relation: hit?.relation, query, more, less, add,
    region: (part) => region_(`id:${id}`, part),
    step: n < 0 ? null : (by) => { const to = here.hits[n + by]; if (to) go(address({ ...read(), open: to.id }), { replace: true }); },
    closed: () => { if (read().open) note(address({ ...read(), open: "" })); if (n >= 0 && page === here) here.grid.focus(n); },
  });
}

function ask(state, id) { follow = id; go(address({ ...state, open: "" })); }
export function more(id) { ask({ ...kept(), like: [`id:${id}`] }, id); window.scrollTo(0, 0); }
function less(id) {
  const state = read();
  if (!state.like.length) { say("choose a picture first; then take away what it should be less like"); return; }
  ask({ ...state, minus: [...state.minus, `id:${id}`] }, id);
}
function add(id) { const state = read(); ask({ ...state, like: [...state.like, `id:${id}`] }, id); }
function region_(name, part) { ask({ ...kept(), like: [name], region: [part.join(",")] }, ""); window.scrollTo(0, 0); }
function kept() { const { where, label, min } = here() === "/" ? read() : {}; return { like: [], minus: [], region: [], where, label, min }; }

function act(letter, id) {
  if (letter === "m") more(id);
  else if (letter === "l") less(id);
  else if (letter === "a") add(id);
  else return false;
  return true;
}
