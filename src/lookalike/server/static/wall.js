// A grid of equal cells for a list of any length: tiles are loaded where they are seen.

import { h, notify } from "./dom.js";
import { GAP, Grid, OVERSCAN } from "./grid.js";

const PAGE = 120; // tiles loaded at a time
const MAX_HEIGHT = 8e6; // pixels; browsers cut off elements of more than some 17 million
const HEADER = 70; // pixels at the top of the window that the header covers, and some
const FOOT = 30; // pixels left below a tile that comes into sight
const RETRY = 3000; // milliseconds after a page that could not be loaded
const SETTLE = 60; // milliseconds that a page must be in sight before it is loaded

export class Wall extends Grid {
  // load(offset, k) resolves to the tiles from an offset on.
  constructor(container, { load, ...options }) {
    super(container, options);
    this.load = load;
    this.count = 0;
    this.pages = new Map(); // number of a page: its promise
    this.positions = new Map(); // id: where it is
    this.waiting = 0;
  }

  // Shows a list of `count` tiles, of which the first are known.
  show(count, tiles = []) {
    this.count = count;
    this.tiles = [];
    this.pages.clear();
    this.positions.clear();
    for (const node of this.shown.values()) node.remove();
    this.shown.clear();
    this.focused = 0;
    this.put(0, tiles);
    if (tiles.length === Math.min(PAGE, count)) this.pages.set(0, Promise.resolve());
    this.place();
    this.draw();
  }

  // Another number of tiles: the list has changed, and what was loaded may be elsewhere.
  recount(count) {
    this.count = count;
    this.pages.clear();
    for (const [n, node] of this.shown)
      if (n >= count) {
        node.remove();
        this.shown.delete(n);
      }
    this.tiles.length = Math.min(this.tiles.length, count);
    this.focused = Math.min(this.focused, Math.max(0, count - 1));
    this.layout();
    this.draw();
  }

  layout() {
    const seen = Math.max(0, -this.list.getBoundingClientRect().top) * (this.cell ? this.ratio : 0);
    const first = seen ? Math.floor(seen / (this.cell + GAP)) * this.columns : 0; // stays the first in sight
    this.place();
    if (first) this.scrollToPixel(this.top(first));
  }

  place() {
    this.width = this.list.clientWidth;
    const target = this.width < 600 ? 88 : 176;
    this.columns = Math.max(1, Math.floor((this.width + GAP) / (target + GAP)));
    this.cell = (this.width - GAP * (this.columns - 1)) / this.columns;
    this.total = Math.max(0, Math.ceil(this.count / this.columns) * (this.cell + GAP) - GAP);
    this.height = Math.min(this.total, MAX_HEIGHT);
    this.list.style.height = `${this.height}px`;
  }

  // Pixels of the list for each pixel of scrolling: more than one where the list is higher than an element can be.
  get ratio() {
    const seen = window.innerHeight;
    return this.total > this.height && this.height > seen ? (this.total - seen) / (this.height - seen) : 1;
  }

  top(n) {
    return Math.floor(n / this.columns) * (this.cell + GAP);
  }

  draw() {
    const scrolled = Math.max(0, -this.list.getBoundingClientRect().top);
    const from = scrolled * this.ratio;
    const shift = scrolled - from;
    const row = this.cell + GAP;
    const first = Math.max(0, Math.floor((from - OVERSCAN) / row)) * this.columns;
    const end = Math.min(this.count, Math.ceil((from + window.innerHeight + OVERSCAN) / row) * this.columns);
    const visible = new Set();
    for (let n = first; n < end; n += 1) visible.add(n);
    if (this.count) visible.add(this.focused);
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
      const left = (n % this.columns) * row;
      node.style.transform = `translate(${left}px,${this.top(n) + shift}px)`;
      node.style.width = node.style.height = `${this.cell}px`;
    }
    this.list.append(added);
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      for (let page = Math.floor(first / PAGE); page * PAGE < end; page += 1) this.fetch(page);
    }, SETTLE);
  }

  fetch(page) {
    if (!this.pages.has(page)) {
      const of = this.pages;
      const promise = this.load(page * PAGE, PAGE).then(
        (tiles) => {
          if (this.pages.get(page) === promise) this.put(page * PAGE, tiles);
        },
        (error) => {
          notify(error.message);
          setTimeout(() => {
            if (this.pages === of && of.get(page) === promise) of.delete(page);
            this.redraw();
          }, RETRY);
        },
      );
      this.pages.set(page, promise);
    }
    return this.pages.get(page);
  }

  put(offset, tiles) {
    tiles.forEach((tile, n) => {
      this.tiles[offset + n] = tile;
      this.positions.set(tile.id, offset + n);
      const node = this.shown.get(offset + n);
      if (!node) return;
      const loaded = this.tile(offset + n);
      loaded.style.cssText = node.style.cssText;
      if (this.selection) this.markTile(loaded, tile);
      const focused = node === document.activeElement;
      node.replaceWith(loaded);
      this.shown.set(offset + n, loaded);
      if (focused) loaded.focus({ preventScroll: true });
    });
  }

  // The tile at a position, loaded if it has to be; undefined beyond the list.
  async at(n) {
    if (n < 0 || n >= this.count) return undefined;
    if (!this.tiles[n]) await this.fetch(Math.floor(n / PAGE));
    return this.tiles[n];
  }

  tile(n) {
    if (this.tiles[n]) return super.tile(n);
    return h("div", {
      role: "listitem",
      class: "tile nameless",
      "data-n": String(n),
      tabindex: n === this.focused ? "0" : "-1",
      "aria-setsize": String(this.count),
      "aria-posinset": String(n + 1),
      "aria-label": "loading",
    });
  }

  get length() {
    return this.count;
  }

  adjacentRow(step) {
    const to = this.focused + step * this.columns;
    return to >= 0 && to < this.count ? to : this.focused;
  }

  // Scrolls so that a tile is in the first row.
  scrollTo(n) {
    this.scrollToPixel(this.top(n) - HEADER);
  }

  // Scrolls so that a pixel of the list is at the top of the window.
  scrollToPixel(top) {
    const start = this.list.getBoundingClientRect().top + window.scrollY;
    window.scrollTo(0, start + top / this.ratio);
  }

  focus(n) {
    if (!this.count) return;
    const to = Math.max(0, Math.min(n, this.count - 1));
    this.shown.get(this.focused)?.setAttribute("tabindex", "-1");
    this.focused = to;
    const seen = Math.max(0, -this.list.getBoundingClientRect().top) * this.ratio;
    const offset = Math.max(0, this.list.getBoundingClientRect().top); // what of the window lies above the list
    const [top, bottom] = [this.top(to), this.top(to) + this.cell];
    if (top < seen + HEADER - offset) this.scrollTo(to);
    else if (bottom > seen + window.innerHeight - offset) this.scrollToPixel(bottom - window.innerHeight + FOOT);
    this.draw();
    const node = this.shown.get(to);
    node.setAttribute("tabindex", "0");
    node.focus({ preventScroll: true });
  }

  close() {
    clearTimeout(this.waiting);
    super.close();
  }
}
