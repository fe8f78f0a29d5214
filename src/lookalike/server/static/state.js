// The state of a search is kept in the URL, so that links and the back button work.

import { withRoot, ROOT } from "./root_path.js";

const LISTS = ["like", "minus", "region", "only"];
const TEXTS = ["where", "label", "name", "k", "min", "open", "seed", "parts", "by", "sort", "folder"];

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

let render = () => {};
export function onChange(callback) {
  render = callback;
  window.addEventListener("popstate", () => callback());
}

// `to`: a path of the application, or the href of a link.
export function go(to, { replace = false } = {}) {
  to = full(to);
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  render();
}

// Updates the URL without rendering, for state that is already shown.
export function replaceAddress(to) {
  history.replaceState(history.state, "", full(to));
}

function full(to) {
  return to.startsWith("/") && !to.startsWith(`${ROOT}/`) ? withRoot(to) : to;
}
