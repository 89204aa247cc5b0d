// Starts the page: the routes, the header that stays over every view, the banners, and the keys.

import { attr, h, reicon, show, write } from "./dom.js";
import { ago, clock, full, useUtc, zone } from "./format.js";
import { get, identify, link, loginPath, mayChange, on, refresh, send, session, setRefreshing } from "./hub.js";
import { notice, popup, tickAges } from "./parts.js";
import { again, begin, go, recall, remember, settle } from "./router.js";

const ROUTES = [
  { path: /^\/$/, view: () => import("./views/overview.js") },
  { path: /^\/servers\/(?<id>[^/]+)$/, view: () => import("./views/server.js") },
  { path: /^\/servers\/(?<id>[^/]+)\/(performance|live)$/, view: () => import("./views/live.js") },
  { path: /^\/servers\/(?<id>[^/]+)\/processes$/, view: () => import("./views/server_processes.js") },
  { path: /^\/servers\/(?<id>[^/]+)\/services$/, view: () => import("./views/server_services.js") },
  { path: /^\/servers\/(?<id>[^/]+)\/alerts$/, view: () => import("./views/server_alerts.js") },
  { path: /^\/servers\/(?<id>[^/]+)\/settings$/, view: () => import("./views/server_settings.js") },
  { path: /^\/compare$/, view: () => import("./views/compare_page.js") },
  { path: /^\/alerts$/, view: () => import("./views/alerts.js") },
  { path: /^\/alerts\/maintenance$/, view: () => import("./views/maintenance.js") },
  { path: /^\/add$/, view: () => import("./views/add.js") },
  { path: /^\/settings(\/(?<section>[^/]+))?$/, view: () => import("./settings/page.js") },
];

const GO_MS = 1500;  // how long a "g" waits for the letter that says where to

const element = (id) => document.getElementById(id);
const main = element("main");
const banner = element("banner");

// --- what the header says ---

function showAge() {
  const words = {
    loading: "Loading…",
    fine: "Updated " + ago(link.answeredAt, Date.now()),
    down: link.error && trouble(link.error),
    refused: "No access",
  };
  write(element("age"), words[link.state]);
}

function showRefreshSwitch() {
  const button = element("refreshing");
  const words = link.refreshing ? "Pause refreshing" : "Refresh automatically";
  reicon(button.firstElementChild, link.refreshing ? "pause" : "play");
  attr(button, "aria-label", words);
  attr(button, "title", words);
}

/** Why there is no new data. A hub that answers can be reached, whatever it says. */
function trouble({ away, status }) {
  return away ? "Hub unreachable" : status === 429 ? "The hub asks to wait" : "The hub has a problem";
}

function bannerWords() {
  const since = `${trouble(link.error)} since ${clock(link.downSince)}`;
  const data = link.answeredAt ? `showing data from ${clock(link.answeredAt, true)}` : "nothing has been loaded yet";
  const reason = link.error.status ? ` (${link.error.message})` : "";
  const seconds = Math.max(0, Math.ceil((link.retryAt - Date.now()) / 1000));
  const retry = link.retryAt ? `retrying in ${seconds} s` : "refreshing is off";
  return { since: `${since}${reason} – ${data}`, retry };
}

/** The sentence is an alert and said once; the countdown beside it is not part of it. */
function showBanner() {
  const down = link.state === "down";
  document.documentElement.classList.toggle("stale", down);
  show(banner, down);
  if (!down) return;
  const words = bannerWords();
  write(element("banner-words"), words.since);
  write(element("banner-retry"), words.retry);
}

function showLink() {
  showAge();
  showRefreshSwitch();
  showBanner();
  if (link.state === "refused") location.replace(loginPath());  // that page alone may be seen without a credential
}

function tick() {
  if (document.hidden) return;
  showAge();
  showBanner();
  tickAges();
}

/** Counts that the overview brings by itself; for the other views they are asked for at the same pace. */
function tally(id, number, words) {
  const mark = element(id);
  show(mark, number > 0);
  write(mark, number > 99 ? "99+" : number);
  attr(mark, "aria-label", `${number} ${words}`);
}

let countedAt = 0;

async function count(answer) {
  if (!answer.summary && Date.now() - countedAt < link.seconds * 1000) return;
  countedAt = Date.now();
  const summary = answer.summary || await totals();
  if (!summary) return;
  tally("active", summary.activeAlerts, "active");
  tally("unread", summary.unreadNotifications, "unread");
  showIcon(summary.criticalAlerts > 0);
}

/** The tab's icon turns red while something is critical, for whoever looks at another page. */
function showIcon(critical) {
  const link = document.querySelector("link[rel=icon]");
  attr(link, "href", link.getAttribute("href").replace(/favicon[^/]*$/, critical ? "favicon-critical.svg" : "favicon.svg"));
}

/** The figures of the overview alone; none when the hub can not be asked, which the poller says. */
async function totals() {
  const answer = await get("/api/dashboard?view=summary").catch(() => null);
  return answer && answer.summary;
}

// --- the zone of times ---

function readZone() {
  const utc = recall("zone", "local") === "utc";
  useUtc(utc);
  show(element("zone"), utc);
}

/** Everything that has written a time does so again. */
function switchZone() {
  remember("zone", recall("zone", "local") === "utc" ? "local" : "utc");
  readZone();
  again();
}

// --- who reads ---

function showReader() {
  document.documentElement.dataset.role = mayChange() ? "admin" : "viewer";
  show(element("setup"), session.setup && mayChange());
  if (!session.user) return;
  const button = element("user");
  const words = session.user.via === "local" ? "This machine" : session.user.name;
  attr(button, "title", `${words} (${session.user.role})`);
  attr(button, "aria-label", `Account: ${words}`);
}

