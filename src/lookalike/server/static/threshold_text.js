// What a cut-off means, in words that agree with what is on the screen.

import { number } from "./dom.js";
import { get } from "./api.js";

const ALL_BUT_THE_SAME = 0.99; // a score from which the model hardly tells two pictures apart: no tail reaches there
let scores = null; // as /v1/scores tells them

export function know(told) { scores = told; }

// Asked once; the hits stand without it.
export async function learn() {
  try { if (!scores) know(await get("/v1/scores")); } catch { /* asked again with the next search */ }
}

// What a cut-off lets pass. `open`: how many of those that pass are not proved copies; more pass than are shown where
// the hits end before the cut-off does.
export function meaning(min, hits, all, { endless }) {
  const shown = `${number(hits.length)} of ${number(all)} shown.`;
  if (!min) return `${shown} Move it to the right to keep only the most alike.`;
  if (!hits.length) return `${shown} Nothing here is so alike.`;
  if (min >= ALL_BUT_THE_SAME) return `${shown} Only what can hardly be told from it passes.`;
  const copies = hits.filter((hit) => ["copy", "identical"].includes(hit.relation?.relation)).length;
  const open = endless ? Infinity : hits.length - copies;
  const step = scores?.meaning?.[Math.round(100 * min)];
  if (!open) return `${shown} ${copies === 1 ? "It is a proved copy" : "All of them are proved copies"}.`;
  const told = Number.isFinite(step?.expected_false) ? byChance(step.expected_false, open, copies) : byLot(min);
  const sure = step?.copy_probability >= 0.01 ? `At this score, ${Math.round(100 * step.copy_probability)} % are copies.` : "";
  return [shown, told, sure].filter(Boolean).join(" ");
}

function byChance(strangers, open, copies) {
  if (strangers < 0.5) return `A picture that has nothing to do with it passes in one search of ${number(Math.round(1 / Math.max(strangers, 1e-6)))}.`;
  if (strangers >= open) return `By chance alone as many would pass: any of them${copies ? " that is no proved copy" : ""} may have nothing to do with it.`;
  const count = Math.round(strangers);
  const pictures = `About ${number(count)} ${count === 1 ? "picture" : "pictures"}`;
  return open === Infinity ? `${pictures} that ${count === 1 ? "has" : "have"} nothing to do with it would pass.` : `About ${number(count)} of them may have nothing to do with it.`;
}

// Without a calibration: what pairs drawn by lot say.
function byLot(min) {
  if (!scores?.scores?.length) return "";
  const at = scores.scores.findLastIndex((score) => score <= min);
  return at < 0 ? "More than half of all pairs here are so alike." : `Of two pictures drawn by lot here, fewer than 1 in ${number(Math.round(1 / scores.shares[at]))} are so alike.`;
}
