// Words in a query. They stand among the names of its images as text:WORDS.

import { h } from "./dom.js";
import { address, go, read } from "./state.js";
import { loadCollection } from "./search_options.js";

export const TEXT = "text:";
const MAX_LENGTH = 1900; // the server takes 2,000 with the prefix

export function isText(name) {
  return name.startsWith(TEXT);
}

export function hasWords(state) {
  return [...state.like, ...state.minus].some(isText);
}

export function wordsOf(name) {
  return name.slice(TEXT.length);
}

// A field for words, hidden unless the collection's model reads them. On the start page they are the query, else they
// are added to it; what begins with a minus is what the images should not show.
export function wordsForm({ add = false } = {}) {
  const input = h("input", {
    type: "search",
    name: "words",
    maxlength: String(MAX_LENGTH),
    autocomplete: "off",
    enterkeyhint: "search",
    placeholder: add ? "Add words, or -words" : "Describe it: a red bicycle on a beach",
    "aria-label": add ? "Add words to the query; with a minus in front, what it should not show" : "Search by words",
  });
  const form = h(
    "form",
    { class: add ? "words" : "words large", role: "search", onsubmit: (event) => submit(event, input.value) },
    input,
    h("button", { class: add ? "" : "main" }, add ? "Add" : "Search"),
  );
  form.hidden = true;
  loadCollection().then((collection) => {
    form.hidden = !collection?.words;
    if (!add && !form.hidden && document.activeElement === document.body && matchMedia("(hover: hover)").matches)
      input.focus({ preventScroll: true });
  });
  return form;
}

function submit(event, value) {
  event.preventDefault();
  const typed = value.trim();
  const [list, words] = typed.startsWith("-") ? ["minus", typed.slice(1).trim()] : ["like", typed];
  if (!words) return;
  const state = read();
  go(address({ ...state, [list]: [...state[list], TEXT + words], name: "", min: "", open: "" }));
}
