// The head of the pages of one server: where it belongs, its name and state, what it is, and the tabs.

import { attr, h, icon, show, write } from "../dom.js";
import { duration } from "../format.js";
import { ApiError, get, peek } from "../hub.js";
import { age, badge, kindOf, setAge } from "../parts.js";
import { serverPath } from "../router.js";
import { FLEET, orderKeeper, serversOf } from "./cards.js";

/** [path, name, what of the answer is counted on it] */
const TABS = [
  ["", "Overview"],
  ["/performance", "Performance"],
  ["/processes", "Processes"],
  ["/services", "Services", ({ services }) => services.filter((each) => ["failed", "error"].includes(each.status))],
  ["/alerts", "Alerts", ({ alerts }) => alerts.filter((alert) => alert.state === "active")],
  ["/settings", "Settings"],
];

/** tab: which of TABS is open. draw(answer) takes the answer about the server. */
export function serverHead(id, tab) {
  const group = h("a", {});
  const name = h("h1", { tabindex: "-1" }, "Server");
  const state = badge();
  const facts = h("p", { class: "facts" });
  const seen = age();
  const notes = h("p", { class: "muted notes" });
  const steps = neighbours(id, tab);
  const tabs = TABS.map(([path, word, counted]) => tabLink(id, path, word, path === tab, counted));
  const el = h("header", { class: "server-head" },
    h("div", { class: "head-line" },
      h("nav", { class: "crumbs", "aria-label": "Path" }, h("a", { href: "/" }, "Servers"), group), steps.el),
    h("div", { class: "server-name" }, name, state.el), facts, notes,
    h("nav", { class: "tabs", "aria-label": "Server" }, tabs.map((each) => each.el)));
  show(state.el, false);
  return {
    el,
    draw(answer) {
      const { server, metrics } = answer;
      for (const each of tabs) each.draw(answer);
      write(group, server.group_name);
      attr(group, "href", "/?" + new URLSearchParams({ group: server.group_name }));
      write(name, server.display_name);
      show(state.el, true);
      state.set(kindOf(server));
      setAge(seen, server.last_seen_at, "last seen ");
      facts.replaceChildren(...factsOf(server, metrics).map((fact) => h("span", {}, fact)), seen);
      write(notes, server.notes);
      show(notes, Boolean(server.notes));
      steps.learn();
    },
  };
}

/** The same tab of the servers before and after this one, in the order of the overview. */
function neighbours(id, tab) {
  const before = stepLink("Previous", "earlier", -1);
  const after = stepLink("Next", "later", 1);
  let asked = false;

  /** Once: a list that moved while one steps through it would lead astray. */
  async function learn() {
    if (asked) return;
    asked = true;
    try {
      const all = orderKeeper()(serversOf(peek(FLEET) || await get(FLEET)));
      const at = all.findIndex((server) => server.id === id);
      before.set(all[at - 1], tab);
      after.set(at < 0 ? undefined : all[at + 1], tab);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      asked = false;  // the next answer asks again
    }
  }

  return { el: h("nav", { class: "steps", "aria-label": "Other servers" }, before.el, after.el), learn };
}

function stepLink(word, className, by) {
  const name = h("span", {});
  const el = h("a", { class: `step ${className}`, "data-step": by, hidden: true },
    by < 0 && icon("fold"), name, by > 0 && icon("fold"));
  return {
    el,
    set(server, tab) {
      show(el, Boolean(server));
      if (!server) return;
      write(name, server.name);
      attr(el, "href", `${serverPath(server.id)}${tab}`);
      attr(el, "aria-label", `${word} server: ${server.name}`);
      attr(el, "title", `${word} server: ${server.name}`);
    },
  };
}

function tabLink(id, path, word, open, counted = () => []) {
  const mark = h("span", { class: "tally", hidden: true });
  return {
    el: h("a", { href: `/servers/${id}${path}`, "aria-current": open ? "page" : null }, word, mark),
    draw(answer) {
      const { length } = counted(answer);
      show(mark, length > 0);
      write(mark, length);
    },
  };
}

function factsOf(server, metrics) {
  return [
    server.ip_address,
    server.hostname !== server.display_name && server.hostname,
    server.os_info,
    metrics && kindOf(server) !== "offline" && `up ${duration(metrics.uptime_seconds)}`,
    server.agent && server.agent.version && `agent ${server.agent.version}`,
    server.tags && server.tags.length && server.tags.map((tag) => "#" + tag).join(" "),
  ].filter(Boolean);
}
