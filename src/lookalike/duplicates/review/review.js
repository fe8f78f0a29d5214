// Groups of copies as cards: the kept image large, its extras as tiles. Shared by the standalone page and the server's
// page, which differ in `source`. Only the cards near the viewport are in the document.

export const KINDS = [["identical", "Identical"], ["resized", "Resized, recompressed"], ["cropped", "Cropped"], ["turned", "Mirrored, rotated"], ["added", "Something added"], ["other", "Other"]];
export const CERTAINTIES = [["sure", "Certain (≥ 99%)"], ["likely", "Likely (90–99%)"], ["below", "Below 90%"]];
export const KEYS = [["j k", "next, previous group"], ["← →", "previous, next extra"], ["a", "accept the group, or withdraw it"], ["y", "accept this extra"], ["n", "not a copy"], ["b", "keep both"], ["t", "keep this one instead"], ["u", "remove the decision about this extra"], ["z", "undo the last step"], ["Enter o", "compare; Space flips, ← → previous and next, Escape closes"], ["/", "filter by path"], ["?", "show this help"]];
const STATES = [["all", "all"], ["open", "undecided"], ["accepted", "accepted"], ["rejected", "not a copy, or keep both"]];
const ORDERS = [["listed", "as listed"], ["unsure", "least certain first"], ["bytes", "largest first"]];
const VERDICTS = { copy: "Accepted", "not-a-copy": "Not a copy", "keep-both": "Keep both" };
const LETTERS = { y: "copy", n: "not-a-copy", b: "keep-both", u: null };
const SLAB_SIZE = 8; // cards that are drawn and removed together
const MAX_TILES = 60; // extras of one group that are drawn at a time
const DRAW_MARGIN = 1500; // pixels above and below the viewport within which cards are drawn

// ---- text

