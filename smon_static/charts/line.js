// A chart of lines over time: axes, areas, gaps, a cursor that shows the values of a moment, keys, and words for those
// who do not see it.

import { h, show, vary, write } from "../dom.js";
import { clock, day, moment, zoneMs } from "../format.js";
import { surface, token } from "./canvas.js";
import { decimate, gapLimit, nearest, roundUp, runs, summary, timeTicks, valueTicks } from "./scale.js";

const MARGIN = { left: 52, right: 8, top: 10, bottom: 24 };
const FONT_PX = 12;
const TICK_PX = 84;        // one time label on this many pixels
const DENSE = 2;           // more samples than this on a pixel are drawn as columns
const BIG_STEP = 10;       // samples that Shift and an arrow key go
const HOUR_MS = 3600000;   // spans up to this are told to the second
const DAY_MS = 24 * HOUR_MS;

const DRAG_PX = 8;         // a shorter drag is a click

const EMPTY = { t: new Float64Array(0), from: 0, to: 1, stepMs: 0, events: [] };

/**
 * look: {label, lines: [{name, tone, dashed?}], format(value) -> text, tick(value) -> text for the axis, max: the fixed
 * upper end or null to follow the data (binary: in powers of two), hint: what the keys do}.
 * set({t, lines: [{v, low?, high?}], from, to, stepMs, events: [{t, tone}]}) shows data; onpick(ms) hears of a click or
 * Enter on a sample, onpoint(ms or null) of the cursor, onzoom(from, to) of a drag, and without times of Escape.
 */
