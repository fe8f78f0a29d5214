// Groups of copies as cards: the kept picture large, its extras as tiles. The page that stands alone and the page of the
// server share it; what differs between them is in `source`. Only the cards near the window are in the document.

export const KINDS = [["identical", "Identical"], ["resized", "Resized, recompressed"], ["cropped", "Cropped"], ["turned", "Mirrored, turned"], ["added", "Something added"], ["other", "Other"]];
export const CERTAINTIES = [["sure", "Sure (≥ 99 %)"], ["likely", "Likely (90–99 %)"], ["below", "Below 90 %"]];
export const KEYS = [["j k", "next, previous group"], ["← →", "from extra to extra"], ["a", "accept the group, and take it back"], ["y", "accept this extra"], ["n", "not a copy"], ["b", "keep both"], ["t", "keep this one instead"], ["u", "take back what was said of this extra"], ["z", "undo the last step"], ["Enter o", "look closely; Space flips, ← → go on, Escape closes"], ["/", "filter by path"], ["?", "this"]];
const STATES = [["all", "all"], ["open", "to decide"], ["accepted", "accepted"], ["rejected", "not a copy, keep both"]];
const ORDERS = [["listed", "as listed"], ["unsure", "least sure first"], ["bytes", "largest first"]];
const VERDICTS = { copy: "Accepted", "not-a-copy": "Not a copy", "keep-both": "Keep both" };
const LETTERS = { y: "copy", n: "not-a-copy", b: "keep-both", u: null };
const SLAB = 8; // cards that are drawn and dropped together
const TILES = 60; // extras of one group that are drawn at once
const NEAR = 1500; // pixels above and below the window within which cards are drawn

// ---- words

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

