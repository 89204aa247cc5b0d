"""How large the database is, how fast it grows, and when its disk would be full."""

from __future__ import annotations

import pytest

from smon_hub import clock
from smon_hub.store import engine as file_engine
from smon_hub.store import options, postgres, size
from tests.store.test_series import TEN, add, row

DAYS = [TEN + day * clock.DAY for day in range(12)]


@pytest.fixture
def sizes(engine, monkeypatch):
    """Note sizes as if the file held so many bytes at those moments."""
    def note(*measured):
        for at, held in measured:
            for kind in (file_engine.Connection, postgres.Connection):
                monkeypatch.setattr(kind, "bytes_in_use", lambda db, held=held: held)
            engine.write(lambda db, at=at: size.note(db, at))
    return note


def test_what_is_in_use_grows_with_what_is_stored_and_shrinks_when_it_goes(sqlite, file):
    empty = file.bytes_in_use()
    add(sqlite, *(row(TEN + number, details=b"x" * 1000) for number in range(500)))
    full = file.bytes_in_use()
    sqlite.write(lambda db: db.execute("DELETE FROM samples"))
    assert full > empty + 500_000 and file.bytes_in_use() < empty + 20_000


def test_growth_is_taken_over_the_last_week(db, sizes):
    sizes((DAYS[0], 1_000), (DAYS[5], 50_000), (DAYS[10], 60_000), (DAYS[11], 62_000))
    assert size.forecast(db, DAYS[11], free=100_000) == {"grows_bytes_per_day": 2_000, "full_in_days": 50.0}


def test_a_file_that_does_not_grow_is_never_full(db, sizes):
    sizes((DAYS[0], 5_000), (DAYS[1], 4_000))
    assert size.forecast(db, DAYS[1], free=9) == {"grows_bytes_per_day": -1_000, "full_in_days": None}


def test_an_hour_tells_nothing_about_days(db, sizes):
    sizes((TEN, 1_000), (TEN + clock.HOUR, 900_000))
    assert size.forecast(db, TEN + clock.HOUR, free=9) == {"grows_bytes_per_day": None, "full_in_days": None}


def test_a_week_of_measurements_is_kept_and_none_of_a_time_that_has_not_come(engine, db, sizes):
    sizes(*((TEN + hour * clock.HOUR, hour) for hour in range(size.KEPT + 5)))
    assert options.fact(db, size.SIZES_FACT, "").count("],") == size.KEPT - 1
    sizes((TEN + clock.HOUR * 10, 7))
    assert options.fact(db, size.SIZES_FACT, "") == "[[%d, 5], [%d, 6], [%d, 7], [%d, 8], [%d, 9], [%d, 7]]" % tuple(
        TEN + hour * clock.HOUR for hour in (5, 6, 7, 8, 9, 10))


def test_the_oldest_sample_is_that_of_all_servers(engine, db):
    add(engine, row(TEN + 5), row(TEN + 1, server=2), row(TEN, server=3))
    assert size.oldest_sample(db, [1, 2]) == TEN + 1 and size.oldest_sample(db, [9]) is None
