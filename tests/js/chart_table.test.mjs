import assert from "node:assert/strict";
import test from "node:test";
import { parts } from "../../smon_static/views/chart_table.js";

test("parts of a span share out every sample exactly once", () => {
  const times = Float64Array.of(0, 24, 25, 50, 99, 100);
  const cut = parts(times, 0, 100, 4);
  assert.deepEqual(cut.map(({ start, end }) => [start, end]), [[0, 2], [2, 3], [3, 4], [4, 6]]);
});
