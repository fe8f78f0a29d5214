// Altered copies as cards: a person says what they are, can take it back, and moves what was accepted to the trash.

import { h, say, fileName } from "./dom.js";
import { follow, get, picture, original, send } from "./api.js";
import { jobButton, mayWrite } from "./jobs.js";
import { laid } from "./overlay.js";
import { note } from "./state.js";
import { commandBox, counted, KEYS, megabytes, Review } from "./review.js";

export const keys = KEYS;
const FIRST = 60, THEN = 500; // groups: few at first, so that something is seen at once
const AT_ONCE = 500; // decisions in one request
const VIEWS = [["side", "Side by side"], ["flip", "Flip"], ["overlay", "Overlay"], ["difference", "Difference"]];

let page = null; // the one that is shown

export function leavePage() {
  page?.review.close();
  page = null;
}

export async function show(main) {
  leavePage();
  document.title = "Duplicates · Lookalike";
  const summary = h("p", { class: "faint" }, "…");
  const place = h("div", {});
  main.replaceChildren(h("h1", {}, "Duplicates"), h("p", {}, "Altered copies of the same picture. What you say of a pair is remembered and never asked again."),
    h("div", { class: "row" }, summary, h("span", { class: "spread" }), jobButton("duplicates", "Look for duplicates", () => show(main))), place);
  const may = await mayWrite();
  if (!place.isConnected) return;
  const mine = { when: null, apply: null, leaving: [], show: () => show(main) };
  mine.review = new Review(place, {
    mayWrite: may,
    filters: new URLSearchParams(location.search),
    note: (parameters) => { const text = parameters.toString(); note(text ? `/duplicates?${text}` : "/duplicates"); },
    image: (image, side) => picture(image.id, side),
    link: (image) => original(image.id),
    say,
    views: VIEWS,
    stage: laid,
    decide,
    choose: (image, keep) => send("/v1/choices", { id: image.id, keep }),
    changed: () => panel(mine),
  });
  page = mine;
  mine.review.list.setAttribute("aria-busy", "true");
  try {
    for (let offset = 0; page === mine;) {
      const found = await get("/v1/duplicates", { k: offset ? THEN : FIRST, offset });
      if (page !== mine) return;
      if (offset && found.when !== mine.when) { show(main); return; } // somebody looked again meanwhile
      mine.when = found.when;
      offset += found.groups.length;
      summary.textContent = found.when === null ? "Nobody has looked yet." : `${counted(found.total, "group")} among ${counted(found.pictures, "picture")}, found ${new Date(found.when).toLocaleString()}`;
      mine.review.add(found.groups);
      if (found.when !== null && !found.total) place.prepend(h("p", { class: "empty" }, "No duplicates. Every picture is the only one of its kind."));
      place.hidden = found.when === null;
      if (offset >= found.total || !found.groups.length) break;
    }
    mine.review.list.removeAttribute("aria-busy");
    mine.apply = await get("/v1/duplicates/apply");
    if (page === mine) panel(mine);
  } catch (error) { summary.textContent = error.message; }
}

async function decide(changes) {
  const told = changes.map(({ group, extra, verdict }) => ({ first: group.keep.id, second: extra.id, verdict }));
  if (told.length === 1) await send("/v1/decisions", told[0]);
  else for (let n = 0; n < told.length; n += AT_ONCE) await send("/v1/decisions/batch", { decisions: told.slice(n, n + AT_ONCE) });
}

// ---- what was accepted, to the trash and back

function panel(mine) {
  const { apply, review } = mine;
  if (!apply || mine.busy) return;
  const { files, bytes } = review.accepted;
  const parts = [];
  if (apply.allowed) {
    review.spot.replaceChildren(h("button", { type: "button", disabled: !files, onclick: () => confirm(mine) }, files ? `Move ${counted(files, "file")} to the trash (${megabytes(bytes)})` : "Nothing accepted to move"));
    for (const one of apply.journals.slice(0, 3)) {
      const away = one.moved - one.restored;
      if (away > 0) parts.push(h("div", { class: "row" }, h("span", {}, `${counted(away, "file")} (${megabytes(one.bytes)}) moved to the trash ${new Date(one.created).toLocaleString()}.`), h("button", { type: "button", onclick: () => work(mine, "/v1/duplicates/undo", { journal: one.journal }, "Putting back…") }, "Undo: put them back")));
    }
    if (parts.length) parts.push(h("p", { class: "faint" }, "The collection lists what was moved until it looks at its folders again: ", h("a", { href: "/collection", "data-link": true }, "Look for new pictures"), "."));
  } else if (files) {
    parts.push(h("p", {}, `${counted(files, "file")} accepted (${megabytes(bytes)}). Nothing is moved from here: ${apply.reason.split(",")[0]}. To move exactly these to the trash, type on the server's machine:`), commandBox(apply.command, say), h("p", { class: "faint" }, "lookalike undo, with the name behind --journal, brings all of them back; lookalike index tells the collection."));
  }
  const left = mine.leaving.length ? [h("p", {}, `${counted(mine.leaving.length, "file")} left in place:`), h("ul", {}, mine.leaving.slice(0, 50).map(({ id, reason }) => h("li", {}, `${fileName(id)} ${reason}`)))] : [];
  review.panel.replaceChildren(...parts, ...left);
}

function confirm(mine) {
  const { files, bytes } = mine.review.accepted;
  const dialog = h("dialog", { class: "confirm", "aria-label": "Move to the trash" });
  const close = () => { dialog.close(); dialog.remove(); };
  dialog.append(h("h1", {}, `Move ${counted(files, "file")} to the trash?`),
    h("p", {}, `${megabytes(bytes)}, on the machine that this server runs on. Each file is checked again right before: one that changed, or whose kept picture is not there, stays. It can be undone from here.`),
    h("div", { class: "row" }, h("button", { type: "button", class: "main", onclick: () => { close(); work(mine, "/v1/duplicates/apply", { when: mine.when, files }, "Moving…"); } }, "Move to the trash"), h("button", { type: "button", onclick: close }, "Cancel")));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

async function work(mine, path, body, text) {
  const { review } = mine;
  mine.busy = true;
  const bar = h("progress", { "aria-label": text });
  review.spot.replaceChildren();
  review.panel.replaceChildren(h("p", {}, text), bar);
  try {
    await review.sending; // what was said last goes first
    const { job } = await send(path, body);
    const end = await follow(job, (now) => { if (now.total) { bar.max = now.total; bar.value = now.done; } });
    const report = end.report || {};
    if (end.state === "done") say(report.moved === undefined ? `${counted(report.restored, "file")} back in place.` : `${counted(report.moved, "file")} moved to the trash (${megabytes(report.bytes)}).`);
    else say(end.message || "Stopped; what was done can be undone.");
    if (page !== mine) return;
    await mine.show();
    if (page && report.left) page.leaving = report.left;
    if (page) panel(page);
  } catch (error) {
    mine.busy = false;
    say(error.message);
    panel(mine);
  }
}
