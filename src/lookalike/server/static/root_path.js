// Where the page lies: at the root of a server, or below a path that a proxy gave it.

export const ROOT = new URL(import.meta.url).pathname.replace(/\/static\/root_path\.js$/, "");

// An address of ours, "/v1/..." or "/duplicates", as the browser must ask for it.
export function at(path) { return ROOT + path; }

// Which of our pages is shown.
export function here() { return location.pathname.slice(ROOT.length) || "/"; }
