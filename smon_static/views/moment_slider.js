// A slider over the samples of a chart: the one it stands on is the moment (at in the query) that the page shows.

import { attr, h, icon, show, write } from "../dom.js";
import { full, moment } from "../format.js";
import { nearest } from "../charts/scale.js";
import { query } from "../router.js";

/** The end of a sample's or bucket's time: answers have whole seconds, and what is asked for lies within. */
export function endOf(t, stepMs) {
  return new Date(t + Math.max(stepMs, 1000) - 1).toISOString();
}

/** A part that stands below a chart: set(data) takes what the chart is drawn from. */
export function momentSlider() {
  const slider = h("input", { type: "range", class: "slider", min: 0, "aria-label": "Moment", oninput: tell,
    onchange: pick });
  const when = h("output", { class: "slider-moment" });
  const el = h("div", { class: "look-back" }, step("Earlier sample", "earlier", -1), slider,
    step("Later sample", "later", 1), when);
  let data = null;

  function step(words, className, by) {
    return h("button", { type: "button", class: `tool ${className}`, "aria-label": words, title: words, onclick: () => {
      slider.value = Number(slider.value) + by;
      pick();
    } }, icon("fold"));
  }

  function tell() {
    const t = data.t[slider.value];
    const words = moment(t, data.to);
    write(when, words);
    attr(when, "title", full(t));
    attr(slider, "aria-valuetext", words);
  }

  /** The newest sample is now, which goes on; the others stay where they are. */
  function pick() {
    tell();
    const at = Number(slider.value);
    query.set({ at: at < data.t.length - 1 ? endOf(data.t[at], data.stepMs) : "" }, { replace: true });
  }

  return {
    el,
    set(next) {
      const held = data && Number(slider.value) < data.t.length - 1 ? data.t[slider.value] : null;
      data = next;
      show(el, data.t.length > 1);
      if (data.t.length < 2) return;
      const chosen = query.get("at") ? Date.parse(query.get("at")) - Math.max(data.stepMs, 1000) + 1 : null;
      const t = slider.matches(":active") && held !== null ? held : chosen;
      attr(slider, "max", data.t.length - 1);
      slider.value = t === null ? data.t.length - 1 : nearest(data.t, t);
      tell();
    },
  };
}
