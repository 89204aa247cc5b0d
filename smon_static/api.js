// Asks the hub. Keeps the last answer and its ETag of each read, so that an unchanged one costs a 304 and comes back
// as the very same object; every failure is an ApiError.

const DEADLINE_MS = 15000;
const KEPT_ANSWERS = 24;

const kept = new Map();  // path -> {etag, data}, the least recently asked first
let aheadMs = 0;         // how far the hub's clock is ahead of this one

/** A refusal in the hub's own words. status 0: the hub could not be reached at all. */
export class ApiError extends Error {
  constructor(status, code, sentence, retryAfterSeconds = 0) {
    super(sentence);
    this.status = status;
    this.code = code;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /** The hub is away or overloaded: the same request may do later what it can not do now. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
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

/** A change: PATCH, POST, DELETE, with a JSON body or none. */
export async function send(method, path, body) {
  const options = { method };
  if (body !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  return read(await ask(path, options));
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, { ...options, cache: "no-store", signal: AbortSignal.timeout(DEADLINE_MS) });
  } catch (cause) {
    throw new ApiError(0, "unreachable", "The hub does not answer.");
  }
  setClock(answer.headers.get("Date"));
  if (!answer.ok && answer.status !== 304) throw await refusal(answer);
  return answer;
}

async function read(answer) {
  try {
    return await answer.json();
  } catch (cause) {
    throw new ApiError(0, "broken_answer", "The hub's answer was cut short or is not JSON.");
  }
}

async function refusal(answer) {
  const body = await answer.json().catch(() => ({}));  // a proxy's error page is no JSON: its status says enough
  const sentence = body.error || `The hub answered ${answer.status}.`;
  return new ApiError(answer.status, body.code || "unknown", sentence, Number(answer.headers.get("Retry-After")) || 0);
}

function keep(path, etag, data) {
  kept.delete(path);
  if (etag) kept.set(path, { etag, data });
  if (kept.size > KEPT_ANSWERS) kept.delete(kept.keys().next().value);
}

function setClock(date) {
  const difference = Date.parse(date) - Date.now();
  // The header has whole seconds: a smaller difference is its rounding, not a wrong clock.
  if (Number.isFinite(difference)) aheadMs = Math.abs(difference) > 2000 ? difference : 0;
}
