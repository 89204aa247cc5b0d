// Numbers and times in words. Touches no document; what is not known is a dash, never a zero.

export const NONE = "–";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
export const HOUR_MS = 3600000;
export const DAY_MS = 24 * HOUR_MS;
const SPANS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

export const DEFAULT_LIMIT = 90;  // percent; the alert threshold of a server that was given none

function known(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** 1536 -> "1.5 KiB"; base 1024 up to PiB. */
export function bytes(value) {
  if (!known(value)) return NONE;
  let step = 0;
  while (Math.abs(value) >= 1023.95 && step < UNITS.length - 1) {  // 1023.96 would be written as 1024.0
    value /= 1024;
    step += 1;
  }
  return `${step ? value.toFixed(1) : Math.round(value)} ${UNITS[step]}`;
}

export function rate(value) {
  return known(value) ? bytes(value) + "/s" : NONE;
}

/** "16 MiB/s" for an axis; an idle one has ticks within a byte, which have no round name. */
export function rateTick(value) {
  return Number.isInteger(value) ? rate(value).replace(".0 ", " ") : "";
}

export function percent(value, digits = 0) {
  return known(value) ? value.toFixed(digits) + "%" : NONE;
}

export function number(value, digits = 0) {
  return known(value) ? value.toFixed(digits) : NONE;
}

/** With no more digits than it needs: 0.5, 12. */
export function plainNumber(value) {
  return String(Number(value.toFixed(2)));
}

/** 2 -> "2 servers", 1 -> "1 server". */
export function count(value, one, many = one + "s") {
  return `${value} ${value === 1 ? one : many}`;
}

/** Seconds in the two largest units that matter: 190000 -> "2 d 4 h", 61 -> "1 min 1 s". */
export function duration(seconds) {
  if (!known(seconds)) return NONE;
  const whole = Math.max(0, Math.round(seconds));
  const first = SPANS.findIndex(([, size]) => whole >= size);
  if (first < 0) return "0 s";
  const [unit, size] = SPANS[first];
  const next = SPANS[first + 1];
  const rest = next ? Math.floor((whole % size) / next[1]) : 0;
  return `${Math.floor(whole / size)} ${unit}` + (rest ? ` ${rest} ${next[0]}` : "");
}

/** "3 min ago", from one unit only, because it keeps counting. */
export function ago(ms, nowMs) {
  if (!known(ms)) return "never";
  const seconds = Math.max(0, (nowMs - ms) / 1000);
  return seconds < 2 ? "just now" : roughly(seconds) + " ago";
}

/** Seconds in their largest unit only, rounded down: 4000 -> "1 h". */
export function roughly(seconds) {
  const [unit, size] = SPANS.find(([, each]) => seconds >= each) || SPANS[SPANS.length - 1];
  return `${Math.floor(seconds / size)} ${unit}`;
}

function two(value) {
  return value < 10 ? "0" + value : String(value);
}

/** ISO 8601 -> milliseconds, NaN for nothing. */
export function parse(iso) {
  return iso ? Date.parse(iso) : NaN;
}

let inUtc = false;

/** Write times in UTC instead of the viewer's zone. */
export function useUtc(on) {
  inUtc = on;
}

/** How far the zone that times are written in is ahead of UTC, in milliseconds. */
export function zoneMs(ms) {
  return inUtc ? 0 : viewerMs(ms);
}

function viewerMs(ms) {
  return -new Date(ms).getTimezoneOffset() * 60000;
}

/** The zone that times are written in: "UTC", "UTC+01:00". */
export function zone(ms) {
  return inUtc ? "UTC" : offset(viewerMs(ms) / 60000);
}

function offset(minutes) {
  const size = Math.abs(minutes);
  return `UTC${minutes < 0 ? "−" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/** "10:42"; with seconds for near-live data. */
export function clock(ms, seconds = false) {
  return known(ms) ? shifted(ms, zoneMs(ms)).slice(11, seconds ? 19 : 16) : NONE;
}

/** ISO 8601 of a zone's own time. */
function shifted(ms, ahead) {
  return new Date(ms + ahead).toISOString();
}

/** "22 Nov" */
export function day(ms) {
  return known(ms) ? dayOf(shifted(ms, zoneMs(ms))) : NONE;
}

function dayOf(time) {
  return `${Number(time.slice(8, 10))} ${MONTHS[time.slice(5, 7) - 1]}`;
}

/** "10:42" today, "21 Nov 10:42" on another day. */
export function moment(ms, nowMs) {
  if (!known(ms)) return NONE;
  const today = known(nowMs) && Math.floor((ms + zoneMs(ms)) / DAY_MS) === Math.floor((nowMs + zoneMs(nowMs)) / DAY_MS);
  return today ? clock(ms) : `${day(ms)} ${clock(ms)}`;
}

/** A moment of a span: to the second in one of up to an hour. */
export function momentIn(ms, from, to) {
  return to - from <= HOUR_MS ? clock(ms, true) : moment(ms, to);
}

/** A sentence of the hub with its moments, which are UTC, as the viewer reads them. */
export function local(sentence, nowMs) {
  return sentence.replace(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, (iso) => moment(parse(iso), nowMs));
}

/** The whole truth for a tooltip: the viewer's time with its zone, and UTC. */
export function full(ms) {
  if (!known(ms)) return "";
  const ahead = viewerMs(ms);
  const time = shifted(ms, ahead);
  const utc = shifted(ms, 0).slice(0, 19).replace("T", " ");
  return `${dayOf(time)} ${time.slice(0, 4)} ${time.slice(11, 19)} (${offset(ahead / 60000)}) · ${utc} UTC`;
}

/** How bad a share is, by the rule the hub alerts by: warning at the limit, critical five points above, from 95. */
export function level(value, limit = DEFAULT_LIMIT) {
  if (!known(value)) return "none";
  if (value >= Math.min(100, Math.max(95, limit + 5))) return "critical";
  return value >= limit ? "warning" : "fine";
}

/** Compare names as people read them: web-2 before web-10. */
export const byName = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" }).compare;
