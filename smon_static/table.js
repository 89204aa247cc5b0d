// A table that sorts by its headers and stays fast when it is long. What the columns are, its caller says.

import { attr, h, icon, write } from "./dom.js";
import { byName } from "./format.js";
import { list } from "./list.js";

/**
 * columns: [{key, label, value(row), make?() -> {el, set(row)}, text?(row), down?, given?, numeric?}]; value is what is
 * sorted by (null: always last), down says that the first click shows the largest first, given that the rows come in
 * the order of this column. onsort(key, down) is told of clicks; draw(rows, {key, down}, limit) sorts and shows at most
 * so many. id(row) is a row's identity; mark(tr, row) may set attributes on it; paper: all rows are printed.
 */
export function table({ caption, columns, id, onsort, mark = () => {}, paper = true }) {
  const heads = columns.map((column) => head(column, onsort));
  const body = h("tbody");
  const whole = h("table", { class: "table" }, h("caption", { class: "unseen" }, caption),
    h("thead", {}, h("tr", {}, heads.map((each) => each.el))), body);
  const rows = list(body, { row: { make: () => line(columns, mark), key: id, wide: true } }, { spacer: "tr", paper });
  return {
    el: h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": caption }, whole),
    draw(data, sort, limit = Infinity) {
      attr(whole, "aria-rowcount", data.length + 1);
      for (const each of heads) each.set(sort);
      rows.draw([{ kind: "row", items: sorted(data, columns, sort).slice(0, limit) }]);
    },
    stop: rows.stop,
  };
}

function head(column, onsort) {
  let sort = {};
  const click = () => onsort(column.key, sort.key === column.key ? !sort.down : Boolean(column.down));
  const button = h("button", { type: "button", class: "sorter", onclick: click }, column.label, icon("sort"));
  const el = h("th", { scope: "col", class: kind(column) }, button);
  return {
    el,
    set(next) {
      sort = next;
      attr(el, "aria-sort", next.key !== column.key ? null : next.down ? "descending" : "ascending");
    },
  };
}

function line(columns, mark) {
  const cells = columns.map(cell);
  const el = h("tr", {}, cells.map((each) => each.el));
  return {
    el,
    bind(row, place) {
      attr(el, "aria-rowindex", place + 1);
      mark(el, row);
      for (const each of cells) each.set(row);
    },
  };
}

function cell(column) {
  const el = h("td", { class: kind(column) });
  if (!column.make) return { el, set: (row) => write(el, column.text(row)) };
  const content = column.make();
  el.append(content.el);
  return { el, set: content.set };
}

function kind(column) {
  return (column.numeric ? "numeric " : "") + "col-" + column.key;
}

/** The rows in order; equal ones keep theirs, and a missing value is last both ways. */
export function sorted(rows, columns, { key, down }) {
  const column = columns.find((each) => each.key === key) || columns[0];
  if (column.given && !down) return rows;
  const sign = down ? -1 : 1;
  const values = rows.map(column.value);
  return [...rows.keys()].sort((one, other) => {
    const [a, b] = [values[one], values[other]];
    if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b);
    return sign * (typeof a === "number" ? a - b : byName(a, b));
  }).map((index) => rows[index]);
}

function isMissing(value) {
  return value === null || value === undefined || value === "" || Number.isNaN(value);
}
