// A button that begins long work, and a bar that tells how far it is.

import { at } from "./root_path.js";
import { h, say, number } from "./dom.js";
import { follow, get, send } from "./api.js";

let writes = null; // whether whoever looks may write: asked once, and known for good when a write was refused

export function mayWrite() {
  writes ||= get("/v1/collection").then((told) => told.may_write);
  return writes.catch(() => { writes = null; return true; });
}

function onlyRead() { return h("p", { class: "faint" }, "Only to read: the server was started so, or your token is for reading."); }

export function jobButton(kind, text, done, { main = false } = {}) {
  const place = h("div", {});
  const button = h("button", { type: "button", class: main ? "main" : "", onclick: () => begin() }, text);
  const rest = async () => {
    place.replaceChildren(button);
    if (!(await mayWrite()) && button.parentNode === place) place.replaceChildren(onlyRead());
  };
  const watch = async (job) => {
    const bar = h("progress", { "aria-label": text });
    const told = h("p", { class: "faint" }, "beginning…");
    const stop = h("button", { type: "button", onclick: () => fetch(at(`/v1/jobs/${job}`), { method: "DELETE" }) }, "Stop");
    place.replaceChildren(bar, told, stop);
    try {
      const end = await follow(job, (now) => {
        if (now.total) { bar.max = now.total; bar.value = now.done; told.textContent = `${number(now.done)} of ${number(now.total)}`; } else told.textContent = "looking…";
      });
      rest();
      const here = place.isConnected; // whoever went to another page meanwhile is not called back
      if (end.state === "failed") say(end.message); else { say(end.state === "stopped" ? "Stopped; what was done is kept." : "Done."); if (here) done(end); }
    } catch (error) { rest(); say(error.message); }
  };
  const begin = async () => {
    try { watch((await send("/v1/jobs", { kind })).job); } catch (error) {
      if (["may_not_write", "read_only"].includes(error.kind)) { writes = Promise.resolve(false); rest(); }
      say(error.message);
    }
  };
  rest();
  get("/v1/jobs").then(({ jobs }) => { const mine = jobs.find((job) => job.kind === kind && job.state === "running"); if (mine) watch(mine.job); }).catch(() => {});
  return place;
}
