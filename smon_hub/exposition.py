"""The fleet as Prometheus reads it: text format 0.0.4, from the state in memory alone.

A server that is offline is told by `smon_up 0` and by nothing else: its last figures say nothing about now. One that
waits for approval is not told at all. Whatever an agent sends, no series comes twice: that would cost the whole scrape.
"""

from __future__ import annotations

import platform
import threading
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from . import __version__, metrics
from .bodies import DISK
from .fleet import Newest, Server
from .metrics import Metric, Numbers
from .store import details

TYPE = "text/plain; version=0.0.4; charset=utf-8"
KEPT_SECONDS = 1             # how long a text without changes is given again
PREFIX = "smon_"

Hub = Any  # hub.Hub, which is passed and never imported
Values = Iterable[Tuple[str, Any]]  # (labels beside those of the server, value)


class Family(NamedTuple):
    """The series of one name. read: their values in one sample; None is no value."""

    name: str
    kind: str
    sentence: str
    read: Callable[[Numbers], Values]


def _of(metric: Metric) -> Family:
    share = 0.01 if metric.unit == "percent" else 1
    return Family(metric.exposed, "gauge", metric.sentence, _one(metric.read, share))


def _one(read: Callable[[Numbers], Optional[float]], scale: float = 1) -> Callable[[Numbers], Values]:
    return lambda numbers: [("", _scaled(read(numbers), scale))]


def _scaled(value: Optional[float], scale: float) -> Optional[float]:
    return value if value is None or scale == 1 else round(value * scale, 6)


def _member(key: str) -> Callable[[Numbers], Values]:
    return _one(lambda numbers: numbers[key])


def _network(key: str) -> Callable[[Numbers], Values]:
    return _one(lambda numbers: numbers["network"] and numbers["network"][key])


def _load(index: int) -> Callable[[Numbers], Values]:
    return _one(lambda numbers: numbers["load_average"] and numbers["load_average"][index])


def _disks(key: str, scale: float = 1) -> Callable[[Numbers], Values]:
    mount, device, fstype, value = (DISK.names.index(name) for name in ("mountpoint", "device", "fstype", key))

    def read(numbers: Numbers) -> Values:
        once = {disk[mount]: disk for disk in reversed(numbers["disks"] or ())}
        return [("," + _labels(mount=disk[mount], device=disk[device] or "", fstype=disk[fstype] or ""),
                 _scaled(disk[value], scale)) for disk in once.values()]
    return read


FAMILIES = (
    *(_of(metric) for metric in metrics.METRICS),
    Family("cpus", "gauge", "Logical cores.", _member("cpu_count")),
    Family("load5", "gauge", "Load average over five minutes.", _load(1)),
    Family("load15", "gauge", "Load average over fifteen minutes.", _load(2)),
    Family("memory_total_bytes", "gauge", "Memory of the machine.", _member("memory_total")),
    Family("swap_total_bytes", "gauge", "Swap of the machine.", _member("swap_total")),
    Family("swap_used_bytes", "gauge", "Used swap.", _member("swap_used")),
    Family("uptime_seconds", "gauge", "Time since the machine started, when the sample was taken.",
           _member("uptime_seconds")),
    Family("network_transmit_bytes_total", "counter", "Sent since boot, all interfaces.", _network("bytes_sent")),
    Family("network_receive_bytes_total", "counter", "Received since boot, all interfaces.", _network("bytes_recv")),
    Family("network_transmit_packets_total", "counter", "Packets sent since boot.", _network("packets_sent")),
    Family("network_receive_packets_total", "counter", "Packets received since boot.", _network("packets_recv")),
    Family("filesystem_size_bytes", "gauge", "Size of a file system.", _disks("total")),
    Family("filesystem_used_bytes", "gauge", "Used space of a file system.", _disks("used")),
    Family("filesystem_free_bytes", "gauge", "Space of a file system that users can still write.", _disks("free")),
    Family("filesystem_usage_ratio", "gauge", "Used share of what users can use.", _disks("percent", 0.01)),
    Family("filesystem_inodes_usage_ratio", "gauge", "Used share of the inodes.", _disks("inodes_percent", 0.01)),
)
UP, ALERTS, SEEN, SAMPLED = (
    ("up", "gauge", "Whether the hub has heard of the server lately."),
    ("active_alerts", "gauge", "Alerts that are open and not acknowledged."),
    ("last_seen_timestamp_seconds", "gauge", "When the server gave its last sign of life."),
    ("sample_timestamp_seconds", "gauge", "When the newest sample was taken."),
)


