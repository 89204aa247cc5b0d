// The reader's own account: who they are to the hub, and their password.

import { h } from "../dom.js";
import { form } from "../forms.js";
import { send, session, watch } from "../hub.js";
import { panel } from "../parts.js";

export function mount(root) {
  const { name, role, via } = session.user;
  root.append(panel("My account", {}, h("p", {}, via === "local"
    ? "You use the hub from its own machine, which it trusts until it has its first account."
    : ["You are ", h("b", {}, name), `, ${role}.`])));
  if (via === "session") root.append(panel("Password", { className: "panel-form" }, passwordForm().el));
  return watch({ path: () => "/api/session", draw: () => {}, refuse: () => {} }).stop;  // an ended session leads away
}

function passwordForm() {
  return form({ label: "Password", submit: "Change password", fresh: true,
    looks: [
      { key: "old_password", kind: "password", label: "Present password", autocomplete: "current-password" },
      { key: "new_password", kind: "password", label: "New password", autocomplete: "new-password",
        text: "At least 10 characters. Your other sessions end." },
    ],
    send: (values) => send("PATCH", "/api/session", values) });
}
