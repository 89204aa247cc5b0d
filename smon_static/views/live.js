// The performance of one server, near-live: tiles, charts, cores, the benchmark's ranges. Asks only for what is new.
// State in the query: w (minutes shown), r (seconds between two questions), b (minutes of the benchmark), d (the unit
// of the disk chart).

import { ApiError, get, hubNow, watch } from "../hub.js";
import { h, icon, keyed, reicon, show, write } from "../dom.js";
import { NONE, bytes, count, number, parse, percent, plainNumber, rate, rateTick } from "../format.js";
import { age, bar, choice, kindOf, notice, panel, refusal, setAge, skeleton } from "../parts.js";
import { query } from "../router.js";
import { lineChart } from "../charts/line.js";
import { chartTable } from "./chart_table.js";
import { benchmark } from "./benchmark.js";
import { serverHead } from "./server_head.js";
import { SWAP_LIMIT, figureTile, shareTile } from "./tiles.js";

const WINDOWS = ["1", "2", "5", "10", "15", "30"].map((minutes) => [minutes, minutes + " min"]);
const PACES = ["2", "5", "10"].map((seconds) => [seconds, seconds + " s"]);
const DEFAULTS = { w: "5", r: "5", b: "30", d: "Bytes" };
const INTRODUCE_MS = 30000;  // how often name, state and thresholds are asked for

const perSecondOf = (value) => (Number.isFinite(value) ? number(value, value < 10 ? 1 : 0) + "/s" : NONE);

/** The charts: which lines, where each value lies in a sample, how it is written. Those with a unit share a panel. */
const CHARTS = [
  { label: "CPU, memory and swap", max: 100, format: (value) => percent(value, 1), tick: percent, lines: [
    { name: "CPU", tone: "cpu", read: (row) => row.cpu_percent },
    { name: "Memory", tone: "memory", read: (row) => row.memory_percent, dashed: true },
    { name: "Swap", tone: "swap", read: (row) => row.swap_percent, dashed: true }] },
  { label: "Network", binary: true, format: rate, tick: rateTick, lines: [
    { name: "Received", tone: "received", read: (row) => row.network_rate?.bytes_recv_per_sec },
    { name: "Sent", tone: "sent", read: (row) => row.network_rate?.bytes_sent_per_sec, dashed: true }] },
  { label: "Disk I/O", unit: "Bytes", binary: true, format: rate, tick: rateTick, lines: [
    { name: "Read", tone: "read", read: (row) => row.disk_io_rate?.read_bytes_per_sec },
    { name: "Written", tone: "written", read: (row) => row.disk_io_rate?.write_bytes_per_sec, dashed: true }] },
  { label: "Disk I/O", unit: "Operations", format: perSecondOf, tick: plainNumber, lines: [
    { name: "Reads", tone: "read", read: (row) => row.disk_io_rate?.read_count_per_sec },
    { name: "Writes", tone: "written", read: (row) => row.disk_io_rate?.write_count_per_sec, dashed: true }] },
];

/** The tiles: how each is made, and what it shows of the newest sample. */
const TILES = [
  [() => shareTile("CPU", "cpu"), (row, server) => share(row.cpu_percent, server?.alert_cpu_threshold,
    row.cpu_freq_mhz ? `${number(row.cpu_freq_mhz / 1000, 2)} GHz` : "")],
  [() => shareTile("Memory", "memory"), (row, server) => share(row.memory_percent, server?.alert_memory_threshold,
    `${bytes(row.memory_used)} used`)],
  [() => shareTile("Swap", "swap"), (row) => share(row.swap_percent, SWAP_LIMIT, `${bytes(row.swap_used)} used`)],
  [() => figureTile("Network"), ({ network_rate: flow }) => [
    ["Received", rate(flow?.bytes_recv_per_sec)],
    ["Sent", rate(flow?.bytes_sent_per_sec)],
    ["Packets", perSecond(flow?.packets_recv_per_sec, flow?.packets_sent_per_sec)]]],
  [() => figureTile("Disk I/O"), ({ disk_io_rate: flow }) => [
    ["Read", rate(flow?.read_bytes_per_sec)],
    ["Written", rate(flow?.write_bytes_per_sec)],
    ["Operations", perSecond(flow?.read_count_per_sec, flow?.write_count_per_sec)]]],
  [() => figureTile("Running"), (row) => [
    ["Processes", number(row.process_count)],
    ["Threads", number(row.thread_count)],
    ["Handles", number(row.handle_count)]]],
];

