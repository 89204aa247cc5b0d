// API tokens: credentials for scripts and for Prometheus, shown once when they are made.

import { h } from "../dom.js";
import { action, confirmed, filled, form, shownOnce } from "../forms.js";
import { refresh, send, watch } from "../hub.js";
import { panel, refusal } from "../parts.js";
import { actionColumn, listing, textColumn, timeColumn } from "./listing.js";

const PATH = "/api/dashboard/tokens";

export function mount(root) {
  const made = h("div", {});
  const tokens = listing({ caption: "API tokens", id: (row) => String(row.id), empty: "There are no API tokens.",
    columns: [textColumn("name", "Name"), textColumn("role", "Role"), timeColumn("last_used_at", "Last used"),
      timeColumn("created_at", "Made"), textColumn("created_by", "By"),
      textColumn("expires_at", "Expires", (row) => row.expires_at?.slice(0, 10) ?? "never"), actionColumn(buttons)] });
  const adding = form({ label: "New API token", submit: "Make token", fresh: true,
    looks: [
      { key: "name", label: "Name", text: "What it is for." },
      { key: "role", kind: "select", label: "Role", choices: ["viewer", "admin"], value: "viewer" },
      { key: "expires_days", kind: "number", label: "Days until it expires", text: "Empty: it does not expire." },
    ],
    send: (values) => send("POST", PATH, filled(values)),
    done: ({ token }) => {
      made.replaceChildren(shownOnce("API token", token, "Copy it now: it is shown only this once."));
      refresh();
    } });
  root.append(made, panel("API tokens", {}, tokens.el), panel("New API token", { className: "panel-form" },
    h("p", { class: "muted" }, "Send it as ", h("code", {}, "Authorization: Bearer smt_…"), "."), adding.el));
  const watching = watch({ path: () => PATH, draw: (answer) => tokens.draw(answer.tokens),
    refuse: (error) => root.replaceChildren(refusal(error)) });
  return () => {
    watching.stop();
    tokens.stop();
  };
}

function buttons(row) {
  return [action("Revoke", async () => {
    const text = "Whoever uses it is refused from now on.";
    if (!await confirmed({ title: `Revoke ${row.name}?`, text, button: "Revoke" })) return;
    await send("DELETE", `${PATH}/${row.id}`);
    refresh();
  }, { label: `Revoke ${row.name}` })];
}
