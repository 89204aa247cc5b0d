"""The command move: a hub's database into one of another engine and back, and every answer stays what it was."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shutil
import signal
import subprocess
import sys

import pytest

from smon_hub import cli, clock
from smon_hub import folder as data_folder
from smon_hub.hub import CanNotStart
from smon_hub.store import moving, options
from smon_hub.store.engine import Engine
from smon_hub.store.postgres import Postgres
from tests.hub import filled, inside
from tests.support import ROOT
from tests.support.processes import clean_environment

PASSWORD = "s3cret-of-the-database"
KILLS = 5
# A command line that ends at a given moment after its first slice, and whose slices are small.
DOOMED = """
import os, random, signal, sys, threading
from smon_hub import cli, clock
from smon_hub.store import moving, options

left, put = int(sys.argv[1]), moving.put

def some(*arguments):
    global left
    left -= 1
    if left == 0:  # while it works on, at whatever statement that is
        threading.Timer(random.uniform(0, 0.005), os.kill, (os.getpid(), signal.SIGKILL)).start()
    return put(*arguments)

moving.put, moving.SLICE_ROWS = some, 20
clock.now = lambda: %d
sys.exit(cli.main(sys.argv[2:]))
""" % filled.END


@pytest.fixture(autouse=True)
def still(monkeypatch):
    """The moment at which all hubs stand, also those that commands open."""
    monkeypatch.setattr(clock, "now", lambda: filled.END)


@pytest.fixture
def said(monkeypatch, capsys, caplog):
    """said(*arguments) -> (exit status, stdout, stderr) of a move; the password is in none of it."""
    monkeypatch.setattr(os, "umask", lambda mode: mode)
    monkeypatch.setattr(cli, "log_to_stderr", logging.getLogger("smon").setLevel)
    monkeypatch.setattr(os, "environ", {})

    def run(source, target):
        status = cli.main(["move", "--from", str(source), "--to", str(target)])
        output = capsys.readouterr()
        assert PASSWORD not in output.out + output.err + caplog.text
        return status, output.out, output.err
    yield run
    logging.getLogger("smon").setLevel(logging.NOTSET)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A data folder that is full, what it takes to ask about it, and what a hub answers that starts on it."""
    folder = tmp_path_factory.mktemp("original") / "data"
    hub = inside.HubInside(folder, at=filled.BEGIN)
    hub.jobs._due = dict.fromkeys(hub.jobs._due, 1e9)  # its days pass in seconds
    hub.open()
    credentials = filled.fill(hub)
    hub.jobs.settle_accounts()
    hub.close()
    shutil.copytree(str(folder), str(folder) + "-asked")
    return folder, credentials, asked(credentials, str(folder) + "-asked", folder.parent)


@pytest.fixture
def folder(original, tmp_path):
    """A copy of it."""
    shutil.copytree(str(original[0]), str(tmp_path / "from"))
    return tmp_path / "from"


@pytest.fixture
def database(postgres):
    """The address of an empty database, with a password."""
    with postgres.database() as url:
        yield url.replace("smon@", "smon:%s@" % PASSWORD)


def asked(credentials, place, tmp_path):
    """What a hub answers that has its database there."""
    where = ("--database", place) if "://" in str(place) else ()
    hub = inside.HubInside(tmp_path / "asked" if where else place, *where, at=filled.END)
    hub.jobs._due = dict.fromkeys(hub.jobs._due, 1e9)
    hub.open()
    try:
        return filled.answers(hub, credentials)
    finally:
        hub.close()


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert [_difference(path, found[path], expected[path]) for path in found if found[path] != expected[path]] == []


def _difference(path, found, expected):
    """Where two long answers part."""
    place = len(os.path.commonprefix([found[1], expected[1]]))
    return path, found[0], found[1][max(0, place - 80):place + 60], expected[1][max(0, place - 80):place + 60]


@contextlib.contextmanager
def opened(place):
    engine = Postgres(place) if "://" in str(place) else Engine(str(place / "smon.db"))
    engine.start(half=True)
    try:
        yield engine
    finally:
        engine.stop()


def sums(place):
    with opened(place) as engine:
        return {table.name: moving.summed(engine.read(), table, lambda count: None) for table in moving.TABLES}


def test_the_filled_hub_has_rows_in_every_table(original):
    assert [name for name, told in sums(original[0]).items() if told.rows == 0] == []
    assert len(original[2]) > 100
    assert {path: status for path, (status, _) in original[2].items() if status != 200} == {}


