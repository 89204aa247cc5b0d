// How servers come in: the mode, the tokens that let them in by themselves, and those that wait for approval.

import { h, keyed, show, write } from "../dom.js";
import { action, confirmed, filled, form, shownOnce } from "../forms.js";
import { get, refresh, send, watch } from "../hub.js";
import { panel, refusal } from "../parts.js";
import { FLEET, isPending, pendingLine, serversOf } from "../views/cards.js";
import { actionColumn, listing, textColumn, timeColumn } from "./listing.js";

const PATH = "/api/dashboard/registration";
const MODES = [
  ["approve", "approve – anyone may ask, an admin lets them in"],
  ["token", "token – only with a registration token"],
  ["open", "open – everyone is let in at once"], ["closed", "closed – no new server"],
];

export function mount(root) {
  const made = h("div", {});
  const mode = form({ label: "Registration mode", looks: [
    { key: "registration_mode", kind: "select", label: "Who may register a server", choices: MODES }],
  send: (values) => send("PATCH", "/api/dashboard/settings", values), done: refresh });
  const tokens = listing({ caption: "Registration tokens", id: (row) => String(row.id),
    empty: "There are no registration tokens.",
    columns: [textColumn("name", "Name"), textColumn("group_name", "Group"),
      textColumn("uses_left", "Uses left", (row) => row.uses_left ?? "any"),
      textColumn("expires_at", "Expires", (row) => row.expires_at?.slice(0, 10) ?? "never"),
      timeColumn("created_at", "Made"), textColumn("created_by", "By"), actionColumn(buttons)] });
  const adding = form({ label: "New registration token", submit: "Make token", fresh: true, looks: [
    { key: "name", label: "Name", text: "What it is for." },
    { key: "group_name", label: "Group", text: "Empty: as the agent says." },
    { key: "expires_days", kind: "number", label: "Days until it expires", text: "Empty: it does not expire." },
    { key: "uses", kind: "number", label: "Servers it lets in", text: "Empty: any number." }],
  send: (values) => send("POST", PATH, filled(values)),
  done: ({ registration_token: token }) => {
    made.replaceChildren(shownOnce("Registration token", token, "Copy it now: it is shown only this once."));
    refresh();
  } });
  const waiting = waitingPanel();
  root.append(made, waiting.el, panel("Mode", { className: "panel-form" }, mode.el),
    panel("Registration tokens", {}, tokens.el),
    panel("New registration token", { className: "panel-form" }, adding.el));

  function draw(answer) {
    mode.draw({ registration_mode: answer.mode });
    tokens.draw(answer.tokens);
    waiting.draw(answer.waiting);
  }

  const watching = watch({ path: () => PATH, draw, refuse: (error) => root.replaceChildren(refusal(error)) });
  return () => {
    watching.stop();
    tokens.stop();
  };
}

function buttons(row) {
  return [action("Revoke", async () => {
    const text = "Servers that it has let in already stay.";
    if (!await confirmed({ title: `Revoke ${row.name}?`, text, button: "Revoke" })) return;
    await send("DELETE", `${PATH}/${row.id}`);
    refresh();
  }, { label: `Revoke ${row.name}` })];
}

function waitingPanel() {
  const list = h("div", { class: "waiting-list" });
  const words = h("span", { class: "muted" });
  const lines = keyed(list, { pending: { make: pendingLine } });
  const el = panel("Waiting for approval", { beside: words }, list);
  show(el, false);
  return {
    el,
    async draw(number) {
      show(el, number > 0);
      write(words, number);
      if (!number) return;
      const servers = serversOf(await get(FLEET));
      lines.draw(servers.filter(isPending)
        .map((server) => ({ key: server.id, kind: "pending", data: server })));
    },
  };
}
