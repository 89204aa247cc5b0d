// The services of a server, those that do not run first.

import { h, show, write } from "../dom.js";
import { badge, filterField, panel } from "../parts.js";
import { table } from "../table.js";

const SHOWN = 12;  // rows before "Show all"

/** The states in the order of their weight, and which sign each carries. */
const STATES = {
  failed: ["critical", "Failed"],
  error: ["critical", "Error"],
  unknown: ["waiting", "Unknown"],
  starting: ["waiting", "Starting"],
  paused: ["waiting", "Paused"],
  stopped: ["offline", "Stopped"],
  exited: ["offline", "Exited"],
  running: ["online", "Running"],
};
const ORDER = Object.keys(STATES);

const rank = (row) => (row.status in STATES ? ORDER.indexOf(row.status) : ORDER.indexOf("unknown"));

const COLUMNS = [
  { key: "state", label: "State", value: rank, make: stateCell },
  { key: "service", label: "Service", value: (row) => row.service_name, make: nameCell },
  { key: "start", label: "Start", value: (row) => row.start_type, text: (row) => row.start_type },
];

export function services() {
  let rows = [];
  let all = false;
  let sort = { key: "state", down: false };
  const tally = h("span", { class: "muted" });
  const filter = filterField("Filter services", fill);
  const none = h("p", { class: "muted" });
  const more = h("button", { type: "button", class: "button small more", onclick: toggle });
  const shown = table({ caption: "Services", columns: COLUMNS, id: (row) => row.service_name, onsort });

  function toggle() {
    all = !all;
    fill();
  }

  function onsort(key, down) {
    sort = { key, down };
    fill();
  }

  function fill() {
    const text = filter.value.trim().toLowerCase();
    const words = (row) => `${row.service_name} ${row.display_name ?? ""} ${row.status}`.toLowerCase();
    const found = rows.filter((row) => words(row).includes(text));
    show(shown.el, found.length > 0);
    show(none, !found.length);
    write(none, rows.length ? `No service matches “${filter.value.trim()}”.` : "No services were reported.");
    show(more, found.length > SHOWN);
    write(more, all ? "Show fewer" : `Show all ${found.length}`);
    shown.draw(found, sort, all ? Infinity : SHOWN);
  }

  return {
    el: panel("Services", { className: "panel-services", beside: tally, end: filter }, none, shown.el, more),
    draw(answer) {
      rows = answer.services;
      const number = (...states) => rows.filter((row) => states.includes(row.status)).length;
      const failed = number("failed", "error");
      write(tally, (failed ? `${failed} failed, ` : "") + (rows.length ? `${number("running")} running` : ""));
      fill();
    },
    stop: shown.stop,
  };
}

function stateCell() {
  const state = badge();
  return { el: state.el, set: (row) => state.set(...STATES[row.status] || STATES.unknown) };
}

function nameCell() {
  const name = h("span", { class: "service-name" });
  const words = h("span", { class: "service-words" });
  return {
    el: h("div", { class: "service" }, name, words),
    set(row) {
      write(name, row.service_name);
      write(words, row.display_name === row.service_name ? "" : row.display_name);
    },
  };
}
