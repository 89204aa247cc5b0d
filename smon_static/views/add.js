// How a server comes in: the commands to paste there, with the address, a token that admits it, and the file's sum.

import { attr, h, keyed, show, write } from "../dom.js";
import { count } from "../format.js";
import { copyable, filled, form } from "../forms.js";
import { getText, send, watch } from "../hub.js";
import { badge, choice, notice, panel, refusal } from "../parts.js";
import { serverPath } from "../router.js";
import { FLEET, serversOf } from "./cards.js";

const LOOPBACK = /^(localhost|127\.|\[::1\])/;

/** The commands of each system: lines that are pasted together. */
const SYSTEMS = {
  linux: { name: "Linux", lines: ({ url, sum, args }) => [
    `curl -fsSO ${url}/agent/smon_agent.py`,
    `echo "${sum}  smon_agent.py" | sha256sum -c - && python3 smon_agent.py ${args}`] },
  windows: { name: "Windows", lines: ({ url, sum, args }) => [
    `Invoke-WebRequest -UseBasicParsing ${url}/agent/smon_agent.py -OutFile smon_agent.py`,
    `if ((Get-FileHash smon_agent.py).Hash -eq "${sum}") { py smon_agent.py ${args} } else { "Damaged." }`] },
};

export function mount(root) {
  const arrived = arrivals();
  document.title = "Add a server – smon";
  root.append(h("h1", { tabindex: "-1" }, "Add a server"), h("div", { class: "adding" }, addPanel(), arrived.el));
  const refuse = (error) => root.replaceChildren(refusal(error));
  return watch({ path: () => FLEET, draw: arrived.draw, refuse }).stop;
}

/** The panel with the commands; it stands in an empty overview too. */
export function addPanel() {
  const code = copyable("", "the command");
  const system = choice("System", Object.entries(SYSTEMS).map(([key, { name }]) => [key, name]), pick);
  const address = h("input", { class: "input", id: "hub-address", value: location.origin, spellcheck: "false",
    oninput: draw });
  const warning = h("p", { class: "field-help" }, "This address reaches the hub from its own machine only: put the "
    + "hub's name or address in its place for others.");
  const state = { system: "linux", sum: "", token: "" };
  const token = tokenForm((made) => { state.token = made; draw(); });
  const el = panel("On the machine that shall be watched", { className: "add-panel", end: system.el },
    h("p", {}, "It needs Python 3.8 or newer with psutil. The command fetches the agent's one file, checks that it "
      + "arrived whole, and starts it: it registers, keeps its key in config.json beside it, and sends a sample."),
    h("div", { class: "field" }, h("label", { for: "hub-address" }, "Address of the hub"), address, warning),
    code.el, h("p", { class: "muted" }, "Without a way to this hub: carry ",
      h("a", { href: "/agent/smon_agent.py", download: true }, "smon_agent.py"), " there by hand."), token);

  function pick(name) {
    state.system = name;
    draw();
  }

  function draw() {
    const url = address.value.trim().replace(/\/+$/, "");
    const args = `--url ${url}` + (state.token && ` --token ${state.token}`);
    system.set(state.system);
    show(warning, LOOPBACK.test(url.replace(/^https?:\/\//, "")));
    code.set(SYSTEMS[state.system].lines({ url, args, sum: state.sum }).join("\n"));
  }

  getText("/agent/smon_agent.py.sha256").then((text) => { [state.sum] = text.split(" "); draw(); }, () => draw());
  draw();
  return el;
}

/** A registration token made on the spot; without one the server waits until somebody approves it. */
function tokenForm(made) {
  const done = h("p", { class: "muted", role: "status" });
  const el = h("section", { class: "add-token for-admin" }, h("h3", {}, "Let it in at once"),
    h("p", { class: "muted" }, "Without a token the server waits until somebody approves it."), done);
  const making = form({ label: "Registration token", submit: "Put a token into the command", fresh: true, looks: [
    { key: "group_name", label: "Group", text: "May be empty." },
    { key: "uses", kind: "number", label: "Servers it lets in", value: "1" },
    { key: "expires_days", kind: "number", label: "Days until it expires", value: "7" }],
  send: (values) => send("POST", "/api/dashboard/registration", { name: "Add a server", ...filled(values) }),
  done: ({ registration_token: token }, { uses, expires_days: days }) => {
    made(token);
    write(done, `The command holds a token now: for ${uses ? count(uses, "server") : "any number of servers"}, `
      + `${days ? count(days, "day") : "without an end"}.`);
  } });
  el.append(making.el);
  return el;
}

/** Servers that were not there when the page was opened. */
function arrivals() {
  const list = h("ul", { class: "arrivals" });
  const words = h("p", { class: "muted", role: "status" }, "Waiting for the first report…");
  const lines = keyed(list, { server: { make: arrival } });
  let before = null;
  return {
    el: panel("Then it shows up here", {}, words, list),
    draw(answer) {
      const servers = serversOf(answer);
      before = before || new Set(servers.map((server) => server.id));
      const fresh = servers.filter((server) => !before.has(server.id));
      show(words, !fresh.length);
      lines.draw(fresh.map((server) => ({ key: server.id, kind: "server", data: server })));
    },
  };
}

function arrival() {
  const state = badge();
  const name = h("a", { class: "name-link" });
  const address = h("span", { class: "muted" });
  return {
    el: h("li", {}, state.el, name, address),
    bind(server) {
      state.set(server.kind);
      write(name, server.name);
      attr(name, "href", serverPath(server.id));
      write(address, server.ip);
    },
  };
}

/** What an overview without servers shows. */
export function noServers() {
  const panelOf = notice("No servers yet", "Bring the first one in: it shows up here by itself, within half a minute.");
  panelOf.append(h("p", { class: "muted" }, "To look around first: ",
    h("code", {}, `python smon_server.py demo --url ${location.origin}`), " brings in servers that do not exist."));
  return h("div", { class: "adding" }, panelOf, addPanel());
}
