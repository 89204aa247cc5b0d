// The one poller of the page. It asks for what the present view shows, again and again, rests while the tab is hidden,
// slows down while the hub is away, and says how old the data on the page is.

import { ApiError, get, peek } from "./api.js";
import { recall, remember } from "./router.js";

const RETRY_SECONDS = [2, 4, 8, 16, 32, 60];
const TIMER_LIMIT_MS = 2 ** 31 - 1;  // a longer timer would fire at once

/** What everyone may read; `on("change")` hears of each change, `on("draw")` of each drawn answer. */
export const link = {
  state: "loading",    // loading, fine, down (no answer), refused (401)
  error: null,         // the ApiError behind down and refused
  answeredAt: null,    // when the data on the page was fetched, ms of this machine
  downSince: null,
  retryAt: null,       // when the next try is due, null: none is planned
  refreshing: recall("refresh", "on") === "on",
  seconds: 30,
};

const listeners = { change: new Set(), draw: new Set() };
let watched = null;   // the subject given to watch()
let timer = 0;
let failures = 0;
let asked = 0;        // numbers the requests: only the newest may draw

export function on(event, listener) {
  listeners[event].add(listener);
}

/**
 * Watch one read until stop(): path() names it anew each time, draw(data) shows an answer, refuse(error) a 4xx of the
 * hub, seconds() replaces the dashboard's own interval, fresh says that no path comes twice. A kept answer is drawn at
 * once.
 */
export function watch(subject) {
  watched = subject;
  const last = peek(subject.path());
  if (last !== undefined) draw(subject, last);
  ask();
  return {
    now: () => { if (watched === subject) ask(); },
    stop: () => { if (watched === subject) stop(); },
  };
}

/** Ask now, whatever the timer says. */
export function refresh() {
  if (watched) ask();
}

export function setRefreshing(wanted) {
  remember("refresh", wanted ? "on" : "off");
  tell({ refreshing: wanted });
  if (wanted) refresh();
  else plan();
}

export function setSeconds(seconds) {
  if (seconds > 0) link.seconds = seconds;
}

function stop() {
  watched = null;
  asked += 1;
  plan();
}

async function ask() {
  clearTimeout(timer);
  if (document.hidden) return;  // and plan nothing: the listener below asks when someone looks again
  const subject = watched;
  const number = ++asked;
  const outcome = await fetchOnce(subject);
  if (number !== asked) return;
  if (outcome instanceof ApiError) failed(subject, outcome);
  else answered(subject, outcome);
  plan();
}

async function fetchOnce({ path, fresh }) {
  try {
    return await get(path(), { fresh });
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
}

function answered(subject, data) {
  failures = 0;
  tell({ state: "fine", error: null, answeredAt: Date.now(), downSince: null });
  draw(subject, data);
}

function failed(subject, error) {
  if (error.passing) {
    failures += 1;
    tell({ state: "down", error, downSince: link.downSince ?? Date.now() });
  } else if (error.status === 401) {
    failures = 0;
    tell({ state: "refused", error, downSince: null });
  } else {
    failures = 0;
    tell({ state: "fine", error: null, answeredAt: Date.now(), downSince: null });
    subject.refuse(error);
  }
}

function draw(subject, data) {
  subject.draw(data);
  for (const listener of listeners.draw) listener();
}

/** Set the timer for the next try, or none. */
function plan() {
  clearTimeout(timer);
  const wait = goesOn() ? waitSeconds() : null;
  tell({ retryAt: wait === null ? null : Date.now() + wait * 1000 });
  if (wait !== null) timer = setTimeout(ask, Math.min(wait * 1000, TIMER_LIMIT_MS));
}

/** A view with a pace of its own has its own pause too; the others follow the switch of the page. */
function goesOn() {
  return Boolean(watched) && (link.refreshing || Boolean(watched.seconds));
}

function waitSeconds() {
  const usual = watched.seconds ? watched.seconds() : link.seconds;
  if (!failures) return usual;
  const step = RETRY_SECONDS[Math.min(failures, RETRY_SECONDS.length) - 1];
  return Math.max(step, link.error.retryAfterSeconds);
}

function tell(changes) {
  Object.assign(link, changes);
  for (const listener of listeners.change) listener();
}

document.addEventListener("visibilitychange", () => {
  if (goesOn() || (watched && link.answeredAt === null)) ask();
});
