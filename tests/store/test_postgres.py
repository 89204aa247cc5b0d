"""What is PostgreSQL's own: trouble that another try ends, trouble that it must not, and starting beside other hubs."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from smon_hub.errors import HubError
from smon_hub.store import commits, postgres as postgres_module, schema
from smon_hub.store.commits import DatabaseUnusable
from smon_hub.store.engine import Conflict, Mistake, Trouble
from smon_hub.store.postgres import Postgres, place
from tests.support import ROOT, needs
from tests.support.processes import until

PATIENCE = 25  # seconds until a test that waits in vain gives up; an agent waits 30
SECRET = "hu5h-s3cret"
# A commit that takes a second: a check at its end that sleeps.
SLOW_COMMIT = """
CREATE FUNCTION rest() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON meta DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.value = 'slow') EXECUTE FUNCTION rest();
"""


@pytest.fixture
def psycopg():
    return needs.module("psycopg", why="PostgreSQL is spoken to through it")


@pytest.fixture
def url(postgres):
    with postgres.database() as made:
        yield made


@pytest.fixture
def start():
    """Start an engine at an address: start(url). All of them end with the test."""
    started = []

    def start(url):
        engine = Postgres(url)
        engine.start()
        started.append(engine)
        return engine
    yield start
    for engine in started:
        engine.stop()


@pytest.fixture
def engine(start, url):
    return start(url)


@pytest.fixture
def one_writer(start, url, monkeypatch):
    """An engine with a single writer: what waits is one group."""
    monkeypatch.setattr(postgres_module, "WRITERS", 1)
    return start(url)


@pytest.fixture
def held(one_writer):
    """Its writer, held inside a transaction until `held.set()`."""
    inside, go_on = threading.Event(), threading.Event()
    one_writer.submit(lambda db: inside.set() or go_on.wait(PATIENCE))
    assert inside.wait(PATIENCE)
    yield go_on
    go_on.set()


def name_of(url):
    return url.rpartition("/")[2]


def add(key, value="v"):
    """A work that stores one row."""
    return lambda db: db.execute("INSERT INTO meta (key, value) VALUES (?, ?)", [key, value]).rowcount


def kept(postgres, url):
    """What another program finds, the schema's version left out."""
    return dict(postgres.ask("SELECT key, value FROM meta WHERE key <> '%s' ORDER BY key"
                             % postgres_module.VERSION_FACT, name_of(url)))


def refused(future):
    with pytest.raises(HubError) as refusal:
        future.result(PATIENCE)
    assert (refusal.value.code, refusal.value.retry_after) == ("unavailable", commits.RETRY_AFTER_SECONDS)
    return refusal.value.sentence


# --- others in the way ------------------------------------------------------------------------------------------------

class Meeting:
    """Two works that wait for each other in their first try, so that they are at odds for certain."""

    def __init__(self):
        self.tries = 0
        self._lock = threading.Lock()
        self._came = {"a": threading.Event(), "b": threading.Event()}

    def count(self):
        with self._lock:
            self.tries += 1

    def wait(self, mine, other):
        self._came[mine].set()
        assert self._came[other].wait(PATIENCE)

    def both(self, engine, work):
        """work(db, meeting, mine, other) by two writers at once."""
        first = engine.submit(lambda db: work(db, self, "a", "b"))
        assert self._came["a"].wait(PATIENCE)  # it is in a transaction of its own
        second = engine.submit(lambda db: work(db, self, "b", "a"))
        first.result(PATIENCE)
        second.result(PATIENCE)


def add_one(db, key):
    db.execute("UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE key = ?", [key])


def cross(db, meeting, mine, other):
    meeting.count()
    add_one(db, mine)
    meeting.wait(mine, other)
    add_one(db, other)


def read_and_write(db, meeting, mine, other):
    """Of one row, so that the second who writes finds another one than was read."""
    meeting.count()
    value = int(db.execute("SELECT value FROM meta WHERE key = 'a'").fetchone()[0])
    meeting.wait(mine, other)
    db.execute("UPDATE meta SET value = ? WHERE key = 'a'", [str(value + 1)])


def write_what_the_other_reads(db, meeting, mine, other):
    """Each by itself is right; together they are as if neither had been first, which shows at the commit."""
    meeting.count()
    value = int(db.execute("SELECT value FROM meta WHERE key = ?", [other]).fetchone()[0])
    db.execute("UPDATE meta SET value = ? WHERE key = ?", [str(value + 1), mine])
    meeting.wait(mine, other)


