// The state of the collection: counts, folders, labels, failures with their reasons.

import { h, number } from "./dom.js";
import { get } from "./api.js";
import { jobButton } from "./jobs.js";
import { address } from "./state.js";

export async function show(main) {
  document.title = "Collection · Lookalike";
  const container = h("div", {}); // late responses do not reach another page
  main.replaceChildren(container);
  try {
    const [collection, labels, failures] = await Promise.all([
      get("/v1/collection"),
      get("/v1/labels"),
      get("/v1/failures", { k: 200 }),
    ]);
    container.replaceChildren(
      h("h1", {}, "Collection"),
      h("div", { class: "figures" }, ...figures(collection)),
      jobButton("index", "Check folders for new images", () => show(main)),
      h("h2", {}, "Folders"),
      table(
        ["folder", "kind", "available"],
        collection.roots.map((root) => [
          root.name,
          root.kind,
          root.present ? "yes" : "missing; its images stay in the collection",
        ]),
        "No folder is indexed; all images were uploaded.",
      ),
      h("h2", {}, "Labels"),
      labelList(labels),
      h("h2", {}, `Files that could not be indexed: ${number(failures.total)}`),
      table(
        ["file", "reason"],
        failures.failures.map(({ file, reason }) => [file, reason]),
        "None.",
      ),
      failures.total > failures.failures.length
        ? h("p", { class: "faint" }, `Showing the first ${failures.failures.length}.`)
        : "",
      h("h2", {}, "Model"),
      h("p", {}, `${collection.model}: ${collection.dim} dimensions; license ${collection.license}.`),
      h("h2", {}, "Columns for conditions"),
      table(["column", "type"], Object.entries(collection.columns), ""),
    );
  } catch (error) {
    container.replaceChildren(h("p", { class: "empty", role: "alert" }, error.message));
  }
}

function figures(collection) {
  return [
    [collection.images, "images"],
    [collection.plain, "too plain to compare"],
    [collection.failed, "failed files"],
  ].map(([count, label]) => h("div", { class: "figure" }, h("b", {}, number(count)), label));
}

function table(headings, rows, emptyText) {
  if (!rows.length) return h("p", { class: "faint" }, emptyText);
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, ...headings.map((heading) => h("th", { scope: "col" }, heading)))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((cell) => h("td", {}, String(cell)))))),
  );
}

function labelList({ labels, without }) {
  if (!labels.length)
    return h(
      "p",
      { class: "faint" },
      "No image has a label yet. Import labels from a manifest: lookalike index labels.csv",
    );
  return h(
    "div",
    {},
    h(
      "ul",
      { class: "labels" },
      ...labels
        .slice(0, 300)
        .map(({ label, images }) =>
          h(
            "li",
            {},
            h(
              "a",
              { class: "button", href: address({ label }), "data-link": true },
              label,
              h("span", { class: "faint" }, number(images)),
            ),
          ),
        ),
    ),
    h("p", { class: "faint" }, `${number(without)} images without a label`),
  );
}
