// Where messages go beside the bell: channels of several kinds, each with a test, its last delivery and its last error.

import { attr, h, keyed, show, write } from "../dom.js";
import { count } from "../format.js";
import { action, confirmed, form } from "../forms.js";
import { get, mayChange, refresh, send, watch } from "../hub.js";
import { age, badge, panel, refusal, say, setAge, stamp } from "../parts.js";
import { lookOf } from "./values.js";

const PATH = "/api/dashboard/channels";
const MAIL = 0;  // the channel that the settings describe
const SEVERITIES = ["critical", "warning", "info"];
const DELIVERIES = 20;

export function mount(root) {
  const list = h("div", { class: "channels" });
  const adding = h("div", { class: "form" });
  let kinds = null;
  const lines = keyed(list, { channel: { make: () => line(() => kinds) } });
  root.append(panel("Channels", {}, list));
  if (mayChange()) root.append(panel("New channel", { className: "panel-form" }, adding));

  function draw(answer) {
    if (!kinds) {
      kinds = answer.kinds;
      adding.append(...newChannel(kinds));
    }
    lines.draw(answer.channels.map((row) => ({ key: String(row.id), kind: "channel", data: row })));
  }

  return watch({ path: () => PATH, draw, refuse: (error) => root.replaceChildren(refusal(error)) }).stop;
}

/** A choice of the kind, and the form that fits it. */
function newChannel(kinds) {
  const words = h("p", { class: "field-help" });
  const place = h("div", {});
  const select = h("select", { class: "input", id: "channel-kind", onchange: fill },
    Object.keys(kinds).map((kind) => h("option", { selected: kind === "webhook" }, kind)));

  function fill() {
    const kind = select.value;
    write(words, kinds[kind].text);
    const made = channelForm(kinds[kind].fields, { label: "New channel", submit: "Add channel", fresh: true,
      send: (body) => send("POST", PATH, { kind, ...body }), done: added });
    made.draw({ enabled: true, critical: true, warning: true, ...defaults(kinds[kind].fields) });
    place.replaceChildren(made.el);
  }

  function added() {
    say("The channel is added.");
    fill();
    refresh();
  }

  fill();
  return [h("div", { class: "field" }, h("label", { for: "channel-kind" }, "Kind"), select, words), place];
}

function defaults(fields) {
  return Object.fromEntries(fields.map((row) => ["config." + row.key, row.secret ? "not set" : row.default]));
}

/** A form over what every channel has and what its kind needs. own: false leaves out what is set elsewhere. */
function channelForm(fields, { send: deliver, own = true, ...rest }) {
  const looks = [
    { key: "name", label: "Name" },
    { key: "groups", kind: "tags", label: "Groups", text: "Only servers of these; empty: all." },
    ...fields.map((row) => ({ ...lookOf(row), key: "config." + row.key })),
    own && { key: "enabled", kind: "check", label: "Enabled", value: true },
    ...SEVERITIES.map((word) => ({ key: word, kind: "check", label: `Tell of ${word}`, value: word !== "info" })),
    { key: "escalation", kind: "check", label: "Escalation", text: "Told of what nobody acknowledged in time." },
  ].filter(Boolean);
  return form({ ...rest, looks, send: (some, all) => deliver(bodyOf(some, all)) });
}

/** What a form holds as the hub takes it; an empty secret is one that stays. */
function bodyOf(some, all) {
  const body = {};
  const config = {};
  for (const [key, value] of Object.entries(some)) {
    if (SEVERITIES.includes(key)) body.severities = SEVERITIES.filter((word) => all[word]);
    else if (!key.startsWith("config.")) body[key] = value;
    else if (value !== "") config[key.slice("config.".length)] = value;
  }
  return Object.keys(config).length ? { ...body, config } : body;
}

function valuesOf(row) {
  const flags = Object.fromEntries(SEVERITIES.map((word) => [word, row.severities.includes(word)]));
  const config = Object.fromEntries(Object.entries(row.config).map(([key, value]) => ["config." + key, value]));
  return { ...row, ...flags, ...config };
}

