// Small parts that several views share: status, gauges, meters, ages, empty states. Each is made once and then set;
// setting writes only what differs.

import { hubNow } from "./hub.js";
import { attr, h, icon, plain, reicon, show, svg, vary, whenNew, write } from "./dom.js";
import { ago, full, level, local, moment, parse, percent } from "./format.js";

/** The states of a server, worst first. Never told by colour alone: each has its own shape and word. */
export const KINDS = {
  critical: { word: "Critical", rank: 0 },
  warning: { word: "Warning", rank: 1 },
  offline: { word: "Offline", rank: 2 },
  waiting: { word: "Waiting", rank: 3 },
  online: { word: "Online", rank: 4 },
};

/** One of KINDS. A server that waits (for approval, or for its first sample) is neither online nor offline. */
export function kindOf({ status, flags }) {
  if (!flags.length) return status;
  if (flags.includes("pending")) return "waiting";
  return status !== "offline" && flags.includes("waiting") ? "waiting" : status;
}

/** Icon and word: set(kind), or another word for it: set(kind, word). */
export function badge() {
  const mark = icon("online");
  const word = h("span", {});
  const el = h("span", { class: "badge" }, mark, word);
  const change = whenNew((kind, text) => {
    attr(el, "data-kind", kind);
    reicon(mark, kind);
    write(word, text);
  });
  return { el, set: (kind, text = KINDS[kind].word) => change(kind, text) };
}

/** A ring gauge with its figure inside: set(percent, limit). tone names the colour while all is well. */
export function ring(label, tone) {
  const arc = svg("circle", { class: "ring-arc", cx: 32, cy: 32, r: 27, pathLength: 100 });
  const figure = h("span", { class: "ring-figure" });
  const dial = h("span", { class: "ring-dial" },
    svg("svg", { viewBox: "0 0 64 64", "aria-hidden": "true" },
      svg("circle", { class: "ring-track", cx: 32, cy: 32, r: 27 }), arc), figure);
  const el = h("div", { class: "ring", role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100,
    "data-tone": tone }, dial, h("span", { class: "ring-label" }, label));
  return {
    el,
    set(value, limit) {
      setMeter(el, value, limit);
      write(figure, percent(value));
    },
  };
}

/** A line with a name, a figure and a bar under both: set(name, percent, {limit, text}). */
export function bar(tone) {
  const name = h("span", { class: "bar-name" });
  const figure = h("span", { class: "bar-figure" });
  const el = h("div", { class: "bar", role: "meter", "aria-valuemin": 0, "aria-valuemax": 100, "data-tone": tone },
    name, figure);
  const entitle = whenNew((label) => {
    write(name, label);
    attr(name, "title", label);
    attr(el, "aria-label", label);
  });
  return {
    el,
    set(label, value, { limit, text } = {}) {
      entitle(label);
      write(figure, text ?? percent(value));
      setMeter(el, value, limit, text);
    },
  };
}

function setMeter(el, value, limit, text) {
  const share = Math.max(0, Math.min(100, value ?? 0));
  attr(el, "aria-valuenow", share.toFixed(1));
  attr(el, "aria-valuetext", text ?? (value === null || value === undefined ? "not known" : percent(value, 1)));
  attr(el, "data-level", level(value, limit));
  vary(el, "--share", share.toFixed(1));
}

/** "3 min ago" that keeps counting, with the full time on hover: setAge(el, iso, "reported "). */
export function age(className = "") {
  return h("time", { class: className, "data-age": "" });
}

export function setAge(el, iso, before = "") {
  if (el.dateTime !== iso) {
    attr(el, "datetime", iso);
    attr(el, "title", full(parse(iso)));
  }
  attr(el, "data-before", before || null);
  count(el);
}

/** A sentence of the hub with its moments in the viewer's zone; on hover as the hub wrote it. */
export function setSentence(el, sentence) {
  write(el, local(sentence, hubNow()));
  attr(el, "title", sentence);
}

/** An alert's severity on its badge: what is neither critical nor a warning informs. Gives the kind it is shown as. */
export function setSeverity(mark, severity) {
  const kind = ["critical", "warning"].includes(severity) ? severity : "online";
  mark.set(kind, kind === "online" ? "Info" : undefined);
  return kind;
}

/** Alerts with the critical ones first, otherwise in their order. */
export function worstFirst(alerts) {
  return [...alerts].sort((a, b) => (b.severity === "critical") - (a.severity === "critical"));
}

