// CPU and memory of a server over time, as a chart and as a table, with the moments at which alerts opened. A click on
// a moment puts it into the query (at), a drag the span that it zooms into (from, to).

import { attr, h, show, write } from "../dom.js";
import { HOUR_MS, count, moment, parse, percent } from "../format.js";
import { hubNow } from "../hub.js";
import { choice, panel } from "../parts.js";
import { query } from "../router.js";
import { lineChart } from "../charts/line.js";
import { lowerBound } from "../charts/scale.js";
import { chartTable } from "./chart_table.js";
import { endOf } from "./moment_slider.js";

export const RANGES = [
  ["6", "6 h"], ["12", "12 h"], ["24", "24 h"], ["48", "48 h"], ["72", "72 h"], ["168", "7 d"], ["720", "30 d"],
];
export const DEFAULT_HOURS = "24";
const LINES = [
  { name: "CPU", tone: "cpu", field: "cpu_percent", low: "cpu_min", high: "cpu_max" },
  { name: "Memory", tone: "memory", field: "memory_percent", low: "memory_min", high: "memory_max", dashed: true },
];
const LOOK = { label: "CPU and memory over time", lines: LINES, format: (value) => percent(value, 1), tick: percent,
  max: 100, left: 44, hint: "Arrow keys step through the samples, Enter shows the processes of that moment" };
const TONES = { critical: "crit", warning: "warn" };
const RESTART = "reboot";  // the rule whose alerts say that the machine was started anew
const iso = (ms) => new Date(ms).toISOString();

/** What the hub is asked for a history: the last hours, or those around what is zoomed into, which has finer points. */
export function historyQuestion() {
  const params = new URLSearchParams({ hours: query.get("h", DEFAULT_HOURS) });
  const zoomed = zoom();
  if (zoomed) {
    params.set("hours", Math.ceil((zoomed.to - zoomed.from) / HOUR_MS));
    params.set("until", iso(zoomed.to));
  }
  if (query.get("at")) params.set("at", query.get("at"));
  return params;
}

/** below: a part between chart and table that is set with the chart's data; low: the chart is a strip. */
export function history({ title = "History", ranges = RANGES, below = null, low = false } = {}) {
  const pickHours = (hours) => query.set({ h: hours === DEFAULT_HOURS ? "" : hours, from: "", to: "" });
  const range = choice("Time range", ranges, pickHours);
  const unzoom = () => query.set({ from: "", to: "" });
  const back = h("button", { type: "button", class: "button small", onclick: unzoom }, "Zoom out");
  const none = h("p", { class: "chart-none muted" }, "There are no samples in this time.");
  const flags = h("p", { class: "chart-flags" });
  const chart = lineChart({ ...LOOK,
    onpick: (ms) => query.set({ at: endOf(ms, stepMs) }),
    onzoom: (from, to) => (from ? query.set({ from: iso(from), to: iso(to) }) : unzoom()) });
  const shown = h("div", {}, chart.el, below && below.el, flags);
  const table = chartTable(LOOK);
  const el = panel(title, { className: low ? "panel-history low" : "panel-history", beside: back, end: range.el },
    none, shown, table.el);
  let latest = null;
  let stepMs = 0;

  function draw(answer) {
    latest = answer;
    const hours = query.get("h", DEFAULT_HOURS);
    range.set(hours);
    const data = columns(answer, zoom() || { from: hubNow() - Number(hours) * HOUR_MS, to: hubNow() });
    stepMs = data.stepMs;
    attr(el, "data-span", `${moment(data.from, data.to)} to ${moment(data.to, NaN)}`);
    show(back, Boolean(query.get("from")));
    show(none, !data.t.length);
    show(shown, data.t.length > 0);
    show(table.el, data.t.length > 0);
    chart.set(data);
    chart.mark(query.get("at") ? parse(query.get("at")) : null);
    below?.set(data);
    table.set(data);
    write(flags, flagWords(data.events));
  }

  query.listen(() => {
    range.set(query.get("h", DEFAULT_HOURS));
    if (latest) draw(latest);
  });
  return { el, draw, stop: chart.stop };
}

function flagWords(events) {
  const restarts = events.filter((event) => event.restart).length;
  const alerts = events.length - restarts;
  const words = [alerts && `${count(alerts, "alert")} opened`, restarts && count(restarts, "restart")].filter(Boolean);
  return words.length ? `▼ ${words.join(", ")} in this time` : "";
}

/** What is zoomed into, null for nothing. */
function zoom() {
  const [from, to] = [parse(query.get("from")), parse(query.get("to"))];
  return from < to ? { from, to } : null;
}

/** The answer's rows of a span as columns; what is not known is NaN. */
function columns({ history: all, step, alerts }, { from, to }) {
  const times = Float64Array.from(all, (row) => parse(row.timestamp));
  const rows = all.slice(lowerBound(times, from), lowerBound(times, to + 1));
  const events = alerts.map(({ timestamp, severity, alert_type: rule }) => (
    { t: parse(timestamp), tone: TONES[severity] || "link", restart: rule === RESTART }))
    .filter(({ t }) => t >= from && t <= to);
  const column = (field) => Float64Array.from(rows, (row) => row[field] ?? NaN);
  const lines = LINES.map((line) => (rows.length && line.high in rows[0]
    ? { v: column(line.field), low: column(line.low), high: column(line.high) }
    : { v: column(line.field) }));
  return { t: Float64Array.from(rows, (row) => parse(row.timestamp)), lines, from, to, stepMs: (step || 0) * 1000,
    events };
}
