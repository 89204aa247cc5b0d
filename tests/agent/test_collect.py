"""The figures of this machine and of odd ones. Windows and macOS are played by recorded answers of psutil."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import namedtuple

import psutil
import pytest

import smon_agent

Part = namedtuple("Part", "device mountpoint fstype opts")
Times = namedtuple("Times", "user system idle iowait guest")

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def test_a_sample_has_every_figure_of_the_contract(machine, options):
    machine.prime(options)
    sample, errors = machine.collect(options)
    assert set(errors) <= {"services"}
    assert set(sample["metrics"]) == {
        "cpu_percent", "cpu_count", "memory_total", "memory_used", "memory_free", "memory_available", "memory_percent",
        "swap_total", "swap_used", "swap_percent", "boot_time", "uptime_seconds", "load_average", "disks", "network",
        "network_rate", "disk_io_rate"}
    assert set(sample["processes"][0]) == {"pid", "name", "cpu_percent", "memory_percent", "memory_mb", "status",
                                           "username"}


def test_the_figures_are_those_of_psutil(machine, options):
    metrics = machine.collect(options)[0]["metrics"]
    assert metrics["cpu_count"] == psutil.cpu_count()
    assert metrics["swap_total"] == psutil.swap_memory().total
    assert abs(metrics["uptime_seconds"] - (smon_agent.time.time() - psutil.boot_time())) < 5
    if machine.source["memory"] == "host":
        assert metrics["memory_total"] == psutil.virtual_memory().total
    for disk in metrics["disks"]:
        assert disk["total"] == psutil.disk_usage(disk["mountpoint"]).total


@pytest.mark.parametrize("before, after, percent", [
    (Times(0, 0, 0, 0, 0), Times(30, 20, 40, 10, 0), 50.0),
    (Times(0, 0, 0, 0, 0), Times(60, 0, 40, 0, 60), 60.0),   # guest time stands in user time as well
    (Times(0, 0, 100, 50, 0), Times(10, 0, 190, 20, 0), 10.0),  # iowait may fall
    (Times(9, 9, 9, 9, 9), Times(9, 9, 9, 9, 9), 0.0),
    (Times(9, 9, 9, 9, 9), Times(0, 0, 0, 0, 0), 0.0),
])
def test_busy_time_is_neither_idle_nor_waiting(before, after, percent):
    assert smon_agent.busy_percent(before, after) == percent


@linux_only
@pytest.mark.parametrize("program", ["short", "a-name-longer-than-the-kernel-keeps"])
def test_both_looks_at_a_process_agree(tmp_path, program):
    resting = "import sys; print(1, flush=True); sys.stdin.read()"
    os.symlink(os.path.realpath(sys.executable), tmp_path / program)
    with subprocess.Popen([str(tmp_path / program), "-c", resting], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env={"PYTHONHOME": sys.base_prefix}) as child:
        child.stdout.readline()
        while psutil.Process(child.pid).status() != psutil.STATUS_SLEEPING:
            threading.Event().wait(0.01)
        cheap = {row.pid: row for row in smon_agent.StatFiles().scan()}
        full = {row.pid: row for row in smon_agent.scan_psutil()}
        assert {os.getpid(), child.pid, 1} <= set(cheap) & set(full)
        quick, slow = cheap[child.pid], full[child.pid]
        assert quick.cpu_seconds == pytest.approx(slow.cpu_seconds)
        assert quick.rss == pytest.approx(slow.rss, rel=0.1)  # the kernel rounds the two files differently
        facts = smon_agent.facts_linux(quick)
        assert facts == smon_agent.facts_psutil(slow) == (program, "sleeping", psutil.Process().username())
        child.stdin.close()
    row = smon_agent.process_row(slow, 12.34, 1 << 30, *facts)
    assert row == {"pid": child.pid, "name": program, "cpu_percent": 12.3, "status": "sleeping",
                   "memory_percent": round(100 * slow.rss / (1 << 30), 2), "memory_mb": round(slow.rss / 1048576, 1),
                   "username": psutil.Process().username()}


@linux_only
def test_the_states_of_processes_have_psutils_words():
    words = {letter.encode(): word for letter, word in psutil._pslinux.PROC_STATUSES.items()}
    assert {letter: smon_agent.STATES.get(letter) for letter in words} == words


@linux_only
@pytest.mark.parametrize("line, name", [
    (b"/usr/bin/gnome-keyring-daemon\0--login\0", "gnome-keyring-daemon"), (b"", "gnome-keyring-d"),
    (b"/usr/bin/gnome-keyring-daemon --secret /x", "gnome-keyring-daemon"), (b"/bin/sh\0", "gnome-keyring-d")])
def test_a_long_name_is_taken_from_the_command_line_and_nothing_else_of_it(tmp_path, line, name):
    (tmp_path / "cmdline").write_bytes(line)
    assert smon_agent.full_name(b"gnome-keyring-d", str(tmp_path)) == name


def test_the_share_of_memory_is_of_the_whole_machine(machine, options, fake_psutil):
    """The total is that of this cycle's memory figures, or asked for where those failed."""
    whole = smon_agent.collect_processes(machine, options, {})
    total, memory = psutil.virtual_memory().total, psutil.virtual_memory()
    row = max(whole, key=lambda row: row["memory_mb"])
    assert row["memory_percent"] == pytest.approx(100 * row["memory_mb"] * 2 ** 20 / total, abs=0.02)
    fake_psutil(virtual_memory=lambda: memory._replace(total=total * 2))
    smon_agent.collect_memory(machine, options, {})
    row = max(smon_agent.collect_processes(machine, options, {}), key=lambda row: row["memory_mb"])
    assert row["memory_percent"] == pytest.approx(50 * row["memory_mb"] * 2 ** 20 / total, abs=0.02)


