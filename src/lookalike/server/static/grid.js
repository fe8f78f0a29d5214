// A grid of images in justified rows. Only visible rows are in the document, so that a thousand hits scroll as fast
// as ten.

import { h, fileName, percent } from "./dom.js";
import { thumbnailUrl } from "./api.js";
import { badgeText, outlineOverlay, storedOutline } from "./containment.js";

export const GAP = 6;
export const OVERSCAN = 900; // pixels rendered above and below the window

// What a hit's score is worth: of a query with words its rank, and how many images of the collection match worse.
function scoreText(tile, n) {
  return tile.percentile === undefined
    ? `score ${tile.score.toFixed(2)}`
    : `rank ${n + 1}, better than ${percentile(tile)} of the collection`;
}

function scoreBadge(tile, n) {
  return tile.percentile === undefined ? tile.score.toFixed(2) : `${n + 1} · ${percentile(tile)}`;
}

export function percentile(tile) {
  return percent(tile.percentile / 100);
}

export class Grid {
  // tiles: [{id, width, height, score?, relation?, containment?}]; open(n) is called on Enter or click, act(key, n) on letters.
  constructor(container, { open, act = () => false, label }) {
    this.list = h("div", { class: "grid", role: "list", "aria-label": label });
    container.append(this.list);
    this.open = open;
    this.act = act;
    this.tiles = [];
    this.boxes = [];
    this.shown = new Map();
    this.focused = 0;
    this.frame = 0;
    this.redraw = () => {
      this.frame ||= requestAnimationFrame(() => {
        this.frame = 0;
        this.draw();
      });
    };
    window.addEventListener("scroll", this.redraw, { passive: true });
    this.observer = new ResizeObserver(() => {
      if (this.width !== this.list.clientWidth) {
        this.layout();
        this.draw();
      }
    });
    this.observer.observe(this.list);
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("click", (event) => {
      const tile = event.target.closest(".tile");
      if (!tile) return;
      const n = Number(tile.dataset.n);
      if (this.selection?.takes(event)) this.selection.take(n, event);
      else this.open(n);
    });
  }

  show(tiles) {
    this.tiles = tiles;
    this.focused = Math.min(this.focused, Math.max(0, tiles.length - 1));
    for (const node of this.shown.values()) node.remove();
    this.shown.clear();
    this.layout();
    this.draw();
  }

  get length() {
    return this.tiles.length;
  }

  layout() {
    this.width = this.list.clientWidth;
    const targetHeight = this.width < 600 ? 128 : 196;
    this.boxes = [];
    let row = [],
      ratios = 0,
      top = 0;
    const closeRow = (height) => {
      let left = 0;
      for (const [n, ratio] of row) {
        const width = ratio * height;
        this.boxes[n] = [left, top, width, height];
        left += width + GAP;
      }
      top += height + GAP;
      row = [];
      ratios = 0;
    };
    this.tiles.forEach((tile, n) => {
      const ratio = Math.min(3, Math.max(0.45, (tile.width || 1) / (tile.height || 1)));
      row.push([n, ratio]);
      ratios += ratio;
      const height = (this.width - GAP * (row.length - 1)) / ratios;
      if (height <= targetHeight) closeRow(height);
    });
    if (row.length) closeRow(Math.min(targetHeight, (this.width - GAP * (row.length - 1)) / ratios));
    this.list.style.height = `${Math.max(0, top - GAP)}px`;
  }

  draw() {
    const from = -this.list.getBoundingClientRect().top - OVERSCAN;
    const to = from + window.innerHeight + 2 * OVERSCAN;
    const visible = new Set();
    for (let n = this.first(from); n < this.boxes.length && this.boxes[n][1] <= to; n += 1) visible.add(n);
    if (this.boxes.length) visible.add(this.focused); // keep the focused tile in the document
    for (const [n, node] of this.shown)
      if (!visible.has(n)) {
        node.remove();
        this.shown.delete(n);
      }
    const added = document.createDocumentFragment();
    for (const n of visible) {
      let node = this.shown.get(n);
      if (!node) {
        node = this.tile(n);
        this.shown.set(n, node);
        if (this.selection) this.markTile(node, this.tiles[n]);
        added.append(node);
      }
      const [left, top, width, height] = this.boxes[n];
      Object.assign(node.style, {
        transform: `translate(${left}px,${top}px)`,
        width: `${width}px`,
        height: `${height}px`,
      });
    }
    this.list.append(added);
  }

