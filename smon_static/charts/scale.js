// The arithmetic of charts: which ticks, which pixel, which sample. Touches no document.
// Times are milliseconds in ascending order, values numbers with NaN for "not known".

const MINUTE = 60000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const TIME_STEPS = [
  MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 91 * DAY,
];
const GAP_FACTOR = 2.5;  // one late or lost sample is no gap, two are
const DISTANCES = 500;   // enough of them to know their middle

/** Round times of the viewer's zone between from and to, at most `most` of them. zoneMs: local time minus UTC. */
export function timeTicks(from, to, most, zoneMs = 0) {
  const step = TIME_STEPS.find((each) => (to - from) / each <= most) || TIME_STEPS[TIME_STEPS.length - 1];
  const ticks = [];
  for (let at = Math.ceil((from + zoneMs) / step) * step - zoneMs; at <= to; at += step) ticks.push(at);
  return { step, ticks };
}

/** A round upper end for values up to largest: 1, 2 or 5 times a power of ten; for bytes (binary) a power of two. */
export function roundUp(largest, binary = false) {
  if (!(largest > 0)) return 1;
  if (binary) return 2 ** Math.ceil(Math.log2(largest));
  const unit = 10 ** Math.floor(Math.log10(largest));
  return [1, 2, 5, 10].find((lead) => lead * unit >= largest) * unit;
}

/** Where the value axis is marked from 0 to a round top: in quarters, or fifths where quarters would not be round. */
export function valueTicks(top) {
  const lead = top / 10 ** Math.floor(Math.log10(top));
  const number = lead === 5 ? 5 : 4;
  return Array.from({ length: number + 1 }, (_, i) => top * i / number);
}

/** The index of the first time that is not before t; times.length when all are. */
export function lowerBound(times, t) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < t) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The index of the time nearest to t, -1 for no times. */
export function nearest(times, t) {
  const after = lowerBound(times, t);
  if (after === times.length) return after - 1;
  return after > 0 && t - times[after - 1] <= times[after] - t ? after - 1 : after;
}

/** The silence that counts as a gap: from the step the hub names, else from the middle distance of the samples. */
export function gapLimit(times, stepMs) {
  if (times.length < 2) return Infinity;
  const stride = Math.ceil(times.length / DISTANCES);
  const distances = [];
  for (let i = 1; i < times.length; i += stride) distances.push(times[i] - times[i - 1]);
  distances.sort((a, b) => a - b);
  return Math.max(stepMs || 0, distances[distances.length >> 1]) * GAP_FACTOR;
}

/** Stretches [from, to) of samples that belong together: broken where time jumps or the value is not known. */
export function runs(times, values, gap) {
  const found = [];
  let from = -1;
  for (let i = 0; i <= times.length; i++) {
    const known = i < times.length && values[i] === values[i];  // NaN differs from itself
    if (from >= 0 && (!known || times[i] - times[i - 1] > gap)) {
      found.push([from, i]);
      from = -1;
    }
    if (known && from < 0) from = i;
  }
  return found;
}

/**
 * Squeeze the samples of a line {v, low?, high?} into pixel columns: the least, greatest and last value of each, NaN
 * where none is. A spike of one sample survives.
 */
export function decimate(times, { v, low = v, high = v }, from, to, columns) {
  const out = { low: nothing(columns), high: nothing(columns), last: nothing(columns) };
  const width = (to - from) / columns;
  for (let i = 0; i < times.length;) {
    const column = Math.min(columns - 1, Math.max(0, Math.floor((times[i] - from) / width)));
    const end = column < columns - 1 ? from + (column + 1) * width : Infinity;
    let least = out.low[column];
    let most = out.high[column];
    let last = out.last[column];
    do {
      if (v[i] === v[i]) {
        if (!(low[i] >= least)) least = low[i];
        if (!(high[i] <= most)) most = high[i];
        last = v[i];
      }
      i += 1;
    } while (times[i] < end);
    out.low[column] = least;
    out.high[column] = most;
    out.last[column] = last;
  }
  return out;
}

function nothing(size) {
  return new Float64Array(size).fill(NaN);
}

/** Least, mean and greatest known value of [start, end), and where the greatest is; null when none is known. */
export function summary(values, start = 0, end = values.length) {
  let min = Infinity;
  let max = -Infinity;
  let maxAt = -1;
  let sum = 0;
  let known = 0;
  for (let i = start; i < end; i++) {
    const value = values[i];
    if (value !== value) continue;
    if (value < min) min = value;
    if (value > max) {
      max = value;
      maxAt = i;
    }
    sum += value;
    known += 1;
  }
  return known ? { min, max, mean: sum / known, maxAt } : null;
}

/** Cut [from, to] into so many equal parts: [{from, to, start, end}] with the samples [start, end) of each. */
export function parts(times, from, to, number) {
  const size = (to - from) / number;
  return Array.from({ length: number }, (_, i) => {
    const begin = from + i * size;
    const end = i === number - 1 ? to + 1 : begin + size;  // the last one holds its end too
    return { from: begin, to: Math.min(end, to), start: lowerBound(times, begin), end: lowerBound(times, end) };
  });
}
