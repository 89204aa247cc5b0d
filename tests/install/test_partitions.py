"""install/partitions.sql on the tables that the hub makes: no sample is lost, and the hub does not notice."""

from __future__ import annotations

import datetime

import pytest

from smon_hub.store.postgres import Postgres
from tests.support import ROOT

SCRIPT = ROOT / "install" / "partitions.sql"
DAY = 86_400_000


@pytest.fixture
def url(postgres):
    with postgres.database() as made:
        yield made


@pytest.fixture
def engine(url):
    running = Postgres(url)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def partition(postgres, url):
    return lambda keep_days=62: postgres.tool("psql", "--no-psqlrc", "--quiet", "-v", "keep_days=%d" % keep_days,
                                              "-f", str(SCRIPT), url)


def now():
    return int(datetime.datetime.now(datetime.timezone.utc).timestamp() * 1000)


def month(at):
    """The name of a moment's partition."""
    return datetime.datetime.fromtimestamp(at / 1000, datetime.timezone.utc).strftime("samples_%Y_%m")


def store(engine, *moments):
    return engine.write(lambda db: [db.execute(
        "INSERT INTO samples (server, at, cpu_percent) VALUES (7, ?, 1.5) ON CONFLICT DO NOTHING", [at]).rowcount
        for at in moments])


def rows(engine):
    return engine.read().execute("SELECT id, server, at, cpu_percent FROM samples ORDER BY id").fetchall()


def months(postgres, url):
    return {name for name, in postgres.ask(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'samples'::regclass",
        url.rpartition("/")[2])}


def test_every_sample_is_there_before_and_after(engine, partition, postgres, url):
    moments = [now() - days * DAY for days in (0, 1, 20, 40, 55)]
    store(engine, *moments)
    before = rows(engine)
    assert partition() == ""
    assert rows(engine) == before
    assert {month(at) for at in moments} | {"samples_rest"} < months(postgres, url)  # and those to come
    assert postgres.ask("SELECT count(*) FROM samples_rest", url.rpartition("/")[2]) == [(0,)]


def test_the_hub_goes_on_with_growing_ids_and_knows_a_replay(engine, partition):
    at = now()
    store(engine, at - 2, at - 1)
    last = rows(engine)[-1][0]
    partition()
    assert store(engine, at - 1, at) == [0, 1]
    assert rows(engine)[-1][0] > last and len(rows(engine)) == 3


def test_a_second_run_changes_nothing(engine, partition, postgres, url):
    store(engine, now(), now() - 40 * DAY)
    partition()
    before = rows(engine), months(postgres, url)
    partition()
    assert (rows(engine), months(postgres, url)) == before


def test_what_has_no_month_is_kept_and_put_into_one_later(engine, partition, postgres, url):
    partition()
    at = now() - 45 * DAY
    store(engine, at)
    assert [row[2] for row in rows(engine)] == [at]
    partition()
    assert [row[2] for row in rows(engine)] == [at]
    assert postgres.ask("SELECT count(*) FROM samples_rest", url.rpartition("/")[2]) == [(0,)]


def test_months_past_their_keep_are_dropped_and_younger_ones_are_not(engine, partition, postgres, url):
    store(engine, now(), now() - 100 * DAY, now() - 20 * DAY)
    partition(keep_days=400)
    assert len(rows(engine)) == 3
    partition(keep_days=62)
    assert [row[2] for row in rows(engine) if row[2] < now() - 62 * DAY] == [] and len(rows(engine)) == 2
    assert month(now() - 100 * DAY) not in months(postgres, url)


def test_the_indexes_keep_their_names(engine, partition, postgres, url):
    """A later version of the hub may change them by name."""
    def names():
        return {name for name, in postgres.ask("SELECT indexname::text FROM pg_indexes WHERE tablename = 'samples'",
                                               url.rpartition("/")[2])}
    before = names()
    partition()
    assert names() == before != set()
