// A list of cards or table rows that may be very long. Up to WHOLE items all of them are in the document; above that
// only the lines in and near the window are, between two spacers. The item that holds the focus always is.

import { WHOLE, h, keyed } from "./dom.js";

const MARGIN_LINES = 2;
const SAMPLE = 8;  // items drawn once, and the first of each kind, to learn how high they are

/**
 * kinds: {name: {make() -> {el, bind(data, place, total)}, wide}}; a wide item has a line of its own.
 * draw(items) takes [{key, kind, data}]; root is a CSS grid, a block or a table body (then spacer is "tr").
 */
export function list(root, kinds, { spacer = "div" } = {}) {
  const before = h(spacer, { class: "spacer", "aria-hidden": "true" });
  const after = h(spacer, { class: "spacer", "aria-hidden": "true" });
  const { parts, element, put, draw: drawAll } = keyed(root, kinds);
  const heights = new Map();  // kind -> px, measured
  let items = [];
  let lines = [];             // [{kind, from, to, top}] and their end
  let end = 0;
  let gap = 0;
  let columns = 1;
  let shown = "";             // which lines are in the document
  let top = null;             // where the window begins in the list, px; null: not measured yet
  let printing = false;
  let frame = 0;

  /** To ask the browser where the list is costs a layout, which the next frame makes anyway: look again in that one. */
  function draw(next) {
    items = next;
    shown = "";
    render();
    later();
  }

  function windowed() {
    return items.length > WHOLE && !printing;
  }

  function place(index) {
    return element(items[index], index + 1, items.length);
  }

  /** Learn the height of each kind and the number of columns, once for each width of the page. */
  function measure() {
    if (items.every((item) => heights.has(item.kind))) return;
    put(firstOfEachKind().map(place));
    for (const part of parts.values()) heights.set(part.kind, part.el.getBoundingClientRect().height);
    const style = getComputedStyle(root);
    gap = parseFloat(style.rowGap) || 0;
    columns = style.display === "grid" ? style.gridTemplateColumns.split(" ").length : 1;
  }

  function firstOfEachKind() {
    const seen = new Set();
    const indexes = [];
    items.forEach((item, index) => {
      if (index < SAMPLE || !seen.has(item.kind)) indexes.push(index);
      seen.add(item.kind);
    });
    return indexes;
  }

  /** Break the items into lines. */
  function lay() {
    lines = [];
    end = 0;
    for (let from = 0; from < items.length;) {
      const { kind } = items[from];
      let to = from + 1;
      if (!kinds[kind].wide) {
        while (to < items.length && to - from < columns && items[to].kind === kind) to += 1;
      }
      lines.push({ kind, from, to, top: end });
      end += heights.get(kind) + gap;
      from = to;
    }
  }

  function render() {
    if (!windowed()) return drawAll(items);
    measure();
    lay();
    return renderWindow();
  }

  function renderWindow() {
    if (top === null) top = -root.getBoundingClientRect().top;
    const first = Math.max(0, lineAt(top) - MARGIN_LINES);
    const last = Math.min(lines.length - 1, lineAt(top + innerHeight) + MARGIN_LINES);
    const held = heldLine();
    const range = `${first} ${last} ${held}`;
    if (range === shown) return;
    shown = range;
    const children = elements(first, last);
    let above = lines[first].top;
    let below = end - (last + 1 < lines.length ? lines[last + 1].top : end);
    if (held >= 0 && held < first) {
      children.unshift(...elements(held, held));
      above -= step(held);
    } else if (held > last) {
      children.push(...elements(held, held));
      below -= step(held);
    }
    size(before, above);
    size(after, below);
    put([before, ...children, after]);
  }

  function step(line) {
    return heights.get(lines[line].kind) + gap;
  }

  function elements(first, last) {
    const indexes = [];
    for (let index = lines[first].from; index < lines[last].to; index++) indexes.push(index);
    return indexes.map(place);
  }

  /** The line of the focused item, -1 for none. */
  function heldLine() {
    for (const [key, part] of parts) {
      if (!part.el.contains(document.activeElement)) continue;
      const index = items.findIndex((item) => item.key === key);
      return lines.findIndex((line) => index >= line.from && index < line.to);
    }
    return -1;
  }

  function lineAt(y) {
    let low = 0;
    let high = lines.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (lines[middle].top <= y) low = middle;
      else high = middle - 1;
    }
    return low;
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
  addEventListener("beforeprint", beforePrint);
  addEventListener("afterprint", afterPrint);

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
