"""By how many bytes a database grows with each sample: a fleet of random figures, sent a sample each ten minutes."""

from __future__ import annotations

import random
import shutil
from typing import Any, Callable, Dict, List, NamedTuple, Sequence

import bodies
import hub
from hub import Plan, row
from smon_hub import bodies as shape_of
from smon_hub import clock, ingest, shapes
from tests.hub import inside
from tests.hub.inside import HubInside

ROWS = 4_000            # behind each slope, after as many that came before
MINUTES_APART = 10      # two samples of a server
PROCESSES, DISKS = 15, 3


class Growth(NamedTuple):
    """By how many bytes the whole database grows with each row, and how many of them are indexes (nan: not told)."""

    sample: float
    sample_indexes: float
    live: float
    live_indexes: float


def measure(plan: Plan, database: Any, servers: int) -> Dict[str, Growth]:
    """The slope of each engine. database: hubs.Shared."""
    found = {}
    for name, options in (("SQLite", ()), ("PostgreSQL", ("--database", database.url))):
        folder = hub.fresh_folder(plan)
        try:
            with inside.running(folder / "data", *options) as a_hub:
                size = database.size if options else lambda table: (a_hub.engine.read().bytes_in_use(), float("nan"))
                found[name] = Growth(*_slope(a_hub, servers, _sample, size, "samples"),
                                     *_slope(a_hub, servers, _live, size, "live"))
        finally:
            shutil.rmtree(str(folder))
            if options:
                database.empty()
        row(name, servers, *("%.0f" % figure for figure in found[name]))
    return found


def _slope(a_hub: HubInside, servers: int, send: Callable[..., Any], size: Callable[[str], Sequence[float]],
           table: str) -> List[float]:
    """Bytes a row from the first half of the rows to the second, of the database and of the table's indexes."""
    dice = random.Random(7)
    known = a_hub.fleet.servers() or [a_hub.server() for _ in range(servers)]
    sizes = []
    rounds = max(ROWS // servers, 1)
    for _ in range(2):
        for _ in range(rounds):
            a_hub.pass_time(MINUTES_APART * clock.MINUTE)
            for future in [send(a_hub, server, dice) for server in known]:
                future.result(60)
        sizes.append(size(table))
    return [(after - before) / (rounds * servers) for before, after in zip(*sizes)]


def _sample(a_hub: HubInside, server: Any, dice: random.Random) -> Any:
    """A sample whose every figure moves, as those of a server at work do."""
    total = 64 * bodies.GIB
    used = dice.randrange(total // 4, total // 2)
    rates = {name: round(dice.uniform(0, 9e6), 1) for name in (
        "bytes_sent_per_sec", "bytes_recv_per_sec", "packets_sent_per_sec", "packets_recv_per_sec")}
    numbers = {
        "cpu_percent": _share(dice), "memory_total": total, "memory_used": used, "memory_free": total - used,
        "memory_available": total - used, "memory_percent": round(used * 100 / total, 1), "swap_percent": _share(dice),
        "swap_total": 8 * bodies.GIB, "swap_used": dice.randrange(bodies.GIB), "cpu_count": 16,
        "load_average": [round(dice.uniform(0, 4), 2) for _ in range(3)], "uptime_seconds": dice.randrange(10 ** 7),
        "disks": [_disk(letter, dice) for letter in "abcdef"[:DISKS]], "network_rate": rates,
        "network": {name: dice.randrange(10 ** 12) for name in ("bytes_sent", "bytes_recv", "packets_sent",
                                                                "packets_recv")},
        "disk_io_rate": {name: round(dice.uniform(0, 9e6), 1) for name in (
            "read_bytes_per_sec", "write_bytes_per_sec", "read_count_per_sec", "write_count_per_sec")}}
    processes = [{"pid": dice.randrange(300, 99_999), "name": dice.choice(bodies.NAMES), "cpu_percent": _share(dice),
                  "memory_percent": _share(dice), "memory_mb": round(dice.uniform(1, 4_000), 1), "status": "sleeping",
                  "username": dice.choice(("root", "www-data", "postgres"))} for _ in range(PROCESSES)]
    return ingest.sample(a_hub, server, inside.sample(numbers, processes=processes), a_hub.now())


def _live(a_hub: HubInside, server: Any, dice: random.Random) -> Any:
    body = dict(inside.LIVE, cpu_percent=_share(dice), cpu_per_core=[_share(dice) for _ in range(4)],
                memory_percent=_share(dice), memory_used=dice.randrange(10 ** 10))
    return ingest.live(a_hub, server, shapes.clean(shape_of.LIVE, body), a_hub.now())


def _share(dice: random.Random) -> float:
    return round(dice.uniform(1, 50), 1)


def _disk(letter: str, dice: random.Random) -> Dict[str, Any]:
    used = dice.randrange(500 * bodies.GIB // 2)
    return {"device": "/dev/sd%s1" % letter, "mountpoint": "/srv/%s" % letter, "fstype": "ext4",
            "total": 500 * bodies.GIB, "used": used, "free": 500 * bodies.GIB - used,
            "percent": round(used / (5 * bodies.GIB), 1)}
