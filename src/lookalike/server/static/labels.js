// Labels: those given by a person, those propagated to similar images, and those that look wrong.

import { h, notify, number, fileName, percent } from "./dom.js";
import { get, thumbnailUrl, send } from "./api.js";
import { go, address } from "./state.js";
import { jobButton } from "./jobs.js";
import { Grid } from "./grid.js";
import { more } from "./search.js";

const MAX_LABELS = 300;
let grid = null;
export function leavePage() {
  grid?.close();
  grid = null;
}

export async function show(main) {
  leavePage();
  document.title = "Labels · Lookalike";
  const query = new URLSearchParams(location.search);
  const container = h("div", {});
  main.replaceChildren(container);
  try {
    if (query.has("spread")) await showPropagated(container, query.get("spread"));
    else await showLabels(container, main);
  } catch (error) {
    container.replaceChildren(h("p", { class: "empty", role: "alert" }, error.message));
  }
}

async function showLabels(container, main) {
  const [response, suspectList] = await Promise.all([get("/v1/labels", { spread: true }), get("/v1/labels/suspects")]);
  const empty = !response.labels.length;
  container.replaceChildren(
    h("h1", {}, "Labels"),
    h(
      "p",
      {},
      empty
        ? "No image has a label yet. Label an image in its large view, name a group, or use folder names as labels: lookalike label --folders"
        : "A few labels are enough: each other image gets the label of the most similar ones, or stays unsure.",
    ),
    h(
      "div",
      { class: "row" },
      h("span", { class: "faint" }, `${number(response.without)} images without a label`),
      response.unsure !== null &&
        h("a", { href: "/labels?spread=", "data-link": true }, `${number(response.unsure)} unsure`),
      h("span", { class: "spread" }),
      empty ? null : jobButton("labels", "Label the other images", () => show(main), { main: response.unsure === null }),
    ),
    h("ul", { class: "cards" }, ...response.labels.slice(0, MAX_LABELS).map(card)),
    response.labels.length > MAX_LABELS
      ? h("p", { class: "faint" }, `${number(response.labels.length - MAX_LABELS)} rarer labels are not shown.`)
      : "",
    ...suspectSection(suspectList, () => show(main)),
  );
}

function card({ label, images, named, examples }) {
  return h(
    "li",
    { class: "card" },
    h(
      "a",
      { href: address({ label }), "data-link": true, "aria-label": `Images labeled ${label}` },
      h(
        "div",
        { class: "nine" },
        ...examples.map((id) => h("img", { src: thumbnailUrl(id), alt: "", loading: "lazy" })),
      ),
    ),
    h(
      "p",
      {},
      h("b", {}, label),
      ` ${number(images)} `,
      named
        ? h(
            "a",
            { href: `/labels?spread=${encodeURIComponent(label)}`, "data-link": true },
            `+ ${number(named)} by similarity`,
          )
        : null,
    ),
  );
}

function suspectSection({ when, suspects }, reload) {
  if (!when) return [];
  if (!suspects.length)
    return [
      h("h2", {}, "Labels that look wrong"),
      h("p", { class: "faint" }, "None. Every label agrees with the most similar images, or you have confirmed it."),
    ];
  return [
    h("h2", {}, `Labels that look wrong: ${number(suspects.length)}`),
    ...suspects.slice(0, 50).map((suspect) => suspectRow(suspect, reload)),
  ];
}

function suspectRow(suspect, reload) {
  const row = h("section", {
    class: "pair",
    "aria-label": `${fileName(suspect.id)}: ${suspect.label} or ${suspect.instead}`,
  });
  const setLabel = async (label) => {
    try {
      await send("/v1/labels", { label, ids: [suspect.id] });
      notify(`${fileName(suspect.id)} is labeled ${label}`);
      row.remove();
      if (!document.querySelector("section.pair")) reload();
    } catch (error) {
      notify(error.message);
    }
  };
  row.append(
    h(
      "p",
      {},
      h("b", {}, fileName(suspect.id)),
      ` is labeled ${suspect.label}, but the most similar images suggest ${suspect.instead} (${percent(suspect.confidence)}).`,
    ),
    h(
      "div",
      { class: "row small" },
      h("img", { src: thumbnailUrl(suspect.id), alt: fileName(suspect.id), height: 96 }),
      h("span", { class: "faint" }, "most similar"),
      ...suspect.neighbors.map((id) => h("img", { src: thumbnailUrl(id), alt: fileName(id), height: 96 })),
    ),
    h(
      "div",
      { class: "row" },
      h(
        "button",
        { type: "button", class: "main", onclick: () => setLabel(suspect.instead) },
        `Change to ${suspect.instead}`,
      ),
      h("button", { type: "button", onclick: () => setLabel(suspect.label) }, `Keep ${suspect.label}`),
    ),
  );
  return row;
}

async function showPropagated(container, label) {
  const response = await get("/v1/labels/spread", { label, k: 1000 });
  const title = label || "unsure";
  const accept = h(
    "button",
    {
      type: "button",
      class: "main",
      onclick: async () => {
        try {
          const result = await send("/v1/labels", { label, ids: response.images.map((image) => image.id) });
          notify(`${number(result.labeled)} images are labeled ${label}`);
          go("/labels");
        } catch (error) {
          notify(error.message);
        }
      },
    },
    `Label all ${number(response.images.length)} as ${label}`,
  );
  container.replaceChildren(
    h("p", {}, h("a", { href: "/labels", "data-link": true }, "‹ All labels")),
    h("h1", {}, label ? `Labeled ${title} by similarity` : "Unsure"),
    h(
      "p",
      { class: "faint" },
      label
        ? `${number(response.total)} images got this label from similar images, most confident first. Select one to see more like it.`
        : `${number(response.total)} images are unlike every labeled image, or are similar to images with different labels.`,
    ),
    h("div", { class: "row" }, label && response.images.length ? accept : ""),
  );
  const images = response.images.map((image) => ({
    id: image.id,
    width: image.metadata.width,
    height: image.metadata.height,
    score: label ? image.confidence : undefined,
  }));
  grid = new Grid(container, { label: `Images labeled ${title}`, open: (n) => more(images[n].id) });
  grid.show(images);
}
