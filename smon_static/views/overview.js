// The overview: six figures, filters, and all servers as grid, list or map. What is wrong comes first.
// All of its state is in the query of the address: view, q, group, status, sort.

import { WHOLE, attr, h, icon, show, write } from "../dom.js";
import { byName, count, parse, roughly } from "../format.js";
import { hubNow, setSeconds, watch } from "../hub.js";
import { KINDS, choice, kindOf, notice, refusal, say, skeleton } from "../parts.js";
import { query, recall, remember } from "../router.js";
import { cards, serversOf } from "./cards.js";

const PATH = "/api/dashboard?view=cards";
const SAY_EVERY_MS = 10000;

/** What the status filter can ask for; "online" is what the hub counts as online: neither offline nor waiting. */
const FILTERS = {
  critical: { word: "Critical", test: (server) => kindOf(server) === "critical" },
  warning: { word: "Warning", test: (server) => kindOf(server) === "warning" },
  offline: { word: "Offline", test: (server) => kindOf(server) === "offline" },
  online: { word: "Online", test: (server) => !["offline", "waiting"].includes(kindOf(server)) },
  waiting: { word: "Waiting", test: (server) => kindOf(server) === "waiting" },
  alerts: { word: "With alerts", test: (server) => server.alerts > 0 },
  "critical-alerts": { word: "With critical alerts", test: (server) => server.critical > 0 },
};

/** The cards on top: the figure of the summary, label, symbol, what a click filters by (null: the bell), small line. */
const SUMMARY = [
  ["totalServers", "Servers", "servers", "", (all, sum) => count(sum.groups.length, "group")],
  ["onlineServers", "Online", "online", "online", onlineShare],
  ["offlineServers", "Offline", "offline", "offline", longestSilence],
  ["activeAlerts", "Active alerts", "warning", "alerts", (all) => alertedOn(all, "alerts")],
  ["criticalAlerts", "Critical", "critical", "critical-alerts", (all) => alertedOn(all, "critical")],
  ["unreadNotifications", "Unread", "bell", null, () => "notifications"],
];

/** The ways to show the servers; what the first view of a small fleet does not need is loaded when it is wanted. */
const VIEWS = {
  grid: async () => cards,
  list: async () => (await import("./servers.js")).servers,
  map: async () => (await import("./map.js")).map,
  compare: async () => (await import("./compare.js")).compare,
};

async function longGrid() {
  const { list } = await import("../list.js");
  return (root) => cards(root, list);
}

export function mount(root) {
  const summary = summaryCards();
  const tools = toolbar();
  const body = h("div", { class: "fleet" });
  const empty = h("div", {});
  const heading = h("h1", { class: "unseen", tabindex: "-1" }, "Servers");
  const page = h("div", {}, summary.el, tools.el, empty, body);
  const waiting = h("div", {}, skeleton("summary", 6), skeleton("cards", 8));
  const news = announcer();
  let drawn = null;  // the answer on the page: a 304 brings the very same again
  let all = null;    // its servers, worst first
  let stage = { load: null, view: null };

  function draw(answer) {
    if (answer === drawn) return;
    drawn = answer;
    if (!page.isConnected) root.replaceChildren(heading, page);
    setSeconds(answer.refresh_seconds);
    all = inOrder(answer);
    summary.set(answer.summary, all);
    tools.setGroups(answer.summary.groups);
    title(answer.summary.criticalAlerts);
    news(all);
    arrangeFleet();
  }

  function arrangeFleet() {
    if (!all) return;
    const chosen = all.filter(wanted());
    const name = viewName(all.length);
    summary.press();
    tools.set(name, chosen.length, all.length);
    showEmpty(chosen.length);
    const load = name === "grid" && chosen.length > WHOLE ? longGrid : VIEWS[name];
    if (stage.load !== load) changeStage(load);
    stage.view?.draw(groupsOf(chosen), drawn.summary.groups);
  }

  async function changeStage(load) {
    stage.view?.stop();
    const next = stage = { load, view: null };
    const make = await load();
    if (stage !== next) return;
    next.view = make(body);
    arrangeFleet();
  }

  function showEmpty(number) {
    show(body, number > 0);
    show(summary.el, all.length > 0);
    show(tools.el, all.length > 0);
    if (number) empty.replaceChildren();
    else if (all.length) empty.replaceChildren(nothingFound());
    else if (!empty.firstChild) invite();
  }

  async function invite() {
    const { noServers } = await import("./add.js");
    if (!all.length && !empty.firstChild) empty.replaceChildren(noServers());
  }

  root.append(heading, waiting);
  query.listen(arrangeFleet);
  const watching = watch({ path: () => PATH, draw, refuse: (error) => root.replaceChildren(refusal(error)) });
  return () => {
    watching.stop();
    stage.view?.stop();
  };
}

function viewName(total) {
  const name = query.get("view") || recall("view", total > WHOLE ? "list" : "grid");
  return name in VIEWS ? name : "grid";
}

function title(critical) {
  document.title = (critical ? `(${critical} critical) ` : "") + "Servers – smon";
}

/** The test for one server that the filters in the address make together. */
function wanted() {
  const text = query.get("q").trim().toLowerCase();
  const group = query.get("group");
  const status = FILTERS[query.get("status")];
  return (server) => (!group || server.group === group) && (!status || status.test(server))
    && (!text || mentions(server, text));
}

function mentions(server, text) {
  const words = [server.name, server.hostname, server.ip, ...server.tags];
  return words.some((word) => word && word.toLowerCase().includes(text));
}

const rank = (server) => KINDS[kindOf(server)].rank;

