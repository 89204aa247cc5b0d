"""The PostgreSQL that tests start for themselves, and the line to it that can be cut."""

from __future__ import annotations

import threading

import pytest

from tests.support import needs
from tests.support.processes import until


@pytest.fixture
def psycopg():
    return needs.module("psycopg", why="the tests' PostgreSQL is spoken to through it")


@pytest.fixture
def url(postgres):
    with postgres.database() as made:
        yield made


def noted(psycopg, url):
    """A connection to a database with an empty table."""
    connection = psycopg.connect(url, autocommit=True, connect_timeout=5)
    connection.execute("CREATE TABLE notes (id BIGINT PRIMARY KEY)")
    return connection


def count(postgres, url):
    return postgres.ask("SELECT count(*) FROM notes", url.rpartition("/")[2])[0][0]


def test_it_is_on_this_machine_alone_and_no_superuser_s(postgres, psycopg, url):
    with psycopg.connect(url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)


def test_a_database_is_empty_though_a_test_used_it_before(postgres, psycopg):
    with postgres.database() as first:
        left_open = noted(psycopg, first)
    with postgres.database() as second:
        assert second == first
        noted(psycopg, second).close()
    with pytest.raises(psycopg.OperationalError):
        left_open.execute("SELECT 1")


def test_databases_at_the_same_time_are_others(postgres):
    with postgres.database() as one, postgres.database() as other:
        assert one != other


def test_a_language_sorts_as_its_people_do(postgres, psycopg):
    def letters(locale):
        with postgres.database(locale) as url, psycopg.connect(url) as connection:
            return "".join(row[0] for row in connection.execute("VALUES ('b'), ('B'), ('a') ORDER BY 1"))
    assert letters("C") == "Bab" and letters("en") == "abB"


def test_what_was_committed_outlives_a_kill(postgres, psycopg, url):
    connection = noted(psycopg, url)
    connection.execute("INSERT INTO notes VALUES (1)")
    connection.execute("BEGIN")
    connection.execute("INSERT INTO notes VALUES (2)")
    port = postgres.port
    postgres.kill()
    assert not postgres.running
    with pytest.raises(psycopg.OperationalError):
        connection.execute("COMMIT")
    postgres.start()
    assert postgres.port == port and count(postgres, url) == 1
    assert "was not properly shut down" in postgres.log


def test_one_that_hangs_answers_later(postgres, psycopg, url):
    connection = noted(psycopg, url)
    postgres.pause()
    try:
        waiting = insert(connection)
        waiting.join(0.3)
        assert waiting.is_alive()
    finally:
        postgres.resume()
    waiting.join(10)
    assert not waiting.is_alive() and count(postgres, url) == 1


def insert(connection):
    """An insert that is under way, in a thread."""
    thread = threading.Thread(target=connection.execute, args=["INSERT INTO notes VALUES (1)"], daemon=True)
    thread.start()
    return thread


@pytest.fixture
def relay(postgres):
    with postgres.relay() as made:
        yield made


@pytest.fixture
def through(postgres, url, relay):
    return postgres.url(url.rpartition("/")[2], port=relay.port)


def test_what_is_sent_into_a_cut_arrives_after_the_mending(postgres, psycopg, url, relay, through):
    connection = noted(psycopg, through)
    relay.cut()
    waiting = insert(connection)
    waiting.join(0.3)
    assert waiting.is_alive() and count(postgres, url) == 0
    with pytest.raises(psycopg.OperationalError, match="timeout"):
        psycopg.connect(through, connect_timeout=2)
    relay.mend()
    waiting.join(10)
    assert not waiting.is_alive() and count(postgres, url) == 1


def test_a_refusing_line_resets_what_is_open_and_what_comes(postgres, psycopg, url, relay, through):
    connection = noted(psycopg, through)
    relay.refuse()
    for attempt in (lambda: connection.execute("SELECT 1"), lambda: psycopg.connect(through, connect_timeout=5)):
        with pytest.raises(psycopg.OperationalError):
            attempt()
    relay.mend()
    noted_again = psycopg.connect(through, connect_timeout=5)
    assert noted_again.execute("SELECT count(*) FROM notes").fetchone() == (0,)


def test_a_line_to_a_dead_server_refuses_and_leads_to_it_again_when_it_is_back(postgres, psycopg, url, relay, through):
    postgres.halt()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(through, connect_timeout=5)
    postgres.start()
    until(lambda: psycopg.connect(through, connect_timeout=5), "A connection")


def test_the_relay_leaves_neither_port_nor_thread(postgres, psycopg, url):
    before = threading.active_count()
    line = postgres.relay()
    open_through = psycopg.connect(postgres.url(url.rpartition("/")[2], port=line.port))
    line.stop()
    assert threading.active_count() == before
    with pytest.raises(psycopg.OperationalError):
        open_through.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(postgres.url("postgres", port=line.port))
