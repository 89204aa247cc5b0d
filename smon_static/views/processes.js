// The busiest processes of a server, now or at the moment named by `at` in the query; `sort` there is their order.

import { attr, h, show, write } from "../dom.js";
import { bytes, count, parse, percent } from "../format.js";
import { age, asOf, filterField, oldSince, panel, setAge } from "../parts.js";
import { order, query } from "../router.js";
import { table } from "../table.js";

const MIB = 2 ** 20;
const USUAL = "-cpu";

const COLUMNS = [
  textColumn("name", "Name", (row) => row.name),
  numberColumn("pid", "PID", (row) => row.pid, (value) => value),
  { ...numberColumn("cpu", "CPU", (row) => row.cpu_percent, (value) => percent(value, 1)), down: true },
  { ...numberColumn("memory", "Memory", (row) => row.memory_percent, (value) => percent(value, 1)), down: true },
  { ...numberColumn("size", "Size", (row) => row.memory_mb, (value) => bytes(value && value * MIB)), down: true },
  textColumn("status", "State", (row) => row.status),
  textColumn("user", "User", (row) => row.username),
];

function textColumn(key, label, value) {
  return { key, label, value, text: value };
}

function numberColumn(key, label, value, format) {
  return { key, label, value, numeric: true, text: (row) => format(value(row)) };
}

/** short: at most so many rows, and a link to the page that has all of them. */
export function processes({ short = Infinity } = {}) {
  let rows = [];
  const filter = filterField("Filter processes", fill);
  const when = age("muted");
  const toNow = () => query.set({ at: "" });
  const back = h("button", { type: "button", class: "button small", onclick: toNow }, "Back to now");
  const old = asOf();
  const none = h("p", { class: "muted" });
  const more = h("a", { class: "more-link" });
  const onsort = (key, down) => query.set({ sort: order.write(key, down) === USUAL ? "" : order.write(key, down) });
  const shown = table({ caption: "Top processes", columns: COLUMNS, id: (row) => `${row.pid} ${row.name}`, onsort });

  function fill() {
    const text = filter.value.trim().toLowerCase();
    const found = rows.filter((row) => `${row.name} ${row.username ?? ""} ${row.pid}`.toLowerCase().includes(text));
    show(shown.el, found.length > 0);
    show(none, !found.length);
    write(none, rows.length ? `No process matches “${filter.value.trim()}”.` : "No processes were reported.");
    shown.draw(found, order.read(query.get("sort", USUAL)), short);
    show(more, Number.isFinite(short) && rows.length > 0);
    const hidden = rows.length > short;
    write(more, "Look back" + (hidden ? ` and see all ${count(rows.length, "process", "processes")}` : ""));
    attr(more, "href", location.pathname + "/processes" + location.search);
  }

  query.listen(fill);

  return {
    el: panel("Top processes", { className: "panel-processes", beside: [when, back], end: filter }, none, old.el,
      shown.el, more),
    draw(answer) {
      rows = answer.processes;
      const past = Boolean(query.get("at"));
      show(back, past);
      show(when, past && Number.isFinite(parse(answer.processes_at)));
      setAge(when, answer.processes_at, "as they were ");
      old.set(past ? null : oldSince(answer));
      fill();
    },
    stop: shown.stop,
  };
}
