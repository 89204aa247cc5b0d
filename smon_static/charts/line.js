// A chart of lines over time: axes, areas, gaps, a cursor that shows the values of a moment, keys, and words for those
// who do not see it.

import { h, show, vary, write } from "../dom.js";
import { DAY_MS, clock, day, momentIn, zoneMs } from "../format.js";
import { surface, token } from "./canvas.js";
import { clamp, decimate, gapLimit, nearest, roundUp, runs, summary, timeTicks, valueTicks } from "./scale.js";

const LEFT = 68;           // the plot inside its canvas, in CSS pixels; beside it fits "1023 MiB/s"
const RIGHT = 8;
const TOP = 10;
const BOTTOM = 24;
const TICK_PX = 84;        // one time label on this many pixels
const DENSE = 2;           // more samples than this on a pixel are drawn as columns
const THIN = 0.12;         // how much of its colour an area has
const BIG_STEP = 10;       // samples that Shift and an arrow key go
const DRAG_PX = 8;         // a shorter drag is a click

const EMPTY = { t: [], lines: [], from: 0, to: 1, stepMs: 0, events: [] };

/**
 * lines: [{name, tone, dashed?}], format(value) -> text, tick(value) -> text for the axis, max: the fixed upper end or
 * null to follow the data (binary: in powers of two), hint: what the keys do, left: where the plot begins, in pixels.
 * set({t, lines: [{v, low?, high?}], from, to, stepMs, events: [{t, tone}]}) shows data; onpick(ms) hears of a click or
 * Enter on a sample, onpoint(ms or undefined) of the cursor, onzoom(from, to) of a drag, and without times of Escape.
 * The tone of a line may change: redraw() shows it.
 */
export function lineChart({ label, lines, format, tick = format, max, binary, left = LEFT, hint, onpick, onpoint,
  onzoom }) {
  const plot = h("div", { class: "chart-plot", role: "slider", tabindex: 0,
    "aria-label": hint ? `${label}. ${hint}` : label });
  const words = h("p", { class: "chart-words" });
  const el = h("figure", { class: "chart" }, plot, words);
  const tellLegend = legendOf(el, lines);
  const moveCursor = cursorOf(plot, lines);
  const stage = surface(plot, paint);
  // What is drawn and where: the data, right, floor and ratio of the plot, the sample under the cursor (marked, -1 for
  // none), a moment that stays marked (picked).
  const scene = { ...EMPTY, left, top: 1, marked: -1,
    xOf: (t) => left + (t - scene.from) / (scene.to - scene.from) * (scene.right - left),
    yOf: (value) => scene.floor - clamp(value / scene.top, 0, 1) * (scene.floor - TOP),
    timeAt: (x) => scene.from + clamp((x - left) / (scene.right - left), 0, 1) * (scene.to - scene.from),
  };

  function set(data) {
    Object.assign(scene, EMPTY, data);
    scene.top = max ?? roundUp(Math.max(0, ...scene.lines.map(({ v, high = v }) => summary(high)?.max ?? 0)), binary);
    write(words, lines.map(({ name }, i) => {
      const found = summary(scene.lines[i].v);
      return `${name}: ` + (found ? `lowest ${format(found.min)}, average ${format(found.mean)}, `
        + `highest ${format(found.max)} at ${when(found.maxAt)}.` : "no data.");
    }).join(" "));
    plot.setAttribute("aria-valuemax", Math.max(0, scene.t.length - 1));
    if (scene.marked < scene.t.length) tell();
    else point(-1);
    stage.redraw();
  }

  function paint(context, width, height, ratio) {
    Object.assign(scene, { right: width - RIGHT, floor: height - BOTTOM, ratio });
    context.font = "12px " + token("font");
    drawValueAxis(context, scene, tick);
    drawTimeAxis(context, scene);
    const draw = scene.t.length > DENSE * (scene.right - left) * ratio ? drawDense : drawSparse;
    scene.lines.forEach((line, i) => draw(context, scene, line, lines[i]));
    for (const event of scene.events) drawEvent(context, scene, event);
    if (scene.picked) drawPicked(context, scene);
    moveCursor(scene);
  }

  /** Move the cursor to a sample, -1 takes it away. Nothing is written while it stays on the same one. */
  function point(index) {
    if (index === scene.marked) return;
    scene.marked = index;
    moveCursor(scene);
    tell();
    onpoint?.(scene.t[index]);
  }

  /** Say the values under the cursor, or else the latest. */
  function tell() {
    const at = scene.marked < 0 ? scene.t.length - 1 : scene.marked;
    const time = when(at);
    const values = scene.lines.map(({ v }) => format(v[at]));
    tellLegend(values, scene.marked < 0 ? "latest" : "at " + time);
    plot.setAttribute("aria-valuenow", Math.max(0, at));
    plot.setAttribute("aria-valuetext", at < 0 ? "No data"
      : `${time}: ${lines.map(({ name }, i) => `${name} ${values[i]}`).join(", ")}`);
  }

  function when(index) {
    return momentIn(scene.t[index], scene.from, scene.to);
  }

  watchPlot(plot, scene, {
    point,
    pick: (index) => index >= 0 && onpick?.(scene.t[index]),
    onzoom,
  });
  return {
    ...stage,
    el,
    set,
    /** Put the cursor where another chart of the page has it. */
    pointAt: (t) => point(t ? nearest(scene.t, t) : -1),
    /** Keep a line at this moment (ms), null for none. */
    mark(t) {
      scene.picked = t;
      stage.redraw();
    },
  };
}

