"""How /proc is read: files that stay open, lines that are parsed once, processes that are counted by links."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import types

import psutil
import pytest

import smon_agent

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture
def child():
    """A process that rests until it is told to work for a moment, or to end."""
    work = "import sys\nfor line in sys.stdin:\n    sum(range(3000000)); print(1, flush=True)"
    with subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process


def lets_work(child):
    child.stdin.write(b"\n")
    child.stdin.flush()
    child.stdout.readline()
    while psutil.Process(child.pid).status() != psutil.STATUS_SLEEPING:
        threading.Event().wait(0.01)


def handle(files, child):
    """The file that is kept open for a process; -1 for none."""
    return files._known[str(child.pid)][0]


@pytest.mark.parametrize("kept", [4, 100000])
def test_only_what_a_process_has_done_is_read_anew(child, monkeypatch, kept):
    """Through a file that stays open as well as through one that does not."""
    monkeypatch.setattr(smon_agent, "STAT_FILES_MAX", kept)
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_CLK_TCK": 100, "SC_PAGE_SIZE": 4096}.get(name, 8 * kept))
    files = smon_agent.StatFiles()

    def look():
        return {row.pid: row for row in files.scan()}[child.pid]
    lets_work(child)
    first = look()
    assert look() is first
    lets_work(child)
    assert look().cpu_seconds > first.cpu_seconds
    assert (handle(files, child) >= 0) == (kept > 4)


def test_no_more_files_stay_open_than_half_of_what_is_allowed(monkeypatch):
    allowed = {"SC_CLK_TCK": 100, "SC_PAGE_SIZE": 4096, "SC_OPEN_MAX": 6}
    monkeypatch.setattr(os, "sysconf", allowed.get)
    before = len(os.listdir("/proc/self/fd"))
    files = smon_agent.StatFiles()
    assert len(files.scan()) > 3
    files.scan()
    assert len(os.listdir("/proc/self/fd")) == before + 3
    for kept, _, _ in files._known.values():
        if kept >= 0:
            os.close(kept)


def test_a_number_that_another_process_got_shows_that_one(child):
    """The file that was kept belongs to a process that ended; what stands in its place now is read."""
    files = smon_agent.StatFiles()
    files.scan()
    ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stale = os.open("/proc/%d/stat" % ended.pid, os.O_RDONLY)
    ended.communicate(b"\n")
    os.close(handle(files, child))
    files._known[str(child.pid)][0] = stale
    assert child.pid in {row.pid for row in files.scan()}
    assert os.pread(handle(files, child), 100, 0).startswith(b"%d " % child.pid)


def test_the_file_of_a_process_that_ended_is_closed(child):
    files = smon_agent.StatFiles()
    files.scan()
    kept = handle(files, child)
    child.kill()
    child.wait()
    files.scan()
    assert str(child.pid) not in files._known
    with pytest.raises(OSError):
        os.pread(kept, 1, 0)


def test_a_live_sample_lists_the_processes_once_a_minute_at_most(monkeypatch):
    listed, real = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or real(path))
    live = smon_agent.Live()
    counts = [live.sample(30)["process_count"] for _ in range(3)]
    assert len(listed) == (1 if live._links[0] else 3)
    assert abs(counts[-1] - len(psutil.pids())) < 20


@pytest.mark.parametrize("odd, asked", [(0, 1), (5, 4)])
def test_processes_are_counted_one_by_one_where_links_do_not_add_up(monkeypatch, odd, asked):
    """In a container /proc has links for the processes outside, too."""
    listed, real = [], os.stat
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or ["1", "20", "300", "self", "sys", "net"])
    monkeypatch.setattr(os, "lstat", lambda path: types.SimpleNamespace(
        st_mode=0o040555 if path == "/proc/sys" else 0o120777))
    live = smon_agent.Live()
    monkeypatch.setattr(os, "stat", lambda path, **how: types.SimpleNamespace(
        st_nlink=2 + 1 + 3 + odd) if path == "/proc" else real(path, **how))
    assert [live._process_count() for _ in range(4)] == [3, 3, 3, 3] and len(listed) == asked
