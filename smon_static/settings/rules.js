// The alert rules of single groups, where they differ from the settings, and how often a rule would have alerted.

import { attr, h, show, write } from "../dom.js";
import { count, duration, moment, parse } from "../format.js";
import { action, confirmed, filled, form } from "../forms.js";
import { get, hubNow, mayChange, refresh, send, watch } from "../hub.js";
import { panel, refusal } from "../parts.js";
import { serverPath } from "../router.js";
import { actionColumn, listing, textColumn } from "./listing.js";
import { lookOf, words } from "./values.js";

const PATH = "/api/dashboard/rules";
const PREVIEW = "/api/dashboard/alerts/preview";
const THRESHOLDS = ["alert_cpu_threshold", "alert_memory_threshold", "alert_disk_threshold"];
const SETTINGS = ["alert_critical_percent", "alert_for_samples", "alert_for_minutes", "alert_clear_samples",
  "alert_inodes_threshold", "alert_swap_threshold", "alert_clock_skew_seconds"];
const RULES = [["cpu", "CPU"], ["memory", "Memory"], ["disk", "Fullest disk"]];
const DAYS = [["1", "the last day"], ["7", "the last 7 days"], ["30", "the last 30 days"]];
const EVERY = ["", "All servers"];

export function mount(root) {
  const groups = groupPanel(choose);
  const editor = editorPanel();
  const preview = previewPanel();
  root.append(groups.el, ...(mayChange() ? [editor.el] : []), preview.el);

  function choose(group) {
    editor.pick(group);
    editor.el.scrollIntoView({ block: "nearest" });
  }

  async function draw({ rules }) {
    const [{ settings, schema }, { summary }] = await Promise.all([get("/api/dashboard/settings"),
      get("/api/dashboard?view=summary")]);
    const names = [...new Set([...summary.groups, ...Object.keys(rules)])];
    groups.draw(rules);
    editor.draw({ rules, names, settings, schema });
    preview.draw(names);
  }

  const refuse = (error) => root.replaceChildren(refusal(error));
  const watching = watch({ path: () => PATH, draw: (answer) => draw(answer).catch(refuse), refuse });
  return () => {
    watching.stop();
    groups.stop();
    preview.stop();
  };
}

/** Which groups have rules of their own, and what those are. */
function groupPanel(choose) {
  const list = listing({ caption: "Rules of groups", id: (row) => row.id, empty: "No group has rules of its own.",
    columns: [textColumn("id", "Group"), { ...textColumn("own", "Of its own", ownWords), key: "change" },
      ...(mayChange() ? [actionColumn(buttons)] : [])] });

  function buttons({ id }) {
    const change = action("Change", async () => choose(id), { label: `Change the rules of ${id}` });
    const remove = action("Remove", async () => {
      const text = "Its servers follow the settings again, from their next sample on.";
      if (!await confirmed({ title: `Remove the rules of ${id}?`, text, button: "Remove" })) return;
      await send("POST", PATH, { group: id });
      refresh();
    }, { label: `Remove the rules of ${id}` });
    return [change, remove];
  }

  return {
    el: panel("Rules of groups", {}, h("p", { class: "muted lead" },
      "Groups follow the settings under General, but for what stands here."), list.el),
    draw: (rules) => list.draw(Object.entries(rules).map(([id, own]) => ({ id, own }))),
    stop: list.stop,
  };
}

function ownWords({ own }) {
  return Object.entries(own).map(([key, value]) => `${words(key)} ${value}`).join(", ");
}

/** A group, and the form that holds what it has of its own; a new form for each group, so that nothing is mixed up. */
function editorPanel() {
  const select = h("select", { class: "input", id: "rules-group", onchange: fill });
  const place = h("div", {});
  const el = panel("Change the rules of a group", { className: "panel-form" },
    h("div", { class: "field" }, h("label", { for: "rules-group" }, "Group"), select), place);
  let known = null;
  let made = null;
  let group = null;

  function fill() {
    if (select.value === group) return made?.draw(valuesOf(known.rules[group]));
    group = select.value;
    made = form({ label: `Rules of ${group}`, submit: "Save the group's rules", looks: looksOf(known),
      send: (some, all) => send("POST", PATH, { group, ...filled(all) }), done: refresh });
    made.draw(valuesOf(known.rules[group]));
    return place.replaceChildren(made.el);
  }

  function pick(name) {
    select.value = name;
    fill();
    place.querySelector("input").focus();
  }

  return {
    el,
    pick,
    draw(next) {
      known = next;
      show(el, known.names.length > 0);
      options(select, known.names.map((name) => [name, name]));
      if (known.names.length) fill();
    },
  };
}

