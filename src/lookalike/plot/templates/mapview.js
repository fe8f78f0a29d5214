"use strict";
// The interactive map of the self-contained page and of the server's page: dots, thumbnails, a legend, a tooltip.
// Options: {canvas, tip, legend, ids, xs, ys (in -1..1, downwards), groups: [{title, names, of}], palette, side (largest
// thumbnail size), stamp(g, n, x, y, size) → whether the thumbnail was drawn, open(n)?}
globalThis.mapView = ({ canvas, tip, legend, ids, xs, ys, groups, palette, side, stamp, open }) => {
  const MATCH_SIZE = 64; // pixels of the image that was searched for
  const CELLS = 128; // grid cells per side, to find the nearest and the visible images without a scan of all
  const buckets = Array.from({ length: CELLS * CELLS }, () => []);
  const cell = v => Math.min(CELLS - 1, Math.max(0, Math.floor((v + 1) / 2 * CELLS)));
  for (let n = 0; n < ids.length; n++) buckets[cell(xs[n]) * CELLS + cell(ys[n])].push(n);
  const g = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  let view = { x: 0, y: 0, scale: 1 }, width = 0, height = 0, ratio = 1, group = 0, chosen = -1, match = -1, hovered = -1, waiting = false;

  const hue = n => n < 0 ? style.getPropertyValue("--none") : n < palette.length ? palette[n] : `hsl(${(n * 137.5) % 360} 60% 55%)`;
  const fit = () => 0.485 * Math.min(width, height);
  const toX = x => width / 2 + (x - view.x) * view.scale * fit(), toY = y => height / 2 + (y - view.y) * view.scale * fit();
  const fromX = x => (x - width / 2) / (view.scale * fit()) + view.x, fromY = y => (y - height / 2) / (view.scale * fit()) + view.y;
  function* near(x0, y0, x1, y1) {
    for (let i = cell(x0); i <= cell(x1); i++) for (let j = cell(y0); j <= cell(y1); j++) yield* buckets[i * CELLS + j];
  }
  function visible() {
    const x0 = fromX(-40), x1 = fromX(width + 40), y0 = fromY(-40), y1 = fromY(height + 40), inside = [];
    for (const n of near(x0, y0, x1, y1)) if (xs[n] >= x0 && xs[n] <= x1 && ys[n] >= y0 && ys[n] <= y1) inside.push(n);
    return inside;
  }

  const again = () => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; draw(); }); } };
  function draw() {
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    const shown = visible(), of = groups[group]?.of;
    const radius = Math.max(1, Math.min(4, 90 / Math.sqrt(shown.length || 1)));
    const byColor = new Map();
    for (const n of shown) { const k = of ? of[n] : 0; if (!byColor.has(k)) byColor.set(k, []); byColor.get(k).push(n); }
    for (const [k, some] of byColor) {
      g.fillStyle = hue(k); g.globalAlpha = chosen >= 0 && k !== chosen ? 0.08 : 0.75;
      for (const n of some) g.fillRect(toX(xs[n]) - radius, toY(ys[n]) - radius, 2 * radius, 2 * radius);
    }
    g.globalAlpha = 1;
    thumbnails(shown, of);
    if (match >= 0) stamp(g, match, toX(xs[match]) - MATCH_SIZE / 2, toY(ys[match]) - MATCH_SIZE / 2, MATCH_SIZE); // above its neighbors
    for (const n of [match, hovered]) if (n >= 0) {
      g.strokeStyle = style.getPropertyValue("--mark"); g.lineWidth = 3; g.beginPath();
      g.arc(toX(xs[n]), toY(ys[n]), n === match ? 0.75 * MATCH_SIZE : 9, 0, 7); g.stroke();
    }
  }
  // As many thumbnails as fit without overlap; they stay the same while the map is moved.
  function thumbnails(shown, of) {
    const size = Math.min(side, view.scale < 2 ? 32 : view.scale < 8 ? 44 : 64), taken = new Set();
    if (view.scale < 1.6 && shown.length > 400) return;
    const step = (size + 2) / (view.scale * fit());
    let drawn = 0;
    for (const n of shown) {
      if (chosen >= 0 && of && of[n] !== chosen) continue;
      const i = Math.floor(xs[n] / step), j = Math.floor(ys[n] / step), key = i * 100003 + j;
      if (taken.has(key)) continue;
      taken.add(key);
      const x = toX((i + 0.5) * step) - size / 2, y = toY((j + 0.5) * step) - size / 2;
      if (stamp(g, n, x, y, size) && of) { g.strokeStyle = hue(of[n]); g.lineWidth = 1.5; g.strokeRect(x, y, size, size); }
      if (++drawn > 1500) return;
    }
  }

  function nearest(px, py) {
    const reach = 14 / (view.scale * fit()), x = fromX(px), y = fromY(py);
    let best = -1, lowest = reach * reach;
    for (const n of near(x - reach, y - reach, x + reach, y + reach)) {
      const d = (xs[n] - x) ** 2 + (ys[n] - y) ** 2;
      if (d < lowest && (chosen < 0 || !groups[group] || groups[group].of[n] === chosen)) { lowest = d; best = n; }
    }
    return best;
  }
  function showTip(n, px, py) {
    hovered = n; tip.hidden = n < 0; again();
    if (n < 0) return;
    const preview = document.createElement("canvas"); preview.width = preview.height = 128;
    const paint = () => { const p = preview.getContext("2d"); p.imageSmoothingQuality = "high"; if (!stamp(p, n, 0, 0, 128)) setTimeout(() => hovered === n && paint(), 40); };
    paint();
    const lines = [ids[n], ...groups.filter(x => x.of[n] >= 0).map(x => `${x.title}: ${x.names[x.of[n]] || x.of[n]}`)];
    tip.replaceChildren(preview, ...lines.map(t => { const d = document.createElement("div"); d.textContent = t; return d; }));
    tip.style.left = `${Math.max(4, Math.min(px + 14, width - tip.offsetWidth - 6))}px`;
    tip.style.top = `${Math.max(4, Math.min(py + 14, height - tip.offsetHeight - 6))}px`;
  }
  function zoom(px, py, factor) {
    const x = fromX(px), y = fromY(py);
    view.scale = Math.min(400, Math.max(0.7, view.scale * factor));
    view.x += x - fromX(px); view.y += y - fromY(py); again();
  }
  // The tooltip follows what moves under a resting pointer.
  canvas.onwheel = e => { e.preventDefault(); zoom(e.offsetX, e.offsetY, Math.exp(-e.deltaY * 0.0015)); showTip(nearest(e.offsetX, e.offsetY), e.offsetX, e.offsetY); };
  let click = 0; // a click opens after a quarter of a second, since a second click zooms instead
  canvas.ondblclick = e => { clearTimeout(click); zoom(e.offsetX, e.offsetY, 2); showTip(nearest(e.offsetX, e.offsetY), e.offsetX, e.offsetY); };
  const fingers = new Map();
  let down = null;
  canvas.onpointerdown = e => {
    fingers.set(e.pointerId, e); canvas.setPointerCapture(e.pointerId); down = e;
    if (e.pointerType === "touch") showTip(nearest(e.offsetX, e.offsetY), e.offsetX, e.offsetY);
  };
  canvas.onpointercancel = e => fingers.delete(e.pointerId);
  canvas.onpointerup = e => {
    fingers.delete(e.pointerId);
    if (e.button > 0) return;
    const still = down && Math.hypot(e.offsetX - down.offsetX, e.offsetY - down.offsetY) < 4, n = still ? nearest(e.offsetX, e.offsetY) : -1;
    // The first tap of a finger shows the tooltip, as hovering does.
    if (n >= 0 && open && (e.pointerType !== "touch" || n === match)) { clearTimeout(click); click = setTimeout(open, 250, n); }
    else if (n >= 0 && open) match = n;
  };
  canvas.onpointerleave = () => showTip(-1);
  canvas.onpointermove = e => {
    const before = fingers.get(e.pointerId);
    if (!before) { showTip(nearest(e.offsetX, e.offsetY), e.offsetX, e.offsetY); return; }
    if (fingers.size === 2) {
      const other = [...fingers.values()].find(f => f.pointerId !== e.pointerId);
      const apart = f => Math.hypot(f.offsetX - other.offsetX, f.offsetY - other.offsetY);
      zoom((e.offsetX + other.offsetX) / 2, (e.offsetY + other.offsetY) / 2, apart(e) / Math.max(apart(before), 1));
    } else { view.x -= (e.offsetX - before.offsetX) / (view.scale * fit()); view.y -= (e.offsetY - before.offsetY) / (view.scale * fit()); again(); }
    fingers.set(e.pointerId, e);
  };
  canvas.tabIndex = 0; canvas.setAttribute("aria-label", "Map; arrow keys move, + and - zoom");
  canvas.onkeydown = e => {
    const step = 0.15 / view.scale, moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (moves[e.key]) { view.x += moves[e.key][0]; view.y += moves[e.key][1]; showTip(-1); e.preventDefault(); }
    if (e.key === "+" || e.key === "=") { zoom(width / 2, height / 2, 1.4); showTip(-1); }
    if (e.key === "-") { zoom(width / 2, height / 2, 1 / 1.4); showTip(-1); }
    if (e.key === "Enter" && open && match >= 0) open(match);
  };

  function drawLegend() {
    const coloring = groups[group];
    legend.className = chosen >= 0 ? "chosen" : "";
    if (!coloring) { legend.replaceChildren(); return; }
    const sizes = new Int32Array(coloring.names.length); for (const k of coloring.of) if (k >= 0) sizes[k]++;
    legend.replaceChildren(...coloring.names.map((name, k) => {
      const b = document.createElement("button"), dot = document.createElement("i"), text = document.createElement("span");
      b.type = "button"; dot.style.background = hue(k); text.textContent = `${name} · ${sizes[k].toLocaleString()}`; b.title = text.textContent; b.append(dot, text);
      b.setAttribute("aria-pressed", chosen === k);
      b.onclick = () => { chosen = chosen === k ? -1 : k; drawLegend(); again(); };
      return b;
    }));
  }
  const resize = () => {
    ratio = devicePixelRatio || 1; width = canvas.clientWidth; height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio); again();
  };
  new ResizeObserver(resize).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  drawLegend(); resize();
  return {
    again,
    colorBy(n) { group = n; chosen = -1; drawLegend(); again(); },
    whole() { view = { x: 0, y: 0, scale: 1 }; match = -1; showTip(-1); },
    // Go to the image with this id, or the first whose id contains the text; return its index, -1 for none.
    find(text) {
      let n = text ? ids.indexOf(text) : -1; if (n < 0 && text) n = ids.findIndex(id => id.includes(text));
      match = n; if (n >= 0) view = { x: xs[n], y: ys[n], scale: Math.max(view.scale, 10) };
      showTip(-1); // hides the tooltip of the previous image
      return n;
    },
  };
};
