"""One writer that commits in groups, on a real file: what was acknowledged is there, what failed hurts nobody else."""

from __future__ import annotations

import os
import queue
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import namedtuple
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from smon_hub.errors import HubError
from smon_hub.store import engine as engine_module
from smon_hub.store import commits, schema
from smon_hub.store.commits import DatabaseUnusable
from smon_hub.store.engine import Engine
from tests.support import ROOT

PATIENCE = 20  # seconds until a test that waits in vain gives up
Usage = namedtuple("Usage", "total used free")


def add(key, value="v"):
    """A work that stores one row."""
    return lambda db: db.execute("INSERT INTO meta (key, value) VALUES (?, ?)", [key, value]).rowcount


def opened(path):
    """The file as another program sees it, for the length of a `with`."""
    return closing(sqlite3.connect(path, isolation_level=None))


def keys(path):
    """What another process would read from the file."""
    with opened(path) as db:
        return [key for key, in db.execute("SELECT key FROM meta ORDER BY key")]


@pytest.fixture
def engine(sqlite):
    """What is told here is told of the file; test_postgres.py has the other engine."""
    return sqlite


@pytest.fixture
def held(engine):
    """The writer, held inside a transaction until `held.set()`, so that what is submitted meanwhile waits together."""
    inside, go_on = threading.Event(), threading.Event()

    def wait(db):
        inside.set()
        go_on.wait(PATIENCE)
    engine.submit(wait)
    assert inside.wait(PATIENCE)
    yield go_on
    go_on.set()


def traced(engine):
    """The statements that the writer runs from now on."""
    statements = []
    engine.write(lambda db: db.set_trace_callback(statements.append))
    return statements


# --- groups -----------------------------------------------------------------------------------------------------------

def test_all_that_waits_is_one_commit(engine):
    statements = traced(engine)
    go_on = threading.Event()
    engine.submit(lambda db: go_on.wait(PATIENCE))
    futures = [engine.submit(add("k%02d" % number)) for number in range(50)]
    go_on.set()
    assert [future.result(PATIENCE) for future in futures] == [1] * 50
    assert statements.count("COMMIT") <= 3  # the trace's own, the one that held the others, and theirs


def test_a_group_is_bounded(engine, held, monkeypatch):
    monkeypatch.setattr(commits, "GROUP_MAX", 4)
    sizes = []

    def together(db, items):
        sizes.append(len(items))
        return items
    futures = [engine.gather(together, number) for number in range(10)]
    held.set()
    assert [future.result(PATIENCE) for future in futures] == list(range(10))
    assert max(sizes) <= 4


def test_futures_settle_in_the_order_of_their_submission(engine, held):
    order = []
    for number in range(20):
        engine.submit(add(str(number))).add_done_callback(lambda _, number=number: order.append(number))
    held.set()
    engine.write(lambda db: None)
    assert order == list(range(20))


def test_one_failing_work_spares_its_neighbours(engine, held, path):
    def fail_after_writing(db):
        add("half")(db)
        raise ValueError("a work broke")
    good, bad, double, more = [engine.submit(work) for work in (add("a"), fail_after_writing, add("a"), add("b"))]
    held.set()
    assert (good.result(PATIENCE), more.result(PATIENCE)) == (1, 1)
    with pytest.raises(ValueError, match="a work broke"):
        bad.result(PATIENCE)
    with pytest.raises(sqlite3.IntegrityError):
        double.result(PATIENCE)
    assert keys(path) == ["a", "b"]


def store_together(db, items):
    if "bad" in items:
        add("half")(db)
        raise ValueError("one of them broke")
    return [add(item)(db) for item in items]


class Loop:
    """What a loop is to the engine: the test's thread, which calls what waits when it is told to."""

    def __init__(self, engine):
        self.soon, self.idle = queue.SimpleQueue(), []
        engine.gather_on_loop(lambda *call: self.soon.put(call), self.idle.append)

    def rest(self):
        while self.idle:
            self.idle.pop(0)()

    def settle(self, told):
        """Call what the writer leaves for the loop, until something was told."""
        while not told:
            function, *arguments = self.soon.get(timeout=PATIENCE)
            function(*arguments)


