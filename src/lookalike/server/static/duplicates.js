// The review of duplicates: verdicts with undo, and moving accepted extras to the trash.

import { h, notify, fileName } from "./dom.js";
import { follow, get, thumbnailUrl, originalUrl, send } from "./api.js";
import { jobButton, mayWrite } from "./jobs.js";
import { overlayView } from "./overlay.js";
import { replaceAddress } from "./state.js";
import { commandBox, counted, KEYS, megabytes, Review } from "./review.js";

export const keys = KEYS;
const FIRST_PAGE = 60,
  PAGE = 500; // groups per request: the first page is small so that it appears quickly
const MAX_DECISIONS = 500; // per request
const VIEWS = [
  ["side", "Side by side"],
  ["flip", "Flip"],
  ["overlay", "Overlay"],
  ["difference", "Difference"],
];

let page = null; // the state of the page that is shown

export function leavePage() {
  page?.review.close();
  page = null;
}

export async function show(main) {
  leavePage();
  document.title = "Duplicates · Lookalike";
  const summary = h("p", { class: "faint" }, "…");
  const container = h("div", {});
  main.replaceChildren(
    h("h1", {}, "Duplicates"),
    h(
      "p",
      {},
      "Altered copies of the same image. Your decision about a pair is saved and applies to later searches.",
    ),
    h(
      "div",
      { class: "row" },
      summary,
      h("span", { class: "spread" }),
      jobButton("duplicates", "Look for duplicates", () => show(main)),
    ),
    container,
  );
  const writable = await mayWrite();
  if (!container.isConnected) return;
  const mine = { when: null, apply: null, skipped: [], show: () => show(main) };
  mine.review = new Review(container, {
    mayWrite: writable,
    filters: new URLSearchParams(location.search),
    note: (parameters) => {
      const text = parameters.toString();
      replaceAddress(text ? `/duplicates?${text}` : "/duplicates");
    },
    image: (image, side) => thumbnailUrl(image.id, side),
    link: (image) => originalUrl(image.id),
    say: notify,
    views: VIEWS,
    stage: overlayView,
    decide,
    choose: (image, keep) => send("/v1/choices", { id: image.id, keep }),
    changed: () => renderPanel(mine),
  });
  page = mine;
  mine.review.list.setAttribute("aria-busy", "true");
  try {
    for (let offset = 0; page === mine;) {
      const response = await get("/v1/duplicates", { k: offset ? PAGE : FIRST_PAGE, offset });
      if (page !== mine) return;
      if (offset && response.when !== mine.when) {
        show(main);
        return;
      } // a new search has finished
      mine.when = response.when;
      offset += response.groups.length;
      summary.textContent =
        response.when === null
          ? "No search for duplicates yet."
          : `${counted(response.total, "group")} among ${counted(response.images, "image")}, searched ${new Date(response.when).toLocaleString()}`;
      mine.review.add(response.groups);
      if (response.when !== null && !response.total) container.prepend(h("p", { class: "empty" }, "No duplicates."));
      container.hidden = response.when === null;
      if (offset >= response.total || !response.groups.length) break;
    }
    mine.review.list.removeAttribute("aria-busy");
    mine.apply = await get("/v1/duplicates/apply");
    if (page === mine) renderPanel(mine);
  } catch (error) {
    summary.textContent = error.message;
  }
}

async function decide(changes) {
  const decisions = changes.map(({ group, extra, verdict }) => ({ first: group.keep.id, second: extra.id, verdict }));
  if (decisions.length === 1) await send("/v1/decisions", decisions[0]);
  else
    for (let n = 0; n < decisions.length; n += MAX_DECISIONS)
      await send("/v1/decisions/batch", { decisions: decisions.slice(n, n + MAX_DECISIONS) });
}

// ---- moving accepted extras to the trash and back

