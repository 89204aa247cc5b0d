// The hub's settings, group by group, as the hub's own table describes them.

import { h } from "../dom.js";
import { action, form } from "../forms.js";
import { mayChange, send, watch } from "../hub.js";
import { panel, refusal, skeleton } from "../parts.js";

const PATH = "/api/dashboard/settings";
const KINDS = { int: "number", float: "number", bool: "check" };

/** What else stands in the panel of a group. */
const EXTRAS = {
  Mail: (form) => action("Send a test mail", async () => {
    const answer = await send("POST", "/api/dashboard/channels/0/test", undefined, { long: true });
    form.outcome(answer.message || "The mail server took the test message.");
  }),
};

export function mount(root) {
  let forms = null;
  const waiting = skeleton("forms", 3);
  root.append(waiting);

  function build(schema) {
    const groups = new Map();
    for (const row of schema) groups.set(row.group, [...groups.get(row.group) || [], row]);
    waiting.remove();
    return [...groups].map(([name, rows]) => {
      const made = groupForm(name, rows);
      root.append(panel(name, { className: "panel-form" }, made.el));
      if (mayChange() && EXTRAS[name]) made.end.append(EXTRAS[name](made));
      return made;
    });
  }

  function draw({ settings, schema }) {
    forms = forms || build(schema);
    for (const each of forms) each.draw(settings);
  }

  const watching = watch({ path: () => PATH, draw, refuse: (error) => root.replaceChildren(refusal(error)) });
  return watching.stop;

  function groupForm(name, rows) {
    return form({ label: name, looks: rows.map(lookOf), readonly: !mayChange(),
      send: (changes) => send("PATCH", PATH, changes),
      done: ({ settings }) => forms.forEach((each) => each.draw(settings)) });
  }
}

/** A row of one of the hub's tables as a field of a form. */
export function lookOf({ key, type, text, min, max, choices, secret }) {
  const kind = secret ? "secret" : choices.length ? "select" : KINDS[type] || "text";
  return { key, kind, label: words(key), text: labelled(text), min, max, choices };
}

/** A help text with the labels of the settings that it names. */
function labelled(text) {
  return text.replace(/[a-z]+(_[a-z]+)+/g, (key) => `“${words(key)}”`);
}

/** "stale_threshold_minutes" -> "Stale threshold minutes" */
export function words(key) {
  const text = key.replace(/^alert_(email_)?/, "").replaceAll("_", " ");
  return (text[0].toUpperCase() + text.slice(1)).replace(/\b(smtp|ca|url|cpu)\b/gi, (word) => word.toUpperCase());
}