def test_what_a_loop_gathers_is_handed_over_when_it_rests_and_settled_on_it(engine, path):
    loop, settled = Loop(engine), []
    for key in "abc":
        engine.gather(store_together, key, lambda count, key=key: (key, count, threading.current_thread().name)
                      ).add_done_callback(lambda done: settled.append((done.result(), threading.current_thread().name)))
    engine.write(lambda db: None)
    assert keys(path) == []
    loop.rest()
    loop.settle(settled)
    ours = threading.current_thread().name
    assert settled == [((key, 1, "smon-writer"), ours) for key in "abc"]
    assert keys(path) == ["a", "b", "c"]


def test_a_loop_that_never_rests_hands_over_all_the_same(engine, monkeypatch):
    monkeypatch.setattr(commits, "HELD_MAX", 3)
    loop, settled = Loop(engine), []  # its fourth work is what sends the first three on their way

    def sizes(db, items):
        return [len(items)] * len(items)
    for key in range(4):
        engine.gather(sizes, key).add_done_callback(lambda done: settled.append(done.result()))
    loop.settle(settled)
    assert settled == [3, 3, 3]


def test_a_refusal_of_what_a_loop_gathered_is_told_on_it(engine, monkeypatch):
    loop, told = Loop(engine), []
    engine.gather(store_together, "bad").add_done_callback(lambda done: told.append(done.exception()))
    loop.rest()
    loop.settle(told)
    monkeypatch.setattr(commits, "QUEUE_MAX", 0)
    engine.gather(store_together, "a").add_done_callback(lambda done: told.append(done.exception()))
    loop.rest()
    assert [str(error) for error in told] == ["one of them broke", "The hub is too busy to store this now."]


def test_all_that_a_loop_gathered_is_told_of_a_queue_that_is_full(engine, monkeypatch):
    monkeypatch.setattr(commits, "HELD_MAX", 2)
    monkeypatch.setattr(commits, "QUEUE_MAX", 0)
    loop, told = Loop(engine), []
    for key in "abcde":
        engine.gather(store_together, key).add_done_callback(lambda done, key=key: told.append(key))
    loop.rest()
    assert told == list("abcde")


def test_the_writer_keeps_what_a_savepoint_would_put_back_in_memory(engine):
    assert engine.write(lambda db: db.execute("PRAGMA temp_store").fetchone()) == (2,)


def test_what_is_gathered_is_done_at_once(engine, held, path):
    calls = []

    def together(db, items):
        calls.append(list(items))
        return store_together(db, items)
    futures = [engine.gather(together, key) for key in "abc"]
    held.set()
    assert [future.result(PATIENCE) for future in futures] == [1, 1, 1]
    assert calls == [["a", "b", "c"]] and keys(path) == ["a", "b", "c"]


def test_one_bad_item_among_the_gathered_spares_the_others(engine, held, path):
    futures = [engine.gather(store_together, key) for key in ("a", "bad", "c")]
    held.set()
    assert [futures[0].result(PATIENCE), futures[2].result(PATIENCE)] == [1, 1]
    with pytest.raises(ValueError):
        futures[1].result(PATIENCE)
    assert keys(path) == ["a", "c"]


def test_an_outcome_that_is_an_exception_refuses_its_item_alone(engine, held):
    refusal = HubError("unauthorized", "no")
    futures = [engine.gather(lambda db, items: [refusal if item else "fine" for item in items], item)
               for item in (0, 1)]
    held.set()
    results = []
    for future in futures:
        results.append(future.exception(PATIENCE) or future.result())
    assert results[0] == "fine" and results[1] is refusal


# --- after the commit -------------------------------------------------------------------------------------------------

def test_what_follows_a_work_sees_it_committed_and_makes_its_answer(engine, path):
    assert engine.write(add("a"), lambda count: (count, keys(path))) == (1, ["a"])


def test_a_failure_after_the_commit_is_told_and_takes_nothing_back(engine, path):
    with pytest.raises(ZeroDivisionError):
        engine.write(add("a"), lambda count: count / 0)
    assert keys(path) == ["a"]
    assert engine.write(add("b")) == 1


