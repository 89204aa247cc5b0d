"""What a process and those it started have cost: CPU, memory, threads, files. Linux only.

The CPU of the living is read from their clocks, exact to the microsecond; that of children which ended is what their
parents were told, in steps of 10 ms.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable, List, NamedTuple, Sequence

import psutil

CPUCLOCK_SCHED = 2  # the lowest bits of a process's clock id; linux/posix-timers.h
MIB = 1 << 20


class Size(NamedTuple):
    """Of a process and its children. PSS counts a page that several of them share once, RSS for each of them."""

    processes: int
    threads: int
    files: int
    rss_mib: float
    pss_mib: float


def size(pid: int) -> Size:
    """How large it is now."""
    members = family(pid)
    return Size(len(members), sum(member.num_threads() for member in members),
                sum(member.num_fds() for member in members),
                sum(_rollup(member.pid, "Rss:") for member in members) / MIB,
                sum(_rollup(member.pid, "Pss:") for member in members) / MIB)


def family(pid: int) -> List[psutil.Process]:
    """The process and all that descend from it."""
    parent = psutil.Process(pid)
    return [parent] + parent.children(recursive=True)


def each(meters: Sequence[Callable[[], float]], unit: Callable[[], int]) -> List[float]:
    """How many milliseconds each meter of seconds moved for each of the units that `unit` lets pass and counts."""
    before = [read() for read in meters]
    count = unit()
    return [(read() - was) * 1000 / count for read, was in zip(meters, before)]


def meter(pid: int) -> Callable[[], float]:
    """The CPU seconds of a process and all that descend from it."""
    return lambda: sum(_clock(process.pid) + _reaped(process) for process in family(pid))


def meter_alone(pid: int) -> Callable[[], float]:
    """The CPU seconds of a process without its children."""
    return lambda: _clock(pid)


def _clock(pid: int) -> float:
    try:
        return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)
    except OSError:
        return 0.0  # it ended a moment ago, and is counted by its parent now


def _reaped(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.children_user + times.children_system


def _rollup(pid: int, name: str) -> int:
    lines = Path("/proc/%d/smaps_rollup" % pid).read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
