// The large view of one image: its metadata and actions.

import { percentile } from "./grid.js";
import { h, fileName, notify, percent } from "./dom.js";
import { call, get, originalUrl, thumbnailUrl, send } from "./api.js";
import { badgeText, containmentText, outlineOverlay, queryOutline, storedOutline } from "./containment.js";
import { selectRegion } from "./region.js";

const dialog = document.getElementById("viewer");
const LETTERS = { m: "more", l: "less", a: "add" };
let current = null;

// options: {name, score?, relation?, containment?, query?, more, less, add?, region, step?, closed}
export function view(options) {
  current = options;
  const id = options.name.startsWith("query:") ? null : options.name.replace(/^id:/, "");
  const image = h("img", { src: thumbnailUrl(options.name, 1280), alt: id ? fileName(id) : "The query image" });
  const { containment } = options;
  const frame = h("div", { class: "frame" }, image, containment && outlineOverlay(storedOutline(containment)));
  const queryFrame =
    containment &&
    options.query &&
    h(
      "div",
      { class: "frame" },
      h("img", { src: thumbnailUrl(options.query, 1280), alt: "The query image" }),
      outlineOverlay(queryOutline(containment)),
      h("span", { class: "tag" }, "the query"),
    );
  const facts = h("dl", { class: "facts" });
  const proof = h("p", { class: "faint" });
  const box = () =>
    selectRegion(frame, (region) => {
      if (region) {
        closeView();
        options.region(region);
      } else dialog.querySelector("[data-box]")?.focus();
    });
  dialog.replaceChildren(
    h(
      "div",
      { class: "viewer" },
      h(
        "div",
        { class: queryFrame ? "stage both" : "stage" },
        frame,
        queryFrame,
        options.step &&
          h(
            "button",
            { class: "step before", type: "button", "aria-label": "Previous", onclick: () => options.step(-1) },
            "‹",
          ),
        options.step &&
          h(
            "button",
            { class: "step after", type: "button", "aria-label": "Next", onclick: () => options.step(1) },
            "›",
          ),
      ),
      h(
        "div",
        { class: "side" },
        h("button", { class: "plain close", type: "button", "aria-label": "Close", onclick: closeView }, "✕"),
        h("h2", { tabindex: "-1" }, id ? fileName(id) : "Your image"),
        options.score !== undefined &&
          h(
            "p",
            {},
            h(
              "b",
              {},
              options.percentile === undefined
                ? `score ${options.score.toFixed(3)} `
                : `matches better than ${percentile(options)} of the collection`,
            ),
            containment
              ? h("span", { class: "badge contained" }, badgeText(containment))
              : options.relation &&
                  h(
                    "span",
                    { class: `badge ${options.relation.relation}` },
                    `${options.relation.relation}, ${percent(options.relation.probability)}`,
                  ),
          ),
        proof,
        h(
          "div",
          { class: "acts" },
          id &&
            h(
              "button",
              {
                class: "main",
                type: "button",
                onclick: () => {
                  closeView();
                  options.more(id);
                },
              },
              "More like this",
            ),
          h(
            "div",
            { class: "two" },
            id &&
              h(
                "button",
                {
                  type: "button",
                  onclick: () => {
                    closeView();
                    options.less(id);
                  },
                },
                "Less like this",
              ),
            id &&
              options.add &&
              h(
                "button",
                {
                  type: "button",
                  onclick: () => {
                    closeView();
                    options.add(id);
                  },
                },
                "Add to search",
              ),
          ),
          h("button", { type: "button", "data-box": true, onclick: box }, "Search by region: draw a box"),
          id && h("a", { class: "button", href: originalUrl(id), target: "_blank", rel: "noopener" }, "Open the file"),
        ),
        id && labelForm(id, facts),
        facts,
      ),
    ),
  );
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("h2").focus(); // screen readers announce it, and the keys of the dialog keep working for the next image
  if (id) fill(id, facts);
  if (containment) proof.textContent = containmentText(containment);
  else if (id && options.query) explain(options.query, id, proof);
}

