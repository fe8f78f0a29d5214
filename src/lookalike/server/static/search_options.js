// Options of a search that only some collections offer: by parts of the image, by parts of the model's vectors.

import { h } from "./dom.js";
import { get } from "./api.js";
import { address, go, read, replaceAddress } from "./state.js";

const RANKINGS = ["both", "alike", "copy"];
const PARTS_ID = "parts";
let collection = null; // the response of /v1/collection
let refocus = ""; // the id of the control that started a search: it keeps the focus

// Loads what the collection offers, once.
export async function loadCollection() {
  try {
    collection ||= await get("/v1/collection");
  } catch {
    /* the options stay hidden, and the next search tries again */
  }
  return collection;
}

function single(state) {
  return state.like.length === 1 && !state.like[0].startsWith("text:") && !state.minus.length && !state.region.length;
}

// Whether a search looks for parts: the address asks for it, the collection offers it, and the query is one image.
export function byParts(state) {
  return Boolean(state.parts && single(state) && collection?.local_features);
}

// The parameters of /v1/search for the options of the address.
export function searchOptions(state) {
  if (byParts(state)) return { parts: true };
  return rankings().includes(state.by) ? { by: state.by } : {};
}

// What results can be ranked by: the parts of the collection's own model, and the models that were added.
function rankings() {
  const own = collection?.vector_parts?.length > 1 ? RANKINGS : RANKINGS.slice(0, 1);
  return [...own, ...(collection?.added_models || [])];
}

// Whether an added model ranks the results: what scores of the collection's own model mean does not hold for it.
export function byAddedModel(state) {
  return Boolean(collection?.added_models?.includes(state.by));
}

export function optionControls(state) {
  const parts = partsControl(state);
  const ranking = rankingControl(state);
  const reveal = () => {
    parts.hidden = !collection?.local_features;
    fillRankings(ranking, state);
    ranking.disabled = byParts(state);
    const control = refocus && document.getElementById(refocus);
    if (control) {
      refocus = "";
      control.focus();
    }
  };
  queueMicrotask(reveal); // once they are in the document
  if (!collection) loadCollection().then(reveal);
  return [parts, ranking];
}

function partsControl(state) {
  const possible = !state.like.length || single(state);
  const reason = "Parts are found for a single image without a region.";
  const box = h("input", {
    type: "checkbox",
    id: PARTS_ID,
    checked: Boolean(state.parts),
    disabled: !possible,
    onchange: () => change({ parts: box.checked ? "1" : "" }, PARTS_ID),
  });
  const label = h("label", { class: "option", title: possible ? "" : reason }, box, " Also find parts");
  if (!possible) label.append(h("span", { class: "faint" }, " (for a single image without a region)"));
  label.hidden = true;
  return label;
}

function rankingControl(state) {
  const select = h(
    "select",
    {
      id: "by",
      "aria-label": "Rank by",
      onchange: () => change({ by: select.value === RANKINGS[0] ? "" : select.value }, "by"),
    },
  );
  select.hidden = true;
  return select;
}

function fillRankings(select, state) {
  const names = rankings();
  select.replaceChildren(
    ...names.map((name) => h("option", { value: name, selected: state.by === name }, `Rank by: ${rankingName(name)}`)),
  );
  select.hidden = names.length < 2;
}

// Without parts to choose from, "both" is the collection's own model.
function rankingName(name) {
  const hasParts = collection?.vector_parts?.length > 1;
  return name === RANKINGS[0] && !hasParts ? collection?.model : name;
}

// Searches again with changed options; without a query they only wait in the address.
function change(options, id) {
  const state = { ...read(), ...options, open: "" };
  if (!state.like.length) {
    replaceAddress(address(state));
    return;
  }
  refocus = id;
  go(address(state));
}
