"""Killed at any step of a backup or of a restore: the database is the old one or the restored one, never a third."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from smon_hub import backup, clock
from tests.hub import inside
from tests.support import ROOT, needs

NOW = inside.START
BACKED_UP, STORED = 50, 51
STEPS_MAX = 60

# Does a work and ends by kill -9 before the step of that number: a step is what another process could see done.
KILLED = """
import os, signal, sys
from smon_hub import backup
from smon_hub.store import copies
work, step, now, *paths = sys.argv[1:]
left = int(step)

def counted(call):
    def one(*given):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*given)
    return one

copies.STEP_PAGES = 32
for name in ("replace", "fsync", "unlink"):
    setattr(os, name, counted(getattr(os, name)))
if work == "make":
    backup.make(*paths, int(now), lambda left, whole: None)
else:
    backup.restore(*paths, int(now))
"""


def killed(work, step, *paths):
    """Whether there was such a step to be killed at."""
    if os.name == "nt":
        needs.system("Windows has no kill -9.")
    done = subprocess.run([sys.executable, "-c", KILLED, work, str(step), str(NOW + clock.DAY), *map(str, paths)],
                          cwd=str(ROOT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stdout
    return done.returncode != 0


def samples_of(path):
    with closing(sqlite3.connect(str(path))) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return db.execute("SELECT COUNT(*) FROM samples").fetchone()[0]


@pytest.fixture
def left(tmp_path):
    """What a killed hub left: a database whose last sample is in its log only, and a backup without that sample."""
    data, copied = tmp_path / "data", tmp_path / "left"
    with inside.running(data) as hub:
        server = hub.server()
        for number in range(BACKED_UP):
            hub.send(server, collected_at=NOW - number * clock.MINUTE)
        one = backup.make(str(data / "smon.db"), str(copied / "backups"), NOW, lambda left, whole: None)
        hub.engine.write(lambda db: None)
        hub.send(server, collected_at=NOW - STORED * clock.MINUTE)
        for name in ("smon.db", "smon.db-wal"):
            shutil.copy(str(data / name), str(copied / name))
    assert (copied / "smon.db-wal").stat().st_size > 0
    return copied, one.path


def test_a_backup_killed_at_any_step_is_none_and_hinders_nobody(left):
    folder, first = left
    step = 0
    while killed("make", step, folder / "smon.db", folder / "backups"):
        assert step < STEPS_MAX
        found = backup.listed(str(folder / "backups"))
        assert [backup.judge(one.path) for one in found] == [""] * len(found) and found[-1].path == first
        for one in found[:-1]:
            os.unlink(one.path)
        step += 1
    assert step > 5
    newest = backup.listed(str(folder / "backups"))[0]
    assert samples_of(newest.path) == STORED and samples_of(folder / "smon.db") == STORED
    assert not (folder / "backups" / backup.PART).exists()


def test_a_restore_killed_at_any_step_leaves_the_old_database_or_the_restored_one(left, tmp_path):
    outcomes = []
    for step in range(STEPS_MAX):
        data = tmp_path / ("killed-%d" % step)
        shutil.copytree(str(left[0]), str(data))
        went_on = killed("restore", step, left[1], data / "smon.db")
        with inside.running(data) as hub:
            outcomes.append(hub.rows("SELECT COUNT(*) FROM samples")[0][0])
        kept = [path for path in data.glob("smon.db.before-*") if not path.name.endswith("-wal")]
        assert [samples_of(path) for path in kept] == [STORED] * (outcomes[-1] == BACKED_UP)
        backup.restore(left[1], str(data / "smon.db"), NOW + 2 * clock.DAY)
        assert samples_of(data / "smon.db") == BACKED_UP
        assert [path.name for path in data.iterdir() if backup.RESTORING in path.name] == []
        if not went_on:
            break
    assert sorted(outcomes, reverse=True) == outcomes and set(outcomes) == {STORED, BACKED_UP} and len(outcomes) > 5
