// Forms: fields out of a table, the hub's refusals at the field they are about, and text that no refresh overwrites.
// Also the parts that belong to changing things: buttons that act, confirmation, secrets that are shown once.

import { attr, h, icon, plain, show, write } from "./dom.js";
import { ApiError } from "./hub.js";
import { say } from "./parts.js";

let fields = 0;  // numbers the ids

/**
 * One field: {key, label, kind, text, min, max, choices, value, autocomplete, required, placeholder}. kind: one of
 * KINDS. get() reads it, set(value) shows one, offer(value) does unless somebody types there, fail(sentence) marks it.
 */
export function field(look) {
  const id = `field-${++fields}`;
  const kind = KINDS[look.kind] || KINDS.text;
  const control = kind.make({ id, name: look.key, "aria-describedby": `${id}-help ${id}-problem`,
    autocomplete: look.autocomplete || "off", required: look.required, placeholder: look.placeholder }, look);
  const help = h("p", { class: "field-help", id: id + "-help" }, look.text, boundsOf(look));
  const problem = h("p", { class: "problem", id: id + "-problem" });
  const label = h("label", { for: id }, look.label);
  let last = kind.read(control);  // what was shown last; what differs from it was typed
  let given;                      // the value itself, as the hub has it
  return {
    el: h("div", { class: "field", "data-field": look.key, "data-form": look.kind || "text" },
      label, control, help, problem),
    key: look.key,
    label: look.label,
    get: () => kind.value(kind.read(control)),
    dirty: () => kind.read(control) !== last,
    set(value) {
      given = value;
      kind.write(control, value);
      last = kind.read(control);
    },
    /** A refresh: shown unless somebody is typing here; then whether it has changed behind their back. */
    offer(value) {
      if (kind.read(control) === last && control !== document.activeElement) this.set(value);
      return JSON.stringify(given) !== JSON.stringify(value);
    },
    fail(sentence) {
      write(problem, sentence);
      attr(control, "aria-invalid", sentence ? "true" : null);
      if (sentence) control.focus();
    },
    clear: () => { kind.write(control, look.value ?? ""); last = kind.read(control); },
  };
}

const asText = (value) => (value === null || value === undefined ? "" : String(value));
const input = (type) => (attributes, look) => h("input", { ...attributes, type, class: "input", value: look.value });
const plainText = {
  make: input("text"), read: (el) => el.value, value: (text) => text,
  write: (el, value) => { el.value = asText(value); },
};

/** How each kind of field is made, read as text, turned into the value that is sent, and shown. */
const KINDS = {
  text: plainText,
  password: { ...plainText, make: input("password") },
  number: { ...plainText, make: (attributes, look) => h("input", { ...attributes, type: "text", class: "input short",
    inputmode: "decimal", value: look.value }), value: toNumber },
  time: { ...plainText, make: (attributes, look) => h("input", { ...attributes, type: "time", class: "input short",
    value: look.value }) },
  moment: { ...plainText, make: (attributes) => h("input", { ...attributes, type: "datetime-local",
    class: "input moment" }), value: (text) => (text ? new Date(text).toISOString() : null) },
  area: { ...plainText, make: (attributes) => h("textarea", { ...attributes, class: "input", rows: 3 }) },
  tags: { ...plainText, value: toWords, write: (el, words) => { el.value = (words || []).join(", "); } },
  select: { ...plainText, make: select, write: (el, value) => { if (value !== null) el.value = asText(value); } },
  check: {
    make: (attributes, look) => h("input", { ...attributes, type: "checkbox", checked: look.value }),
    read: (el) => (el.indeterminate ? "" : String(el.checked)), value: (text) => text === "true",
    write(el, on) {
      el.checked = Boolean(on);
      el.indeterminate = on === null;  // not known
    },
  },
  secret: {  // never shown: empty means that it stays as it is
    ...plainText, make: input("password"),
    write(el, state) {
      el.value = "";
      attr(el, "placeholder", state === "set" ? "Set – type to replace" : "Not set");
    },
  },
};

function select(attributes, { choices, value }) {
  const options = choices.map((each) => (Array.isArray(each) ? each : [each, each]));
  return h("select", { ...attributes, class: "input" }, options.map(([name, words]) => h("option",
    { value: name, selected: name === value }, words)));
}

/** A number, or the text as it is: the hub says best what is wrong with it. */
function toNumber(text) {
  return text.trim() === "" ? null : Number.isFinite(Number(text)) ? Number(text) : text;
}

function toWords(text) {
  return text.split(",").map((word) => word.trim()).filter(Boolean);
}

function boundsOf({ kind, min, max }) {
  if (kind !== "number" || min === null || min === undefined) return null;
  return h("span", { class: "bounds" }, ` ${min.toLocaleString("en")} to ${max.toLocaleString("en")}.`);
}

/**
 * A form over fields. send(values, all) does the work: values holds what differs from what the hub had, all everything;
 * done(answer, values) hears of success. draw(values) shows what the hub has now; typed text stays, and a change behind
 * it is said. fresh: the fields are emptied after each success, and everything is sent; always: everything is sent, and
 * stays. readonly: only shown. end is where its button stands.
 */
