// CPU and memory of a server over time, as a chart and as a table. A click on a moment puts it into the query (at).

import { hubNow } from "../api.js";
import { h, show } from "../dom.js";
import { moment, parse, percent } from "../format.js";
import { choice, panel } from "../parts.js";
import { query } from "../router.js";
import { lineChart } from "../charts/line.js";
import { parts, summary } from "../charts/scale.js";

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
  const range = choice("Time range", RANGES, (hours) => query.set({ h: hours === DEFAULT_HOURS ? "" : hours }));
  const none = h("p", { class: "chart-none muted" }, "There are no samples in this time.");
  const chart = lineChart({
    label: "CPU and memory over time",
    hint: "Arrow keys step through the samples, Enter shows the processes of that moment",
    lines: LINES,
    format: (value) => percent(value, 1),
    tick: percent,
    max: 100,
    onpick: (ms) => query.set({ at: new Date(ms).toISOString() }),
  });
  const table = tableBehind();
  let latest = null;

  function draw(answer) {
    latest = answer;
    const hours = query.get("h", DEFAULT_HOURS);
    range.set(hours);
    const data = columns(answer, Number(hours));
    show(none, !data.t.length);
    show(chart.el, data.t.length > 0);
    show(table.el, data.t.length > 0);
    chart.set(data);
    chart.mark(query.get("at") ? parse(query.get("at")) : null);
    table.set(data);
  }

  query.listen(() => {
    range.set(query.get("h", DEFAULT_HOURS));
    if (latest) chart.mark(query.get("at") ? parse(query.get("at")) : null);
  });
  return {
    el: panel("History", { className: "panel-history", end: range.el }, none, chart.el, table.el),
    draw,
    stop: chart.stop,
  };
}

/** The answer's rows as columns; what is not known is NaN. */
function columns({ history: rows, step }, hours) {
  const to = hubNow();
  const from = to - hours * 3600000;
  const column = (field) => Float64Array.from(rows, (row) => row[field] ?? NaN);
  const lines = LINES.map((line) => (rows.length && line.high in rows[0]
    ? { v: column(line.field), low: column(line.low), high: column(line.high) }
    : { v: column(line.field) }));
  return { t: Float64Array.from(rows, (row) => parse(row.timestamp)), lines, from, to, stepMs: (step || 0) * 1000 };
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