def test_there_and_back_every_answer_is_what_it_was(original, folder, database, tmp_path, said):
    status, out, err = said(folder, database)
    assert (status, err) == (0, "")
    assert out.count("checksum") == len(moving.TABLES)
    assert_same(asked(original[1], database, tmp_path), original[2])
    assert said(database, tmp_path / "back")[0] == 0
    assert_same(asked(original[1], tmp_path / "back", tmp_path), original[2])
    assert sums(folder) == sums(tmp_path / "back")


def test_a_hub_that_was_killed_is_moved_as_it_would_start(original, tmp_path, database, said):
    """What it knew of its newest samples had not been written back."""
    with inside.running(tmp_path / "live", at=filled.END) as hub:
        server = hub.server(hostname="sudden")
        hub.send(server, {"cpu_percent": 42.0})
        shutil.copytree(str(tmp_path / "live"), str(tmp_path / "killed"))
    assert said(tmp_path / "killed", database)[::2] == (0, "")
    with inside.running(tmp_path / "data", "--database", database, at=filled.END) as hub:
        assert [one.metrics()["cpu_percent"] for one in hub.fleet.servers()] == [42.0]


def test_ids_of_what_is_gone_are_never_used_again(original, folder, database, tmp_path, said):
    with opened(folder) as engine:
        before = moving.last_ids(engine.read())
        highest, = engine.read().execute("SELECT MAX(id) FROM users").fetchone()
    assert before["users"] > highest
    assert said(folder, database)[0] == 0
    with opened(database) as engine:
        assert moving.last_ids(engine.read()) == before
    assert said(database, tmp_path / "back")[0] == 0
    with inside.running(tmp_path / "back", at=filled.END) as hub:
        hub.user("next")
        assert hub.rows("SELECT MAX(id) FROM users") == [(before["users"] + 1,)]
        assert hub.rows("SELECT value FROM meta WHERE key = 'settled_sample'") == hub.rows(
            "SELECT CAST(MAX(id) AS TEXT) FROM samples")