def test_a_deadlock_is_tried_again_and_both_works_are_stored_once(engine, postgres, url):
    engine.write(lambda db: [add(key, "0")(db) for key in "ab"])
    meeting = Meeting()
    meeting.both(engine, cross)
    assert kept(postgres, url) == {"a": "2", "b": "2"}
    assert meeting.tries == 3


@pytest.fixture
def strict(postgres, url):
    """Set how far the transactions of the database are kept apart, as other engines of the family do by themselves."""
    def strict(level):
        postgres.ask("ALTER DATABASE %s SET default_transaction_isolation = '%s'" % (name_of(url), level))
    yield strict
    postgres.ask("ALTER DATABASE %s RESET default_transaction_isolation" % name_of(url))


@pytest.mark.parametrize("level, work, left", [
    ("repeatable read", read_and_write, [{"a": "2", "b": "0"}]),
    ("serializable", write_what_the_other_reads, [{"a": "1", "b": "2"}, {"a": "2", "b": "1"}])],
    ids=["at a statement", "at the commit"])
def test_a_serialization_failure_is_tried_again_and_nothing_is_lost(start, strict, postgres, url, level, work, left):
    strict(level)
    engine = start(url)
    engine.write(lambda db: [add(key, "0")(db) for key in "ab"])
    meeting = Meeting()
    meeting.both(engine, work)
    assert kept(postgres, url) in left
    assert meeting.tries == 3


def test_a_row_that_somebody_holds_for_too_long_is_refused_and_not_waited_for_for_ever(
        start, psycopg, url, monkeypatch):
    monkeypatch.setattr(postgres_module, "SESSION", postgres_module.SESSION + " -c lock_timeout=100ms")
    engine = start(url)
    engine.write(add("a", "0"))
    with psycopg.connect(url) as other:
        other.execute("UPDATE meta SET value = '5' WHERE key = 'a'")
        tries = []
        assert "not available" in refused(engine.submit(lambda db: tries.append(add_one(db, "a"))))
        other.rollback()
    assert tries == []
    assert engine.write(add("b")) == 1


# --- connections that are lost ----------------------------------------------------------------------------------------

def cut_own_line(postgres, db):
    postgres.ask("SELECT pg_terminate_backend(%d)" % db.execute("SELECT pg_backend_pid()").fetchone()[0])


def test_a_connection_that_is_lost_before_the_commit_is_tried_again_on_a_new_one(engine, postgres, url):
    tries = []

    def work(db):
        tries.append(db)
        add("a")(db)
        if len(tries) == 1:
            cut_own_line(postgres, db)
        return add("b")(db)
    assert engine.write(work) == 1
    assert len(tries) == 2 and tries[0] is not tries[1]
    assert kept(postgres, url) == {"a": "v", "b": "v"}


def test_a_connection_that_was_lost_between_two_groups_is_not_noticed_by_anybody(one_writer, postgres, url):
    one_writer.write(add("a"))
    postgres.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'" % name_of(url))
    assert one_writer.write(add("b")) == 1
    assert kept(postgres, url) == {"a": "v", "b": "v"}


def committing(postgres, url):
    """The process that is at a commit; none answers None."""
    found = postgres.ask("SELECT pid FROM pg_stat_activity WHERE datname = '%s' AND query = 'COMMIT' "
                         "AND state = 'active'" % name_of(url))
    return found[0][0] if found else None


@pytest.fixture
def slow_commit(engine, postgres, url):
    postgres.ask(SLOW_COMMIT, name_of(url))
    return engine


@pytest.fixture
def tried(monkeypatch):
    """Every try of a transaction from now on."""
    tries = []
    attempt = Postgres._attempt
    monkeypatch.setattr(Postgres, "_attempt", lambda *given: tries.append(given) or attempt(*given))
    return tries


def test_a_connection_that_is_lost_during_the_commit_is_refused_and_not_tried_again(slow_commit, postgres, url, tried):
    future = slow_commit.submit(add("a", "slow"))
    pid = until(lambda: committing(postgres, url), "The commit")
    postgres.ask("SELECT pg_terminate_backend(%d)" % pid)
    assert refused(future) == "The storage is not available now."
    assert len(tried) == 1 and kept(postgres, url) == {}
    assert slow_commit.write(add("b")) == 1