/** An empty field follows what stands in it as its placeholder. */
function looksOf({ settings, schema }) {
  const rows = new Map(schema.map((row) => [row.key, row]));
  const thresholds = THRESHOLDS.map((key) => ({ key, kind: "number", label: words(key), min: 1, max: 100,
    text: "Percent, for servers without a threshold of their own.", placeholder: "as each server" }));
  return [...thresholds, ...SETTINGS.filter((key) => rows.has(key)).map((key) => (
    { ...lookOf(rows.get(key)), placeholder: String(settings[key]) }))];
}

function valuesOf(own = {}) {
  return Object.fromEntries([...THRESHOLDS, ...SETTINGS].map((key) => [key, own[key] ?? null]));
}

/** How often a rule would have alerted, with other levels and more patience. */
function previewPanel() {
  const said = h("p", { role: "status" });
  const found = listing({ caption: "Servers that would have alerted", id: (row) => row.server_id, empty: "",
    sort: { key: "openings", down: true },
    columns: [{ key: "name", label: "Server", value: (row) => row.display_name, make: serverCell },
      textColumn("group_name", "Group"), numberColumn("openings", "Alerts"), numberColumn("critical", "Critical"),
      numberColumn("minutes_open", "Open for", (row) => duration(row.minutes_open * 60))] });
  const asking = form({ label: "What would have fired", submit: "Look back", looks: [
    { key: "rule", kind: "select", label: "Rule", choices: RULES, value: "cpu" },
    { key: "group", kind: "select", label: "For", choices: [EVERY], value: "" },
    { key: "days", kind: "select", label: "In", choices: DAYS, value: "7" },
    { key: "threshold", kind: "number", label: "Threshold", min: 1, max: 100, placeholder: "as it is" },
    { key: "critical", kind: "number", label: "Critical from", min: 1, max: 100, placeholder: "as it is" },
    { key: "samples", kind: "number", label: "Samples over it", min: 1, max: 100, placeholder: "as it is" },
    { key: "minutes", kind: "number", label: "Minutes over it", min: 0, max: 1440, placeholder: "as it is" },
    { key: "clears", kind: "number", label: "Samples below it", min: 1, max: 100, placeholder: "as it is" }],
  always: true, send: (_, all) => ask(all) });

  async function ask(all) {
    write(said, "Working…");
    const answer = await get(`${PREVIEW}?${new URLSearchParams(filled(all))}`, { fresh: true }).catch((error) => {
      write(said, "");
      throw error;
    });
    write(said, previewWords(answer));
    show(found.el, answer.servers.length > 0);
    found.draw(answer.servers);
    asking.outcome("");
  }

  show(found.el, false);
  return {
    el: panel("What would have fired", { className: "panel-form" }, h("p", { class: "muted lead" },
      "The samples of the past, judged by other levels and other patience. Nothing is changed and nobody is told."),
    asking.el, said, found.el),
    draw: (names) => options(asking.el.querySelector("[name=group]"), [EVERY, ...names.map((name) => [name, name])]),
    stop: found.stop,
  };
}

function previewWords({ openings, servers_alerting: alerting, servers_looked_at: seen, servers_in_all: all, samples,
  since }) {
  const scope = seen < all ? `the first ${seen} of ${count(all, "server")}` : count(all, "server");
  const what = openings ? `${count(openings, "alert")} on ${count(alerting, "server")}` : "No alert";
  return `${what} since ${moment(parse(since), hubNow())}, in ${samples.toLocaleString("en")} samples of ${scope}.`;
}

function numberColumn(key, label, text = (row) => row[key]) {
  return { key, label, numeric: true, down: true, value: (row) => row[key], text };
}

function serverCell() {
  const el = h("a", { class: "name-link" });
  return {
    el,
    set({ server_id: id, display_name: name }) {
      write(el, name);
      attr(el, "href", serverPath(id));
    },
  };
}

/** Make these a select's options; what was chosen stays. */
function options(select, pairs) {
  const text = JSON.stringify(pairs);
  if (select.dataset.options === text) return;
  const { value } = select;
  select.dataset.options = text;
  select.replaceChildren(...pairs.map(([name, label]) => (
    h("option", { value: name, selected: name === value }, label))));
}