async function fill(id, facts) {
  const shown = current;
  try {
    const { metadata } = await get(`/v1/images/${encodeURIComponent(id)}`);
    facts.dispatchEvent(new CustomEvent("filled", { detail: metadata }));
    const hidden = new Set(["label", "sha256", "mtime_ns", "frame", "width", "height", "size", "plain", "taken", "year"]);
    for (const [name, usual] of [["frames", 1], ["orientation", 1], ["bits", 8]])
      if (metadata[name] === usual) hidden.add(name);
    const lines = [
      ["id", id],
      ["size", `${metadata.width} × ${metadata.height} pixels`],
      metadata.size && [
        "file",
        metadata.size < 1e6 ? `${(metadata.size / 1e3).toFixed(1)} kB` : `${(metadata.size / 1e6).toFixed(2)} MB`,
      ],
      metadata.taken && ["taken", dateText(metadata.taken)],
      metadata.plain && ["note", "too plain to compare"],
    ];
    for (const [name, value] of Object.entries(metadata))
      if (value !== null && !hidden.has(name)) lines.push([name, String(value)]);
    facts.replaceChildren(...lines.filter(Boolean).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  } catch (error) {
    if (current !== shown) return; // another image is shown by now, or none
    if (error.status === 404) closeView(); // an old link: the image no longer exists
    notify(error.message);
  }
}

// A date of a camera, "2019-07-04T12:30:05+02:00", in words; its clock's time, whatever the time is here.
export function dateText(taken) {
  const date = new Date(`${taken.slice(0, 19)}Z`);
  const words = date.toLocaleString(undefined, { dateStyle: "long", timeStyle: "short", timeZone: "UTC" });
  return Number.isNaN(date.valueOf()) ? taken : words;
}

// The label, editable.
function labelForm(id, facts) {
  let edited = false; // a late response must not overwrite the text a person is typing
  const field = h("input", {
    type: "text",
    "aria-label": "Label",
    placeholder: "Add a label",
    maxlength: "200",
    oninput: () => {
      edited = true;
    },
  });
  const save = async () => {
    try {
      await send(`/v1/images/${encodeURIComponent(id)}`, { label: field.value.trim() || null }, "PATCH");
      edited = false;
      notify(field.value.trim() ? `labeled ${field.value.trim()}` : "label removed");
      fill(id, facts);
    } catch (error) {
      notify(error.message);
    }
  };
  facts.addEventListener("filled", (event) => {
    if (!edited) field.value = event.detail.label || "";
  });
  return h(
    "form",
    {
      class: "row label",
      onsubmit: (event) => {
        event.preventDefault();
        save();
      },
    },
    field,
    h("button", {}, "Save"),
  );
}

async function explain(query, id, proof) {
  const form = new FormData();
  form.append("like", query);
  form.append("like", id);
  try {
    const comparison = await call("/v1/compare", { method: "POST", body: form });
    proof.textContent = comparison.words;
  } catch {
    proof.textContent = "";
  }
}

// The close event arrives late, when the view may be open again for another image, so the callback runs at once.
export function closeView() {
  if (dialog.open) {
    dialog.close();
    finish();
  }
}
export const isOpen = () => dialog.open;

function finish() {
  const last = current;
  current = null;
  dialog.replaceChildren();
  last?.closed?.();
}
dialog.addEventListener("close", () => {
  if (!dialog.open && current) finish();
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) closeView();
});
dialog.addEventListener("keydown", (event) => {
  if (!current || event.target.closest(".region, input") || event.ctrlKey || event.metaKey) return;
  const id = current.name.replace(/^id:/, "");
  if (event.key === "ArrowRight") current.step?.(1);
  else if (event.key === "ArrowLeft") current.step?.(-1);
  else if (event.key in LETTERS && !id.startsWith("query:") && current[LETTERS[event.key]]) {
    const run = current[LETTERS[event.key]];
    closeView();
    run(id);
  } else if (event.key === "b") dialog.querySelector("[data-box]").click();
  else return;
  event.preventDefault();
});
