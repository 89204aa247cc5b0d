"""The figures of a sample, held against recorded readings of machines whose figures are known."""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections import namedtuple

import pytest

import smon_agent

Times = namedtuple("Times", "user system idle iowait")
Memory = namedtuple("Memory", "total available percent used free")
Swap = namedtuple("Swap", "total used free percent sin sout")
Space = namedtuple("Space", "total used free percent")
Part = namedtuple("Part", "device mountpoint fstype opts")
Link = namedtuple("Link", "bytes_sent bytes_recv packets_sent packets_recv errin errout dropin dropout")
Traffic = namedtuple("Traffic", "read_count write_count read_bytes write_bytes")
Spent = namedtuple("Spent", "user system")
Held = namedtuple("Held", "rss vms")

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="every 127.x.y.z is an address here")


class Clock:
    """It stands still until somebody sleeps."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1700000000.0 + self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(smon_agent, "time", made)
    return made


@pytest.fixture
def kernel(monkeypatch):
    """Files of the kernel's as a test says, None for a missing one: kernel({"/proc/uptime": "5.0 4.0"})."""
    def files(contents):
        real = smon_agent.read_text

        def read_text(path, default=None):
            if contents.get(path, "") is None:
                return real("/nowhere", default)
            return contents[path] if path in contents else real(path, default)
        monkeypatch.setattr(smon_agent, "read_text", read_text)
    return files


@pytest.fixture
def container(tmp_path, monkeypatch):
    """What its control group says: container({"cpu.max": "50000 100000"})."""
    def says(contents):
        for name, text in contents.items():
            (tmp_path / "cgroup" / name).write_text(text)
    (tmp_path / "cgroup").mkdir()
    monkeypatch.setattr(smon_agent, "CGROUP", str(tmp_path / "cgroup"))
    return says


@pytest.fixture
def host(monkeypatch):
    """A machine that is no container, whatever the tests run in."""
    monkeypatch.setattr(smon_agent, "CGROUP", "/nowhere/cgroup")


def in_turn(*readings):
    left = iter(readings)
    return lambda *_, **__: next(left)


def process(pid, cpu_seconds, rss=1 << 20):
    return smon_agent.Seen(pid, 5, cpu_seconds, rss, b"work", b"S")


@pytest.fixture
def processes(monkeypatch):
    """What each look at the processes finds, one after the other."""
    def looks(*found):
        scan = in_turn(*found)
        monkeypatch.setattr(smon_agent, "process_source", lambda machine: (
            scan, lambda seen: (seen.name.decode(), "sleeping", "root")))
    return looks


# CPU

START = Times(7000, 3000, 90000, 0)  # since boot a tenth was busy


def test_cpu_is_the_busy_share_between_two_readings(fake_psutil, host, options):
    fake_psutil(cpu_count=lambda: 6,
                cpu_times=in_turn(START, Times(7030, 3020, 90040, 10), Times(7030, 3020, 90130, 10)))
    machine = smon_agent.Machine()
    assert smon_agent.collect_cpu(machine, options, {}) == {"cpu_percent": 50.0, "cpu_count": 6}
    assert smon_agent.collect_cpu(machine, options, {}) == {"cpu_percent": 0.0, "cpu_count": 6}


def test_the_first_sample_is_compared_with_readings_of_half_a_second_before(fake_psutil, host, options, processes,
                                                                            clock):
    fake_psutil(cpu_times=in_turn(START, Times(7900, 3000, 90100, 0), Times(7900.2, 3000, 90100.6, 0.2)))
    processes([process(7, 100.0)], [process(7, 100.2)])
    machine = smon_agent.Machine()
    machine.prime(options)
    assert clock.now == 1000.5
    assert smon_agent.collect_cpu(machine, options, {})["cpu_percent"] == 20.0
    assert smon_agent.collect_processes(machine, options, {})[0]["cpu_percent"] == 40.0


QUOTA = {"cpu.max": "50000 100000\n", "cpu.stat": "usage_usec 4000000\nuser_usec 1\n"}


@pytest.mark.parametrize("used_usec, percent", [(6500000, 50.0), (9900000, 100.0), (3000000, 0.0)])
def test_cpu_of_a_container_is_the_share_of_its_quota(options, container, clock, used_usec, percent):
    machine = smon_agent.Machine()
    container(QUOTA)
    assert smon_agent.collect_cpu(machine, options, {}) == {"cpu_percent": 0.0, "cpu_count": 1}
    container({"cpu.stat": "usage_usec %d\nuser_usec 1\n" % used_usec})
    clock.sleep(10)
    assert smon_agent.collect_cpu(machine, options, {})["cpu_percent"] == percent


