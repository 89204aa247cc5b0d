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

export function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

/** Round times of the viewer's zone between from and to, at most `most` of them. zoneMs: local time minus UTC. */
export function timeTicks(from, to, most, zoneMs = 0) {
  const step = TIME_STEPS.find((each) => (to - from) / each <= most) || 91 * DAY;
  const ticks = [];
  for (let at = Math.ceil((from + zoneMs) / step) * step - zoneMs; at <= to; at += step) ticks.push(at);
  return { step, ticks };
}

/** A round upper end for values up to largest: 1, 2 or 5 times a power of ten; for bytes (binary) a power of two. */
export function roundUp(largest, binary) {
  if (!largest) return 1;
  if (binary) return 2 ** Math.ceil(Math.log2(largest));
  const unit = 10 ** Math.floor(Math.log10(largest));
  return [1, 2, 5, 10].find((lead) => lead * unit >= largest) * unit;
}

/** Where the value axis is marked from 0 to a round top: in quarters, or fifths where quarters would not be round. */
export function valueTicks(top) {
  const number = top / 10 ** Math.floor(Math.log10(top)) === 5 ? 5 : 4;
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
  return after === times.length || t - times[after - 1] <= times[after] - t ? after - 1 : after;
}

/** The silence that counts as a gap: from the step the hub names, else from the middle distance of the samples. */
export function gapLimit(times, stepMs) {
  const distances = times.map((t, i) => t - times[i - 1]).sort();  // the first is none and comes last
  return Math.max(stepMs, distances[(times.length - 1) >> 1]) * GAP_FACTOR || Infinity;
}

/** Stretches [from, to) of samples that belong together: broken where time jumps or the value is not known. */
export function runs(times, values, gap) {
  const found = [];
  let run = [];
  for (let i = 0; i < times.length; i++) {
    if (values[i] !== values[i]) continue;  // NaN differs from itself
    if (run[1] !== i || times[i] - times[i - 1] > gap) {
      run = [i, i];
      found.push(run);
    }
    run[1] += 1;
  }
  return found;
}

/**
 * Squeeze the samples of a line {v, low?, high?} into pixel columns: the least, greatest and last value of each, NaN
 * where none is. A spike of one sample survives.
 */
export function decimate(times, { v, low = v, high = v }, from, to, columns) {
  const [lows, highs, lasts] = [low, high, v].map(() => new Float64Array(columns).fill(NaN));
  const width = (to - from) / columns;
  for (let i = 0; i < times.length;) {
    const column = clamp(Math.floor((times[i] - from) / width), 0, columns - 1);
    const end = from + (column + 1) * width;
    let least = lows[column];
    let most = highs[column];
    let last = lasts[column];
    do {
      const value = v[i];
      if (value === value) {
        last = value;
        if (!(low[i] >= least)) least = low[i];
        if (!(high[i] <= most)) most = high[i];
      }
      i += 1;
    } while (times[i] < end);
    lows[column] = least;
    highs[column] = most;
    lasts[column] = last;
  }
  return { lows, highs, lasts };
}

/** Least, mean and greatest known value, and where the greatest is; null when none is known. */
export function summary(values) {
  let min = Infinity;
  let maxAt = 0;
  let sum = 0;
  let known = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value !== value) continue;
    if (value < min) min = value;
    if (!(value <= values[maxAt])) maxAt = i;
    sum += value;
    known += 1;
  }
  return known ? { min, max: values[maxAt], mean: sum / known, maxAt } : null;
}
