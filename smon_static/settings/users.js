// The people who may log in: their roles and passwords, and the first account that ends local trust.

import { attr, h } from "../dom.js";
import { action, confirmed, form, formDialog } from "../forms.js";
import { refresh, send, session, watch } from "../hub.js";
import { notice, panel, refusal, say } from "../parts.js";
import { actionColumn, listing, textColumn, timeColumn } from "./listing.js";

const PATH = "/api/dashboard/users";
const ROLES = [["viewer", "viewer – looks"], ["admin", "admin – changes things"]];
const one = (name) => `${PATH}/${encodeURIComponent(name)}`;

export function mount(root) {
  const people = listing({ caption: "Users", id: (row) => row.name, empty: "There is no account yet.",
    columns: [textColumn("name", "Name"), { key: "role", label: "Role", value: (row) => row.role, make: roleCell },
      timeColumn("last_login_at", "Last log-in"), timeColumn("created_at", "Made"),
      textColumn("sessions", "Sessions"), actionColumn(buttons)] });
  const first = session.setup;
  const adding = form({
    label: first ? "First account" : "New user", submit: first ? "Make the first account" : "Add user", fresh: true,
    looks: [
      { key: "name", label: "Name", text: "Letters, digits and . _ @ -", required: true },
      { key: "role", kind: "select", label: "Role", choices: ROLES, value: first ? "admin" : "viewer" },
      { key: "password", kind: "password", label: "Password", text: "At least 10 characters.",
        autocomplete: "new-password" },
    ],
    send: (values) => send("POST", PATH, values),
    done: () => (first ? location.assign("/login?next=/settings/users") : refresh()),
  });
  if (first) {
    root.append(notice("Make the first account",
      "Until there is one, the hub trusts everyone who uses its own machine. Afterwards everyone logs in, you too."));
  }
  root.append(panel(first ? "First account" : "New user", { className: "panel-form" }, adding.el));
  if (!first) root.prepend(panel("Users", {}, people.el));
  const watching = watch({ path: () => PATH, refuse: (error) => root.replaceChildren(refusal(error)),
    draw: ({ users }) => people.draw(users.map((row) => ({ ...row, id: row.name }))) });
  return () => {
    watching.stop();
    people.stop();
  };
}

/** The role as a choice that takes effect at once; a refusal puts the old one back. */
function roleCell() {
  let row = null;
  const select = h("select", { class: "small", onchange: change },
    ["viewer", "admin"].map((role) => h("option", {}, role)));
  const problem = h("span", { class: "problem", role: "alert" });

  async function change() {
    try {
      await send("PATCH", one(row.name), { role: select.value });
      say(`${row.name} is now ${select.value}.`);
    } catch (error) {
      problem.textContent = error.message;
    }
    refresh();
  }

  return {
    el: h("span", { class: "action" }, select, problem),
    set(next) {
      row = next;
      attr(select, "aria-label", `Role of ${row.name}`);
      if (select !== document.activeElement) select.value = row.role;
    },
  };
}

function buttons(row) {
  return [
    action("Set password", () => setPassword(row.name), { label: `Set the password of ${row.name}` }),
    action("Remove", () => remove(row.name), { label: `Remove ${row.name}` }),
  ];
}

function setPassword(name) {
  formDialog({ title: `Password of ${name}`, submit: "Set password",
    looks: [{ key: "password", kind: "password", label: "New password", autocomplete: "new-password",
      text: "At least 10 characters. Ends their sessions." }],
    send: (values) => send("PATCH", one(name), values),
    done: () => { say("The password is set."); refresh(); } });
}

async function remove(name) {
  if (!await confirmed({ title: `Remove ${name}?`, text: "Their sessions end at once.", button: "Remove" })) return;
  await send("DELETE", one(name));
  refresh();
}
