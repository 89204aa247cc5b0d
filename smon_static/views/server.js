// The page of one server: what it is, what is wrong with it, its figures now and over time, its processes and services.
// State in the query: h (hours of history), at (the moment whose processes are shown).

import { ApiError, get, hubNow, refresh, send } from "../hub.js";
import { attr, h, icon, keyed, show, vary, write } from "../dom.js";
import { DEFAULT_LIMIT, bytes, count, duration, number, parse, percent, rate, roughly } from "../format.js";
import {
  KINDS, age, asOf, badge, bar, kindOf, oldSince, panel, setAge, setSentence, setSeverity, worstFirst,
} from "../parts.js";
import { history, historyQuestion } from "./history.js";
import { processes } from "./processes.js";
import { serverPage } from "./server_page.js";
import { services } from "./services.js";
import { SWAP_LIMIT, figureTile, shareTile } from "./tiles.js";

const PROCESSES_SHOWN = 10;
const SERVICES_SHOWN = 6;
const FORESEE_MS = 3600000;    // the hub looks ahead once an hour
const FAR_HOURS = 90 * 24;     // what is further away than this is no forecast
const CYCLES_LATE = 3;         // a sample older than so many cycles is told to be old

export function mount(root, { id }) {
  const address = "/api/dashboard/server/" + id;
  const sections = [callouts(address), alerts(), gauges()];
  const columns = [
    [history(), processes({ short: PROCESSES_SHOWN })],
    [disks(address), services({ short: SERVICES_SHOWN })],
  ];
  const body = h("div", { class: "detail" }, sections.map((each) => each.el), h("div", { class: "panels" },
    columns.map((column) => h("div", { class: "panel-column" }, column.map((each) => each.el)))));
  return serverPage(root, id, { tab: "", word: ({ server }) => KINDS[kindOf(server)].word, question: historyQuestion,
    parts: [...sections, ...columns.flat()], body });
}

/** What stands in the way of trusting the figures: not approved, in maintenance, silent, or trouble in the agent. */
function callouts(address) {
  const el = h("div", { class: "callouts" });
  let shown = "";
  return {
    el,
    draw({ server, metrics }) {
      const found = [approval(server, address), upkeep(server), twins(server), silence(server, metrics),
        complaint(server.agent)].filter(Boolean);
      show(el, found.length > 0);
      const text = found.map((each) => each.textContent).join("\n");
      if (text === shown) return;  // a button that is being pressed stays the same button
      shown = text;
      el.replaceChildren(...found);
    },
  };
}

function callout(kind, symbol, ...content) {
  return h("div", { class: "callout", "data-kind": kind }, icon(symbol), h("div", {}, content));
}

function approval(server, address) {
  if (!server.flags.includes("pending")) return null;
  const problem = h("p", { class: "problem", role: "alert" });
  const approve = async () => {
    try {
      await send("PATCH", address, { approved: true });
      refresh();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      write(problem, error.message);
    }
  };
  return callout("waiting", "waiting",
    h("p", {}, "This server waits for approval: its samples are kept, but it counts nowhere and alerts nobody."),
    h("button", { type: "button", class: "button small primary", onclick: approve }, "Approve"), problem);
}

function upkeep(server) {
  if (!server.flags.includes("maintenance")) return null;
  return callout("waiting", "pause", h("p", {}, "In maintenance: alerts are recorded, but nobody is told."));
}

function twins(server) {
  if (!server.flags.includes("clone_suspected")) return null;
  return callout("warning", "warning", h("p", {},
    "Two machines seem to send with this server's key, as copies of one disk do. Give one of them a key of its own."));
}

function silence(server, metrics) {
  if (!metrics) {
    return callout("waiting", "waiting",
      h("p", {}, "No sample has arrived yet. The agent sends its first one within its collection interval."));
  }
  const taken = age();
  setAge(taken, metrics.timestamp);
  if (kindOf(server) === "offline") {
    return callout("offline", "offline",
      h("p", {}, "This server is silent. The figures below are its last ones, taken ", taken, "."));
  }
  const minutes = server.agent?.interval_minutes || server.collection_interval;
  if (hubNow() - parse(metrics.timestamp) < CYCLES_LATE * minutes * 60000) return null;
  return callout("waiting", "waiting",
    h("p", {}, "This server reports, but its newest sample was taken ", taken, ": the figures below are as old."));
}

function complaint(agent) {
  if (!agent) return null;
  const lines = Object.entries(agent.errors || {}).map(([collector, sentence]) => `${collector}: ${sentence}`);
  const ahead = agent.clock_ahead_seconds;
  if (ahead) lines.push(`Its clock is ${duration(ahead)} ahead: its samples bear the time of their arrival.`);
  if (agent.buffered > 0) lines.push(`${count(agent.buffered, "sample")} from an outage still to be sent.`);
  if (agent.dropped > 0) lines.push(`${count(agent.dropped, "sample")} did not fit into its spool and are lost.`);
  if (!lines.length) return null;
  return callout("warning", "warning",
    h("p", {}, "The agent reports:"), h("ul", {}, lines.map((line) => h("li", {}, line))));
}

/** The rules whose alerts say less than the complaint above them does, and when it does. */
const TOLD_ABOVE = {
  agent: ({ errors }) => Object.keys(errors || {}).length > 0,
  clock_skew: ({ clock_ahead_seconds: ahead }) => Boolean(ahead),
};

