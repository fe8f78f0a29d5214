// The collection's state: counts, folders, labels, failures with their reasons.

import { h, number } from "./dom.js";
import { get } from "./api.js";
import { jobButton } from "./jobs.js";
import { address } from "./state.js";

export async function show(main) {
  document.title = "Collection · Lookalike";
  const place = h("div", {}); // answers that come when another page is shown go nowhere
  main.replaceChildren(place);
  try {
    const [told, labels, failures] = await Promise.all([get("/v1/collection"), get("/v1/labels"), get("/v1/failures", { k: 200 })]);
    place.replaceChildren(h("h1", {}, "Collection"),
      h("div", { class: "figures" }, ...figures(told)),
      jobButton("index", "Look for new pictures", () => show(main)),
      h("h2", {}, "Folders"), table(["folder", "kind", "there now"], told.roots.map((root) => [root.name, root.kind, root.present ? "yes" : "no: its pictures are kept"]), "No folder is followed; pictures came by upload."),
      h("h2", {}, "Labels"), labelList(labels),
      h("h2", {}, `Files that could not be used: ${number(failures.total)}`), table(["file", "why"], failures.failures.map((one) => [one.file, one.reason]), "None."),
      failures.total > failures.failures.length ? h("p", { class: "faint" }, `the first ${failures.failures.length} are shown`) : "",
      h("h2", {}, "Model"), h("p", {}, `${told.model}: ${told.dim} numbers for each picture; ${told.licence}.`),
      h("h2", {}, "Columns for conditions"), table(["column", "holds"], Object.entries(told.columns), ""));
  } catch (error) { place.replaceChildren(h("p", { class: "empty", role: "alert" }, error.message)); }
}

function figures(told) {
  return [[told.images, "pictures"], [told.plain, "too plain to compare"], [told.failed, "files failed"]].map(([count, what]) => h("div", { class: "figure" }, h("b", {}, number(count)), what));
}

function table(heads, rows, none) {
  if (!rows.length) return h("p", { class: "faint" }, none);
  return h("table", {}, h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((cell) => h("td", {}, String(cell)))))));
}

function labelList({ labels, without }) {
  if (!labels.length) return h("p", { class: "faint" }, "No picture has a label. A manifest gives them: lookalike index labels.csv");
  return h("div", {}, h("ul", { class: "labels" }, ...labels.slice(0, 300).map((one) => h("li", {}, h("a", { class: "button", href: address({ label: one.label }), "data-link": true }, one.label, h("span", { class: "faint" }, number(one.images)))))),
    h("p", { class: "faint" }, `${number(without)} pictures have none`));
}