/** A moment that stays as it is, with the full time on hover. */
export function stamp(iso) {
  return h("time", { datetime: iso, title: full(parse(iso)) }, moment(parse(iso), hubNow()));
}

/** Over what a silent server said last: of when it is, which also dims what follows. set(iso), null for fresh data. */
export function asOf() {
  const when = h("time");
  const el = h("p", { class: "as-of" }, "As of ", when, ", the server's last sample");
  return {
    el,
    set(iso) {
      show(el, Boolean(iso));
      attr(when, "datetime", iso);
      attr(when, "title", full(parse(iso)));
      write(when, moment(parse(iso), hubNow()));
    },
  };
}

/** When a silent server's figures were taken; null while it reports, and where there are none. */
export function oldSince({ server, metrics }) {
  return metrics && kindOf(server) === "offline" ? metrics.timestamp : null;
}

/** Bring every age in the document up to now. */
export function tickAges() {
  for (const el of document.querySelectorAll("time[data-age]")) count(el);
}

function count(el) {
  write(el, (el.dataset.before || "") + ago(parse(el.dateTime), hubNow()));
}

/** A framed part of a page under its title: `beside` stands next to the title, `end` at the far side. */
export function panel(title, { className = "", beside = null, end = null }, ...content) {
  return h("section", { class: "panel " + className },
    h("div", { class: "panel-head" }, h("h2", {}, title), beside, end && h("div", { class: "end" }, end)), content);
}

/** A small field that narrows a list while one types. */
export function filterField(label, oninput) {
  return h("input",
    { type: "search", class: "search-field small", placeholder: "Filter", "aria-label": label, oninput });
}

/** What stands where data would: what is the case and what to do about it. heading is h1 where it is the whole page. */
export function notice(title, sentence, { heading = "h2", actions = [] } = {}) {
  return h("section", { class: "panel notice" }, h(heading, { tabindex: "-1" }, title), h("p", {}, sentence),
    actions.length ? h("div", { class: "actions" }, actions) : null);
}

/** The page for an ApiError that repeating does not mend. */
export function refusal(error) {
  const unknown = error.status === 404;
  const title = unknown ? "No such server" : "The hub refused";
  document.title = `${title} – smon`;
  return notice(title, unknown ? "It may have been removed, or the address is not whole." : error.message,
    { heading: "h1", actions: [h("a", { class: "button primary", href: "/" }, "All servers")] });
}

/** Grey shapes in the place of what is being loaded. */
export function skeleton(className, pieces) {
  return h("div", { class: "skeletons " + className, "aria-hidden": "true" },
    Array.from({ length: pieces }, () => h("div", { class: "skeleton" })));
}

/** One choice out of a few, as buttons that stay pressed: set(value). */
export function choice(label, options, onpick) {
  const buttons = new Map();
  for (const [value, word, symbol] of options) {
    buttons.set(value, h("button", { type: "button", class: "segment", onclick: () => onpick(value) },
      symbol ? icon(symbol) : null, h("span", {}, word)));
  }
  return {
    el: h("div", { class: "segments", role: "group", "aria-label": label }, [...buttons.values()]),
    set(chosen) {
      for (const [value, button] of buttons) attr(button, "aria-pressed", value === chosen ? "true" : "false");
    },
  };
}

/**
 * A panel that a button of the header opens below itself: fill(panel) draws it anew each time. Escape, a click
 * elsewhere, a followed link and what has data-closes close it; Escape and the latter give the focus back.
 */
export function popup(button, label, fill) {
  const panel = h("div", { class: "popup", role: "group", "aria-label": label, tabindex: "-1", hidden: true });
  button.after(panel);

  async function open() {
    await fill(panel);
    set(true);
    (panel.querySelector("a, button") || panel).focus();
  }

  function set(on) {
    show(panel, on);
    attr(button, "aria-expanded", on ? "true" : "false");
  }

  button.addEventListener("click", () => (panel.hidden ? open() : set(false)));
  panel.addEventListener("click", ({ target }) => {
    if (target.closest("a, [data-closes]")) set(false);
    if (target.closest("[data-closes]")) button.focus();
  });
  document.addEventListener("pointerdown", (event) => {
    if (!panel.hidden && !panel.parentNode.contains(event.target)) set(false);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || panel.hidden) return;
    set(false);
    button.focus();
  });
}

/** Say a sentence to a screen reader, politely. */
export function say(sentence) {
  document.getElementById("said").textContent = plain(sentence);
}

