// The grid of the overview: servers as cards under their groups, those that wait for approval on top.

import { ApiError, refresh, send } from "../hub.js";
import { attr, h, icon, keyed, show, toggle, vary, write } from "../dom.js";
import { count, duration } from "../format.js";
import { KINDS, age, badge, bar, kindOf, ring, setAge } from "../parts.js";
import { recall, remember } from "../router.js";

const DISKS_SHOWN = 3;
const PENDING = "\n";  // the key of the group of those that wait; no real group name has a line break

/** The rows of an answer with view=cards as objects. */
export function serversOf({ columns, rows }) {
  return rows.map((row) => Object.fromEntries(row.map((value, index) => [columns[index], value])));
}

/**
 * draw([{name, servers}]) shows the groups in the given order. Short groups stand side by side; with the windowed list
 * of list.js, for large fleets, they stand below each other.
 */
export function cards(root, list = null) {
  const el = h("div", { class: "cards" });
  const folded = new Set(JSON.parse(recall("folded", "[]")));
  const kinds = {
    group: { make: () => groupHead(fold), wide: true },
    pending: { make: pendingLine, wide: true },
    card: { make: card },
    section: { make: () => section(kinds) },
  };
  const shown = list ? list(el, kinds) : keyed(el, kinds);
  let groups = [];
  root.append(el);

  function fold(name) {
    if (!folded.delete(name)) folded.add(name);
    remember("folded", JSON.stringify([...folded]));
    draw(groups);
  }

  function draw(next) {
    groups = next;
    const blocks = withPending(groups).map((block) => itemsOf(block, !folded.has(block.key)));
    shown.draw(list ? blocks.flat() : blocks.map((items) => ({ key: items[0].key, kind: "section", data: items })));
  }

  return { draw, stop() { shown.stop?.(); el.remove(); } };
}

/** The groups without those that wait for approval, which stand before them in a group of their own. */
function withPending(groups) {
  const pending = groups.flatMap((group) => group.servers.filter(isPending));
  const others = groups.map(({ name, servers }) => (
    { key: name, name, kind: "card", servers: servers.filter((each) => !isPending(each)) }));
  return [{ key: PENDING, name: "Waiting for approval", kind: "pending", servers: pending }, ...others]
    .filter((group) => group.servers.length);
}

function itemsOf(group, open) {
  const servers = open ? group.servers : [];
  return [{ key: "g" + group.key, kind: "group", data: { ...group, open } },
    ...servers.map((server) => ({ key: "s" + server.id, kind: group.kind, data: server }))];
}

/** A group with its cards; it is as many columns wide as it needs. */
function section(kinds) {
  const el = h("section", { class: "group" });
  const inner = keyed(el, kinds);
  return {
    el,
    bind(items) {
      const wide = items.some((item) => item.kind === "pending");
      toggle(el, "wide", wide);
      vary(el, "--size", Math.max(1, items.length - 1));
      inner.draw(items);
    },
  };
}

function isPending(server) {
  return server.flags.includes("pending");
}

function groupHead(fold) {
  let key = null;
  const name = h("span", { class: "group-name" });
  const size = h("span", { class: "muted" });
  const button = h("button", { type: "button", class: "group-fold", onclick: () => fold(key) }, icon("fold"), name);
  const tallies = Object.keys(KINDS).filter((kind) => kind !== "online").map(tally);
  return {
    el: h("div", { class: "group-head" }, h("h2", {}, button), size, tallies.map((each) => each.el)),
    bind(group) {
      key = group.key;
      write(name, group.name);
      write(size, count(group.servers.length, "server"));
      attr(button, "aria-expanded", group.open ? "true" : "false");
      const kinds = group.servers.map(kindOf);
      for (const each of tallies) each.set(key === PENDING ? [] : kinds);
    },
  };
}

/** How many of a group are in one state, hidden while none is. */
function tally(kind) {
  const words = h("span", {});
  const el = h("span", { class: "badge", "data-kind": kind }, icon(kind), words);
  return {
    el,
    set(kinds) {
      const number = kinds.filter((each) => each === kind).length;
      show(el, number > 0);
      write(words, `${number} ${KINDS[kind].word.toLowerCase()}`);
    },
  };
}

function card() {
  const name = h("a", { class: "card-link" });
  const state = badge();
  const address = h("span", { class: "card-address" });
  const system = h("span", { class: "card-system" });
  const cpu = ring("CPU", "cpu");
  const memory = ring("Memory", "memory");
  const disks = diskBars();
  const life = age("card-life");
  const foot = h("span", { class: "card-life" });
  const upkeep = h("span", { class: "chip" }, "Maintenance");
  const alerts = h("span", { class: "chip alerting" });
  const el = h("article", { class: "card" },
    h("div", { class: "card-head" }, h("h3", {}, name), state.el),
    h("p", { class: "card-meta" }, address, system),
    h("div", { class: "card-body" }, cpu.el, memory.el, disks.el),
    h("div", { class: "card-foot" }, life, foot, upkeep, alerts));
  return {
    el,
    bind(server) {
      const kind = kindOf(server);
      const current = kind === "offline" ? { cpu: null, memory: null, disks: [] } : server;  // old figures are no state
      attr(el, "data-kind", kind);
      write(name, server.name);
      attr(name, "href", "/servers/" + encodeURIComponent(server.id));
      attr(name, "title", server.name);
      state.set(kind);
      write(address, server.ip);
      write(system, server.os);
      attr(system, "title", server.os);
      cpu.set(current.cpu);
      memory.set(current.memory);
      disks.set(current.disks);
      show(life, kind === "offline");
      show(foot, kind !== "offline");
      setAge(life, server.last_seen_at, "Last seen ");
      write(foot, kind === "waiting" ? "Waiting for its first sample" : "Up " + duration(server.uptime_seconds));
      show(upkeep, server.flags.includes("maintenance"));
      show(alerts, server.alerts > 0);
      toggle(alerts, "critical", server.critical > 0);
      write(alerts, count(server.alerts, "alert"));
    },
  };
}

function diskBars() {
  const bars = Array.from({ length: DISKS_SHOWN }, () => bar("disk"));
  return {
    el: h("div", { class: "card-disks" }, bars.map((each) => each.el)),
    set(disks) {
      bars.forEach((each, index) => {
        const disk = disks[index];
        show(each.el, Boolean(disk));
        if (disk) each.set(...disk);
      });
    },
  };
}

/** A server that waits for approval, with the button that lets it in. */
export function pendingLine() {
  let id = null;
  const name = h("a", { class: "pending-name" });
  const meta = h("span", { class: "muted" });
  const problem = h("span", { class: "problem", role: "alert" });
  const button = h("button", { type: "button", class: "button small primary", onclick: approve }, "Approve");

  async function approve() {
    button.disabled = true;
    try {
      await send("PATCH", "/api/dashboard/server/" + encodeURIComponent(id), { approved: true });
      refresh();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      write(problem, error.message);
    }
    button.disabled = false;
  }

  return {
    el: h("article", { class: "pending" }, icon("waiting"), h("h3", {}, name), meta, problem, button),
    bind(server) {
      id = server.id;
      write(name, server.name);
      attr(name, "href", "/servers/" + encodeURIComponent(id));
      write(meta, [server.ip, server.os].filter(Boolean).join(" · "));
      attr(button, "aria-label", "Approve " + server.name);
    },
  };
}
