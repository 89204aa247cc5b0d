"""Backups: whole while the hub writes on, judged before they are trusted, made each night, kept as many as asked."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import threading
from contextlib import closing

import pytest

from smon_hub import backup, clock, config
from smon_hub.errors import HubError
from smon_hub.hub import CanNotStart
from smon_hub.store import copies, schema
from tests.hub import inside
from tests.support.processes import until

NOW = inside.START


def done(left, whole):
    """A progress that nobody looks at."""


def options(data, *words):
    return config.load(["--data-dir", str(data), *words], {})


def filled(hub, samples=50):
    server = hub.server()
    for number in range(samples):
        hub.send(server, collected_at=NOW - number * clock.MINUTE)
    return server


def wait(hub):
    """Until nothing is under way."""
    until(lambda: not hub.backups.answer()["running"], "The end of the backup")


def samples_of(path):
    with sqlite3.connect("file:%s?mode=ro&immutable=1" % path, uri=True) as db:
        return db.execute("SELECT COUNT(*) FROM samples").fetchone()[0]


def damage(path, page=None):
    """Overwrite one page with noise; the first by default, which opens no database any more."""
    with open(str(path), "r+b") as file:
        file.seek((page or 0) * 4096)
        file.write(random.Random(page).randbytes(4096) if hasattr(random.Random, "randbytes") else b"\xa5" * 4096)


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def made(data):
    """A data folder with 50 samples, and a backup of it."""
    with inside.running(data) as hub:
        filled(hub)
        return data, backup.make(str(data / "smon.db"), str(data / "backups"), NOW, done)


# --- making -----------------------------------------------------------------------------------------------------------

def test_a_backup_is_whole_and_its_owners_alone(made):
    data, one = made
    assert samples_of(one.path) == 50
    assert backup.judge(one.path) == ""
    assert [path.stat().st_mode & 0o077 for path in (data / "backups", *(data / "backups").iterdir())] == [0, 0, 0]
    assert [path.name for path in sorted((data / "backups").iterdir())] == [
        "smon-20261122T100000Z.db", "smon-20261122T100000Z.db.sha256"]


def test_its_sum_file_is_what_sha256sum_reads(made):
    one = made[1]
    with open(one.path + ".sha256") as file:
        assert file.read() == "%s  smon-20261122T100000Z.db\n" % backup.sum_of(one.path)


def test_it_shows_one_moment_although_samples_go_on_being_stored(data, monkeypatch):
    """Each step of the copy waits for a commit: a copy without a snapshot would begin anew each time."""
    monkeypatch.setattr(copies, "STEP_PAGES", 4)
    with inside.running(data) as hub:
        server, steps = filled(hub), []

        def store(left, whole):
            assert len(steps) < 500, "The copy does not end."
            steps.append(hub.send(server, collected_at=NOW - clock.HOUR - len(steps) * clock.MINUTE)["stored"])
        one = backup.make(str(data / "smon.db"), str(data / "backups"), NOW, store)
        assert len(steps) > 5 and all(steps)
        assert samples_of(one.path) == 50
        assert hub.rows("SELECT COUNT(*) FROM samples") == [(50 + len(steps),)]


def test_a_copy_that_ends_early_leaves_nothing(data):
    with inside.running(data) as hub:
        filled(hub)

        def stop(left, whole):
            raise copies.Stopped
        with pytest.raises(copies.Stopped):
            backup.make(str(data / "smon.db"), str(data / "backups"), NOW, stop)
    assert list((data / "backups").iterdir()) == []


def test_what_a_killed_hub_left_is_no_hindrance(made):
    data = made[0]
    (data / "backups" / backup.PART).write_bytes(b"half of one")
    backup.make(str(data / "smon.db"), str(data / "backups"), NOW + clock.DAY, done)
    assert len(backup.listed(str(data / "backups"))) == 2
    assert not (data / "backups" / backup.PART).exists()


def test_without_room_it_says_how_much_is_needed(data, monkeypatch):
    usage = type("Usage", (), {"free": 65 << 20, "total": 100 << 30})
    with inside.running(data) as hub:
        filled(hub)
        monkeypatch.setattr(backup, "_size", lambda path: 8 << 20)
        monkeypatch.setattr(backup.shutil, "disk_usage", lambda folder: usage)
        with pytest.raises(HubError, match=r"needs 9 MB in .*, where 65 MB are free"):
            backup.make(str(data / "smon.db"), str(data / "backups"), NOW, done)


def test_a_damaged_database_gives_no_backup(made):
    data = made[0]
    for page in range(20, 40):
        damage(data / "smon.db", page)
    with pytest.raises(HubError, match="damaged|malformed"):
        backup.make(str(data / "smon.db"), str(data / "backups"), NOW + clock.DAY, done)
    assert len(backup.listed(str(data / "backups"))) == 1


def test_a_folder_that_can_not_be_written_is_named(made):
    data = made[0]
    (data / "file").write_text("no folder")
    with pytest.raises(HubError, match="The backup in .*file/backups failed"):
        backup.make(str(data / "smon.db"), str(data / "file" / "backups"), NOW, done)


# --- keeping ----------------------------------------------------------------------------------------------------------

def test_the_oldest_go_and_what_is_not_ours_stays(made):
    data = made[0]
    folder = data / "backups"
    (folder / "notes.db").write_bytes(b"a person's")
    for days in range(1, 5):
        newest = backup.make(str(data / "smon.db"), str(folder), NOW + days * clock.DAY, done)
    gone = backup.rotate(str(folder), 2, newest.path)
    assert gone == ["smon-20261124T100000Z.db", "smon-20261123T100000Z.db", "smon-20261122T100000Z.db"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "notes.db", "smon-20261125T100000Z.db", "smon-20261125T100000Z.db.sha256", "smon-20261126T100000Z.db",
        "smon-20261126T100000Z.db.sha256"]


def test_a_clock_set_back_does_not_cost_the_new_one(made):
    data = made[0]
    older = backup.make(str(data / "smon.db"), str(data / "backups"), NOW - clock.DAY, done)
    assert backup.rotate(str(data / "backups"), 1, older.path) == []


# --- each night -------------------------------------------------------------------------------------------------------

def tick(hub):
    hub.backups.tick()
    wait(hub)
    return len(backup.listed(hub.backups.folder))


def test_it_is_made_once_each_night_after_its_hour(data):
    with inside.running(data, at=clock.parse("2026-11-22T01:00:00Z")) as hub:
        hub.change_settings({"backup_hour": 2})
        hub.backups.tick()  # the first one looks the database through
        hub.backups._thread.join()
        assert tick(hub) == 1  # none was ever made
        assert tick(hub) == 1
        hub.pass_time(clock.HOUR)
        assert tick(hub) == 2
        hub.pass_time(23 * clock.HOUR)
        assert tick(hub) == 2
        hub.pass_time(clock.HOUR)
        assert tick(hub) == 3


def test_it_is_not_made_when_it_is_not_wanted(data):
    with inside.running(data) as hub:
        hub.change_settings({"backup_nightly": False})
        hub.backups._checked = True
        assert tick(hub) == 0


def test_it_keeps_as_many_as_the_setting_says(data):
    with inside.running(data) as hub:
        hub.change_settings({"backup_keep": 2})
        hub.backups._checked = True
        assert [tick(hub) for _ in range(4) if hub.pass_time(clock.DAY)] == [1, 2, 2, 2]


def test_a_failure_is_told_and_tried_again_after_an_hour(data, monkeypatch):
    tries, make = [], backup.make
    monkeypatch.setattr(backup, "make", lambda *given: tries.append(given) or make(*given))
    with inside.running(data) as hub:
        hub.backups._checked = True
        (data / "backups").write_text("in the way")
        assert hub.backups.start()
        wait(hub)
        for minutes in (1, 30):
            hub.pass_time(minutes * clock.MINUTE)
            with pytest.raises(HubError, match="The backup in .* failed"):
                hub.backups.tick()
            wait(hub)
        assert len(tries) == 1
        (data / "backups").unlink()
        hub.pass_time(clock.HOUR)
        with pytest.raises(HubError):
            hub.backups.tick()  # the new try has only begun
        wait(hub)
        hub.backups.tick()
        assert hub.backups.answer()["error"] == ""


def test_only_one_is_made_at_a_time_and_the_end_of_the_hub_ends_it(data, monkeypatch):
    held, go = threading.Event(), threading.Event()

    def copy(database, target, progress):
        held.set()
        assert go.wait(30)
        progress(1, 2)
        raise AssertionError("It was not told to stop.")
    monkeypatch.setattr(copies, "copy", copy)
    with inside.running(data) as hub:
        assert hub.backups.start() and held.wait(30)
        assert not hub.backups.start()
        assert hub.ask("POST", "/api/dashboard/backups", address=inside.HERE, host="localhost").status == 409
        hub.backups._stopped = True
        go.set()
    assert hub.backups.error == "The hub was stopped during the backup."
    assert not hub.backups.start()


def test_the_api_lists_and_makes_them_for_admins_alone(data):
    with inside.running(data) as hub:
        local = dict(address=inside.HERE, host="localhost")
        assert hub.ask("POST", "/api/dashboard/backups").status == 401
        assert hub.ask("GET", "/api/dashboard/backups").status == 401
        assert hub.ask("POST", "/api/dashboard/backups", **local).status == 200
        wait(hub)
        answer = hub.ask("GET", "/api/dashboard/backups", **local).json
        one, = answer.pop("backups")
        assert answer == {"folder": str(data / "backups"), "running": False, "percent": None, "error": ""}
        assert one == {"name": "smon-20261122T100000Z.db", "at": "2026-11-22T10:00:00Z", "sha256": backup.sum_of(
            str(data / "backups" / one["name"])), "bytes": (data / "backups" / one["name"]).stat().st_size}
        assert hub.rows("SELECT action FROM audit") == [("backup",)]


# --- judging and restoring --------------------------------------------------------------------------------------------

def test_a_changed_backup_is_not_trusted(made):
    path = made[1].path
    damage(path, 9)
    assert "is not what its .sha256 file says" in backup.judge(path)


@pytest.mark.parametrize("page", [0, 1, 7, 15, 23, 31])
def test_a_damaged_backup_is_found_out_without_its_sum(made, page):
    path = made[1].path
    os.unlink(path + ".sha256")
    damage(path, page)
    assert backup.judge(path) != ""


def test_what_is_no_backup_of_ours_is_refused(tmp_path):
    with sqlite3.connect(str(tmp_path / "other.db")) as db:
        db.execute("CREATE TABLE t (x)")
    (tmp_path / "text.db").write_text("no database at all, but long enough to be read as one" * 40)
    assert "is no database of a hub" in backup.judge(str(tmp_path / "other.db"))
    assert "is damaged" in backup.judge(str(tmp_path / "text.db"))
    assert "can not be read" in backup.judge(str(tmp_path / "missing.db"))


def test_a_backup_of_a_newer_hub_is_refused(made):
    path = made[1].path
    os.unlink(path + ".sha256")
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
        assert "is not whole: what lies in" in backup.judge(path)
    assert "has schema version 99, made by a newer hub" in backup.judge(path)


def test_a_restored_database_is_the_backup_and_the_former_one_stays(made):
    data, one = made
    with inside.running(data) as hub:
        server = hub.fleet.servers()[0]
        hub.send(server, collected_at=NOW - 500 * clock.MINUTE)
    kept = backup.restore(one.path, str(data / "smon.db"), NOW)
    with inside.running(data) as hub:
        assert hub.rows("SELECT COUNT(*) FROM samples") == [(50,)]
    assert kept == str(data / "smon.db") + ".before-20261122T100000Z"
    assert samples_of(kept) == 51
    assert (data / "smon.db").stat().st_mode & 0o077 == 0


def test_the_log_of_the_former_database_goes_with_it(made, tmp_path):
    """What a killed hub had not yet written back lies in the log, which must not meet the restored file."""
    data, one = made
    with inside.running(data) as hub:
        hub.send(hub.fleet.servers()[0], collected_at=NOW - 500 * clock.MINUTE)
        for name in ("smon.db", "smon.db-wal"):
            (tmp_path / name).write_bytes((data / name).read_bytes())
    assert (tmp_path / "smon.db-wal").stat().st_size > 0
    kept = backup.restore(one.path, str(tmp_path / "smon.db"), NOW)
    assert samples_of(tmp_path / "smon.db") == 50
    with sqlite3.connect(kept) as db:
        assert db.execute("SELECT COUNT(*) FROM samples").fetchone() == (51,)


def test_a_bad_backup_changes_nothing(made):
    data, one = made
    before = (data / "smon.db").read_bytes()
    damage(one.path, 3)
    with pytest.raises(HubError, match="was changed or damaged"):
        backup.restore(one.path, str(data / "smon.db"), NOW)
    assert (data / "smon.db").read_bytes() == before
    assert not list(data.glob("*.restoring")) and not list(data.glob("*.before-*"))


# --- at the start -----------------------------------------------------------------------------------------------------

def test_a_damaged_file_at_the_start_names_the_newest_good_backup(made):
    data, one = made
    newer = backup.make(str(data / "smon.db"), str(data / "backups"), NOW + clock.DAY, done)
    damage(newer.path, 12)
    damage(data / "smon.db")
    with pytest.raises(CanNotStart) as told:
        inside.HubInside(data).open()
    assert str(told.value).endswith("The newest good backup is of 2026-11-22T10:00:00Z: smon_server.py restore "
                                    + one.path)


def test_a_damaged_file_without_a_backup_says_that_there_is_none(data):
    with inside.running(data) as hub:
        filled(hub)
    damage(data / "smon.db")
    with pytest.raises(CanNotStart, match="There is no good backup in "):
        inside.HubInside(data).open()


def test_damage_that_only_a_look_through_finds_is_told(made):
    data = made[0]
    with closing(sqlite3.connect(str(data / "smon.db"))) as db:
        root = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'samples_with_details'").fetchone()[0]
    damage(data / "smon.db", root - 1)
    with inside.running(data) as hub:
        with contextlib.suppress(HubError):  # it may have looked to the end before this returns
            hub.backups.tick()
        hub.backups._thread.join()
        with pytest.raises(HubError, match="The database is damaged: .* restore a backup. The newest good backup is"):
            hub.backups.tick()
        assert "damaged" in hub.backups.answer()["error"]


def test_an_older_schema_is_backed_up_before_it_is_changed(made, monkeypatch):
    data, one = made
    with sqlite3.connect(str(data / "smon.db")) as db:
        db.execute("PRAGMA user_version = 1")
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS + ("CREATE TABLE added (x);",))
    with inside.running(data, at=NOW + clock.DAY) as hub:
        assert hub.rows("PRAGMA user_version") == [(schema.VERSION,)]
    newest = backup.listed(str(data / "backups"))[0]
    assert copies.version(newest.path) == 1 and newest.at == NOW + clock.DAY
    with inside.running(data, at=NOW + 2 * clock.DAY):
        assert len(backup.listed(str(data / "backups"))) == 2  # nothing was left to change


def test_backups_may_lie_elsewhere(data, tmp_path):
    with inside.running(data, "--backup-dir", str(tmp_path / "other")) as hub:
        hub.backups.start()
        wait(hub)
        assert [path.suffix for path in sorted((tmp_path / "other").iterdir())] == [".db", ".sha256"]
