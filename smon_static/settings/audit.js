// Who changed what, when, from where.

import { h, show } from "../dom.js";
import { NONE } from "../format.js";
import { action } from "../forms.js";
import { get, watch } from "../hub.js";
import { panel, refusal } from "../parts.js";
import { listing, textColumn, timeColumn } from "./listing.js";

const PAGE = 50;
const PATH = `/api/dashboard/audit?limit=${PAGE}`;

export function mount(root) {
  let newest = [];
  let older = [];
  const log = listing({ caption: "Audit log", id: (row) => String(row.id), empty: "Nothing has been changed yet.",
    sort: { key: "at", down: true },
    columns: [timeColumn("at", "When"), textColumn("who", "Who"), textColumn("address", "From"),
      textColumn("action", "What"), textColumn("object", "On"),
      { key: "change", label: "Change", value: (row) => changeWords(row.change), make: changeCell }] });
  const more = action("Show older", async () => {
    const last = [...newest, ...older].pop();
    const { entries } = await get(`${PATH}&before=${last.id}`, { fresh: true });
    older.push(...entries);
    show(more, entries.length === PAGE);
    drawAll();
  });

  function drawAll() {
    const seen = new Set(newest.map((row) => row.id));
    log.draw([...newest, ...older.filter((row) => !seen.has(row.id))]);
  }

  root.append(panel("Audit log", {}, log.el, more));
  show(more, false);

  function draw({ entries }) {
    if (!newest.length) show(more, entries.length === PAGE);
    newest = entries;
    drawAll();
  }

  const watching = watch({ path: () => PATH, draw, refuse: (error) => root.replaceChildren(refusal(error)) });
  return () => {
    watching.stop();
    log.stop();
  };
}

function changeWords(change) {
  return Object.entries(change || {}).map(([key, [old, now]]) => `${key}: ${said(old)} → ${said(now)}`).join("; ");
}

function said(value) {
  if (value === null || value === undefined || value === "") return NONE;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function changeCell() {
  const el = h("span", { class: "audit-change" });
  return { el, set: (row) => { el.textContent = changeWords(row.change); } };
}
