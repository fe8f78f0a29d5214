// Requests to the HTTP API; the page uses the same API as programs.

import { withRoot } from "./root_path.js";

export class ApiError extends Error {
  constructor(status, body) {
    super(body.message || `the server returned status ${status}`);
    this.status = status;
    this.kind = body.error;
  }
}

let login = null;
export function onLogin(callback) {
  login = callback;
}

export async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(withRoot(path), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { message: "the server does not respond; is it still running?" });
  }
  if (response.status === 401 && login && path !== "/v1/login") {
    await login();
    return call(path, options);
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(response.status, body);
  return body;
}

export function get(path, parameters = {}, options = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== null && item !== undefined && item !== "") query.append(name, item);
    }
  }
  const text = query.toString();
  return call(text ? `${path}?${text}` : path, options);
}

export function send(path, body, method = "POST") {
  return call(path, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

export function upload(file) {
  const form = new FormData();
  form.append("image", file, file.name || "pasted");
  return call("/v1/queries", { method: "POST", body: form });
}

export function thumbnailUrl(name, side = 256) {
  if (name.startsWith("query:")) return withRoot(`/v1/queries/${name}/thumbnail?side=${Math.max(side, 256)}`);
  const id = encodeURIComponent(name.replace(/^id:/, ""));
  return withRoot(`/v1/images/${id}/thumbnail` + (side > 256 ? `?side=${side}` : ""));
}

export function originalUrl(id) {
  return withRoot(`/v1/images/${encodeURIComponent(id)}/original`);
}

// Calls onProgress for each change of a job. Resolves with the job when it has ended.
export function follow(job, onProgress) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(withRoot(`/v1/jobs/${job}/events`));
    source.addEventListener("progress", (event) => onProgress(JSON.parse(event.data)));
    source.addEventListener("end", (event) => {
      source.close();
      resolve(JSON.parse(event.data));
    });
    source.onerror = () => {
      source.close();
      reject(new ApiError(0, { message: "the connection to the job was lost; reload the page in a moment" }));
    };
  });
}