function share(value, limit, detail) {
  return { value, limit, detail };
}

function perSecond(one, other) {
  const known = Number.isFinite(one) && Number.isFinite(other);
  return known ? number(one + other) + "/s" : NONE;
}

function option(name) {
  return query.get(name, DEFAULTS[name]);
}

export function mount(root, { id }) {
  const address = "/api/dashboard/server/" + id;
  const top = serverHead(id, "/performance");
  const controls = controlBar(toggle);
  const tiles = TILES.map(([make, read]) => ({ ...make(), read }));
  const charts = chartPanels();
  const cores = corePanel();
  const ranges = benchmark((minutes) => query.set({ b: minutes === DEFAULTS.b ? "" : minutes }));
  const figures = h("div", {},
    h("section", { class: "gauges", "aria-label": "Figures now" }, tiles.map((tile) => tile.el)),
    h("div", { class: "panels" },
      h("div", { class: "panel-column" }, charts.els),
      h("div", { class: "panel-column" }, cores.el, ranges.el)));
  const none = noLiveData(id);
  const waiting = skeleton("server", 6);
  const body = h("div", { class: "detail" }, controls.el, none.el, figures);
  let samples = [];
  let server = null;
  let asked = "";     // the window that samples belong to
  let watching = null;
  let introducedAt = 0;

  root.append(top.el, waiting, body);
  show(body, false);

  function path() {
    const params = new URLSearchParams({ minutes: option("w"), benchmark: option("b") });
    if (asked === option("w") && samples.length) params.set("since", samples[samples.length - 1].timestamp);
    return `${address}/live?${params}`;
  }

  function draw(answer) {
    if (asked !== option("w")) samples = [];
    asked = option("w");
    const oldest = hubNow() - Number(asked) * 60000;
    samples = [...samples, ...answer.metrics].filter((row) => parse(row.timestamp) >= oldest);
    show(waiting, false);
    show(body, true);
    ranges.draw(answer.benchmark, option("b"));
    drawSamples();
    if (hubNow() - introducedAt > INTRODUCE_MS) introduce();
  }

  function drawSamples() {
    const latest = samples[samples.length - 1];
    show(none.el, !latest);
    show(figures, Boolean(latest));
    setControls();
    if (!latest) return;
    for (const tile of tiles) tile.set(tile.read(latest, server));
    charts.draw(samples, Number(asked));
    cores.draw(latest.cpu_per_core || []);
  }

  function setControls() {
    const offline = server !== null && kindOf(server) === "offline";
    controls.set({ paused: !watching, offline, latest: samples[samples.length - 1] });
    none.set(offline && server.last_seen_at);
  }

  function resume() {
    watching = watch({ path, draw, refuse, seconds: () => Number(option("r")), fresh: true });
  }

  function toggle() {
    if (watching) {
      watching.stop();
      watching = null;
    } else {
      resume();
    }
    setControls();
  }

  function refuse(error) {
    watching.stop();
    root.replaceChildren(refusal(error));
  }

  async function introduce() {
    introducedAt = hubNow();
    try {
      const answer = await get(address + "?hours=1");
      server = answer.server;
      top.draw(answer);
      drawSamples();  // which are judged by this server's thresholds
      document.title = `${server.display_name} – Performance – smon`;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;  // the poller below meets the same refusal and shows it
    }
  }

  function onkey(event) {
    if (event.key !== " " || event.target.closest("button, a, input, select, summary, [role=slider]")) return;
    event.preventDefault();
    toggle();
  }

  document.addEventListener("keydown", onkey);
  query.listen(() => {
    setControls();
    watching?.now();
  });
  resume();
  return () => {
    document.removeEventListener("keydown", onkey);
    watching?.stop();
    charts.stop();
  };
}