def test_a_commit_whose_answer_is_lost_is_refused_though_it_is_done_and_not_done_twice(
        slow_commit, start, postgres, url, tried):
    with postgres.relay() as line:
        engine = start(postgres.url(name_of(url), port=line.port))
        future = engine.submit(add("a", "slow"))
        until(lambda: committing(postgres, url), "The commit")
        line.refuse()
        assert refused(future) == "The storage is not available now."
        assert len(tried) == 1
        until(lambda: kept(postgres, url) == {"a": "slow"}, "The end of the commit")
        line.mend()
        assert engine.write(add("b")) == 1
    assert kept(postgres, url) == {"a": "slow", "b": "v"}


def test_a_database_that_is_away_is_unavailable_and_taken_up_again_by_itself(engine, postgres, url):
    engine.write(add("a"))
    assert engine.read().execute("SELECT COUNT(*) FROM meta").fetchone() == (2,)
    postgres.kill()
    assert refused(engine.submit(add("b"))) == "The storage is not available now."
    with pytest.raises(HubError, match="does not answer"):
        engine.check()
    postgres.start()
    assert engine.write(add("c")) == 1
    engine.check()
    assert kept(postgres, url) == {"a": "v", "c": "v"}


def test_a_reader_connects_again_and_still_can_not_write(engine, postgres, url):
    reader = engine.read()
    for _ in range(2):
        postgres.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'" % name_of(url))
        assert reader.execute("SELECT COUNT(*) FROM meta").fetchone() == (1,)
    with pytest.raises(Trouble, match="read-only"):
        reader.execute("INSERT INTO meta (key, value) VALUES ('a', '')")


@pytest.fixture
def line(postgres):
    with postgres.relay() as made:
        yield made