@linux_only
def test_a_user_without_a_name_is_shown_by_number():
    assert smon_agent.user_name(3987654321) == "3987654321"


def test_a_process_name_with_brackets_and_blanks_is_read_right():
    line = b"77 (a) R 1) (b) S " + b" ".join(str(number).encode() for number in range(4, 52))
    assert smon_agent.parse_stat(line, 0.01, 4096) == (77, 22, (14 + 15) * 0.01, 24 * 4096, b"a) R 1) (b", b"S")


def rows_of(*figures):
    rows = [smon_agent.Seen(pid, 0, 0.0, rss) for pid, _, rss in figures]
    return rows, {pid: cpu for pid, cpu, _ in figures}


def test_the_top_is_filled_in_turn_from_both_lists():
    rows, cpu = rows_of((1, 90, 10), (2, 80, 500), (3, 70, 20), (4, 0, 900), (5, 0, 800))
    assert [row.pid for row in smon_agent.pick(rows, cpu, 3)] == [1, 4, 2]
    assert [row.pid for row in smon_agent.pick(rows, cpu, 5)] == [1, 4, 2, 5, 3]
    assert smon_agent.pick(rows, cpu, 0) == []


def test_an_idle_machine_shows_its_large_processes():
    rows, cpu = rows_of((1, 0, 0), (2, 0, 0), (3, 0, 900), (4, 0, 800))
    assert {row.pid for row in smon_agent.pick(rows, cpu, 2)} == {3, 4}


@pytest.mark.parametrize("before, percent", [
    ({}, 0.0),                                     # the first look has nothing to compare with
    ({7: smon_agent.Seen(7, 1, 2.0, 0)}, 30.0),    # 3 of 10 seconds
    ({7: smon_agent.Seen(7, 999, 4.0, 0)}, 50.0),  # another process had that id
    ({8: smon_agent.Seen(8, 1, 2.0, 0)}, 50.0),    # it began since the last look
])
def test_cpu_of_a_process_is_counted_since_the_last_cycle(before, percent):
    assert smon_agent.cpu_share(smon_agent.Seen(7, 1, 5.0, 0), before, 10.0) == pytest.approx(percent)


FACTS = [pytest.param(smon_agent.facts_linux, marks=linux_only), smon_agent.facts_psutil]


