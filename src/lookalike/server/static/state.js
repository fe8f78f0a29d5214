// The state of a search lives in the address, so that links and the back button work.

import { at, ROOT } from "./root_path.js";

const LISTS = ["like", "minus", "region"];
const TEXTS = ["where", "label", "name", "k", "min", "open", "seed"];

export function read() {
  const query = new URLSearchParams(location.search);
  const state = {};
  for (const name of LISTS) state[name] = query.getAll(name);
  for (const name of TEXTS) state[name] = query.get(name) || "";
  return state;
}

export function address(state, path = "/") {
  const query = new URLSearchParams();
  for (const name of LISTS) for (const value of state[name] || []) query.append(name, value);
  for (const name of TEXTS) if (state[name]) query.set(name, state[name]);
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

let changed = () => {};
export function onChange(run) { changed = run; window.addEventListener("popstate", () => run()); }

// `to`: an address of ours, or a link as it stands in the page.
export function go(to, { replace = false } = {}) {
  to = full(to);
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  changed();
}

// Without telling anyone: for what is shown already.
export function note(to) { history.replaceState(null, "", full(to)); }

function full(to) { return to.startsWith("/") && !to.startsWith(`${ROOT}/`) ? at(to) : to; }
