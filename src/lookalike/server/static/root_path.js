// The root path of the application: "" on a server of its own, or the prefix that a proxy serves it under.

export const ROOT = new URL(import.meta.url).pathname.replace(/\/static\/root_path\.js$/, "");

// The path to request for a path of the application, such as "/v1/..." or "/duplicates".
export function withRoot(path) {
  return ROOT + path;
}

// The path of the current page, without the root path.
export function currentPath() {
  return location.pathname.slice(ROOT.length) || "/";
}