def killed_and_resumed(source, target):
    """Move with kills some slices after the last one; how far each had come. The last run is left alone."""
    reached, chance = [], random.Random(7)
    for slices in [chance.randint(2, 12) for _ in range(KILLS)] + [0]:
        done = subprocess.run([sys.executable, "-c", DOOMED, str(slices), "move", "--from", str(source), "--to",
                               str(target)], cwd=str(ROOT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True, timeout=60, env=clean_environment())
        assert PASSWORD not in done.stdout
        if done.returncode == 0:
            return reached
        assert done.returncode == -signal.SIGKILL, done.stdout
        with opened(target) as engine:
            reached.append(options.fact(engine.read(), options.MOVING_FACT, ""))
        if not reached[-1]:  # it was killed on its way out
            return reached
    raise AssertionError("the last run was not killed")


def test_a_move_that_is_killed_again_and_again_goes_on_where_it_was(original, folder, database, tmp_path):
    assert len(set(killed_and_resumed(folder, database))) > 2
    assert_same(asked(original[1], database, tmp_path), original[2])
    assert len(set(killed_and_resumed(database, tmp_path / "back"))) > 2
    assert_same(asked(original[1], tmp_path / "back", tmp_path), original[2])


# --- what is refused --------------------------------------------------------------------------------------------------

@pytest.fixture
def stops(monkeypatch):
    """The next move ends after some slices."""
    rows, calls = moving.rows, []

    def some(*arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return rows(*arguments)

    @contextlib.contextmanager
    def within():
        calls.clear()
        with monkeypatch.context() as patched:
            patched.setattr(moving, "rows", some)
            yield
    return within


def starts(place, tmp_path):
    """The hub on it, or the sentence of why there is none."""
    where = ("--database", place) if "://" in str(place) else ()
    hub = inside.HubInside(tmp_path / "starts" if where else place, *where, at=filled.END)
    try:
        hub.open()
    except CanNotStart as error:
        return str(error)
    hub.close()
    return "It starts."


def test_no_hub_starts_on_a_half_of_a_database(folder, database, tmp_path, said, stops):
    for source, target in ((folder, database), (database, tmp_path / "back")):
        with stops():
            status, _, err = said(source, target)
        assert status == 2 and err == ("smon_server: The move was interrupted. Give the same command again: it goes on "
                                       "where this one ended.\n")
        assert "its move was interrupted. Give the same move command again" in starts(target, tmp_path)
        assert said(target, tmp_path / "other")[0] == 2  # nor is it a source
        assert said(source, target)[0] == 0
        assert starts(target, tmp_path) == "It starts."


def test_an_unfinished_move_is_not_gone_on_with_from_another_source(folder, database, tmp_path, said, stops):
    with stops():
        said(folder, database)
    shutil.copytree(str(folder), str(tmp_path / "other"))
    status, _, err = said(tmp_path / "other", database)
    assert status == 2 and "holds a part of %s" % folder in err
    assert said(folder, database)[0] == 0


def test_a_source_that_changed_since_is_told_by_its_table(folder, database, tmp_path, said, stops):
    with stops():
        said(folder, database)
    with inside.running(folder, at=filled.END) as hub:
        hub.pass_time(1000)
        hub.send(hub.fleet.servers()[0])
        hub.engine.write(lambda db: db.execute("UPDATE servers SET notes = 'changed' WHERE id = 1"))
    status, out, err = said(folder, database)
    assert status == 1 and "The tables differ: servers" in err and "Empty " in err
    assert out.count("servers: ") == 2
    assert "its move was interrupted" in starts(database, tmp_path)


@pytest.mark.parametrize("kind", ["file", "database"])
def test_a_target_that_is_not_empty_is_refused(kind, folder, database, tmp_path, said):
    target = database if kind == "database" else tmp_path / "used"
    with inside.running(*((tmp_path / "data", "--database", target) if kind == "database" else (target,))) as hub:
        hub.user()
    before = sums(target)
    status, out, err = said(folder, target)
    assert (status, out) == (2, "") and "is not empty: it has rows in users, sessions, audit. Name an empty one." in err
    assert sums(target) == before and starts(target, tmp_path) == "It starts."


def test_a_database_on_which_a_hub_only_started_is_empty(folder, database, tmp_path, said):
    assert starts(database, tmp_path) == "It starts."
    assert said(folder, database)[0] == 0
    with opened(database) as engine:
        assert engine.read().execute("SELECT COUNT(*) FROM channels").fetchone() == (2,)


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("kind", ["file", "database"])
def test_a_hub_that_runs_is_refused(kind, side, folder, database, tmp_path, said, monkeypatch):
    monkeypatch.setattr(data_folder, "WAITS", 2)
    place = database if kind == "database" else tmp_path / "runs"
    other = folder if kind == "database" or side == "target" else database
    where = (tmp_path / "data", "--database", place) if kind == "database" else (place,)
    with inside.running(*where, at=filled.END):
        status, out, err = said(*((place, other) if side == "source" else (other, place)))
    assert (status, out) == (2, "") and "Stop the hub first." in err
    assert starts(place, tmp_path) == "It starts."


def test_a_hub_that_started_meanwhile_is_noticed(database, tmp_path, said, monkeypatch):
    assert starts(database, tmp_path) == "It starts."
    summed = moving.summed

    def a_hub_starts(*arguments):
        monkeypatch.setattr(moving, "summed", summed)
        assert starts(database, tmp_path) == "It starts."
        return summed(*arguments)
    monkeypatch.setattr(moving, "summed", a_hub_starts)
    status, _, err = said(database, tmp_path / "back")
    assert status == 2 and "A hub ran on postgresql://127.0.0.1" in err


def test_a_value_that_the_other_engine_does_not_take_is_told_by_its_table(folder, database, said):
    with opened(folder) as engine:
        engine.write(lambda db: db.execute("UPDATE audit SET who = ? WHERE id = 3", ["a\0b"]))
    status, _, err = said(folder, database)
    assert status == 2 and "Rows of audit can not be stored in postgresql://127.0.0.1" in err


@pytest.mark.parametrize("words, sentence", [
    (["--from", "a"], "The command is: smon_server.py move --from DIR --to postgresql://..., or the other way round."),
    (["now", "--from", "a", "--to", "b"], "The command is: "),
    (["--from", "a", "--to", "a"], "--from and --to are the same database."),
    (["--from", "nowhere", "--to", "b"], "There is no hub's database "),
    (["--from", "a", "--to", "mysql://b"], "--to must be the path of a SQLite file or a postgresql:// address, not a "
                                           "mysql address."),
])
def test_a_command_that_can_not_be_meant_is_answered_in_a_sentence(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["move", *words]) == 2
    assert capsys.readouterr().err.startswith("smon_server: " + sentence)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_is_no_source(database, tmp_path, said):
    status, _, err = said(database, tmp_path / "back")
    assert status == 2 and "is no database of a hub of this version" in err
    with contextlib.closing(Postgres(database).read()) as reader:
        assert reader.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'").fetchall() == []