async function logOut() {
  await send("DELETE", "/api/session");
  location.replace("/login");
}

function accountMenu() {
  const { name, role, via } = session.user || { name: "Nobody", role: "", via: "local" };
  const byPassword = via === "session";
  return h("div", { class: "menu" },
    h("p", {}, h("b", {}, via === "local" ? "This machine" : name), h("span", { class: "muted" }, role)),
    byPassword && h("a", { href: "/settings/account" }, "Change password"),
    h("button", { type: "button", "data-closes": true, onclick: switchZone },
      recall("zone", "local") === "utc" ? "Times in your zone" : `Times in UTC, not ${zone(Date.now())}`),
    h("button", { type: "button", onclick: showKeys }, "Keyboard shortcuts"),
    byPassword && h("button", { type: "button", onclick: logOut }, "Log out"));
}

async function notifications(panel) {
  const { bell } = await import("./views/bell.js");
  return bell(panel, (unread) => tally("unread", unread, "unread"));
}

// --- keys ---

const press = (id) => () => element(id).click();
const choose = (place) => () => document.querySelectorAll("[data-choice=view] .segment")[place]?.click();

/** [key, what it does, how]. Off in fields, and altogether where the reader turned them off. */
const KEYS = [
  ["/", "Search", () => document.querySelector("main input[type=search]")?.focus()],
  ["g o", "Go to the servers", () => go("/")],
  ["g a", "Go to the alerts", () => go("/alerts")],
  ["g s", "Go to the settings", () => go("/settings")],
  ["1", "Servers as a grid", choose(0)],
  ["2", "Servers as a list", choose(1)],
  ["3", "Servers as a map", choose(2)],
  ["4", "Compare servers", choose(3)],
  ["j", "Next server", () => step(1)],
  ["k", "Previous server", () => step(-1)],
  ["[", "Previous tab", () => tab(-1)],
  ["]", "Next tab", () => tab(1)],
  ["r", "Refresh now", refresh],
  ["p", "Pause or resume refreshing", press("refreshing")],
  ["t", "Change the theme", () => document.querySelector("[data-theme-switch]").click()],
  ["u", "Times in UTC or in your zone", switchZone],
  ["n", "Notifications", press("bell")],
  ["?", "Show this list", showKeys],
];

function step(by) {
  const neighbour = document.querySelector(`main [data-step="${by}"]:not([hidden])`);
  if (neighbour) return neighbour.click();
  document.activeElement.dispatchEvent(new Event("smon:step", { bubbles: true }));  // list.js knows its place
  const links = [...document.querySelectorAll("main :is(.card-link, .name-link, .node, .square, .pending-name)")];
  const at = links.indexOf(document.activeElement);
  const next = links[at < 0 && by < 0 ? links.length - 1 : at + by];
  return next?.focus();
}

function tab(by) {
  const tabs = [...document.querySelectorAll(".tabs a")];
  tabs[tabs.findIndex((each) => each.hasAttribute("aria-current")) + by]?.click();
}

async function showKeys() {
  const { keyList } = await import("./views/keys.js");
  keyList(KEYS);
}

function keys() {
  let leader = 0;  // when "g" was pressed
  return (event) => {
    const busy = event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey;
    if (busy || recall("keys", "on") !== "on" || event.target.closest("input, select, textarea, dialog")) return;
    const name = (Date.now() - leader < GO_MS ? "g " : "") + event.key;
    leader = event.key === "g" ? Date.now() : 0;
    const found = KEYS.find(([key]) => key === name);
    if (!found) return;
    event.preventDefault();
    found[2]();
  };
}

// --- paper ---

/** On paper stands what the screen tells by its controls: the span of time, and when this was so. Tables are open. */
function preparePaper() {
  const span = main.querySelector("[data-span]")?.dataset.span;
  const words = [document.title, span, `printed ${full(Date.now())}`].filter(Boolean).join(" · ");
  const head = h("p", { class: "paper-head" }, words);
  const folded = [...main.querySelectorAll(".chart-table:not([open])")];
  main.prepend(head);
  for (const each of folded) {
    each.open = true;
    each.dispatchEvent(new Event("toggle"));  // the browser's own comes after the paper
  }
  addEventListener("afterprint", () => {
    head.remove();
    for (const each of folded) each.open = false;
  }, { once: true });
}

// --- start ---

function loadFailure() {
  const retry = () => location.reload();
  const again = h("button", { type: "button", class: "button primary", onclick: retry }, "Load again");
  return notice("This page could not be loaded", "The hub did not deliver a part of the page. It may be restarting.",
    { heading: "h1", actions: [again] });
}

function start() {
  on("change", showLink);
  on("draw", (answer) => { settle(); count(answer); });
  on("sent", () => { countedAt = 0; });  // after a change the counts are old
  element("refreshing").addEventListener("click", () => setRefreshing(!link.refreshing));
  element("refresh").addEventListener("click", refresh);
  element("retry").addEventListener("click", refresh);
  popup(element("bell"), "Notifications", notifications);
  popup(element("user"), "Account", (panel) => panel.replaceChildren(accountMenu()));
  document.addEventListener("keydown", keys());
  addEventListener("beforeprint", preparePaper);
  addEventListener("pageshow", (event) => event.persisted && location.reload());  // Back after a log-out shows nothing
  setInterval(tick, 1000);
  readZone();
  showLink();
  begin(ROUTES, main, loadFailure);
  identify().then(showReader, () => {});  // the poller meets the same trouble and says so
}

start();
