"""Samples by server and time: stored once, found by moment, averaged by the clock."""

from __future__ import annotations

import pytest

from smon_hub import clock, metrics
from smon_hub.store import series, servers
from smon_hub.store.series import LIVE_NUMBERS, ROWS_AT_ONCE, Arrival
from tests.hub.test_fleet import ROW

TEN = clock.parse("2026-11-22T10:00:00Z")


def row(at=TEN, server=1, cpu=1.0, details=b"d", timed=True):
    numbers = {"cpu_percent": cpu, "memory_percent": 2.0}
    return Arrival((server, at, *(numbers.get(key) for key in metrics.KEYS), details), timed)


def live_row(at=TEN, server=1, cpu=1.0, timed=True):
    numbers = {"cpu_percent": cpu, "cpu_per_core": "[1,2]"}
    return Arrival((server, at, *(numbers.get(key) for key in LIVE_NUMBERS)), timed)


def add(engine, *rows):
    return engine.write(lambda db: series.add(db, rows))


def stored(db):
    return db.execute("SELECT id, server, at FROM samples ORDER BY id").fetchall()


# --- storing ----------------------------------------------------------------------------------------------------------

def test_each_sample_is_answered_with_its_row_and_moment(engine, db):
    assert add(engine, row(TEN), row(TEN + 1), row(TEN, server=2)) == [(1, TEN), (2, TEN + 1), (3, TEN)]
    assert stored(db) == [(1, 1, TEN), (2, 1, TEN + 1), (3, 2, TEN)]


def test_a_sample_that_is_there_is_not_stored_again_and_changes_nothing(engine, db):
    add(engine, row(cpu=1.0))
    assert add(engine, row(cpu=9.0)) == [None]
    assert db.execute("SELECT cpu_percent FROM samples").fetchall() == [(1.0,)]


@pytest.mark.parametrize("count", [1, 2, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, 3 * ROWS_AT_ONCE + 5])
def test_row_ids_belong_to_their_samples_however_many_come(engine, db, count):
    places = add(engine, *(row(TEN + number, cpu=number % 100) for number in range(count)))
    for number, (row_id, at) in enumerate(places):
        assert db.execute("SELECT at, cpu_percent FROM samples WHERE id = ?", [row_id]).fetchone() == (at, number % 100)


def test_repetitions_among_many_are_told_one_by_one(engine, db):
    add(engine, row(TEN + 1))
    places = add(engine, *(row(TEN + number) for number in (0, 1, 2, 2, 3)))
    assert [place and place[1] for place in places] == [TEN, None, TEN + 2, None, TEN + 3]
    assert [at for _, _, at in stored(db)] == [TEN + 1, TEN, TEN + 2, TEN + 3]


def test_what_came_without_a_time_takes_the_next_free_moment(engine):
    add(engine, row(TEN), row(TEN + 1))
    assert [place[1] for place in add(engine, row(TEN, timed=False), row(TEN, timed=False))] == [TEN + 2, TEN + 3]


def test_live_samples_say_whether_they_are_new(engine, db):
    assert engine.write(lambda db: series.add_live(db, [live_row(), live_row(), live_row(timed=False)])) == [
        True, False, True]
    assert [(each["at"], each["cpu_per_core"]) for each in series.live(db, 1, TEN - 1)] == [
        (TEN, [1, 2]), (TEN + 1, [1, 2])]


def test_live_samples_after_a_moment_are_those_of_one_server(engine, db):
    engine.write(lambda db: series.add_live(db, [live_row(TEN), live_row(TEN + 1), live_row(TEN + 2, server=2)]))
    assert [each["at"] for each in series.live(db, 1, TEN)] == [TEN + 1]


# --- finding ----------------------------------------------------------------------------------------------------------

def test_the_nearest_sample_is_the_last_one_up_to_a_moment(engine, db):
    add(engine, row(TEN), row(TEN + 10), row(TEN + 4, server=2))
    assert [series.nearest(db, 1, at).at for at in (TEN, TEN + 9, TEN + 10, TEN + 99)] == [TEN, TEN, TEN + 10, TEN + 10]
    assert series.nearest(db, 1, TEN - 1) is None


def test_younger_samples_come_in_the_order_of_their_arrival(engine, db):
    add(engine, row(TEN + 5), row(TEN + 1), row(TEN + 3))
    assert [sample.at for sample in series.younger(db, 1)] == [TEN + 1, TEN + 3]
    assert series.sample(db, 1).at == TEN + 5 and series.sample(db, 9) is None


# --- keeping it bounded -----------------------------------------------------------------------------------------------

def test_a_slice_drops_the_oldest_but_never_the_one_to_keep(engine, db):
    add(engine, *(row(TEN + number) for number in range(6)))
    drop = lambda db: series.drop_samples(db, 1, TEN + 5, keep=1, most=3)  # noqa: E731 - named to be told apart
    assert [engine.write(drop) for _ in range(3)] == [3, 1, 0]
    assert [at for _, _, at in stored(db)] == [TEN, TEN + 5]


def test_details_are_emptied_in_slices_and_the_numbers_stay(engine, db):
    add(engine, *(row(TEN + number) for number in range(5)))
    drop = lambda db: series.drop_details(db, TEN + 4, 3)  # noqa: E731 - named to be told apart
    assert [engine.write(drop) for _ in range(3)] == [3, 1, 0]
    assert db.execute("SELECT at - ?, cpu_percent, details IS NULL FROM samples ORDER BY at", [TEN]).fetchall() == [
        (0, 1.0, 1), (1, 1.0, 1), (2, 1.0, 1), (3, 1.0, 1), (4, 1.0, 0)]


def test_a_servers_newest_sample_keeps_its_details(engine, db):
    add(engine, row(TEN), row(TEN + 1))
    engine.write(lambda db: servers.add(db, dict(ROW, newest_sample=2)))
    engine.write(lambda db: series.drop_details(db, TEN + 9, 100))
    assert db.execute("SELECT id FROM samples WHERE details IS NOT NULL").fetchall() == [(2,)]


def test_only_a_servers_own_live_samples_go(engine, db):
    engine.write(lambda db: series.add_live(db, [live_row(TEN), live_row(TEN + 1), live_row(TEN, server=2)]))
    assert engine.write(lambda db: series.drop_live(db, 1, TEN + 1, 100)) == 1
    assert db.execute("SELECT server, at FROM live ORDER BY 1").fetchall() == [(1, TEN + 1), (2, TEN)]


def test_pages_that_became_free_go_back_to_the_file_system(sqlite, file):
    add(sqlite, *(row(TEN + number, details=b"x" * 1000) for number in range(2000)))
    sqlite.write(lambda db: series.drop_samples(db, 1, TEN + 9999, 0, 2000))
    before = file.execute("PRAGMA freelist_count").fetchone()[0]
    while sqlite.write(lambda db: db.give_back()):
        pass
    assert before > 400
    assert file.execute("PRAGMA freelist_count").fetchone()[0] == 0