@pytest.fixture
def over_the_line(start, postgres, url, line, monkeypatch):
    """An engine whose machine takes what is sent to the database after a cut, so that only its silence tells."""
    monkeypatch.setattr(postgres_module, "WRITERS", 1)
    monkeypatch.setattr(postgres_module, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(postgres_module, "CONNECT_SECONDS", 2)  # libpq waits no shorter
    engine = start(postgres.url(name_of(url), port=line.port))
    engine.write(add("a"))
    return engine


def test_a_writer_on_which_nobody_answers_is_given_up_and_made_anew_when_somebody_does(
        over_the_line, line, postgres, url):
    line.cut()
    refused(over_the_line.submit(add("b")))
    line.mend()
    assert over_the_line.write(add("c")) == 1
    assert {"a": "v", "c": "v"}.items() <= kept(postgres, url).items()


def test_a_reader_on_which_nobody_answers_is_given_up_and_made_anew_when_somebody_does(over_the_line, line):
    with ThreadPoolExecutor(1) as reader:  # one that hangs must not hang the test
        reader.submit(over_the_line.check).result(PATIENCE)
        line.cut()
        try:
            with pytest.raises(HubError, match="does not answer"):
                reader.submit(over_the_line.check).result(PATIENCE)
        finally:
            line.mend()
        reader.submit(over_the_line.check).result(PATIENCE)


def test_a_statement_that_takes_long_is_not_taken_for_silence(over_the_line, monkeypatch):
    looks = []
    look = postgres_module.Watch._is_there
    monkeypatch.setattr(postgres_module.Watch, "_is_there", lambda self: looks.append(1) or look(self))

    def wait(db):
        while len(looks) < 2:
            db.execute("SELECT pg_sleep(2)")
        return "done"
    assert over_the_line.write(wait) == "done"


# --- bad works --------------------------------------------------------------------------------------------------------

BAD = [
    ("a second row of one key", add("a"), Conflict),
    ("a NUL", add("bad", "x\0y"), Mistake),
    ("half a letter", add("bad", "x\ud800y"), UnicodeError),
    ("a number that is too large", lambda db: db.execute("INSERT INTO removals (server) VALUES (?)", [1 << 70]),
     Mistake),
    ("a number in a text's place", lambda db: db.execute("SELECT id FROM servers WHERE id = ?", ["x"]), Mistake),
    ("no statement", lambda db: db.execute("NONSENSE"), Mistake),
    ("a table that is not there", lambda db: db.execute("SELECT 1 FROM nowhere"), Mistake),
    ("an error of its own", lambda db: [add("half")(db), 1 / 0], ZeroDivisionError),
]


@pytest.mark.parametrize("work, error", [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_work_spares_its_neighbours(one_writer, held, postgres, url, tried, work, error):
    good, bad, more = [one_writer.submit(each) for each in (add("a"), work, add("b"))]
    held.set()
    assert (good.result(PATIENCE), more.result(PATIENCE)) == (1, 1)
    assert isinstance(bad.exception(PATIENCE), error)
    assert kept(postgres, url) == {"a": "v", "b": "v"}
    assert len(tried) == 3  # each has a transaction of its own


def test_an_error_says_nothing_of_the_row(one_writer):
    one_writer.write(add("a", SECRET))
    with pytest.raises(Conflict) as conflict:
        one_writer.write(add("a", SECRET))
    assert SECRET not in str(conflict.value) and "\n" not in str(conflict.value)


def test_numbers_come_back_as_those_of_python(engine):
    def add_live(db):
        for at, number in ((1, 1 << 61), (2, 1 << 61), (3, 1 << 61)):
            db.execute("INSERT INTO live (server, at, memory_used, cpu_percent) VALUES (1, ?, ?, 0.5)", [at, number])
    engine.write(add_live)
    found = engine.read().execute("SELECT COUNT(*), SUM(memory_used), AVG(at), MAX(at), SUM(cpu_percent), AVG(server), "
                                  "? + 0, COALESCE(SUM(process_count), 0) FROM live", [True]).fetchone()
    assert found == (3, 3 << 61, 2.0, 3, 1.5, 1.0, 1, 0)
    assert [type(number) for number in found] == [int, int, float, int, float, float, int, int]


def test_marks_and_percents_of_a_statement_mean_what_they_do_in_a_file(engine):
    assert engine.read().execute("SELECT 7 % 4, ? WHERE 'smon' LIKE 's%n'", ["%s ?"]).fetchall() == [(3, "%s ?")]


# --- starting ---------------------------------------------------------------------------------------------------------

def tables(postgres, url):
    return [name for name, in postgres.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1",
                                           name_of(url))]


def started_at_once(start, url, monkeypatch, count=3):
    """Engines that have all looked before any of them makes something; what each said."""
    together = threading.Barrier(count)
    look, looked = Postgres._version, threading.local()

    def version(self, connection):
        found = look(self, connection)
        if not getattr(looked, "once", False):
            looked.once = True
            together.wait(PATIENCE)
        return found
    monkeypatch.setattr(Postgres, "_version", version)
    said = []

    def begin():
        try:
            said.append(start(url).write(lambda db: "started"))
        except Exception as error:
            said.append(error)
    threads = [threading.Thread(target=begin) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return said


def test_hubs_that_start_at_once_on_an_empty_database_all_start(start, postgres, url, monkeypatch):
    assert started_at_once(start, url, monkeypatch) == ["started"] * 3
    assert postgres.ask("SELECT value FROM meta WHERE key = '%s'" % postgres_module.VERSION_FACT, name_of(url)) == [
        (str(schema.VERSION),)]


def test_hubs_that_start_at_once_on_an_older_database_migrate_it_once(start, postgres, url, monkeypatch):
    Postgres(url).start()
    newest = schema.VERSION
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "ALTER TABLE meta ADD COLUMN b TEXT;",
                                               "INSERT INTO meta (key, value) VALUES ('once', '');"))
    monkeypatch.setattr(schema, "VERSION", newest + 2)
    assert started_at_once(start, url, monkeypatch) == ["started"] * 3
    assert kept(postgres, url) == {"once": ""}


def test_a_step_that_fails_leaves_the_database_at_the_version_before_it(start, postgres, url, monkeypatch):
    start(url)
    newest = schema.VERSION
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE c (d INTEGER);",
                                               "CREATE TABLE e (f INTEGER); CREATE TABLE c (d INTEGER);"))
    monkeypatch.setattr(schema, "VERSION", newest + 2)
    monkeypatch.setattr(postgres_module, "TRIES", 1)
    with pytest.raises(DatabaseUnusable, match="already exists"):
        start(url)
    assert "c" in tables(postgres, url) and "e" not in tables(postgres, url)
    assert postgres.ask("SELECT value FROM meta", name_of(url)) == [(str(newest + 1),)]