  first(from) {
    let low = 0,
      high = this.boxes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.boxes[middle][1] + this.boxes[middle][3] < from) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  tile(n) {
    const tile = this.tiles[n];
    const scored = tile.score !== undefined;
    const relation = tile.relation && tile.relation.relation !== "unrelated" ? tile.relation : null;
    const containment = tile.containment;
    const labels = [
      fileName(tile.id),
      containment && badgeText(containment),
      scored && scoreText(tile, n),
      relation && !containment && `${relation.relation}, ${percent(relation.probability)}`,
    ];
    return h(
      "div",
      {
        role: "listitem",
        "aria-setsize": String(this.length),
        "aria-posinset": String(n + 1),
        class: scored ? "tile" : "tile nameless",
        "data-n": String(n),
        tabindex: n === this.focused ? "0" : "-1",
        "aria-label": labels.filter(Boolean).join(", "),
      },
      h("img", { src: thumbnailUrl(tile.id), alt: "", decoding: "async", draggable: "false" }),
      containment && outlineOverlay(storedOutline(containment), { width: tile.width || 1, height: tile.height || 1 }),
      h(
        "span",
        { class: "line", "aria-hidden": "true" },
        scored && h("span", { class: "score" }, scoreBadge(tile, n)),
        h("span", { class: "name" }, fileName(tile.id)),
        containment
          ? h("span", { class: "badge contained" }, `${n + 1} · ${badgeText(containment)}`)
          : relation && h("span", { class: `badge ${relation.relation}` }, relation.relation),
      ),
    );
  }

  // Shows which tiles are selected.
  mark() {
    for (const [n, node] of this.shown) this.markTile(node, this.tiles[n]);
  }

  markTile(node, tile) {
    const selected = this.selection?.has(tile) || false;
    if (node.classList.contains("selected") === selected) return;
    node.classList.toggle("selected", selected);
    const label = node.getAttribute("aria-label").replace(/, selected$/, "");
    node.setAttribute("aria-label", selected ? `${label}, selected` : label);
  }

  relate(relations) {
    relations.forEach((relation, n) => {
      if (this.tiles[n]) this.tiles[n].relation = relation;
    });
    for (const [n, node] of this.shown)
      if (relations[n]) {
        const fresh = this.tile(n);
        const focused = node === document.activeElement;
        node.replaceWith(fresh);
        this.shown.set(n, fresh);
        if (focused) fresh.focus();
      }
    this.draw();
  }

  focus(n) {
    if (!this.tiles.length) return;
    const to = Math.max(0, Math.min(n, this.tiles.length - 1));
    this.shown.get(this.focused)?.setAttribute("tabindex", "-1");
    this.focused = to;
    this.draw();
    const node = this.shown.get(to);
    node.setAttribute("tabindex", "0");
    node.focus({ preventScroll: true });
    const box = node.getBoundingClientRect();
    if (box.top < 70) window.scrollBy(0, box.top - 90);
    else if (box.bottom > window.innerHeight) window.scrollBy(0, box.bottom - window.innerHeight + 20);
  }

  // The index of the nearest tile in the row above (step -1) or below (step 1).
  adjacentRow(step) {
    const [left, top, width] = this.boxes[this.focused];
    const middle = left + width / 2;
    let best = this.focused,
      row = null;
    for (let n = this.focused + step; n >= 0 && n < this.boxes.length; n += step) {
      const [l, t, w] = this.boxes[n];
      if (t === top) continue;
      if (row === null) row = t;
      if (t !== row) break;
      const distance = Math.abs(l + w / 2 - middle);
      if (best === this.focused || distance < Math.abs(this.boxes[best][0] + this.boxes[best][2] / 2 - middle))
        best = n;
    }
    return best;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.length) return;
    const n = this.focused;
    if (event.key === "x" && this.selection) {
      this.selection.take(n, event);
      event.preventDefault();
      return;
    }
    if (event.key === "Escape" && this.selection?.chosen.size) this.selection.clear();
    const moves = {
      ArrowRight: n + 1,
      ArrowLeft: n - 1,
      ArrowDown: null,
      ArrowUp: null,
      Home: 0,
      End: this.length - 1,
    };
    if (event.key === "Enter" || event.key === " ") this.open(n);
    else if (event.key in moves)
      this.focus(
        event.key === "ArrowDown"
          ? this.adjacentRow(1)
          : event.key === "ArrowUp"
            ? this.adjacentRow(-1)
            : moves[event.key],
      );
    else if (!this.act(event.key, n)) return;
    event.preventDefault();
  }

  close() {
    window.removeEventListener("scroll", this.redraw);
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
    this.list.remove();
  }
}
