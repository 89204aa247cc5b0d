"""Every server as it is now, in memory: its row, its newest sample, its last sign of life, its status.

Rebuilt from the store at start and moved only after a commit, so that it never shows what is not on disk.
Nothing here writes to the store; answers for pages are joined from texts that are made once per change.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Deque, Dict, Iterable, List, NamedTuple, Optional, Tuple

from . import clock, steady
from .bodies import DISK
from .store import details
from .store.details import encode
from .store.events import Tally
from .store.series import Sample

_MOUNT, _PERCENT = DISK.names.index("mountpoint"), DISK.names.index("percent")
BEATS_MISSED = 2.5         # silence of so many beats is more than a lost packet
DISKS_SHOWN = 3            # on a card
AHEAD = "clock_ahead_seconds"  # beside what the agent says of itself: by how much its clock can not be right
AHEAD_KEPT = 1_000         # an agent's buffer and some more
SHOWN = ("hostname", "display_name", "group_name", "ip_address", "os_info", "tags", "notes", "alert_cpu_threshold",
         "alert_memory_threshold", "alert_disk_threshold", "collection_interval", "may_be_off", "approved")

CARD_COLUMNS = ("id", "name", "hostname", "group", "ip", "os", "tags", "status", "flags", "last_seen_at", "cpu",
                "memory", "disks", "uptime_seconds", "alerts", "critical")


CALM = Tally()
CLONE_MS = clock.DAY       # of samples from one boot alone, until a server is no longer suspected to be two

Count = Tuple[Optional[str], Optional[int]]


class Newest(NamedTuple):
    """The newest sample of a server."""

    id: int                        # its row
    at: int
    timed: bool                    # whether the agent said when it was taken
    agent: Optional[Dict[str, Any]]
    card: Tuple[Any, ...]          # see card()
    blob: Optional[bytes]          # the whole payload, as store/details.py packs it

    def supersedes(self, other: "Optional[Newest]") -> bool:
        """The agent's own count decides where it can, so that a clock set back does not freeze a server."""
        if other is None:
            return True
        (boot, sequence), (other_boot, other_sequence) = counted(self.agent), counted(other.agent)
        if sequence is not None and other_sequence is not None and boot == other_boot:
            return sequence > other_sequence
        if not self.timed:
            return self.id > other.id
        return (self.at, self.id) > (other.at, other.id)


def counted(agent: Optional[Dict[str, Any]]) -> Count:
    """The agent's own count of its samples: of which boot of the machine, and the how-manieth."""
    return (agent.get("boot_id"), agent.get("sequence")) if agent else (None, None)


def card(numbers: Dict[str, Any]) -> Tuple[Any, ...]:
    """A sample's share of its server's card: CPU, memory, the fullest disks as [mount, percent], uptime."""
    disks = [[disk[_MOUNT], disk[_PERCENT]] for disk in numbers["disks"] or () if disk[_PERCENT] is not None]
    disks.sort(key=_fullness)
    return numbers["cpu_percent"], numbers["memory_percent"], disks[:DISKS_SHOWN], numbers["uptime_seconds"]


def loaded(sample: Sample) -> Newest:
    """A sample as it was read from the store."""
    if sample.blob is None:
        return Newest(sample.id, sample.at, True, None, (None, None, [], None), None)
    payload = details.unpack(sample.blob)
    return Newest(sample.id, sample.at, payload["timed"], payload["agent"], card(payload["metrics"]), sample.blob)


def _fullness(disk: List[Any]) -> float:
    return -disk[1]


