"""The tables as a text that is read by people, by SQLite and by the rooms that name columns."""

from __future__ import annotations

import re

import pytest

from smon_hub.store import schema, series, servers

TABLES = re.findall(r"CREATE TABLE (\w+) \(", schema.SCHEMA)


def columns(db, table):
    return [row[1] for row in db.execute("PRAGMA table_info(%s)" % table)]


@pytest.mark.parametrize("table", TABLES)
def test_a_sentence_above_each_table_says_what_a_row_is(table):
    assert re.search(r"(?m)^-- A row is .*\n(-- .*\n)*CREATE TABLE %s \(" % table, schema.SCHEMA)


def test_a_new_database_has_all_tables_and_the_newest_version(file):
    found = {name for name, in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert found - {"sqlite_sequence"} == set(TABLES)
    assert file.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)


def test_the_rooms_name_the_columns_that_there_are(file):
    assert columns(file, "servers") == ["id", *servers.COLUMNS, "turn"]
    assert columns(file, "samples") == ["id", *series.SAMPLE_COLUMNS]
    assert columns(file, "live") == list(series.LIVE_COLUMNS)


def test_every_table_keyed_by_server_is_swept_after_a_removal(file):
    keyed = {table for table in TABLES if "server" in columns(file, table)} - {"removals"}
    assert keyed == set(servers.REMOVED_FROM)


def test_the_text_keeps_to_what_an_old_sqlite_and_postgresql_understand():
    statements = re.sub(r"--.*", "", schema.SCHEMA)
    assert not re.search(r"\b(RETURNING|STRICT|GENERATED|JSONB?|DATETIME|INSERT OR)\b", statements)