/** The colour of what is drawn next. */
function dip(context, tone, alpha = 1) {
  context.strokeStyle = context.fillStyle = token(tone);
  context.globalAlpha = alpha;
}

function drawValueAxis(context, { left, right, top, yOf }, tick) {
  context.textAlign = "right";
  for (const value of valueTicks(top)) {
    const y = Math.round(yOf(value));
    dip(context, "line");
    context.fillRect(left, y, right - left, 1);
    dip(context, "muted");
    context.fillText(tick(value), left - 8, y + 3.6);
  }
}

function drawTimeAxis(context, { left, right, floor, from, to, xOf }) {
  const ahead = zoneMs(to);
  const { step, ticks } = timeTicks(from, to, Math.max(2, (right - left) / TICK_PX), ahead);
  context.textAlign = "center";
  for (const t of ticks) {
    const midnight = (t + ahead) % DAY_MS === 0;
    dip(context, midnight && step < DAY_MS ? "text" : "muted");
    context.fillText(midnight ? day(t) : clock(t), clamp(xOf(t), left + 18, right - 18), floor + 18);
  }
}

/** A polyline over its area; where low and high are known, a band shows what the buckets hide. */
function drawSparse(context, { floor, t, stepMs, xOf, yOf }, { v, low, high = v }, { tone, dashed }) {
  context.lineWidth = 1.75;
  context.lineCap = context.lineJoin = "round";
  context.setLineDash(dashed ? [5, 4] : []);
  for (const [from, to] of runs(t, v, gapLimit(t, stepMs))) {
    const path = new Path2D();
    const area = new Path2D();
    for (let i = from; i < to; i++) {
      path.lineTo(xOf(t[i]), yOf(v[i]));
      area.lineTo(xOf(t[i]), yOf(high[i]));
    }
    for (let i = to - 1; i >= from; i--) area.lineTo(xOf(t[i]), low ? yOf(low[i]) : floor);
    path.lineTo(xOf(t[to - 1]) + 0.1, yOf(v[to - 1]));  // so that a sample alone is a dot
    dip(context, tone, THIN);
    context.fill(area);
    dip(context, tone);
    context.stroke(path);
  }
}

/**
 * More samples than pixels: a hairline for each device column from its least to its greatest value, all in one stroke,
 * and one shape of steps below them for the area. A column reaches back to the last value before it, so that the line
 * does not fall apart. Stroking the zigzag itself costs ten times the raster.
 */
function drawDense(context, { left, right, floor, ratio, t, from, to, yOf }, line, { tone }) {
  const columns = Math.floor((right - left) * ratio);
  const { lows, highs, lasts } = decimate(t, line, from, to, columns);
  const path = new Path2D();
  const area = new Path2D();
  const start = Math.round(left * ratio);
  const bottom = Math.round(floor * ratio);
  area.moveTo(start, bottom);
  for (let i = 0; i < columns; i++) {
    const x = start + i;
    const before = lasts[i - 1];
    const end = Math.ceil(yOf(before < lows[i] ? before : lows[i]) * ratio) + 1;
    path.moveTo(x + 0.5, Math.floor(yOf(before > highs[i] ? before : highs[i]) * ratio));
    path.lineTo(x + 0.5, end);
    area.lineTo(x, end || bottom);  // in a gap it is NaN, which the line leaves out by itself
    area.lineTo(x + 1, end || bottom);
  }
  area.lineTo(start + columns, bottom);
  context.scale(1 / ratio, 1 / ratio);
  dip(context, tone, THIN);
  context.fill(area);
  dip(context, tone);
  context.stroke(path);
  context.scale(ratio, ratio);
}

