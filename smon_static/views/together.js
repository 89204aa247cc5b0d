// Brings the samples of several servers, each taken at its own times, to common ones, so that one cursor reads all of
// their lines. Touches no document.

import { gapLimit, lowerBound, nearest, summary } from "../charts/scale.js";

const MOST = 360;  // points of a line: few enough that a telephone has pixels for all, and the chart its dashes

/**
 * series: [{t, v, low?, high?, stepMs?}], one a server -> {t, stepMs, averaged, lines: [{v, low, high}]}. A point
 * stands for its time up to the next one's; averaged: one of them stands for more than one sample.
 */
export function together(series, from, to) {
  const usual = Math.min(...series.map(({ t }) => distance(t)));
  const finest = usual < Infinity ? Math.max(1, Math.round(usual / 1000)) * 1000 : (to - from) / MOST;
  const many = Math.ceil((to - from) / finest / MOST);
  const stepMs = finest * many;
  const ends = series.flatMap(({ t: own }) => [...own.slice(0, 1), ...own.slice(-1)]);
  const t = times(from, Math.min(...ends), Math.max(...ends), stepMs);
  const cells = series.map((each) => cellsOf(each, t));
  const crowded = cells.some((own) => own.some(([first, end]) => end - first > 1));
  return { t, stepMs, averaged: crowded || series.some((each) => each.stepMs > 0),
    lines: series.map((each, i) => line(each, cells[i])) };
}

/** The middle distance of samples, Infinity for less than two. */
function distance(t) {
  const distances = t.slice(1).map((each, i) => each - t[i]).sort();
  return distances[distances.length >> 1] ?? Infinity;
}

/** Multiples of a step, which a refresh does not move; none lies before the span. */
function times(from, oldest, newest, stepMs) {
  const [first, last] = [oldest, newest].map((at) => Math.floor(at / stepMs));
  const number = newest >= oldest ? last - first + 1 : 0;
  return Float64Array.from({ length: number }, (_, i) => Math.max(from, (first + i) * stepMs));
}

/** The samples of a series that each of the common times stands for. */
function cellsOf({ t: own, stepMs = 0 }, t) {
  const gap = gapLimit(own, stepMs);
  return Array.from(t, (start, i) => cell(own, start, t[i + 1] ?? Infinity, gap));
}

function line({ v, low = v, high = v }, cells) {
  const column = (values, read) => Float64Array.from(cells, ([first, end]) => {
    const found = summary(values.subarray(first, end));
    return found ? read(found) : NaN;
  });
  return { v: column(v, ({ mean }) => mean), low: column(low, ({ min }) => min), high: column(high, ({ max }) => max) };
}

/**
 * The samples [first, end) that a point stands for. One that no sample falls on takes the nearest, unless there is a
 * gap; after the last sample it does so until the next one is overdue.
 */
function cell(own, start, end, gap) {
  const [first, last] = [start, end].map((at) => lowerBound(own, at));
  if (last > first || !first) return [first, last];
  const ended = first === own.length;
  const near = ended ? gap < Infinity && start - own[first - 1] <= gap / 2 : own[first] - own[first - 1] <= gap;
  const index = nearest(own, (start + end) / 2);
  return near ? [index, index + 1] : [first, first];
}
