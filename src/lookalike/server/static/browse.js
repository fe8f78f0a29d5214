// The start page: a query to begin with, and below it the whole collection, by date, name or size, in its folders.

import { h, notify, number } from "./dom.js";
import { get } from "./api.js";
import { address, go, read } from "./state.js";
import { loadCollection } from "./search_options.js";

const SORTS = [
  ["", "At random"],
  ["-taken", "Newest photos first"],
  ["taken", "Oldest photos first"],
  ["-indexed", "Added last"],
  ["id", "By name"],
  ["-size", "Largest files first"],
];
// What the collection can be narrowed down by, each with the word for it.
const FACETS = [
  ["label", "Label"],
  ["year", "Year"],
  ["camera", "Camera"],
  ["lens", "Lens"],
  ["format", "Format"],
];
const MAX_VALUES = 12; // of a list of values; years are all listed
const MAX_YEARS = 300;
const MAX_FOLDERS = 200;
const MAX_DESCENTS = 5; // into folders that hold one folder and nothing else

// Whether the list is more than a start: it has an order, or is narrowed down.
export const isNarrowed = (state) =>
  Boolean(isSorted(state) || state.only.length || state.folder || state.name || state.label || state.where);

// Leaves out orders by columns that the collection has not.
export function pruneSorts(collection) {
  const column = (name) => name.replace("-", "");
  for (const option of document.querySelectorAll("#sort option"))
    if (option.value && option.value !== "id" && collection && !collection.columns[column(option.value)]) option.remove();
}

export const isSorted = (state) => SORTS.some(([name]) => name && name === state.sort);

export function sortControl(state) {
  const select = h(
    "select",
    { id: "sort", "aria-label": "Order", onchange: () => go(address({ ...read(), sort: select.value, open: "" })) },
    ...SORTS.map(([name, words]) => h("option", { value: name, selected: state.sort === name }, words)),
  );
  return select;
}

// ---- conditions

// A condition for values that were chosen ("year=2019") and for a folder; `columns`: the types of the columns.
export function chosenCondition(state, columns) {
  const parts = state.only.map((entry) => valueCondition(entry, columns)).filter(Boolean);
  if (state.folder) {
    const quoted = (text) => `'${text.replaceAll("'", "''")}'`;
    // What begins with "x/" sorts from "x/" to before "x0", since 0 is the character after /.
    parts.push(`id >= ${quoted(`${state.folder}/`)} and id < ${quoted(`${state.folder}0`)}`);
  }
  return parts.join(" and ");
}

function valueCondition(entry, columns) {
  const [name, value] = split(entry);
  const type = columns?.[name];
  if (!type) return "";
  if (type === "str") return `${name} = '${value.replaceAll("'", "''")}'`;
  return /^-?[\d.]+$|^true$|^false$/.test(value) ? `${name} = ${value}` : "";
}

function split(entry) {
  const at = entry.indexOf("=");
  return [entry.slice(0, at), entry.slice(at + 1)];
}

// ---- chips

// Chips for what is chosen, with a cross, and for what can be: values with their counts, and folders.
export function chips(state, parameters) {
  const bar = h("div", { class: "facets" });
  const parts = chosenParts(state);
  if (parts.length) bar.append(h("div", { class: "row" }, ...parts));
  const values = h("div", { class: "row values" });
  bar.append(values);
  fill(values, state, parameters);
  return bar;
}

function chosenParts(state) {
  // Of an id that is a path, the first folder has its slash: "/home".
  const crumbs = state.folder ? state.folder.match(/^\/*[^/]*|\/[^/]*/g).filter(Boolean) : [];
  const folder = crumbs.map((name, n) => {
    const path = crumbs.slice(0, n + 1).join("");
    return facetChip(n ? name.slice(1) : name, null, `Show only ${path}`, () => change({ folder: path }));
  });
  const chosen = state.only.map((entry) => {
    const [name, value] = split(entry);
    return facetChip(`${wordOf(name)}: ${value}`, "✕", `Remove: ${wordOf(name)} ${value}`, () =>
      change({ only: state.only.filter((other) => other !== entry) }),
    );
  });
  const whole = state.folder
    ? [facetChip("All folders", "✕", "Show all folders", () => change({ folder: "" })), ...folder]
    : [];
  return [...whole, ...chosen];
}

