// One picture, large: what is known of it, and what to do with it.

import { h, fileName, say } from "./dom.js";
import { call, get, original, picture, send } from "./api.js";
import { drawOn } from "./region.js";

const dialog = document.getElementById("viewer");
const LETTERS = { m: "more", l: "less", a: "add" };
let current = null;

// wanted: {name, score?, relation?, query?, more, less, region, step?, closed}
export function view(wanted) {
  current = wanted;
  const id = wanted.name.startsWith("query:") ? null : wanted.name.replace(/^id:/, "");
  const image = h("img", { src: picture(wanted.name, 1280), alt: id ? fileName(id) : "The picture you asked with" });
  const frame = h("div", { class: "frame" }, image);
  const facts = h("dl", { class: "facts" });
  const proof = h("p", { class: "faint" });
  const box = () => drawOn(frame, (region) => { if (region) { leave(); wanted.region(region); } else dialog.querySelector("[data-box]")?.focus(); });
  dialog.replaceChildren(h("div", { class: "viewer" },
    h("div", { class: "stage" }, frame,
      wanted.step && h("button", { class: "step before", type: "button", "aria-label": "Previous", onclick: () => wanted.step(-1) }, "‹"),
      wanted.step && h("button", { class: "step after", type: "button", "aria-label": "Next", onclick: () => wanted.step(1) }, "›")),
    h("div", { class: "side" },
      h("button", { class: "plain close", type: "button", "aria-label": "Close", onclick: leave }, "✕"),
      h("h2", { tabindex: "-1" }, id ? fileName(id) : "Your picture"),
      wanted.score !== undefined && h("p", {}, h("b", {}, `score ${wanted.score.toFixed(3)} `), wanted.relation && h("span", { class: `badge ${wanted.relation.relation}` }, `${wanted.relation.relation}, ${Math.round(100 * wanted.relation.probability)} %`)),
      proof,
      h("div", { class: "acts" },
        id && h("button", { class: "main", type: "button", onclick: () => { leave(); wanted.more(id); } }, "More like this"),
        h("div", { class: "two" },
          id && h("button", { type: "button", onclick: () => { leave(); wanted.less(id); } }, "Less like this"),
          id && wanted.add && h("button", { type: "button", onclick: () => { leave(); wanted.add(id); } }, "Add to search")),
        h("button", { type: "button", "data-box": true, onclick: box }, "Search a part: draw a box"),
        id && h("a", { class: "button", href: original(id), target: "_blank", rel: "noopener" }, "Open the file")),
      id && labelled(id, facts),
      facts)));
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("h2").focus(); // it is read out, and the keys of the dialog go on working from picture to picture
  if (id) fill(id, facts);
  if (id && wanted.query) explain(wanted.query, id, proof);
  if (wanted.drawing) image.addEventListener("load", box, { once: true });
}

async function fill(id, facts) {
  const wanted = current;
  try {
    const { metadata } = await get(`/v1/images/${encodeURIComponent(id)}`);
    facts.dispatchEvent(new CustomEvent("filled", { detail: metadata }));
    const hidden = new Set(["label", "sha256", "mtime_ns", "frame", "width", "height", "size", "plain"]);
    const lines = [["id", id], ["size", `${metadata.width} × ${metadata.height} pixels`], metadata.size && ["file", metadata.size < 1e6 ? `${(metadata.size / 1e3).toFixed(1)} kB` : `${(metadata.size / 1e6).toFixed(2)} MB`], metadata.plain && ["note", "too plain to compare"]];
    for (const [name, value] of Object.entries(metadata)) if (value !== null && !hidden.has(name)) lines.push([name, String(value)]);
    facts.replaceChildren(...lines.filter(Boolean).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  } catch (error) {
    if (current !== wanted) return; // another picture, or none, is looked at by now
    if (error.status === 404) leave(); // an old link: there is nothing to look at
    say(error.message);
  }
}

// What it is called, to be read and changed.
function labelled(id, facts) {
  let typed = false; // what a person has begun to write is not overwritten by what the server says late
  const field = h("input", { type: "text", "aria-label": "Label", placeholder: "Give it a label", maxlength: "200", oninput: () => { typed = true; } });
  const give = async () => {
    try {
      await send(`/v1/images/${encodeURIComponent(id)}`, { label: field.value.trim() || null }, "PATCH");
      typed = false;
      say(field.value.trim() ? `labelled ${field.value.trim()}` : "it has no label now");
      fill(id, facts);
    } catch (error) { say(error.message); }
  };
  facts.addEventListener("filled", (event) => { if (!typed) field.value = event.detail.label || ""; });
  return h("form", { class: "row label", onsubmit: (event) => { event.preventDefault(); give(); } }, field, h("button", {}, "Save"));
}

async function explain(query, id, proof) {
  const form = new FormData();
  form.append("like", query);
  form.append("like", id);
  try {
    const told = await call("/v1/compare", { method: "POST", body: form });
    proof.textContent = told.words;
  } catch { proof.textContent = ""; }
}

// The event comes late, when the view may be open again for another picture: what follows a closing follows at once.
export function leave() { if (dialog.open) { dialog.close(); over(); } }
export const isOpen = () => dialog.open;

function over() { const last = current; current = null; dialog.replaceChildren(); last?.closed?.(); }
dialog.addEventListener("close", () => { if (!dialog.open && current) over(); });
dialog.addEventListener("click", (event) => { if (event.target === dialog) leave(); });
dialog.addEventListener("keydown", (event) => {
  if (!current || event.target.closest(".region, input") || event.ctrlKey || event.metaKey) return;
  const id = current.name.replace(/^id:/, "");
  if (event.key === "ArrowRight") current.step?.(1);
  else if (event.key === "ArrowLeft") current.step?.(-1);
  else if (event.key in LETTERS && !id.startsWith("query:") && current[LETTERS[event.key]]) { const run = current[LETTERS[event.key]]; leave(); run(id); }
  else if (event.key === "b") dialog.querySelector("[data-box]").click();
  else return;
  event.preventDefault();
});
