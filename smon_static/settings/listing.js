// A short table of the settings pages: sorts by its headers, and says so when it is empty.

import { h, show } from "../dom.js";
import { age, setAge } from "../parts.js";
import { table } from "../table.js";

/** columns and id as in table.js; sort: {key, down} to begin with. draw(rows) shows them. */
export function listing({ caption, columns, id, empty, sort = { key: columns[0].key, down: false } }) {
  let rows = [];
  const none = h("p", { class: "muted", hidden: true }, empty);
  const shown = table({ caption, columns, id, onsort });

  function onsort(key, down) {
    sort = { key, down };
    draw(rows);
  }

  function draw(next) {
    rows = next;
    show(none, !rows.length);
    show(shown.el, rows.length > 0);
    shown.draw(rows, sort);
  }

  return { el: h("div", { class: "listing" }, none, shown.el), draw, stop: shown.stop };
}

export function textColumn(key, label, value = (row) => row[key]) {
  return { key, label, value, text: (row) => value(row) ?? "" };
}

/** A time as its age; null is the word for "never". */
export function timeColumn(key, label, never = "never") {
  return { key, label, down: true, value: (row) => row[key], make: () => timeCell(key, never) };
}

function timeCell(key, never) {
  const when = age();
  const word = h("span", { class: "muted" }, never);
  return {
    el: h("span", {}, when, word),
    set(row) {
      show(when, Boolean(row[key]));
      show(word, !row[key]);
      if (row[key]) setAge(when, row[key]);
    },
  };
}

/** Buttons at the end of a row: build(row) makes them, once for each row. */
export function actionColumn(build) {
  return { key: "actions", label: "Actions", value: () => null, make: () => actionCell(build) };
}

function actionCell(build) {
  const el = h("div", { class: "row-actions" });
  let made = null;
  return {
    el,
    set(row) {
      if (made === row.id + "") return;
      made = row.id + "";
      el.replaceChildren(...build(row));
    },
  };
}