/** One channel: how it does, and under it its form and its last messages. */
function line(kinds) {
  let row = null;
  let editor = null;
  const state = badge();
  const name = h("h3", {});
  const kind = h("span", { class: "chip" });
  const target = h("span", { class: "muted" });
  const told = h("p", { class: "muted" });
  const last = age();
  const problem = h("p", { class: "problem" });
  const result = h("p", { class: "outcome", role: "status" });
  const edit = h("details", { class: "for-admin" }, h("summary", {}, "Change"));
  const log = h("ol", { class: "deliveries" });
  const past = h("details", {}, h("summary", {}, "Last messages"), log);
  const test = action("Send a test", async () => {
    write(result, "Working…");
    const answer = await send("POST", `${PATH}/${row.id}/test`, undefined, { long: true }).catch((error) => {
      write(result, "");
      throw error;
    });
    write(result, answer.message || "The receiver took the test message.");
  });
  const remove = action("Remove", async () => {
    const text = "What waits for it is not delivered any more.";
    if (!await confirmed({ title: `Remove ${row.name}?`, text, button: "Remove" })) return;
    await send("DELETE", `${PATH}/${row.id}`);
    refresh();
  });
  const hint = h("a", { href: "/settings", class: "for-admin" }, "Its server and recipients are under General, Mail");

  edit.addEventListener("toggle", () => {
    if (!edit.open || editor) return;
    const own = row.id !== MAIL;
    editor = channelForm(own ? kinds()[row.kind].fields : [], { label: `Change ${row.name}`, own,
      send: (body) => send("PATCH", `${PATH}/${row.id}`, body), done: refresh });
    edit.append(editor.el);
    editor.draw(valuesOf(row));
  });
  past.addEventListener("toggle", async () => {
    if (!past.open) return;
    const { deliveries } = await get(`${PATH}/${row.id}/deliveries?limit=${DELIVERIES}`);
    log.replaceChildren(...deliveries.map(delivery), ...(deliveries.length ? [] : [h("li", {}, "None yet.")]));
  });
  const el = h("article", { class: "channel" },
    h("div", { class: "channel-head" }, state.el, name, kind, target,
      h("div", { class: "end for-admin" }, test, remove)), told, problem, result, hint, edit, past);
  return {
    el,
    bind(next) {
      row = next;
      state.set(row.last_error ? "warning" : row.enabled ? "online" : "offline",
        row.last_error ? "Failing" : row.enabled ? "On" : "Off");
      write(name, row.name);
      write(kind, row.kind);
      write(target, row.target);
      told.replaceChildren(toldOf(row), row.last_delivery_at ? last : "nothing delivered yet");
      if (row.last_delivery_at) setAge(last, row.last_delivery_at, "last delivery ");
      write(problem, row.last_error);
      attr(test.firstChild, "aria-label", `Send a test to ${row.name}`);
      attr(remove.firstChild, "aria-label", `Remove ${row.name}`);
      show(remove, row.id !== MAIL);
      show(hint, row.id === MAIL);
      editor?.draw(valuesOf(row));
    },
  };
}

function toldOf({ severities, groups, escalation, waiting, given_up: lost }) {
  return [
    severities.join(", ") + (groups.length ? ` of ${groups.join(", ")}` : "") + (escalation ? " and escalations" : ""),
    waiting > 0 && `${count(waiting, "message")} waiting`,
    lost > 0 && `${count(lost, "message")} given up in a day`, "",
  ].filter((words) => words !== false).join(" · ");
}

function delivery({ created_at: at, message, state, attempts, error }) {
  return h("li", {}, h("b", {}, stamp(at)), ` ${message} – ${state}`,
    attempts > 1 && ` after ${count(attempts, "try", "tries")}`, error && h("span", { class: "problem" }, ` ${error}`));
}