export function lineChart(look) {
  const { label, lines, format, tick = format, max = null, binary = false, hint = "" } = look;
  const { onpick = null, onpoint = () => {}, onzoom = null } = look;
  const legend = legendOf(lines);
  const plot = h("div", { class: "chart-plot" });
  const cursor = cursorOf(plot, lines);
  const words = h("p", { class: "chart-words" });
  const el = h("figure", { class: "chart" }, legend.el, plot, words);
  const box = { x: MARGIN.left, y: MARGIN.top, width: 0, height: 0 };
  const stage = surface(plot, paint);
  let data = { ...EMPTY, lines: lines.map(() => ({ v: new Float64Array(0) })) };
  let top = max ?? 1;
  let gap = Infinity;
  let marked = -1;    // the sample under the cursor
  let picked = null;  // a moment that stays marked

  function set(next) {
    data = { ...EMPTY, ...next };
    gap = gapLimit(data.t, data.stepMs);
    top = max ?? roundUp(Math.max(0, ...data.lines.map((line) => summary(line.high || line.v)?.max ?? 0)), binary);
    if (marked >= data.t.length) point(-1);
    plot.setAttribute("aria-valuemax", Math.max(0, data.t.length - 1));
    legend.set(valuesAt(marked), marked < 0 ? "" : when(data.t[marked]));
    describe();
    stage.redraw();
  }

  const when = (t) => (data.to - data.from <= HOUR_MS ? clock(t, true) : moment(t, data.to));
  const xOf = (t) => box.x + (t - data.from) / (data.to - data.from) * box.width;
  const yOf = (value) => box.y + box.height - Math.min(1, Math.max(0, value / top)) * box.height;

  function paint(context, width, height, ratio) {
    box.width = width - MARGIN.left - MARGIN.right;
    box.height = height - MARGIN.top - MARGIN.bottom;
    context.font = `${FONT_PX}px ${token("font")}`;
    drawValueAxis(context, box, top, tick, yOf);
    drawTimeAxis(context, box, data, xOf);
    data.lines.forEach((line, i) => {
      const style = { stroke: token(lines[i].tone), dash: lines[i].dashed ? [5, 4] : [] };
      if (data.t.length > DENSE * box.width * ratio) drawDense(context, box, data, line, style, yOf, ratio);
      else drawSparse(context, data.t, line, style, gap, xOf, yOf, box.y + box.height);
    });
    for (const { t, tone } of data.events) drawEvent(context, box, xOf(t), token(tone));
    if (picked !== null) drawPicked(context, box, xOf(picked));
    cursor.set(marked, data, xOf, yOf, box);
  }

  function valuesAt(index) {
    const at = index < 0 ? data.t.length - 1 : index;
    return data.lines.map((line) => format(at < 0 ? NaN : line.v[at]));
  }

  /** Move the cursor to a sample, -1 takes it away. Nothing is written while it stays on the same one. */
  function point(index) {
    if (index === marked) return;
    marked = index;
    cursor.set(index, data, xOf, yOf, box);
    legend.set(valuesAt(index), index < 0 ? "" : when(data.t[index]));
    plot.setAttribute("aria-valuenow", Math.max(0, index));
    plot.setAttribute("aria-valuetext", spoken(Math.max(0, index)));
    onpoint(index < 0 ? null : data.t[index]);
  }

  function spoken(index) {
    if (!data.t.length) return "No data";
    const values = lines.map((line, i) => `${line.name} ${format(data.lines[i].v[index])}`);
    return `${when(data.t[index])}: ${values.join(", ")}`;
  }

  function describe() {
    const sentences = lines.map((line, i) => {
      const found = summary(data.lines[i].v);
      if (!found) return `${line.name}: no data.`;
      return `${line.name}: lowest ${format(found.min)}, average ${format(found.mean)}, `
        + `highest ${format(found.max)} at ${when(data.t[found.maxAt])}.`;
    });
    write(words, sentences.join(" "));
    plot.setAttribute("aria-valuetext", spoken(marked < 0 ? data.t.length - 1 : marked));
  }

  function pick(index) {
    if (onpick && index >= 0) onpick(data.t[index]);
  }

  const timeAt = (x) => data.from + Math.min(1, Math.max(0, (x - box.x) / box.width)) * (data.to - data.from);

  watchPlot(plot, {
    at: (x) => nearest(data.t, timeAt(x)),
    last: () => data.t.length - 1,
    marked: () => marked,
    point,
    pick,
    zoom: onzoom && ((x1, x2) => onzoom(timeAt(Math.min(x1, x2)), timeAt(Math.max(x1, x2)))),
    whole: () => onzoom?.(),
  });
  plot.setAttribute("aria-label", label + (hint ? ". " + hint : ""));
  return {
    el,
    set,
    /** Put the cursor where another chart of the page has it. */
    pointAt: (t) => point(t === null ? -1 : nearest(data.t, t)),
    /** Keep a line at this moment (ms), null for none. */
    mark(t) {
      picked = t;
      stage.redraw();
    },
    stop: stage.stop,
  };
}

function drawValueAxis(context, box, top, tick, yOf) {
  context.strokeStyle = token("line");
  context.fillStyle = token("muted");
  context.lineWidth = 1;
  context.textAlign = "right";
  context.textBaseline = "middle";
  context.beginPath();
  for (const value of valueTicks(top)) {
    const y = Math.round(yOf(value)) + 0.5;
    context.moveTo(box.x, y);
    context.lineTo(box.x + box.width, y);
    context.fillText(tick(value), box.x - 8, y);
  }
  context.stroke();
}

function drawTimeAxis(context, box, { from, to }, xOf) {
  const ahead = zoneMs(to);
  const { step, ticks } = timeTicks(from, to, Math.max(2, box.width / TICK_PX), ahead);
  context.textAlign = "center";
  context.textBaseline = "alphabetic";
  for (const t of ticks) {
    const midnight = (t + ahead) % DAY_MS === 0;
    const half = 18;
    const x = Math.min(box.x + box.width - half, Math.max(box.x + half, xOf(t)));
    context.fillStyle = token(midnight && step < DAY_MS ? "text" : "muted");
    context.fillText(midnight ? day(t) : clock(t), x, box.y + box.height + 18);
  }
}