def test_nothing_follows_a_work_that_failed(engine):
    followed = []
    with pytest.raises(sqlite3.IntegrityError):
        engine.write(lambda db: [add("a")(db), add("a")(db)], followed.append)
    assert followed == []


KILLED = """
import os, signal, sys
from smon_hub.store.engine import Engine
engine = Engine(sys.argv[1])
engine.start()
for number in range(5):
    engine.write(lambda db: db.execute("INSERT INTO meta (key, value) VALUES (?, '')", [str(number)]))
engine.submit(lambda db: db.execute("INSERT INTO meta (key, value) VALUES ('last', '')"),
              lambda done: None).add_done_callback(lambda future: os.kill(os.getpid(), signal.SIGKILL))
signal.pause()
"""


def child(code, *arguments):
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=str(ROOT), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=60)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL.")
def test_a_process_killed_when_a_future_settles_leaves_the_row_behind(path):
    ended = child(KILLED, path)
    assert ended.returncode == -9, ended.stderr
    assert keys(path) == ["0", "1", "2", "3", "4", "last"]


# --- bounds and the end -----------------------------------------------------------------------------------------------

def refused(future):
    with pytest.raises(HubError) as refusal:
        future.result(PATIENCE)
    assert (refusal.value.code, refusal.value.retry_after) == ("unavailable", commits.RETRY_AFTER_SECONDS)
    return refusal.value.sentence


def test_a_full_queue_tells_callers_to_come_back(engine, held, monkeypatch):
    monkeypatch.setattr(commits, "QUEUE_MAX", 2)
    waiting = [engine.submit(add(key)) for key in "ab"]
    assert "too busy" in refused(engine.submit(add("c")))
    held.set()
    assert [future.result(PATIENCE) for future in waiting] == [1, 1]


def test_it_commits_what_was_submitted_before_it_stops(path):
    engine = Engine(path)
    engine.start()
    futures = [engine.submit(add("k%03d" % number)) for number in range(300)]
    engine.stop()
    assert all(future.done() for future in futures)
    assert len(keys(path)) == 300
    refused(engine.submit(add("late")))


# --- reading ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("statement", ["INSERT INTO meta (key, value) VALUES ('a', '')", "DELETE FROM meta",
                                       "CREATE TABLE t (a)", "DROP TABLE meta"])
def test_a_reader_can_not_write(engine, statement):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        engine.read().execute(statement)


def test_each_thread_has_a_reader_of_its_own_and_keeps_it(engine):
    found = []
    thread = threading.Thread(target=lambda: found.append(engine.read()))
    thread.start()
    thread.join()
    assert engine.read() is engine.read() and found[0] is not engine.read()


def test_a_reader_sees_no_half_of_a_transaction(engine, held):
    future = engine.submit(lambda db: [add("a")(db), add("b")(db)])
    assert engine.read().execute("SELECT COUNT(*) FROM meta").fetchone() == (0,)
    held.set()
    future.result(PATIENCE)
    assert engine.read().execute("SELECT COUNT(*) FROM meta").fetchone() == (2,)


def test_a_store_that_does_not_answer_is_unavailable(engine):
    engine.check()
    engine.write(lambda db: db.execute("ALTER TABLE meta RENAME TO gone"))
    with pytest.raises(HubError) as refusal:
        engine.check()
    assert refusal.value.code == "unavailable"


# --- trouble with the disk --------------------------------------------------------------------------------------------

class Disk:
    """What the engine is told of its volume, and a clock on which it looks again at once."""

    def __init__(self, monkeypatch):
        self.total, self.free, self.seconds = 1 << 40, 1 << 39, 0.0
        monkeypatch.setattr(engine_module, "shutil", SimpleNamespace(disk_usage=self.usage))
        monkeypatch.setattr(engine_module, "time", SimpleNamespace(monotonic=self.monotonic, sleep=time.sleep))

    def usage(self, path):
        if self.free is None:
            raise OSError("Input/output error")
        return Usage(self.total, self.total - self.free, self.free)

    def monotonic(self):
        self.seconds += 2
        return self.seconds


