// The router, and what all pages share: links, drop and paste, keyboard shortcuts, theme, login.

import { h } from "./dom.js";
import { currentPath } from "./root_path.js";
import { onLogin, ApiError, send } from "./api.js";
import { go, onChange } from "./state.js";
import { isOpen } from "./viewer.js";
import * as search from "./search.js";
import * as duplicates from "./duplicates.js";
import * as clusters from "./clusters.js";
import * as collection from "./collection.js";
import * as labels from "./labels.js";
import * as map from "./map.js";

const PAGES = {
  "/": search,
  "/duplicates": duplicates,
  "/clusters": clusters,
  "/labels": labels,
  "/map": map,
  "/collection": collection,
};
const main = document.getElementById("main");
let previousPage = null;

function render() {
  const page = PAGES[currentPath()] || search;
  const changed = previousPage !== page;
  if (previousPage && changed) previousPage.leavePage?.();
  previousPage = page;
  for (const link of document.querySelectorAll("nav a")) {
    if (new URL(link.href).pathname === location.pathname) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else link.removeAttribute("aria-current");
  }
  page.show(main);
  if (changed && document.activeElement === document.body) main.focus({ preventScroll: true });
}

// ---- links without a page load

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
const hasFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
document.addEventListener("dragenter", (event) => {
  if (hasFiles(event)) {
    depth += 1;
    drop.hidden = false;
  }
});
document.addEventListener("dragleave", (event) => {
  if (hasFiles(event)) {
    depth -= 1;
    if (depth <= 0) drop.hidden = true;
  }
});
document.addEventListener("dragover", (event) => {
  if (hasFiles(event)) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  depth = 0;
  drop.hidden = true;
  search.searchWith(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files || [])];
  if (files.length) {
    event.preventDefault();
    search.searchWith(files);
  }
});

// ---- keyboard shortcuts

const keys = document.getElementById("keys");
const KEYS = [
  ["arrows", "move between images"],
  ["Enter", "large view; arrows continue, Escape closes"],
  ["m", "more like this"],
  ["l", "less like this"],
  ["a", "add to the search"],
  ["x", "select; Shift and click select a range, Escape clears"],
  ["b", "draw a box in the large view"],
  ["/", "find by name"],
  ["g", "focus the images"],
  ["?", "this help"],
];
function showHelp() {
  keys.replaceChildren(
    h("h1", {}, "Keyboard shortcuts"),
    h(
      "dl",
      { class: "keys" },
      ...(PAGES[currentPath()]?.keys || KEYS).flatMap(([key, action]) => [
        h("dt", {}, h("kbd", {}, key)),
        h("dd", {}, action),
      ]),
    ),
    h("button", { type: "button", class: "main", onclick: () => keys.close() }, "Close"),
  );
  keys.showModal();
}
document.getElementById("help").addEventListener("click", showHelp);
document.addEventListener("keydown", (event) => {
  if (
    isOpen() ||
    keys.open ||
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    event.target.closest("input:not([type=range]), select, textarea")
  )
    return;
  if (event.key === "?") showHelp();
  else if (event.key === "/" && document.getElementById("name")) document.getElementById("name").focus();
  else if (event.key === "g") document.querySelector(".tile[tabindex='0']")?.focus();
  else return;
  event.preventDefault();
});

// ---- theme

const dark = matchMedia("(prefers-color-scheme: dark)");
function applyTheme() {
  let chosen = null;
  try {
    chosen = localStorage.getItem("theme");
  } catch {
    /* storage may be blocked */
  }
  document.documentElement.dataset.theme = chosen || (dark.matches ? "dark" : "light");
}
document.getElementById("theme").addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("theme", next);
  } catch {
    /* kept for this page only */
  }
  document.documentElement.dataset.theme = next;
});
dark.addEventListener("change", applyTheme);
applyTheme();

// ---- login

let pendingLogin = null;
onLogin(() => {
  pendingLogin ||= new Promise((resolve) => {
    const dialog = document.getElementById("login");
    const token = h("input", { type: "password", "aria-label": "Token", autocomplete: "current-password" });
    const message = h("p", { class: "faint" }, "This server requires a token.");
    const submit = async () => {
      try {
        await send("/v1/login", { token: token.value });
        dialog.close();
        pendingLogin = null;
        resolve();
      } catch (error) {
        message.textContent = error instanceof ApiError ? error.message : String(error);
      }
    };
    token.addEventListener("keydown", (event) => {
      if (event.key === "Enter") submit();
    });
    dialog.replaceChildren(
      h("h1", {}, "Token"),
      message,
      h("div", { class: "row" }, token, h("button", { type: "button", class: "main", onclick: submit }, "Log in")),
    );
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.showModal();
  });
  return pendingLogin;
});

onChange(render);
render();
