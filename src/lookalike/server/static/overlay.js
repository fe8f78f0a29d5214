// The copy and the kept image overlaid, aligned by the known transform between them.

import { h, fileName } from "./dom.js";
import { thumbnailUrl } from "./api.js";

const IDENTITY = [
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 1],
];
const MIRROR = [
  [-1, 0, 1],
  [0, 1, 0],
  [0, 0, 1],
];
const QUARTER_TURN = [
  [0, -1, 1],
  [1, 0, 0],
  [0, 0, 1],
]; // clockwise
const CORNERS = [
  [0, 0],
  [1, 0],
  [1, 1],
  [0, 1],
];
// In the words of searches saved by older versions, which have neither transforms nor changes.
const VERIFIED = /; (\d+ matching points?|the (pictures|images) agree as a whole)/;
const OFFSET_UNKNOWN = /crop|border|\bbars?\b|larger (picture|image)|at an angle/;

// The 3 x 3 transform from positions in the kept image to positions in the copy, as fractions of width and height;
// null if unknown.
export function transformOf(extra) {
  if (extra.transform) return extra.transform;
  if (extra.relation === "identical") return IDENTITY;
  return extra.changes ? null : transformFromSavedWords(extra);
}

// Simple cases follow from the words.
function transformFromSavedWords(extra) {
  const [changes] = extra.words.split(";");
  if (!VERIFIED.test(extra.words) || OFFSET_UNKNOWN.test(changes)) return null;
  const [, degrees = "0", counterclockwise] =
    changes.match(/(?:turned|rotated) by (\d+)°( anticlockwise| counterclockwise)?/) || [];
  if (degrees % 90) return null;
  const upsideDown = changes.includes("flipped upside down");
  const turns = (upsideDown ? 2 : 0) + (counterclockwise ? 4 - degrees / 90 : degrees / 90);
  let transform = upsideDown || changes.includes("mirrored") ? MIRROR : IDENTITY;
  for (let n = 0; n < turns; n += 1) transform = multiply(QUARTER_TURN, transform);
  return transform;
}

// mode: flip, overlay or difference. The kept image is the frame; the copy is transformed to match it.
export function overlayView(keep, extra, mode) {
  const transform = transformOf(extra);
  const inverseTransform = transform && inverse(transform);
  const below = h("img", { src: thumbnailUrl(keep.id, 640), alt: `Kept image: ${fileName(keep.id)}` });
  const top = h("img", { src: thumbnailUrl(extra.id, 640), alt: `Copy: ${fileName(extra.id)}` });
  const frame = h("div", { class: inverseTransform ? "frame-of-kept" : "frame-of-both" }, below, top);
  const stage = h("div", { class: `laid ${mode}` }, frame);
  const outline = inverseTransform && CORNERS.map((corner) => apply(inverseTransform, corner));
  const partial = outline && !CORNERS.every((corner) => inside(apply(transform, corner)));
  if (inverseTransform) onResize(stage, () => align(stage, frame, top, keep.metadata, inverseTransform));
  if (mode === "difference" && partial)
    below.style.clipPath = `polygon(${outline.map(([x, y]) => `${100 * x}% ${100 * y}%`).join(",")})`;
  return h("div", {}, stage, controls(mode, stage, top, { known: Boolean(inverseTransform), partial }));
}

// Fits the frame into the stage and transforms the copy in pixels of the frame.
function align(stage, frame, top, { width = 1, height = 1 }, inverseTransform) {
  const scale = Math.min(stage.clientWidth / width, stage.clientHeight / height);
  const [w, t] = [width * scale, height * scale];
  Object.assign(frame.style, { width: `${w}px`, height: `${t}px` });
  const [[a, b, c], [d, e, f], [g, i, j]] = multiply(
    [
      [w, 0, 0],
      [0, t, 0],
      [0, 0, 1],
    ],
    multiply(inverseTransform, [
      [1 / w, 0, 0],
      [0, 1 / t, 0],
      [0, 0, 1],
    ]),
  );
  top.style.transform = `matrix3d(${[a, d, 0, g, b, e, 0, i, 0, 0, 1, 0, c, f, 0, j].join(",")})`;
}

function onResize(stage, run) {
  const observer = new ResizeObserver(() => {
    if (stage.isConnected) run();
    else observer.disconnect();
  });
  observer.observe(stage);
}

function controls(mode, stage, top, { known, partial }) {
  const unaligned = "The position of the copy in the kept image is unknown; the two are overlaid without alignment.";
  if (mode === "flip") {
    const shown = h("span", { class: "faint" }, "kept image");
    return h(
      "div",
      { class: "row" },
      h(
        "button",
        {
          type: "button",
          "data-flip": true,
          onclick: () => {
            shown.textContent = stage.classList.toggle("flipped") ? "copy" : "kept image";
          },
        },
        "Flip",
      ),
      shown,
    );
  }
  if (mode === "overlay") {
    top.style.opacity = "0.5";
    return h(
      "div",
      {},
      h(
        "label",
        { class: "row mix" },
        "kept",
        h("input", {
          type: "range",
          min: "0",
          max: "100",
          value: "50",
          "aria-label": "Opacity of the copy",
          oninput: (event) => {
            top.style.opacity = String(event.target.value / 100);
          },
        }),
        "copy",
      ),
      known ? null : h("p", { class: "faint" }, unaligned),
    );
  }
  const legend = `Identical areas are black; differences are bright.${partial ? " Only the shared area is compared." : ""}`;
  return h("p", { class: "faint" }, known ? legend : `${unaligned} Bright areas are not necessarily differences.`);
}

// ---- 3 x 3 matrices

function multiply(a, b) {
  return a.map((row) => [0, 1, 2].map((n) => row[0] * b[0][n] + row[1] * b[1][n] + row[2] * b[2][n]));
}

function apply(matrix, [x, y]) {
  const [u, v, w] = matrix.map((row) => row[0] * x + row[1] * y + row[2]);
  return [u / w, v / w];
}

function inside([x, y]) {
  return x > -0.01 && x < 1.01 && y > -0.01 && y < 1.01;
}

// null if the matrix is singular.
function inverse([[a, b, c], [d, e, f], [g, i, j]]) {
  const det = a * (e * j - f * i) - b * (d * j - f * g) + c * (d * i - e * g);
  if (!(Math.abs(det) > 1e-9)) return null;
  const rows = [
    [e * j - f * i, c * i - b * j, b * f - c * e],
    [f * g - d * j, a * j - c * g, c * d - a * f],
    [d * i - e * g, b * g - a * i, a * e - b * d],
  ];
  return rows.map((row) => row.map((value) => value / det));
}
