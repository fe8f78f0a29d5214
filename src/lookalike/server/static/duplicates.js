// Altered copies, side by side: a person says what they are, and can take it back.

import { h, say, number, fileName } from "./dom.js";
import { get, picture, send } from "./api.js";
import { jobButton } from "./jobs.js";
import { laid } from "./laying.js";
import { address } from "./state.js";

const K = 20;
const VIEWS = [["side", "Side by side"], ["flip", "Flip"], ["overlay", "Overlay"], ["difference", "Difference"]];
const WORDS = { "not-a-copy": "Not a copy", "keep-both": "Keep both", copy: "A copy" };
const CHOSEN = "The second is kept from the next search on.";

export async function show(main) {
  document.title = "Duplicates · Lookalike";
  const list = h("div", {});
  const summary = h("p", { class: "faint" }, "…");
  const more = h("div", { class: "more" });
  main.replaceChildren(h("h1", {}, "Duplicates"), h("p", {}, "Altered copies of the same picture. What you say of a pair is remembered and never asked again; no file is touched here."),
    h("div", { class: "row" }, summary, h("span", { class: "spread" }), jobButton("duplicates", "Look for duplicates", () => show(main))), list, more);
  let offset = 0;
  const next = async () => {
    try {
      const found = await get("/v1/duplicates", { k: K, offset });
      offset += found.groups.length;
      summary.textContent = found.when === null ? "Nobody has looked yet." : `${number(found.total)} groups among ${number(found.pictures)} pictures, found ${new Date(found.when).toLocaleString()}`;
      if (found.when !== null && !found.total) list.replaceChildren(h("p", { class: "empty" }, "No duplicates. Every picture is the only one of its kind."));
      const first = list.children.length;
      list.append(...found.groups.flatMap((group) => group.extras.map((extra) => pair(group, extra))));
      if (first) list.children[first]?.querySelector("button")?.focus();
      more.replaceChildren(...(offset < found.total ? [h("button", { type: "button", onclick: next }, `More (${number(found.total - offset)} groups)`)] : []));
    } catch (error) { summary.textContent = error.message; }
  };
  await next();
}

function pair(group, extra) {
  const { keep } = group;
  const stage = h("div", {});
  const buttons = VIEWS.map(([name, text]) => h("button", { type: "button", "aria-pressed": "false", onclick: () => view(name) }, text));
  const view = (name) => {
    VIEWS.forEach(([each], n) => buttons[n].setAttribute("aria-pressed", String(each === name)));
    stage.replaceChildren(name === "side" ? sides(keep, extra) : laid(keep, extra, name));
  };
  const verdicts = h("div", { class: "row" });
  const card = h("section", { class: "pair", "aria-label": `${fileName(keep.id)} and ${fileName(extra.id)}`, tabindex: "-1" },
    h("div", { class: "row" }, h("span", { class: `badge ${extra.relation}` }, `${extra.relation}, ${Math.round(100 * extra.probability)} %`), h("span", {}, extra.words), h("span", { class: "spread" }), h("div", { class: "segments", role: "group", "aria-label": "How to look at them" }, ...buttons)),
    stage, verdicts);
  const button = (text, onclick, kind = "") => h("button", { type: "button", class: kind, onclick }, text);
  const why = () => {
    if (group.chosen) return [h("span", { class: "faint" }, "the first is kept: chosen by you"), button("Leave it to the rules", () => choose(keep, false))];
    if (group.left) return [h("span", { class: "faint" }, "from the next search on the rules decide"), button("Undo", () => choose(keep, true))];
    return [h("span", { class: "faint" }, extra.reason ? `the first is kept: ${extra.reason}` : "")];
  };
  const told = () => {
    if (extra.chosen) return [h("b", {}, CHOSEN), button("Undo", () => choose(extra, false))];
    if (extra.verdict) return [h("b", {}, `${WORDS[extra.verdict]}.`), button("Undo", () => decide(null))];
    return [button("A copy: keep the first", () => decide("copy"), "main"),
      ...(mayBeKept(keep.metadata, extra.metadata) ? [button("Keep the second instead", () => choose(extra, true))] : []),
      button("Keep both", () => decide("keep-both")), button("Not a copy", () => decide("not-a-copy")), ...why()];
  };
  const draw = () => {
    card.classList.toggle("decided", Boolean(extra.verdict || extra.chosen));
    verdicts.replaceChildren(...told());
  };
  (group.draw ||= []).push(draw);
  const choose = async (image, wanted) => {
    try {
      await send("/v1/choices", { id: image.id, keep: wanted });
      // Of a group the one chosen last is kept.
      for (const one of group.extras) one.chosen = wanted && one === image;
      if (image === keep) [group.chosen, group.left] = [wanted, !wanted];
      group.draw.forEach((each) => each());
      if (wanted) say(`${fileName(image.id)} is kept from the next search on.`, { name: "Undo", run: () => choose(image, false) });
      verdicts.querySelector("button").focus();
    } catch (error) { say(error.message); }
  };
  const decide = async (verdict) => {
    try {
      await send("/v1/decisions", { first: keep.id, second: extra.id, verdict });
      extra.verdict = verdict;
      draw();
      if (verdict) say(`${WORDS[verdict]}: ${fileName(extra.id)}`, { name: "Undo", run: () => decide(null) });
      verdicts.querySelector("button").focus();
    } catch (error) { say(error.message); }
  };
  view("side");
  draw();
  return card;
}

// A reference is kept whatever one chooses, and so is the same content under another name.
function mayBeKept(first, second) {
  return !first.reference && Boolean(second.sha256) && second.sha256 !== first.sha256;
}

function sides(keep, extra) {
  const one = (image, what) => h("figure", {}, h("a", { href: address({ like: [`id:${image.id}`] }), "data-link": true, title: "More like this" }, h("img", { src: picture(image.id, 640), alt: `${what}: ${fileName(image.id)}`, loading: "lazy" })),
    h("figcaption", {}, h("b", {}, what), ` ${image.id}`, h("br"), h("span", { class: "faint" }, facts(image.metadata))));
  return h("div", { class: "sides" }, one(keep, "Kept"), one(extra, "Copy"));
}

function facts(metadata) {
  const size = metadata.size ? `, ${(metadata.size / 1e6).toFixed(2)} MB` : "";
  return `${metadata.width} × ${metadata.height}, ${metadata.format}${size}`;
}
