"""Coarse history: the same numbers as the samples it was made of, whenever and how often it is made."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smon_hub import clock, metrics, rollup
from smon_hub.rollup import LADDER, ROLLED_FACT
from smon_hub.store import options, rollups, series
from smon_hub.store.engine import Engine
from tests.store.test_series import TEN, add, row

KEEP = {"data_retention_days": 30, "rollup_retention_days": 365}
NOW = TEN + 5 * clock.DAY


def roll(engine, keep=KEEP, now=NOW):
    """Run the job to its end; how many row ids it took."""
    if engine.shared:  # as a while after the youngest sample
        newest = rollups.newest_sample(engine.read())
        engine.write(lambda db: options.note(db, rollup.SETTLED_FACT, "[0, %d, %d]" % (newest, newest)))
    total = done = engine.write(lambda db: rollup.roll(db, keep, now))
    while done:
        done = engine.write(lambda db: rollup.roll(db, keep, now))
        total += done
    return total


def buckets(db, step, server=1):
    return db.execute("SELECT at, samples, cpu_percent, cpu_min, cpu_max, load_1 FROM rollups "
                      "WHERE server = ? AND step = ? ORDER BY at", [server, step]).fetchall()


# --- which points a span has ------------------------------------------------------------------------------------------

def minutes(engine, count, step=clock.MINUTE, first=TEN):
    add(engine, *(row(first + number * step, cpu=float(number % 7)) for number in range(count)))


def test_few_samples_are_shown_one_by_one(engine, db):
    minutes(engine, 1500)
    points, step = rollup.history(db, 1, TEN - 1, TEN + clock.DAY * 2)
    assert (len(points), step) == (1500, 0)
    assert points[0] == dict({key: None for key in metrics.KEYS}, timestamp="2026-11-22T10:00:00Z", cpu_percent=0.0,
                             memory_percent=2.0)


def test_the_span_is_open_at_its_beginning_and_closed_at_its_end(engine, db):
    add(engine, *(row(TEN + number * clock.SECOND) for number in range(4)))
    points, _ = rollup.history(db, 1, TEN, TEN + 2 * clock.SECOND)
    assert [point["timestamp"] for point in points] == ["2026-11-22T10:00:01Z", "2026-11-22T10:00:02Z"]


@pytest.mark.parametrize("count, step", [(1501, clock.MINUTE), (3000, 10 * clock.SECOND), (2000, clock.HOUR)])
def test_many_samples_are_buckets_and_never_more_than_a_chart_can_show(engine, db, count, step):
    minutes(engine, count, step)
    points, seconds = rollup.history(db, 1, TEN - 1, TEN + count * step)
    assert seconds in series.STEP_SECONDS and 1 < len(points) <= series.HISTORY_POINTS_MAX
    assert all(clock.parse(point["timestamp"]) % (seconds * 1000) == 0 for point in points)


def test_buckets_say_mean_smallest_and_largest(engine, db):
    minutes(engine, 1600)
    points, seconds = rollup.history(db, 1, TEN - 1, TEN + 1600 * clock.MINUTE)
    assert seconds == 120
    assert [points[0][key] for key in ("cpu_percent", "cpu_min", "cpu_max", "memory_percent")] == [0.5, 0.0, 1.0, 2.0]
    assert points[0]["disk_percent"] is points[0]["disk_max"] is None


def test_buckets_are_the_same_whenever_they_are_asked_for(engine, db):
    minutes(engine, 1700)
    span = 1650 * clock.MINUTE
    first, _ = rollup.history(db, 1, TEN - 1, TEN - 1 + span)
    again, _ = rollup.history(db, 1, TEN - 1, TEN - 1 + span)
    moved, _ = rollup.history(db, 1, TEN + 7 * clock.SECOND, TEN + 7 * clock.SECOND + span)
    assert first == again
    assert moved[1:-1] == first[1:len(moved) - 1]  # the first and last ones are cut where the span ends


def test_a_span_of_months_is_shown_from_averages_after_its_samples_have_gone(engine, db):
    minutes(engine, 300, clock.HOUR, TEN - 60 * clock.DAY)
    roll(engine, dict(KEEP, data_retention_days=90))
    engine.write(lambda db: series.drop_samples(db, 1, TEN - 50 * clock.DAY, 0, 1000))
    points, step = rollup.history(db, 1, TEN - 90 * clock.DAY, NOW)
    assert (points[0]["timestamp"], step) == (clock.iso(TEN - 60 * clock.DAY), 7200)
    assert points[0]["cpu_percent"] == 0.5 and points[0]["cpu_max"] == 1.0


def test_what_is_not_rolled_yet_is_in_the_answer_once(engine, db):
    random.seed(7)
    values = [float(random.randrange(100)) for _ in range(2000)]
    add(engine, *(row(TEN + number * 10 * clock.MINUTE, cpu=value) for number, value in enumerate(values[:901])))
    roll(engine)
    add(engine, *(row(TEN + (901 + number) * 10 * clock.MINUTE, cpu=value)
                  for number, value in enumerate(values[901:])))
    until = TEN + 2000 * 10 * clock.MINUTE
    mixed, step = rollup.history(db, 1, TEN - 1, until)
    plain = series.buckets(db, 1, TEN - 1, until, step)
    assert step == 1200 and len(mixed) == 1000
    assert [point["cpu_percent"] for point in mixed] == pytest.approx([point["cpu_percent"] for point in plain])
    assert [point["cpu_max"] for point in mixed] == [point["cpu_max"] for point in plain]


# --- rolling ----------------------------------------------------------------------------------------------------------

def test_rolling_twice_gives_the_same_rows(engine, db):
    minutes(engine, 500)
    assert roll(engine) == 500
    first = [buckets(db, rung.step_seconds) for rung in LADDER]
    assert roll(engine) == 0
    engine.write(lambda db: options.note(db, ROLLED_FACT, "0"))
    assert roll(engine) == 500
    assert [buckets(db, rung.step_seconds) for rung in LADDER] == first
    assert [len(rows) for rows in first] == [50, 9, 1]


def test_late_data_makes_its_buckets_anew(engine, db):
    add(engine, row(TEN, cpu=10.0), row(TEN + clock.HOUR, cpu=50.0))
    roll(engine)
    add(engine, row(TEN + clock.MINUTE, cpu=40.0))
    roll(engine)
    assert buckets(db, 600)[0] == (TEN, 2, 25.0, 10.0, 40.0, None)
    assert buckets(db, 86400) == [(clock.parse("2026-11-22T00:00:00Z"), 3, pytest.approx(100 / 3), 10.0, 50.0, None)]


def test_a_bucket_whose_samples_may_be_gone_is_left_as_it_is(engine, db):
    add(engine, row(TEN, cpu=10.0), row(TEN + clock.MINUTE, cpu=20.0))
    roll(engine)
    engine.write(lambda db: series.drop_samples(db, 1, TEN + 1, 0, 10))
    add(engine, row(TEN + 2 * clock.MINUTE, cpu=90.0))
    roll(engine, now=TEN + 30 * clock.DAY + 2 * clock.MINUTE)
    assert buckets(db, 600) == [(TEN, 2, 15.0, 10.0, 20.0, None)]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 3 * 86_400), st.integers(1, 3), st.floats(0, 100)), min_size=1, max_size=60,
                unique_by=lambda one: one[:2]), st.integers(1, 59))
def test_however_samples_come_a_bucket_holds_all_of_them(tmp_path_factory, taken, cut):
    engine = Engine(str(tmp_path_factory.mktemp("rollup") / "smon.db"))
    engine.start()
    try:
        for some in (taken[:cut], taken[cut:]):
            add(engine, *(row(TEN + second * 1000, server, cpu) for second, server, cpu in some))
            roll(engine)
        for rung in LADDER:
            width = rung.step_seconds * 1000
            expected = {}
            for second, server, cpu in taken:
                expected.setdefault((server, (TEN + second * 1000) // width * width), []).append(cpu)
            found = engine.read().execute("SELECT server, at, samples, cpu_percent, cpu_min, cpu_max FROM rollups "
                                          "WHERE step = ?", [rung.step_seconds]).fetchall()
            assert {(server, at): count for server, at, count, *_ in found} == {
                place: len(values) for place, values in expected.items()}
            for server, at, _, mean, least, most in found:
                values = expected[server, at]
                assert (least, most) == (min(values), max(values))
                assert mean == pytest.approx(sum(values) / len(values), abs=1e-9)
    finally:
        engine.stop()


# --- keeping it bounded -----------------------------------------------------------------------------------------------

def test_each_rung_has_its_keep_and_none_outlives_the_setting(engine, db):
    assert [rollup.kept_days(rung, KEEP) for rung in LADDER] == [90, 365, 365]
    assert [rollup.kept_days(rung, dict(KEEP, rollup_retention_days=10)) for rung in LADDER] == [30, 30, 30]
    assert [rollup.kept_days(rung, dict(KEEP, rollup_retention_days=3650)) for rung in LADDER] == [90, 365, 1825]


def test_what_is_past_its_keep_goes_by_rung(engine, db):
    add(engine, row(NOW - 100 * clock.DAY), row(NOW - 10 * clock.DAY), row(NOW - 100 * clock.DAY, server=2))
    roll(engine, dict(KEEP, data_retention_days=400))
    assert engine.write(lambda db: rollup.drop(db, 1, KEEP, NOW, 100)) == 1
    kept = db.execute("SELECT step, COUNT(*) FROM rollups GROUP BY 1 ORDER BY 1").fetchall()
    assert kept == [(600, 2), (3600, 3), (86400, 3)]
    assert [at for at, *_ in buckets(db, 600)] == [NOW - 10 * clock.DAY]