@pytest.mark.parametrize("facts", FACTS)
def test_a_process_that_ended_between_the_looks_is_left_out(machine, options, monkeypatch, facts):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    ended = smon_agent.Seen(child.pid, 0, 0.0, 0, b"ended-long-before", b"S")
    assert facts(ended) is None
    monkeypatch.setattr(smon_agent, "process_source", lambda machine: (lambda: [ended], facts))
    assert smon_agent.collect_processes(machine, options, {}) == []


@pytest.mark.parametrize("facts", FACTS)
def test_a_process_that_hides_its_owner_is_shown_without(monkeypatch, facts):
    def denied(*_):
        raise psutil.AccessDenied(os.getpid()) if facts is smon_agent.facts_psutil else PermissionError(13, "Denied")
    seen = smon_agent.Seen(os.getpid(), 0, 0.0, 0, b"agent", b"R")
    monkeypatch.setattr(psutil.Process, "username", denied)
    monkeypatch.setattr(smon_agent, "user_name", denied)
    row = smon_agent.process_row(seen, 0.0, 1 << 30, *facts(seen))
    assert (row["username"], row["pid"], bool(row["name"])) == (None, os.getpid(), True)


def test_a_name_from_the_machine_is_cleaned():
    assert smon_agent.clean("caf\udce9 \x1b[0m\nx") == "caf? \ufffd[0m\ufffdx"
    assert len(smon_agent.clean("x" * 5000)) == 256


# one subject must not cost the sample

def with_collector(monkeypatch, collect):
    row = smon_agent.Collector("swap", "metrics", None, collect)
    monkeypatch.setattr(smon_agent, "COLLECTORS", tuple(row if old.name == "swap" else old
                                                        for old in smon_agent.COLLECTORS))


def test_a_collector_that_fails_is_said_and_spares_the_rest(machine, options, monkeypatch):
    with_collector(monkeypatch, lambda *_: 1 / 0)
    sample, errors = machine.collect(options)
    assert errors["swap"] == "division by zero"
    assert "memory_total" in sample["metrics"] and "swap_total" not in sample["metrics"]


def test_a_collector_that_hangs_is_said_and_not_called_again_until_it_is_back(machine, options, monkeypatch):
    release, calls = threading.Event(), []
    monkeypatch.setattr(smon_agent, "COLLECTOR_SECONDS", 0.2)
    with_collector(monkeypatch, lambda *_: calls.append(1) or release.wait(30) and {"swap_total": 1})
    assert machine.collect(options)[1]["swap"] == "no answer within 0.2 seconds"
    assert machine.collect(options)[1]["swap"].startswith("stuck since 20")
    assert len(calls) == 1
    release.set()
    threading.Event().wait(0.1)
    sample, errors = machine.collect(options)
    assert ("swap" in errors, sample["metrics"]["swap_total"], len(calls)) == (False, 1, 2)


def test_the_two_figures_that_a_hub_requires_are_always_there(machine, options, fake_psutil):
    machine.collect(options)

    def broken(*_, **__):
        raise OSError(5, "Input/output error")
    fake_psutil(cpu_times=broken, virtual_memory=broken)
    sample, errors = machine.collect(options)
    assert errors["cpu"] == errors["memory"] == "Input/output error"
    assert sample["metrics"]["memory_percent"] > 0 and "cpu_percent" in sample["metrics"]


def test_what_is_switched_off_is_not_looked_at(machine, options):
    vars(options).update(collect_processes=False, collect_disks=False, collect_network=False, collect_services=False)
    sample, errors = machine.collect(options)
    assert not {"disks", "network", "disk_io_rate"} & set(sample["metrics"])
    assert (sample["processes"], sample["services"], errors) == ([], [], {})


def test_a_machine_without_disks_or_interfaces_has_a_sample(machine, options, fake_psutil, monkeypatch):
    monkeypatch.setattr(smon_agent, "DISKSTATS", "/nowhere/diskstats")
    monkeypatch.setattr(smon_agent, "MOUNTS", "/nowhere/mounts")
    fake_psutil(disk_io_counters=lambda **_: None, net_io_counters=lambda **_: {}, disk_partitions=lambda all: [])
    sample, errors = machine.collect(options)
    assert sample["metrics"]["disks"] == [] and sample["metrics"]["network"] == {}
    assert sample["metrics"]["disk_io_rate"]["read_bytes_per_sec"] is None
    assert set(errors) <= {"services"}


