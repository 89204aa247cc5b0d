"""The figures of a live sample, held against recorded readings of machines whose figures are known."""

from __future__ import annotations

import datetime
import os
import sys
import types
from collections import namedtuple

import pytest

import smon_agent

Memory = namedtuple("Memory", "total available percent used free")
Frequency = namedtuple("Frequency", "current min max")
SYSFS = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts the folders of /proc")


@pytest.fixture
def clock(monkeypatch):
    """It stands still until a test moves it on."""
    made = types.SimpleNamespace(now=1000.0)
    made.monotonic = lambda: made.now
    monkeypatch.setattr(smon_agent, "time", made)
    return made


@pytest.fixture
def kernel(monkeypatch):
    """Files of the kernel's as a test says, None for a missing one: kernel({"/proc/loadavg": "..."})."""
    def files(contents):
        real = smon_agent.read_text

        def read_text(path, default=None):
            if contents.get(path, "") is None:
                return real("/nowhere", default)
            return contents[path] if path in contents else real(path, default)
        monkeypatch.setattr(smon_agent, "read_text", read_text)
    return files


@pytest.fixture
def elsewhere(monkeypatch):
    """A system without the kernel's files about processes."""
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: not str(path).startswith("/proc/") and exists(path))


@pytest.fixture
def warnings(monkeypatch):
    said = []
    monkeypatch.setattr(smon_agent.log, "warning", lambda text, *values: said.append(text % values))
    return said


def test_a_live_sample_says_when_it_was_taken_and_how_long_it_is_kept(monkeypatch):
    taken = datetime.datetime(2026, 11, 22, 10, 0, 5, 123456, datetime.timezone.utc)
    monkeypatch.setattr(smon_agent, "utc_now", lambda: taken)
    sample = smon_agent.Live().sample(45)
    assert (sample["collected_at"], sample["retention_minutes"]) == ("2026-11-22T10:00:05.123Z", 45)


def test_memory_is_what_psutil_says(fake_psutil, monkeypatch):
    monkeypatch.setattr(smon_agent, "CGROUP", "/nowhere/cgroup")
    live = smon_agent.Live()
    fake_psutil(virtual_memory=lambda: Memory(16000, 9000, 43.8, 6000, 2000))
    sample = live.sample(30)
    assert {key: sample[key] for key in sample if key.startswith("memory_")} == {
        "memory_percent": 43.8, "memory_used": 6000, "memory_available": 9000}


@linux_only
def test_threads_and_handles_are_those_of_the_whole_machine(kernel):
    kernel({"/proc/loadavg": "0.10 0.20 0.30 2/345 6789\n", "/proc/sys/fs/file-nr": "4352\t17\t9223372036854775807\n"})
    sample = smon_agent.Live().sample(30)
    assert (sample["thread_count"], sample["handle_count"]) == (345, 4352)


# counts of other systems

@pytest.mark.parametrize("handles", ["num_handles", "num_fds"])
def test_other_systems_sum_threads_and_handles_over_processes(fake_psutil, elsewhere, handles):
    asked = []

    def walk(names):
        asked.append(names)
        return [types.SimpleNamespace(info={"num_threads": threads, handles: held})
                for threads, held in ((3, 40), (2, 500), (None, None))]
    fake_psutil(Process=type("Process", (), {handles: None, "num_fds": None}), process_iter=walk)
    sample = smon_agent.Live().sample(30)
    assert (sample["process_count"], sample["thread_count"], sample["handle_count"]) == (3, 5, 540)
    assert asked == [["num_threads", handles]]


@pytest.mark.parametrize("seconds, threads", [
    ([0.05, 0.05, 0.05], [5, 5, 5]), ([0.2, 0.01, 0.01], [5, None, None]),
    ([0.05, 0.3, 0.01, 0.01], [5, 5, None, None])])
def test_processes_are_walked_through_only_while_that_is_quick(fake_psutil, elsewhere, clock, seconds, threads):
    left = iter(seconds)

    def walk(names):
        clock.now += next(left)
        return [types.SimpleNamespace(info=dict.fromkeys(names, 5))]
    fake_psutil(process_iter=walk, pids=lambda: [1, 2, 3, 4])
    live = smon_agent.Live()
    samples = [live.sample(30) for _ in seconds]
    assert [sample["thread_count"] for sample in samples] == threads
    assert [sample["handle_count"] for sample in samples] == threads
    assert [sample["process_count"] for sample in samples] == [4 if count is None else 1 for count in threads]


# the clock of the CPU

@pytest.mark.parametrize("kilohertz, mhz", [("2400999\n", 2401), ("800000\n", 800)])
def test_the_frequency_is_told_in_megahertz(kernel, kilohertz, mhz, fake_psutil):
    kernel({SYSFS: kilohertz})
    fake_psutil(cpu_freq=lambda: pytest.fail("The kernel told it already."))
    assert smon_agent.Live().sample(30)["cpu_freq_mhz"] == mhz


def test_psutil_is_asked_for_the_frequency_once_a_minute(kernel, fake_psutil, clock, monkeypatch):
    kernel({SYSFS: None})
    monkeypatch.setattr(smon_agent, "MINUTE", 60.0)
    readings = iter([Frequency(3199.7, 0, 0), Frequency(1800.2, 0, 0)])
    fake_psutil(cpu_freq=lambda: next(readings))
    live, found = smon_agent.Live(), []
    for clock.now in (1000.0, 1010.0, 1059.0, 1061.0, 1120.0):
        found.append(live.sample(30)["cpu_freq_mhz"])
    assert found == [3200, 3200, 3200, 1800, 1800]


def refused(error):
    def ask():
        raise error
    return ask


@pytest.mark.parametrize("ask", [
    lambda: None, refused(OSError(2, "No such file or directory")), refused(NotImplementedError("no such sensor")),
    refused(RuntimeError("no such key")), refused(AttributeError("cpu_freq"))])
def test_a_system_that_does_not_tell_the_frequency_is_not_asked_all_the_time(kernel, fake_psutil, clock, warnings, ask):
    kernel({SYSFS: None})
    asked = []
    fake_psutil(cpu_freq=lambda: asked.append(1) or ask())
    live = smon_agent.Live()
    samples = [live.sample(30) for _ in range(3)]
    assert [sample["cpu_freq_mhz"] for sample in samples] == [None] * 3
    assert (len(asked), warnings) == (1, [])


# what fails

def test_a_figure_that_fails_again_and_again_is_said_once(monkeypatch, warnings):
    def broken(*_):
        raise OSError(5, "Input/output error")
    monkeypatch.setattr(smon_agent, "swap_linux", broken)
    monkeypatch.setattr(smon_agent.psutil, "swap_memory", broken)
    live = smon_agent.Live()
    assert [("swap_used" in live.sample(30), "memory_used" in live.sample(30)) for _ in range(2)] == [(False, True)] * 2
    monkeypatch.setattr(smon_agent.psutil, "virtual_memory", broken)
    live.sample(30)
    assert sorted(warnings) == ["Live samples go without memory: Input/output error",
                                "Live samples go without swap: Input/output error"]
