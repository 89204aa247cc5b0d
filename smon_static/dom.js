// How elements are made and changed. Text enters as text, never as markup; what did not change is not written.

/** Lists up to this length are whole in the document, so that find-in-page, print and screen readers get everything. */
export const WHOLE = 200;

const SVG = "http://www.w3.org/2000/svg";

// Control characters (but for the line break of a note) and the marks that turn the direction of text: a name must not
// be able to rewrite its neighbours. Joiners stay: scripts and emoji need them.
const UNSEEN = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** The text with every invisible or direction-changing character shown as a mark. */
export function plain(text) {
  return String(text).replace(UNSEEN, "\ufffd");
}

/**
 * Make an element: h("a", {class: "name", href}, "text", child, [more]).
 * A function under "on…" becomes a listener; null, undefined and false leave an attribute or child out.
 */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** A symbol of the sprite in shell.html; decoration only, its meaning stands in words beside it. */
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true", focusable: "false" }, svg("use", { href: "#i-" + name }));
}

/** Another symbol in an icon that stays. */
export function reicon(element, name) {
  attr(element.firstElementChild, "href", "#i-" + name);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else attr(element, name, value);
  }
  put(element, children);
  return element;
}

function put(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) put(element, child);
    else if (child instanceof Node) element.append(child);
    else if (child !== null && child !== undefined && child !== false) element.append(plain(child));
  }
}

/** Set an attribute when it differs; true is an empty one, null and false take it away. */
export function attr(element, name, value) {
  const text = value === true ? "" : value === null || value === undefined || value === false ? null : plain(value);
  if (element.getAttribute(name) === text) return;
  if (text === null) element.removeAttribute(name);
  else element.setAttribute(name, text);
}

/** Make the element's only content this text. */
export function write(element, value) {
  const text = value === null || value === undefined ? "" : plain(value);
  const node = element.firstChild;
  if (node && node.nodeType === Node.TEXT_NODE && !node.nextSibling) {
    if (node.data !== text) node.data = text;
  } else if (node || text) {
    element.textContent = text;
  }
}

/** Set a CSS property when it differs (the content policy forbids style attributes, not this). */
export function vary(element, name, value) {
  const text = String(value);
  if (element.style.getPropertyValue(name) !== text) element.style.setProperty(name, text);
}

export function toggle(element, name, on) {
  if (element.classList.contains(name) !== Boolean(on)) element.classList.toggle(name, Boolean(on));
}

export function show(element, on) {
  if (element.hidden === Boolean(on)) element.hidden = !on;
}

/** Work that is done only when an argument differs from the last time: to look into the document is dear. */
export function whenNew(work) {
  let last = null;
  return (...values) => {
    if (last && values.every((value, index) => value === last[index])) return;
    last = values;
    work(...values);
  };
}

/** When what is in the document now has been shown. */
export function painted() {
  return new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
}

/**
 * Make root's children exactly these, in this order. The child that holds the focus is never moved, because a moved
 * element loses it; the others are moved around it.
 */
export function arrange(root, children) {
  const wanted = new Set(children);
  for (const child of [...root.childNodes]) if (!wanted.has(child)) child.remove();
  let pinned = children.findIndex((child) => child.contains(document.activeElement));
  if (pinned < 0 || children[pinned].parentNode !== root) pinned = 0;
  if (children.length && children[pinned].parentNode !== root) root.prepend(children[pinned]);
  for (let i = pinned - 1; i >= 0; i--) {
    if (children[i].nextSibling !== children[i + 1]) root.insertBefore(children[i], children[i + 1]);
  }
  for (let i = pinned + 1; i < children.length; i++) {
    if (children[i].previousSibling !== children[i - 1]) children[i - 1].after(children[i]);
  }
}

/** Items of a few kinds under one element, each made once and then bound to its data: draw([{key, kind, data}]). */
export function keyed(root, kinds) {
  const parts = new Map();  // key -> {el, bind, kind}

  function element(item, place, total) {
    let part = parts.get(item.key);
    if (!part || part.kind !== item.kind) {
      part = { ...kinds[item.kind].make(), kind: item.kind };
      parts.set(item.key, part);
    }
    part.bind(item.data, place, total);
    return part.el;
  }

  function put(children) {
    const kept = new Set(children);
    for (const [key, part] of parts) if (!kept.has(part.el)) parts.delete(key);
    arrange(root, children);
  }

  return {
    parts,
    element,
    put,
    draw: (items) => put(items.map((item, index) => element(item, index + 1, items.length))),
  };
}

/** The items of runs [{kind, items: [data]}] one by one, for keyed(); each kind has a key(data). */
export function itemsOf(runs, kinds) {
  return runs.flatMap(({ kind, items }) => items.map((data) => ({ key: kinds[kind].key(data), kind, data })));
}
