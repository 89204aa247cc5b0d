// Maintenance windows: times in which alerts are recorded, but nobody is told of them.

import { h, write } from "../dom.js";
import { duration, full, moment, parse } from "../format.js";
import { action, confirmed, form } from "../forms.js";
import { get, hubNow, identify, mayChange, refresh, send, watch } from "../hub.js";
import { badge, choice, panel, refusal, say } from "../parts.js";
import { actionColumn, listing, textColumn } from "../settings/listing.js";
import { alertTabs } from "./alerts.js";
import { FLEET, serversOf } from "./cards.js";

const PATH = "/api/dashboard/maintenance";
const KINDS = [["once", "Once"], ["daily", "Every day"], ["weekly", "Every week"]];
const DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

export function mount(root) {
  const adding = h("div", { class: "form" });
  const names = new Map();  // uuid -> the server's name
  const windows = listing({ caption: "Maintenance windows", id: (row) => String(row.id),
    empty: "There are no maintenance windows.", sort: { key: "begins_at", down: false },
    columns: [{ key: "state", label: "State", value: (row) => (row.open ? 0 : row.begins_at ? 1 : 2), make: stateCell },
      textColumn("name", "Name"), textColumn("target", "For", (row) => targetWords(row, names)),
      textColumn("kind", "When", whenWords), textColumn("minutes", "Lasts", (row) => duration(row.minutes * 60)),
      { key: "begins_at", label: "Next", value: (row) => row.begins_at, make: nextCell },
      textColumn("created_by", "By"), actionColumn(buttons)] });
  document.title = "Maintenance – smon";
  root.append(h("h1", { tabindex: "-1" }, "Alerts"), alertTabs("/alerts/maintenance"), h("div", { class: "section" },
    panel("Maintenance windows", {}, windows.el),
    panel("New window", { className: "panel-form for-admin" }, adding)));

  async function learn() {
    const [answer] = await Promise.all([get(FLEET), identify()]);
    const servers = serversOf(answer);
    for (const server of servers) names.set(server.id, server.name);
    if (mayChange()) adding.append(...newWindow(targets(answer.summary.groups, servers)));
  }

  const learnt = learn();
  const watching = watch({ path: () => PATH, refuse: (error) => root.replaceChildren(refusal(error)),
    draw: (answer) => learnt.finally(() => windows.draw(answer.windows)) });
  return () => {
    watching.stop();
    windows.stop();
  };
}

function targets(groups, servers) {
  return [["all:", "All servers"], ...groups.map((name) => ["group:" + name, "Group " + name]),
    ...servers.map(({ id, name }) => ["server:" + id, name])];
}

/** A choice of how often, and the form that fits it. */
function newWindow(whom) {
  const place = h("div", {});
  const often = choice("How often", KINDS, fill);

  function fill(kind) {
    often.set(kind);
    const made = form({ label: "New maintenance window", submit: "Add window", fresh: true, looks: looksOf(kind, whom),
      send: (values) => send("POST", PATH, { kind, zone: zoneOf(values), ...bodyOf(values) }),
      done: () => { say("The window is added."); fill(kind); refresh(); } });
    place.replaceChildren(made.el);
  }

  fill("once");
  return [often.el, place];
}

function looksOf(kind, whom) {
  const common = [
    { key: "name", label: "Name", text: "What is done." },
    { key: "target", kind: "select", label: "For", choices: whom, value: "all:" },
    { key: "minutes", kind: "number", label: "Minutes", value: "60", min: 1, max: 10080 },
  ];
  if (kind === "once") return [...common, { key: "starts_at", kind: "moment", label: "Begins", text: "Your time." }];
  const start = { key: "start", kind: "time", label: "Begins at", value: "02:00" };
  const zone = { key: "zone", label: "Time zone", value: Intl.DateTimeFormat().resolvedOptions().timeZone,
    text: "A name, UTC, or an offset such as +02:00." };
  const days = DAYS.map((label, number) => ({ key: "day" + number, kind: "check", label }));
  return [...common, start, zone, ...(kind === "weekly" ? days : [])];
}

const zoneOf = (values) => values.zone || "UTC";

function bodyOf({ target, name, minutes, starts_at: startsAt, start, ...rest }) {
  const [scope, ...words] = target.split(":");
  const days = DAYS.map((_, number) => number).filter((number) => rest["day" + number]);
  return {
    name, minutes, scope, ...(scope !== "all" && { target: words.join(":") }),
    ...(startsAt && { starts_at: startsAt }), ...(start && { start }), ...(days.length && { days }),
  };
}

function targetWords({ scope, target }, names) {
  if (scope === "all") return "All servers";
  return scope === "group" ? `Group ${target}` : names.get(target) || "a removed server";
}

function whenWords({ kind, days, start, zone }) {
  if (kind === "once") return "Once";
  const which = kind === "weekly" ? days.map((day) => DAYS[day].slice(0, 3)).join(", ") : "Every day";
  return `${which} at ${start} ${zone}`;
}

function stateCell() {
  const state = badge();
  return {
    el: state.el,
    set(row) {
      if (row.open) state.set("warning", "Open");
      else state.set(row.begins_at ? "waiting" : "offline", row.begins_at ? "Planned" : "Over");
    },
  };
}

function nextCell() {
  const el = h("span", {});
  return {
    el,
    set(row) {
      const [from, to] = [parse(row.begins_at), parse(row.ends_at)];
      write(el, row.begins_at ? `${moment(from, hubNow())} to ${moment(to, hubNow())}` : "");
      el.title = full(from);
    },
  };
}

function buttons(row) {
  const remove = action("Remove", async () => {
    const text = row.open ? "It is open: what is wrong is told at once." : "It does not come again.";
    if (!await confirmed({ title: `Remove ${row.name}?`, text, button: "Remove" })) return;
    await send("DELETE", `${PATH}/${row.id}`);
    refresh();
  }, { label: `Remove ${row.name}` });
  remove.classList.add("for-admin");
  return [remove];
}