const wordOf = (name) => FACETS.find(([column]) => column === name)?.[1] || name;

async function fill(bar, state, parameters) {
  let facets, folders;
  try {
    const collection = await loadCollection();
    const known = FACETS.map(([name]) => name).filter((name) => collection?.columns[name]);
    const column = known.filter((name) => !state.only.some((entry) => split(entry)[0] === name));
    [facets, folders] = await Promise.all([
      column.length ? get("/v1/facets", { column, limit: MAX_YEARS, ...parameters }) : { facets: {} },
      foldersBelow(state.folder, parameters),
    ]);
  } catch (error) {
    if (error.status !== 400) notify(error.message); // a condition that is not understood is said by the list
    return;
  }
  const names = folders.folders.slice(0, MAX_FOLDERS);
  if (names.length)
    bar.append(
      menu(
        "Folder",
        names.map(({ name, below, images }) => [name, images, () => change({ folder: below })]),
        folders.folders.length - names.length,
      ),
    );
  for (const [name, word] of FACETS) {
    const { values: all = [], more: unlisted = 0 } = facets.facets[name] || {};
    const isYear = name === "year";
    const values = isYear ? all.sort((a, b) => b.value - a.value) : all.slice(0, MAX_VALUES);
    const more = unlisted + all.length - values.length;
    if (!values.length) continue;
    bar.append(
      menu(
        word,
        values.map(({ value, images }) => [
          String(value),
          images,
          () => change({ only: [...state.only, `${name}=${value}`] }),
        ]),
        more,
      ),
    );
  }
}

async function foldersBelow(folder, parameters) {
  let answer = await get("/v1/folders", { below: folder, ...parameters });
  for (let n = 0; n < MAX_DESCENTS && answer.folders.length === 1 && !answer.images; n += 1) {
    const inner = await get("/v1/folders", { below: answer.folders[0].below, ...parameters });
    if (!inner.folders.length) break;
    answer = inner;
  }
  return answer;
}

// A button that opens a list of chips.
function menu(word, entries, more) {
  return h(
    "details",
    { class: "menu", name: "facets" },
    h("summary", { class: "button" }, word),
    h(
      "div",
      { class: "row panel" },
      ...entries.map(([text, images, choose]) => facetChip(text, number(images), `${text}: ${number(images)} images`, choose)),
      more > 0 && h("span", { class: "faint" }, `and ${number(more)} more; find them with a condition`),
    ),
  );
}

function facetChip(text, badge, label, choose) {
  return h(
    "button",
    { type: "button", class: "facet", "aria-label": label, onclick: choose },
    h("span", {}, text || "(empty)"),
    badge && h("span", { class: "faint", "aria-hidden": "true" }, badge),
  );
}

function change(part) {
  go(address({ ...read(), ...part, open: "" }));
}

// ---- timeline

// Years beside a list by date; one leads to its first image.
export async function timeline(container, wall, state, parameters) {
  container.hidden = true;
  if (!/^-?taken$/.test(state.sort)) return;
  let years;
  try {
    years = (await get("/v1/facets", { column: ["year"], limit: MAX_YEARS, ...parameters })).facets.year;
  } catch {
    return; // the list is shown without it
  }
  const descending = state.sort.startsWith("-");
  const ordered = years.values.sort((a, b) => (descending ? b.value - a.value : a.value - b.value));
  let before = 0;
  const entries = ordered.map(({ value, images }) => {
    const first = before;
    before += images;
    return h(
      "button",
      { type: "button", "aria-label": `${value}: ${number(images)} images`, onclick: () => wall.scrollTo(first) },
      String(value),
    );
  });
  if (before < wall.length)
    entries.push(
      h(
        "button",
        { type: "button", "aria-label": "Images without a date", onclick: () => wall.scrollTo(before) },
        "no date",
      ),
    );
  container.replaceChildren(...entries);
  container.hidden = entries.length < 2;
}
