// A list of alerts with its filters: one line each, why it fired under it, acknowledged one by one or many at once.
// State in the query: state, sev (severity), q (text).

import { attr, h, keyed, show, toggle, write } from "../dom.js";
import { HOUR_MS, count, duration, full, local, moment, parse, percent } from "../format.js";
import { filled, formDialog } from "../forms.js";
import { get, hubNow, refresh, send } from "../hub.js";
import { age, badge, choice, setAge, setSentence, setSeverity, stamp } from "../parts.js";
import { query, serverPath } from "../router.js";

const PATH = "/api/dashboard/alerts";
const PAGE = 50;
const STATES = [["active", "Active"], ["open", "Open"], ["resolved", "Resolved"], ["all", "All"]];
const QUIET = [
  ["", "until it ends"], ["1", "for an hour"], ["8", "for 8 hours"], ["24", "for a day"], ["168", "for a week"],
];
const SEVERITIES = [["", "Any severity"], ["critical", "Critical"], ["warning", "Warning"], ["info", "Info"]];

/** server: only this one's. usual: the state that is shown when the query names none. */
export function alertList({ server = null, usual = "active" } = {}) {
  const chosen = new Set();  // ids
  const bar = filterBar(usual, fill, !server);
  const many = h("div", { class: "chosen for-admin", hidden: true });
  const list = h("ul", { class: "alert-list", "aria-label": "Alerts" });
  const lines = keyed(list, { alert: { make: () => line({ choose, acknowledge, named: !server }) } });
  const none = h("p", { class: "muted alert-none" });
  const more = h("button", { type: "button", class: "button small more", onclick: older }, "Show older");
  const el = h("div", { class: "alert-pane" }, bar.el, many, list, none, more);
  let newest = [];
  let further = [];
  let asked = "";

  function path() {
    const params = new URLSearchParams({ state: bar.state(), limit: PAGE });
    if (server) params.set("server", server);
    return `${PATH}?${params}`;
  }

  function draw(answer) {
    if (asked !== path()) {
      asked = path();
      further = [];
      chosen.clear();
      show(more, answer.alerts.length >= PAGE);
    }
    newest = answer.alerts;
    fill();
  }

  async function older() {
    const last = [...newest, ...further].pop();
    const { alerts } = await get(`${path()}&before=${last.id}`, { fresh: true });
    further.push(...alerts);
    show(more, alerts.length >= PAGE);
    fill();
  }

  function fill() {
    const known = new Set(newest.map((alert) => alert.id));
    const all = [...newest, ...further.filter((alert) => !known.has(alert.id))];
    const shown = all.filter(bar.wanted());
    bar.set();
    show(none, !shown.length);
    write(none, all.length ? "No alert matches the filters." : NOTHING[bar.state()]);
    for (const id of chosen) if (!all.some((alert) => alert.id === id)) chosen.delete(id);
    lines.draw(shown.map((alert) => ({ key: String(alert.id), kind: "alert",
      data: { alert, chosen: chosen.has(alert.id) } })));
    fillMany(all);
  }

  function choose(id, on) {
    if (on) chosen.add(id);
    else chosen.delete(id);
    fillMany([...newest, ...further]);
  }

  function chooseNone() {
    chosen.clear();
    fill();
  }

  function fillMany(all) {
    show(many, chosen.size > 0);
    if (!chosen.size) return;
    const picked = all.filter((alert) => chosen.has(alert.id));
    many.replaceChildren(h("span", {}, `${count(chosen.size, "alert")} chosen`),
      h("button", { type: "button", class: "button small primary", onclick: () => acknowledge(picked) }, "Acknowledge"),
      h("button", { type: "button", class: "button small", onclick: chooseNone }, "Choose none"));
  }

  return { el, path, draw };
}

const NOTHING = {
  active: "Nothing is wrong that nobody has seen.",
  open: "No alert is open.",
  resolved: "No alert has been resolved within the retention.",
  all: "There has been no alert within the retention.",
};

function filterBar(usual, fill, named) {
  const states = choice("State", STATES, (value) => query.set({ state: value === usual ? "" : value }));
  const severity = h("select", { "aria-label": "Severity", onchange: () => query.set({ sev: severity.value }) },
    SEVERITIES.map(([value, words]) => h("option", { value }, words)));
  const search = h("input", { type: "search", class: "input search-alerts", placeholder: named ? "Server or text" : "Text",
    "aria-label": "Filter alerts", oninput: () => query.set({ q: search.value }, { replace: true }) });
  query.listen(fill);
  const state = () => {
    const name = query.get("state", usual);
    return STATES.some(([each]) => each === name) ? name : usual;
  };
  return {
    el: h("div", { class: "toolbar" }, states.el, severity, search),
    state,
    set() {
      states.set(state());
      severity.value = query.get("sev");
      if (search.value !== query.get("q")) search.value = query.get("q");
    },
    wanted() {
      const text = query.get("q").trim().toLowerCase();
      const sev = query.get("sev");
      return (alert) => (!sev || alert.severity === sev) && (!text || mentions(alert, text));
    },
  };
}

function mentions(alert, text) {
  const words = [alert.display_name, alert.hostname, alert.message, alert.note];
  return words.some((each) => each && each.toLowerCase().includes(text));
}