// A name on one line that cannot rearrange what stands beside it: control characters are written out.
export function visible(name) {
  return name.replace(/(?!\u200d)[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}
export const nameOf = (image) => visible(String(image.metadata.path || image.id));
const shortName = (image) => nameOf(image).split("/").pop() || nameOf(image);
export const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
export const megabytes = (bytes) => !bytes ? "0 MB" : `${(bytes / 1e6).toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: bytes < 1e5 ? 2 : 1 })} MB`;
export const percent = (probability) => probability >= 1 ? "100 %" : `${(Math.min(probability, 0.999) * 100).toFixed(1)} %`;

export function factsOf({ metadata }) {
  const facts = [];
  if (metadata.width) facts.push(`${metadata.width} × ${metadata.height}`);
  if (metadata.format) facts.push(metadata.format);
  if (metadata.size) facts.push(megabytes(metadata.size));
  if (metadata.mtime_ns) { const date = new Date(metadata.mtime_ns / 1e6); if (!Number.isNaN(date.valueOf())) facts.push(date.toISOString().slice(0, 10).replaceAll("-", "\u2011")); }
  if (metadata.reference) facts.push("reference, never touched");
  return facts.join(" · ");
}

// ---- what is known of a pair

// Decisions are about contents: the same two in another group are the same decision. "" where a picture has no file.
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
// A reference is kept whatever one chooses, and so is the same content under another name.
const mayBeKept = (group, extra) => !group.keep.metadata.reference && !extra.fixed && Boolean(extra.metadata.sha256) && extra.metadata.sha256 !== group.keep.metadata.sha256;

// ---- the list

export class Review {
  // source: image(image, side), link(image), decide(changes), choose(image, keep), say(text, action), views, stage(keep, extra,
  // view), filters (URLSearchParams), note(parameters), mayWrite, changed().
  constructor(place, source) {
    this.source = source;
    this.groups = [];
    this.shown = []; // [{group, extras}], as filtered and ordered
    this.cards = new Map(); // drawn ones, by place in `shown`
    this.slabs = [];
    this.pairs = new Map(); // every extra of a pair
    this.members = new Map(); // every place of a content
    this.past = []; // steps to be undone
    this.sending = Promise.resolve();
    this.current = 0;
    this.filters = this.read(source.filters);
    this.list = h("div", { class: "review-list", role: "feed", "aria-label": "Groups of copies" });
    this.totals = h("p", { class: "totals", role: "status" });
    this.none = h("p", { class: "empty", hidden: true }, "No group passes the filters.");
    this.panel = h("div", { class: "review-apply" });
    place.append(this.toolbar(), this.panel, this.none, this.list);
    this.observer = new IntersectionObserver((entries) => { for (const entry of entries) { const slab = this.slabs[Number(entry.target.dataset.slab)]; if (slab?.node === entry.target) { if (entry.isIntersecting) this.draw(slab); else this.drop(slab); } } }, { rootMargin: `${NEAR}px 0px` });
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
    this.list.addEventListener("focusin", (event) => { const card = event.target.closest(".group"); if (card) this.current = Number(card.dataset.n); });
    this.closer = new Closer(this);
  }

  close() {
    this.observer.disconnect();
    document.removeEventListener("keydown", this.onKey);
    this.closer.dialog.remove();
  }

  add(groups) {
    const first = this.groups.length;
    groups.forEach((group, n) => {
      group.number = first + n + 1;
      for (const extra of group.extras) {
        const pair = pairOf(group, extra);
        if (pair) remember(this.pairs, pair, extra);
        remember(this.members, extra.metadata.sha256, { group, extra });
      }
      remember(this.members, group.keep.metadata.sha256, { group, extra: null });
    });
    this.groups.push(...groups);
    if (this.filters.order !== "listed") this.refilter();
    else { this.extend(this.passing(groups)); this.updateTotals(); }
  }

  // ---- filters

  read(parameters) {
    const some = (name, known) => new Set((parameters.get(name) || "").split(",").filter((one) => known.some(([each]) => each === one)));
    const one = (name, known) => known.some(([each]) => each === parameters.get(name)) ? parameters.get(name) : known[0][0];
    return { kinds: some("kind", KINDS), certainties: some("certainty", CERTAINTIES), path: parameters.get("path") || "", state: one("show", STATES), order: one("order", ORDERS) };
  }

  written() {
    const { kinds, certainties, path, state, order } = this.filters;
    const told = { kind: [...kinds].join(","), certainty: [...certainties].join(","), path, show: state === "all" ? "" : state, order: order === "listed" ? "" : order };
    return new URLSearchParams(Object.entries(told).filter(([, value]) => value));
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
    if (note) this.source.note(this.written());
    const shown = this.passing(this.groups);
    const least = ({ extras }) => Math.min(...extras.map((extra) => extra.probability));
    const heavy = ({ extras }) => extras.reduce((sum, extra) => sum + sizeOf(extra), 0);
    if (this.filters.order === "unsure") shown.sort((a, b) => least(a) - least(b));
    if (this.filters.order === "bytes") shown.sort((a, b) => heavy(b) - heavy(a));
    this.observer.disconnect();
    this.list.replaceChildren();
    [this.shown, this.slabs, this.current] = [[], [], 0];
    this.cards.clear();
    this.extend(shown);
    this.updateTotals();
  }

  toolbar() {
    this.counts = new Map();
    const chips = (title, name, known, chosen) => h("fieldset", { class: "chips" }, h("legend", {}, title), known.map(([value, text]) => {
      const count = h("span", { class: "count" }, "0");
      this.counts.set(`${name}:${value}`, count);
      const box = h("input", { type: "checkbox", value, checked: chosen.has(value), onchange: () => { if (box.checked) chosen.add(value); else chosen.delete(value); this.refilter({ note: true }); } });
      return h("label", {}, box, ` ${text} `, count);
    }));
    const pick = (title, known, name) => h("label", { class: "pick" }, `${title} `, h("select", { onchange: (event) => { this.filters[name] = event.target.value; this.refilter({ note: true }); } }, known.map(([value, text]) => h("option", { value, selected: value === this.filters[name] }, text))));
    let waiting = 0;
    this.path = h("input", { type: "search", class: "path-filter", "aria-label": "Filter by path", placeholder: "Part of a path", value: this.filters.path, oninput: () => { clearTimeout(waiting); waiting = setTimeout(() => { this.filters.path = this.path.value.trim(); this.refilter({ note: true }); }, 150); } });
    this.acceptAll = h("button", { type: "button", class: "main", onclick: () => this.acceptShown() }, "Accept all shown");
    this.undoLast = h("button", { type: "button", onclick: () => this.undo() }, "Undo");
    this.spot = h("div", { class: "row review-spot" });
    const box = h("details", { class: "review-filters", open: matchMedia("(min-width: 721px)").matches }, h("summary", {}, "Filters"),
      chips("Kind", "kind", KINDS, this.filters.kinds), chips("Certainty", "certainty", CERTAINTIES, this.filters.certainties),
      h("div", { class: "row" }, this.path, pick("Show", STATES, "state"), pick("Order", ORDERS, "order")));
    return h("div", { class: "review-head" }, box, h("div", { class: "review-bar" }, this.totals, h("div", { class: "row" }, this.acceptAll, this.undoLast, this.spot)));
  }

  // Counts and sums, after every step.
  updateTotals() {
    const { kind, certainty, path, state } = this.tests();
    const counts = new Map([...this.counts.keys()].map((key) => [key, 0]));
    const more = (key) => counts.set(key, counts.get(key) + 1);
    const sums = { all: 0, accepted: 0, files: 0, extras: 0 };
    for (const group of this.groups) {
      for (const extra of group.extras) {
        sums.extras += 1;
        if (!extra.left && !isRejected(extra)) sums.all += sizeOf(extra);
        if (isAccepted(group, extra)) { sums.accepted += sizeOf(extra); sums.files += 1; }
        if (!path(group, extra) || !state(group, extra)) continue;
        if (certainty(group, extra)) for (const one of extra.kinds) if (counts.has(`kind:${one}`)) more(`kind:${one}`);
        if (kind(group, extra)) more(`certainty:${certaintyOf(extra)}`);
      }
    }
    for (const [key, count] of counts) this.counts.get(key).textContent = count.toLocaleString("en");
    let [bytes, extras, open] = [0, 0, 0];
    for (const one of this.shown) for (const extra of one.extras) {
      extras += 1;
      if (!extra.left && !isRejected(extra)) bytes += sizeOf(extra);
      if (mayAccept(one.group, extra)) open += 1;
    }
    this.totals.replaceChildren(h("b", {}, `${counted(this.shown.length, "group")}, ${counted(extras, "extra")} shown`), ` of ${counted(this.groups.length, "group")}, ${counted(sums.extras, "extra")}. Space saved: `,
      h("span", { class: "sum" }, `${megabytes(sums.all)} in all`), ", ", h("span", { class: "sum" }, `${megabytes(bytes)} shown`), ", ", h("b", { class: "sum" }, `${megabytes(sums.accepted)} accepted`), ` (${counted(sums.files, "file")}).`);
    this.acceptAll.textContent = `Accept all shown (${open.toLocaleString("en")})`;
    this.acceptAll.disabled = !open || !this.source.mayWrite;
    this.undoLast.disabled = !this.past.length;
    this.none.hidden = Boolean(this.shown.length) || !this.groups.length;
    this.accepted = { files: sums.files, bytes: sums.accepted };
    this.source.changed?.(this);
  }

  // ---- only what is near is drawn

  extend(shown) {
    for (let from = 0; from < shown.length; from += SLAB) {
      const part = shown.slice(from, from + SLAB);
      const node = h("div", { class: "slab", role: "none", "data-slab": String(this.slabs.length) });
      const slab = { node, first: this.shown.length, items: part, drawn: false };
      node.style.height = `${part.reduce((sum, { extras }) => sum + this.guess(extras.length), 0)}px`;
      this.slabs.push(slab);
      this.shown.push(...part);
      this.list.append(node);
      this.observer.observe(node);
    }
  }

  guess(count) {
    const extras = Math.min(count, TILES);
    const width = this.list.clientWidth || 1000;
    if (width < 700) return 420 + extras * 520;
    return 90 + Math.max(430, 430 * Math.ceil(extras / Math.max(1, Math.floor((width - 360) / 260))));
  }

  draw(slab) {
    if (slab.drawn) return;
    slab.drawn = true;
    slab.node.style.height = "";
    slab.node.replaceChildren(...slab.items.map((item, n) => {
      const card = new Card(this, item, slab.first + n);
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
    this.closer.update();
    this.updateTotals();
  }

  // ---- what a person says

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
    const step = this.past.at(-1);
    this.source.say(`${counted(changes.length, "extra")} accepted; no file is touched yet.`, { name: "Undo", run: () => this.undo(step) });
  }

  // changes: [{group, extra, verdict}]; every card that shows one of the pairs agrees at once.
  decide(changes, { remembered = true } = {}) {
    const known = changes.filter(({ group, extra, verdict }) => pairOf(group, extra) && (verdict || null) !== (extra.verdict || null));
    if (!known.length || !this.source.mayWrite) return;
    const before = known.map((change) => ({ ...change, verdict: change.extra.verdict || null }));
    const set = (all) => { for (const { group, extra, verdict } of all) for (const one of this.pairs.get(pairOf(group, extra)) || []) one.verdict = verdict; };
    set(known);
    if (remembered) this.past.push(() => this.decide(before, { remembered: false }));
    this.refresh();
    this.send(() => this.source.decide(known), () => set(before));
  }

  choose(group, image, keep, { remembered = true } = {}) {
    if (!this.source.mayWrite) return;
    const places = this.members.get(image.metadata.sha256) || [];
    const touched = [...new Set([group, ...places.map((place) => place.group)])];
    const before = touched.map((one) => [one, one.chosen, one.ruled, one.extras.map((extra) => extra.chosen)]);
    const restore = () => { for (const [one, chosen, ruled, extras] of before) { Object.assign(one, { chosen, ruled }); one.extras.forEach((extra, n) => { extra.chosen = extras[n]; }); } };
    for (const one of touched) {
      // Of a group the one chosen last is kept; of files with the same bytes the one that was named.
      const here = places.filter((place) => place.group === one);
      const named = here.find((place) => (place.extra || one.keep).id === image.id) || here.at(-1) || { extra: image === one.keep ? null : image };
      for (const extra of one.extras) extra.chosen = keep && extra === named.extra;
      if (!named.extra) { one.ruled = Boolean(one.chosen) && !keep; one.chosen = keep; } else if (keep) one.chosen = false;
    }
    if (remembered) {
      const step = () => { this.choose(group, image, !keep, { remembered: false }); restore(); this.refresh(); };
      this.past.push(step);
      if (keep) this.source.say(`${shortName(image)} is kept from the next search on.`, { name: "Undo", run: () => this.undo(step) });
    }
    this.refresh();
    this.send(() => this.source.choose(image, keep, group), restore);
  }

  // One after the other, so that what was said last is what is kept; what cannot be kept is taken back and told.
  send(run, back) {
    this.sending = this.sending.then(run).catch((error) => { back(); this.refresh(); this.source.say(error.message); });
  }

  // The last step, or one that a message offered to undo.
  undo(step = this.past.at(-1)) {
    const at = this.past.indexOf(step);
    if (at < 0) return;
    this.past.splice(at, 1);
    step();
    this.updateTotals();
  }

  // ---- keys

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.list.isConnected) return;
    if (this.closer.dialog.open) { this.closer.key(event); return; }
    if (document.querySelector("dialog[open]") || event.target.closest?.("input:not([type=checkbox]), select, textarea")) return;
    const pressable = event.target.closest?.("button, a, summary, input");
    const tile = document.activeElement?.closest?.(".extra");
    const card = this.cards.get(this.current);
    const extra = card && (card.tiles.find(({ node }) => node === tile) || card.tiles[0])?.extra;
    const { key } = event;
    if (key === "j" || key === "k") this.move(key === "j" ? 1 : -1);
    else if (key === "ArrowRight" || key === "ArrowLeft") { if (!tile) return; this.beside(card, tile, key === "ArrowRight" ? 1 : -1); }
    else if (key === "/") this.path.focus();
    else if (key === "z") this.undo();
    else if (!card) return;
    else if (key === "a") this.accept(card.item);
    else if (key in LETTERS) this.toggleVerdict(card.item.group, extra, LETTERS[key]);
    else if (key === "t") { if (mayBeKept(card.item.group, extra)) this.choose(card.item.group, extra, !extra.chosen); }
    else if (key === "o" || (key === "Enter" && !pressable && tile)) this.closer.open(card.item, extra);
    else return;
    event.preventDefault();
  }

  // The same verdict again takes it back.
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
    const to = Math.max(0, Math.min(n, this.shown.length - 1));
    const card = this.cardAt(to);
    this.current = to;
    card.tiles[0].node.focus({ preventScroll: true });
    card.node.scrollIntoView({ block: "nearest" });
    const { top, height } = card.node.getBoundingClientRect();
    if (height > innerHeight - 160 || top < 0) card.node.scrollIntoView({ block: "start" });
    return card;
  }

  beside(card, tile, by) {
    const at = card.tiles.findIndex(({ node }) => node === tile) + by;
    const next = card.tiles[Math.max(0, Math.min(at, card.tiles.length - 1))].node;
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }
}

function remember(map, key, value) {
  if (!key) return;
  if (map.has(key)) map.get(key).push(value); else map.set(key, [value]);
}

// ---- a card

class Card {
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
    this.place = h("div", { class: "extras" }, this.more, hidden ? h("p", { class: "faint hidden-extras" }, `${counted(hidden, "more extra")} of this group ${hidden === 1 ? "does" : "do"} not pass the filters.`) : null);
    this.node = h("article", { class: "group", "data-n": String(n), "aria-posinset": String(n + 1), "aria-label": `${shortName(group.keep)} is kept, ${counted(extras.length, "extra")}` },
      h("header", { class: "row" }, h("h2", {}, `Group ${group.number}: ${counted(extras.length, "extra")}, ${megabytes(bytes)}`), this.state, h("span", { class: "spread" }), this.accept),
      h("figure", { class: "keep" }, framed(source, group.keep, 640, "Kept"), h("figcaption", {}, h("span", { class: "badge kept" }, "keep"), named(source, group.keep), h("p", { class: "faint" }, factsOf(group.keep)), this.why)),
      this.place);
    this.grow();
    this.update();
  }

  // A group may hold thousands of the same file.
  grow() {
    const { review, item, tiles } = this;
    const added = item.extras.slice(tiles.length, tiles.length + TILES).map((extra) => tile(review, item, extra));
    tiles.push(...added);
    this.more.before(...added.map(({ node }) => node));
    const left = item.extras.length - tiles.length;
    this.more.hidden = !left;
    this.more.textContent = `Show ${Math.min(left, TILES)} more of ${counted(left, "extra")}`;
  }

  update() {
    const { review, item: { group, extras } } = this;
    const open = extras.filter((extra) => mayAccept(group, extra)).length;
    const accepted = extras.filter((extra) => isAccepted(group, extra)).length;
    this.node.setAttribute("aria-setsize", String(review.shown.length));
    this.accept.textContent = open ? (extras.length > 1 ? `Accept group (${open})` : "Accept") : accepted ? "Take back" : "Accept";
    this.accept.classList.toggle("main", Boolean(open));
    this.accept.disabled = !(open || accepted) || !review.source.mayWrite;
    this.state.textContent = waits(group) ? "Another picture is kept from the next search on; until then nothing of this group is moved." : accepted ? `${accepted === extras.length ? "" : `${accepted} of ${extras.length} `}accepted` : "";
    this.node.classList.toggle("accepted", !open && accepted > 0);
    this.node.classList.toggle("waits", waits(group));
    this.why.replaceChildren(...reasons(review, group));
    for (const one of this.tiles) one.update();
  }
}

