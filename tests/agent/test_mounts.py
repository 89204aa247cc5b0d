"""Which mounts are reported, and what a container's own limits mean for near-live samples."""

from __future__ import annotations

from collections import namedtuple

import pytest

import smon_agent

Part = namedtuple("Part", "device mountpoint fstype opts")
ROOT_DISK, USB = Part("/dev/sda1", "/", "ext4", "rw"), Part("/dev/sdb1", "/mnt/usb1", "vfat", "rw")
NAS = Part("nas:/x", "/mnt/nas", "nfs4", "rw")


@pytest.fixture
def reported(machine, options, fake_psutil, monkeypatch, tmp_path):
    """(mount points, errors) of a sample among these mounts: reported([local], [others], skip_mounts=[...])."""
    monkeypatch.setattr(smon_agent, "MOUNTS", str(tmp_path / "none"))
    monkeypatch.setattr(smon_agent, "disk_row", lambda part: {"mountpoint": part.mountpoint})
    disks = [row for row in smon_agent.COLLECTORS if row.name == "disks"]

    def look(local, others=(), **chosen):
        smon_agent.mounts.cache_clear()
        fake_psutil(disk_partitions=lambda all: local + list(others) if all else local)
        vars(options).update(chosen)
        sample, errors = machine.collect(options, disks)
        return [row["mountpoint"] for row in sample["metrics"]["disks"]], errors
    yield look
    smon_agent.mounts.cache_clear()


def test_a_disk_that_is_left_out_does_not_come_back_through_another_mount(reported):
    again = [ROOT_DISK, Part("/dev/sda1", "/var/tmp", "ext4", "rw"), USB]
    assert reported(again, skip_mounts=["/"])[0] == ["/mnt/usb1"]


@pytest.mark.parametrize("listed", ["/mnt/nas", "/mnt/nas/", "/mnt//nas"])
def test_a_listed_mount_is_found_however_it_is_written(reported, listed):
    assert reported([ROOT_DISK], [NAS], include_mounts=[listed]) == (["/", "/mnt/nas"], {})


def test_a_listed_mount_that_is_not_there_is_said(reported):
    assert reported([ROOT_DISK], include_mounts=["/mnt/nas", "/"]) == (
        ["/"], {"disk /mnt/nas": "It is not mounted."})


def test_near_live_samples_know_the_limits_of_a_container(monkeypatch, tmp_path):
    monkeypatch.setattr(smon_agent, "CGROUP", str(tmp_path))
    used = {"cpu.max": "50000 100000\n", "cpu.stat": "usage_usec 4000000\n", "memory.max": "1000000\n",
            "memory.current": "700000\n", "memory.stat": "anon 1\ninactive_file 200000\n"}
    for name, content in used.items():
        (tmp_path / name).write_text(content)
    live = smon_agent.Live()
    live.sample(30)
    (tmp_path / "cpu.stat").write_text("usage_usec 9000000000\n")
    sample = live.sample(30)
    assert (sample["cpu_percent"], sample["memory_percent"]) == (100.0, 50.0)
    assert (sample["memory_used"], sample["memory_available"]) == (500000, 500000)


def test_a_listed_mount_stands_beside_the_first_of_its_disk(reported):
    disk = [ROOT_DISK] + [Part("/dev/sda1", path, "btrfs", "rw") for path in ("/home", "/srv/backup", "/opt")]
    assert reported(disk, include_mounts=["/srv/backup", "/home"])[0] == ["/", "/home", "/srv/backup"]
    assert reported(disk, include_mounts=["/home"], skip_mounts=["/"])[0] == ["/home"]


def test_a_listed_mount_is_shown_though_another_of_its_disk_is_left_out(reported):
    backup = [ROOT_DISK, Part("/dev/sdb1", "/mnt/b", "ext4", "rw"), Part("/dev/sdb1", "/srv/backup", "ext4", "rw")]
    assert reported(backup)[0] == ["/", "/mnt/b"]
    assert reported(backup, include_mounts=["/srv/backup"], skip_mounts=["/mnt/*"]) == (["/", "/srv/backup"], {})


def test_the_files_that_a_container_mounts_do_not_hide_its_disk(reported, monkeypatch):
    monkeypatch.setattr(smon_agent.os.path, "isfile", lambda path: path == "/etc/hosts")
    assert reported([Part("/dev/sdb1", "/etc/hosts", "ext4", "rw"), Part("/dev/sdb1", "/var/lib/data", "ext4", "rw")],
                    [Part("overlay", "/", "overlay", "rw")])[0] == ["/", "/var/lib/data"]


def test_the_first_near_live_sample_under_a_quota_is_a_reading(monkeypatch, tmp_path):
    monkeypatch.setattr(smon_agent, "CGROUP", str(tmp_path))
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 4000000\n")
    live = smon_agent.Live()
    (tmp_path / "cpu.stat").write_text("usage_usec 9000000000\n")
    assert live.sample(30)["cpu_percent"] == 100.0
