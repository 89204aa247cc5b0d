"""Servers that went silent and those that came back; when many go at once, one alert for all of them.

The limit is the one that decides the status `offline`. A hub that has just started, slept, or whose clock jumped gives
everyone the whole of it again.
"""

from __future__ import annotations

import math
import time
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from . import alerts, clock, ledger
from .alerts import CRITICAL, Reading
from .fleet import Server
from .ledger import Record
from .store import events
from .store.events import INFO, Alert

Hub = Any  # hub.Hub, which is passed and never imported

SLICE = 100                  # servers in one transaction, so that ingest waits for few
JUMP_MS = clock.MINUTE       # between the wall clock and the machine's
GROUP_LEAST, GROUP_SHARE = 3, 0.4
ALL = "all groups"
OFFLINE, OUTAGE = ("offline", ""), "group_outage"
NO_NEED = alerts.Need(clears=1)


class Outage(NamedTuple):
    """Servers of one group, or of all, that went silent within one beat. alert: its row, once it has one."""

    scope: str
    since_at: int
    members: Tuple[Server, ...]
    alert: Optional[Alert] = None


class Silence:
    """What is known between two sweeps."""

    def __init__(self, now: int):
        self.grace_from = now                  # nobody's silence counts from before this
        self._swept_at, self._swept = now, time.monotonic()
        self._eased: Dict[int, int] = {}       # outages of which few are left, and since when

    def sweep(self, hub: Hub, now: int) -> int:
        """Open and end what silence opens and ends; how many servers changed."""
        self._look_at_the_clock(now)
        stale = hub.settings["stale_threshold_minutes"]
        gone, back = [], []
        for server in hub.fleet.servers():
            silent = now - max(server.last_seen_at, self.grace_from) > server.silence_limit(stale)
            if server.tally.silent:
                if now - server.last_seen_at <= server.silence_limit(stale):
                    back.append(server)
            elif silent and counts(server):
                gone.append(server)
        outages = self._outages(hub, gone, now) if gone else []
        for start in range(0, len(gone), SLICE):
            ledger.write(hub, lambda record: self._open(record, gone[start:start + SLICE], outages), now)
        for start in range(0, len(back), SLICE):
            ledger.write(hub, lambda record: _end(record, back[start:start + SLICE]), now)
        if hub.fleet.tally.watched:
            ledger.write(hub, lambda record: self._end_outages(record, hub), now)
        return len(gone) + len(back)

    def _look_at_the_clock(self, now: int) -> None:
        moved, self._swept_at = now - self._swept_at, now
        passed, self._swept = (time.monotonic() - self._swept) * 1000, time.monotonic()
        if abs(moved - passed) > JUMP_MS:
            self.grace_from = now

    # --- many at once -------------------------------------------------------------------------------------------------

    def _outages(self, hub: Hub, gone: List[Server], now: int) -> List[Outage]:
        """Those that the newly silent belong to: all groups together, or each its own."""
        everyone = [server for server in hub.fleet.servers() if counts(server)]
        groups = {server.row["group_name"] for server in everyone}
        of_all = _outage(hub, ALL, everyone, gone, now) if len(groups) > 1 else None
        if of_all:
            return [of_all]
        found = [_outage(hub, group, [server for server in everyone if server.row["group_name"] == group],
                         [server for server in gone if server.row["group_name"] == group], now)
                 for group in sorted({server.row["group_name"] for server in gone})]
        return [outage for outage in found if outage]

    def _open(self, record: Record, gone: List[Server], outages: List[Outage]) -> None:
        known = _open_outages(record)
        for server in gone:
            held = events.current(record.db, server.row["id"]).get(OFFLINE)
            if held is None:
                outage = _belongs(server, known) or self._declare(record, server, outages, known)
                reading = alerts.flat("offline", "", INFO if server.row["may_be_off"] else CRITICAL,
                                      clock.iso(server.last_seen_at))
                record.judge(server, OFFLINE, None, reading, NO_NEED, since_at=server.last_seen_at,
                             quiet=_quiet(outage) if outage else "")

    def _declare(self, record: Record, server: Server, outages: List[Outage],
                 known: List[Alert]) -> Optional[Alert]:
        """Open the alert of an outage with its first silent server."""
        outage = next((each for each in outages if server in each.members), None)
        if outage is None or any(alert.object == outage.scope for alert in known):
            return None
        reading = Reading(OUTAGE, outage.scope, CRITICAL, CRITICAL, len(outage.members), None,
                          clock.iso(outage.since_at))
        quiet = ledger.MAINTENANCE if all(member.maintenance for member in outage.members) else ""
        record.judge(None, (OUTAGE, outage.scope), None, reading, NO_NEED, since_at=outage.since_at, quiet=quiet,
                     children=[member.row["display_name"] for member in outage.members])
        known[:] = _open_outages(record)
        return next(alert for alert in known if alert.object == outage.scope)

    def _end_outages(self, record: Record, hub: Hub) -> None:
        """An outage is over when nearly all are back for as long as the last ones may need."""
        stale = hub.settings["stale_threshold_minutes"]
        for alert in _open_outages(record):
            scope = [server for server in hub.fleet.servers() if counts(server)
                     and alert.object in (ALL, server.row["group_name"])]
            left = [server for server in scope if server.last_seen_at < alert.since_at + server.beat_ms()
                    and server.is_silent(record.now, stale)]
            waiting = [server for server in scope if server.last_seen_at < alert.since_at + server.beat_ms()
                       and _overdue(server, hub, record.now)]
            if len(waiting) >= _enough(scope):
                self._eased.pop(alert.id, None)
            elif not waiting or record.now - self._eased.setdefault(alert.id, record.now) > max(
                    server.beat_ms() for server in waiting):
                self._eased.pop(alert.id, None)
                record.judge(None, (OUTAGE, alert.object), alert, None, NO_NEED)
                _release(record, alert, {server.row["id"]: server for server in left})