# disks

@pytest.fixture
def partitions(fake_psutil, monkeypatch, tmp_path):
    """What is mounted, with a table of the kernel's that says no more than how often that changed."""
    monkeypatch.setattr(smon_agent, "MOUNTS", str(tmp_path / "mounts"))
    monkeypatch.setattr(smon_agent, "disk_row", lambda part: {"mountpoint": part.mountpoint})

    def mounted(local, everything=()):
        with open(tmp_path / "mounts", "a", encoding="ascii") as table:
            table.write("changed\n")
        smon_agent.mounts.cache_clear()
        fake_psutil(disk_partitions=lambda all: list(everything) if all else local)
    yield mounted
    smon_agent.mounts.cache_clear()


def mountpoints(machine, options, errors=None):
    return [row["mountpoint"] for row in smon_agent.collect_disks(machine, options, {} if errors is None else errors)[
        "disks"]]


def test_a_device_counts_once_however_often_it_is_mounted(machine, options, partitions):
    partitions([Part("/dev/sda1", "/var/tmp", "ext4", "rw"), Part("/dev/sda1", "/", "ext4", "rw"),
                Part("/dev/sdb1", "/data", "xfs", "rw"), Part("/dev/loop3", "/snap/x/1", "squashfs", "ro"),
                Part("tank/a", "/tank/a", "zfs", "rw"), Part("tank/b", "/tank/b", "zfs", "rw")])
    assert mountpoints(machine, options) == ["/", "/data", "/tank/a", "/tank/b"]


def test_mounts_can_be_left_out_and_network_mounts_listed(machine, options, partitions):
    local = [Part("/dev/sda1", "/", "ext4", "rw"), Part("/dev/sdb1", "/mnt/usb1", "vfat", "rw")]
    partitions(local, local + [Part("nas:/x", "/mnt/nas", "nfs4", "rw"), Part("nas:/y", "/mnt/other", "nfs4", "rw")])
    vars(options).update(skip_mounts=["/mnt/usb*"], include_mounts=["/mnt/nas"])
    assert mountpoints(machine, options) == ["/", "/mnt/nas"]


def test_the_root_of_a_container_is_shown_though_it_is_no_device(machine, options, partitions):
    local = [Part("/dev/sda1", "/etc/hosts", "ext4", "rw")]
    partitions(local, local + [Part("overlay", "/", "overlay", "rw"), Part("proc", "/proc", "proc", "rw")])
    assert mountpoints(machine, options)[0] == "/"


def test_mounts_are_sorted_out_again_only_when_the_kernels_table_is_another(machine, options, partitions, fake_psutil,
                                                                            tmp_path):
    partitions([Part("/dev/sda1", "/", "ext4", "rw")])
    assert mountpoints(machine, options) == ["/"]
    fake_psutil(disk_partitions=lambda all: [Part("/dev/sda1", "/", "ext4", "rw"), Part("/dev/b", "/b", "ext4", "rw")])
    assert mountpoints(machine, options) == ["/"]
    (tmp_path / "mounts").write_text("another")
    assert mountpoints(machine, options) == ["/", "/b"]
    options.skip_mounts = ["/b"]
    assert mountpoints(machine, options) == ["/"]


def test_without_a_table_of_the_kernels_mounts_are_sorted_out_each_time(machine, options, partitions, tmp_path,
                                                                        fake_psutil):
    partitions([Part("/dev/sda1", "/", "ext4", "rw")])
    (tmp_path / "mounts").unlink()
    assert mountpoints(machine, options) == ["/"]
    fake_psutil(disk_partitions=lambda all: [Part("/dev/sda1", "/", "ext4", "rw"), Part("/dev/b", "/b", "ext4", "rw")])
    assert mountpoints(machine, options) == ["/", "/b"]