/** A flag on the upper edge, and a thin line down from it. */
function drawEvent(context, { floor, xOf }, { t, tone }) {
  const x = xOf(t);
  dip(context, tone, 0.5);
  context.fillRect(Math.round(x), TOP, 1, floor - TOP);
  dip(context, tone);
  context.fill(new Path2D(`M${x} ${TOP}l5-9h-10`));
}

function drawPicked(context, { floor, picked, xOf }) {
  dip(context, "text");
  for (let y = TOP; y < floor; y += 5) context.fillRect(Math.round(xOf(picked)), y, 1, 3);
}

/** Above the plot: what each line is, its value, and of when. */
function legendOf(el, lines) {
  const figures = lines.map(() => h("b"));
  const time = h("span", { class: "chart-time" });
  el.prepend(h("figcaption", { class: "chart-legend" }, lines.map(({ name, tone, dashed }, i) => (
    h("span", { class: "chart-key", "data-tone": tone, "data-dashed": dashed }, name, " ", figures[i]))), time));
  return (values, when) => {
    values.forEach((value, i) => write(figures[i], value));
    write(time, when);
  };
}

/** A line and a dot for each series, moved by transform: the canvas is not drawn again. */
function cursorOf(plot, looks) {
  const rule = h("div", { class: "chart-rule" });
  const dots = looks.map(({ tone }) => h("div", { class: "chart-dot", "data-tone": tone }));
  const el = h("div", { class: "chart-cursor", hidden: true }, rule, dots);
  const move = (part, x, y) => vary(part, "transform", `translate(${x}px, ${y}px)`);
  plot.append(el);
  return ({ marked, t, lines, floor, xOf, yOf }) => {
    show(el, marked >= 0);
    if (marked < 0) return;
    move(rule, xOf(t[marked]), TOP);
    vary(rule, "height", floor - TOP + "px");
    dots.forEach((dot, i) => {
      const value = lines[i].v[marked];
      show(dot, value >= 0);
      move(dot, xOf(t[marked]), yOf(value));
    });
  };
}

/**
 * Pointer and keys on the plot: a slider over the samples. A drag with the mouse or a pen marks a span, and its click is
 * no pick; a finger scrolls the page instead.
 */
function watchPlot(plot, scene, { point, pick, onzoom }) {
  const span = h("div", { class: "chart-span", hidden: true });
  let from = NaN;     // where a drag began
  let left = 0;       // and the span that it has marked
  let right = 0;
  const at = (event) => nearest(scene.t, scene.timeAt(event.offsetX));
  const leave = () => point(-1);

  plot.append(span);
  Object.assign(plot, {
    onpointermove(event) {
      left = Math.min(event.offsetX, from);
      right = Math.max(event.offsetX, from);
      show(span, right - left >= DRAG_PX);
      if (!span.hidden) {
        vary(span, "left", left + "px");
        vary(span, "width", right - left + "px");
      }
      point(at(event));
    },
    onpointerleave: leave,
    onblur: leave,
    onpointerdown(event) {
      if (!onzoom || event.pointerType === "touch" || event.button) return;
      from = event.offsetX;
      plot.setPointerCapture(event.pointerId);
    },
    onpointerup() {
      if (!span.hidden) onzoom(scene.timeAt(left), scene.timeAt(right));
      from = NaN;
    },
    onclick(event) {
      if (span.hidden) pick(at(event));
      show(span, false);
    },
    onkeydown(event) {
      const { marked, t } = scene;
      const here = marked < 0 ? t.length : marked;
      const pace = event.shiftKey ? BIG_STEP : 1;
      const targets = { ArrowLeft: here - pace, ArrowRight: here + pace, Home: 0, End: t.length, Escape: -1 };
      if (event.key === "Enter") pick(marked);
      if (!(event.key in targets)) return;
      event.preventDefault();
      if (event.key !== "Escape") point(clamp(targets[event.key], 0, t.length - 1));
      else if (marked < 0) onzoom?.();
      else leave();
    },
  });
}
