// What pictures are called: given by a person, spread to those like them, and what looks wrong.

import { h, say, number, fileName } from "./dom.js";
import { get, picture, send } from "./api.js";
import { go, address } from "./state.js";
import { jobButton } from "./jobs.js";
import { Grid } from "./grid.js";
import { more } from "./search.js";

const SHOWN = 300;
let grid = null;
export function leavePage() { grid?.close(); grid = null; }

export async function show(main) {
  leavePage();
  document.title = "Labels · Lookalike";
  const query = new URLSearchParams(location.search);
  const place = h("div", {});
  main.replaceChildren(place);
  try {
    if (query.has("spread")) await named(place, query.get("spread"), main); else await all(place, main);
  } catch (error) { place.replaceChildren(h("p", { class: "empty", role: "alert" }, error.message)); }
}

async function all(place, main) {
  const [told, doubts] = await Promise.all([get("/v1/labels", { spread: true }), get("/v1/labels/suspects")]);
  const none = !told.labels.length;
  place.replaceChildren(h("h1", {}, "Labels"),
    h("p", {}, none ? "No picture has a label. Give one in a picture's large view, name a group, or take folders' names: lookalike label --folders" : "A few names are enough: the rest are named by the pictures most like them, or left unsure."),
    h("div", { class: "row" }, h("span", { class: "faint" }, `${number(told.without)} pictures have no label of their own`), told.unsure !== null && h("a", { href: "/labels?spread=", "data-link": true }, `${number(told.unsure)} unsure`),
      h("span", { class: "spread" }), none ? null : jobButton("labels", "Name the rest", () => show(main), { main: told.unsure === null })),
    h("ul", { class: "cards" }, ...told.labels.slice(0, SHOWN).map(card)),
    told.labels.length > SHOWN ? h("p", { class: "faint" }, `${number(told.labels.length - SHOWN)} rarer labels are not shown.`) : "",
    ...suspects(doubts, () => show(main)));
}

function card(one) {
  return h("li", { class: "card" },
    h("a", { href: address({ label: one.label }), "data-link": true, "aria-label": `Pictures labelled ${one.label}` }, h("div", { class: "nine" }, ...one.examples.map((id) => h("img", { src: picture(id), alt: "", loading: "lazy" })))),
    h("p", {}, h("b", {}, one.label), ` ${number(one.images)} `, one.named ? h("a", { href: `/labels?spread=${encodeURIComponent(one.label)}`, "data-link": true }, `+ ${number(one.named)} named`) : null));
}

function suspects({ when, suspects: doubts }, again) {
  if (!when) return [];
  if (!doubts.length) return [h("h2", {}, "Labels that look wrong"), h("p", { class: "faint" }, "None: every label agrees with its neighbours, or you have answered.")];
  return [h("h2", {}, `Labels that look wrong: ${number(doubts.length)}`), ...doubts.slice(0, 50).map((one) => doubt(one, again))];
}

function doubt(one, again) {
  const row = h("section", { class: "pair", "aria-label": `${fileName(one.id)}: ${one.label} or ${one.instead}` });
  const give = async (label) => {
    try {
      await send("/v1/labels", { label, ids: [one.id] });
      say(`${fileName(one.id)} is ${label}`);
      row.remove();
      if (!document.querySelector("section.pair")) again();
    } catch (error) { say(error.message); }
  };
  row.append(h("p", {}, h("b", {}, fileName(one.id)), ` is called ${one.label}; its neighbours say ${one.instead} (${Math.round(100 * one.confidence)} %).`),
    h("div", { class: "row small" }, h("img", { src: picture(one.id), alt: fileName(one.id), height: 96 }), h("span", { class: "faint" }, "neighbours"), ...one.neighbours.map((id) => h("img", { src: picture(id), alt: fileName(id), height: 96 }))),
    h("div", { class: "row" }, h("button", { type: "button", class: "main", onclick: () => give(one.instead) }, `Call it ${one.instead}`), h("button", { type: "button", onclick: () => give(one.label) }, `Leave it ${one.label}`)));
  return row;
}

async function named(place, label, main) {
  const found = await get("/v1/labels/spread", { label, k: 1000 });
  const called = label || "unsure";
  const accept = h("button", { type: "button", class: "main", onclick: async () => {
    try {
      const done = await send("/v1/labels", { label, ids: found.images.map((one) => one.id) });
      say(`${number(done.labelled)} pictures are labelled ${label}`);
      go("/labels");
    } catch (error) { say(error.message); }
  } }, `All ${number(found.images.length)} are ${label}`);
  place.replaceChildren(h("p", {}, h("a", { href: "/labels", "data-link": true }, "‹ All labels")), h("h1", {}, label ? `Named ${called}` : "Unsure"),
    h("p", { class: "faint" }, label ? `${number(found.total)} pictures were named by those most like them, the surest first. Choose one to see more like it.` : `${number(found.total)} pictures are like nothing that has a label, or like two things at once.`),
    h("div", { class: "row" }, label && found.images.length ? accept : ""));
  const images = found.images.map((one) => ({ id: one.id, width: one.metadata.width, height: one.metadata.height, score: label ? one.confidence : undefined }));
  grid = new Grid(place, { label: `Pictures named ${called}`, open: (n) => more(images[n].id) });
  grid.show(images);
}