def test_a_dead_mount_is_one_sentence_and_spares_the_others(machine, options, partitions, monkeypatch):
    release, calls, errors = threading.Event(), [], {}
    partitions([Part("/dev/sda1", "/", "ext4", "rw"), Part("/dev/sdb1", "/dead", "ext4", "rw")])
    monkeypatch.setattr(smon_agent, "MOUNT_SECONDS", 0.2)
    monkeypatch.setattr(smon_agent, "disk_row", lambda part: calls.append(part.mountpoint) or (
        release.wait(20) if part.mountpoint == "/dead" else {"mountpoint": part.mountpoint}))
    assert mountpoints(machine, options, errors) == ["/"]
    assert errors == {"disk /dead": "no answer within 0.2 seconds"}
    mountpoints(machine, options, errors)
    release.set()
    assert errors["disk /dead"].startswith("stuck since ") and calls.count("/dead") == 1


def test_many_dead_mounts_do_not_cost_the_living_ones(machine, options, partitions, monkeypatch):
    release, errors = threading.Event(), {}
    partitions([Part("/dev/sd%d" % number, "/dead%d" % number, "ext4", "rw") for number in range(9)]
               + [Part("/dev/sdz", "/living/one", "ext4", "rw")], [Part("/dev/root", "/", "ext4", "rw")])
    monkeypatch.setattr(smon_agent, "MOUNT_SECONDS", 0.1)
    monkeypatch.setattr(smon_agent, "MOUNTS_SECONDS", 0.35)
    monkeypatch.setattr(smon_agent, "disk_row", lambda part: "dead" in part.mountpoint and release.wait(20) or {
        "mountpoint": part.mountpoint})
    assert mountpoints(machine, options, errors) == ["/"]
    assert "not looked at, the others took too long" in errors.values()
    for _ in range(9):
        found = mountpoints(machine, options, {})
    release.set()
    assert found == ["/", "/living/one"]


def test_the_mounts_end_before_the_collector_is_given_up():
    assert smon_agent.MOUNTS_SECONDS + smon_agent.MOUNT_SECONDS < smon_agent.COLLECTOR_SECONDS


@pytest.mark.skipif(not hasattr(os, "statvfs"), reason="there are no inodes here")
@pytest.mark.parametrize("total, free, percent", [(1000, 250, 75.0), (0, 0, None)])
def test_a_disk_tells_how_many_of_its_inodes_are_taken(tmp_path, monkeypatch, total, free, percent):
    counted = namedtuple("Counted", "f_files f_ffree")
    space = namedtuple("Space", "total used free percent")
    monkeypatch.setattr(psutil, "disk_usage", lambda path: space(100, 60, 40, 60.0))
    monkeypatch.setattr(os, "statvfs", lambda path: counted(total, free))
    row = smon_agent.disk_row(Part("/dev/sda1", str(tmp_path), "ext4", "rw"))
    assert (row.get("inodes_percent"), row["percent"], row["total"]) == (percent, 60.0, 100)


def test_a_single_mounted_file_is_no_disk(tmp_path):
    (tmp_path / "hosts").write_text("")
    assert smon_agent.disk_row(Part("/dev/sda1", str(tmp_path / "hosts"), "ext4", "rw")) is None


DISKSTATS = """\
   7       0 loop0 90 0 90 0 90 0 90 0 0 0 0
   8       0 sda 10 1 200 5 20 2 400 9 0 11 14 3 0 48 2 1 1
   8       1 sda1 10 1 200 5 20 2 400 9 0 11 14 3 0 48 2 1 1
 104       0 cciss/c0d0 1 0 8 0 2 0 16 0 0 0 0
 253       0 dm-0 10 0 200 5 20 0 400 9 0 11 14
"""