@pytest.mark.parametrize("limits, source", [
    ({}, {"cpu": "host", "memory": "host"}), (QUOTA, {"cpu": "cgroup", "memory": "host"}),
    ({"memory.max": "1000000", "memory.current": "9", "memory.stat": ""}, {"cpu": "host", "memory": "cgroup"})])
def test_the_cycle_begins_with_two_readings_and_says_where_they_come_from(
        config, container, fake_psutil, clock, monkeypatch, tmp_path, limits, source):
    container(limits)
    fake_psutil(cpu_times=in_turn(START, Times(7900, 3000, 90100, 0), Times(7901, 3000, 90101, 0)))
    loaded = config(dict.fromkeys(["collect_processes", "collect_disks", "collect_network", "collect_services"], False))
    agent = smon_agent.Agent(loaded, smon_agent.Lock(str(tmp_path)), smon_agent.LogFile())
    payloads = []
    monkeypatch.setattr(agent.spool, "add", lambda sequence, moment, payload: (
        payloads.append(payload), agent.stop.set()))
    agent._cycle_loop()
    [payload] = payloads
    assert payload["agent"]["source"] == source
    assert payload["metrics"]["cpu_percent"] == (50.0 if source["cpu"] == "host" else 0.0)


# memory

def test_memory_is_what_psutil_says(fake_psutil, host, machine, options):
    fake_psutil(virtual_memory=lambda: Memory(16000, 9000, 43.8, 6000, 2000))
    assert smon_agent.collect_memory(machine, options, {}) == {
        "memory_total": 16000, "memory_used": 6000, "memory_free": 9000, "memory_available": 9000,
        "memory_percent": 43.8}


@pytest.mark.parametrize("current, used, available, percent", [
    (700000, 400000, 600000, 40.0), (1400000, 1000000, 0, 100.0), (200000, 0, 1000000, 0.0)])
def test_memory_of_a_container_is_its_share_of_its_limit(fake_psutil, container, machine, options, current, used,
                                                         available, percent):
    fake_psutil(virtual_memory=lambda: Memory(16000000, 9000000, 43.8, 6000000, 2000000))
    container({"memory.max": "1000000\n", "memory.current": "%d\n" % current,
               "memory.stat": "anon 1\ninactive_file 300000\n"})
    assert smon_agent.collect_memory(machine, options, {}) == {
        "memory_total": 1000000, "memory_used": used, "memory_free": available, "memory_available": available,
        "memory_percent": percent}


@pytest.mark.parametrize("there", [True, False], ids=["meminfo", "psutil"])
def test_swap_is_told_with_what_is_used_of_it(fake_psutil, machine, options, monkeypatch, tmp_path, there):
    if there:
        (tmp_path / "meminfo").write_text("MemFree: 1 kB\nSwapTotal:       4000 kB\nSwapFree:        3000 kB\n")
    monkeypatch.setattr(smon_agent, "MEMINFO", str(tmp_path / "meminfo"))
    fake_psutil(swap_memory=lambda: Swap(4096000, 1024000, 3072000, 25.0, 0, 0))
    assert smon_agent.collect_swap(machine, options, {}) == {
        "swap_total": 4096000, "swap_used": 1024000, "swap_percent": 25.0}


# the system

def test_boot_time_and_load_are_the_systems(fake_psutil, kernel, machine, options, monkeypatch):
    kernel({"/proc/uptime": "12345.67 90000.00\n"})
    fake_psutil(boot_time=lambda: 1700000000.0)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.126, 1.5, 12.0), raising=False)
    assert smon_agent.collect_system(machine, options, {}) == {
        "boot_time": "2023-11-14T22:13:20.000Z", "uptime_seconds": 12345, "load_average": [0.13, 1.5, 12.0]}


def test_a_system_without_load_averages_says_so(machine, options, monkeypatch):
    monkeypatch.delattr(os, "getloadavg", raising=False)
    assert smon_agent.collect_system(machine, options, {})["load_average"] is None


@pytest.mark.parametrize("booted, seconds", [(1699999500.5, 1499), (1700002000.0, 0)])
def test_uptime_is_counted_from_boot_where_the_kernel_does_not_tell(fake_psutil, kernel, clock, machine, options,
                                                                    booted, seconds):
    kernel({"/proc/uptime": None})
    fake_psutil(boot_time=lambda: booted)
    assert smon_agent.collect_system(machine, options, {})["uptime_seconds"] == seconds


@pytest.mark.parametrize("named, booted, name", [
    ("5a0c8d1e-1111-4222-8333-444455556666\n", 1700000000.0, "5a0c8d1e-1111-4222-8333-444455556666"),
    (None, 1700000000.0, "boot-28333333"), (None, 1700000001.0, "boot-28333333"),
    ("", 1700000060.0, "boot-28333334")])
