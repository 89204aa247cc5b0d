// The table behind a chart: its lines in figures, in equal spans of time.

import { h } from "../dom.js";
import { momentIn } from "../format.js";
import { lowerBound, summary } from "../charts/scale.js";

const ROWS = 24;

/** look: the chart's own {label, lines, format}; set(data) takes what the chart takes. Rows exist only while open. */
export function chartTable({ label, lines, format }) {
  const figures = lines.flatMap(({ name }) => ["lowest", "average", "highest"].map((word) => `${name} ${word}`));
  const body = h("tbody");
  const el = h("details", { class: "chart-table" }, h("summary", {}, "Show as table"),
    h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": `${label} in figures` },
      h("table", { class: "figures" },
        h("caption", { class: "unseen" }, `${label} in equal spans of time`),
        h("thead", {}, h("tr", {}, ["Time", ...figures].map((words) => h("th", { scope: "col" }, words)))),
        body)));
  let data = null;

  function fill() {
    if (!el.open || !data) return;
    body.replaceChildren(...parts(data.t, data.from, data.to, ROWS).map(row));
  }

  function row(part) {
    const values = data.lines.flatMap((line) => {
      const [found, least, most] = [line.v, line.low || line.v, line.high || line.v].map((values) => (
        summary(values.subarray(part.start, part.end))));
      return [least?.min, found?.mean, most?.max];
    });
    const [begin, end] = [part.from, part.to].map((t) => momentIn(t, data.from, data.to));
    return h("tr", {}, h("th", { scope: "row" }, `${begin} to ${end}`),
      values.map((value) => h("td", {}, format(value))));
  }

  el.addEventListener("toggle", fill);
  return {
    el,
    set(next) {
      data = next;
      fill();
    },
  };
}

/** Cut [from, to] into so many equal parts: [{from, to, start, end}] with the samples [start, end) of each. */
export function parts(times, from, to, number) {
  const size = (to - from) / number;
  return Array.from({ length: number }, (_, i) => {
    const begin = from + i * size;
    const end = i === number - 1 ? to + 1 : begin + size;  // the last one holds its end too
    return { from: begin, to: Math.min(end, to), start: lowerBound(times, begin), end: lowerBound(times, end) };
  });
}
