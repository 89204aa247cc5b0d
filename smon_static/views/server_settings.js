// What people decide about one server: its name and thresholds, the settings of its agent, its key, its removal.

import { h, show, write } from "../dom.js";
import { action, confirmed, form, shownOnce } from "../forms.js";
import { get, identify, mayChange, refresh, send, watch } from "../hub.js";
import { panel, refusal, stamp } from "../parts.js";
import { go } from "../router.js";
import { lookOf } from "./agent_settings.js";
import { serverHead } from "./server_head.js";

const threshold = (key, label) => ({ key, kind: "number", label, min: 1, max: 100, text: "Percent." });
const LOOKS = [
  { key: "display_name", label: "Name" },
  { key: "group_name", label: "Group" },
  { key: "tags", kind: "tags", label: "Tags", text: "Words to find it by, separated by commas." },
  { key: "notes", kind: "area", label: "Notes", text: "What colleagues should know." },
  threshold("alert_cpu_threshold", "CPU threshold"),
  threshold("alert_memory_threshold", "Memory threshold"),
  threshold("alert_disk_threshold", "Disk threshold"),
  { key: "collection_interval", kind: "number", label: "Minutes between samples", min: 5, max: 60,
    text: "Queued for the agent." },
  { key: "may_be_off", kind: "check", label: "May be switched off", text: "Its silence is normal and no alert." },
];

export function mount(root, { id }) {
  const address = "/api/dashboard/server/" + id;
  const top = serverHead(id, "/settings");
  const body = h("div", { class: "detail server-settings" });
  let parts = null;
  root.append(top.el, body);

  function build() {
    const readonly = !mayChange();
    const own = form({ label: "Server", looks: LOOKS, readonly, send: (changes) => send("PATCH", address, changes),
      done: refresh });
    const agent = agentPart(address, readonly);
    const danger = dangerPart(address);
    body.append(panel("Server", { className: "panel-form" }, own.el), agent.el);
    if (!readonly) body.append(danger.el);
    return { own, agent, danger };
  }

  async function draw(answer) {
    await identify();
    parts = parts || build();
    top.draw(answer);
    document.title = `${answer.server.display_name} – Settings – smon`;
    parts.own.draw(answer.server);
    parts.danger.draw(answer.server);
    parts.agent.draw(await get(address + "/config"));
  }

  function refuse(error) {
    watching.stop();
    root.replaceChildren(refusal(error));
  }

  const watching = watch({ path: () => address + "?hours=1", draw: (answer) => draw(answer).catch(refuse), refuse });
  return watching.stop;
}

/** The agent's own settings: what it last said they are, what waits for it, and what it made of the last changes. */
function agentPart(address, readonly) {
  const state = h("p", { class: "muted" });
  const log = h("ul", { class: "revisions" });
  const body = h("div", {});
  let made = null;

  function build(schema) {
    const shown = form({ label: "Agent", looks: schema.map(lookOf).filter(Boolean), readonly,
      submit: "Queue for the agent", send: (changes) => send("POST", address + "/config", changes), done: refresh });
    body.append(shown.el);
    return shown;
  }

  return {
    el: panel("Agent", { className: "panel-form" }, state, body,
      h("details", { class: "chart-table" }, h("summary", {}, "Changes so far"), log)),
    draw({ pending, current, history, schema }) {
      made = made || build(schema);
      made.draw({ ...Object.fromEntries(schema.map(({ key }) => [key, null])), ...current, ...pending });
      write(state, stateWords(pending, current));
      log.replaceChildren(...history.map(revisionLine));
      show(log.parentNode, history.length > 0);
    },
  };
}

function stateWords(pending, current) {
  if (pending) return `Waiting for the agent to fetch: ${list(pending)}.`;
  if (current) return "These are the settings that the agent reported.";
  return "The agent has not said yet what its settings are; what is sent here is taken on top of them.";
}

function list(settings) {
  return Object.entries(settings).map(([key, value]) => `${key} = ${Array.isArray(value) ? value.join(", ") : value}`)
    .join("; ");
}

function revisionLine({ settings, queued_at: queued, answered_at: answered, rejected }) {
  const wrong = Object.entries(rejected);
  const taken = Object.fromEntries(Object.entries(settings).filter(([key]) => !(key in rejected)));
  return h("li", {}, h("b", {}, stamp(queued)), " ",
    !answered && `pending: ${list(settings)}`,
    answered && Object.keys(taken).length > 0 && `applied: ${list(taken)}`,
    answered && wrong.length > 0 && h("span", { class: "problem" },
      ` rejected: ${wrong.map(([key, reason]) => `${key} (${reason})`).join("; ")}`));
}

function dangerPart(address) {
  let server = null;
  const approve = action("Approve", async () => {
    await send("PATCH", address, { approved: true });
    refresh();
  }, { className: "primary" });
  const key = h("div", {});
  const rotate = action("New API key", async () => {
    const text = "The old key is refused at once. The agent keeps its samples until it is given the new one.";
    if (!await confirmed({ title: "Make a new API key?", text, button: "Make a new key" })) return;
    const answer = await send("POST", address + "/rotate-key");
    key.replaceChildren(shownOnce("API key", answer.api_key, "Copy it now: it is shown only this once. It belongs into "
      + "the agent's configuration as api_key."));
  }, { className: "" });
  const remove = action("Remove this server", async () => {
    const text = "All its data is removed with it and can not be brought back. Its agent is refused from then on.";
    const word = server.display_name;
    if (!await confirmed({ title: `Remove ${word}?`, text, button: "Remove", word })) return;
    await send("DELETE", address);
    go("/");
  }, { className: "danger" });
  return {
    el: panel("Key and removal", {}, h("div", { class: "actions" }, approve, rotate, remove), key),
    draw(next) {
      server = next;
      show(approve, server.flags.includes("pending"));
    },
  };
}
