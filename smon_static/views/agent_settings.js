// How the settings that a hub may change on an agent are shown. What they are and may be, the hub's own table says.

const ELSEWHERE = ["collection_interval_minutes"];  // among the server's own settings, because alerts depend on it
const KINDS = { int: "number", float: "number", bool: "check", list: "tags" };

/** A row of the table as a field of a form, with its name in the agent's file; null for one with a place elsewhere. */
export function lookOf({ key, type, text, min, max, choices }) {
  if (ELSEWHERE.includes(key)) return null;
  const help = type === "list" ? `${key}, separated by commas.` : `${key}.`;
  const look = { key, label: text.replace(/\.$/, ""), text: help };
  if (choices.length) return { ...look, kind: "select", choices: [["", "–"], ...choices] };
  return { ...look, kind: KINDS[type] || "text", min, max };
}
