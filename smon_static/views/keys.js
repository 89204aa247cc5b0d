// The list of keys, and the switch that turns them off.

import { h } from "../dom.js";
import { recall, remember } from "../router.js";

/** keys: [[key, what it does]] */
export function keyList(keys) {
  const on = h("input", { type: "checkbox", id: "keys-on", checked: recall("keys", "on") === "on",
    onchange: () => remember("keys", on.checked ? "on" : "off") });
  const close = h("button", { class: "button primary", value: "close" }, "Close");
  const dialog = h("dialog", { class: "dialog", "aria-label": "Keyboard shortcuts" },
    h("h2", {}, "Keyboard shortcuts"),
    h("dl", { class: "keys" }, keys.map(([key, words]) => h("div", {},
      h("dt", {}, key.split(" ").map((each) => h("kbd", {}, each))), h("dd", {}, words)))),
    h("p", { class: "muted" },
      "In charts: arrow keys step, Shift goes further, Enter shows that moment, Escape zooms out."),
    h("p", {}, on, " ", h("label", { for: "keys-on" }, "Keys are on")),
    h("form", { method: "dialog", class: "actions" }, close));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  close.focus();
}
