// The settings: a list of sections beside the one that is open. Each section is a file of its own, loaded when wanted.

import { h } from "../dom.js";
import { identify, mayChange } from "../hub.js";
import { notice } from "../parts.js";

/** [path, name, load, only for admins]. A section is mount(root) -> stop(). */
const SECTIONS = [
  ["", "General", () => import("./values.js")],
  ["rules", "Alert rules", () => import("./rules.js")],
  ["notifications", "Notifications", () => import("./channels.js")],
  ["registration", "Registration", () => import("./registration.js"), true],
  ["users", "Users", () => import("./users.js"), true],
  ["tokens", "API tokens", () => import("./tokens.js"), true],
  ["data", "Data", () => import("./data.js")],
  ["audit", "Audit log", () => import("./audit.js"), true],
  ["account", "My account", () => import("./account.js")],
];

export function mount(root, { section = "" }) {
  const [path, name, load, guarded] = SECTIONS.find(([each]) => each === section) || SECTIONS[0];
  const body = h("div", { class: "section" });
  let stop = () => {};
  let gone = false;
  document.title = `${name} – Settings – smon`;
  root.append(h("h1", { tabindex: "-1" }, "Settings"), h("div", { class: "settings" }, sectionList(path), body));

  async function fill() {
    const [view] = await Promise.all([load(), identify()]);
    if (gone) return;
    if (guarded && !mayChange()) body.append(forAdmins());
    else stop = view.mount(body);
  }

  fill();
  return () => {
    gone = true;
    stop();
  };
}

function sectionList(open) {
  return h("nav", { class: "sections", "aria-label": "Settings" }, SECTIONS.map(([path, name, , guarded]) => h("a",
    { href: path ? "/settings/" + path : "/settings", class: guarded ? "for-admin" : null,
      "aria-current": path === open ? "page" : null }, name)));
}

function forAdmins() {
  return notice("For admins only", "Your account may look at the servers; this page is for those who change things.");
}