function reasons(review, group) {
  if (group.chosen) return [h("p", {}, "kept: chosen by you"), h("button", { type: "button", onclick: () => review.choose(group, group.keep, false) }, "Leave it to the rules")];
  if (group.ruled) return [h("p", {}, "from the next search on the rules decide"), h("button", { type: "button", onclick: () => review.choose(group, group.keep, true) }, "Keep it as chosen")];
  const all = [...new Set(group.extras.map((extra) => extra.reason).filter(Boolean))];
  const more = all.length > 2 ? `; and ${counted(all.length - 2, "other reason")}` : "";
  return all.length ? [h("p", {}, `kept: ${all.slice(0, 2).map(visible).join("; ")}${more}`)] : [];
}

function framed(source, image, side, what) {
  const address = source.image(image, side);
  return h("div", { class: "picture" }, address ? h("img", { src: address, alt: `${what}: ${shortName(image)}`, loading: "lazy", decoding: "async" }) : "no thumbnail");
}

function named(source, image) {
  const link = source.link(image);
  const text = h("bdi", {}, nameOf(image));
  return h("p", { class: "path" }, link ? h("a", { href: link, target: "_blank", rel: "noopener" }, text) : text);
}

function tile(review, item, extra) {
  const { source } = review;
  const { group } = item;
  const look = () => review.closer.open(item, extra);
  const pair = pairOf(group, extra);
  const [first, second] = [group.keep.metadata.sha256, extra.metadata.sha256];
  const said = h("p", { class: "said" });
  const { buttons, update: press } = verdictButtons(review, group, extra);
  const node = h("div", { class: "extra", role: "group", tabindex: "0", "data-pair": pair, "data-name": extra.metadata.path || extra.id, "aria-label": `${shortName(extra)}: ${extra.relation}, ${percent(extra.probability)}, ${extra.words}` },
    framed(source, extra, 256, "Extra"),
    h("div", { class: "tile-words" }, h("span", { class: `badge ${extra.relation}` }, `${extra.relation} · ${percent(extra.probability)}`), h("p", { class: "words" }, visible(extra.words)), named(source, extra), h("p", { class: "faint" }, factsOf(extra)),
      h("p", { class: "faint" }, extra.reason ? `the other is kept: ${visible(extra.reason)}` : ""), extra.unsure ? h("p", { class: "left" }, "cannot tell which of the two is the original") : null, extra.left ? h("p", { class: "left" }, `left alone: ${visible(extra.left)}`) : null, extra.companions?.length ? h("p", { class: "faint" }, `goes with ${extra.companions.map(visible).join(", ")}`) : null, said),
    pair ? h("div", { class: "buttons" }, buttons, h("button", { type: "button", onclick: look }, "Look closely")) : h("p", { class: "faint" }, first || second ? "One of the two has no file: nothing can be said of the pair." : ""));
  node.querySelector(".picture").addEventListener("click", () => { node.focus(); look(); });
  const update = () => {
    press();
    node.classList.toggle("decided", isRejected(extra));
    node.classList.toggle("agreed", isAccepted(group, extra));
    node.classList.toggle("chosen", Boolean(extra.chosen));
    said.textContent = extra.chosen ? "This one is kept from the next search on." : extra.verdict ? `${VERDICTS[extra.verdict] || extra.verdict}.` : "";
  };
  update();
  return { node, extra, update };
}

