import assert from "node:assert/strict";
import test from "node:test";
import * as scale from "../../smon_static/charts/scale.js";

const MINUTE = 60000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const floats = (...values) => Float64Array.from(values);

test("time ticks are round in the viewer's zone and few enough", () => {
  const zone = 5.5 * HOUR;
  const from = Date.UTC(2026, 10, 21, 12, 17);
  const { step, ticks } = scale.timeTicks(from, from + DAY, 10, zone);
  assert.equal(step, 3 * HOUR);
  assert.equal(ticks.length, 8);
  for (const tick of ticks) assert.equal((tick + zone) % step, 0);
});

test("ticks over a month are days, over five minutes they are minutes", () => {
  assert.equal(scale.timeTicks(0, 30 * DAY, 12).step, 7 * DAY);
  assert.equal(scale.timeTicks(0, 5 * MINUTE, 12).step, MINUTE);
});

test("ticks of a span beyond every step stay bounded by the largest", () => {
  assert.equal(scale.timeTicks(0, 3650 * DAY, 1).step, 91 * DAY);
});

test("the upper end is round and never below the data", () => {
  assert.deepEqual([0, 0.3, 1, 7, 10, 11, 450].map((value) => scale.roundUp(value)), [1, 0.5, 1, 10, 10, 20, 500]);
  assert.deepEqual([1000, 1024, 1500000].map((value) => scale.roundUp(value, true)), [1024, 1024, 2097152]);
});

test("the value axis is marked at round figures", () => {
  assert.deepEqual(scale.valueTicks(100), [0, 25, 50, 75, 100]);
  assert.deepEqual(scale.valueTicks(50), [0, 10, 20, 30, 40, 50]);
});

test("the nearest sample is found at the ends, between, and in nothing", () => {
  const times = floats(10, 20, 40);
  assert.deepEqual([0, 14, 15, 16, 29, 31, 99].map((t) => scale.nearest(times, t)), [0, 0, 0, 1, 1, 2, 2]);
  assert.equal(scale.nearest(floats(), 5), -1);
});

test("two lost samples are a gap, one is not", () => {
  const minutes = [0, 10, 20, 40, 50, 80, 90].map((minute) => minute * MINUTE);
  const times = floats(...minutes);
  const gap = scale.gapLimit(times, 10 * MINUTE);
  assert.deepEqual(scale.runs(times, floats(1, 1, 1, 1, 1, 1, 1), gap), [[0, 5], [5, 7]]);
});

test("a value that is not known breaks the line", () => {
  assert.deepEqual(scale.runs(floats(1, 2, 3, 4, 5), floats(NaN, 1, NaN, 1, 1), 10), [[1, 2], [3, 5]]);
  assert.deepEqual(scale.runs(floats(), floats(), 10), []);
});

test("the gap follows the samples when the hub's step is shorter than their distance", () => {
  const hourly = floats(0, HOUR, 2 * HOUR, 3 * HOUR);
  assert.equal(scale.gapLimit(hourly, MINUTE), 2.5 * HOUR);
  assert.equal(scale.gapLimit(floats(0), MINUTE), Infinity);
});

test("a spike of one sample survives the squeeze into pixels", () => {
  const times = Float64Array.from({ length: 100000 }, (_, i) => i);
  const values = new Float64Array(100000).fill(10);
  values[54321] = 99;
  const squeezed = scale.decimate(times, { v: values }, 0, 99999, 1000);
  assert.equal(Math.max(...squeezed.highs), 99);
  assert.equal(squeezed.highs[543], 99);
  assert.equal(squeezed.lows[543], 10);
});

test("a column without samples stays empty, and each column knows its last", () => {
  const squeezed = scale.decimate(floats(0, 1, 8, 9), { v: floats(5, 3, 7, NaN) }, 0, 10, 5);
  assert.deepEqual([...squeezed.lasts], [3, NaN, NaN, NaN, 7]);
  assert.deepEqual([...squeezed.lows], [3, NaN, NaN, NaN, 7]);
});

test("the extremes that a bucket hides survive the squeeze too", () => {
  const line = { v: floats(5, 6), low: floats(1, 4), high: floats(9, 7) };
  const squeezed = scale.decimate(floats(0, 1), line, 0, 10, 1);
  assert.deepEqual([squeezed.lows[0], squeezed.highs[0], squeezed.lasts[0]], [1, 9, 6]);
});

test("a summary names the extremes and where the greatest is, without what is not known", () => {
  const found = scale.summary(floats(4, NaN, 10, 1));
  assert.deepEqual(found, { min: 1, max: 10, mean: 5, maxAt: 2 });
  assert.equal(scale.summary(floats(NaN)), null);
});