function renderPanel(mine) {
  const { apply, review } = mine;
  if (!apply || mine.busy) return;
  const { files, bytes } = review.accepted;
  const parts = [];
  if (apply.allowed) {
    review.spot.replaceChildren(
      h(
        "button",
        { type: "button", disabled: !files, onclick: () => confirmMove(mine) },
        files ? `Move ${counted(files, "file")} to the trash (${megabytes(bytes)})` : "No accepted files to move",
      ),
    );
    for (const journal of apply.journals.slice(0, 3)) {
      const trashed = journal.moved - journal.restored;
      if (trashed > 0)
        parts.push(
          h(
            "div",
            { class: "row" },
            h(
              "span",
              {},
              `${counted(trashed, "file")} (${megabytes(journal.bytes)}) moved to the trash ${new Date(journal.created).toLocaleString()}.`,
            ),
            h(
              "button",
              {
                type: "button",
                onclick: () => runJob(mine, "/v1/duplicates/undo", { journal: journal.journal }, "Restoring…"),
              },
              "Undo: restore them",
            ),
          ),
        );
    }
    if (parts.length)
      parts.push(
        h(
          "p",
          { class: "faint" },
          "Moved files stay listed in the collection until its folders are indexed again: ",
          h("a", { href: "/collection", "data-link": true }, "Check folders for new images"),
          ".",
        ),
      );
  } else if (files) {
    parts.push(
      h(
        "p",
        {},
        `${counted(files, "file")} accepted (${megabytes(bytes)}). This page cannot move them: ${apply.reason}. To move exactly these files to the trash, run this command on the server:`,
      ),
      commandBox(apply.command, notify),
      h(
        "p",
        { class: "faint" },
        "To restore them, run lookalike undo with the file name given after --journal; then update the collection with lookalike index.",
      ),
    );
  }
  const skipped = mine.skipped.length
    ? [
        h("p", {}, `${counted(mine.skipped.length, "file")} not moved:`),
        h(
          "ul",
          {},
          mine.skipped.slice(0, 50).map(({ id, reason }) => h("li", {}, `${fileName(id)} ${reason}`)),
        ),
      ]
    : [];
  review.panel.replaceChildren(...parts, ...skipped);
}

function confirmMove(mine) {
  const { files, bytes } = mine.review.accepted;
  const dialog = h("dialog", { class: "confirm", "aria-label": "Move to the trash" });
  const close = () => {
    dialog.close();
    dialog.remove();
  };
  dialog.append(
    h("h1", {}, `Move ${counted(files, "file")} to the trash?`),
    h(
      "p",
      {},
      `${megabytes(bytes)}, on the server. Each file is checked again first. A file stays if it has changed or if its kept image is missing. You can undo this here.`,
    ),
    h(
      "div",
      { class: "row" },
      h(
        "button",
        {
          type: "button",
          class: "main",
          onclick: () => {
            close();
            runJob(mine, "/v1/duplicates/apply", { when: mine.when, files }, "Moving…");
          },
        },
        "Move to the trash",
      ),
      h("button", { type: "button", onclick: close }, "Cancel"),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

async function runJob(mine, path, body, text) {
  const { review } = mine;
  mine.busy = true;
  const bar = h("progress", { "aria-label": text });
  review.spot.replaceChildren();
  review.panel.replaceChildren(h("p", {}, text), bar);
  try {
    await review.sending; // send pending decisions first
    const { job } = await send(path, body);
    const end = await follow(job, (now) => {
      if (now.total) {
        bar.max = now.total;
        bar.value = now.done;
      }
    });
    const report = end.report || {};
    if (end.state === "done")
      notify(
        report.moved === undefined
          ? `${counted(report.restored, "file")} restored.`
          : `${counted(report.moved, "file")} moved to the trash (${megabytes(report.bytes)}).`,
      );
    else notify(end.message || "Stopped; files already moved can be restored.");
    if (page !== mine) return;
    await mine.show();
    if (page && report.left) page.skipped = report.left;
    if (page) renderPanel(page);
  } catch (error) {
    mine.busy = false;
    notify(error.message);
    renderPanel(mine);
  }
}
