// Groups of similar images at several levels, each shown by up to nine typical ones.

import { h, number, notify } from "./dom.js";
import { get, thumbnailUrl, send } from "./api.js";
import { go } from "./state.js";
import { jobButton } from "./jobs.js";
import { Grid } from "./grid.js";
import { more } from "./search.js";

let grid = null;
export function leavePage() {
  grid?.close();
  grid = null;
}

export async function show(main) {
  leavePage();
  document.title = "Groups · Lookalike";
  const query = new URLSearchParams(location.search);
  const container = h("div", {});
  main.replaceChildren(container);
  try {
    if (query.get("group")) await showGroup(container, query.get("group"));
    else await showLevel(container, query.get("level"), main);
  } catch (error) {
    container.replaceChildren(h("p", { class: "empty", role: "alert" }, error.message));
  }
}

async function showLevel(container, level, main) {
  const response = await get("/v1/clusters", { level });
  const start = jobButton("clusters", response.levels.length ? "Group again" : "Group the images", () => show(main), {
    main: !response.levels.length,
  });
  const steps = response.levels.map((count) =>
    h(
      "button",
      {
        type: "button",
        "aria-pressed": String(count === response.level),
        onclick: () => go(`/clusters?level=${count}`),
      },
      `${number(count)} group${count === 1 ? "" : "s"}`,
    ),
  );
  container.replaceChildren(
    h("h1", {}, "Groups"),
    h(
      "p",
      {},
      response.levels.length
        ? "Groups of similar images, found automatically."
        : "The images have not been grouped yet. Grouping 100,000 images takes about a minute.",
    ),
    h(
      "div",
      { class: "row" },
      response.levels.length
        ? h("div", { class: "segments", role: "group", "aria-label": "Level of detail" }, ...steps)
        : null,
      h("span", { class: "spread" }),
      start,
    ),
    h("ul", { class: "cards" }, ...response.clusters.slice(0, 300).map(card)),
    response.clusters.length > 300
      ? h(
          "p",
          { class: "faint" },
          `${number(response.clusters.length - 300)} smaller groups are not shown; choose a coarser level.`,
        )
      : "",
  );
}

function card(cluster) {
  return h(
    "li",
    {},
    h(
      "a",
      { class: "card", href: `/clusters?group=${cluster.key}`, "data-link": true },
      h(
        "div",
        { class: "nine" },
        ...cluster.examples.slice(0, 9).map((id) => h("img", { src: thumbnailUrl(id), alt: "", loading: "lazy" })),
      ),
      h("p", {}, h("b", {}, titleOf(cluster)), ` ${number(cluster.size)} images`),
      cluster.labeled ? h("p", { class: "faint" }, labelCounts(cluster)) : "",
    ),
  );
}

// "sea 12, sky 2 of 20 with a label"
function labelCounts({ labels, labeled }) {
  const shown = labels.reduce((sum, label) => sum + label.images, 0);
  return (
    labels.map(({ label, images }) => `${label} ${number(images)}`).join(", ") +
    (shown < labeled ? ` of ${number(labeled)} with a label` : "")
  );
}

function titleOf({ key, name }) {
  return name || `Group ${key.split("/")[1]}`;
}

// A sentence about the most frequent label, or "" if no image has one.
function mainLabel({ labels = [], labeled }) {
  const [first] = labels;
  return first
    ? `Of ${number(labeled)} with a label ${number(first.images)} ${first.images === 1 ? "is" : "are"} ${first.label}. `
    : "";
}

async function showGroup(container, key) {
  const [members, { clusters }] = await Promise.all([
    get(`/v1/clusters/${key}`, { k: 1000 }),
    get("/v1/clusters", { level: key.split("/")[0] }),
  ]);
  const group = clusters.find((cluster) => cluster.key === key) || { key };
  const field = h("input", {
    type: "text",
    "aria-label": "Name of the group",
    placeholder: "Name this group",
    maxlength: "200",
  });
  const submit = async (event) => {
    event.preventDefault();
    if (!field.value.trim()) return;
    try {
      const response = await send("/v1/labels", { label: field.value.trim(), cluster: key });
      notify(
        `${number(response.labeled)} typical images are now labeled ${field.value.trim()}; label the others on the Labels page`,
      );
    } catch (error) {
      notify(error.message);
    }
  };
  container.replaceChildren(
    h("p", {}, h("a", { href: `/clusters?level=${key.split("/")[0]}`, "data-link": true }, "‹ All groups")),
    h("h1", {}, titleOf(group)),
    h(
      "p",
      { class: "faint" },
      `${mainLabel(group)}${number(members.total)} images, most typical first${members.total > members.images.length ? `; ${number(members.images.length)} shown` : ""}. Select one to see more like it.`,
    ),
    h("form", { class: "row", onsubmit: submit }, field, h("button", {}, "Save name")),
  );
  const images = members.images.map(({ id, metadata }) => ({ id, width: metadata.width, height: metadata.height }));
  grid = new Grid(container, { label: "Images of the group", open: (n) => more(images[n].id) });
  grid.show(images);
}
