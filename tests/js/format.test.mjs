import assert from "node:assert/strict";
import test from "node:test";
import * as format from "../../smon_static/format.js";

test("bytes step by 1024 and keep one decimal", () => {
  assert.deepEqual([0, 1023, 1024, 1536, 1048575, 2 ** 30, 5 * 2 ** 50, 2 ** 63].map(format.bytes),
    ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 GiB", "5.0 PiB", "8192.0 PiB"]);
});

test("what is not known is a dash and never a zero", () => {
  for (const write of [format.bytes, format.rate, format.percent, format.number, format.duration]) {
    assert.deepEqual([null, undefined, NaN, Infinity, "5"].map((value) => write(value)), Array(5).fill("–"));
  }
  assert.equal(format.moment(NaN, 0), "–");
  assert.equal(format.ago(NaN, 0), "never");
  assert.equal(format.full(NaN), "");
});

test("a span has its two largest units", () => {
  assert.deepEqual([0, 59.4, 60, 61, 3600, 3661, 86400, 190000, -5].map(format.duration),
    ["0 s", "59 s", "1 min", "1 min 1 s", "1 h", "1 h 1 min", "1 d", "2 d 4 h", "0 s"]);
});

test("an age has one unit, is rounded down and never lies in the future", () => {
  const now = Date.UTC(2026, 10, 22, 12);
  const before = (seconds) => format.ago(now - seconds * 1000, now);
  assert.deepEqual([1, 2, 59, 60, 3599, 7200, 200000, -30].map(before),
    ["just now", "2 s ago", "59 s ago", "1 min ago", "59 min ago", "2 h ago", "2 d ago", "just now"]);
});

test("a share is judged as the hub judges: warning at the limit, critical five above it and from 95", () => {
  assert.deepEqual([[89.9, 90], [90, 90], [94.9, 90], [95, 90], [95, 70], [75, 70], [99, 98], [100, 98], [null, 90]]
    .map(([value, limit]) => format.level(value, limit)),
  ["fine", "warning", "warning", "critical", "critical", "warning", "warning", "critical", "none"]);
});

test("a moment of another day carries its day", () => {
  const noon = new Date(2026, 10, 22, 12, 5).getTime();
  assert.equal(format.moment(noon, noon + 3600000), "12:05");
  assert.equal(format.moment(noon, noon + 86400000), "22 Nov 12:05");
});

test("the full time names the viewer's zone and UTC", () => {
  const words = format.full(Date.UTC(2026, 10, 22, 10, 0, 7));
  assert.match(words, /^2[123] Nov 2026 \d\d:\d\d:07 \(UTC[+−]\d\d:\d\d\) · 2026-11-22 10:00:07 UTC$/);
});

test("in UTC every time is UTC's, and the full one still names both", () => {
  const at = Date.UTC(2026, 10, 22, 23, 30, 7);
  const both = format.full(at);
  format.useUtc(true);
  assert.deepEqual([format.clock(at), format.clock(at, true), format.day(at), format.moment(at, at + 3600000),
    format.zone(at), format.zoneMs(at), format.full(at)],
  ["23:30", "23:30:07", "22 Nov", "22 Nov 23:30", "UTC", 0, both]);
  format.useUtc(false);
  assert.match(format.zone(at), /^UTC[+−]\d\d:\d\d$/);
});

test("a moment near midnight belongs to the day of the zone that it is written in", () => {
  const midnight = new Date(2026, 10, 22).getTime();
  assert.equal(format.moment(midnight - 60000, midnight), "21 Nov 23:59");
  assert.equal(format.moment(midnight + 60000, midnight), "00:01");
  assert.deepEqual([format.clock(NaN), format.day(undefined)], ["–", "–"]);
});

test("names sort as people read them", () => {
  assert.deepEqual(["web-10", "Web-2", "db"].sort(format.byName), ["db", "Web-2", "web-10"]);
});

test("one server, two servers", () => {
  assert.deepEqual([format.count(1, "server"), format.count(0, "server"), format.count(2, "entry", "entries")],
    ["1 server", "0 servers", "2 entries"]);
});

test("a sentence of the hub has its moments in the zone that times are written in", () => {
  format.useUtc(true);
  const now = Date.UTC(2026, 10, 22, 23);
  assert.equal(format.local("From 2026-11-21T09:05:59Z to 2026-11-22T10:42:00.123Z: 92%", now),
    "From 21 Nov 09:05 to 10:42: 92%");
  assert.equal(format.local("Disk /2026-11-22 at 97.0%", now), "Disk /2026-11-22 at 97.0%");
  format.useUtc(false);
});
