// Selecting many images: with Ctrl and Shift, with x, or by touch after "Select"; then label, copy or download them.

import { h, notify, number } from "./dom.js";
import { get, send } from "./api.js";

const MAX_LABELED = 5000; // images of one request
const MAX_RANGE = 20000; // images of one range, of which those out of sight have to be loaded

export class Selection {
  // grid: a Grid or a Wall. `changed()` is called after labels were set.
  constructor(grid, container) {
    this.grid = grid;
    this.chosen = new Map(); // id: its tile
    this.anchor = null;
    this.active = false; // a click selects
    this.bar = h("div", { class: "selection", role: "region", "aria-label": "Selected images" });
    this.bar.hidden = true;
    this.button = h("button", { type: "button", "aria-pressed": "false", onclick: () => this.toggle() }, "Select");
    container.append(this.bar);
    get("/v1/collection").then(
      (collection) => {
        this.writable = collection.may_write;
        this.draw();
      },
      () => {},
    );
    grid.selection = this;
  }

  toggle() {
    this.active = !this.active;
    this.button.setAttribute("aria-pressed", String(this.active));
    if (!this.active) this.clear();
    this.draw();
  }

  // Whether a click or a key on a tile selects instead of opening it.
  async take(n, event) {
    if (event.shiftKey && this.anchor !== null) await this.range(this.anchor, n);
    else if (event.ctrlKey || event.metaKey || this.active || event.key === "x") await this.one(n);
    else return false;
    return true;
  }

  takes(event) {
    return Boolean(
      (event.shiftKey && this.anchor !== null) || event.ctrlKey || event.metaKey || this.active || event.key === "x",
    );
  }

  async one(n) {
    const tile = await this.at(n);
    if (!tile) return;
    if (this.chosen.has(tile.id)) this.chosen.delete(tile.id);
    else this.chosen.set(tile.id, tile);
    this.anchor = n;
    this.draw();
  }

  async range(from, to) {
    const [first, last] = from < to ? [from, to] : [to, from];
    if (last - first > MAX_RANGE) {
      notify(`a range has at most ${number(MAX_RANGE)} images; narrow the list down first`);
      return;
    }
    for (let n = first; n <= last; n += 1) {
      const tile = await this.at(n);
      if (tile) this.chosen.set(tile.id, tile);
    }
    this.anchor = to;
    this.draw();
  }

  at(n) {
    return this.grid.at ? this.grid.at(n) : this.grid.tiles[n];
  }

  clear() {
    this.chosen.clear();
    this.anchor = null;
    this.draw();
  }

  has(tile) {
    return Boolean(tile && this.chosen.has(tile.id));
  }

  draw() {
    this.grid.mark();
    this.bar.hidden = !this.chosen.size;
    if (this.bar.hidden) return;
    const label = h("input", { type: "text", "aria-label": "Label for the selected images", placeholder: "Label", maxlength: "200" });
    this.bar.replaceChildren(
      h("b", { role: "status" }, `${number(this.chosen.size)} selected`),
      this.writable
        ? h(
            "form",
            {
              class: "row",
              onsubmit: (event) => {
                event.preventDefault();
                if (label.value.trim()) this.label(label.value.trim());
              },
            },
            label,
            h("button", {}, "Label"),
          )
        : "",
      h("button", { type: "button", onclick: () => this.copy() }, "Copy names"),
      h("button", { type: "button", onclick: () => this.download() }, "Download list"),
      h("button", { type: "button", onclick: () => (this.active ? this.toggle() : this.clear()) }, "Clear"),
    );
  }

  async label(label) {
    const before = new Map([...this.chosen.values()].map((tile) => [tile.id, tile.label || null]));
    try {
      await setLabels(new Map([...before.keys()].map((id) => [id, label])));
    } catch (error) {
      notify(error.message);
      return;
    }
    for (const tile of this.chosen.values()) tile.label = label;
    const undo = async () => {
      try {
        await setLabels(before);
        for (const [id, old] of before) if (this.chosen.has(id)) this.chosen.get(id).label = old;
        notify("the labels are as they were");
      } catch (error) {
        notify(error.message);
      }
    };
    notify(`${number(before.size)} images labeled ${label}`, { name: "Undo", run: undo });
  }

  async copy() {
    try {
      await navigator.clipboard.writeText([...this.chosen.keys()].join("\n"));
      notify(`${number(this.chosen.size)} names copied`);
    } catch {
      notify("this browser does not let a page copy here; download the list instead");
    }
  }

  download() {
    const cell = (value) => (/[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
    const rows = [...this.chosen.values()].map((tile) => [tile.id, tile.label || "", tile.width || "", tile.height || ""]);
    const text = [["id", "label", "width", "height"], ...rows].map((row) => row.map((v) => cell(String(v))).join(",")).join("\n");
    const url = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/csv" }));
    const link = h("a", { href: url, download: "selection.csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }
}

// labels: by id; null takes a label away.
async function setLabels(labels) {
  const byLabel = new Map();
  for (const [id, label] of labels) byLabel.set(label, [...(byLabel.get(label) || []), id]);
  for (const [label, ids] of byLabel)
    for (let start = 0; start < ids.length; start += MAX_LABELED)
      await send("/v1/labels", { label, ids: ids.slice(start, start + MAX_LABELED) });
}
