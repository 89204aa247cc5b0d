// The overview: six figures, what is wrong, filters, and all servers as grid, list or map. The worst comes first.
// All of its state is in the query of the address: view, q, group, status, sort.

import { WHOLE, attr, h, icon, keyed, show, write } from "../dom.js";
import { count, duration, moment, parse, percent, roughly } from "../format.js";
import { hubNow, setSeconds, watch } from "../hub.js";
import { KINDS, age, badge, choice, notice, refusal, say, setAge, setSentence, skeleton, worstFirst } from "../parts.js";
import { query, recall, remember, serverPath } from "../router.js";
import { FLEET, cards, current, isPending, longCards, orderKeeper, serversOf, wordOf } from "./cards.js";

const TROUBLES_SHOWN = 3;
const SAY_EVERY_MS = 10000;

/** What the status filter can ask for; "online" is what the hub counts as online: neither offline nor waiting. */
const FILTERS = {
  __proto__: null,  // an address may ask for any word
  critical: { word: "Critical", test: (server) => server.kind === "critical" },
  warning: { word: "Warning", test: (server) => server.kind === "warning" },
  offline: { word: "Offline", test: (server) => server.kind === "offline" },
  online: { word: "Online", test: (server) => server.kind !== "offline" && server.kind !== "waiting" },
  waiting: { word: "Waiting", test: (server) => server.kind === "waiting" },
  alerts: { word: "With alerts", test: (server) => server.alerts > 0 },
  "critical-alerts": { word: "With critical alerts", test: (server) => server.critical > 0 },
};

/** The cards on top: the figure of the summary, label, symbol, what a click filters by (null: the bell), small line. */
const SUMMARY = [
  ["totalServers", "Servers", "servers", "", (_, sum) => count(sum.groups.length, "group")],
  ["onlineServers", "Online", "online", "online", onlineShare],
  ["offlineServers", "Offline", "offline", "offline", longestSilence],
  ["activeAlerts", "Active alerts", "warning", "alerts", ({ alerts }) => onServers(alerts)],
  ["criticalAlerts", "Critical", "critical", "critical-alerts", ({ critical }) => onServers(critical)],
  ["unreadNotifications", "Unread", "bell", null, () => "notifications"],
];

/** The ways to show the servers; what the first view of a small fleet does not need is loaded when it is wanted. */
const VIEWS = {
  __proto__: null,
  grid: async () => cards,
  "long grid": async () => longCards,
  list: async () => (await import("./servers.js")).servers,
  map: async () => (await import("./map.js")).map,
  compare: async () => (await import("./compare.js")).compare,
};