/** Whether samples come, how old the newest sample is, and how much and how often is asked. */
function controlBar(toggle) {
  const state = h("span", { class: "live-state" });
  const seen = age("muted");
  const mark = icon("pause");
  const word = h("span", {});
  const button = h("button", { type: "button", class: "button small", title: "Space", onclick: toggle }, mark, word);
  const span = choice("Time shown", WINDOWS, (value) => query.set({ w: value === DEFAULTS.w ? "" : value }));
  const pace = choice("Refresh every", PACES, (value) => query.set({ r: value === DEFAULTS.r ? "" : value }));
  return {
    el: h("div", { class: "toolbar live-bar" }, state, seen, button, h("div", { class: "end" }, span.el, pace.el)),
    set({ paused, offline, latest }) {
      const live = Boolean(latest) && !offline;
      write(state, paused ? "Paused" : live ? "Live" : offline ? "Offline" : "No live data");
      state.dataset.paused = paused || !live;  // the mark moves only while samples come
      write(word, paused ? "Resume" : "Pause");
      reicon(mark, paused ? "play" : "pause");
      show(seen, Boolean(latest));
      if (latest) setAge(seen, latest.timestamp, "sample ");
      span.set(option("w"));
      pace.set(option("r"));
    },
  };
}

function chartPanels() {
  const charts = CHARTS.map((look) => (
    { lines: look.lines, chart: lineChart({ ...look, onpoint }), table: chartTable(look) }));

  /** All charts of the page share the cursor's moment. */
  function onpoint(t) {
    for (const { chart } of charts) chart.pointAt(t);
  }

  const units = choice("Unit", CHARTS.filter(({ unit }) => unit).map(({ unit }) => [unit, unit]),
    (unit) => query.set({ d: unit === DEFAULTS.d ? "" : unit }));
  const bodies = CHARTS.map((look, i) => h("div", {}, charts[i].chart.el, charts[i].table.el));

  function showUnit() {
    units.set(option("d"));
    CHARTS.forEach(({ unit }, i) => show(bodies[i], !unit || unit === option("d")));
  }

  query.listen(showUnit);
  showUnit();
  const shared = CHARTS.findIndex(({ unit }) => unit);
  return {
    els: [...bodies.slice(0, shared).map((body, i) => panel(CHARTS[i].label, { className: "panel-live" }, body)),
      panel(CHARTS[shared].label, { className: "panel-live", end: units.el }, bodies.slice(shared))],
    draw(samples, minutes) {
      const t = Float64Array.from(samples, (row) => parse(row.timestamp));
      const to = hubNow();
      for (const { lines, chart, table } of charts) {
        const columns = lines.map(({ read }) => ({ v: Float64Array.from(samples, (row) => read(row) ?? NaN) }));
        const data = { t, lines: columns, from: to - minutes * 60000, to, stepMs: 0 };
        chart.set(data);
        table.set(data);
      }
    },
    stop: () => charts.forEach(({ chart }) => chart.stop()),
  };
}

function corePanel() {
  const body = h("div", { class: "cores" });
  const size = h("span", { class: "muted" });
  const lines = keyed(body, { core: { make: coreLine } });
  return {
    el: panel("Cores", { beside: size }, body),
    draw(cores) {
      write(size, count(cores.length, "core"));
      lines.draw(cores.map((value, index) => (
        { key: String(index), kind: "core", data: { value, name: "Core " + index } })));
    },
  };
}

function coreLine() {
  const meter = bar("cpu");
  return { el: meter.el, bind: ({ name, value }) => meter.set(name, value) };
}

/** In the place of the figures. set(lastSeen): when an offline server was last seen, false for any other. */
function noLiveData(id) {
  const off = notice("No live data", "This server's agent has sent no near-live samples in the time shown. "
    + "They are off unless its configuration turns them on:",
  { actions: [h("a", { class: "button", href: `/servers/${id}/settings` }, "Settings of its agent")] });
  off.querySelector("p").append(" ", h("code", {}, "\"live_enabled\": true"));
  const seen = age();
  const gone = notice("No live data", "This server is offline");
  gone.querySelector("p").append(seen, ".");
  return {
    el: h("div", {}, off, gone),
    set(lastSeen) {
      show(off, lastSeen === false);
      show(gone, lastSeen !== false);
      if (lastSeen !== false) setAge(seen, lastSeen, ": it was last seen ");
    },
  };
}