export function form({ label, looks, submit = "Save", send, done = () => {}, fresh = false, always = false,
  readonly = false }) {
  const parts = looks.map(field);
  const button = h("button", { class: "button primary" }, submit);
  const outcome = h("span", { class: "outcome", role: "status" });
  const end = h("div", { class: "form-end" }, button, outcome);
  const problem = h("p", { class: "problem", role: "alert" });
  const changed = h("p", { class: "changed", role: "status", hidden: true },
    "Somebody else has changed this meanwhile. ",
    h("button", { type: "button", class: "button small", onclick: reload }, "Show what is there now"));
  const el = h("form", { class: "form", "aria-label": label, novalidate: true, onsubmit: submitted,
    oninput: () => write(outcome, "") },
  h("fieldset", { class: "fields", disabled: readonly }, parts.map((part) => part.el)), changed, problem,
  readonly ? null : end);
  let latest = null;

  function draw(values) {
    latest = values;
    let behind = false;
    for (const part of parts) {
      if (part.key in values && part.offer(values[part.key]) && part.dirty()) behind = true;
    }
    show(changed, behind);
  }

  function reload() {
    for (const part of parts) if (part.key in latest) part.set(latest[part.key]);
    show(changed, false);
  }

  function values(wanted) {
    return Object.fromEntries(parts.filter(wanted).map((part) => [part.key, part.get()]));
  }

  async function submitted(event) {
    event.preventDefault();
    const some = values(fresh || always ? () => true : (part) => part.dirty());
    if (!Object.keys(some).length) return write(outcome, "Nothing was changed.");
    for (const part of parts) part.fail("");
    write(problem, "");
    button.disabled = true;
    try {
      const answer = await send(some, values(() => true));
      for (const part of parts) fresh ? part.clear() : part.key in some && part.set(part.get());
      show(changed, false);
      write(outcome, "Saved.");
      done(answer, some);
    } catch (error) {
      refused(error);
    }
    button.disabled = false;
    return undefined;
  }

  /** At the field that the hub names, in its member "field" or as the sentence's first word; else above the button. */
  function refused(error) {
    if (!(error instanceof ApiError)) throw error;
    const name = error.field || error.message.split(" ")[0];
    const at = parts.find((part) => part.key === name);
    if (at) at.fail(error.message.replace(new RegExp(`^${at.key}\\b`), at.label));
    else write(problem, error.message);
  }

  return { el, end, draw, outcome: (sentence) => write(outcome, sentence) };
}

/** A button that asks the hub for something; while it works it is off, and what went wrong stands beside it. */
export function action(words, work, { className = "small", symbol = null, label = null } = {}) {
  const problem = h("span", { class: "problem", role: "alert" });
  const button = h("button", { type: "button", class: "button " + className, "aria-label": label, onclick: run },
    symbol && icon(symbol), words);

  async function run() {
    button.disabled = true;
    write(problem, "");
    try {
      await work();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      write(problem, error.message);
    }
    button.disabled = false;
  }

  return h("span", { class: "action" }, button, problem);
}

/**
 * Ask before something is destroyed; true when the reader meant it. word: what they must type first.
 */
export function confirmed({ title, text, button, word = null }) {
  const typed = word && h("input", { class: "input", autocomplete: "off", "aria-label": `Type ${word}`,
    oninput: () => { yes.disabled = typed.value !== word; } });
  const yes = h("button", { class: "button danger", value: "yes", disabled: Boolean(word) }, button);
  const dialog = h("dialog", { class: "dialog", "aria-label": title },
    h("form", { method: "dialog" }, h("h2", {}, title), h("p", {}, text),
      word && h("p", {}, "Type ", h("b", {}, word), " to confirm."), typed,
      h("div", { class: "actions" }, yes, h("button", { class: "button", value: "no" }, "Cancel"))));
  return new Promise((settle) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      settle(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
    if (!typed) dialog.querySelector("[value=no]").focus();
  });
}

/** The values that were filled in: an empty field is none. */
export function filled(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null && value !== ""));
}

/** A form in a dialog of its own, which closes when it is done: look as of form, with a title and a lead. */
export function formDialog({ title, lead = null, done, ...look }) {
  const made = form({ ...look, label: title, fresh: true, done: () => { dialog.close(); done(); } });
  const dialog = h("dialog", { class: "dialog", "aria-label": title },
    h("h2", {}, title), lead && h("p", {}, lead), made.el);
  made.end.append(h("button", { type: "button", class: "button", onclick: () => dialog.close() }, "Cancel"));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** A text to be carried elsewhere, with a button that copies exactly it. */
export function copyable(text, label) {
  const code = h("code", { class: "command" }, text);
  const word = h("span", {}, "Copy");
  const button = h("button", { type: "button", class: "button small", "aria-label": `Copy ${label}`, onclick: copy },
    icon("copy"), word);

  async function copy() {
    const done = await toClipboard(code);
    write(word, done ? "Copied" : "Press Ctrl+C");
    say(done ? "Copied." : "The text is selected; press Control and C to copy it.");
    setTimeout(() => write(word, "Copy"), 3000);
  }

  return { el: h("div", { class: "copyable" }, code, button), set: (next) => { code.textContent = plain(next); } };
}

/** Without TLS browsers refuse the clipboard; then the selected text is copied the old way, or left selected. */
async function toClipboard(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch (refused) {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}

/** A secret that the hub tells only now. */
export function shownOnce(title, secret, sentence) {
  const el = h("div", { class: "once", role: "group", "aria-label": title, tabindex: "-1" },
    h("h3", {}, title), h("p", {}, sentence), copyable(secret, title.toLowerCase()).el);
  queueMicrotask(() => el.focus());
  return el;
}
