// The alerts of all servers.

import { h } from "../dom.js";
import { watch } from "../hub.js";
import { refusal } from "../parts.js";
import { query } from "../router.js";
import { alertList } from "./alert_list.js";

/** The pages about alerts, as tabs. */
export function alertTabs(open) {
  const pages = [["/alerts", "Alerts"], ["/alerts/maintenance", "Maintenance"]];
  return h("nav", { class: "tabs", "aria-label": "Alerts" }, pages.map(([path, name]) => h("a",
    { href: path, "aria-current": path === open ? "page" : null }, name)));
}

export function mount(root) {
  const shown = alertList();
  document.title = "Alerts – smon";
  root.append(h("h1", { tabindex: "-1" }, "Alerts"), alertTabs("/alerts"), shown.el);
  const refuse = (error) => root.replaceChildren(refusal(error));
  const watching = watch({ path: shown.path, draw: shown.draw, refuse });
  query.listen(watching.now);
  return watching.stop;
}
