// The tiles with figures of one moment on the pages of a server.

import { attr, h, show, write } from "../dom.js";
import { level, percent } from "../format.js";
import { ring } from "../parts.js";

export const SWAP_LIMIT = 80;  // percent; swap has a rule of its own, not a threshold for each server

/** A ring with words beside it: set({value, limit, detail}). Over its limit it says so, unless that is unknown. */
export function shareTile(label, tone) {
  const gauge = ring(label, tone);
  const detail = h("span", { class: "tile-detail" });
  const over = h("span", { class: "tile-over" });
  return {
    el: h("div", { class: "panel tile" }, gauge.el,
      h("div", { class: "tile-words" }, h("span", { class: "tile-title" }, label), detail, over)),
    set({ value, limit = NaN, detail: words }) {
      gauge.set(value, limit);
      write(detail, words);
      const reached = level(value, limit);
      const high = ["warning", "critical"].includes(reached);
      attr(over, "data-level", reached);
      show(over, high);
      write(over, high ? `Over the limit of ${percent(limit)}` : "");
    },
  };
}

/** Named figures under a title: set([[name, text]]), always the same names. */
export function figureTile(label) {
  const list = h("dl", { class: "tile-figures" });
  return {
    el: h("div", { class: "panel tile" },
      h("div", { class: "tile-words" }, h("span", { class: "tile-title" }, label), list)),
    set(figures) {
      figures.forEach(([name, value], index) => {
        if (!list.children[index]) list.append(h("div", {}, h("dt", {}, name), h("dd", {})));
        write(list.children[index].lastChild, value);
      });
    },
  };
}
