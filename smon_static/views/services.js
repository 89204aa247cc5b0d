// The services of a server, those that do not run first.
// State in the query: state (all, down, running).

import { h, show, write } from "../dom.js";
import { count, number } from "../format.js";
import { age, asOf, badge, choice, filterField, oldSince, panel, setAge } from "../parts.js";
import { query } from "../router.js";
import { table } from "../table.js";

/** The states in the order of their weight, and which sign each carries. */
const STATES = {
  __proto__: null,  // an agent may send any word
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

const runs = (row) => row.status === "running";

/** What the choice above the table lets through. */
const CHOICES = {
  __proto__: null,  // and an address ask for any
  "": ["All", () => true],
  down: ["Not running", (row) => !runs(row)],
  running: ["Running", runs],
};

const COLUMNS = [
  { key: "state", label: "State", value: rank, make: stateCell },
  { key: "service", label: "Service", value: (row) => row.service_name, make: nameCell },
  { key: "start", label: "Start", value: (row) => row.start_type, text: (row) => row.start_type },
];
const MORE_COLUMNS = [
  { key: "since", label: "Since", down: true, value: (row) => row.changed_at, make: sinceCell },
  numberColumn("pid", "PID", (row) => row.pid),
  numberColumn("restarts", "Restarts", (row) => row.restarts),
];

function numberColumn(key, label, value) {
  return { key, label, value, numeric: true, down: true, text: (row) => number(value(row)) };
}

/** short: at most so many rows, and a link to the page that has all of them and more about each. */
export function services({ short = Infinity } = {}) {
  const whole = !Number.isFinite(short);
  let rows = [];
  let sort = { key: "state", down: false };
  const tally = h("span", { class: "muted" });
  const filter = filterField("Filter services", fill);
  const states = choice("Which services", Object.entries(CHOICES).map(([key, [word]]) => [key, word]),
    (state) => query.set({ state }));
  const old = asOf();
  const none = h("p", { class: "muted" });
  const more = h("a", { class: "more-link" });
  const shown = table({ caption: "Services", columns: whole ? [...COLUMNS, ...MORE_COLUMNS] : COLUMNS,
    id: (row) => row.service_name, onsort });

  function onsort(key, down) {
    sort = { key, down };
    fill();
  }

  function fill() {
    const text = filter.value.trim().toLowerCase();
    const words = (row) => `${row.service_name} ${row.display_name ?? ""} ${row.status}`.toLowerCase();
    const state = whole && query.get("state") in CHOICES ? query.get("state") : "";
    const found = rows.filter((row) => CHOICES[state][1](row) && words(row).includes(text));
    states.set(state);
    show(shown.el, found.length > 0);
    show(none, !found.length);
    write(none, rows.length ? "No service matches." : "No services were reported.");
    show(more, rows.length > short);
    write(more, `All ${count(rows.length, "service")}`);
    more.href = location.pathname + "/services";
    shown.draw(found, sort, short);
  }

  query.listen(fill);
  return {
    el: panel("Services", { className: whole ? "panel-services whole" : "panel-services", beside: tally,
      end: [whole && states.el, filter] }, none, old.el, shown.el, more),
    draw(answer) {
      rows = answer.services;
      const tallied = (...wanted) => rows.filter((row) => wanted.includes(row.status)).length;
      const failed = tallied("failed", "error");
      write(tally, (failed ? `${failed} failed, ` : "") + (rows.length ? `${tallied("running")} running` : ""));
      old.set(oldSince(answer));
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

function sinceCell() {
  const since = age();
  return { el: since, set: (row) => setAge(since, row.changed_at) };
}
