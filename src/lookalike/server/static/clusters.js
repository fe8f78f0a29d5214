// Groups of pictures at several levels, each shown by nine that stand for it.

import { h, number, say } from "./dom.js";
import { get, picture, send } from "./api.js";
import { go } from "./state.js";
import { jobButton } from "./jobs.js";
import { Grid } from "./grid.js";
import { more } from "./search.js";

let grid = null;
export function leavePage() { grid?.close(); grid = null; }

export async function show(main) {
  leavePage();
  document.title = "Groups · Lookalike";
  const query = new URLSearchParams(location.search);
  const place = h("div", {});
  main.replaceChildren(place);
  try {
    if (query.get("group")) await one(place, query.get("group")); else await all(place, query.get("level"), main);
  } catch (error) { place.replaceChildren(h("p", { class: "empty", role: "alert" }, error.message)); }
}

async function all(place, level, main) {
  const told = await get("/v1/clusters", { level });
  const make = jobButton("clusters", told.levels.length ? "Group anew" : "Group the pictures", () => show(main), { main: !told.levels.length });
  const steps = told.levels.map((count) => h("button", { type: "button", "aria-pressed": String(count === told.level), onclick: () => go(`/clusters?level=${count}`) }, `${number(count)} group${count === 1 ? "" : "s"}`));
  place.replaceChildren(h("h1", {}, "Groups"), h("p", {}, told.levels.length ? "Pictures of a kind, found without being told what to look for." : "The pictures have not been grouped yet. It takes a minute for 100,000."),
    h("div", { class: "row" }, told.levels.length ? h("div", { class: "segments", role: "group", "aria-label": "How fine" }, ...steps) : null, h("span", { class: "spread" }), make),
    h("ul", { class: "cards" }, ...told.clusters.slice(0, 300).map(card)),
    told.clusters.length > 300 ? h("p", { class: "faint" }, `${number(told.clusters.length - 300)} smaller groups are not shown; choose a coarser level.`) : "");
}

function card(cluster) {
  return h("li", {}, h("a", { class: "card", href: `/clusters?group=${cluster.key}`, "data-link": true },
    h("div", { class: "nine" }, ...cluster.examples.slice(0, 9).map((id) => h("img", { src: picture(id), alt: "", loading: "lazy" }))),
    h("p", {}, h("b", {}, called(cluster)), ` ${number(cluster.size)} pictures`),
    cluster.labelled ? h("p", { class: "faint" }, given(cluster)) : ""));
}

// "sea 12, sky 2 of 20 with a label"
function given({ labels, labelled }) {
  const shown = labels.reduce((sum, one) => sum + one.images, 0);
  return labels.map((one) => `${one.label} ${number(one.images)}`).join(", ") + (shown < labelled ? ` of ${number(labelled)} with a label` : "");
}

function called({ key, name }) { return name || `Group ${key.split("/")[1]}`; }

// What most of its pictures that have a label are labelled; "" where none has one.
function mostly({ labels = [], labelled }) {
  const [most] = labels;
  return most ? `Of ${number(labelled)} with a label ${number(most.images)} ${most.images === 1 ? "is" : "are"} ${most.label}. ` : "";
}

async function one(place, key) {
  const [told, { clusters }] = await Promise.all([get(`/v1/clusters/${key}`, { k: 1000 }), get("/v1/clusters", { level: key.split("/")[0] })]);
  const group = clusters.find((cluster) => cluster.key === key) || { key };
  const field = h("input", { type: "text", "aria-label": "Name of the group", placeholder: "Name this group", maxlength: "200" });
  const name = async (event) => {
    event.preventDefault();
    if (!field.value.trim()) return;
    try {
      const done = await send("/v1/labels", { label: field.value.trim(), cluster: key });
      say(`${number(done.labelled)} typical pictures are labelled ${field.value.trim()}; the page Labels names the rest`);
    } catch (error) { say(error.message); }
  };
  place.replaceChildren(h("p", {}, h("a", { href: `/clusters?level=${key.split("/")[0]}`, "data-link": true }, "‹ All groups")), h("h1", {}, called(group)), h("p", { class: "faint" }, `${mostly(group)}${number(told.total)} pictures, the most typical first${told.total > told.images.length ? `; ${number(told.images.length)} shown` : ""}. Choose one to see more like it.`), h("form", { class: "row", onsubmit: name }, field, h("button", {}, "Name it")));
  const images = told.images.map(({ id, metadata }) => ({ id, width: metadata.width, height: metadata.height }));
  grid = new Grid(place, { label: "Pictures of the group", open: (n) => more(images[n].id) });
  grid.show(images);
}