/** One alert. Its box chooses it; the button acknowledges it alone. */
function line({ choose, acknowledge, named }) {
  let alert = null;
  const box = h("input", { type: "checkbox", class: "for-admin", onchange: () => choose(alert.id, box.checked) });
  const state = badge();
  const name = h("a", { class: "name-link" });
  const message = h("span", { class: "alert-message" });
  const since = age("muted");
  const status = h("span", { class: "chip" });
  const button = h("button", { type: "button", class: "button small for-admin", onclick: () => acknowledge([alert]) },
    "Acknowledge");
  const note = h("p", { class: "alert-note" });
  const why = whyPart();
  const el = h("li", { class: "alert-line" },
    h("div", { class: "alert-main" }, box, state.el, name, message, since, status, button), note, why.el);
  return {
    el,
    bind({ alert: next, chosen }) {
      alert = next;
      const kind = setSeverity(state, alert.severity);
      const over = Boolean(alert.resolved_at);
      attr(el, "data-kind", over ? "online" : kind);
      write(name, alert.display_name || alert.hostname || "The hub");
      attr(name, "href", alert.server_id ? serverPath(alert.server_id) : null);
      show(name, named);
      setSentence(message, alert.message);
      setAge(since, alert.timestamp);
      const words = over ? "Resolved" : alert.is_acknowledged ? "Acknowledged" : "";
      show(status, Boolean(words));
      write(status, words);
      toggle(status, "fine", over);
      const waits = !over && !alert.is_acknowledged;
      show(button, waits);
      show(box, waits);
      box.checked = chosen;
      attr(box, "aria-label", `Choose: ${message.textContent}`);
      attr(button, "aria-label", `Acknowledge: ${message.textContent}`);
      write(note, noteOf(alert));
      attr(note, "title", full(parse(alert.acknowledged_at)) || null);
      show(note, Boolean(note.textContent));
      why.set(alert);
    },
  };
}

function noteOf(alert) {
  if (!alert.is_acknowledged) return "";
  const by = alert.acknowledged_by ? ` by ${alert.acknowledged_by}` : "";
  const until = alert.acknowledged_until ? `, until ${moment(parse(alert.acknowledged_until), hubNow())}` : "";
  const at = alert.acknowledged_at ? `, ${moment(parse(alert.acknowledged_at), hubNow())}` : "";
  return `Acknowledged${by}${at}${until}` + (alert.note ? `: ${alert.note}` : "");
}

/** Why it fired; filled only while it is open. */
function whyPart() {
  const body = h("div", { class: "why" });
  const el = h("details", {}, h("summary", {}, "Why"), body);
  let alert = null;
  let filled = "";
  const fill = async () => {
    if (!el.open || filled === JSON.stringify(alert)) return;
    filled = JSON.stringify(alert);
    const whole = await get(`${PATH}/${alert.id}`).catch(() => ({ alert }));  // without its moments it says enough
    body.replaceChildren(...reasons(whole.alert));
  };
  el.addEventListener("toggle", fill);
  return {
    el,
    set(next) {
      alert = next;
      fill();
    },
  };
}

function reasons(alert) {
  const facts = [
    ["Rule", [alert.alert_type, alert.object].filter(Boolean).join(" ")],
    ["Value", figure(alert.metric_value)], ["Limit", figure(alert.threshold_value)],
    ["Opened", full(parse(alert.timestamp))],
    ["Resolved", full(parse(alert.resolved_at))],
    ["Lasted", alert.resolved_at && duration((parse(alert.resolved_at) - parse(alert.timestamp)) / 1000)],
    ["Held back", alert.suppressed_by],
  ].filter(([, value]) => value);
  return [
    h("dl", { class: "facts-list" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    momentsOf(alert.events),
    busiest(alert.processes),
    alert.server_id && h("a", { href: momentHref(alert) }, "Processes at that moment"),
  ].filter(Boolean);
}

function momentHref({ server_id: id, timestamp }) {
  const end = parse(timestamp) + 999;  // answers have whole seconds, and the sample lies within this one
  return `${serverPath(id)}?` + new URLSearchParams({ at: new Date(end).toISOString() });
}

function momentsOf(events) {
  if (!events || events.length < 2) return null;
  return h("div", {}, h("h3", {}, "What happened"), h("ol", {}, events.map(({ at, event, severity, message, who }) => {
    const by = who ? ` by ${who}` : "";
    const said = h("span");
    setSentence(said, message);
    return h("li", {}, stamp(at), `: ${event}${by} (${severity}) – `, said);
  })));
}

function figure(value) {
  return typeof value === "number" ? String(Math.round(value * 10) / 10) : value;
}

function busiest(processes) {
  if (!processes || !processes.length) return null;
  return h("div", {}, h("h3", {}, "Busiest processes then"), h("ul", {}, processes.map((each) => h("li", {},
    `${each.name}: CPU ${percent(each.cpu_percent, 1)}, memory ${percent(each.memory_percent, 1)}`))));
}

/** Ask for a note and acknowledge these alerts. */
function acknowledge(alerts) {
  const one = alerts.length === 1;
  formDialog({ title: one ? "Acknowledge this alert" : `Acknowledge ${alerts.length} alerts`,
    lead: one ? local(alerts[0].message, hubNow()) : null, submit: "Acknowledge",
    looks: [{ key: "note", kind: "area", label: "Note", text: "What you know or do about it; may be empty." },
      { key: "hours", kind: "select", label: "Quiet", choices: QUIET, value: "" }],
    send: ({ note, hours }) => send("PATCH", PATH, { ...which(alerts), ...filled({ note, until: untilOf(hours) }) }),
    done: refresh });
}

function untilOf(hours) {
  return hours && new Date(hubNow() + Number(hours) * HOUR_MS).toISOString();
}

function which(alerts) {
  return alerts.length === 1 ? { alert_id: alerts[0].id } : { alert_ids: alerts.map((alert) => alert.id) };
}
