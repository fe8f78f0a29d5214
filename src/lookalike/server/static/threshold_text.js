// The meaning of a minimum score in words, consistent with the hits on the page.

import { number, percent } from "./dom.js";
import { get } from "./api.js";

const NEARLY_IDENTICAL = 0.99; // from here on the model hardly distinguishes images, and the tail does not apply
let scores = null; // the response of /v1/scores

export function setScores(response) {
  scores = response;
}

// Loads the scores once. Hits are shown without them if this fails.
export async function loadScores() {
  try {
    if (!scores) setScores(await get("/v1/scores"));
  } catch {
    /* retried with the next search */
  }
}

// The text for a minimum score. `unverified`: hits above it that are not verified copies. With `endless`, further hits
// may pass it than those loaded. `calibrated`: whether the scores are those of the collection's own model.
export function thresholdText(min, hits, all, { endless, calibrated = true }) {
  const shown = `${number(hits.length)} of ${number(all)} shown.`;
  if (!min) return `${shown} Move the slider to the right to show only the most similar.`;
  if (!hits.length) return `${shown} No image reaches this score.`;
  if (!calibrated) return shown;
  if (min >= NEARLY_IDENTICAL) return `${shown} Only nearly identical images reach this score.`;
  const copies = hits.filter((hit) => ["copy", "identical"].includes(hit.relation?.relation)).length;
  const unverified = endless ? Infinity : hits.length - copies;
  const step = scores?.meaning?.[Math.round(100 * min)];
  if (!unverified) return `${shown} ${copies === 1 ? "It is a verified copy" : "All of them are verified copies"}.`;
  const expectation = Number.isFinite(step?.expected_false)
    ? calibratedText(step.expected_false, unverified, copies)
    : randomPairText(min);
  const copyShare =
    step?.copy_probability >= 0.01 ? `At this score, ${percent(step.copy_probability)} are copies.` : "";
  return [shown, expectation, copyShare].filter(Boolean).join(" ");
}

function calibratedText(unrelated, unverified, copies) {
  if (unrelated < 0.5)
    return `An unrelated image reaches this score in one of ${number(Math.round(1 / Math.max(unrelated, 1e-6)))} searches.`;
  if (unrelated >= unverified)
    return `${copies ? "All but the verified copies" : "All of them"} may be unrelated: chance alone would give as many.`;
  const count = Math.round(unrelated);
  return unverified === Infinity
    ? `About ${number(count)} unrelated ${count === 1 ? "image" : "images"} would reach this score.`
    : `About ${number(count)} of them may be unrelated.`;
}

// Without a calibration: the share of random pairs above the score.
function randomPairText(min) {
  if (!scores?.scores?.length) return "";
  const at = scores.scores.findLastIndex((score) => score <= min);
  return at < 0
    ? "More than half of all pairs in this collection reach this score."
    : `Fewer than 1 in ${number(Math.round(1 / scores.shares[at]))} random pairs in this collection reach this score.`;
}

const NEAREST = {
  unrelated: "none is related to it",
  related: "the nearest are only alike",
  "same-object": "the nearest show the same object",
  variant: "the nearest have the same layout or source, with other content",
};

// What the judged hits are to the query, from the facts of /v1/search.
export function summaryText({ judged, copies, possible, undecided, strongest }) {
  if (!judged) return "";
  if (copies) return `${number(copies)} of the best ${number(judged)} hits ${copies === 1 ? "is a copy" : "are copies"}.`;
  if (undecided === judged) return `None of the best ${number(judged)} hits can be judged.`;
  const claim = possible ? "Nothing here is proven to be a copy" : "Nothing here is a copy";
  const doubt =
    (possible ? `; ${number(possible)} may be one` : "") + (undecided ? `; ${number(undecided)} cannot be judged` : "");
  return `${claim}: of the best ${number(judged)} hits, ${NEAREST[strongest]}${doubt}.`;
}