@pytest.fixture
def disk(engine, monkeypatch):
    return Disk(monkeypatch)


def test_a_full_disk_refuses_writes_serves_reads_and_recovers(engine, disk, path):
    engine.write(add("a"))
    disk.free = (16 << 20) - 1
    assert "disk is full" in refused(engine.submit(add("b")))
    assert engine.read().execute("SELECT key FROM meta").fetchall() == [("a",)]
    disk.free = 16 << 20
    assert engine.write(add("c")) == 1
    assert keys(path) == ["a", "c"]


def test_the_floor_of_a_small_volume_is_a_share_of_it(engine, disk):
    disk.total, disk.free = 100 << 20, 6 << 20
    assert engine.write(add("a")) == 1
    disk.free = 4 << 20
    refused(engine.submit(add("b")))


def test_a_volume_that_does_not_answer_does_not_end_the_writer(engine, disk):
    disk.free = None
    refused(engine.submit(add("a")))
    disk.free = 1 << 39
    assert engine.submit(add("b")).result(PATIENCE) == 1


FILLED = """
import resource, sys
from smon_hub.errors import HubError
from smon_hub.store.engine import Engine
engine = Engine(sys.argv[1])
engine.start()
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
stored, refusals = 0, 0
def add():
    engine.write(lambda db: db.execute("INSERT INTO meta (key, value) VALUES (?, ?)", [str(stored), "x" * 10_000]))
while refusals < 3:
    try:
        add()
        stored += 1
    except HubError as refusal:
        assert refusal.code == "unavailable", refusal
        refusals += 1
assert engine.read().execute("SELECT COUNT(*) FROM meta").fetchone() == (stored,)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
add()
engine.stop()
print(stored + 1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files.")
def test_a_file_that_can_not_grow_loses_nothing_and_grows_again_later(path):
    ended = child(FILLED, path)
    assert ended.returncode == 0, ended.stderr
    assert len(keys(path)) == int(ended.stdout)
    with opened(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_trouble_with_the_file_refuses_its_group_and_the_next_one_goes_on(engine, held, path):
    def break_down(db):
        raise sqlite3.OperationalError("disk I/O error")
    futures = [engine.submit(work) for work in (add("a"), break_down, add("b"))]
    held.set()
    assert {refused(future) for future in futures} == {"The storage is not available now."}
    assert engine.write(add("c")) == 1
    assert keys(path) == ["c"]


def end_the_transaction(db):
    db.execute("COMMIT")


def refuse_the_commit(db):
    db.set_authorizer(lambda action, what, *_: sqlite3.SQLITE_DENY if what == "COMMIT" else sqlite3.SQLITE_OK)


def close_the_connection(db):
    db.close()


def warn(db):
    raise sqlite3.Warning("something of sqlite3 that is no error of the file")


@pytest.mark.parametrize("work", [end_the_transaction, refuse_the_commit, close_the_connection, warn])
def test_whatever_a_work_or_a_commit_does_the_writer_goes_on(engine, path, work):
    future = engine.submit(work)
    assert isinstance(future.exception(PATIENCE), Exception)
    assert engine.submit(add("c")).result(PATIENCE) == 1
    assert keys(path) == ["c"]


@pytest.mark.parametrize("outcomes", [None, 5])
def test_work_done_together_that_answers_no_outcomes_is_refused_and_the_writer_goes_on(engine, path, outcomes):
    refused(engine.gather(lambda db, items: outcomes, "a"))
    assert engine.submit(add("c")).result(PATIENCE) == 1


def test_a_full_disk_takes_what_frees_room_and_nothing_that_came_with_it(engine, disk, held, path):
    disk.free = 0
    stores, frees = engine.submit(add("a")), engine.submit(add("freed"), frees=True)
    held.set()
    assert "disk is full" in refused(stores)
    assert frees.result(PATIENCE) == 1
    assert keys(path) == ["freed"]


# --- opening ----------------------------------------------------------------------------------------------------------

def made(path):
    """An empty database that nobody has open."""
    engine = Engine(path)
    engine.start()
    engine.stop()


def unusable(path):
    with pytest.raises(DatabaseUnusable) as error:
        Engine(path).start()
    return str(error.value)


def test_a_new_file_is_its_owners_and_safe_against_power_cuts(engine, path):
    if sys.platform != "win32":
        assert os.stat(path).st_mode & 0o777 == 0o600
    pragmas = engine.write(lambda db: [db.execute("PRAGMA " + name).fetchone()[0] for name in (
        "journal_mode", "synchronous", "auto_vacuum", "user_version")])
    assert pragmas == ["wal", 2, 2, schema.VERSION]  # synchronous 2 is FULL, auto_vacuum 2 is INCREMENTAL


def test_a_file_of_a_newer_hub_is_refused_and_left_as_it_is(path):
    made(path)
    with opened(path) as db:
        db.execute("PRAGMA user_version = %d" % (schema.VERSION + 1))
    before = Path(path).read_bytes()
    assert "newer hub" in unusable(path) and path in unusable(path)
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize("damage", [b"\0" * 100, b"not a database, " * 500, b"SQLite format 3\0" + b"\xff" * 4000],
                         ids=["zeros", "text", "header"])
def test_a_damaged_file_is_named_with_what_to_do(path, damage):
    made(path)
    with open(path, "r+b") as stream:
        stream.write(damage)
    said = unusable(path)
    assert path in said and "backup" in said


def test_a_file_of_another_program_is_refused_and_left_as_it_is(path):
    with opened(path) as db:
        db.execute("CREATE TABLE theirs (a)")
    before = Path(path).read_bytes()
    assert path in unusable(path)
    assert Path(path).read_bytes() == before


def test_a_place_that_can_not_hold_a_file_is_named(tmp_path):
    assert str(tmp_path / "no" / "smon.db") in unusable(str(tmp_path / "no" / "smon.db"))
    assert str(tmp_path) in unusable(str(tmp_path))


def test_an_older_file_is_brought_up_step_by_step_and_keeps_its_rows(path, monkeypatch):
    engine = Engine(path)
    engine.start()
    engine.write(add("a"))
    engine.stop()
    monkeypatch.setattr(schema, "MIGRATIONS", ("ALTER TABLE meta ADD COLUMN b TEXT;", "CREATE TABLE c (d);"))
    monkeypatch.setattr(schema, "VERSION", 3)
    engine = Engine(path)
    engine.start()
    assert engine.read().execute("SELECT key, b, (SELECT COUNT(*) FROM c) FROM meta").fetchall() == [("a", None, 0)]
    assert engine.read().execute("PRAGMA user_version").fetchone() == (3,)
    engine.stop()


def test_a_step_that_fails_leaves_the_file_at_the_version_before_it(path, monkeypatch):
    made(path)
    monkeypatch.setattr(schema, "MIGRATIONS", ("CREATE TABLE c (d);", "CREATE TABLE e (f); CREATE TABLE c (d);"))
    monkeypatch.setattr(schema, "VERSION", 3)
    assert path in unusable(path)
    with opened(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("SELECT name FROM sqlite_master WHERE name IN ('c', 'e')").fetchall() == [("c",)]


def test_a_copy_of_the_file_and_its_log_is_a_whole_database(engine, path, tmp_path):
    engine.write(add("a"))
    for suffix in ("", "-wal"):
        shutil.copyfile(path + suffix, str(tmp_path / "copy.db") + suffix)
    assert keys(str(tmp_path / "copy.db")) == ["a"]


@pytest.mark.parametrize("trouble, damaged", [(sqlite3.OperationalError("database or disk is full"), False),
                                              (sqlite3.OperationalError("attempt to write a readonly database"), False),
                                              (sqlite3.DatabaseError("database disk image is malformed"), True)])
def test_only_a_damaged_file_is_one_to_restore(path, trouble, damaged):
    found = Engine(path).unusable(trouble)
    assert found.damaged is damaged
    assert ("Restore a backup" in str(found)) is damaged and ("as it was" in str(found)) is not damaged
