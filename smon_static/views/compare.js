// The compare view of the overview: CPU, memory and the worst disk of the servers that are shown, greatest first. Those
// that are ticked are named in the query (ids), and their histories can be laid over each other.

import { WHOLE, attr, h, keyed, show, write } from "../dom.js";
import { byName, count } from "../format.js";
import { bar, panel } from "../parts.js";
import { query } from "../router.js";

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

/** Choose a server, or choose it no more. */
export function choose(id, on) {
  const others = chosenIds().filter((each) => each !== id);
  query.set({ ids: (on ? [...others, id] : others).join() }, { replace: true });
}

/** draw(servers) like the grid; beyond WHOLE only the greatest of each subject are shown. */
export function compare(root) {
  const picked = choiceBar();
  const columns = SUBJECTS.map(subject);
  const silent = h("p", { class: "muted compare-silent" });
  const el = h("div", {}, picked.el, h("div", { class: "compare" }, columns.map((column) => column.el)), silent);
  root.append(el);
  return {
    draw(servers) {
      const ids = chosenIds();
      picked.draw(ids);
      const heard = servers.filter((server) => server.kind !== "offline");
      for (const column of columns) column.draw(heard, ids);
      const rest = servers.length - heard.length;
      show(silent, rest > 0);
      write(silent, `${count(rest, "offline server has", "offline servers have")} no current figures.`);
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

function line(tone) {
  let id = null;
  const meter = bar(tone);
  const link = h("a", { class: "name-link" }, meter.el);
  const box = h("input", { type: "checkbox", onchange: () => choose(id, box.checked) });
  return {
    el: h("li", {}, h("label", {}, box), link),
    bind({ server, value, ids }) {
      id = server.id;
      attr(link, "href", "/servers/" + encodeURIComponent(id));
      attr(box, "aria-label", `Choose ${server.name}`);
      box.checked = ids.includes(id);
      box.disabled = !box.checked && ids.length >= MOST;
      meter.set(server.name, value);
    },
  };
}