class Exposition:
    """The text, made again when asked after a change or after a second; of a server, only what changed."""

    def __init__(self, started_at: int):
        self._started_at = started_at
        self._lines: Dict[str, Tuple[Dict[str, Any], Newest, List[str]]] = {}
        self._made: Tuple[int, int, bytes] = (-1, 0, b"")
        self._lock = threading.Lock()

    def text(self, hub: Hub, now: int) -> bytes:
        with self._lock:
            version, at, body = self._made
            if version != hub.fleet.version or not 0 <= now - at < KEPT_SECONDS * 1000:
                version = hub.fleet.version
                body = "".join(self._families(hub, now)).encode("utf-8", "replace")
                self._made = version, now, body
            return body

    def _families(self, hub: Hub, now: int) -> Iterator[str]:
        stale = hub.settings["stale_threshold_minutes"]
        servers = [server for server in hub.fleet.servers() if server.row["approved"]]
        alive = [server for server in servers if server.status(now, stale) != "offline"]
        gone = {server.row["uuid"] for server in servers} - {server.row["uuid"] for server in alive}
        yield from self._own(hub, now)
        yield _family(*UP, (_line("up", _server_labels(server), int(server.row["uuid"] not in gone))
                            for server in servers))
        yield _family(*ALERTS, (_line(ALERTS[0], _server_labels(server), server.tally.active) for server in alive))
        yield _family(*SEEN, (_line(SEEN[0], _server_labels(server), server.last_seen_at / 1000) for server in alive))
        yield _family(*SAMPLED, (_line(SAMPLED[0], _server_labels(server), sample.at / 1000)
                                 for server in alive for sample in (server.sample,) if sample))
        lines = self._of_servers(alive)
        for index, family in enumerate(FAMILIES):
            yield _family(family.name, family.kind, family.sentence, (own[index] for own in lines))

    def _of_servers(self, servers: Iterable[Server]) -> List[List[str]]:
        """For each server with a sample the lines of each of FAMILIES; made once for a row and a sample."""
        kept = {}
        for server in servers:
            row, sample, uuid = server.row, server.sample, server.row["uuid"]
            if sample is None or sample.blob is None:
                continue
            known = self._lines.get(uuid)
            if known is None or known[0] is not row or known[1] is not sample:
                known = row, sample, _lines_of(_server_labels(server), details.unpack(sample.blob)["metrics"])
            kept[uuid] = known
        self._lines = kept
        return [lines for _, _, lines in kept.values()]

    def _own(self, hub: Hub, now: int) -> Iterator[str]:
        """What the hub says of itself."""
        counts = hub.fleet.summary(now, hub.settings["stale_threshold_minutes"])
        states = [(state, counts[state + "Servers"]) for state in ("online", "offline", "waiting", "pending")]
        yield _family("hub_build_info", "gauge", "The hub's version.", [
            _line("hub_build_info", _labels(version=__version__, python=platform.python_version()), 1)])
        yield _family("hub_uptime_seconds", "gauge", "Time since the hub started.", [
            _line("hub_uptime_seconds", "", (now - self._started_at) / 1000)])
        yield _family("hub_servers", "gauge", "Servers by state; pending ones wait for approval.", [
            _line("hub_servers", _labels(state=state), count) for state, count in states])
        yield _family("hub_active_alerts", "gauge", "Alerts that are open and not acknowledged, by severity.", [
            _line("hub_active_alerts", _labels(severity="critical"), counts["criticalAlerts"]),
            _line("hub_active_alerts", _labels(severity="warning"), counts["activeAlerts"] - counts["criticalAlerts"])])
        yield _family("hub_waiting_writes", "gauge", "Writes that wait for the store.", [
            _line("hub_waiting_writes", "", hub.engine.waiting())])
        yield _family("hub_samples_stored_total", "counter", "Samples stored since the hub started.", [
            _line("hub_samples_stored_total", "", hub.fleet.stored_samples)])


def _lines_of(labels: str, numbers: Numbers) -> List[str]:
    return ["".join(_line(family.name, labels + more, value) for more, value in family.read(numbers)
                    if value is not None) for family in FAMILIES]


def _family(name: str, kind: str, sentence: str, lines: Iterable[str]) -> str:
    """The series of a name under its help and type; nothing where there are none."""
    text = "".join(lines)
    return text and "# HELP %s%s %s\n# TYPE %s%s %s\n%s" % (PREFIX, name, sentence, PREFIX, name, kind, text)


def _line(name: str, labels: str, value: Any) -> str:
    return "%s%s%s %s\n" % (PREFIX, name, labels and "{%s}" % labels, value)


def _server_labels(server: Server) -> str:
    return _labels(server=server.row["uuid"], hostname=server.row["hostname"], group=server.row["group_name"])


def _labels(**labels: str) -> str:
    return ",".join('%s="%s"' % (name, _escaped(value)) for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
