// A list of cards or table rows that may be very long. Up to WHOLE items all of them are in the document; above that
// only the lines in and near the window are, between two spacers. The item that holds the focus always is.

import { WHOLE, h, itemsOf, keyed, vary } from "./dom.js";

const MARGIN_LINES = 2;
const SAMPLE = 8;  // items drawn once, and the first of each kind, to learn how high they are

/**
 * kinds: {name: {make() -> {el, bind(data, place, total)}, key(data), wide}}; a wide item has a line of its own.
 * draw(runs) takes [{kind, items: [data]}], whose keys differ over all runs; root is a CSS grid, block or table body
 * (then spacer is "tr"). What a run costs does not depend on how long it is, but for the items in the window.
 * paper: the whole list is printed.
 */
export function list(root, kinds, { spacer = "div", paper = true } = {}) {
  const before = h(spacer, { class: "spacer", "aria-hidden": "true" });
  const after = h(spacer, { class: "spacer", "aria-hidden": "true" });
  const { parts, element, put, draw: drawAll } = keyed(root, kinds);
  const heights = new Map();  // kind -> px, measured
  let runs = [];              // those with items, and where each begins: {kind, items, place, per, line, top, step}
  let total = 0;              // items,
  let lines = 0;              // lines
  let end = 0;                // and px of all runs
  let gap = 0;
  let columns = 1;
  let shown = "";             // which lines are in the document
  let top = null;             // where the window begins in the list, px; null: not measured yet
  let printing = false;
  let frame = 0;

  /** To ask the browser where the list is costs a layout, which the next frame makes anyway: look again in that one. */
  function draw(next) {
    runs = next.filter(({ items }) => items.length);
    total = runs.reduce((sum, { items }) => sum + items.length, 0);
    shown = "";
    render();
    later();
  }

  function windowed() {
    return total > WHOLE && !printing;
  }

  /** The elements of these items of a run. */
  function place({ kind, items, place: first }, from, to) {
    return itemsOf([{ kind, items: items.slice(from, to) }], kinds)
      .map((item, index) => element(item, first + from + index + 1, total));
  }

  /** Learn the height of each kind and the number of columns, once for each width of the page. */
  function measure() {
    if (runs.every((run) => heights.has(run.kind))) return;
    put([...root.children, ...firstOfEachKind()]);  // what is there stays, and with it the place and the focus
    for (const part of parts.values()) heights.set(part.kind, part.el.getBoundingClientRect().height);
    const style = getComputedStyle(root);
    gap = parseFloat(style.rowGap) || 0;
    columns = style.display === "grid" ? style.gridTemplateColumns.split(" ").length : 1;
  }

  function firstOfEachKind() {
    const seen = new Set([...parts.values()].map(({ kind }) => kind));
    const fresh = runs.filter(({ kind }) => !seen.has(kind) && seen.add(kind));
    return fresh.flatMap((run) => place({ ...run, place: 0 }, 0, SAMPLE));
  }

  /** Where the runs begin, with their items broken into lines. */
  function lay() {
    let first = 0;
    lines = end = 0;
    runs = runs.map(({ kind, items }) => {
      const run = { kind, items, place: first, per: kinds[kind].wide ? 1 : columns, line: lines, top: end,
        step: heights.get(kind) + gap };
      const number = Math.ceil(items.length / run.per);
      first += items.length;
      lines += number;
      end += number * run.step;
      return run;
    });
  }

  function render() {
    // The focused item may stand beside its place: the browser must not scroll after it.
    vary(root, "overflow-anchor", windowed() ? "none" : "auto");
    if (!windowed()) return drawAll(itemsOf(runs, kinds));
    measure();
    lay();
    return renderWindow();
  }

  function renderWindow() {
    if (top === null) top = -root.getBoundingClientRect().top;
    const first = Math.max(0, lineAt(top) - MARGIN_LINES);
    const last = Math.min(lines - 1, lineAt(top + innerHeight) + MARGIN_LINES);
    const held = heldLine();
    const range = `${first} ${last} ${held}`;
    if (range === shown) return;
    shown = range;
    const children = elements(first, last);
    let above = topOf(first);
    let below = end - topOf(last + 1);
    if (held >= 0 && held < first) {
      children.unshift(...elements(held, held));
      above -= runOf(held).step;
    } else if (held > last) {
      children.push(...elements(held, held));
      below -= runOf(held).step;
    }
    size(before, above);
    size(after, below);
    put([before, ...children, after]);
  }

  /** The last run that begins at this line or before, and by px from the top. */
  function runOf(line) {
    return lastOf((run) => run.line <= line);
  }

  function lastOf(begun) {
    let low = 0;
    let high = runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (begun(runs[middle])) low = middle;
      else high = middle - 1;
    }
    return runs[low];
  }

  function lineAt(y) {
    const run = lastOf(({ top: begin }) => begin <= y);
    const line = run.line + Math.max(0, Math.floor((y - run.top) / run.step));
    return Math.min(line, lines - 1);
  }

  function topOf(line) {
    const run = runOf(line);
    return line < lines ? run.top + (line - run.line) * run.step : end;
  }

  /** The elements of these lines and of those between them. */
  function elements(first, last) {
    const found = [];
    for (let at = runs.indexOf(runOf(first)); at < runs.length && runs[at].line <= last; at++) {
      const { line, per } = runs[at];
      found.push(...place(runs[at], Math.max(0, first - line) * per, (last + 1 - line) * per));
    }
    return found;
  }

  /** The line of the focused item, -1 for none. */
  function heldLine() {
    for (const [key, part] of parts) if (part.el.contains(document.activeElement)) return lineOf(part.kind, key);
    return -1;
  }

  function lineOf(kind, key) {
    for (const { items, per, line, kind: each } of runs) {
      const index = each === kind ? items.findIndex((data) => kinds[kind].key(data) === key) : -1;
      if (index >= 0) return line + Math.floor(index / per);
    }
    return -1;
  }

  /** Bring the window to the focused item, which may stand beside it: what comes next depends on its place. */
  function follow() {
    const line = windowed() ? heldLine() : -1;
    if (line < 0) return;
    const from = -root.getBoundingClientRect().top;
    const at = topOf(line);
    if (at >= from && topOf(line + 1) <= from + innerHeight) return;
    scrollBy(0, at - from - innerHeight / 2);
    top = null;
    renderWindow();
  }

  /** A spacer stands between two gaps of the grid; one of them is its own. */
  function size(element, height) {
    element.hidden = height <= gap;
    element.style.height = Math.max(0, height - gap) + "px";
  }

  function later() {
    if (!frame && windowed()) frame = requestAnimationFrame(look);
  }

  function look() {
    frame = 0;
    top = null;
    if (windowed()) renderWindow();
  }

  function onresize() {
    if (!windowed()) return;
    heights.clear();
    shown = "";
    top = null;
    render();
  }

  function print(begins) {
    printing = begins;
    shown = "";
    render();
  }

  const beforePrint = () => print(true);
  const afterPrint = () => print(false);
  let width = null;
  const resize = new ResizeObserver(([entry]) => {
    const before = width;
    width = entry.contentRect.width;
    if (before !== null && Math.abs(width - before) >= 1) onresize();
  });
  resize.observe(root);
  addEventListener("scroll", later, { passive: true });
  addEventListener("resize", later);
  if (paper) {
    addEventListener("beforeprint", beforePrint);
    addEventListener("afterprint", afterPrint);
  }
  root.addEventListener("keydown", (event) => event.key === "Tab" && follow());
  root.addEventListener("smon:step", follow);

  return {
    draw,
    stop() {
      resize.disconnect();
      cancelAnimationFrame(frame);
      removeEventListener("scroll", later);
      removeEventListener("resize", later);
      removeEventListener("beforeprint", beforePrint);
      removeEventListener("afterprint", afterPrint);
    },
  };
}
