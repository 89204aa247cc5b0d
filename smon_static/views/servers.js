// The list view of the overview: a table that sorts by any column.

import { attr, h, show, toggle, whenNew, write } from "../dom.js";
import { NONE, duration, parse } from "../format.js";
import { KINDS, age, badge, bar, setAge } from "../parts.js";
import { order, query, serverPath } from "../router.js";
import { table } from "../table.js";
import { current, wordOf } from "./cards.js";

const figure = (field) => (server) => current(server)[field];

const COLUMNS = [
  { key: "status", label: "Status", given: true, value: (server) => KINDS[server.kind].rank, make: statusCell },
  { key: "name", label: "Name", value: (server) => server.place, make: nameCell },
  { key: "group", label: "Group", value: (server) => server.group, text: (server) => server.group },
  { key: "ip", label: "Address", value: (server) => server.ip, text: (server) => server.ip },
  { key: "cpu", label: "CPU", down: true, numeric: true, value: figure("cpu"), make: () => shareCell("CPU", "cpu") },
  { key: "memory", label: "Memory", down: true, numeric: true, value: figure("memory"),
    make: () => shareCell("Memory", "memory") },
  { key: "disk", label: "Worst disk", down: true, numeric: true, value: worstDisk, make: diskCell },
  { key: "alerts", label: "Alerts", down: true, numeric: true, value: (server) => server.alerts, make: alertCell },
  { key: "uptime", label: "Up", down: true, numeric: true, value: figure("uptime_seconds"),
    text: (server) => duration(current(server).uptime_seconds) },
  { key: "seen", label: "Last seen", down: true, value: (server) => parse(server.last_seen_at), make: seenCell },
];

/** draw(servers) like the grid; the groups are a column here. */
export function servers(root) {
  const onsort = (key, down) => query.set({ sort: key === "status" && !down ? "" : order.write(key, down) });
  const shown = table({ caption: "Servers", columns: COLUMNS, id: (server) => server.id, onsort,
    mark: (row, server) => attr(row, "data-kind", server.kind), paper: false });
  root.append(shown.el);
  return {
    draw: (all) => shown.draw(all, order.read(query.get("sort", "status"))),
    stop() { shown.stop(); shown.el.remove(); },
  };
}

function worstDisk(server) {
  return current(server).disks[0]?.[1];
}

function statusCell() {
  const state = badge();
  return { el: state.el, set: (server) => state.set(server.kind, wordOf(server)) };
}

function nameCell() {
  const name = h("a", { class: "name-link" });
  const introduce = whenNew((id, words) => {
    write(name, words);
    attr(name, "title", words);
    attr(name, "href", serverPath(id));
  });
  return { el: name, set: ({ id, name: words }) => introduce(id, words) };
}

function shareCell(label, field) {
  const meter = bar(field);
  return { el: meter.el, set: (server) => meter.set(label, current(server)[field]) };
}

function diskCell() {
  const meter = bar("disk");
  return {
    el: meter.el,
    set(server) {
      const [name, value] = current(server).disks[0] || [NONE, null];
      meter.set(name, value);
    },
  };
}

function alertCell() {
  const chip = h("span", { class: "chip alerting" });
  return {
    el: chip,
    set(server) {
      show(chip, server.alerts > 0);
      toggle(chip, "critical", server.critical > 0);
      write(chip, server.alerts);
    },
  };
}

function seenCell() {
  const seen = age();
  return { el: seen, set: (server) => setAge(seen, server.last_seen_at) };
}
