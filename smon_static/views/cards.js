// The servers of the overview's answer, in order and in groups, and its grid: cards under their groups, those that wait
// for approval on top.

import { ApiError, refresh, send } from "../hub.js";
import { attr, h, icon, itemsOf, keyed, painted, show, toggle, vary, whenNew, write } from "../dom.js";
import { byName, count, duration } from "../format.js";
import { KINDS, age, badge, bar, kindOf, ring, setAge } from "../parts.js";
import { recall, remember, serverPath } from "../router.js";

const DISKS_SHOWN = 3;
const FIRST = 18;       // cards and group heads, about as many as a window holds
export const FLEET = "/api/dashboard?view=cards";  // where the servers are asked for
const PENDING = "\n";  // the key of the group of those that wait; no real group name has a line break

/**
 * The rows of an answer with view=cards as objects with the columns as members, and their kind. A member is read from
 * the row when it is asked for: of a large fleet most never are.
 */
export function serversOf({ columns, rows }) {
  const Server = readerOf(columns);
  return rows.map((row) => new Server(row));
}

const readers = new Map();  // columns -> the class for them; one for all answers, so that the browser knows its shape

function readerOf(columns) {
  const known = readers.get(columns.join());
  if (known) return known;
  class Server {
    constructor(row) {
      this.row = row;
      this.kind = kindOf(this);
      this.place = 0;
    }
  }
  columns.forEach((name, index) => {
    Object.defineProperty(Server.prototype, name, { get() { return this.row[index]; } });
  });
  readers.set(columns.join(), Server);
  return Server;
}

/**
 * Puts servers worst first and by name, and tells each its place by name. To compare names is dear and they seldom
 * change, so that their order is kept from one answer to the next.
 */
export function orderKeeper() {
  let names = [];
  let order = [];  // indexes of the servers, by name
  return (servers) => {
    if (servers.length !== names.length || servers.some((server, index) => server.name !== names[index])) {
      names = servers.map((server) => server.name);
      order = [...names.keys()].sort((a, b) => byName(names[a], names[b]));
    }
    const ranks = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, []]));  // the worst first
    order.forEach((index, place) => {
      const server = servers[index];
      server.place = place;
      ranks[server.kind].push(server);
    });
    return Object.values(ranks).flat();
  };
}

const SILENT = { cpu: null, memory: null, disks: [], uptime_seconds: null };

/** The server's figures; those of a silent one are old, and no state. */
export function current(server) {
  return server.kind === "offline" ? SILENT : server;
}

/** Groups in the order of their worst server; the servers, which come worst first, keep theirs. */
export function groupsOf(servers, nameOf = (server) => server.group) {
  const groups = new Map();
  for (const server of servers) {
    const name = nameOf(server);
    const members = groups.get(name);
    if (members) members.push(server);
    else groups.set(name, [server]);
  }
  const rank = ({ servers: [worst] }) => KINDS[worst.kind].rank;
  return [...groups].map(([name, members]) => ({ name, servers: members }))
    .sort((a, b) => rank(a) - rank(b) || byName(a.name, b.name));
}

/**
 * draw(servers) shows them in their groups. Short groups stand side by side; with the windowed list
 * of list.js, for large fleets, they stand below each other.
 */
export function cards(root, list = null) {
  const el = h("div", { class: list ? "cards long" : "cards" });
  const folded = new Set(JSON.parse(recall("folded", "[]")));
  const kinds = {
    group: { make: () => groupHead(fold), key: (group) => "g" + group.key, wide: true },
    pending: { make: pendingLine, key: keyOf, wide: true },
    card: { make: card, key: keyOf },
    section: { make: () => section(kinds) },
  };
  const shown = list ? list(el, kinds, { paper: false }) : keyed(el, kinds);
  let servers = [];
  root.append(el);

  function fold(name) {
    if (!folded.delete(name)) folded.add(name);
    remember("folded", JSON.stringify([...folded]));
    draw(servers);
  }

  function draw(next) {
    servers = next;
    const blocks = blocksOf(servers).map((block) => ({ ...block, open: !folded.has(block.key) }));
    shown.draw(list ? blocks.flatMap(runsOf)
      : blocks.map((block) => ({ key: block.key, kind: "section", data: itemsOf(runsOf(block), kinds) })));
  }

  return { draw, stop() { shown.stop?.(); el.remove(); } };
}

/** The grid of a large fleet: its first cards at once, and all of them when the windowed list has been loaded. */
export function longCards(root) {
  let shown = cards(root, firstOnes);
  let servers = [];
  let stopped = false;

  async function complete() {
    const [{ list }] = await Promise.all([import("../list.js"), painted()]);
    if (stopped) return;
    shown.stop();
    shown = cards(root, list);
    shown.draw(servers);
  }

  complete();
  return {
    draw(next) {
      servers = next;
      shown.draw(servers);
    },
    stop() {
      stopped = true;
      shown.stop();
    },
  };
}

function firstOnes(root, kinds) {
  const { draw } = keyed(root, kinds);
  return { draw: (runs) => draw(itemsOf(runs, kinds).slice(0, FIRST)) };
}

/** The groups, and before them one of those that wait for approval. */
function blocksOf(servers) {
  const groups = groupsOf(servers, (server) => (isPending(server) ? PENDING : server.group));
  const pending = groups.filter(({ name }) => name === PENDING)
    .map((group) => ({ ...group, key: PENDING, name: "Waiting for approval", kind: "pending" }));
  const others = groups.filter(({ name }) => name !== PENDING)
    .map((group) => ({ ...group, key: group.name, kind: "card" }));
  return [...pending, ...others];
}

function runsOf(group) {
  return [{ kind: "group", items: [group] }, { kind: group.kind, items: group.open ? group.servers : [] }];
}

function keyOf(server) {
  return "s" + server.id;
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

export function isPending(server) {
  return server.kind === "waiting" && server.flags.includes("pending");
}

/** The state of a server in words, where it can not be approved on the spot. */
export function wordOf(server) {
  return isPending(server) ? "Needs approval" : KINDS[server.kind].word;
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
      const kinds = group.servers.map((server) => server.kind);
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
  const introduce = whenNew((id, words, ip, os) => {
    write(name, words);
    attr(name, "href", serverPath(id));
    attr(name, "title", words);
    write(address, ip);
    write(system, os);
    attr(system, "title", os);
  });
  return {
    el,
    bind(server) {
      const { kind } = server;
      const { cpu: busy, memory: used, disks: filled } = current(server);
      introduce(server.id, server.name, server.ip, server.os);
      attr(el, "data-kind", kind);
      state.set(kind);
      cpu.set(busy);
      memory.set(used);
      disks.set(filled);
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
      attr(name, "href", serverPath(id));
      write(meta, [server.ip, server.os].filter(Boolean).join(" · "));
      attr(button, "aria-label", "Approve " + server.name);
    },
  };
}
