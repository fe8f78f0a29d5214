// The map: all images in the plane, with similar ones close to each other.

import "./mapview.js";
import { h, number } from "./dom.js";
import { get, thumbnailUrl } from "./api.js";
import { jobButton } from "./jobs.js";
import { more } from "./search.js";

const MAX_THUMBNAILS = 3000; // in memory
const MAX_LOADING = 24; // concurrent requests, so that visible thumbnails come before those scrolled past
const SIDE = 64;

export async function show(main) {
  document.title = "Map · Lookalike";
  const container = h("div", {});
  main.replaceChildren(container);
  try {
    const data = await get("/v1/map");
    if (!container.isConnected) return;
    if (data.ids.length) draw(container, data, main);
    else showStart(container, main);
  } catch (error) {
    container.replaceChildren(h("p", { class: "empty", role: "alert" }, error.message));
  }
}

function showStart(container, main) {
  container.replaceChildren(
    h("h1", {}, "Map"),
    h(
      "p",
      {},
      "The map shows all images, with similar ones close together. There is no map yet; creating one for 70,000 images takes about three minutes.",
    ),
    jobButton("map", "Create the map", () => show(main), { main: true }),
  );
}

function draw(container, data, main) {
  const canvas = h("canvas", { id: "map" });
  const tip = h("div", { id: "tip", hidden: true });
  const legend = h("div", { id: "legend" });
  const status = h("span", { class: "faint", role: "status" });
  const colorSelect = h(
    "select",
    { "aria-label": "Color by", onchange: () => map.colorBy(Number(colorSelect.value)) },
    ...data.groups.map((group, n) => h("option", { value: String(n) }, `Color: ${group.title}`)),
  );
  colorSelect.hidden = !data.groups.length;
  const find = h("input", { type: "text", id: "name", placeholder: "Find by name", "aria-label": "Find by name" });
  const search = () => {
    const n = map.find(find.value.trim());
    status.textContent = !find.value.trim() ? "" : n < 0 ? "no image with this name" : data.ids[n];
  };
  find.addEventListener("change", search);
  find.addEventListener("keydown", (event) => {
    if (event.key === "Enter") search();
  });
  const waiting = data.waiting ? jobButton("map", `Add ${number(data.waiting)} new`, () => show(main)) : null;
  const shown = number(data.ids.length);
  const count = data.total > data.ids.length ? `${shown} of ${number(data.total)}` : shown;
  container.replaceChildren(
    h("h1", {}, "Map"),
    h(
      "div",
      { class: "row" },
      h(
        "span",
        { class: "faint" },
        `${count} images, with similar ones close together. Select one to search for similar images.`,
      ),
      h("span", { class: "spread" }),
      colorSelect,
      find,
      h("button", { type: "button", onclick: () => map.whole() }, "Whole map"),
      waiting,
      status,
    ),
    h("div", { class: "map" }, canvas, legend, tip),
  );
  const groups = data.groups.map((group) => ({ ...group, of: Int32Array.from(group.of) }));
  const map = globalThis.mapView({
    canvas,
    tip,
    legend,
    ids: data.ids,
    xs: Float32Array.from(data.x),
    ys: Float32Array.from(data.y, (y) => -y),
    groups,
    palette: data.palette,
    side: SIDE,
    stamp: stamps(data.ids, () => map.again()),
    open: (n) => more(data.ids[n]),
  });
}

// Returns a function that draws thumbnails; they are loaded when first visible, a few at a time, latest request first.
function stamps(ids, redraw) {
  const images = new Map();
  let queue = [],
    loading = 0;
  const loadNext = () => {
    while (loading < MAX_LOADING && queue.length) {
      const n = queue.pop();
      if (images.has(n)) continue;
      const image = new Image();
      images.set(n, image);
      loading += 1;
      image.onload = () => {
        loading -= 1;
        redraw();
        loadNext();
      };
      image.onerror = () => {
        loading -= 1;
        loadNext();
      };
      image.src = thumbnailUrl(ids[n]);
    }
    queue = queue.slice(-1500);
    if (images.size > MAX_THUMBNAILS)
      for (const n of [...images.keys()].slice(0, images.size - MAX_THUMBNAILS)) images.delete(n);
  };
  return (g, n, x, y, size) => {
    const image = images.get(n);
    if (!image) {
      queue.push(n);
      loadNext();
      return false;
    }
    if (!image.complete || !image.naturalWidth) return false;
    const side = Math.min(image.naturalWidth, image.naturalHeight);
    g.drawImage(image, (image.naturalWidth - side) / 2, (image.naturalHeight - side) / 2, side, side, x, y, size, size);
    return true;
  };
}