def test_a_run_of_the_machine_has_a_name(fake_psutil, kernel, named, booted, name):
    kernel({"/proc/sys/kernel/random/boot_id": named})
    fake_psutil(boot_time=lambda: booted)
    assert smon_agent.boot_id() == name


@pytest.mark.parametrize("release, name", [
    ('NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n', "Debian GNU/Linux 12 (bookworm) m68k"),
    ("ID=alpine\nPRETTY_NAME=Alpine\n", "Alpine m68k"), ("ID=own\n", "FreeBSD 14.0 m68k"), (None, "FreeBSD 14.0 m68k")])
def test_the_system_has_the_name_that_people_know(kernel, monkeypatch, release, name):
    kernel({"/etc/os-release": release})
    for what, answer in (("system", "FreeBSD"), ("release", "14.0"), ("machine", "m68k")):
        monkeypatch.setattr(platform, what, lambda answer=answer: answer)
    assert smon_agent.os_info() == name


@linux_only
def test_the_address_is_the_one_that_the_hub_is_spoken_to_from(config, fake_hub, monkeypatch):
    connect = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda address, timeout=None, source_address=None: connect(
        address, timeout, ("127.0.0.3", 0)))
    loaded = config({"dashboard_url": fake_hub.url})
    hub = smon_agent.Hub(loaded, lambda *_: None)
    hub.follow(loaded.now)
    smon_agent.register(hub, loaded)
    hub.bulk.close()
    assert [request.body["ip_address"] for request in fake_hub.calls("/api/register")] == ["127.0.0.3"]


# disks

@pytest.mark.parametrize("space, used, free, percent", [
    (Space(1000, 600, 300, 66.7), 600, 300, 66.7), (Space(1000, -1, 1001, -0.1), 0, 1001, 0.0),
    (Space(1000, 1100, -100, 110.0), 1100, 0, 100.0)])
def test_a_disk_is_told_with_its_space(fake_psutil, monkeypatch, tmp_path, space, used, free, percent):
    fake_psutil(disk_usage=lambda path: space if path == str(tmp_path) else None)
    monkeypatch.delattr(os, "statvfs", raising=False)
    assert smon_agent.disk_row(Part("/dev/sda1", str(tmp_path), "ext4", "rw")) == {
        "device": "/dev/sda1", "mountpoint": str(tmp_path), "fstype": "ext4", "total": 1000, "used": used,
        "free": free, "percent": percent}


@pytest.fixture
def mounted(fake_psutil, monkeypatch):
    def mounted(parts):
        monkeypatch.setattr(smon_agent, "MOUNTS", "/nowhere/mounts")
        monkeypatch.setattr(smon_agent, "disk_row", lambda part: {"mountpoint": part.mountpoint})
        smon_agent.mounts.cache_clear()
        fake_psutil(disk_partitions=lambda all: [] if all else parts)
    yield mounted
    smon_agent.mounts.cache_clear()


def test_a_disc_in_its_drive_is_no_disk(machine, options, mounted):
    mounted([Part("D:\\", "D:\\", "CDFS", "ro,cdrom"), Part("C:\\", "C:\\", "NTFS", "rw,fixed")])
    assert smon_agent.collect_disks(machine, options, {}) == {"disks": [{"mountpoint": "C:\\"}]}


def test_a_sample_has_no_more_than_a_hub_takes(machine, options, mounted, monkeypatch):
    mounted([Part("/dev/sd%d" % number, "/mnt/%03d" % number, "ext4", "rw") for number in range(300)])
    rows = [{"service_name": "s%d" % number} for number in range(2100)]
    monkeypatch.setattr(smon_agent, "SERVICE_SOURCES", [(lambda: True, lambda machine, listed: rows)])
    sample, errors = machine.collect(options, [row for row in smon_agent.COLLECTORS
                                               if row.name in ("disks", "services")])
    assert (sample["metrics"]["disks"], sample["services"], errors) == (
        [{"mountpoint": "/mnt/%03d" % number} for number in range(256)], rows[:2000], {})


# traffic