@pytest.fixture
def block(tmp_path, monkeypatch):
    """A kernel with these whole disks; those with a * are devices: block("sda*", "dm-0")."""
    def made(*names):
        for name in names:
            (tmp_path / "block" / name.strip("*") / ("device" if "*" in name else "")).mkdir(parents=True)
        (tmp_path / "diskstats").write_text(DISKSTATS)
        monkeypatch.setattr(smon_agent, "BLOCK", str(tmp_path / "block"))
        monkeypatch.setattr(smon_agent, "DISKSTATS", str(tmp_path / "diskstats"))
        smon_agent.disks_among.cache_clear()
    yield made
    smon_agent.disks_among.cache_clear()


def test_no_byte_is_counted_again_for_a_partition_or_a_volume(block):
    block("loop0", "sda*", "cciss!c0d0*", "dm-0")
    assert smon_agent.disk_counters_linux() == {"sda": (102400, 204800, 10, 20), "cciss/c0d0": (4096, 8192, 1, 2)}


def test_a_machine_whose_disks_are_no_devices_shows_what_there_is(block):
    block("loop0", "dm-0")
    assert smon_agent.disk_counters_linux() == {"loop0": (46080, 46080, 90, 90), "dm-0": (102400, 204800, 10, 20)}


def test_a_disk_that_is_plugged_in_is_counted_from_then_on(block, monkeypatch, tmp_path):
    block("sda*", "cciss!c0d0*")
    without = [line for line in DISKSTATS.splitlines() if "cciss" not in line]
    (tmp_path / "diskstats").write_text("\n".join(without))
    assert set(smon_agent.disk_counters_linux()) == {"sda"}
    (tmp_path / "diskstats").write_text(DISKSTATS)
    assert set(smon_agent.disk_counters_linux()) == {"sda", "cciss/c0d0"}


def test_other_systems_have_their_disks_from_psutil(machine, monkeypatch, fake_psutil):
    counted = namedtuple("Counted", "read_count write_count read_bytes write_bytes")
    monkeypatch.setattr(smon_agent, "DISKSTATS", "/nowhere/diskstats")
    monkeypatch.setattr(machine.disk_io, "take", lambda counters, names: counters)
    fake_psutil(disk_io_counters=lambda perdisk, nowrap: counted(1, 2, 300, 400))
    assert smon_agent.collect_disk_io(machine, None, {}) == {"disk_io_rate": {"all": (300, 400, 1, 2)}}
    fake_psutil(disk_io_counters=lambda perdisk, nowrap: None)
    assert smon_agent.collect_disk_io(machine, None, {}) == {"disk_io_rate": {}}


@pytest.mark.parametrize("text, space", [
    ("MemTotal: 9 kB\nSwapCached: 5 kB\nSwapTotal: 4000 kB\nSwapFree: 3000 kB\n", (4096000, 1024000, 25.0)),
    ("SwapTotal: 0 kB\nSwapFree: 0 kB\n", (0, 0, 0.0)), ("MemTotal: 9 kB\n", (0, 0, 0.0))])
def test_swap_is_what_the_kernel_says(text, space):
    assert smon_agent.swap_linux(text) == space


def test_both_ways_to_swap_agree(monkeypatch):
    total = psutil.swap_memory().total
    assert smon_agent.collect_swap(None, None, {})["swap_total"] == total
    monkeypatch.setattr(smon_agent, "MEMINFO", "/nowhere/meminfo")
    assert smon_agent.collect_swap(None, None, {})["swap_total"] == total


def test_the_cores_together_are_the_machine(fake_psutil):
    readings = iter([[Times(0, 0, 100, 0, 0), Times(0, 0, 200, 0, 0)],
                     [Times(80, 0, 120, 0, 0), Times(0, 0, 300, 0, 0)]])
    fake_psutil(cpu_times=lambda percpu=False: next(readings) if percpu else Times(0, 0, 0, 0, 0))
    found = smon_agent.Live()._cpu()
    assert (found["cpu_percent"], found["cpu_per_core"]) == (40, [80, 0])


def test_a_machine_with_many_dead_mounts_sends_a_sample_that_a_hub_takes(machine, options, monkeypatch, fake_psutil):
    """What fails as a whole is said before single disks."""
    def broken(*_, **__):
        raise OSError(5, "Input/output error")
    fake_psutil(net_io_counters=broken)
    with_collector(monkeypatch, lambda machine, options, errors: errors.update(
        {"disk /mnt/%d" % number: "no answer" for number in range(500)}) or {})
    errors = machine.collect(options)[1]
    assert len(errors) == smon_agent.ERRORS_MAX and errors["network"] == "Input/output error"


