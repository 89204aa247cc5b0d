import assert from "node:assert/strict";
import test from "node:test";
import { together } from "../../smon_static/views/together.js";

const MINUTE = 60000;
const regular = (number, first, step, value = (i) => i) => ({
  t: Float64Array.from({ length: number }, (_, i) => first + i * step),
  v: Float64Array.from({ length: number }, (_, i) => value(i)),
});
const without = ({ t, v }, from, to) => {
  const [left, values] = [t, v].map((column) => column.filter((_, i) => i < from || i >= to));
  return { t: left, v: values };
};

test("each point is the one sample of its time, whenever within it a server takes its own", () => {
  const series = [1, 4, 9].map((minutes) => regular(12, minutes * MINUTE, 10 * MINUTE));
  const { t, stepMs, averaged, lines } = together(series, 0, 120 * MINUTE);
  assert.equal(stepMs, 10 * MINUTE);
  assert.equal(averaged, false);
  assert.deepEqual([...t], Array.from({ length: 12 }, (_, i) => i * 10 * MINUTE));
  for (const { v } of lines) assert.deepEqual([...v], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
});

test("a gap is not known, in its own line alone", () => {
  const whole = regular(12, MINUTE, 10 * MINUTE);
  const { lines } = together([whole, without(whole, 4, 7)], 0, 120 * MINUTE);
  assert.deepEqual([...lines[0].v], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  assert.deepEqual([...lines[1].v], [0, 1, 2, 3, NaN, NaN, NaN, 7, 8, 9, 10, 11]);
});

test("a sample that is a little late leaves no hole", () => {
  const late = regular(12, MINUTE, 10 * MINUTE);
  late.t[5] += 9.5 * MINUTE;  // so that two fall on the next point
  const { lines } = together([regular(12, MINUTE, 10 * MINUTE), late], 0, 120 * MINUTE);
  assert.ok(lines[1].v.every((value) => value === value));
  assert.deepEqual([lines[1].low[6], lines[1].high[6]], [5, 6]);
});

test("a rare sample is held until the next, and after the last one until it is overdue", () => {
  const often = regular(61, 0, MINUTE);
  const seldom = regular(5, 0, 10 * MINUTE);  // the last one at 40
  const { v } = together([often, seldom], 0, 60 * MINUTE).lines[1];
  assert.deepEqual([v[1], v[9], v[40], v[52], v[53]], [0, 1, 4, 4, NaN]);
});

test("a single sample is one point", () => {
  const { lines } = together([regular(12, 0, 10 * MINUTE), regular(1, 35 * MINUTE, 1, () => 7)], 0, 120 * MINUTE);
  assert.deepEqual([...lines[1].v].map((value, i) => [i, value]).filter(([, value]) => value === value), [[3, 7]]);
});

test("many samples are averaged, and no highest or lowest is lost", () => {
  const series = regular(7200, 0, MINUTE, (i) => (i === 4321 ? 100 : 10));
  const { t, averaged, stepMs, lines: [{ v, low, high }] } = together([series], 0, 7200 * MINUTE);
  assert.ok(t.length <= 361);
  assert.equal(averaged, true);
  assert.equal(stepMs, 20 * MINUTE);
  assert.deepEqual([Math.max(...high), Math.min(...low)], [100, 10]);
  assert.equal(Math.max(...v), 10 + 90 / 20);
});

test("a point that stands for more than one sample of only one server is an average", () => {
  const crowded = regular(12, MINUTE, 10 * MINUTE);
  crowded.t[11] -= 8 * MINUTE;  // into the time of the one before
  const { averaged, stepMs } = together([regular(12, MINUTE, 10 * MINUTE), crowded], 0, 120 * MINUTE);
  assert.deepEqual([averaged, stepMs], [true, 10 * MINUTE]);
});

test("nothing comes of nothing", () => {
  const none = { t: new Float64Array(0), v: new Float64Array(0) };
  assert.equal(together([], 0, 1000).t.length, 0);
  assert.deepEqual(together([none, none], 0, 1000).lines.map(({ v }) => v.length), [0, 0]);
});