/** A polyline over its area; where low and high are known, a band shows what the buckets hide. */
function drawSparse(context, times, line, style, gap, xOf, yOf, floor) {
  for (const [from, to] of runs(times, line.v, gap)) {
    const path = new Path2D();
    for (let i = from; i < to; i++) path.lineTo(xOf(times[i]), yOf(line.v[i]));
    if (line.low && line.high) fillBand(context, times, line, from, to, style, xOf, yOf);
    else fillUnder(context, path, style, xOf(times[from]), xOf(times[to - 1]), floor);
    context.strokeStyle = style.stroke;
    context.lineWidth = 1.75;
    context.lineJoin = "round";
    context.lineCap = "round";
    context.setLineDash(style.dash);
    if (to - from === 1) path.lineTo(xOf(times[from]) + 0.1, yOf(line.v[from]));
    context.stroke(path);
    context.setLineDash([]);
  }
}

function fillUnder(context, path, style, left, right, floor) {
  const area = new Path2D(path);
  area.lineTo(right, floor);
  area.lineTo(left, floor);
  fillThin(context, style, area);
}

function fillBand(context, times, line, from, to, style, xOf, yOf) {
  const band = new Path2D();
  for (let i = from; i < to; i++) band.lineTo(xOf(times[i]), yOf(line.high[i]));
  for (let i = to - 1; i >= from; i--) band.lineTo(xOf(times[i]), yOf(line.low[i]));
  fillThin(context, style, band);
}

function fillThin(context, style, path) {
  context.fillStyle = style.stroke;
  thinly(context, () => context.fill(path));
}

function thinly(context, draw) {
  context.globalAlpha = 0.12;
  draw();
  context.globalAlpha = 1;
}

/**
 * More samples than pixels: a hairline for each device column from its least to its greatest value, and one from there
 * to the floor for the area, each kind in one stroke. A column reaches back to the last value before it, so that the
 * line does not fall apart. Stroking the zigzag itself costs ten times the raster.
 */
function drawDense(context, box, data, line, style, yOf, ratio) {
  const columns = Math.floor(box.width * ratio);
  const { low, high, last } = decimate(data.t, line, data.from, data.to, columns);
  const left = Math.round(box.x * ratio) + 0.5;
  const floor = Math.round((box.y + box.height) * ratio);
  const pixel = (value) => yOf(value) * ratio;
  const hairlines = (begin, end) => {
    context.beginPath();
    for (let x = 0; x < columns; x++) {
      if (high[x] !== high[x]) continue;
      context.moveTo(left + x, Math.floor(begin(x)));
      context.lineTo(left + x, Math.ceil(end(x)));
    }
    context.stroke();
  };
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.strokeStyle = style.stroke;
  context.lineWidth = 1;
  thinly(context, () => hairlines((x) => pixel(high[x]), () => floor));
  hairlines((x) => pixel(last[x - 1] > high[x] ? last[x - 1] : high[x]),
    (x) => pixel(last[x - 1] < low[x] ? last[x - 1] : low[x]) + 1);
  context.restore();
}

function drawPicked(context, box, x) {
  context.strokeStyle = token("text");
  context.setLineDash([2, 3]);
  drawRule(context, box, x);
  context.setLineDash([]);
}

/** A flag on the upper edge, and a thin line down from it. */
function drawEvent(context, box, x, colour) {
  context.strokeStyle = context.fillStyle = colour;
  context.globalAlpha = 0.5;
  drawRule(context, box, x);
  context.globalAlpha = 1;
  context.beginPath();
  context.moveTo(x - 5, box.y - 9);
  context.lineTo(x + 5, box.y - 9);
  context.lineTo(x, box.y);
  context.fill();
}

function drawRule(context, box, x) {
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(Math.round(x) + 0.5, box.y);
  context.lineTo(Math.round(x) + 0.5, box.y + box.height);
  context.stroke();
}

function legendOf(lines) {
  const figures = lines.map(() => h("b", {}));
  const keys = lines.map(({ name, tone, dashed = false }, i) => h("span",
    { class: "chart-key", "data-tone": tone, "data-dashed": dashed }, name, " ", figures[i]));
  const time = h("span", { class: "chart-time" });
  return {
    el: h("figcaption", { class: "chart-legend" }, keys, time),
    set(values, when) {
      values.forEach((value, i) => write(figures[i], value));
      write(time, when ? "at " + when : "latest");
    },
  };
}