def test_network_figures_are_sums_over_all_interfaces(fake_psutil, machine, options, clock):
    readings = in_turn({"eth0": Link(1000, 200, 30, 4, 9, 9, 9, 9), "lo": Link(10, 20, 30, 40, 9, 9, 9, 9)},
                       {"eth0": Link(2000, 700, 80, 9, 9, 9, 9, 9), "lo": Link(11, 22, 33, 44, 9, 9, 9, 9)})
    asked = []
    fake_psutil(net_io_counters=lambda **how: asked.append(how) or readings())
    assert smon_agent.collect_network(machine, options, {}) == {
        "network": {"bytes_sent": 1010, "bytes_recv": 220, "packets_sent": 60, "packets_recv": 44},
        "network_rate": {"bytes_sent_per_sec": None, "bytes_recv_per_sec": None, "packets_sent_per_sec": None,
                         "packets_recv_per_sec": None}}
    clock.sleep(10)
    assert smon_agent.collect_network(machine, options, {}) == {
        "network": {"bytes_sent": 2011, "bytes_recv": 722, "packets_sent": 113, "packets_recv": 53},
        "network_rate": {"bytes_sent_per_sec": 100.1, "bytes_recv_per_sec": 50.2, "packets_sent_per_sec": 5.3,
                         "packets_recv_per_sec": 0.9}}
    assert asked == [{"pernic": True, "nowrap": False}] * 2


DISKSTATS = "   8       0 sda %d 1 %d 5 %d 2 %d 9 0 11 14\n"  # reads, sectors read, writes, sectors written


@pytest.mark.parametrize("there", [True, False], ids=["diskstats", "psutil"])
def test_disk_traffic_is_told_read_and_written(fake_psutil, machine, options, clock, monkeypatch, tmp_path, there):
    readings, asked = in_turn(Traffic(10, 20, 102400, 204800), Traffic(110, 320, 614400, 307200)), []
    fake_psutil(disk_io_counters=lambda **how: asked.append(how) or readings())
    monkeypatch.setattr(smon_agent, "DISKSTATS", str(tmp_path / "diskstats"))
    monkeypatch.setattr(smon_agent, "disks_among", lambda names: names)
    for counters in ((10, 200, 20, 400), (110, 1200, 320, 600)):
        if there:
            (tmp_path / "diskstats").write_text(DISKSTATS % counters)
        clock.sleep(10)
        found = smon_agent.collect_disk_io(machine, options, {})
    assert found == {"disk_io_rate": {"read_bytes_per_sec": 51200.0, "write_bytes_per_sec": 10240.0,
                                      "read_count_per_sec": 10.0, "write_count_per_sec": 30.0}}
    assert asked == ([] if there else [{"perdisk": False, "nowrap": False}] * 2)


# processes

def test_processes_stand_in_the_order_of_their_cpu_and_then_of_their_memory(machine, options, processes, clock):
    sizes = {1: 900 << 20, 2: 10 << 20, 3: 500 << 20, 4: 800 << 20}
    processes([process(pid, 50.0, size) for pid, size in sizes.items()],
              [process(pid, 50.0 + {1: 0, 2: 5, 3: 1, 4: 1}[pid], size) for pid, size in sizes.items()])
    smon_agent.collect_processes(machine, options, {})
    clock.sleep(10)
    rows = smon_agent.collect_processes(machine, options, {})
    assert [(row["pid"], row["cpu_percent"], row["memory_mb"]) for row in rows] == [
        (2, 50.0, 10.0), (4, 10.0, 800.0), (3, 10.0, 500.0), (1, 0.0, 900.0)]


class Told:
    """Two processes as psutil has them on a system without /proc; one hides its figures."""

    FIGURES = {7: {"create_time": 5.0, "cpu_times": Spent(3.0, 2.0), "memory_info": Held(512 << 20, 9)},
               8: {"create_time": 6.0, "cpu_times": None, "memory_info": None}}

    def __init__(self, pid):
        self.pid, self.info = pid, self.FIGURES[pid]

    def as_dict(self, names, ad_value):
        known = {7: {"name": "work.exe", "status": "running", "username": "SYSTEM"}}
        return {name: known.get(self.pid, {}).get(name, ad_value) for name in names}


def test_other_systems_have_their_processes_from_psutil(fake_psutil, options, monkeypatch, clock):
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: not str(path).startswith("/proc/") and exists(path))
    fake_psutil(Process=Told, process_iter=lambda names: [Told(7), Told(8)])
    machine = smon_agent.Machine()
    machine.memory_total = 2048 << 20
    machine.processes, machine.processes_at = {1: process(1, 0.0)}, 990.0
    assert smon_agent.collect_processes(machine, options, {}) == [
        {"pid": 7, "name": "work.exe", "cpu_percent": 50.0, "memory_percent": 25.0, "memory_mb": 512.0,
         "status": "running", "username": "SYSTEM"},
        {"pid": 8, "name": "", "cpu_percent": 0.0, "memory_percent": 0.0, "memory_mb": 0.0, "status": "unknown",
         "username": None}]
