"""Machines that do not exist, with days that look like real ones: office hours, nightly jobs, disks that fill, trouble.

Each machine goes forward in time: its counters only grow, its noise has a memory. The same name gives the same machine.
"""

from __future__ import annotations

import math
import random
from typing import Any, Dict, List, NamedTuple, Tuple

from . import clock

GIB, MIB = 1 << 30, 1 << 20
SAMPLES_OF_TROUBLE = 2       # how long a trouble that ends by itself lasts


class Role(NamedTuple):
    """What a machine is for, and so how its days go. Shares in percent, disks as (mount, device, GiB, percent used)."""

    name: str
    group: str
    os_info: str
    cores: int
    memory_gib: int
    cpu_idle: float
    cpu_day: float           # what office hours add
    cpu_night: float         # what the jobs from one to three add
    memory_percent: float
    bytes_per_second: float  # of network, on a quiet day
    disks: Tuple[Tuple[str, str, int, float], ...]
    services: Tuple[str, ...]
    processes: Tuple[str, ...]


DEBIAN, ROCKY, WINDOWS = "Debian GNU/Linux 12 x86_64", "Rocky Linux 9.4 x86_64", "Windows Server 2022 AMD64"
ROOT_DISK = ("/", "/dev/sda1", 60, 41.0)

ROLES = (
    Role("web", "Web", DEBIAN, 4, 8, 6, 42, 3, 48, 2.4e6, (ROOT_DISK,),
         ("nginx", "php8.2-fpm", "ssh", "cron"), ("nginx", "php-fpm8.2", "sshd", "systemd-journald")),
    Role("db", "Databases", ROCKY, 16, 64, 11, 27, 34, 71, 9.0e5,
         (ROOT_DISK, ("/var/lib/pgsql", "/dev/sdb1", 900, 68.0)),
         ("postgresql", "pgbouncer", "sshd", "crond"), ("postgres", "pgbouncer", "sshd", "systemd")),
    Role("app", "Applications", DEBIAN, 8, 32, 9, 38, 5, 62, 1.1e6, (ROOT_DISK, ("/srv", "/dev/sdb1", 200, 52.0)),
         ("orders", "docker", "ssh", "cron"), ("java", "dockerd", "containerd", "sshd")),
    Role("files", "Office", WINDOWS, 4, 16, 4, 21, 9, 55, 1.9e6,
         (("C:\\", "C:\\", 120, 57.0), ("D:\\", "D:\\", 2000, 79.0)),
         ("LanmanServer", "Spooler", "W32Time", "WinDefend"), ("System", "MsMpEng.exe", "svchost.exe", "spoolsv.exe")),
    Role("backup", "Infrastructure", DEBIAN, 4, 8, 3, 2, 61, 33, 2.0e5,
         (ROOT_DISK, ("/backup", "/dev/md0", 8000, 74.0)),
         ("bacula-sd", "nfs-server", "ssh", "cron"), ("bacula-sd", "nfsd", "rsync", "sshd")),
    Role("cache", "Databases", DEBIAN, 4, 32, 7, 18, 1, 77, 3.1e6, (ROOT_DISK,),
         ("redis-server", "ssh", "cron"), ("redis-server", "sshd", "systemd-journald")),
    Role("worker", "Applications", ROCKY, 8, 16, 14, 33, 22, 58, 4.0e5, (ROOT_DISK,),
         ("queue-worker", "rabbitmq-server", "sshd"), ("python3", "beam.smp", "sshd")),
    Role("mail", "Infrastructure", DEBIAN, 2, 4, 5, 16, 6, 49, 3.0e5,
         (ROOT_DISK, ("/var/mail", "/dev/sdb1", 300, 63.0)),
         ("postfix", "dovecot", "rspamd", "ssh"), ("master", "dovecot", "rspamd", "sshd")),
)

# What is wrong with the first machines of a fleet at the end: one trouble is over by then, the others are there to see.
TROUBLES = ("cpu that ends", "", "service", "disk", "", "memory")
BETWEEN_BOOTS_MS = 100 * clock.DAY


