// Everything the page knows, it asks of the same API that programs use.

import { at } from "./root_path.js";

export class Refused extends Error {
  constructor(status, body) {
    super(body.message || `the server answers ${status}`);
    this.status = status;
    this.kind = body.error;
  }
}

let login = null;
export function onLogin(ask) { login = ask; }

export async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(at(path), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { message: "the server does not answer; is it still running?" });
  }
  if (answer.status === 401 && login && path !== "/v1/login") {
    await login();
    return call(path, options);
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, body);
  return body;
}

export function get(path, parameters = {}, options = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") query.append(name, one);
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

export function picture(name, side = 256) {
  if (name.startsWith("query:")) return at(`/v1/queries/${name}/thumbnail?side=${Math.max(side, 256)}`);
  const id = encodeURIComponent(name.replace(/^id:/, ""));
  return at(`/v1/images/${id}/thumbnail` + (side > 256 ? `?side=${side}` : ""));
}

export function original(id) {
  return at(`/v1/images/${encodeURIComponent(id)}/original`);
}

// A job's progress as it happens. Resolves with the job at its end.
export function follow(job, tell) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(at(`/v1/jobs/${job}/events`));
    source.addEventListener("progress", (event) => tell(JSON.parse(event.data)));
    source.addEventListener("end", (event) => { source.close(); resolve(JSON.parse(event.data)); });
    source.onerror = () => { source.close(); reject(new Refused(0, { message: "the job's progress was lost; look again in a moment" })); };
  });
}