function alerts() {
  const el = h("ul", { class: "alerts", "aria-label": "Open alerts" });
  const lines = keyed(el, { alert: { make: alertLine } });
  return {
    el,
    draw(answer) {
      const told = Object.keys(TOLD_ABOVE).filter((rule) => TOLD_ABOVE[rule](answer.server.agent || {}));
      const open = worstFirst(answer.alerts.filter((alert) => !alert.resolved_at && alert.state !== "resolved"
        && !told.includes(alert.alert_type)));
      show(el, open.length > 0);
      lines.draw(open.map((alert) => ({ key: String(alert.id), kind: "alert", data: alert })));
    },
  };
}

function alertLine() {
  const state = badge();
  const message = h("a", { class: "alert-message" });
  const since = age("muted");
  const seen = h("span", { class: "chip" }, "Acknowledged");
  const el = h("li", { class: "alert" }, state.el, message, since, seen);
  return {
    el,
    bind(alert) {
      attr(el, "data-kind", setSeverity(state, alert.severity));
      setSentence(message, alert.message);
      attr(message, "href", location.pathname + "/alerts");
      setAge(since, alert.timestamp);
      show(seen, Boolean(alert.is_acknowledged));
    },
  };
}

function gauges() {
  const tiles = [
    [shareTile("CPU", "cpu"), cpuOf], [shareTile("Memory", "memory"), memoryOf], [shareTile("Swap", "swap"), swapOf],
    [figureTile("Load"), loadOf], [figureTile("Network"), networkOf], [figureTile("Disk I/O"), diskOf],
  ];
  const el = h("section", { class: "gauges", "aria-label": "Figures now" }, tiles.map(([tile]) => tile.el));
  return {
    el,
    draw({ server, metrics }) {
      show(el, Boolean(metrics));
      attr(el, "data-old", Boolean(oldSince({ server, metrics })));
      if (metrics) for (const [tile, read] of tiles) tile.set(read(metrics, server));
    },
  };
}

function cpuOf(metrics, server) {
  const detail = metrics.cpu_count ? count(metrics.cpu_count, "core") : "";
  return { value: metrics.cpu_percent, limit: server.alert_cpu_threshold, detail };
}

function memoryOf(metrics, server) {
  const detail = usedOf(metrics.memory_used, metrics.memory_total);
  return { value: metrics.memory_percent, limit: server.alert_memory_threshold, detail };
}

function swapOf(metrics) {
  if (metrics.swap_total === 0) return { value: null, detail: "No swap" };
  return { value: metrics.swap_percent, limit: SWAP_LIMIT, detail: usedOf(metrics.swap_used, metrics.swap_total) };
}

function usedOf(used, total) {
  return total ? `${bytes(used)} of ${bytes(total)}` : "";
}

function loadOf(metrics) {
  const load = metrics.load_average || [];
  return [["1 min", number(load[0], 2)], ["5 min", number(load[1], 2)], ["15 min", number(load[2], 2)]];
}

function networkOf(metrics) {
  const flow = metrics.network_rate || {};
  return [["Received", rate(flow.bytes_recv_per_sec)], ["Sent", rate(flow.bytes_sent_per_sec)]];
}

function diskOf(metrics) {
  const flow = metrics.disk_io_rate || {};
  return [["Read", rate(flow.read_bytes_per_sec)], ["Written", rate(flow.write_bytes_per_sec)]];
}

function disks(address) {
  let askedAt = -Infinity;
  let forecast = null;
  let latest = null;
  const body = h("div", { class: "disks" });
  const old = asOf();
  const none = h("p", { class: "muted" }, "No disk has been reported.");
  const lines = keyed(body, { disk: { make: diskLine } });
  return {
    el: panel("Disks", { className: "panel-disks" }, none, old.el, body),
    draw(answer) {
      latest = answer;
      old.set(oldSince(answer));
      fill();
      foresee();
    },
  };

  function fill() {
    const limit = latest.server.alert_disk_threshold ?? DEFAULT_LIMIT;
    const worstFirst = [...(latest.metrics?.disks || [])].sort((a, b) => (b.percent ?? -1) - (a.percent ?? -1));
    show(none, !worstFirst.length);
    lines.draw(worstFirst.map((disk) => ({ key: disk.mountpoint, kind: "disk", data: { disk, limit,
      left: forecast?.mountpoint === disk.mountpoint ? forecast.hours_left : null } })));
  }

  async function foresee() {
    if (hubNow() - askedAt < FORESEE_MS) return;
    askedAt = hubNow();
    try {
      forecast = await get(address + "/forecast");
      fill();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      askedAt = -Infinity;  // the next answer asks again
    }
  }
}

function diskLine() {
  const meter = bar("disk");
  const size = h("span", {});
  const device = h("span", { class: "disk-device" });
  const ahead = h("p", { class: "disk-ahead" });
  const el = h("div", { class: "disk" }, meter.el, h("p", { class: "disk-size" }, device, size), ahead);
  return {
    el,
    bind({ disk, limit, left }) {
      vary(el, "--limit", limit);
      meter.set(disk.mountpoint, disk.percent, { limit, text: percent(disk.percent, 1) });
      write(device, disk.device);
      write(size, disk.total ? `${bytes(disk.free)} free of ${bytes(disk.total)}` : "");
      show(ahead, left !== null && left < FAR_HOURS);
      write(ahead, left === null ? "" : `Full in about ${roughly(left * 3600)}, by its last days.`);
    },
  };
}
