// The head of the pages of one server: where it belongs, its name and state, what it is, and the tabs.

import { attr, h, show, write } from "../dom.js";
import { duration } from "../format.js";
import { age, badge, kindOf, setAge } from "../parts.js";

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
  const tabs = TABS.map(([path, word, counted]) => tabLink(id, path, word, path === tab, counted));
  const el = h("header", { class: "server-head" },
    h("nav", { class: "crumbs", "aria-label": "Path" }, h("a", { href: "/" }, "Servers"), group),
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
