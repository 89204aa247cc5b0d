// The compare view of the overview: CPU, memory and the worst disk of the servers that are shown, greatest first.

import { WHOLE, attr, h, keyed, show, write } from "../dom.js";
import { byName, count } from "../format.js";
import { bar, panel } from "../parts.js";

const SUBJECTS = [
  ["CPU", "cpu", (server) => server.cpu],
  ["Memory", "memory", (server) => server.memory],
  ["Worst disk", "disk", (server) => server.disks?.[0]?.[1] ?? null],
];

/** draw(servers) like the grid; beyond WHOLE only the greatest of each subject are shown. */
export function compare(root) {
  const columns = SUBJECTS.map(subject);
  const silent = h("p", { class: "muted compare-silent" });
  const el = h("div", {}, h("div", { class: "compare" }, columns.map((column) => column.el)), silent);
  root.append(el);
  return {
    draw(servers) {
      const heard = servers.filter((server) => server.kind !== "offline");
      for (const column of columns) column.draw(heard);
      const rest = servers.length - heard.length;
      show(silent, rest > 0);
      write(silent, `${count(rest, "offline server has", "offline servers have")} no current figures.`);
    },
    stop: () => el.remove(),
  };
}

function subject([title, tone, read]) {
  const list = h("ol", { class: "compare-bars" });
  const lines = keyed(list, { bar: { make: () => line(tone) } });
  const none = h("p", { class: "muted" }, "No server reports it.");
  const rest = h("p", { class: "muted" });
  return {
    el: panel(title, {}, none, list, rest),
    draw(servers) {
      const known = servers.map((server) => ({ server, value: read(server) }))
        .filter(({ value }) => Number.isFinite(value));
      known.sort((a, b) => b.value - a.value || byName(a.server.name, b.server.name));
      show(none, !known.length);
      write(rest, known.length > WHOLE ? `and ${known.length - WHOLE} with less` : "");
      lines.draw(known.slice(0, WHOLE).map((data) => ({ key: data.server.id, kind: "bar", data })));
    },
  };
}

function line(tone) {
  const meter = bar(tone);
  const link = h("a", { class: "name-link" }, meter.el);
  return {
    el: h("li", {}, link),
    bind({ server, value }) {
      attr(link, "href", "/servers/" + encodeURIComponent(server.id));
      meter.set(server.name, value);
    },
  };
}
