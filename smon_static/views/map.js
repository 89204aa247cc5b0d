// The map view of the overview: every group an area with its totals, every server a tile with its load.
// Large fleets become small squares, coloured and shaped by state; very large ones show those in trouble and a count.

import { WHOLE, attr, h, icon, keyed, reicon, show, toggle, vary, write } from "../dom.js";
import { byName, count, percent } from "../format.js";
import { KINDS, bar } from "../parts.js";
import { serverPath } from "../router.js";
import { groupsOf, wordOf } from "./cards.js";

const SQUARES = 1500;  // beyond this only servers in trouble have one
const HUES = 6;        // as many as the style sheet has; after them they come again

/** draw(servers, names) like the grid; names: those of all groups, so that a filter changes no colour. */
export function map(root) {
  const el = h("div", { class: "map" });
  root.append(el);
  const zones = keyed(el, { zone: { make: zone } });
  return {
    draw(servers, names) {
      const hues = new Map([...names].sort(byName).map((name, place) => [name, place % HUES]));
      const total = servers.length;
      toggle(el, "dense", total > WHOLE);
      zones.draw(groupsOf(servers).map((group) => (
        { key: group.name, kind: "zone", data: { ...group, total, hue: hues.get(group.name) } })));
    },
    stop: () => el.remove(),
  };
}

function zone() {
  const name = h("h2", {});
  const sum = h("span", { class: "zone-sum" });
  const tiles = h("div", {});
  const inner = keyed(tiles, { node: { make: node }, square: { make: square }, rest: { make: rest } });
  const el = h("section", { class: "zone" }, h("div", { class: "zone-head" }, name, sum), tiles);
  return {
    el,
    bind({ name: words, servers, total, hue }) {
      attr(el, "data-hue", hue ?? 0);
      write(name, words);
      write(sum, totals(servers));
      attr(tiles, "class", total > WHOLE ? "squares" : "nodes");
      inner.draw(total > WHOLE ? squares(servers, total) : servers.map((server) => item(server, "node")));
    },
  };
}

function totals(servers) {
  const known = servers.filter((server) => server.kind !== "offline" && server.cpu !== null);
  const mean = (field) => known.reduce((sum, server) => sum + server[field], 0) / known.length;
  const figures = known.length ? ` · CPU ${percent(mean("cpu"))} · memory ${percent(mean("memory"))}` : "";
  return count(servers.length, "server") + figures;
}

function squares(servers, total) {
  const drawn = total > SQUARES ? servers.filter((server) => server.kind !== "online") : servers;
  const left = servers.length - drawn.length;
  const items = drawn.map((server) => item(server, "square"));
  return left ? [...items, { key: "rest", kind: "rest", data: left }] : items;
}

function item(server, kind) {
  return { key: "s" + server.id, kind, data: server };
}

function link(el, server) {
  const { kind } = server;
  attr(el, "data-kind", kind);
  attr(el, "href", serverPath(server.id));
  return kind;
}

function node() {
  const mark = icon("online");
  const word = h("span", { class: "unseen" });
  const name = h("span", { class: "node-name" });
  const cpu = bar("cpu");
  const el = h("a", { class: "node" }, mark, name, word, cpu.el);
  return {
    el,
    bind(server) {
      const kind = link(el, server);
      const off = kind === "offline" || kind === "waiting";
      reicon(mark, kind);
      write(word, wordOf(server));
      attr(word, "class", off ? "node-word" : "unseen");  // where nothing is measured its place is the bar's
      write(name, server.name);
      attr(el, "title", `${server.name} · ${wordOf(server)} · ${server.ip}`);
      cpu.set("CPU", server.cpu);
      show(cpu.el, !off);
    },
  };
}

function square() {
  const el = h("a", { class: "square" });
  return {
    el,
    bind(server) {
      link(el, server);
      const words = `${server.name}: ${wordOf(server)}, CPU ${percent(server.cpu)}`;
      attr(el, "aria-label", words);
      attr(el, "title", words);
      vary(el, "--share", server.cpu ?? 0);
    },
  };
}

function rest() {
  const el = h("span", { class: "squares-more" });
  return { el, bind: (number) => write(el, `${number} online`) };
}