/** A line and a dot for each series, moved by transform: the canvas below is not drawn again. */
function cursorOf(plot, lines) {
  const rule = h("div", { class: "chart-rule" });
  const dots = lines.map((line) => h("div", { class: "chart-dot", "data-tone": line.tone }));
  const el = h("div", { class: "chart-cursor", hidden: true, "aria-hidden": "true" }, rule, dots);
  plot.append(el);
  return {
    set(index, data, xOf, yOf, box) {
      show(el, index >= 0);
      if (index < 0) return;
      const x = xOf(data.t[index]);
      vary(rule, "transform", `translate(${x.toFixed(1)}px, ${box.y}px)`);
      vary(rule, "height", box.height + "px");
      dots.forEach((dot, i) => {
        const value = data.lines[i].v[index];
        show(dot, Number.isFinite(value));
        if (Number.isFinite(value)) vary(dot, "transform", `translate(${x.toFixed(1)}px, ${yOf(value).toFixed(1)}px)`);
      });
    },
  };
}

const SLIDER = { role: "slider", tabindex: "0", "aria-valuemin": "0", "aria-valuemax": "0", "aria-valuenow": "0" };

/** Pointer and keys on the plot: a slider over the samples. */
function watchPlot(plot, { at, last, marked, point, pick, zoom, whole }) {
  for (const [name, value] of Object.entries(SLIDER)) plot.setAttribute(name, value);
  let rect = null;
  const xOf = (event) => {
    rect = rect || plot.getBoundingClientRect();
    return event.clientX - rect.left;
  };
  const indexAt = (event) => at(xOf(event));
  if (zoom) watchDrag(plot, xOf, zoom);
  const forget = () => { rect = null; };
  plot.addEventListener("pointerenter", forget);
  plot.addEventListener("pointermove", (event) => point(indexAt(event)));
  plot.addEventListener("pointerleave", () => point(-1));
  plot.addEventListener("blur", () => point(-1));
  plot.addEventListener("click", (event) => {
    forget();
    if (!event.defaultPrevented) pick(indexAt(event));
  });
  plot.addEventListener("keydown", (event) => {
    if (event.key === "Enter") return pick(marked());
    const from = marked() < 0 ? last() + 1 : marked();
    const pace = event.shiftKey ? BIG_STEP : 1;
    const targets = { ArrowLeft: from - pace, ArrowRight: from + pace, Home: 0, End: last(), Escape: -1 };
    if (!(event.key in targets)) return undefined;
    event.preventDefault();
    if (event.key === "Escape" && marked() < 0) whole();
    return point(event.key === "Escape" ? -1 : Math.min(last(), Math.max(0, targets[event.key])));
  });
}

/** A drag with the mouse or a pen marks a span; a finger scrolls the page instead. Its click is no pick. */
function watchDrag(plot, xOf, zoom) {
  const span = h("div", { class: "chart-span", hidden: true });
  let from = null;
  let dragged = false;
  plot.append(span);
  const far = (x) => from !== null && Math.abs(x - from) >= DRAG_PX;
  plot.addEventListener("pointerdown", (event) => {
    dragged = false;
    if (event.pointerType !== "touch" && event.button === 0) from = xOf(event);
  });
  plot.addEventListener("pointermove", (event) => {
    const x = xOf(event);
    show(span, far(x));
    if (!far(x)) return;
    vary(span, "left", Math.min(x, from) + "px");
    vary(span, "width", Math.abs(x - from) + "px");
  });
  addEventListener("pointerup", (event) => {
    const x = from === null ? 0 : xOf(event);
    dragged = far(x);
    const begin = from;
    from = null;
    show(span, false);
    if (dragged && plot.isConnected) zoom(begin, x);
  });
  plot.addEventListener("click", (event) => dragged && event.preventDefault());
}
