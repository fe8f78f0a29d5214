// Selects a region of an image: drawn with a pointer, moved with arrows, resized with Shift and arrows.

import { h } from "./dom.js";

export function selectRegion(frame, done, start = null) {
  let box = start || [0.25, 0.25, 0.5, 0.5];
  let origin = null;
  const mark = h("div", {
    class: "region",
    tabindex: "0",
    role: "application",
    "aria-label": "Region to search with. Arrows move it, Shift and arrows resize it, Enter searches, Escape cancels.",
  });
  const update = () => {
    const [x, y, width, height] = box.map((v) => `${100 * v}%`);
    Object.assign(mark.style, { left: x, top: y, width, height });
  };
  const position = (event) => {
    const rectangle = frame.getBoundingClientRect();
    return [(event.clientX - rectangle.left) / rectangle.width, (event.clientY - rectangle.top) / rectangle.height].map(
      (v) => Math.min(1, Math.max(0, v)),
    );
  };
  const down = (event) => {
    event.preventDefault();
    origin = position(event);
    frame.setPointerCapture(event.pointerId);
  };
  const move = (event) => {
    if (!origin) return;
    const to = position(event);
    box = [
      Math.min(origin[0], to[0]),
      Math.min(origin[1], to[1]),
      Math.abs(to[0] - origin[0]),
      Math.abs(to[1] - origin[1]),
    ];
    update();
  };
  const up = () => {
    if (!origin) return;
    origin = null;
    if (box[2] > 0.02 && box[3] > 0.02) finish(box);
  };
  const key = (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Enter") {
      event.preventDefault();
      event.stopPropagation();
      finish(box);
      return;
    }
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      finish(null);
      return;
    }
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    const [dx, dy] = steps[event.key].map((v) => v * 0.03);
    if (event.shiftKey)
      box = [box[0], box[1], clamp(box[2] + dx, 0.06, 1 - box[0]), clamp(box[3] + dy, 0.06, 1 - box[1])];
    else box = [clamp(box[0] + dx, 0, 1 - box[2]), clamp(box[1] + dy, 0, 1 - box[3]), box[2], box[3]];
    update();
  };
  const finish = (result) => {
    for (const [name, run] of listeners) frame.removeEventListener(name, run);
    frame.classList.remove("drawing");
    mark.remove();
    done(result && result.map((v) => Number(v.toFixed(4))));
  };
  const listeners = [
    ["pointerdown", down],
    ["pointermove", move],
    ["pointerup", up],
    ["pointercancel", up],
  ];
  for (const [name, run] of listeners) frame.addEventListener(name, run);
  mark.addEventListener("keydown", key);
  frame.classList.add("drawing");
  frame.append(mark);
  update();
  mark.focus();
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
