// The data as a whole: how much there is, its backups; take it out, take in what an agent collected elsewhere, remove
// what is past its keep.

import { attr, h, write } from "../dom.js";
import { bytes, count, duration, moment, parse } from "../format.js";
import { action, confirmed } from "../forms.js";
import { ApiError, get, hubNow, mayChange, send, watch } from "../hub.js";
import { panel, refusal } from "../parts.js";
import { words } from "./values.js";

const SPANS = [
  ["24", "the last 24 hours"], ["168", "the last 7 days"], ["720", "the last 30 days"], ["8760", "the last year"],
];
const EXPORTS = [
  ["JSON", { format: "json" }, "Servers with figures, history and alerts"],
  ["CSV", { format: "csv" }, "One row for each server"],
  ["History as CSV", { format: "csv", scope: "history" }, "One row for each sample"],
];

export function mount(root) {
  const store = storePanel();
  const backups = mayChange() ? backupPanel() : null;
  root.append(store.el, exportPanel());
  if (mayChange()) root.append(backups.el, cleanUpPanel(), importPanel());
  return watch({ path: () => "/api/dashboard/hub", refuse: (error) => root.replaceChildren(refusal(error)),
    draw(answer) {
      store.draw(answer);
      backups?.draw();
    } }).stop;
}

function storePanel() {
  const facts = h("dl", { class: "facts-list" });
  const fact = (name, value) => value && h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return {
    el: panel("Store", {}, facts),
    draw({ version, started_at: started, database: { file_bytes: file, wal_bytes: log, free_bytes: free, ...growth } }) {
      const full = growth.full_in_days;
      facts.replaceChildren(...[
        fact("Database", bytes(file + log)), fact("Free on its disk", bytes(free)),
        fact("Grows", growth.grows_bytes_per_day !== null && `${bytes(growth.grows_bytes_per_day)} a day`),
        fact("Disk full", full !== null && `in ${duration(full * 86400)}`),
        fact("Oldest sample", growth.oldest_sample_at && moment(parse(growth.oldest_sample_at), hubNow())),
        fact("Hub", `version ${version}, started ${moment(parse(started), hubNow())}`),
      ].filter(Boolean));
    },
  };
}

function backupPanel() {
  const list = h("ul", { class: "revisions" });
  const state = h("p", { class: "muted", role: "status" });
  const make = action("Back up now", async () => {
    await send("POST", "/api/dashboard/backups");
    await draw();
  }, { className: "" });

  async function draw() {
    const { backups, folder, running, percent, error } = await get("/api/dashboard/backups");
    write(state, running ? `A backup is being made: ${Math.round(percent ?? 0)}%.` : error || `They lie in ${folder}.`);
    list.replaceChildren(...backups.map(({ name, at, bytes: size }) => h("li", {},
      `${name} – ${bytes(size)}, ${moment(parse(at), hubNow())}`)));
  }

  return { el: panel("Backups", {}, state, list, h("div", { class: "actions" }, make)), draw };
}

function exportPanel() {
  const span = h("select", { class: "input", id: "export-span", onchange: name },
    SPANS.map(([hours, text]) => h("option", { value: hours, selected: hours === "168" }, text)));
  const links = EXPORTS.map(([title, query, text]) => ({ query,
    el: h("a", { class: "button", download: true, title: text }, title) }));

  function name() {
    for (const { query, el } of links) {
      attr(el, "href", "/api/dashboard/export?" + new URLSearchParams({ ...query, hours: span.value }));
    }
  }

  name();
  return panel("Export", {}, h("div", { class: "field" }, h("label", { for: "export-span" }, "History of"), span),
    h("div", { class: "actions" }, links.map(({ el }) => el)));
}

function cleanUpPanel() {
  const removed = h("p", { class: "muted", role: "status" });
  const clean = action("Clean up now", async () => {
    const text = "Removes what is past its retention now, instead of within the hour. It can not be brought back.";
    if (!await confirmed({ title: "Clean up now?", text, button: "Clean up" })) return;
    write(removed, "Working…");
    const answer = await send("DELETE", "/api/dashboard/settings", undefined, { long: true }).catch((error) => {
      write(removed, "");
      throw error;
    });
    write(removed, removedWords(answer));
  }, { className: "" });
  const where = h("a", { href: "/settings" }, "General");
  return panel("Clean-up", {}, h("p", {}, "How long things are kept is set under ", where, "."),
    h("div", { class: "actions" }, clean), removed);
}

function removedWords({ removed, kept }) {
  const list = Object.entries(removed).filter(([, number]) => number > 0)
    .map(([name, number]) => `${words(name).toLowerCase()}: ${number.toLocaleString("en")}`);
  const rest = typeof kept === "string" ? " " + kept : "";
  return (list.length ? `Removed ${list.join(", ")}.` : "Nothing was past its retention.") + rest;
}

/** An export of an agent that can not reach the hub. The file goes as it is; the hub checks its seal. */
function importPanel() {
  const file = h("input", { type: "file", id: "import-file", class: "input" });
  const said = h("p", { class: "muted", role: "status" });
  const take = action("Import", async () => {
    if (!file.files.length) throw new ApiError(400, "no_file", "Choose a file first.");
    write(said, "Working…");
    const report = await send("POST", "/api/dashboard/import", file.files[0], { long: true }).catch((error) => {
      write(said, "");
      throw error;
    });
    write(said, importWords(report));
  }, { className: "" });
  const label = h("label", { for: "import-file" }, "A spool export of an agent that can not reach this hub.");
  return panel("Import", {}, h("p", {}, label),
    h("div", { class: "actions" }, file, take), said);
}

function importWords({ hostname, payloads, stored, known, too_old: old, refused, reasons }) {
  const parts = [[known, "were here already"], [old, "were too old to be kept"], [refused, "were refused"]]
    .filter(([number]) => number > 0).map(([number, text]) => `, ${number} ${text}`);
  return `${hostname}: ${stored} of ${count(payloads, "sample")} stored${parts.join("")}. ${reasons.join(" ")}`;
}