# containers

@pytest.fixture
def cgroup(tmp_path, monkeypatch):
    monkeypatch.setattr(smon_agent, "CGROUP", str(tmp_path))

    def files(**contents):
        for name, text in contents.items():
            path = tmp_path / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    return files


def test_a_container_shows_its_own_limits(machine, options, cgroup):
    cgroup(cpu_DOT_max="50000 100000\n", cpu_DOT_stat="usage_usec 4000000\nuser_usec 1\n", memory_DOT_max="1000000\n",
           memory_DOT_current="700000\n", memory_DOT_stat="anon 1\ninactive_file 200000\n")
    assert smon_agent.cgroup_cpu() == (0.5, 4.0)
    metrics = machine.collect(options)[0]["metrics"]
    assert machine.source == {"cpu": "cgroup", "memory": "cgroup"}
    assert (metrics["memory_total"], metrics["memory_used"], metrics["memory_percent"]) == (1000000, 500000, 50.0)
    assert metrics["cpu_count"] == 1
    assert smon_agent.quota_percent((4.0, 100.0), (4.4, 101.0), 0.5) == 80.0


def test_an_old_container_shows_its_own_limits(cgroup):
    cgroup(cpu__cpu_DOT_cfs_quota_us="200000\n", cpu__cpu_DOT_cfs_period_us="100000\n",
           cpuacct__cpuacct_DOT_usage="3000000000\n", memory__memory_DOT_limit_in_bytes="4096\n",
           memory__memory_DOT_usage_in_bytes="1024\n", memory__memory_DOT_stat="total_inactive_file 24\n")
    assert smon_agent.cgroup_cpu() == (2.0, 3.0)
    assert smon_agent.cgroup_memory(8192) == (4096, 1000)


def test_a_machine_without_limits_shows_the_hosts_figures(machine, options, cgroup):
    cgroup(cpu_DOT_max="max 100000\n", cpu_DOT_stat="usage_usec 1\n", memory__memory_DOT_limit_in_bytes=str(2 ** 63),
           memory__memory_DOT_usage_in_bytes="1", memory__memory_DOT_stat="")
    machine.collect(options)
    assert machine.source == {"cpu": "host", "memory": "host"}


# live samples

LIVE_FIELDS = {"cpu_percent", "cpu_per_core", "cpu_freq_mhz", "memory_percent", "memory_used", "memory_available",
               "swap_percent", "swap_used", "network_rate", "disk_io_rate", "process_count", "thread_count",
               "handle_count", "collected_at", "retention_minutes"}


@linux_only
def test_a_live_sample_has_every_field_and_starts_no_program(monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a live sample must not fork"))
    live = smon_agent.Live()
    live.sample(30)
    sample = live.sample(30)
    assert set(sample) == LIVE_FIELDS
    assert len(sample["cpu_per_core"]) == psutil.cpu_count()
    assert sample["thread_count"] >= sample["process_count"] > 1 and sample["handle_count"] > 0
    assert all(rate is not None and rate >= 0 for rate in sample["network_rate"].values())


def test_a_live_sample_lacks_only_what_fails(monkeypatch):
    live = smon_agent.Live()

    def broken(*_):
        raise OSError(2, "No such file or directory")
    monkeypatch.setattr(smon_agent, "swap_linux", broken)
    monkeypatch.setattr(psutil, "swap_memory", broken)
    assert set(live.sample(30)) == LIVE_FIELDS - {"swap_percent", "swap_used"}


def test_other_systems_count_threads_only_while_that_is_quick(monkeypatch):
    assert smon_agent.counts_psutil(each=False)["thread_count"] is None
    counts = smon_agent.counts_psutil(each=True)
    assert counts["process_count"] > 1 and counts["thread_count"] >= counts["process_count"] - 50
