// Asks the hub: once (get, send), or again and again for what the present view shows (watch). Keeps the last answer and
// its ETag of each read, so that an unchanged one costs a 304 and comes back as the very same object; every failure is
// an ApiError. The poller rests while the tab is hidden, slows down while the hub is away, and says how old the data
// on the page is.

import { recall, remember } from "./router.js";

const DEADLINE_MS = 15000;
const EARLY_MS = 5000;           // what was asked before the modules came is good for so long
const LONG_DEADLINE_MS = 120000;  // for work that takes its time: a clean-up, a test message
const KEPT_ANSWERS = 24;
const NEXT_MAX = 255;  // the longest address that the login page leads back to

const kept = new Map();  // path -> {etag, data}, the least recently asked first
let aheadMs = 0;         // how far the hub's clock is ahead of this one

const AWAY = [0, 502, 503, 504];  // no answer, or a proxy's word that the hub gives none

/** Why there is no data: a refusal in the hub's own words, an answer (200) that can not be read, or none (0). */
export class ApiError extends Error {
  constructor(status, code, sentence, { field = null, retryAfterSeconds = 0, own = false } = {}) {
    super(sentence);
    this.status = status;
    this.code = code;
    this.field = field;  // the member of the body that is at fault, where the hub names one
    this.retryAfterSeconds = retryAfterSeconds;
    this.away = AWAY.includes(status) && !own;  // own: the hub itself says so, which is there then
  }

  /** The hub is away, overloaded or not to be understood: the same request may do later what it can not do now. */
  get passing() {
    return this.status < 400 || this.status === 429 || this.status >= 500;
  }
}

/** The time by the hub's clock, in milliseconds: ages are right although this machine's clock is not. */
export function hubNow() {
  return Date.now() + aheadMs;
}

/** The last answer to this path, without asking; undefined when there is none. */
export function peek(path) {
  return kept.get(path)?.data;
}

/** Read a path. fresh: it will never be asked for again (its query moves on), so that keeping the answer is no use. */
export async function get(path, { fresh = false } = {}) {
  if (fresh) return read(await ask(path, {}));
  const last = kept.get(path);
  const answer = await ask(path, { headers: last ? { "If-None-Match": last.etag } : {} });
  if (answer.status === 304) return last.data;
  const data = await read(answer);
  keep(path, answer.headers.get("ETag"), data);
  return data;
}

/** Read a path that is plain text. */
export async function getText(path) {
  const answer = await ask(path, {});
  return answer.text();
}

/** A change: PATCH, POST, DELETE, with a JSON body, a file or none. long: it may take minutes. */
export async function send(method, path, body, { long = false } = {}) {
  const options = { method, signal: AbortSignal.timeout(long ? LONG_DEADLINE_MS : DEADLINE_MS) };
  if (body instanceof Blob) {
    options.body = body;
  } else if (body !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  const answer = await read(await ask(path, options));
  for (const listener of listeners.sent) listener();
  return answer;
}

async function ask(path, options) {
  const early = takeEarly(path);
  const signal = AbortSignal.timeout(DEADLINE_MS);
  let answer;
  try {
    answer = await (early ? early.answer : fetch(path, { cache: "no-store", signal, ...options }));
  } catch (cause) {
    throw new ApiError(0, "unreachable", "The hub does not answer.");
  }
  setClock(answer.headers.get("Date"), early?.arrivedAt ?? Date.now());
  if (!answer.ok && answer.status !== 304) throw await refusal(answer);
  return answer;
}

/** The question that early/question.js has asked already, once and while it is young. */
function takeEarly(path) {
  const early = globalThis.earlyAnswer;
  if (early?.path !== path) return null;
  delete globalThis.earlyAnswer;
  return Date.now() - early.askedAt < EARLY_MS ? early : null;
}

async function read(answer) {
  try {
    return await answer.json();
  } catch (cause) {
    throw new ApiError(answer.status, "broken_answer", "The hub's answer was cut short or is not JSON.");
  }
}

async function refusal(answer) {
  const body = await answer.json().catch(() => ({}));  // a proxy's error page is no JSON: its status says enough
  const sentence = body.error || `The hub answered ${answer.status}.`;
  const retryAfterSeconds = Number(answer.headers.get("Retry-After")) || 0;
  const own = Boolean(body.error && body.code);
  return new ApiError(answer.status, body.code || "unknown", sentence, { field: body.field, retryAfterSeconds, own });
}

function keep(path, etag, data) {
  kept.delete(path);
  if (etag) kept.set(path, { etag, data });
  if (kept.size > KEPT_ANSWERS) kept.delete(kept.keys().next().value);
}

function setClock(date, arrivedAt) {
  const difference = Date.parse(date) - arrivedAt;
  // The header has whole seconds: a smaller difference is its rounding, not a wrong clock.
  if (Number.isFinite(difference)) aheadMs = Math.abs(difference) > 2000 ? difference : 0;
}

// --- who reads ---

/** Who this page speaks for: user {name, role, via}, and whether the hub still waits for its first account. */
export const session = { user: null, setup: false, localTrust: false };

let known = null;

/** Learn who we are; asked once, however many want to know. */
export function identify() {
  known = known || who();
  return known;
}

async function who() {
  const answer = await read(await ask("/api/session", {}));
  Object.assign(session, { user: answer.user, setup: answer.setup, localTrust: answer.local_trust });
}

/** Whether the reader may change things. What is hidden by it is hidden out of courtesy: the hub decides. */
export function mayChange() {
  return session.user?.role === "admin";
}

/** Where to log in, and to come back from. */
export function loginPath() {
  const here = location.pathname + location.search;
  return "/login?" + new URLSearchParams({ next: here.length <= NEXT_MAX ? here : location.pathname });
}

// --- again and again ---

const RETRY_SECONDS = [2, 4, 8, 16, 32, 60];
const TIMER_LIMIT_MS = 2 ** 31 - 1;  // a longer timer would fire at once

/** What everyone may read; on("change") hears of each change of it, "draw" of each drawn answer, "sent" of each change
 * that the hub took. */
export const link = {
  state: "loading",    // loading, fine, down (no data came), refused (401)
  error: null,         // the ApiError behind down and refused
  answeredAt: null,    // when the data on the page was fetched, ms of this machine
  downSince: null,
  retryAt: null,       // when the next try is due, null: none is planned
  refreshing: recall("refresh", "on") === "on",
  seconds: 30,
};

const listeners = { change: new Set(), draw: new Set(), sent: new Set() };
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
  look();
  return {
    now: () => { if (watched === subject) look(); },
    stop: () => { if (watched === subject) stop(); },
  };
}

/** Ask now, whatever the timer says. */
export function refresh() {
  if (watched) look();
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

async function look() {
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
  for (const listener of listeners.draw) listener(data);
}

/** Set the timer for the next try, or none. */
function plan() {
  clearTimeout(timer);
  const wait = goesOn() ? waitSeconds() : null;
  tell({ retryAt: wait === null ? null : Date.now() + wait * 1000 });
  if (wait !== null) timer = setTimeout(look, Math.min(wait * 1000, TIMER_LIMIT_MS));
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
  if (goesOn() || (watched && link.answeredAt === null)) look();
});
