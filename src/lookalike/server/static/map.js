// The whole collection in the plane: alike pictures lie near each other.

import "./mapview.js";
import { h, number } from "./dom.js";
import { get, picture } from "./api.js";
import { jobButton } from "./jobs.js";
import { more } from "./search.js";

const KEPT = 3000; // thumbnails in memory
const LOADING = 24; // at a time: what is in sight comes before what was
const SIDE = 64;

export async function show(main) {
  document.title = "Map · Lookalike";
  const place = h("div", {});
  main.replaceChildren(place);
  try {
    const told = await get("/v1/map");
    if (!place.isConnected) return;
    if (told.ids.length) draw(place, told, main); else begin(place, main);
  } catch (error) { place.replaceChildren(h("p", { class: "empty", role: "alert" }, error.message)); }
}

function begin(place, main) {
  place.replaceChildren(h("h1", {}, "Map"), h("p", {}, "All pictures in the plane, alike ones near each other. There is no map yet; laying it out takes about three minutes for 70,000 pictures."),
    jobButton("map", "Lay out the map", () => show(main), { main: true }));
}

function draw(place, told, main) {
  const canvas = h("canvas", { id: "map" });
  const tip = h("div", { id: "tip", hidden: true });
  const legend = h("div", { id: "legend" });
  const said = h("span", { class: "faint", role: "status" });
  const colour = h("select", { "aria-label": "Colour by", onchange: () => map.colour(Number(colour.value)) }, ...told.groups.map((group, n) => h("option", { value: String(n) }, `Colour: ${group.title}`)));
  colour.hidden = !told.groups.length;
  const find = h("input", { type: "text", id: "name", placeholder: "Find by name", "aria-label": "Find by name" });
  const look = () => {
    const n = map.find(find.value.trim());
    said.textContent = !find.value.trim() ? "" : n < 0 ? "no picture of this name" : told.ids[n];
  };
  find.addEventListener("change", look);
  find.addEventListener("keydown", (event) => { if (event.key === "Enter") look(); });
  const waiting = told.waiting ? jobButton("map", `Place ${number(told.waiting)} new`, () => show(main)) : null;
  place.replaceChildren(h("h1", {}, "Map"),
    h("div", { class: "row" }, h("span", { class: "faint" }, `${number(told.ids.length)} pictures, alike ones near each other. Choose one to search with it.`), h("span", { class: "spread" }), colour, find,
      h("button", { type: "button", onclick: () => map.whole() }, "Whole map"), waiting, said),
    h("div", { class: "map" }, canvas, legend, tip));
  const groups = told.groups.map((group) => ({ ...group, of: Int32Array.from(group.of) }));
  const map = globalThis.mapView({
    canvas, tip, legend, ids: told.ids, xs: Float32Array.from(told.x), ys: Float32Array.from(told.y, (y) => -y), groups,
    palette: told.palette, side: SIDE, stamp: stamps(told.ids, () => map.again()), open: (n) => more(told.ids[n]),
  });
}

// Thumbnails are asked for when they are first to be seen, a few at a time, the latest wish first.
function stamps(ids, again) {
  const images = new Map();
  let wanted = [], loading = 0;
  const next = () => {
    while (loading < LOADING && wanted.length) {
      const n = wanted.pop();
      if (images.has(n)) continue;
      const image = new Image();
      images.set(n, image);
      loading += 1;
      image.onload = () => { loading -= 1; again(); next(); };
      image.onerror = () => { loading -= 1; next(); };
      image.src = picture(ids[n]);
    }
    wanted = wanted.slice(-1500);
    if (images.size > KEPT) for (const n of [...images.keys()].slice(0, images.size - KEPT)) images.delete(n);
  };
  return (g, n, x, y, size) => {
    const image = images.get(n);
    if (!image) { wanted.push(n); next(); return false; }
    if (!image.complete || !image.naturalWidth) return false;
    const side = Math.min(image.naturalWidth, image.naturalHeight);
    g.drawImage(image, (image.naturalWidth - side) / 2, (image.naturalHeight - side) / 2, side, side, x, y, size, size);
    return true;
  };
}
