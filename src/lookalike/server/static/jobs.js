// A button that starts a job, and its progress bar.

import { withRoot } from "./root_path.js";
import { h, notify, number } from "./dom.js";
import { follow, get, send } from "./api.js";

let writable = null; // promise of whether the user may write; requested once, false after a refused write

export function mayWrite() {
  writable ||= get("/v1/collection").then((collection) => collection.may_write);
  return writable.catch(() => {
    writable = null;
    return true;
  });
}

function readOnlyNote() {
  return h("p", { class: "faint" }, "Read-only: the server was started with --read-only, or your token is read-only.");
}

export function jobButton(kind, text, done, { main = false } = {}) {
  const container = h("div", {});
  const button = h("button", { type: "button", class: main ? "main" : "", onclick: () => start() }, text);
  const showButton = async () => {
    container.replaceChildren(button);
    if (!(await mayWrite()) && button.parentNode === container) container.replaceChildren(readOnlyNote());
  };
  const watch = async (job) => {
    const bar = h("progress", { "aria-label": text });
    const status = h("p", { class: "faint" }, "starting…");
    const stop = h(
      "button",
      { type: "button", onclick: () => fetch(withRoot(`/v1/jobs/${job}`), { method: "DELETE" }) },
      "Stop",
    );
    container.replaceChildren(bar, status, stop);
    try {
      const end = await follow(job, (progress) => {
        if (progress.total) {
          bar.max = progress.total;
          bar.value = progress.done;
          status.textContent = `${number(progress.done)} of ${number(progress.total)}`;
        } else status.textContent = "working…";
      });
      showButton();
      const visible = container.isConnected; // not after the user has moved to another page
      if (end.state === "failed") notify(end.message);
      else {
        notify(end.state === "stopped" ? "Stopped; completed work is saved." : "Done.");
        if (visible) done(end);
      }
    } catch (error) {
      showButton();
      notify(error.message);
    }
  };
  const start = async () => {
    try {
      watch((await send("/v1/jobs", { kind })).job);
    } catch (error) {
      if (["may_not_write", "read_only"].includes(error.kind)) {
        writable = Promise.resolve(false);
        showButton();
      }
      notify(error.message);
    }
  };
  showButton();
  get("/v1/jobs")
    .then(({ jobs }) => {
      const running = jobs.find((job) => job.kind === kind && job.state === "running");
      if (running) watch(running.job);
    })
    .catch(() => {});
  return container;
}
