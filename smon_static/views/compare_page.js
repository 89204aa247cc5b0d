// The histories of chosen servers over each other, a line each. State in the query: ids (of the servers), m (what of
// them is shown), h (hours).

import { ApiError, get, hubNow, peek, watch } from "../hub.js";
import { attr, h, icon, keyed, show, write } from "../dom.js";
import {
  HOUR_MS, NONE, count, duration, moment, momentIn, number, parse, percent, plainNumber, rate, rateTick,
} from "../format.js";
import { badge, choice, kindOf, notice, panel, refusal, skeleton } from "../parts.js";
import { query, serverPath } from "../router.js";
import { lineChart } from "../charts/line.js";
import { lowerBound, nearest } from "../charts/scale.js";
import { chartTable } from "./chart_table.js";
import { MOST, choose, chosenIds, fittingIds } from "./compare.js";
import { DEFAULT_HOURS, RANGES } from "./history.js";
import { together } from "./together.js";

const HEARTBEAT = "/api/dashboard?view=summary";  // asked at the page's pace; the histories are asked for with it

const FEW = 3;  // servers of whom a sheet of paper has room for three figures each

/** How values are written, beside the chart and on its axis. */
const SHARE = { max: 100, left: 44, format: (value) => percent(value, 1), tick: percent };
const FLOW = { binary: true, format: rate, tick: rateTick };
const LOAD = { format: (value) => number(value, 2), tick: plainNumber };

/** What can be shown: its name in the query, its words, its member of a history, and those of its range in a bucket. */
const METRICS = [
  { key: "cpu", words: "CPU", field: "cpu_percent", low: "cpu_min", high: "cpu_max", ...SHARE },
  { key: "memory", words: "Memory", field: "memory_percent", low: "memory_min", high: "memory_max", ...SHARE },
  { key: "swap", words: "Swap", field: "swap_percent", ...SHARE },
  { key: "disk", words: "Worst disk", field: "disk_percent", low: "disk_min", high: "disk_max", ...SHARE },
  { key: "load", words: "Load over a minute", field: "load_1", ...LOAD },
  { key: "received", words: "Network received", field: "bytes_recv_per_sec", ...FLOW },
  { key: "sent", words: "Network sent", field: "bytes_sent_per_sec", ...FLOW },
  { key: "read", words: "Disks read", field: "read_bytes_per_sec", ...FLOW },
  { key: "written", words: "Disks written", field: "write_bytes_per_sec", ...FLOW },
];

const metricOf = () => METRICS.find(({ key }) => key === query.get("m")) || METRICS[0];
const hoursOf = () => (RANGES.some(([hours]) => hours === query.get("h")) ? query.get("h") : DEFAULT_HOURS);
const wordsOf = (hours) => RANGES.find(([each]) => each === hours)[1];
const pathOf = (id, hours) => `/api/dashboard/server/${encodeURIComponent(id)}?hours=${hours}`;

export function mount(root) {
  const heading = h("h1", { tabindex: "-1" }, "Histories compared");
  const others = h("a", { class: "button small" }, "Choose others");
  const tooMany = h("p", { class: "callout", role: "status" });
  const none = notice("No servers are chosen", `Tick up to ${MOST} of them in the comparison of the overview.`,
    { actions: [h("a", { class: "button primary", href: "/?view=compare" }, "Choose servers")] });
  const chart = overlay();
  const waiting = skeleton("server", 1);
  let asking = "";     // the question on its way
  let loaded = null;   // what came last: {hours, found: [{id, answer, error}], old: of another question}

  root.append(
    h("nav", { class: "crumbs", "aria-label": "Path" }, h("a", { href: "/" }, "Servers"),
      h("a", { href: "/?view=compare" }, "Compare")),
    h("div", { class: "head-line compare-head" }, heading, others), tooMany, none, waiting, chart.el);
  for (const part of [tooMany, none, chart.el]) show(part, false);

  /** All at once. A question that is on its way is not asked again; the answers to an older one are dropped. */
  async function ask() {
    const [ids, hours] = [fittingIds(), hoursOf()];
    const question = [hours, ...ids].join();
    if (question === asking) return;
    asking = question;
    const found = await Promise.all(ids.map((id) => load(id, hours)));
    if (asking !== question) return;
    asking = "";
    loaded = nothingCame(found) ? kept(loaded, hours, found) : { hours, found };
    draw();
  }

  function draw() {
    const all = chosenIds();
    attr(others, "href", "/?" + new URLSearchParams({ view: "compare", ids: all.join() }));
    show(others, all.length > 0);
    show(tooMany, all.length > MOST);
    write(tooMany, `At most ${MOST} servers fit into one chart: `
      + `the first ${MOST} of the ${all.length} chosen are shown.`);
    show(none, !all.length);
    show(waiting, !loaded);
    show(chart.el, all.length > 0 && loaded !== null);
    if (!loaded) return;
    const found = loaded.found.filter(({ id }) => all.includes(id));  // one that was taken away goes at once
    const known = found.filter(({ answer }) => answer).length;
    document.title = (known ? `${metricOf().words} of ${count(known, "server")}` : "Compare") + " – smon";
    chart.draw({ ...loaded, found });
  }

  query.listen(() => {
    if (loaded) draw();
    ask();
  });
  const watching = watch({ path: () => HEARTBEAT, draw: ask, refuse: (error) => root.replaceChildren(refusal(error)) });
  return () => {
    asking = null;
    watching.stop();
    chart.stop();
  };
}

