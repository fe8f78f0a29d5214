// Hits of a search by parts: in words what they share with the query, and as outlines where.

import { h, fileName, percent } from "./dom.js";
import { thumbnailUrl } from "./api.js";

const SVG = "http://www.w3.org/2000/svg";
const BADGES = {
  holds: "shows part of the query",
  inside: "contains the query",
  overlaps: "shares a part",
  "the same image": "the same image",
};
// Rank buttons nearer to each other than this, as fractions of the query image, would overlap.
const NEAR = [0.09, 0.12];

export function badgeText(containment) {
  return BADGES[containment.kind] || BADGES.overlaps;
}

// As the command line describes it: how the query appears in the stored image, and how sure that is.
export function containmentText(containment) {
  const { scale, mirrored, probability, inliers } = containment;
  const turn = Math.round(containment.turn);
  const changes = [
    `the query scaled to ${percent(scale, 0)}`,
    mirrored && "mirrored",
    turn && `rotated by ${Math.abs(turn)}° ${turn > 0 ? "clockwise" : "counterclockwise"}`,
  ];
  const points = inliers === 1 ? "1 matching point" : `${inliers} matching points`;
  const relation = containment.relation === "same-object" ? "the same object, " : "";
  return `${changes.filter(Boolean).join(", ")}; ${relation}probability ${percent(probability)}; ${points}`;
}

// What the stored image shows of the query, as an outline in the stored image.
export function storedOutline(containment) {
  return ["inside", "overlaps"].includes(containment.kind) ? [containment.part] : [];
}

export function queryOutline(containment) {
  return containment.query_outline ? [containment.query_part] : [];
}

// An overlay that draws outlines, given as corners in fractions of the image. `width` and `height`: of the image, if
// it is cropped to its box (object-fit: cover). `pick`: called with the index of an outline that is clicked.
export function outlineOverlay(outlines, { width = 1, height = 1, pick = null } = {}) {
  if (!outlines.length) return null;
  const overlay = document.createElementNS(SVG, "svg");
  const cover = width !== 1 || height !== 1;
  overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
  overlay.setAttribute("preserveAspectRatio", cover ? "xMidYMid slice" : "none");
  overlay.setAttribute("class", pick ? "outlines pickable" : "outlines");
  overlay.setAttribute("aria-hidden", "true");
  outlines.forEach((corners, n) => {
    const points = corners.map(([x, y]) => `${x * width},${y * height}`).join(" ");
    for (const name of ["halo", "line"]) {
      const polygon = document.createElementNS(SVG, "polygon");
      polygon.setAttribute("points", points);
      polygon.setAttribute("class", name);
      if (pick) polygon.addEventListener("click", () => pick(n));
      overlay.append(polygon);
    }
  });
  return overlay;
}

// The query image with the outlines of all hits that lie in it, each with its rank; null if there are none.
// select(n): called with the index of the hit that is chosen.
export function queryWithOutlines(name, hits, select) {
  const ranked = hits.map((hit, n) => ({ hit, n })).filter(({ hit }) => hit.containment?.query_outline);
  if (!ranked.length) return null;
  const buttons = ranked.map(({ hit, n }, index) =>
    h(
      "button",
      {
        type: "button",
        class: "rank",
        "aria-pressed": "false",
        "aria-label": `Hit ${n + 1}: ${fileName(hit.id)}, ${badgeText(hit.containment)}`,
        onclick: () => pick(index),
      },
      String(n + 1),
    ),
  );
  const overlay = outlineOverlay(
    ranked.map(({ hit }) => hit.containment.query_part),
    { pick: (index) => pick(index) },
  );
  const lines = [...overlay.querySelectorAll(".line")];
  function pick(index) {
    buttons.forEach((button, other) => button.setAttribute("aria-pressed", String(other === index)));
    lines.forEach((line, other) => line.classList.toggle("chosen", other === index));
    select(ranked[index].n);
  }
  anchors(ranked.map(({ hit }) => hit.containment.query_part)).forEach(([x, y], index) => {
    Object.assign(buttons[index].style, { left: `${100 * x}%`, top: `${100 * y}%` });
  });
  const figure = h(
    "figure",
    { class: "found-in-query" },
    h(
      "div",
      { class: "frame" },
      h("img", {
        src: thumbnailUrl(name, 640),
        alt: "The query image",
        onerror: () => figure.remove(), // it has expired
      }),
      overlay,
      buttons,
    ),
    h(
      "figcaption",
      { class: "faint" },
      `${ranked.length === 1 ? "1 image" : `${ranked.length} images`} found in the query. Choose a number to go to its hit.`,
    ),
  );
  return figure;
}

// The position of each rank: the top left of its outline within the image, moved aside where others are.
function anchors(outlines) {
  const taken = [];
  for (const corners of outlines) {
    let [x, y] = [0, 1].map((axis) => Math.min(0.9, Math.max(0, Math.min(...corners.map((corner) => corner[axis])))));
    while (taken.some(([a, b]) => Math.abs(a - x) < NEAR[0] && Math.abs(b - y) < NEAR[1])) {
      x += NEAR[0];
      if (x > 0.9) [x, y] = [0, y + NEAR[1]];
    }
    taken.push([x, y]);
  }
  return taken;
}
