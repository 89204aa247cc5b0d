"""What moves from one database to another: every table with all of its columns, in slices, each of them once."""

from __future__ import annotations

import importlib
import json
import pkgutil

import pytest

import smon_hub
from smon_hub.errors import HubError
from smon_hub.store import moving, options
from smon_hub.store.engine import Engine, Mistake
from smon_hub.store.postgres import Postgres

MOVED_FACTS = {"rolled_sample", "cleaned_at"}  # they mean the same on every engine
TABLES = {table.name: table for table in moving.TABLES}
AUDIT = TABLES["audit"]


@pytest.fixture
def pair(path, postgres):
    """A file and a database of the PostgreSQL family, both empty."""
    with postgres.database() as url:
        engines = [Engine(path), Postgres(url)]
        for engine in engines:
            engine.start()
        yield engines
        for engine in engines:
            engine.stop()


def columns(db):
    """The columns of each table, as the engine knows them."""
    if db.shared:
        found = db.execute("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = "
                           "current_schema() ORDER BY table_name, ordinal_position")
    else:
        found = db.execute("SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c "
                           "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' ORDER BY m.name, c.cid")
    by_table = {}
    for table, column in found:
        by_table.setdefault(table, []).append(column)
    return by_table


def test_every_table_of_the_schema_moves_with_every_column(db):
    assert {table.name: list(table.columns) for table in moving.ALL_TABLES} == columns(db)
    assert {table.name for table in moving.ALL_TABLES} - set(TABLES) == {"versions", "leases"}


def test_the_key_of_each_table_tells_its_rows_apart_on_a_file(file):
    for table in moving.ALL_TABLES:
        unique = [[name for name, in file.execute("SELECT name FROM pragma_index_info(?)", [index])]
                  for index, in file.execute("SELECT name FROM pragma_index_list(?) WHERE origin = 'pk'", [table.name])]
        assert list(table.key) in unique or len(table.key) == 1 and not unique


def test_what_becomes_of_each_fact_is_decided():
    """A new one has to be looked at: does it mean the same on the other engine?"""
    facts = set()
    for found in pkgutil.walk_packages(smon_hub.__path__, "smon_hub."):
        module = importlib.import_module(found.name)
        facts.update(value for name, value in vars(module).items() if name.endswith("_FACT"))
    assert facts == MOVED_FACTS | set(moving.LEFT_FACTS)
    assert not MOVED_FACTS & set(moving.LEFT_FACTS)


def line(number, who="anna"):
    return (number, 1000 + number, who, "", "x", "", "{}")


def begun(engine, source="somewhere"):
    return engine.write(lambda db: moving.begin(db, source, engine.path))


def stored(engine, rows, table=AUDIT, progress=None):
    return engine.write(lambda db: moving.put(db, progress or begun(engine)._replace(table=table.name), table, rows))


def at(engine, table):
    """A move that has come to this table."""
    progress = begun(engine)._replace(table=table.name, after=None)
    engine.write(lambda db: options.note(db, options.MOVING_FACT, json.dumps(progress)))
    return progress


def test_rows_come_in_slices_in_the_order_of_their_keys(engine, monkeypatch):
    monkeypatch.setattr(moving, "SLICE_ROWS", 2)
    names = ["B", "a", "Z", "ä", "_"]
    table = TABLES["services"]
    progress = at(engine, table)
    rows = [(server, name, None, None, None, None, None, 1) for server in (2, 1) for name in names]
    engine.write(lambda db: moving.put(db, progress, table, rows))
    found, after = [], None
    while True:
        some = moving.rows(engine.read(), table, after)
        found += some
        if len(some) < 2:
            break
        after = some[-1][:2]
    assert found == sorted(rows)


def test_what_is_stored_and_how_far_that_is_go_together(engine):
    progress = at(engine, AUDIT)
    with pytest.raises(Exception, match="(?i)unique|duplicate"):
        stored(engine, [line(1), line(1)], progress=progress)
    assert engine.read().execute("SELECT COUNT(*) FROM audit").fetchone() == (0,)
    after = stored(engine, [line(1)], progress=progress)
    assert begun(engine) == after._replace(after=None)


def test_of_two_moves_into_one_database_one_goes_on(engine):
    progress = at(engine, AUDIT)
    stored(engine, [line(1)], progress=progress)
    with pytest.raises(HubError, match="Another move into the same database is at work."):
        stored(engine, [line(2)], progress=progress)
    with pytest.raises(HubError, match="Another move"):
        engine.write(lambda db: moving.finish(db, progress, {}))
    assert engine.read().execute("SELECT id FROM audit").fetchall() == [(1,)]
    assert options.fact(engine.read(), options.MOVING_FACT, "") != ""


NUMBERS = (0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 123456789.12345678, -1.5, 2.0, None)
BLOBS = (b"", b"\0\xff", None, bytes(range(256)), *[b"x"] * 4)
TEXTS = ("", "ß↑\U0001f600", "%s ? %", "\\x00", "'\"", "a\nb", " ")


def test_values_are_the_same_to_their_last_bit_on_both_engines(pair):
    samples = [(number + 1, 1, number, value, value, (1 << 62) + number, None, *[value] * 7, blob)
               for number, (value, blob) in enumerate(zip(NUMBERS, BLOBS))]
    lines = [line(number + 1, text) for number, text in enumerate(TEXTS)]
    for table, rows in ((TABLES["samples"], samples), (AUDIT, lines)):
        told = []
        for engine in pair:
            progress = at(engine, table)
            engine.write(lambda db: moving.put(db, progress, table, rows))
            assert moving.rows(engine.read(), table, None) == rows
            told.append(moving.summed(engine.read(), table, lambda count: None))
        assert told[0] == told[1] and told[0].rows == len(rows)


@pytest.mark.parametrize("column, value", [("cpu_percent", 0.5000000000000001), ("memory_percent", None),
                                           ("details", b""), ("at", 2)])
def test_a_checksum_tells_what_differs_by_very_little(sqlite, column, value):
    table = TABLES["samples"]
    row = (1, 1, 1, 0.5, 0.5, 7, *[None] * 9)
    progress = at(sqlite, table)
    sqlite.write(lambda db: moving.put(db, progress, table, [row]))
    before = moving.summed(sqlite.read(), table, lambda count: None)
    sqlite.write(lambda db: db.execute("UPDATE samples SET %s = ?" % column, [value]))
    after = moving.summed(sqlite.read(), table, lambda count: None)
    assert before.rows == after.rows == 1 and before.sha256 != after.sha256


def test_a_negative_zero_which_a_file_does_not_keep_is_a_zero(pair):
    table, row = TABLES["samples"], (1, 1, 1, -0.0, *[None] * 11)
    told = []
    for engine in pair:
        progress = at(engine, table)
        engine.write(lambda db: moving.put(db, progress, table, [row]))
        told.append(moving.summed(engine.read(), table, lambda count: None))
    assert told[0] == told[1]


def test_what_the_other_engine_has_no_place_for_is_an_error(postgres):
    """A text with a NUL: files take it."""
    with postgres.database() as url:
        engine = Postgres(url)
        engine.start()
        try:
            with pytest.raises(Mistake):
                stored(engine, [line(1, "a\0b")], progress=at(engine, AUDIT))
        finally:
            engine.stop()