def unusable(url):
    with pytest.raises(DatabaseUnusable) as error:
        Postgres(url).start()
    assert error.value.damaged is False and "\n" not in str(error.value)
    return str(error.value)


def test_the_tables_of_another_program_are_refused_and_left_as_they_are(postgres, url):
    postgres.ask("CREATE TABLE theirs (a BIGINT)", name_of(url))
    said = unusable(url)
    assert "tables of another program" in said and name_of(url) in said
    assert tables(postgres, url) == ["theirs"]


def test_a_database_of_a_newer_hub_is_refused_and_left_as_it_is(start, postgres, url):
    start(url)
    postgres.ask("UPDATE meta SET value = '%d'" % (schema.VERSION + 1), name_of(url))
    assert "newer hub" in unusable(url) and name_of(url) in unusable(url)
    assert postgres.ask("SELECT value FROM meta", name_of(url)) == [(str(schema.VERSION + 1),)]


WRONG = [
    ("no such database", "postgresql://smon:{secret}@127.0.0.1:{port}/nowhere"),
    ("nobody there", "postgresql://smon:{secret}@127.0.0.1:1/smon"),
    ("no such role", "postgresql://nobody:{secret}@127.0.0.1:{port}/postgres"),
    ("among the options", "postgresql://smon@127.0.0.1:{port}/nowhere?password={secret}"),
    ("an option that is none", "postgresql://smon:{secret}@127.0.0.1:{port}/nowhere?nonsense=1"),
    ("a percent sign in it", "postgresql://smon:{secret}%zz@127.0.0.1:{port}/nowhere"),
    ("a slash in it", "postgresql://smon:{secret}/x@127.0.0.1:{port}/nowhere"),
    ("an @ in it", "postgresql://smon:x@{secret}@127.0.0.1:{port}/nowhere"),
    ("a # in it", "postgresql://smon:{secret}#x@127.0.0.1:{port}/nowhere"),
    ("a ? in it", "postgresql://smon:{secret}?x@127.0.0.1:{port}/nowhere"),
    ("a colon in it", "postgresql://smon:x:{secret}@127.0.0.1:{port}/nowhere"),
]


@pytest.mark.parametrize("address", [row[1] for row in WRONG], ids=[row[0] for row in WRONG])
def test_no_message_holds_the_password(postgres, psycopg, caplog, address):
    caplog.set_level(logging.DEBUG)
    postgres.start()
    url = address.format(secret=SECRET, port=postgres.port)
    said = unusable(url)
    for part in (said, place(url), Postgres(url).path, caplog.text):
        assert SECRET not in part


@pytest.mark.parametrize("url, shown", [
    ("postgresql://smon:x@db.example:5432/smon?sslmode=require", "postgresql://db.example:5432/smon"),
    ("postgres://db.example/smon", "postgres://db.example/smon"),
    ("postgresql://smon@[2001:db8::1]:5432/smon", "postgresql://[2001:db8::1]:5432/smon"),
    ("postgresql://smon@one:5432,two:5432/smon?target_session_attrs=read-write",
     "postgresql://one:5432,two:5432/smon"),
    ("postgresql:///smon?host=/run/postgresql", "postgresql:///smon"),
    ("postgresql://smon:x@y@db.example/smon", "postgresql://")])
def test_an_address_is_shown_without_who_uses_it(url, shown):
    assert place(url) == shown


WITHOUT = """
import runpy, sys
sys.modules["psycopg"] = None
sys.argv = ["smon_server.py", "--data-dir", sys.argv[1], "--port", "0", "--database", sys.argv[2]]
runpy.run_path("smon_server.py", run_name="__main__")
"""


def test_without_psycopg_a_hub_says_what_to_install_and_ends(tmp_path):
    ended = subprocess.run([sys.executable, "-c", WITHOUT, str(tmp_path / "data"), "postgresql://smon@127.0.0.1:1/x"],
                           cwd=str(ROOT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
                           timeout=60)
    assert ended.returncode != 0 and "Traceback" not in ended.stdout
    assert "psycopg (version 3) is missing" in ended.stdout and "pip install" in ended.stdout
    assert len(ended.stdout.splitlines()) == 1, ended.stdout