def counts(server: Server) -> bool:
    """Whether anybody waits for this server: it was admitted, and has sent something before."""
    return server.row["approved"] and server.sample is not None


def _overdue(server: Server, hub: Hub, now: int) -> bool:
    """Silent for so long that it will be over its limit within a beat."""
    limit = server.silence_limit(hub.settings["stale_threshold_minutes"])
    return now - server.last_seen_at > limit - server.beat_ms()


def _enough(scope: List[Server]) -> int:
    return max(GROUP_LEAST, math.ceil(GROUP_SHARE * len(scope)))


def _outage(hub: Hub, scope: str, everyone: List[Server], gone: List[Server], now: int) -> Optional[Outage]:
    """Whether enough of a scope fell silent within a beat of those that are over the limit now."""
    expected = [server for server in everyone if not server.row["may_be_off"]]
    gone = [server for server in gone if not server.row["may_be_off"]]
    if not gone:
        return None
    first = min(server.last_seen_at for server in gone)
    members = [server for server in expected if first <= server.last_seen_at <= first + server.beat_ms()
               and not server.tally.silent and _overdue(server, hub, now)]
    return Outage(scope, first, tuple(members)) if len(members) >= _enough(expected) else None


def _open_outages(record: Record) -> List[Alert]:
    return events.current_of(record.db, OUTAGE)


def _belongs(server: Server, known: List[Alert]) -> Optional[Alert]:
    """The outage that a server is part of: it fell silent when the others did."""
    if server.row["may_be_off"]:
        return None
    return next((alert for alert in known if alert.object in (ALL, server.row["group_name"])
                 and alert.since_at <= server.last_seen_at <= alert.since_at + server.beat_ms()), None)


def _quiet(outage: Alert) -> str:
    return "outage:%d" % outage.id


def _end(record: Record, back: List[Server]) -> None:
    for server in back:
        held = events.current(record.db, server.row["id"]).get(OFFLINE)
        if held is not None:
            record.judge(server, OFFLINE, held, None, NO_NEED)


def _release(record: Record, outage: Alert, left: Dict[int, Server]) -> None:
    """Those that stay silent are told of one by one, now that the others are back."""
    told: Set[int] = set()
    for alert in events.suppressed(record.db, _quiet(outage)):
        alert = record.change(alert, suppressed_by="")
        if alert.server in left and alert.server not in told:
            told.add(alert.server)
            record.tell(alerts.OPENED, alert, left[alert.server], alert.message)
