// Starts the page: the routes, the header that stays over every view, the banner and the panel for refused readers.

import { attr, h, reicon, show, write } from "./dom.js";
import { ago, clock } from "./format.js";
import { notice, tickAges } from "./parts.js";
import { link, on, refresh, setRefreshing } from "./poll.js";
import { begin, settle } from "./router.js";

const ROUTES = [
  { path: /^\/$/, view: () => import("./views/overview.js") },
  { path: /^\/servers\/(?<id>[^/]+)$/, view: () => import("./views/server.js") },
  { path: /^\/servers\/(?<id>[^/]+)\/live$/, view: () => import("./views/live.js") },
];

const element = (id) => document.getElementById(id);
const main = element("main");
const banner = element("banner");

function showAge() {
  const words = {
    loading: "Loading…",
    fine: "Updated " + ago(link.answeredAt, Date.now()),
    down: "Hub unreachable",
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

function bannerWords() {
  const since = `Hub unreachable since ${clock(link.downSince)}`;
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

function refusedPanel() {
  const panel = notice("This hub has no account yet: open it on the hub's own machine",
    "Until the first account exists, the hub trusts its own machine and nobody else. "
    + "Open this address there, or make an account there with: ",
    { heading: "h1", actions: [h("code", {}, "python smon_server.py user add NAME --role admin")] });
  panel.id = "refused";
  panel.append(h("p", { class: "muted", id: "refused-words" }));
  return panel;
}

function showRefused() {
  const refused = link.state === "refused";
  if (refused && !element("refused")) main.before(refusedPanel());
  if (refused) write(element("refused-words"), "The hub says: " + link.error.message);
  else element("refused")?.remove();
  show(main, !refused);
}

function showLink() {
  showAge();
  showRefreshSwitch();
  showBanner();
  showRefused();
}

function tick() {
  if (document.hidden) return;
  showAge();
  showBanner();
  tickAges();
}

function start() {
  on("change", showLink);
  on("draw", () => settle());
  element("refreshing").addEventListener("click", () => setRefreshing(!link.refreshing));
  element("refresh").addEventListener("click", refresh);
  element("retry").addEventListener("click", refresh);
  setInterval(tick, 1000);
  showLink();
  begin(ROUTES, main);
}

start();
