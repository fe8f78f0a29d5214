// Two pictures laid over each other, by what is known of how the one lies in the other.

import { h, fileName } from "./dom.js";
import { picture } from "./api.js";

const WHOLE = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
const MIRROR = [[-1, 0, 1], [0, 1, 0], [0, 0, 1]];
const QUARTER = [[0, -1, 1], [1, 0, 0], [0, 0, 1]]; // clockwise
const CORNERS = [[0, 0], [1, 0], [1, 1], [0, 1]];
const PROVED = /; (\d+ matching points?|the pictures agree as a whole)/;
const PLACED = /crop|border|\bbars?\b|larger picture|at an angle/; // words that leave open where

// From shares of the kept picture to shares of the copy, 3 x 3; null where that is not known.
export function transformOf(extra) {
  if (extra.transform) return extra.transform;
  if (extra.relation === "identical") return WHOLE;
  const [changes] = extra.words.split(";");
  if (!PROVED.test(extra.words) || PLACED.test(changes)) return null;
  const [, degrees = "0", back] = changes.match(/turned by (\d+)°( anticlockwise)?/) || [];
  if (degrees % 90) return null;
  const upside = changes.includes("flipped upside down");
  const turns = (upside ? 2 : 0) + (back ? 4 - degrees / 90 : degrees / 90);
  let found = upside || changes.includes("mirrored") ? MIRROR : WHOLE;
  for (let n = 0; n < turns; n += 1) found = times(QUARTER, found);
  return found;
}

// how: flip, overlay or difference. The kept picture is the frame; the copy is turned, mirrored and moved to lie on it.
export function laid(keep, extra, how) {
  const found = transformOf(extra);
  const back = found && inverse(found);
  const below = h("img", { src: picture(keep.id, 640), alt: `The kept one: ${fileName(keep.id)}` });
  const top = h("img", { src: picture(extra.id, 640), alt: `The copy: ${fileName(extra.id)}` });
  const frame = h("div", { class: back ? "frame-of-kept" : "frame-of-both" }, below, top);
  const stage = h("div", { class: `laid ${how}` }, frame);
  const outline = back && CORNERS.map((corner) => moved(back, corner));
  const partly = outline && !CORNERS.every((corner) => inside(moved(found, corner)));
  if (back) follow(stage, () => place(stage, frame, top, keep.metadata, back));
  if (how === "difference" && partly) below.style.clipPath = `polygon(${outline.map(([x, y]) => `${100 * x}% ${100 * y}%`).join(",")})`;
  return h("div", {}, stage, under(how, stage, top, { known: Boolean(back), partly }));
}

// The frame as large as the stage holds, and the copy moved in its pixels.
function place(stage, frame, top, { width = 1, height = 1 }, back) {
  const scale = Math.min(stage.clientWidth / width, stage.clientHeight / height);
  const [w, t] = [width * scale, height * scale];
  Object.assign(frame.style, { width: `${w}px`, height: `${t}px` });
  const [[a, b, c], [d, e, f], [g, i, j]] = times([[w, 0, 0], [0, t, 0], [0, 0, 1]], times(back, [[1 / w, 0, 0], [0, 1 / t, 0], [0, 0, 1]]));
  top.style.transform = `matrix3d(${[a, d, 0, g, b, e, 0, i, 0, 0, 1, 0, c, f, 0, j].join(",")})`;
}

function follow(stage, run) {
  const observer = new ResizeObserver(() => { if (stage.isConnected) run(); else observer.disconnect(); });
  observer.observe(stage);
}

function under(how, stage, top, { known, partly }) {
  const open = "Where the copy lies on the kept one is not told here: they are laid over each other as they are.";
  if (how === "flip") {
    const told = h("span", { class: "faint" }, "the kept one");
    return h("div", { class: "row" }, h("button", { type: "button", "data-flip": true, onclick: () => { told.textContent = stage.classList.toggle("flipped") ? "the copy" : "the kept one"; } }, "Flip"), told);
  }
  if (how === "overlay") {
    top.style.opacity = "0.5";
    return h("div", {}, h("label", { class: "row mix" }, "kept", h("input", { type: "range", min: "0", max: "100", value: "50", "aria-label": "How much of the copy shows", oninput: (event) => { top.style.opacity = String(event.target.value / 100); } }), "copy"),
      known ? null : h("p", { class: "faint" }, open));
  }
  const same = `Black is the same; what differs is bright.${partly ? " Only what both show is compared." : ""}`;
  return h("p", { class: "faint" }, known ? same : `${open} Bright is not always what was changed.`);
}

// ---- 3 x 3

function times(a, b) { return a.map((row) => [0, 1, 2].map((n) => row[0] * b[0][n] + row[1] * b[1][n] + row[2] * b[2][n])); }

function moved(matrix, [x, y]) {
  const [u, v, w] = matrix.map((row) => row[0] * x + row[1] * y + row[2]);
  return [u / w, v / w];
}

function inside([x, y]) { return x > -0.01 && x < 1.01 && y > -0.01 && y < 1.01; }

// null where it has none.
function inverse([[a, b, c], [d, e, f], [g, i, j]]) {
  const det = a * (e * j - f * i) - b * (d * j - f * g) + c * (d * i - e * g);
  if (!(Math.abs(det) > 1e-9)) return null;
  const rows = [[e * j - f * i, c * i - b * j, b * f - c * e], [f * g - d * j, a * j - c * g, c * d - a * f], [d * i - e * g, b * g - a * i, a * e - b * d]];
  return rows.map((row) => row.map((value) => value / det));
}
