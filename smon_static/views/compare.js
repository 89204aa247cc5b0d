// The compare view of the overview: CPU, memory and the worst disk of the servers that are shown, greatest first. Those
// that are ticked are named in the query (ids), and their histories can be laid over each other.

import { WHOLE, attr, h, keyed, show, write } from "../dom.js";
import { byName, count } from "../format.js";
import { badge, bar, panel } from "../parts.js";
import { query, serverPath } from "../router.js";

export const MOST = 8;  // lines in one chart that can still be told apart

const SUBJECTS = [
  ["CPU", "cpu", (server) => server.cpu],
  ["Memory", "memory", (server) => server.memory],
  ["Worst disk", "disk", (server) => server.disks?.[0]?.[1] ?? null],
];

/** The ids of the servers that are chosen, each once and in their order. */
export function chosenIds() {
  return [...new Set(query.get("ids").split(",").filter(Boolean))];
}

/** Those of them that fit into one chart. */
export function fittingIds() {
  return chosenIds().slice(0, MOST);
}

/** Choose a server beside these, or of these all but it. */
export function choose(ids, id, on) {
  const others = ids.filter((each) => each !== id);
  query.set({ ids: (on ? [...others, id] : others).join() }, { replace: true });
}

/** draw(servers) like the grid; beyond WHOLE only the greatest of each subject are shown. */
export function compare(root) {
  const picked = choiceBar();
  const columns = SUBJECTS.map(subject);
  const silent = silentOnes();
  const el = h("div", {}, picked.el, h("div", { class: "compare" }, columns.map((column) => column.el)), silent.el);
  root.append(el);
  return {
    draw(servers) {
      const ids = fittingIds();
      picked.draw(ids);
      const heard = servers.filter((server) => server.kind !== "offline");
      for (const column of columns) column.draw(heard, ids);
      silent.draw(servers.filter((server) => server.kind === "offline"), ids);
    },
    stop: () => el.remove(),
  };
}

/** How to choose, and what can be done with those that are chosen. */
function choiceBar() {
  const hint = h("p", { class: "muted compare-hint" },
    `Tick up to ${MOST} servers to see their histories in one chart.`);
  const link = h("a", { class: "button small primary" });
  const most = h("span", { class: "muted" }, "These are as many as fit into one chart.");
  const clear = h("button", { type: "button", class: "button small", onclick: chooseNone }, "Choose none");
  const chosen = h("div", { class: "chosen" }, link, most, clear);
  return {
    el: h("div", {}, hint, chosen),
    draw(ids) {
      show(hint, !ids.length);
      show(chosen, ids.length > 0);
      write(link, ids.length === 1 ? "History of the 1 chosen" : `Histories of the ${ids.length} chosen`);
      attr(link, "href", "/compare?ids=" + ids.map(encodeURIComponent).join());
      show(most, ids.length >= MOST);
    },
  };
}

/** The button that was pressed goes with what it cleared: the focus goes to where one chooses anew. */
function chooseNone() {
  query.set({ ids: "" }, { replace: true });
  document.querySelector(".compare-bars input")?.focus();
}

function subject([title, tone, read]) {
  const list = h("ol", { class: "compare-bars" });
  const lines = keyed(list, { bar: { make: () => line(tone) } });
  const none = h("p", { class: "muted" }, "No server reports it.");
  const rest = h("p", { class: "muted" });
  return {
    el: panel(title, {}, none, list, rest),
    draw(servers, ids) {
      const known = servers.map((server) => ({ server, value: read(server), ids }))
        .filter(({ value }) => Number.isFinite(value));
      known.sort((a, b) => b.value - a.value || byName(a.server.name, b.server.name));
      show(none, !known.length);
      write(rest, known.length > WHOLE ? `and ${known.length - WHOLE} with less` : "");
      lines.draw(known.slice(0, WHOLE).map((data) => ({ key: data.server.id, kind: "bar", data })));
    },
  };
}

/** Those that are offline: what they said last is no figure to compare, but their histories can be chosen. */
function silentOnes() {
  const words = h("span", { class: "muted" });
  const list = h("ul", { class: "compare-bars" });
  const lines = keyed(list, { server: { make: silentLine } });
  const rest = h("p", { class: "muted" });
  const el = panel("Offline", { className: "compare-silent", beside: words }, list, rest);
  return {
    el,
    draw(servers, ids) {
      show(el, servers.length > 0);
      write(words, `${count(servers.length, "offline server has", "offline servers have")} no current figures.`);
      write(rest, servers.length > WHOLE ? `and ${servers.length - WHOLE} more` : "");
      lines.draw(servers.slice(0, WHOLE).map((server) => (
        { key: server.id, kind: "server", data: { server, ids } })));
    },
  };
}

function silentLine() {
  const name = h("span", { class: "compare-name" });
  const state = badge();
  const row = pickable(name, state.el);
  return {
    el: row.el,
    bind({ server, ids }) {
      row.set(server, ids);
      write(name, server.name);
      state.set(server.kind);
    },
  };
}

function line(tone) {
  const meter = bar(tone);
  const row = pickable(meter.el);
  return {
    el: row.el,
    bind({ server, value, ids }) {
      row.set(server, ids);
      meter.set(server.name, value);
    },
  };
}

/** A server with the box that chooses it; the content leads to its page. */
function pickable(...content) {
  let id = null;
  const link = h("a", { class: "name-link" }, content);
  const box = h("input", { type: "checkbox", onchange: () => choose(fittingIds(), id, box.checked) });
  return {
    el: h("li", {}, h("label", {}, box), link),
    set(server, ids) {
      id = server.id;
      attr(link, "href", serverPath(id));
      attr(box, "aria-label", `Choose ${server.name}`);
      box.checked = ids.includes(id);
      box.disabled = !box.checked && ids.length >= MOST;
    },
  };
}