class Server:
    """One server now. row holds the columns of its table; changes replace it whole."""

    __slots__ = ("row", "last_seen_at", "sample", "services_print", "ahead", "config_revision", "tally", "maintenance",
                 "watch", "steady", "boot_before", "cloned_at", "turn", "told_at", "_texts", "_entry")

    def __init__(self, row: Dict[str, Any]):
        self.row = row
        self.last_seen_at: int = row["last_seen_at"]
        self.sample: Optional[Newest] = None
        self.services_print: Optional[int] = None  # hash of the services last written, to skip equal ones
        self.ahead: Deque[Count] = deque(maxlen=AHEAD_KEPT)  # where no time tells a replay, the agent's count does
        self.config_revision = 0                   # of settings that wait for its agent; 0 when none do
        self.tally = CALM
        self.maintenance = False                   # alerts are recorded, but nobody is told
        self.boot_before: Optional[str] = None     # the boot of the machine before the newest sample's
        self.cloned_at = -CLONE_MS                 # when a boot that was over sent again
        self.turn = 0                              # as of which everything here is, where other hubs move it, too
        self.told_at = self.last_seen_at           # the last sign of life that they were told of
        self.steady = steady.Memory()              # of its last sample
        self.watch: Any = None                     # judging.Watch, once there was something to judge
        self._texts: Optional[Tuple[Any, Any, Tuple[str, str]]] = None  # of which row and sample, and what
        self._entry: Optional[Tuple[Any, Any, str]] = None

    def silence_limit(self, stale_minutes: int) -> float:
        """Milliseconds of silence after which the server counts as offline."""
        return max(stale_minutes * clock.MINUTE, BEATS_MISSED * self.beat_ms())

    def beat_ms(self) -> float:
        """The longest silence that is normal."""
        agent = self.sample.agent if self.sample else None
        return (agent and agent.get("beat_seconds") or self.row["collection_interval"] * 60 / 2) * 1000

    def interval_ms(self) -> float:
        """The time between two samples."""
        agent = self.sample.agent if self.sample else None
        return (agent and agent.get("interval_minutes") or self.row["collection_interval"]) * clock.MINUTE

    def is_silent(self, now: int, stale_minutes: int) -> bool:
        return now - self.last_seen_at > self.silence_limit(stale_minutes)

    def status(self, now: int, stale_minutes: int) -> str:
        """The one rule that every page, answer and total follows."""
        return "offline" if self.is_silent(now, stale_minutes) else self.tally.worst or "online"

    def flags(self) -> List[str]:
        """What stands beside the status."""
        return ((["pending"] if not self.row["approved"] else []) + (["waiting"] if self.sample is None else [])
                + (["maintenance"] if self.maintenance else []) + (["clone_suspected"] if self.is_cloned() else []))

    def is_cloned(self) -> bool:
        """Whether two machines seem to send with its key: a boot that was followed by another never sends again."""
        return self.sample is not None and self.sample.at - self.cloned_at < CLONE_MS

    def note_boot(self, newer: Newest) -> None:
        """Its newest sample is about to be this one."""
        if self.sample is None or self.sample.agent is None or newer.agent is None:
            return
        was, boot = self.sample.agent.get("boot_id"), newer.agent.get("boot_id")
        if boot != was and boot and was:
            if boot == self.boot_before:
                self.cloned_at = newer.at
            self.boot_before = was

    def columns(self) -> Dict[str, Any]:
        """The row as the API shows it, field by field."""
        row = self.row
        return {"id": row["uuid"], **{key: row[key] for key in SHOWN},
                "registered_at": clock.iso(row["registered_at"]), "is_active": True}

    def answer(self, now: int, stale_minutes: int) -> Dict[str, Any]:
        """The `server` member of its own page's answer."""
        return {**self.columns(), "agent": self.sample.agent if self.sample else None,
                "status": self.status(now, stale_minutes), "flags": self.flags(),
                "last_seen_at": clock.iso(self.last_seen_at)}

    def texts(self) -> Tuple[str, str]:
        """Its card as JSON: what stands before and after what depends on the time. Made once per change."""
        row, sample, made = self.row, self.sample, self._texts
        if made is None or made[0] is not row or made[1] is not sample:  # it may move while a text is made
            opening = encode([row["uuid"], row["display_name"], row["hostname"], row["group_name"], row["ip_address"],
                              row["os_info"], row["tags"]])
            closing = encode(sample.card if sample else (None, None, [], None))
            made = self._texts = row, sample, (opening[:-1], closing[1:-1])
        return made[2]

    def metrics(self) -> Optional[Dict[str, Any]]:
        """The newest sample's numbers with their time, as the API shows them."""
        sample = self.sample
        if sample is None or sample.blob is None:
            return None
        numbers = details.unpack(sample.blob)["metrics"]
        return {"timestamp": clock.iso(sample.at), **numbers, "disks": DISK.dicts(numbers["disks"])}

    def entry(self) -> str:
        """The opening of its object in the seed's overview, as JSON: all but what depends on the time."""
        row, sample, made = self.row, self.sample, self._entry
        if made is None or made[0] is not row or made[1] is not sample:
            text = encode({**self.columns(), "agent": sample.agent if sample else None, "metrics": self.metrics()})
            made = self._entry = row, sample, text[:-1]
        return made[2]

    def put(self, row: Optional[Dict[str, Any]] = None, sample: Optional[Newest] = None) -> None:
        self.row, self.sample = row or self.row, sample or self.sample


