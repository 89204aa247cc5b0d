"""What judging costs: a sample of a well server, one of a server in trouble, and the sweep for silent servers."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

from smon_hub import judging, ledger
from smon_hub.fleet import Newest, card
from tests.hub import inside
from tests.hub.inside import HubInside, sample, service

SAMPLES = 2_000     # behind each figure of judging
SERVERS = 5_000     # in the sweep
DISKS, SERVICES = 8, 20


def measure(runs: int, folder: Path) -> None:
    """Print medians of several runs, in microseconds of one thread."""
    with inside.running(folder / "data") as hub:
        print("%-44s %10s %10s" % ("judging a sample", "look us", "judge us"))
        for name, metrics, members in CASES:
            looks, judges = zip(*(judged(hub, metrics, members) for _ in range(runs)))
            print("%-44s %10.1f %10.1f" % (name, statistics.median(looks), statistics.median(judges)))
        spans = [swept(hub) for _ in range(runs)]
        print("\n%-44s %10.1f ms" % ("sweep of %d servers, nobody silent" % SERVERS, statistics.median(spans)))


DISK_ROWS = [{"mountpoint": "/disk%d" % number, "percent": 40.0, "inodes_percent": 10.0} for number in range(DISKS)]
FULL_ROWS = [dict(disk, percent=97.0, inodes_percent=96.0) for disk in DISK_ROWS]
WELL: Dict[str, Any] = {"disks": DISK_ROWS, "swap_percent": 1.0}
CASES = (
    ("all is well", WELL, {"services": [service("s%d" % number) for number in range(SERVICES)]}),
    ("one alert open", dict(WELL, cpu_percent=99.0), {}),
    ("%d alerts open" % (2 * DISKS + 4), dict(WELL, cpu_percent=99.0, memory_percent=99.0, swap_percent=99.0,
                                              disks=FULL_ROWS), {"agent": {"errors": {"x": "y"}, "boot_id": "b"}}),
)


def judged(hub: HubInside, metrics: Dict[str, Any], members: Dict[str, Any]) -> List[float]:
    """Microseconds of both halves, for a server that has sent the same for a while."""
    server = hub.server()
    payload = sample(metrics, **members)
    for _ in range(3):
        hub.send(server, metrics, **members)
    known = server.sample
    newest = Newest(known.id + 1, hub.now(), True, payload["agent"], card(payload["metrics"]), None)
    print_of = None if payload["services"] is None else hash(tuple(payload["services"]))
    look = timed(lambda: judging.look(hub, server, payload, print_of, 0.0))
    found = judging.look(hub, server, payload, print_of, 0.0)

    def work(db: Any) -> float:
        def judge() -> None:
            record = ledger.Record(db, hub.now())
            judging.judge_sample(record, hub, server, newest, known, found)
            record.close()
        return timed(judge)
    return [look, hub.engine.write(work)]


def timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    for _ in range(SAMPLES):
        call()
    return (time.perf_counter() - began) / SAMPLES * 1e6


def swept(hub: HubInside) -> float:
    """Milliseconds of a sweep of a large fleet in which all are alive."""
    first = hub.fleet.servers()[0]
    for number in range(len(hub.fleet.by_uuid), SERVERS):
        hub.fleet.add(dict(first.row, id=number + 10_000, uuid="swept-%d" % number)).put(sample=first.sample)
    began = time.perf_counter()
    hub.silence.sweep(hub, hub.now())
    return (time.perf_counter() - began) * 1000
