// The benchmark of a server: least, mean, 95th percentile and greatest value over some minutes, as ranges and figures.

import { h, show, vary, write } from "../dom.js";
import { count, number, percent } from "../format.js";
import { choice, panel } from "../parts.js";

const PERIODS = ["5", "15", "30", "60"].map((minutes) => [minutes, minutes + " min"]);

/** key: the prefix of its members in the answer; top: the end of its scale, or null for its own greatest value. */
const SUBJECTS = [
  { key: "cpu", name: "CPU", tone: "cpu", top: 100, format: (value) => percent(value, 1) },
  { key: "mem", name: "Memory", tone: "memory", top: 100, format: (value) => percent(value, 1) },
  { key: "swap", name: "Swap", tone: "swap", top: 100, format: (value) => percent(value, 1) },
  { key: "proc", name: "Processes", tone: "received", top: null, format: number },
  { key: "thread", name: "Threads", tone: "sent", top: null, format: number },
];

/** draw(benchmark, minutes); onpick hears of another period. */
export function benchmark(onpick) {
  const period = choice("Benchmark period", PERIODS, onpick);
  const size = h("span", { class: "muted" });
  const ranges = SUBJECTS.map(range);
  const none = h("p", { class: "muted" }, "No live samples in this time.");
  const body = h("div", { class: "ranges" }, ranges.map((each) => each.el));
  return {
    el: panel("Benchmark", { beside: size, end: period.el }, none, body),
    draw(figures, minutes) {
      period.set(minutes);
      write(size, count(figures.sample_count, "sample"));
      show(none, !figures.sample_count);
      show(body, figures.sample_count > 0);
      for (const each of ranges) each.set(figures);
    },
  };
}

function range({ key, name, tone, top, format }) {
  const labels = [["min", "Lowest"], ["avg", "Average"], ["p95", "p95"], ["max", "Highest"]];
  const values = labels.map(() => h("dd", {}));
  const spread = h("div", { class: "range-bar", "data-tone": tone, "aria-hidden": "true" });
  const el = h("div", { class: "range" }, h("h3", {}, name), spread,
    h("dl", { class: "range-figures" }, labels.map(([, word], i) => h("div", {}, h("dt", {}, word), values[i]))));
  return {
    el,
    set(figures) {
      const share = (word) => (figures[`${key}_${word}`] ?? 0) / ((top ?? figures[key + "_max"]) || 1) * 100;
      show(el, figures[key + "_avg"] !== null && figures[key + "_avg"] !== undefined);
      labels.forEach(([word], i) => write(values[i], format(figures[`${key}_${word}`])));
      for (const word of ["min", "avg", "max"]) vary(spread, "--" + word, share(word).toFixed(2));
    },
  };
}