export function mount(root) {
  const summary = summaryCards();
  const wrong = troubles();
  const tools = toolbar();
  const body = h("div", { class: "fleet" });
  const empty = h("div", {});
  const heading = h("h1", { class: "unseen", tabindex: "-1" }, "Servers");
  const paper = h("div", { class: "paper" });
  const page = h("div", {}, summary.el, wrong.el, tools.el, empty, body, paper);
  const waiting = h("div", {}, skeleton("summary", 6), skeleton("cards", 8));
  const inOrder = orderKeeper();
  const news = announcer();
  let drawn = null;  // the answer on the page: a 304 brings the very same again
  let all = null;    // its servers, worst first
  let chosen = [];   // those of them that the filters let through
  let stage = { name: null, view: null };

  function draw(answer) {
    if (answer === drawn) return;
    drawn = answer;
    if (!page.isConnected) root.replaceChildren(heading, page);
    setSeconds(answer.refresh_seconds);
    const servers = serversOf(answer);
    all = inOrder(servers);
    summary.set(answer.summary, all);
    tools.setGroups(answer.summary.groups);
    title(answer.summary.criticalAlerts);
    news(servers);
    wrong.learn(answer.alerts);
    remember("usual", usualView(all.length));
    arrangeFleet();
  }

  function arrangeFleet() {
    if (!all) return;
    chosen = filtered() ? all.filter(wanted()) : all;
    const name = viewName(usualView(all.length));
    summary.press();
    wrong.set(chosen);
    tools.set(name, chosen, all);
    showEmpty(chosen.length);
    attr(page, "data-span", [count(chosen.length, "server"), ...filterWords()].join(" "));  // for the head of a paper
    const wantedStage = name === "grid" && chosen.length > WHOLE ? "long grid" : name;
    if (stage.name !== wantedStage) changeStage(wantedStage);
    stage.view?.draw(chosen, drawn.summary.groups);
  }

  async function changeStage(name) {
    stage.view?.stop();
    const next = stage = { name, view: null };
    const make = await VIEWS[name]();
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

  /** Paper gets a table of what is chosen, whatever the view. */
  function beforePrint() {
    paper.replaceChildren(...(chosen.length ? [paperTable(chosen)] : []));
  }

  function afterPrint() {
    paper.replaceChildren();
  }

  async function invite() {
    const { noServers } = await import("./add.js");
    if (!all.length && !empty.firstChild) empty.replaceChildren(noServers());
  }

  root.append(heading, waiting);
  VIEWS[viewName(recall("usual", "grid"))]().catch(() => {});  // comes beside the data; who shows it meets what fails
  query.listen(arrangeFleet);
  addEventListener("beforeprint", beforePrint);
  addEventListener("afterprint", afterPrint);
  const watching = watch({ path: () => FLEET, draw, refuse: (error) => root.replaceChildren(refusal(error)) });
  return () => {
    watching.stop();
    stage.view?.stop();
    removeEventListener("beforeprint", beforePrint);
    removeEventListener("afterprint", afterPrint);
  };
}

function usualView(total) {
  return total > WHOLE ? "list" : "grid";
}

function viewName(usual) {
  const name = query.get("view") || recall("view", usual);
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

/** What the small lines tell of the servers: how many have alerts and critical ones, and the longest silence. */
function tallied(all) {
  const tallies = { alerts: 0, critical: 0, silentSince: Infinity };
  for (const server of all) {
    if (server.alerts > 0) {
      tallies.alerts += 1;
      if (server.critical > 0) tallies.critical += 1;
    }
    if (server.kind !== "offline") continue;
    const seen = parse(server.last_seen_at);
    if (seen < tallies.silentSince) tallies.silentSince = seen;
  }
  return tallies;
}

function onlineShare(_, sum) {
  return sum.totalServers ? `${Math.round(sum.onlineServers / sum.totalServers * 100)}% of all` : "of none";
}

function longestSilence({ silentSince }, { waitingServers }) {
  if (silentSince < Infinity) return `longest ${roughly((hubNow() - silentSince) / 1000)}`;
  return waitingServers ? `${waitingServers} waiting` : "all report";
}

function onServers(number) {
  return number ? "on " + count(number, "server") : "none";
}

function summaryCards() {
  const tiles = SUMMARY.map(summaryCard);
  return {
    el: h("section", { class: "summary", "aria-label": "Summary" }, tiles.map((tile) => tile.el)),
    set(sum, all) {
      const tallies = tallied(all);
      for (const tile of tiles) tile.set(sum, tallies);
    },
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
    set(sum, tallies) {
      write(number, sum[figure]);
      write(small, detail(tallies, sum));
      attr(el, "data-some", sum[figure] > 0);
    },
    press() {
      if (filters) attr(el, "aria-pressed", pressed());
    },
  };
}

/**
 * What is wrong with the hub itself, and the worst servers and what is wrong with each.
 */
function troubles() {
  const list = h("ul", { class: "troubles", "aria-label": "What is wrong" });
  const lines = keyed(list, { trouble: { make: troubleLine } });
  const more = h("a", { class: "troubles-more", href: "/alerts" });
  const el = h("div", {}, list, more);
  let servers = [];
  let alerts = new Map();  // server -> its alerts, the worst first

  function fill() {
    const struck = servers.filter((server) => server.alerts > 0);
    const rest = struck.length - TROUBLES_SHOWN;
    const shown = [...ownTroubles(), ...struck.sort(sooner).slice(0, TROUBLES_SHOWN)];
    show(el, shown.length > 0);
    show(more, rest > 0);
    write(more, `${count(rest, "more server")} with alerts`);
    lines.draw(shown.map((server) => (
      { key: server.id, kind: "trouble", data: { server, alerts: alerts.get(server.id) || [] } })));
  }

  /** Of many that are equally bad the answer has words for some: those. */
  function sooner(a, b) {
    return KINDS[a.kind].rank - KINDS[b.kind].rank || alerts.has(b.id) - alerts.has(a.id);
  }

  /** The hub as one of its servers, while it has alerts of its own; their server is null. */
  function ownTroubles() {
    const own = alerts.get(null) || [];
    return own.slice(0, 1).map(({ severity }) => (
      { id: null, name: "The hub", kind: severity === "critical" ? severity : "warning", alerts: own.length }));
  }

  return {
    el,
    set(next) {
      servers = next;
      fill();
    },
    learn(active) {
      alerts = new Map();
      for (const alert of worstFirst(active)) {
        alerts.set(alert.server_id, [...alerts.get(alert.server_id) || [], alert]);
      }
    },
  };
}

function troubleLine() {
  const state = badge();
  const name = h("a", { class: "name-link" });
  const words = h("span", { class: "trouble-words" });
  const since = age("muted");
  const el = h("li", { class: "trouble" }, state.el, name, words, since);
  return {
    el,
    bind({ server, alerts: [worst, ...others] }) {
      attr(el, "data-kind", server.kind);
      state.set(server.kind);
      write(name, server.name);
      attr(name, "href", server.id === null ? "/alerts" : serverPath(server.id));
      const further = others.length ? `, and ${count(others.length, "more alert")}` : "";
      setSentence(words, worst ? worst.message + further : count(server.alerts, "alert"));
      show(since, Boolean(worst));
      if (worst) setAge(since, worst.timestamp);
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
    set(name, chosen, all) {
      if (search.value !== query.get("q")) search.value = query.get("q");
      group.value = query.get("group");
      status.value = query.get("status");
      view.set(name);
      show(clear, filtered());
      write(found, chosen.length === all.length ? "" : foundWords(chosen, all));
    },
  };
}

/** Counts what the summary counts; those that wait for approval are in none of its figures. */
function foundWords(chosen, all) {
  const admitted = (servers) => servers.filter((server) => !isPending(server)).length;
  const [some, whole] = [chosen, all].map(admitted);
  const pending = chosen.length - some;
  return `${some} of ${whole}` + (pending ? `, and ${pending} to approve` : "");
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

function filterWords() {
  const [q, group, status] = ["q", "group", "status"].map((name) => query.get(name));
  return [q && `“${q}”`, group && `in group ${group}`, FILTERS[status] && `with status “${FILTERS[status].word}”`]
    .filter(Boolean);
}

function nothingFound() {
  const clear = h("button", { type: "button", class: "button primary", onclick: clearFilters }, "Clear filters");
  return notice("No servers match", `Nothing was found for ${filterWords().join(" ")}.`, { actions: [clear] });
}

/** [heading, text] of each column on paper; the figures of a silent server are old, and none. */
const ON_PAPER = [
  ["Status", wordOf], ["Name", (server) => server.name],
  ["Group", (server) => server.group], ["Address", (server) => server.ip],
  ["CPU", (server) => percent(current(server).cpu)], ["Memory", (server) => percent(current(server).memory)],
  ["Fullest disk", (server) => current(server).disks.slice(0, 1).map(([name, share]) => `${name} ${percent(share)}`)],
  ["Alerts", (server) => server.alerts || ""], ["Up", (server) => duration(current(server).uptime_seconds)],
  ["Last seen", (server) => moment(parse(server.last_seen_at), hubNow())],
];

function paperTable(servers) {
  return h("table", { class: "figures" }, h("thead", {}, h("tr", {}, ON_PAPER.map(([words]) => h("th", {}, words)))),
    h("tbody", {}, servers.map((server) => h("tr", {}, ON_PAPER.map(([, text]) => h("td", {}, text(server)))))));
}

/** Tell a screen reader when a server, which keeps its row, changes its state: at most a sentence in ten seconds. */
function announcer() {
  let before = [];
  let saidAt = 0;
  return (servers) => {
    const changed = servers.filter((server, index) => (
      server.kind !== before[index]?.kind && server.id === before[index]?.id));
    before = servers;
    if (!changed.length || Date.now() - saidAt < SAY_EVERY_MS) return;
    saidAt = Date.now();
    const [first] = changed;
    const more = changed.length > 1 ? `, and ${count(changed.length - 1, "more change")}` : "";
    say(`${first.name} is now ${KINDS[first.kind].word.toLowerCase()}${more}.`);
  };
}
