// CPU and memory of a server over time, as a chart and as a table, with the moments at which alerts opened. A click on
// a moment puts it into the query (at), a drag the span that it zooms into (from, to).

import { h, show } from "../dom.js";
import { moment, parse, percent } from "../format.js";
import { hubNow } from "../hub.js";
import { choice, panel } from "../parts.js";
import { query } from "../router.js";
import { lineChart } from "../charts/line.js";
import { lowerBound, parts, summary } from "../charts/scale.js";

const RANGES = [
  ["6", "6 h"], ["12", "12 h"], ["24", "24 h"], ["48", "48 h"], ["72", "72 h"], ["168", "7 d"], ["720", "30 d"],
];
export const DEFAULT_HOURS = "24";
const TABLE_ROWS = 24;
const LINES = [
  { name: "CPU", tone: "cpu", field: "cpu_percent", low: "cpu_min", high: "cpu_max" },
  { name: "Memory", tone: "memory", field: "memory_percent", low: "memory_min", high: "memory_max", dashed: true },
];

export function history() {
  const pickHours = (hours) => query.set({ h: hours === DEFAULT_HOURS ? "" : hours, from: "", to: "" });
  const range = choice("Time range", RANGES, pickHours);
  const unzoom = () => query.set({ from: "", to: "" });
  const back = h("button", { type: "button", class: "button small", onclick: unzoom }, "Zoom out");
  const none = h("p", { class: "chart-none muted" }, "There are no samples in this time.");
  const chart = lineChart({
    label: "CPU and memory over time",
    hint: "Arrow keys step through the samples, Enter shows the processes of that moment",
    lines: LINES,
    format: (value) => percent(value, 1),
    tick: percent,
    max: 100,
    onpick: (ms) => query.set({ at: new Date(ms).toISOString() }),
    onzoom: (from, to) => (from ? query.set({ from: iso(from), to: iso(to) }) : unzoom()),
  });
  const table = tableBehind();
  let latest = null;

  function draw(answer) {
    latest = answer;
    const hours = query.get("h", DEFAULT_HOURS);
    range.set(hours);
    const data = columns(answer, span(Number(hours)));
    show(back, Boolean(query.get("from")));
    show(none, !data.t.length);
    show(chart.el, data.t.length > 0);
    show(table.el, data.t.length > 0);
    chart.set(data);
    chart.mark(query.get("at") ? parse(query.get("at")) : null);
    table.set(data);
  }

  query.listen(() => {
    range.set(query.get("h", DEFAULT_HOURS));
    if (latest) draw(latest);
  });
  return {
    el: panel("History", { className: "panel-history", beside: back, end: range.el }, none, chart.el, table.el),
    draw,
    stop: chart.stop,
  };
}

const iso = (ms) => new Date(ms).toISOString();
const TONES = { critical: "crit", warning: "warn" };

/** What is zoomed into, else the last hours. */
function span(hours) {
  const [from, to] = [parse(query.get("from")), parse(query.get("to"))];
  return from < to ? { from, to } : { from: hubNow() - hours * 3600000, to: hubNow() };
}

/** The answer's rows of a span as columns; what is not known is NaN. */
function columns({ history: all, step, alerts }, { from, to }) {
  const times = Float64Array.from(all, (row) => parse(row.timestamp));
  const rows = all.slice(lowerBound(times, from), lowerBound(times, to + 1));
  const events = alerts.map((alert) => ({ t: parse(alert.timestamp), tone: TONES[alert.severity] || "muted" }))
    .filter(({ t }) => t >= from && t <= to);
  const column = (field) => Float64Array.from(rows, (row) => row[field] ?? NaN);
  const lines = LINES.map((line) => (rows.length && line.high in rows[0]
    ? { v: column(line.field), low: column(line.low), high: column(line.high) }
    : { v: column(line.field) }));
  return { t: Float64Array.from(rows, (row) => parse(row.timestamp)), lines, from, to, stepMs: (step || 0) * 1000,
    events };
}

/** The same data in figures; its rows are made only while it is open. */
function tableBehind() {
  const body = h("tbody");
  const figures = LINES.flatMap(({ name }) => ["lowest", "average", "highest"].map((word) => `${name} ${word}`));
  const titles = ["Time", ...figures];
  const el = h("details", { class: "chart-table" }, h("summary", {}, "Show as table"),
    h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "CPU and memory in figures" },
      h("table", { class: "figures" },
        h("caption", { class: "unseen" }, "CPU and memory in equal spans of time"),
        h("thead", {}, h("tr", {}, titles.map((words) => h("th", { scope: "col" }, words)))),
        body)));
  let data = null;
  const fill = () => {
    if (!el.open || !data) return;
    body.replaceChildren(...parts(data.t, data.from, data.to, TABLE_ROWS).map((part) => row(part, data)));
  };
  el.addEventListener("toggle", fill);
  return {
    el,
    set(next) {
      data = next;
      fill();
    },
  };
}

function row(part, data) {
  const figures = data.lines.flatMap((line) => {
    const found = summary(line.v, part.start, part.end);
    const least = line.low ? summary(line.low, part.start, part.end) : found;
    const most = line.high ? summary(line.high, part.start, part.end) : found;
    return [least?.min, found?.mean, most?.max];
  });
  const span = `${moment(part.from, data.to)} to ${moment(part.to, data.to)}`;
  return h("tr", {}, h("th", { scope: "row" }, span), figures.map((value) => h("td", {}, percent(value, 1))));
}