export function h(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// Escapes control characters, so that a name cannot change the text around it.
export function visible(name) {
  return name.replace(/(?!\u200d)[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}
export const nameOf = (image) => visible(String(image.metadata.path || image.id));
const shortName = (image) => nameOf(image).split("/").pop() || nameOf(image);
export const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
export const megabytes = (bytes) => !bytes ? "0 MB" : `${(bytes / 1e6).toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: bytes < 1e5 ? 2 : 1 })} MB`;
// As `percent` in text.py: "94.0%"; a share below 1 is never rounded up to 100%.
export const percent = (share, digits = 1) => share === 1 ? "100%" : `${(100 * (share < 1 ? Math.min(share, 1 - 10 ** -(digits + 2)) : share)).toFixed(digits)}%`;

export function factsOf({ metadata }) {
  const facts = [];
  if (metadata.width) facts.push(`${metadata.width} × ${metadata.height}`);
  if (metadata.format) facts.push(metadata.format);
  if (metadata.size) facts.push(megabytes(metadata.size));
  if (metadata.mtime_ns) { const date = new Date(metadata.mtime_ns / 1e6); if (!Number.isNaN(date.valueOf())) facts.push(date.toISOString().slice(0, 10).replaceAll("-", "\u2011")); }
  if (metadata.reference) facts.push("reference, never changed");
  return facts.join(" · ");
}

// ---- the state of a pair

// Decisions are about file contents: the same pair in another group has the same decision. "" if an image has no file.
export function pairOf(group, extra) {
  const [first, second] = [group.keep.metadata.sha256, extra.metadata.sha256];
  return first && second ? [first, second].sort().join("|") : "";
}
export const certaintyOf = (extra) => extra.probability >= 0.99 ? "sure" : extra.probability >= 0.9 ? "likely" : "below";
const waits = (group) => group.extras.some((extra) => extra.chosen);
const isAccepted = (group, extra) => extra.verdict === "copy" && !extra.left && !waits(group);
const isRejected = (extra) => extra.verdict === "not-a-copy" || extra.verdict === "keep-both";
const mayAccept = (group, extra) => Boolean(pairOf(group, extra)) && !extra.verdict && !extra.left && !waits(group);
const sizeOf = (extra) => Number(extra.metadata.size) || 0;
// A reference is always kept, and a file with the same content cannot replace the kept one.
const mayBeKept = (group, extra) => !group.keep.metadata.reference && !extra.fixed && Boolean(extra.metadata.sha256) && extra.metadata.sha256 !== group.keep.metadata.sha256;

// ---- the list

export class Review {
  // source: image(image, side), link(image), decide(changes), choose(image, keep), say(text, action), views, stage(keep, extra,
  // view), filters (URLSearchParams), note(parameters), mayWrite, changed().
  constructor(container, source) {
    this.source = source;
    this.groups = [];
    this.shown = []; // [{group, extras}], filtered and ordered
    this.cards = new Map(); // drawn cards, by index in `shown`
    this.slabs = [];
    this.pairs = new Map(); // all extras of each pair
    this.members = new Map(); // all group members with each content
    this.history = []; // functions that undo the steps
    this.sending = Promise.resolve();
    this.current = 0;
    this.filters = this.read(source.filters);
    this.list = h("div", { class: "review-list", role: "feed", "aria-label": "Groups of copies" });
    this.totals = h("p", { class: "totals", role: "status" });
    this.none = h("p", { class: "empty", hidden: true }, "No group matches the filters.");
    this.panel = h("div", { class: "review-apply" });
    container.append(this.toolbar(), this.panel, this.none, this.list);
    this.observer = new IntersectionObserver((entries) => { for (const entry of entries) { const slab = this.slabs[Number(entry.target.dataset.slab)]; if (slab?.node === entry.target) { if (entry.isIntersecting) this.draw(slab); else this.drop(slab); } } }, { rootMargin: `${DRAW_MARGIN}px 0px` });
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
    this.list.addEventListener("focusin", (event) => { const card = event.target.closest(".group"); if (card) this.current = Number(card.dataset.n); });
    this.pairDialog = new PairDialog(this);
  }

  close() {
    this.observer.disconnect();
    document.removeEventListener("keydown", this.onKey);
    this.pairDialog.dialog.remove();
  }

  add(groups) {
    const first = this.groups.length;
    groups.forEach((group, n) => {
      group.number = first + n + 1;
      for (const extra of group.extras) {
        const pair = pairOf(group, extra);
        if (pair) appendTo(this.pairs, pair, extra);
        appendTo(this.members, extra.metadata.sha256, { group, extra });
      }
      appendTo(this.members, group.keep.metadata.sha256, { group, extra: null });
    });
    this.groups.push(...groups);
    if (this.filters.order !== "listed") this.refilter();
    else { this.extend(this.passing(groups)); this.updateTotals(); }
  }

  // ---- filters

  read(parameters) {
    const readSet = (name, options) => new Set((parameters.get(name) || "").split(",").filter((value) => options.some(([option]) => option === value)));
    const readOne = (name, options) => options.some(([option]) => option === parameters.get(name)) ? parameters.get(name) : options[0][0];
    return { kinds: readSet("kind", KINDS), certainties: readSet("certainty", CERTAINTIES), path: parameters.get("path") || "", state: readOne("show", STATES), order: readOne("order", ORDERS) };
  }

  toParameters() {
    const { kinds, certainties, path, state, order } = this.filters;
    const values = { kind: [...kinds].join(","), certainty: [...certainties].join(","), path, show: state === "all" ? "" : state, order: order === "listed" ? "" : order };
    return new URLSearchParams(Object.entries(values).filter(([, value]) => value));
  }

  tests() {
    const { kinds, certainties, state } = this.filters;
    const text = this.filters.path.toLocaleLowerCase();
    const states = { all: () => true, open: (group, extra) => !extra.verdict && !waits(group), accepted: isAccepted, rejected: (_, extra) => isRejected(extra) };
    return {
      kind: (_, extra) => !kinds.size || extra.kinds.some((kind) => kinds.has(kind)),
      certainty: (_, extra) => !certainties.size || certainties.has(certaintyOf(extra)),
      path: (group, extra) => !text || `${nameOf(group.keep)}\n${nameOf(extra)}`.toLocaleLowerCase().includes(text),
      state: states[state],
    };
  }

  passing(groups) {
    const tests = Object.values(this.tests());
    return groups.map((group) => ({ group, extras: group.extras.filter((extra) => tests.every((test) => test(group, extra))) })).filter(({ extras }) => extras.length);
  }

  refilter({ note = false } = {}) {
    if (note) this.source.note(this.toParameters());
    const shown = this.passing(this.groups);
    const minProbability = ({ extras }) => Math.min(...extras.map((extra) => extra.probability));
    const totalSize = ({ extras }) => extras.reduce((sum, extra) => sum + sizeOf(extra), 0);
    if (this.filters.order === "unsure") shown.sort((a, b) => minProbability(a) - minProbability(b));
    if (this.filters.order === "bytes") shown.sort((a, b) => totalSize(b) - totalSize(a));
    this.observer.disconnect();
    this.list.replaceChildren();
    [this.shown, this.slabs, this.current] = [[], [], 0];
    this.cards.clear();
    this.extend(shown);
    this.updateTotals();
  }

  toolbar() {
    this.counts = new Map();
    const chips = (title, name, options, selected) => h("fieldset", { class: "chips" }, h("legend", {}, title), options.map(([value, text]) => {
      const count = h("span", { class: "count" }, "0");
      this.counts.set(`${name}:${value}`, count);
      const box = h("input", { type: "checkbox", value, checked: selected.has(value), onchange: () => { if (box.checked) selected.add(value); else selected.delete(value); this.refilter({ note: true }); } });
      return h("label", {}, box, ` ${text} `, count);
    }));
    const pick = (title, options, name) => h("label", { class: "pick" }, `${title} `, h("select", { onchange: (event) => { this.filters[name] = event.target.value; this.refilter({ note: true }); } }, options.map(([value, text]) => h("option", { value, selected: value === this.filters[name] }, text))));
    let timer = 0;
    this.path = h("input", { type: "search", class: "path-filter", "aria-label": "Filter by path", placeholder: "Part of a path", value: this.filters.path, oninput: () => { clearTimeout(timer); timer = setTimeout(() => { this.filters.path = this.path.value.trim(); this.refilter({ note: true }); }, 150); } });
    this.acceptAll = h("button", { type: "button", class: "main", onclick: () => this.acceptShown() }, "Accept all shown");
    this.undoLast = h("button", { type: "button", onclick: () => this.undo() }, "Undo");
    this.spot = h("div", { class: "row review-spot" });
    const box = h("details", { class: "review-filters", open: matchMedia("(min-width: 721px)").matches }, h("summary", {}, "Filters"),
      chips("Kind", "kind", KINDS, this.filters.kinds), chips("Certainty", "certainty", CERTAINTIES, this.filters.certainties),
      h("div", { class: "row" }, this.path, pick("Show", STATES, "state"), pick("Order", ORDERS, "order")));
    return h("div", { class: "review-head" }, box, h("div", { class: "review-bar" }, this.totals, h("div", { class: "row" }, this.acceptAll, this.undoLast, this.spot)));
  }

  // Updates counts and sums after every step.
  updateTotals() {
    const { kind, certainty, path, state } = this.tests();
    const counts = new Map([...this.counts.keys()].map((key) => [key, 0]));
    const increment = (key) => counts.set(key, counts.get(key) + 1);
    const sums = { all: 0, accepted: 0, files: 0, extras: 0 };
    for (const group of this.groups) {
      for (const extra of group.extras) {
        sums.extras += 1;
        if (!extra.left && !isRejected(extra)) sums.all += sizeOf(extra);
        if (isAccepted(group, extra)) { sums.accepted += sizeOf(extra); sums.files += 1; }
        if (!path(group, extra) || !state(group, extra)) continue;
        if (certainty(group, extra)) for (const each of extra.kinds) if (counts.has(`kind:${each}`)) increment(`kind:${each}`);
        if (kind(group, extra)) increment(`certainty:${certaintyOf(extra)}`);
      }
    }
    for (const [key, count] of counts) this.counts.get(key).textContent = count.toLocaleString("en");
    let [bytes, extras, open] = [0, 0, 0];
    for (const item of this.shown) for (const extra of item.extras) {
      extras += 1;
      if (!extra.left && !isRejected(extra)) bytes += sizeOf(extra);
      if (mayAccept(item.group, extra)) open += 1;
    }
    this.totals.replaceChildren(h("b", {}, `${counted(this.shown.length, "group")}, ${counted(extras, "extra")} shown`), ` of ${counted(this.groups.length, "group")}, ${counted(sums.extras, "extra")}. Space saved: `,
      h("span", { class: "sum" }, `${megabytes(sums.all)} in total`), ", ", h("span", { class: "sum" }, `${megabytes(bytes)} shown`), ", ", h("b", { class: "sum" }, `${megabytes(sums.accepted)} accepted`), ` (${counted(sums.files, "file")}).`);
    this.acceptAll.textContent = `Accept all shown (${open.toLocaleString("en")})`;
    this.acceptAll.disabled = !open || !this.source.mayWrite;
    this.undoLast.disabled = !this.history.length;
    this.none.hidden = Boolean(this.shown.length) || !this.groups.length;
    this.accepted = { files: sums.files, bytes: sums.accepted };
    this.source.changed?.(this);
  }

  // ---- drawing of the cards near the viewport

  extend(shown) {
    for (let from = 0; from < shown.length; from += SLAB_SIZE) {
      const part = shown.slice(from, from + SLAB_SIZE);
      const node = h("div", { class: "slab", role: "none", "data-slab": String(this.slabs.length) });
      const slab = { node, first: this.shown.length, items: part, drawn: false };
      node.style.height = `${part.reduce((sum, { extras }) => sum + this.estimateHeight(extras.length), 0)}px`;
      this.slabs.push(slab);
      this.shown.push(...part);
      this.list.append(node);
      this.observer.observe(node);
    }
  }

  estimateHeight(count) {
    const extras = Math.min(count, MAX_TILES);
    const width = this.list.clientWidth || 1000;
    if (width < 700) return 420 + extras * 520;
    return 90 + Math.max(430, 430 * Math.ceil(extras / Math.max(1, Math.floor((width - 360) / 260))));
  }

  draw(slab) {
    if (slab.drawn) return;
    slab.drawn = true;
    slab.node.style.height = "";
    slab.node.replaceChildren(...slab.items.map((item, n) => {
      const card = new GroupCard(this, item, slab.first + n);
      this.cards.set(slab.first + n, card);
      return card.node;
    }));
  }

  drop(slab) {
    if (!slab.drawn || slab.node.contains(document.activeElement)) return;
    slab.drawn = false;
    slab.node.style.height = `${slab.node.offsetHeight}px`;
    slab.node.replaceChildren();
    slab.items.forEach((_, n) => this.cards.delete(slab.first + n));
  }

  cardAt(n) {
    const slab = this.slabs.find(({ first, items }) => n >= first && n < first + items.length);
    if (slab) this.draw(slab);
    return this.cards.get(n);
  }

  refresh() {
    for (const card of this.cards.values()) card.update();
    this.pairDialog.update();
    this.updateTotals();
  }

  // ---- decisions of the user

  accept(item) {
    const open = item.extras.filter((extra) => mayAccept(item.group, extra));
    if (open.length) return this.decide(open.map((extra) => ({ group: item.group, extra, verdict: "copy" })));
    const accepted = item.extras.filter((extra) => extra.verdict === "copy");
    return accepted.length ? this.decide(accepted.map((extra) => ({ group: item.group, extra, verdict: null }))) : null;
  }

  acceptShown() {
    const changes = this.shown.flatMap(({ group, extras }) => extras.filter((extra) => mayAccept(group, extra)).map((extra) => ({ group, extra, verdict: "copy" })));
    if (!changes.length) return;
    this.decide(changes);
    const step = this.history.at(-1);
    this.source.say(`${counted(changes.length, "extra")} accepted; no file has been changed yet.`, { name: "Undo", run: () => this.undo(step) });
  }

  // changes: [{group, extra, verdict}]; all cards that show one of the pairs are updated.
  decide(changes, { undoable = true } = {}) {
    const effective = changes.filter(({ group, extra, verdict }) => pairOf(group, extra) && (verdict || null) !== (extra.verdict || null));
    if (!effective.length || !this.source.mayWrite) return;
    const before = effective.map((change) => ({ ...change, verdict: change.extra.verdict || null }));
    const set = (all) => { for (const { group, extra, verdict } of all) for (const each of this.pairs.get(pairOf(group, extra)) || []) each.verdict = verdict; };
    set(effective);
    if (undoable) this.history.push(() => this.decide(before, { undoable: false }));
    this.refresh();
    this.send(() => this.source.decide(effective), () => set(before));
  }

  choose(group, image, keep, { undoable = true } = {}) {
    if (!this.source.mayWrite) return;
    const members = this.members.get(image.metadata.sha256) || [];
    const affected = [...new Set([group, ...members.map((member) => member.group)])];
    const before = affected.map((each) => [each, each.chosen, each.ruled, each.extras.map((extra) => extra.chosen)]);
    const restore = () => { for (const [each, chosen, ruled, extras] of before) { Object.assign(each, { chosen, ruled }); each.extras.forEach((extra, n) => { extra.chosen = extras[n]; }); } };
    for (const each of affected) {
      // A group keeps the member chosen last; of files with the same bytes the named one.
      const inGroup = members.filter((member) => member.group === each);
      const named = inGroup.find((member) => (member.extra || each.keep).id === image.id) || inGroup.at(-1) || { extra: image === each.keep ? null : image };
      for (const extra of each.extras) extra.chosen = keep && extra === named.extra;
      if (!named.extra) { each.ruled = Boolean(each.chosen) && !keep; each.chosen = keep; } else if (keep) each.chosen = false;
    }
    if (undoable) {
      const step = () => { this.choose(group, image, !keep, { undoable: false }); restore(); this.refresh(); };
      this.history.push(step);
      if (keep) this.source.say(`${shortName(image)} will be kept by the next search.`, { name: "Undo", run: () => this.undo(step) });
    }
    this.refresh();
    this.send(() => this.source.choose(image, keep, group), restore);
  }

  // Sends one change at a time, so that the last one wins. If a change fails, it is reverted and the error is shown.
  send(run, revert) {
    this.sending = this.sending.then(run).catch((error) => { revert(); this.refresh(); this.source.say(error.message); });
  }

  // Undoes the last step, or one for which a message offered it.
  undo(step = this.history.at(-1)) {
    const index = this.history.indexOf(step);
    if (index < 0) return;
    this.history.splice(index, 1);
    step();
    this.updateTotals();
  }

  // ---- keys

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.list.isConnected) return;
    if (this.pairDialog.dialog.open) { this.pairDialog.key(event); return; }
    if (document.querySelector("dialog[open]") || event.target.closest?.("input:not([type=checkbox]), select, textarea")) return;
    const pressable = event.target.closest?.("button, a, summary, input");
    const tile = document.activeElement?.closest?.(".extra");
    const card = this.cards.get(this.current);
    const extra = card && (card.tiles.find(({ node }) => node === tile) || card.tiles[0])?.extra;
    const { key } = event;
    if (key === "j" || key === "k") this.move(key === "j" ? 1 : -1);
    else if (key === "ArrowRight" || key === "ArrowLeft") { if (!tile) return; this.focusNeighbor(card, tile, key === "ArrowRight" ? 1 : -1); }
    else if (key === "/") this.path.focus();
    else if (key === "z") this.undo();
    else if (!card) return;
    else if (key === "a") this.accept(card.item);
    else if (key in LETTERS) this.toggleVerdict(card.item.group, extra, LETTERS[key]);
    else if (key === "t") { if (mayBeKept(card.item.group, extra)) this.choose(card.item.group, extra, !extra.chosen); }
    else if (key === "o" || (key === "Enter" && !pressable && tile)) this.pairDialog.open(card.item, extra);
    else return;
    event.preventDefault();
  }

  // The same verdict again removes it.
  toggleVerdict(group, extra, verdict) {
    if (verdict === null && extra.chosen) this.choose(group, extra, false);
    if (verdict === "not-a-copy" && group.keep.metadata.sha256 === extra.metadata.sha256) return;
    this.decide([{ group, extra, verdict: extra.verdict === verdict ? null : verdict }]);
  }

  move(by) {
    const focused = this.list.contains(document.activeElement);
    this.go(focused ? this.current + by : this.current);
  }

  go(n) {
    if (!this.shown.length) return null;
    const index = Math.max(0, Math.min(n, this.shown.length - 1));
    const card = this.cardAt(index);
    this.current = index;
    card.tiles[0].node.focus({ preventScroll: true });
    card.node.scrollIntoView({ block: "nearest" });
    const { top, height } = card.node.getBoundingClientRect();
    if (height > innerHeight - 160 || top < 0) card.node.scrollIntoView({ block: "start" });
    return card;
  }

  focusNeighbor(card, tile, by) {
    const index = card.tiles.findIndex(({ node }) => node === tile) + by;
    const next = card.tiles[Math.max(0, Math.min(index, card.tiles.length - 1))].node;
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }
}

function appendTo(map, key, value) {
  if (!key) return;
  if (map.has(key)) map.get(key).push(value); else map.set(key, [value]);
}

// ---- a card

class GroupCard {
  constructor(review, item, n) {
    Object.assign(this, { review, item });
    const { group, extras } = item;
    const { source } = review;
    this.accept = h("button", { type: "button", class: "accept", onclick: () => review.accept(item) });
    this.state = h("span", { class: "faint state" });
    const bytes = extras.reduce((sum, extra) => sum + (extra.left ? 0 : sizeOf(extra)), 0);
    this.why = h("div", { class: "why" });
    const hidden = group.extras.length - extras.length;
    this.tiles = [];
    this.more = h("button", { type: "button", class: "more-extras", onclick: () => { const first = this.tiles.length; this.grow(); this.tiles[first].node.focus(); } });
    this.extrasNode = h("div", { class: "extras" }, this.more, hidden ? h("p", { class: "faint hidden-extras" }, `${counted(hidden, "more extra")} of this group ${hidden === 1 ? "does" : "do"} not match the filters.`) : null);
    this.node = h("article", { class: "group", "data-n": String(n), "aria-posinset": String(n + 1), "aria-label": `${shortName(group.keep)} is kept, ${counted(extras.length, "extra")}` },
      h("header", { class: "row" }, h("h2", {}, `Group ${group.number}: ${counted(extras.length, "extra")}, ${megabytes(bytes)}`), this.state, h("span", { class: "spread" }), this.accept),
      h("figure", { class: "keep" }, imageFrame(source, group.keep, 640, "Kept"), h("figcaption", {}, h("span", { class: "badge kept" }, "keep"), pathLink(source, group.keep), h("p", { class: "faint" }, factsOf(group.keep)), this.why)),
      this.extrasNode);
    this.grow();
    this.update();
  }

  // Draws the next MAX_TILES extras: a group may have thousands of the same file.
  grow() {
    const { review, item, tiles } = this;
    const added = item.extras.slice(tiles.length, tiles.length + MAX_TILES).map((extra) => tile(review, item, extra));
    tiles.push(...added);
    this.more.before(...added.map(({ node }) => node));
    const remaining = item.extras.length - tiles.length;
    this.more.hidden = !remaining;
    this.more.textContent = `Show ${Math.min(remaining, MAX_TILES)} more of ${counted(remaining, "extra")}`;
  }

  update() {
    const { review, item: { group, extras } } = this;
    const open = extras.filter((extra) => mayAccept(group, extra)).length;
    const accepted = extras.filter((extra) => isAccepted(group, extra)).length;
    this.node.setAttribute("aria-setsize", String(review.shown.length));
    this.accept.textContent = open ? (extras.length > 1 ? `Accept group (${open})` : "Accept") : accepted ? "Withdraw" : "Accept";
    this.accept.classList.toggle("main", Boolean(open));
    this.accept.disabled = !(open || accepted) || !review.source.mayWrite;
    this.state.textContent = waits(group) ? "The next search will keep another image; until then, no file of this group is moved." : accepted ? `${accepted === extras.length ? "" : `${accepted} of ${extras.length} `}accepted` : "";
    this.node.classList.toggle("accepted", !open && accepted > 0);
    this.node.classList.toggle("waits", waits(group));
    this.why.replaceChildren(...reasons(review, group));
    for (const each of this.tiles) each.update();
  }
}

function reasons(review, group) {
  if (group.chosen) return [h("p", {}, "kept because you chose it"), h("button", { type: "button", onclick: () => review.choose(group, group.keep, false) }, "Let the rules decide")];
  if (group.ruled) return [h("p", {}, "The next search will choose by the rules again."), h("button", { type: "button", onclick: () => review.choose(group, group.keep, true) }, "Keep my choice")];
  const unique = [...new Set(group.extras.map((extra) => extra.reason).filter(Boolean))];
  const more = unique.length > 2 ? `; and ${counted(unique.length - 2, "other reason")}` : "";
  return unique.length ? [h("p", {}, `kept because it ${unique.slice(0, 2).map(visible).join("; ")}${more}`)] : [];
}

function imageFrame(source, image, side, role) {
  const address = source.image(image, side);
  return h("div", { class: "picture" }, address ? h("img", { src: address, alt: `${role}: ${shortName(image)}`, loading: "lazy", decoding: "async" }) : "no thumbnail");
}

function pathLink(source, image) {
  const link = source.link(image);
  const text = h("bdi", {}, nameOf(image));
  return h("p", { class: "path" }, link ? h("a", { href: link, target: "_blank", rel: "noopener" }, text) : text);
}

function tile(review, item, extra) {
  const { source } = review;
  const { group } = item;
  const compare = () => review.pairDialog.open(item, extra);
  const pair = pairOf(group, extra);
  const [first, second] = [group.keep.metadata.sha256, extra.metadata.sha256];
  const verdictText = h("p", { class: "verdict" });
  const { buttons, update: press } = verdictButtons(review, group, extra);
  const node = h("div", { class: "extra", role: "group", tabindex: "0", "data-pair": pair, "data-name": extra.metadata.path || extra.id, "aria-label": `${shortName(extra)}: ${extra.relation}, ${percent(extra.probability)}, ${extra.words}` },
    imageFrame(source, extra, 256, "Extra"),
    h("div", { class: "tile-words" }, h("span", { class: `badge ${extra.relation}` }, `${extra.relation} · ${percent(extra.probability)}`), h("p", { class: "words" }, visible(extra.words)), pathLink(source, extra), h("p", { class: "faint" }, factsOf(extra)),
      h("p", { class: "faint" }, extra.reason ? `the kept image ${visible(extra.reason)}` : ""), extra.unsure ? h("p", { class: "notice" }, "which of the two is the original is uncertain") : null, extra.left ? h("p", { class: "notice" }, `not moved: ${visible(extra.left)}`) : null, extra.companions?.length ? h("p", { class: "faint" }, `moves with ${extra.companions.map(visible).join(", ")}`) : null, verdictText),
    pair ? h("div", { class: "buttons" }, buttons, h("button", { type: "button", onclick: compare }, "Compare")) : h("p", { class: "faint" }, first || second ? "One of the two has no file, so you cannot decide about them." : ""));
  node.querySelector(".picture").addEventListener("click", () => { node.focus(); compare(); });
  const update = () => {
    press();
    node.classList.toggle("decided", isRejected(extra));
    node.classList.toggle("agreed", isAccepted(group, extra));
    node.classList.toggle("chosen", Boolean(extra.chosen));
    verdictText.textContent = extra.chosen ? "The next search will keep this one." : extra.verdict ? `${VERDICTS[extra.verdict] || extra.verdict}.` : "";
  };
  update();
  return { node, extra, update };
}

// Toggle buttons: a second press removes the verdict.
function verdictButtons(review, group, extra) {
  const same = group.keep.metadata.sha256 === extra.metadata.sha256;
  const verdicts = [["copy", "Accept"], ["not-a-copy", "Not a copy"], ["keep-both", "Keep both"]].filter(([verdict]) => !(same && verdict === "not-a-copy") && !(extra.left && verdict === "copy"))
    .map(([verdict, text]) => [verdict, h("button", { type: "button", "data-verdict": verdict, onclick: () => review.toggleVerdict(group, extra, verdict) }, text)]);
  const instead = mayBeKept(group, extra) ? h("button", { type: "button", "data-instead": true, onclick: () => review.choose(group, extra, !extra.chosen) }, "Keep this one instead") : null;
  const buttons = [...verdicts.map(([, button]) => button), ...(instead ? [instead] : [])];
  const update = () => {
    for (const [verdict, button] of verdicts) button.setAttribute("aria-pressed", String(extra.verdict === verdict));
    instead?.setAttribute("aria-pressed", String(Boolean(extra.chosen)));
    for (const button of buttons) button.disabled = !review.source.mayWrite;
  };
  return { buttons, update };
}

// ---- comparison of two images, enlarged

class PairDialog {
  constructor(review) {
    this.review = review;
    this.dialog = h("dialog", { class: "closer", "aria-label": "Comparison of the two images" });
    this.view = "side";
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
    this.dialog.addEventListener("close", () => { const { item, extra } = this; this.dialog.replaceChildren(); this.update = () => {}; this.returnFocus(item, extra); });
    document.body.append(this.dialog);
  }

  update() {}

  open(item, extra) {
    const { review, dialog } = this;
    const { source } = review;
    const { group } = item;
    Object.assign(this, { item, extra });
    const stage = h("div", { class: "closer-stage" });
    const tabs = source.views.map(([name, text]) => h("button", { type: "button", "aria-pressed": "false", "data-view": name, onclick: () => showView(name) }, text));
    const showView = (name) => {
      this.view = name;
      for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.dataset.view === name));
      stage.replaceChildren(name === "side" ? sides(source, group, extra) : source.stage(group.keep, extra, name));
    };
    const { buttons, update } = verdictButtons(review, group, extra);
    this.update = update;
    const step = (by, text, label) => h("button", { type: "button", "aria-label": label, onclick: () => this.step(by) }, text);
    dialog.replaceChildren(
      h("button", { type: "button", class: "plain close", "aria-label": "Close", onclick: () => dialog.close() }, "✕"),
      h("div", { class: "row closer-head" }, h("span", { class: `badge ${extra.relation}` }, `${extra.relation} · ${percent(extra.probability)}`), h("b", { class: "words", tabindex: "-1" }, visible(extra.words)), h("span", { class: "spread" }), h("div", { class: "segments", role: "group", "aria-label": "View" }, tabs)),
      stage, h("div", { class: "row buttons" }, step(-1, "‹", "Previous pair"), step(1, "›", "Next pair"), pairOf(group, extra) ? buttons : null));
    showView(source.views.some(([name]) => name === this.view) ? this.view : "side");
    update();
    if (!dialog.open) dialog.showModal();
    dialog.querySelector(".words").focus();
  }

  step(by) {
    const { review } = this;
    const pairs = review.shown.flatMap((item) => item.extras.map((extra) => [item, extra]));
    const index = pairs.findIndex(([, extra]) => extra === this.extra) + by;
    if (pairs[index]) this.open(...pairs[index]);
  }

  // Moves the focus to the tile of the pair shown last.
  returnFocus(item, extra) {
    const n = this.review.shown.findIndex((each) => each.group === item.group);
    if (n < 0) return;
    if (n !== this.review.current) this.review.go(n);
    this.review.cardAt(n).tiles.find((each) => each.extra === extra)?.node.focus({ preventScroll: true });
  }

  key(event) {
    const { review, item: { group }, extra } = this;
    const { key } = event;
    if (event.target.closest("input") || (key === " " && event.target.closest("button, a"))) return; // these elements handle the key
    if (key === "ArrowRight" || key === "j") this.step(1);
    else if (key === "ArrowLeft" || key === "k") this.step(-1);
    else if (key === "a") review.toggleVerdict(group, extra, "copy");
    else if (key in LETTERS) review.toggleVerdict(group, extra, LETTERS[key]);
    else if (key === "t") { if (mayBeKept(group, extra)) review.choose(group, extra, !extra.chosen); }
    else if (key === " ") this.flip();
    else return;
    event.preventDefault();
  }

  flip() {
    if (this.view !== "flip") this.dialog.querySelector("[data-view='flip']")?.click();
    this.dialog.querySelector("[data-flip]")?.click();
  }
}

function sides(source, group, extra) {
  const figure = (image, role) => h("figure", {}, imageFrame(source, image, 1280, role), h("figcaption", {}, h("b", {}, `${role} `), pathLink(source, image), h("span", { class: "faint" }, factsOf(image))));
  return h("div", { class: "sides" }, figure(group.keep, "Kept"), figure(extra, "Extra"));
}

// ---- a command to copy

export function commandBox(text, say) {
  const code = h("code", { tabindex: "0" }, text);
  const copy = h("button", { type: "button", onclick: async () => {
    try { await navigator.clipboard.writeText(text); } catch {
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
    }
    say("Copied.");
  } }, "Copy");
  return h("div", { class: "command" }, code, copy);
}