class Fleet:
    """All servers by uuid. But for `seen`, what changes it is called by the store's writer thread, after a commit."""

    def __init__(self) -> None:
        self.by_uuid: Dict[str, Server] = {}
        self.version = 0            # grows with every change that an overview could show
        self.tally = CALM           # of alerts about the hub itself and about groups
        self.unread = self.unread_serial = 0  # lines of the bell; as of which tally
        self.settled_sample = 0     # the youngest sample that is part of this state
        self.stored_samples = 0     # since the hub started
        self._unsettled: set = set()
        self._lock = threading.Lock()

    def servers(self) -> List[Server]:
        """A copy of the list: the fleet may change while it is read."""
        return list(self.by_uuid.values())

    def add(self, row: Dict[str, Any]) -> Server:
        """The new server, which may have been seen already where several hubs share the database."""
        server = self.by_uuid.setdefault(row["uuid"], Server(row))
        self.version += 1
        return server

    def change(self, uuid: str, columns: Dict[str, Any]) -> Optional[Server]:
        """The changed server, or None when it is gone."""
        server = self.by_uuid.get(uuid)
        if server is not None:
            server.put(row={**server.row, **columns})
            self.version += 1
        return server

    def remove(self, uuid: str) -> bool:
        """Whether it was there."""
        self.version += 1
        return self.by_uuid.pop(uuid, None) is not None

    def seen(self, server: Server, now: int) -> None:
        """A sign of life, noted by any thread. Time never runs backwards here."""
        with self._lock:
            if now > server.last_seen_at:
                server.last_seen_at = now
                self._unsettled.add(server)
            self.version += 1

    def wind_back(self, by: int, now: int) -> None:
        """The wall clock was put back by so many milliseconds: who was silent for an hour still is, and nobody was
        seen later than now."""
        with self._lock:
            for server in self.servers():
                seen_at = min(server.last_seen_at - by, now)
                if seen_at != server.last_seen_at:
                    server.last_seen_at = seen_at
                    self._unsettled.add(server)
            self.version += 1

    def move(self, server: Server, sample: Newest) -> None:
        """A sample was stored; it becomes the current state unless a newer one is."""
        self.settled_sample = max(self.settled_sample, sample.id)
        if sample.agent and AHEAD in sample.agent and sample.agent.get("sequence") is not None:
            server.ahead.append(counted(sample.agent))
        if sample.supersedes(server.sample):
            server.note_boot(sample)
            server.put(sample=sample)
            with self._lock:
                self._unsettled.add(server)
                self.version += 1

    def follow(self, server: Server, row: Dict[str, Any], sample: Optional[Newest]) -> None:
        """Another hub moved a server; sample: its newest, when that is another one."""
        if sample is not None:
            if sample.agent and AHEAD in sample.agent:
                server.ahead.append(counted(sample.agent))
            server.note_boot(sample)
            server.services_print = None  # which services that hub wrote is not known here
        server.put(row=row, sample=sample)
        self.version += 1
        self.heard(server, row["last_seen_at"])

    def heard(self, server: Server, at: int) -> None:
        """Another hub had a sign of life."""
        if at > server.last_seen_at:
            with self._lock:
                server.last_seen_at = max(server.last_seen_at, at)
                self.version += 1

    def take_unsettled(self) -> List[Server]:
        """The servers that moved since the last call."""
        with self._lock:
            moved, self._unsettled = self._unsettled, set()
        return list(moved)

    def put_back(self, moved: Iterable[Server]) -> None:
        """They could not be written back."""
        with self._lock:
            self._unsettled.update(moved)

    # --- answers --------------------------------------------------------------------------------------------------

    def summary(self, now: int, stale_minutes: int) -> Dict[str, Any]:
        """The summary cards. A server that waits for approval counts in no total."""
        admitted = [server for server in self.servers() if server.row["approved"]]
        offline = sum(server.status(now, stale_minutes) == "offline" for server in admitted)
        waiting = sum(server.sample is None and server.status(now, stale_minutes) != "offline" for server in admitted)
        return {"totalServers": len(admitted), "onlineServers": len(admitted) - offline - waiting,
                "offlineServers": offline, "waitingServers": waiting,
                "pendingServers": len(self.by_uuid) - len(admitted),
                "groups": sorted({server.row["group_name"] for server in admitted}),
                "activeAlerts": self.tally.active + sum(server.tally.active for server in admitted),
                "criticalAlerts": self.tally.critical + sum(server.tally.critical for server in admitted),
                "unreadNotifications": self.unread}

    def cards(self, now: int, stale_minutes: int) -> str:
        """JSON rows of CARD_COLUMNS, one a server."""
        return "[%s]" % ",".join(
            '%s,"%s",%s,"%s",%s,%d,%d]' % (opening, server.status(now, stale_minutes), encode(server.flags()),
                                           clock.iso(server.last_seen_at), closing, server.tally.active,
                                           server.tally.critical)
            for server in self.servers() for opening, closing in (server.texts(),))

    def entries(self, now: int, stale_minutes: int) -> str:
        """JSON objects as the seed's overview has them, one a server."""
        return "[%s]" % ",".join(
            '%s,"flags":%s,"status":"%s","last_seen_at":"%s","alert_count":%d,"critical_count":%d}' % (
                server.entry(), encode(server.flags()), server.status(now, stale_minutes),
                clock.iso(server.last_seen_at), server.tally.active, server.tally.critical)
            for server in self.servers())
