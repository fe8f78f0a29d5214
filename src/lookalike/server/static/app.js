// Which page is shown, and what holds on all of them: links, dropping, pasting, keys, theme, token.

import { h } from "./dom.js";
import { here } from "./root_path.js";
import { onLogin, Refused, send } from "./api.js";
import { go, onChange } from "./state.js";
import { isOpen } from "./viewer.js";
import * as search from "./search.js";
import * as duplicates from "./duplicates.js";
import * as clusters from "./clusters.js";
import * as collection from "./collection.js";
import * as labels from "./labels.js";
import * as map from "./map.js";

const PAGES = { "/": search, "/duplicates": duplicates, "/clusters": clusters, "/labels": labels, "/map": map, "/collection": collection };
const main = document.getElementById("main");
let before = null;

function render() {
  const page = PAGES[here()] || search;
  if (before && before !== page) before.leavePage?.();
  const moved = before !== page;
  before = page;
  for (const link of document.querySelectorAll("nav a")) {
    if (new URL(link.href).pathname === location.pathname) { link.setAttribute("aria-current", "page"); link.scrollIntoView({ block: "nearest", inline: "nearest" }); } else link.removeAttribute("aria-current");
  }
  page.show(main);
  if (moved && document.activeElement === document.body) main.focus({ preventScroll: true });
}

// ---- links without a reload

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-link]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(link.getAttribute("href"));
  window.scrollTo(0, 0);
});

// ---- drop and paste

const drop = document.getElementById("drop");
let depth = 0;
const carries = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
document.addEventListener("dragenter", (event) => { if (carries(event)) { depth += 1; drop.hidden = false; } });
document.addEventListener("dragleave", (event) => { if (carries(event)) { depth -= 1; if (depth <= 0) drop.hidden = true; } });
document.addEventListener("dragover", (event) => { if (carries(event)) event.preventDefault(); });
document.addEventListener("drop", (event) => {
  if (!carries(event)) return;
  event.preventDefault();
  depth = 0;
  drop.hidden = true;
  search.take(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files || [])];
  if (files.length) { event.preventDefault(); search.take(files); }
});

// ---- keys

const keys = document.getElementById("keys");
const KEYS = [["arrows", "from picture to picture"], ["Enter", "large view; arrows go on, Escape closes"], ["m", "more like this"], ["l", "less like this"], ["a", "add to the search"], ["b", "draw a box, in the large view"], ["/", "find by name"], ["g", "to the pictures"], ["?", "this"]];
function help() {
  keys.replaceChildren(h("h1", {}, "Keys"), h("dl", { class: "keys" }, ...(PAGES[here()]?.keys || KEYS).flatMap(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)])), h("button", { type: "button", class: "main", onclick: () => keys.close() }, "Close"));
  keys.showModal();
}
document.getElementById("help").addEventListener("click", help);
document.addEventListener("keydown", (event) => {
  if (isOpen() || keys.open || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=range]), select, textarea")) return;
  if (event.key === "?") help();
  else if (event.key === "/" && document.getElementById("name")) document.getElementById("name").focus();
  else if (event.key === "g") document.querySelector(".tile[tabindex='0']")?.focus();
  else return;
  event.preventDefault();
});

// ---- dark and light

const dark = matchMedia("(prefers-color-scheme: dark)");
function paint() {
  let chosen = null;
  try { chosen = localStorage.getItem("theme"); } catch { /* it may be forbidden */ }
  document.documentElement.dataset.theme = chosen || (dark.matches ? "dark" : "light");
}
document.getElementById("theme").addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("theme", next); } catch { /* then for this page only */ }
  document.documentElement.dataset.theme = next;
});
dark.addEventListener("change", paint);
paint();

// ---- a server that asks for a token

let asking = null;
onLogin(() => {
  asking ||= new Promise((resolve) => {
    const dialog = document.getElementById("login");
    const token = h("input", { type: "password", "aria-label": "Token", autocomplete: "current-password" });
    const told = h("p", { class: "faint" }, "This server asks for a token.");
    const enter = async () => {
      try {
        await send("/v1/login", { token: token.value });
        dialog.close();
        asking = null;
        resolve();
      } catch (error) { told.textContent = error instanceof Refused ? error.message : String(error); }
    };
    token.addEventListener("keydown", (event) => { if (event.key === "Enter") enter(); });
    dialog.replaceChildren(h("h1", {}, "Token"), told, h("div", { class: "row" }, token, h("button", { type: "button", class: "main", onclick: enter }, "Enter")));
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.showModal();
  });
  return asking;
});

onChange(render);
render();