/** {id, answer, error} of a server. While the hub can not answer, its last answer to the same question stands. */
async function load(id, hours) {
  try {
    return { id, answer: await get(pathOf(id, hours)), error: null };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return { id, answer: error.passing ? peek(pathOf(id, hours)) : null, error };
  }
}

/** Whether the hub could tell of no server at all now, and may do so later. */
function nothingCame(found) {
  return found.every(({ answer }) => !answer) && found.some(({ error }) => error.passing);
}

/** What came last stays, with its own hours. */
function kept(loaded, hours, found) {
  const answers = new Map(loaded?.found.map(({ id, answer }) => [id, answer]));
  return { hours: loaded?.hours ?? hours, old: true,
    found: found.map(({ id, error }) => ({ id, answer: error.passing ? answers.get(id) : null, error })) };
}

/** The panel: what is shown and of which time, the servers with their values at the cursor, the chart, its table. */
function overlay() {
  const title = h("span", {});
  const figure = h("select", { class: "small", "aria-label": "Figure",
    onchange: () => query.set({ m: figure.value === METRICS[0].key ? "" : figure.value }) },
  METRICS.map(({ key, words }) => h("option", { value: key }, words)));
  const range = choice("Time range", RANGES, (hours) => query.set({ h: hours === DEFAULT_HOURS ? "" : hours }));
  const when = h("span", { class: "overlay-time muted" });
  const other = h("p", { class: "callout", role: "status" });  // what is drawn is not of the time that is asked for
  const list = h("ul", { class: "overlay-lines", "aria-label": "Servers" });
  const rows = keyed(list, { server: { make: () => serverRow(emphasise) } });
  const none = h("p", { class: "chart-none muted" });
  const slot = h("div", { class: "overlay-chart" });
  const grain = h("p", { class: "chart-flags" });
  const controls = h("div", { class: "overlay-controls" }, figure, range.el);
  const el = panel(title, { className: "panel-overlay", beside: when, end: controls }, other, list, none, slot, grain);
  let shown = { key: null };  // the chart and the table of what is shown, and the looks of its lines
  let drawn = null;           // what they were drawn from
  let at = -1;                // the point under the cursor
  const names = new Map();    // id -> how the server was called when the hub last told
  const places = new Map();   // id -> the place of its look, which it keeps while others come and go

  function draw({ hours, found, old }) {
    const metric = metricOf();
    const to = hubNow();
    const from = to - Number(hours) * HOUR_MS;
    for (const { id, answer } of found) if (answer) names.set(id, answer.server.display_name);
    settle(places, found.map(({ id }) => id));
    const all = found.map((each) => ({ ...each, name: names.get(each.id), look: lookOf(each.id) }));
    const known = all.filter(({ answer }) => answer);
    const series = known.map(({ answer }) => seriesOf(answer, metric, from, to));
    const common = together(series, from, to);
    const some = common.lines.some(({ v }) => v.some(Number.isFinite));
    drawn = { ...common, from, to, metric, all, lines: new Map(known.map(({ id }, i) => [id, common.lines[i]])),
      newest: new Map(known.map(({ id, answer }, i) => [id, newestOf(answer, metric, series[i])])) };
    write(title, metric.words);
    figure.value = metric.key;
    range.set(hoursOf());
    show(other, known.length > 0 && old && hours !== hoursOf());
    write(other, `The last ${wordsOf(hoursOf())} could not be loaded: these are the last ${wordsOf(hours)}.`);
    attr(el, "data-many", known.length > FEW);
    attr(el, "data-span", `${moment(from, to)} to ${moment(to, NaN)}`);
    for (const part of [when, slot]) show(part, some);
    show(none, known.length > 0 && !some);
    write(none, common.t.length ? "No server reports it in this time." : "There are no samples in this time.");
    write(grain, some && common.averaged ? `Each point is the average of ${duration(common.stepMs / 1000)}.` : "");
    tell();
    setChart(known.map(({ look }) => look), metric, { ...common, from, to });
  }

  /** The chart knows its lines from the start: others need another chart. */
  function setChart(looks, metric, data) {
    const key = JSON.stringify([metric.key, looks]);
    if (key !== shown.key) change(key, looks, metric);
    // The span between lowest and highest of a point stays out of the chart: those of eight lines would hide them all.
    shown.chart.set({ ...data, lines: data.lines.map(({ v }) => ({ v, low: v, high: v })), events: [] });
    shown.table.set(data);
  }

  function change(key, looks, metric) {
    const open = shown.table?.el.open;
    shown.chart?.stop();
    at = -1;
    const lines = looks.map((look) => ({ ...look }));
    const label = `${metric.words} of ${count(lines.length, "server")} over time`;
    const chart = lineChart({ ...metric, label, lines, hint: "Arrow keys step through the points", onpoint });
    const table = chartTable({ label, lines, format: metric.format });
    shown = { key, chart, table, lines, looks };
    slot.replaceChildren(chart.el, table.el);
    table.el.open = Boolean(open);
    tell();
  }

  function onpoint(ms) {
    at = ms === undefined ? -1 : nearest(drawn.t, ms);
    tell();
  }

  /** What each server had at the cursor, or else its own latest, for which the last common point may be no measure. */
  function tell() {
    const { t, from, to, metric, all, lines, newest } = drawn;
    const pointed = at >= 0 && at < t.length;
    write(when, pointed ? `at ${momentIn(t[at], from, to)}` : "latest");
    rows.draw(all.map((each) => {
      const line = lines.get(each.id);
      const value = pointed ? line?.v[at] : newest.get(each.id);
      return { key: each.id, kind: "server", data: { ...each, line, value: metric.format(value) } };
    }));
  }

  /** Let the others fade while one is pointed at: a line is found by its name without its colour. */
  function emphasise(id) {
    const one = shown.lines.find((line) => line.id === id);
    shown.lines.forEach((line, i) => {
      line.tone = !one || line === one ? shown.looks[i].tone : "line";
    });
    shown.chart.redraw();
  }

  /** The place of a server gives it its tone, and every second one dashes. */
  function lookOf(id) {
    const place = places.get(id);
    return { id, name: names.get(id), tone: `line-${place + 1}`, dashed: place % 2 === 1 };
  }

  return { el, draw, stop: () => shown.chart?.stop() };
}