class Machine:
    """One machine. Its moments have to be asked for in order."""

    def __init__(self, number: int, now: int):
        self.role = ROLES[number % len(ROLES)]
        self.hostname = "%s-%02d" % (self.role.name, number // len(ROLES) + 1)
        self.address = "10.20.%d.%d" % (number // 200, 10 + number % 200)
        self.trouble = TROUBLES[number] if number < len(TROUBLES) else ""
        self._random = random.Random(self.hostname)
        self._booted = now - int(self._random.uniform(3, 90) * clock.DAY)
        self._boot_number = self._random.getrandbits(120)
        self._drift = 0.0
        self._at = self._sequence = 0
        self._counters = {"bytes_sent": 0, "bytes_recv": 0, "packets_sent": 0, "packets_recv": 0}
        self._pids = [self._random.randrange(300, 30_000) for _ in self.role.processes]

    def sample(self, at: int, left: int) -> Dict[str, Any]:
        """The payload of a sample taken at this moment. left: how many follow; trouble comes at the end."""
        cpu = self._trouble("cpu that ends", left, 97.0) or self._cpu(at)
        memory = self._trouble("memory", left, 96.0) or self._memory(at)
        self._sequence += 1
        boots_ago = max(0, -((at - self._booted) // BETWEEN_BOOTS_MS))
        booted = self._booted - boots_ago * BETWEEN_BOOTS_MS
        return {
            "collected_at": clock.iso_ms(at),
            "metrics": {
                "cpu_percent": cpu, "cpu_count": self.role.cores, **self._memory_numbers(memory),
                "swap_percent": round(memory / 20, 1), "swap_total": 2 * GIB,
                "swap_used": int(2 * GIB * memory / 2_000),
                "load_average": [round(cpu / 100 * self.role.cores * share, 2) for share in (1.02, 0.97, 0.9)],
                "disks": self._disks(at, left), **self._traffic(at, cpu),
                "uptime_seconds": (at - booted) // 1000, "boot_time": clock.iso(booted)},
            "processes": self._processes(cpu, memory), "services": self._services(left),
            "agent": {"version": "demo", "boot_id": "%032x" % (self._boot_number + boots_ago),
                      "sequence": self._sequence, "interval_minutes": 10,
                      "beat_seconds": 300},
        }

    def live(self, at: int) -> Dict[str, Any]:
        """The payload of a near-live sample."""
        cpu, memory = self._cpu(at), self._memory(at)
        traffic = self._traffic(at, cpu)
        return {
            "collected_at": clock.iso_ms(at), "cpu_percent": cpu, "cpu_freq_mhz": 3_200,
            "cpu_per_core": [_percent(cpu + self._random.gauss(0, 6)) for _ in range(self.role.cores)],
            "memory_percent": memory, "memory_used": int(self.role.memory_gib * GIB * memory / 100),
            "memory_available": int(self.role.memory_gib * GIB * (100 - memory) / 100),
            "swap_percent": round(memory / 20, 1), "swap_used": int(2 * GIB * memory / 2_000),
            "network_rate": traffic["network_rate"], "disk_io_rate": traffic["disk_io_rate"],
            "process_count": 140 + int(cpu), "thread_count": 700 + int(6 * cpu), "handle_count": 20_000 + int(90 * cpu),
        }

    def _trouble(self, kind: str, left: int, value: float) -> float:
        """The value while that trouble is there, else 0: what ends is over before the last samples."""
        last = SAMPLES_OF_TROUBLE if kind == "cpu that ends" else 0
        return value if self.trouble == kind and last <= left < last + SAMPLES_OF_TROUBLE else 0.0

    def _cpu(self, at: int) -> float:
        self._drift = 0.8 * self._drift + self._random.gauss(0, 2.5)
        night = self.role.cpu_night if 1 <= _hour(at) < 3 else 0
        return _percent(self.role.cpu_idle + self.role.cpu_day * busy(at) + night + self._drift)

    def _memory(self, at: int) -> float:
        """It grows for three days, until a service is started anew."""
        return _percent(self.role.memory_percent + 3 * (at % (3 * clock.DAY)) / clock.DAY + self._random.gauss(0, 0.4))

    def _memory_numbers(self, percent: float) -> Dict[str, Any]:
        total = self.role.memory_gib * GIB
        used = int(total * percent / 100)
        return {"memory_total": total, "memory_used": used, "memory_free": total - used,
                "memory_available": total - used, "memory_percent": percent}

    def _disks(self, at: int, left: int) -> List[Dict[str, Any]]:
        """They fill for a week, until somebody tidies up."""
        rows = []
        for mount, device, gib, percent in self.role.disks:
            percent = _percent(percent + 0.6 * (at % (7 * clock.DAY)) / clock.DAY)
            if mount == self.role.disks[-1][0]:
                percent = self._trouble("disk", left, 93.0) or percent
            used = int(gib * GIB * percent / 100)
            rows.append({"device": device, "mountpoint": mount, "fstype": "NTFS" if ":" in mount else "ext4",
                         "total": gib * GIB, "used": used, "free": gib * GIB - used, "percent": percent})
        return rows

    def _traffic(self, at: int, cpu: float) -> Dict[str, Any]:
        """Rates, and the counters that they add up to."""
        seconds = (at - self._at) / 1000 if self._at else 600
        self._at = at
        rate = self.role.bytes_per_second * (0.3 + cpu / 40) * self._random.uniform(0.85, 1.15)
        rates = {"bytes_sent": rate, "bytes_recv": 0.7 * rate, "packets_sent": rate / 900, "packets_recv": rate / 1_100}
        for key, value in rates.items():
            self._counters[key] += int(value * seconds)
        reads, writes = 40 * cpu * MIB / 100, 25 * cpu * MIB / 100
        return {"network": dict(self._counters),
                "network_rate": {key + "_per_sec": round(value, 1) for key, value in rates.items()},
                "disk_io_rate": {"read_bytes_per_sec": reads, "write_bytes_per_sec": writes,
                                 "read_count_per_sec": round(reads / 16_384, 1),
                                 "write_count_per_sec": round(writes / 16_384, 1)}}

    def _processes(self, cpu: float, memory: float) -> List[Dict[str, Any]]:
        """The first takes half of what is used, the next half of the rest, and so on."""
        owner = "SYSTEM" if self.role.os_info == WINDOWS else "root"
        used_mb = self.role.memory_gib * 1024 * memory / 100
        return [{"pid": pid, "name": name, "cpu_percent": round(cpu * self.role.cores / 2 ** (place + 1), 1),
                 "memory_percent": round(memory / 2 ** (place + 1), 1), "status": "sleeping" if place else "running",
                 "memory_mb": round(used_mb / 2 ** (place + 1), 1), "username": owner}
                for place, (name, pid) in enumerate(zip(self.role.processes, self._pids))]

    def _services(self, left: int) -> List[Dict[str, Any]]:
        rows = [{"service_name": name, "display_name": name, "status": "running", "start_type": "automatic",
                 "pid": 800 + place} for place, name in enumerate(self.role.services)]
        if self.trouble == "service" and left < SAMPLES_OF_TROUBLE:
            rows[0].update(status="failed", pid=None)
        return rows


def busy(at: int) -> float:
    """How much of a working day's load there is at this moment, 0 to 1; a third of it at weekends."""
    hours = math.sin(math.pi * (_hour(at) - 6) / 13)
    weekend = (at // clock.DAY + 3) % 7 >= 5  # the first day of 1970 was a Thursday
    return max(0.0, hours) * (0.35 if weekend else 1.0)


def _hour(at: int) -> float:
    return at % clock.DAY / clock.HOUR


def _percent(value: float) -> float:
    return round(min(99.5, max(0.3, value)), 1)
