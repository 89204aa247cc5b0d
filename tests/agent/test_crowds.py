"""A machine with a thousand processes: all are seen, the right ones are shown, and looking at them leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import NamedTuple, Set

import psutil
import pytest

import smon_agent
from tests.support.processes import until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

COUNT = 1000
LARGE_MIB = 200

CROWD = """
import os, signal, sys
def child(work):
    pid = os.fork()
    if pid == 0:
        signal.alarm(120)  # it ends by itself, should nobody end it
        work()
        while True:
            signal.pause()
    return pid
def large():
    global held
    held = bytearray(%d << 20)
def busy():
    while True:
        pass
pids = [child(lambda: None) for _ in range(int(sys.argv[1]) - 2)] + [child(large), child(busy)]
print(*pids, flush=True)
sys.stdin.read()
for pid in pids:
    os.kill(pid, signal.SIGKILL)
for pid in pids:
    os.waitpid(pid, 0)
""" % LARGE_MIB


class Crowd(NamedTuple):
    pids: Set[int]
    large: int
    busy: int


@pytest.fixture(scope="module")
def crowd():
    starter = subprocess.Popen([sys.executable, "-S", "-E", "-c", CROWD, str(COUNT)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    try:
        pids = [int(pid) for pid in starter.stdout.readline().split()]
        large, busy = psutil.Process(pids[-2]), psutil.Process(pids[-1])
        until(lambda: large.memory_info().rss > LARGE_MIB << 20, "A process of %d MiB" % LARGE_MIB)
        busy.nice(19)  # whoever else works on this machine goes first
        yield Crowd(set(pids), large.pid, busy.pid)
    finally:
        starter.communicate()


def test_each_of_a_thousand_processes_is_seen(machine, options, crowd):
    rows = smon_agent.collect_processes(machine, options, {})
    assert len(crowd.pids) == COUNT and crowd.pids <= set(machine.processes)
    assert len(rows) == len({row["pid"] for row in rows}) == options.top_processes_count


def test_the_busy_and_the_large_one_stand_out_of_a_thousand(machine, options, crowd, monkeypatch):
    """Among the thousand alone, because nobody knows what else runs on this machine."""
    scan, facts = smon_agent.process_source(machine)
    monkeypatch.setattr(smon_agent, "process_source", lambda machine: (
        lambda: (row for row in scan() if row.pid in crowd.pids), facts))
    options.top_processes_count = 2
    busy = psutil.Process(crowd.busy)
    smon_agent.collect_processes(machine, options, {})
    used = sum(busy.cpu_times()[:2])
    until(lambda: sum(busy.cpu_times()[:2]) > used + 0.3, "A third of a second of CPU")
    first, second = smon_agent.collect_processes(machine, options, {})
    assert (first["pid"], second["pid"]) == (crowd.busy, crowd.large)
    assert first["cpu_percent"] > 0 == second["cpu_percent"] and second["memory_mb"] >= LARGE_MIB > first["memory_mb"]


def test_looking_at_a_thousand_processes_leaves_no_file_open_and_nobody_who_ended(machine, options, crowd):
    machine.collect(options)
    before = len(os.listdir("/proc/self/fd"))
    with subprocess.Popen([sys.executable, "-S", "-E", "-c", "input()"], stdin=subprocess.PIPE) as guest:
        machine.collect(options)
        assert guest.pid in machine.processes
        guest.send_signal(signal.SIGKILL)
    for _ in range(3):
        machine.collect(options)
    assert guest.pid not in machine.processes and len(os.listdir("/proc/self/fd")) == before


def test_each_user_is_asked_for_once_a_look(machine, options, crowd, monkeypatch):
    import pwd
    asked = []
    named = pwd.getpwuid
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: asked.append(uid) or named(uid))
    for looks in (1, 2):
        smon_agent.collect_processes(machine, options, {})
        assert asked.count(os.getuid()) == looks
