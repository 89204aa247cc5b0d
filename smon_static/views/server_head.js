// The head of the pages of one server: where it belongs, its name and state, what it is, and the tabs.

import { attr, h, show, write } from "../dom.js";
import { duration } from "../format.js";
import { age, badge, kindOf, setAge } from "../parts.js";

const TABS = [["", "Overview"], ["/live", "Live"], ["/alerts", "Alerts"], ["/settings", "Settings"]];

/** tab: which of TABS is open. draw(answer) takes the answer about the server. */
export function serverHead(id, tab) {
  const group = h("a", {});
  const name = h("h1", { tabindex: "-1" }, "Server");
  const state = badge();
  const facts = h("p", { class: "facts" });
  const seen = age();
  const notes = h("p", { class: "muted notes" });
  const tabs = TABS.map(([path, word]) => h("a",
    { href: `/servers/${id}${path}`, "aria-current": path === tab ? "page" : null }, word));
  const el = h("header", { class: "server-head" },
    h("nav", { class: "crumbs", "aria-label": "Path" }, h("a", { href: "/" }, "Servers"), group),
    h("div", { class: "server-name" }, name, state.el), facts, notes,
    h("nav", { class: "tabs", "aria-label": "Server" }, tabs));
  show(state.el, false);
  return {
    el,
    draw({ server, metrics }) {
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