// Buttons that stay pressed; pressed again they take it back.
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

// ---- two pictures, enlarged

class Closer {
  constructor(review) {
    this.review = review;
    this.dialog = h("dialog", { class: "closer", "aria-label": "The two pictures, enlarged" });
    this.view = "side";
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
    this.dialog.addEventListener("close", () => { const { item, extra } = this; this.dialog.replaceChildren(); this.update = () => {}; this.back(item, extra); });
    document.body.append(this.dialog);
  }

  update() {}

  open(item, extra) {
    const { review, dialog } = this;
    const { source } = review;
    const { group } = item;
    Object.assign(this, { item, extra });
    const stage = h("div", { class: "closer-stage" });
    const tabs = source.views.map(([name, text]) => h("button", { type: "button", "aria-pressed": "false", "data-view": name, onclick: () => look(name) }, text));
    const look = (name) => {
      this.view = name;
      for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.dataset.view === name));
      stage.replaceChildren(name === "side" ? sides(source, group, extra) : source.stage(group.keep, extra, name));
    };
    const { buttons, update } = verdictButtons(review, group, extra);
    this.update = update;
    const step = (by, text, label) => h("button", { type: "button", "aria-label": label, onclick: () => this.step(by) }, text);
    dialog.replaceChildren(
      h("button", { type: "button", class: "plain close", "aria-label": "Close", onclick: () => dialog.close() }, "✕"),
      h("div", { class: "row closer-head" }, h("span", { class: `badge ${extra.relation}` }, `${extra.relation} · ${percent(extra.probability)}`), h("b", { class: "words", tabindex: "-1" }, visible(extra.words)), h("span", { class: "spread" }), h("div", { class: "segments", role: "group", "aria-label": "How to look at them" }, tabs)),
      stage, h("div", { class: "row buttons" }, step(-1, "‹", "Previous pair"), step(1, "›", "Next pair"), pairOf(group, extra) ? buttons : null));
    look(source.views.some(([name]) => name === this.view) ? this.view : "side");
    update();
    if (!dialog.open) dialog.showModal();
    dialog.querySelector(".words").focus();
  }

  step(by) {
    const { review } = this;
    const pairs = review.shown.flatMap((item) => item.extras.map((extra) => [item, extra]));
    const at = pairs.findIndex(([, extra]) => extra === this.extra) + by;
    if (pairs[at]) this.open(...pairs[at]);
  }

  // The focus goes to the tile that was looked at last.
  back(item, extra) {
    const n = this.review.shown.findIndex((one) => one.group === item.group);
    if (n < 0) return;
    if (n !== this.review.current) this.review.go(n);
    this.review.cardAt(n).tiles.find((one) => one.extra === extra)?.node.focus({ preventScroll: true });
  }

  key(event) {
    const { review, item: { group }, extra } = this;
    const { key } = event;
    if (event.target.closest("input") || (key === " " && event.target.closest("button, a"))) return; // theirs by right
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
  const one = (image, what) => h("figure", {}, framed(source, image, 1280, what), h("figcaption", {}, h("b", {}, `${what} `), named(source, image), h("span", { class: "faint" }, factsOf(image))));
  return h("div", { class: "sides" }, one(group.keep, "Kept"), one(extra, "Extra"));
}

// ---- a command to type

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