/** Who has a place keeps it, who has gone leaves it, who is new takes the lowest that is free. */
function settle(places, ids) {
  for (const id of places.keys()) if (!ids.includes(id)) places.delete(id);
  for (const id of ids) {
    const taken = [...places.values()];
    if (!places.has(id)) places.set(id, ids.findIndex((_, place) => !taken.includes(place)));
  }
}

/** The newest value of a server: beside averages the last sample's own, which the overview has too, if it has one. */
function newestOf({ metrics, step }, { field }, { t, v }) {
  const own = step && parse(metrics?.timestamp) >= t[0] ? figuresOf(metrics)[field] : NaN;
  return Number.isFinite(own) ? own : v.findLast(Number.isFinite);
}

/** The figures of a sample, called as in a history. */
function figuresOf({ load_average: load, disks, network_rate: network, disk_io_rate: io, ...figures }) {
  const shares = (disks || []).map((disk) => disk.percent).filter(Number.isFinite);
  return { ...figures, ...network, ...io, load_1: load?.[0], disk_percent: Math.max(...shares) };
}

/** The samples of a span as columns; what is not known is NaN. */
function seriesOf({ history, step }, { field, low, high }, from, to) {
  const times = Float64Array.from(history, (row) => parse(row.timestamp));
  const [first, end] = [lowerBound(times, from), lowerBound(times, to + 1)];
  const column = (name) => Float64Array.from(history.slice(first, end), (row) => row[name] ?? NaN);
  const ranges = low && history.length && low in history[0] ? { low: column(low), high: column(high) } : {};
  return { t: times.slice(first, end), v: column(field), ...ranges, stepMs: (step || 0) * 1000 };
}

/** A server: the look of its line, its name, state and value, and what is the matter where it has none. */
function serverRow(emphasise) {
  let id = null;
  const key = h("span", { class: "chart-key" });
  const name = h("a", { class: "name-link" });
  const state = badge();
  const note = h("span", { class: "overlay-note muted" });
  const value = h("b", {});
  const remove = h("button", { type: "button", class: "tool", onclick: takeAway }, icon("add"));
  const calm = () => emphasise(null);
  const el = h("li", { onpointerenter: () => emphasise(id), onpointerleave: calm, onfocusin: () => emphasise(id),
    onfocusout: calm }, key, h("span", { class: "overlay-name" }, name, state.el, note), value, remove);

  function takeAway() {
    const next = el.nextElementSibling || el.previousElementSibling;
    choose(chosenIds(), id, false);
    (next ? next.querySelector("button") : document.querySelector("h1")).focus();
  }

  return {
    el,
    bind({ id: own, answer, error, name: called = own, look, line, value: text }) {
      id = own;
      attr(key, "data-tone", answer && look.tone);
      attr(key, "data-dashed", look.dashed);
      write(name, called);
      attr(name, "href", answer ? serverPath(id) : null);
      const kind = answer ? kindOf(answer.server) : "online";
      show(state.el, kind !== "online");
      state.set(kind);
      write(note, noteOf(answer, error, line));
      write(value, answer ? text : NONE);
      attr(remove, "aria-label", `Take ${called} away`);
      attr(remove, "title", "Take away");
    },
  };
}

function noteOf(answer, error, line) {
  if (error?.status === 404) return "No such server: it may have been removed.";
  if (error) return `${answer ? "Not refreshed" : "Not loaded"}: ${error.message}`;
  if (line.v.some(Number.isFinite)) return "";
  return answer.history.length ? "Does not report it." : "No samples in this time.";
}