/** The servers of the answer, worst first and by name; sorted here once, not at each key stroke. */
function inOrder(answer) {
  return serversOf(answer).sort((a, b) => rank(a) - rank(b) || byName(a.name, b.name));
}

/** Groups in the order of their worst server; the servers keep theirs. */
function groupsOf(servers) {
  const groups = new Map();
  for (const server of servers) {
    if (!groups.has(server.group)) groups.set(server.group, []);
    groups.get(server.group).push(server);
  }
  return [...groups].map(([name, members]) => ({ name, servers: members }))
    .sort((a, b) => rank(a.servers[0]) - rank(b.servers[0]) || byName(a.name, b.name));
}

function onlineShare(all, sum) {
  return sum.totalServers ? `${Math.round(sum.onlineServers / sum.totalServers * 100)}% of all` : "of none";
}

function longestSilence(all) {
  const seen = all.filter(FILTERS.offline.test).map((server) => parse(server.last_seen_at)).filter(Number.isFinite);
  return seen.length ? `longest ${roughly((hubNow() - Math.min(...seen)) / 1000)}` : "all report";
}

function alertedOn(all, field) {
  const number = all.filter((server) => server[field] > 0).length;
  return number ? "on " + count(number, "server") : "none";
}

function summaryCards() {
  const tiles = SUMMARY.map(summaryCard);
  return {
    el: h("section", { class: "summary", "aria-label": "Summary" }, tiles.map((tile) => tile.el)),
    set: (sum, all) => tiles.forEach((tile) => tile.set(sum, all)),
    press: () => tiles.forEach((tile) => tile.press()),
  };
}

function summaryCard([figure, label, symbol, filter, detail]) {
  const number = h("span", { class: "stat-figure" });
  const small = h("span", { class: "stat-detail" });
  const filters = filter !== null;
  const pressed = () => (filter && query.get("status") === filter ? "true" : "false");
  const onclick = () => (filters ? query.set({ status: pressed() === "true" ? "" : filter })
    : document.getElementById("bell").click());
  const el = h("button", { type: "button", class: "stat", "data-figure": figure, onclick },
    h("span", { class: "stat-label" }, icon(symbol), label), number, small);
  return {
    el,
    set(sum, all) {
      write(number, sum[figure]);
      write(small, detail(all, sum));
      attr(el, "data-some", sum[figure] > 0);
    },
    press() {
      if (filters) attr(el, "aria-pressed", pressed());
    },
  };
}

function toolbar() {
  const search = h("input", { type: "search", class: "search-field", placeholder: "Name, address or tag",
    "aria-label": "Search servers", autocomplete: "off", spellcheck: "false",
    oninput: () => query.set({ q: search.value }, { replace: true }) });
  const group = h("select", { "aria-label": "Group", onchange: () => query.set({ group: group.value }) });
  const status = h("select", { "aria-label": "Status", onchange: () => query.set({ status: status.value }) },
    h("option", { value: "" }, "Any status"),
    Object.entries(FILTERS).map(([value, each]) => h("option", { value }, each.word)));
  const clear = h("button", { type: "button", class: "button small", onclick: clearFilters }, "Clear filters");
  const found = h("span", { class: "found", role: "status" });
  const view = choice("View", [["grid", "Grid", "grid"], ["list", "List", "list"], ["map", "Map", "map"],
    ["compare", "Compare", "compare"]], pickView);
  view.el.dataset.choice = "view";
  let names = null;
  return {
    el: h("div", { class: "toolbar" },
      h("div", { class: "search" }, icon("search"), search), group, status, clear, found, view.el),
    setGroups(next) {
      if (names === next.join("\n")) return;
      names = next.join("\n");
      const options = [["", "All groups"], ...next.map((name) => [name, name])];
      group.replaceChildren(...options.map(([value, word]) => h("option", { value }, word)));
    },
    set(name, number, total) {
      if (search.value !== query.get("q")) search.value = query.get("q");
      group.value = query.get("group");
      status.value = query.get("status");
      view.set(name);
      show(clear, filtered());
      write(found, number === total ? "" : `${number} of ${total}`);
    },
  };
}

function pickView(name) {
  remember("view", name);
  query.set({ view: name });
}

function filtered() {
  return ["q", "group", "status"].some((name) => query.get(name));
}

function clearFilters() {
  query.set({ q: "", group: "", status: "" });
}

function nothingFound() {
  const q = query.get("q");
  const words = [q && `“${q}”`, query.get("group") && `in group ${query.get("group")}`,
    FILTERS[query.get("status")] && `with status “${FILTERS[query.get("status")].word}”`].filter(Boolean);
  const clear = h("button", { type: "button", class: "button primary", onclick: clearFilters }, "Clear filters");
  return notice("No servers match", `Nothing was found for ${words.join(" ")}.`, { actions: [clear] });
}

/** Tell a screen reader when a server changes its state, at most one sentence in ten seconds. */
function announcer() {
  let before = new Map();
  let saidAt = 0;
  return (all) => {
    const now = new Map(all.map((server) => [server.id, kindOf(server)]));
    const changed = all.filter(({ id }) => before.has(id) && before.get(id) !== now.get(id));
    before = now;
    if (!changed.length || Date.now() - saidAt < SAY_EVERY_MS) return;
    saidAt = Date.now();
    const [first] = changed;
    const more = changed.length > 1 ? `, and ${count(changed.length - 1, "more change")}` : "";
    say(`${first.name} is now ${KINDS[kindOf(first)].word.toLowerCase()}${more}.`);
  };
}
