// Where the reader is and what they chose: the path picks a view, the query is that view's state, and small
// preferences lie in localStorage. Reload, back and a copied address all lead to the same place.

const SCROLL_SAVE_MS = 150;
const SETTLE_FRAMES = 60;

let routes = [];
let root = null;
let failure = null;
let unmount = () => {};
let shownPath = null;
let queryListeners = new Set();
let wantedScroll = null;  // where back or reload should land once the view has drawn
let saving = 0;

/**
 * Show the view of the present address inside root, and follow links, back and forward from now on. loadFailure()
 * makes what stands there when a view can not be loaded.
 */
export function begin(table, element, loadFailure) {
  routes = table;
  root = element;
  failure = loadFailure;
  history.scrollRestoration = "manual";  // the browser would restore before the data has come
  document.addEventListener("click", followLink);
  addEventListener("popstate", arrive);
  addEventListener("scroll", saveScroll, { passive: true });
  for (const kind of ["wheel", "touchmove", "keydown", "pointerdown"]) {
    addEventListener(kind, () => { wantedScroll = null; }, { passive: true });
  }
  return arrive();
}

export function go(href) {
  keepScroll();
  history.pushState({}, "", href);
  return arrive();
}

/** Make the present view anew, in its place. */
export function again() {
  shownPath = null;
  keepScroll();
  return arrive();
}

/** Called when a view has drawn its data: within some frames the page is as high as it was when the reader left. */
export function settle(frames = SETTLE_FRAMES) {
  if (wantedScroll === null) return;
  scrollTo(0, wantedScroll);
  if (Math.abs(scrollY - wantedScroll) < 1 || !frames) wantedScroll = null;
  else requestAnimationFrame(() => settle(frames - 1));
}

export const query = {
  get(name, fallback = "") {
    return new URLSearchParams(location.search).get(name) ?? fallback;
  },

  /** Change some of the query; "" and null remove. A typed change replaces the entry, a click makes a new one. */
  set(changes, { replace = false } = {}) {
    const params = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(changes)) {
      if (value === "" || value === null) params.delete(name);
      else params.set(name, value);
    }
    const text = params.toString();
    const address = location.pathname + (text ? "?" + text : "");
    if (address === location.pathname + location.search) return;
    if (replace) history.replaceState(history.state, "", address);
    else history.pushState({ y: scrollY }, "", address);
    tellQuery();
  },

  /** Hear of every change of the query until the view goes. */
  listen(listener) {
    queryListeners.add(listener);
  },
};

/** The address of a server's page, on which its tabs build. */
export function serverPath(id) {
  return "/servers/" + encodeURIComponent(id);
}

/** The order of a table as the query writes it: "-cpu" is the largest CPU first. */
export const order = {
  read: (text) => ({ key: text.replace(/^-/, ""), down: text.startsWith("-") }),
  write: (key, down) => (down ? "-" : "") + key,
};

const unsaved = new Map();  // preferences where storage is forbidden: they last as long as the page

export function recall(key, fallback) {
  try {
    return localStorage.getItem("smon." + key) ?? fallback;
  } catch (refused) {
    return unsaved.get(key) ?? fallback;
  }
}

export function remember(key, value) {
  if (recall(key, null) === value) return;
  try {
    localStorage.setItem("smon." + key, value);
  } catch (refused) {
    unsaved.set(key, value);
  }
}

function match(path) {
  for (const route of routes) {
    const found = route.path.exec(path);
    if (found) return { route, params: found.groups || {} };
  }
  return null;
}

async function arrive() {
  wantedScroll = history.state?.y ?? 0;
  if (location.pathname === shownPath) {
    tellQuery();
    settle();
    return;
  }
  const firstView = shownPath === null;
  const path = shownPath = location.pathname;
  const { route, params } = match(path) || { route: routes[0], params: {} };
  leave();
  markNavigation();
  await enter(route, params, () => path === shownPath);
  if (!firstView && path === shownPath) root.querySelector("h1")?.focus({ preventScroll: true });
}

function leave() {
  unmount();
  unmount = () => {};
  queryListeners = new Set();
}

/** Load and mount the view, unless the reader has gone on before it was there. */
async function enter(route, params, stillWanted) {
  let view;
  try {
    view = await route.view();
  } catch (cause) {
    if (stillWanted()) root.replaceChildren(failure());
    return;
  }
  if (!stillWanted()) return;
  root.replaceChildren();
  scrollTo(0, 0);
  wantedScroll = wantedScroll || null;  // the page is there already
  unmount = view.mount(root, params);
}

function tellQuery() {
  for (const listener of [...queryListeners]) listener();
}

function markNavigation() {
  for (const link of document.querySelectorAll(".nav a")) {
    const { pathname } = new URL(link.href);
    const inside = pathname !== "/" && location.pathname.startsWith(pathname + "/");
    if (pathname === location.pathname) link.setAttribute("aria-current", "page");
    else if (inside) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

function followLink(event) {
  const forBrowser = event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;  // new tab, save
  if (event.defaultPrevented || forBrowser) return;
  const link = event.target.closest("a[href]");
  if (!link || link.target || link.hasAttribute("download")) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || url.hash || !match(url.pathname)) return;
  event.preventDefault();
  go(url.pathname + url.search);
}

function saveScroll() {
  clearTimeout(saving);
  saving = setTimeout(keepScroll, SCROLL_SAVE_MS);
}

function keepScroll() {
  clearTimeout(saving);
  if (wantedScroll === null) history.replaceState({ ...history.state, y: scrollY }, "");
}
