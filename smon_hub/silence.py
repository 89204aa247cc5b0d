"""Servers that went silent and those that came back; when many go at once, one alert for all of them.

The limit is the one that decides the status `offline`. A hub that has just started, slept, or whose clock jumped gives
everyone the whole of it again.
"""

from __future__ import annotations

import math
import time
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from . import alerts, clock, ledger
from .alerts import CRITICAL, Reading
from .fleet import Server
from .ledger import Record
from .store import events, servers
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
        self._look_at_the_clock(hub, now)
        stale = hub.settings["stale_threshold_minutes"]
        gone, back = [], []
        for server in hub.fleet.servers():
            if server.tally.silent:
                if not server.is_silent(now, stale):
                    back.append(server)
            elif self._is_missed(server, now, stale):
                gone.append(server)
        outages = self._outages(hub, gone, now) if gone else []
        for start in range(0, len(gone), SLICE):
            ledger.write(hub, lambda record: self._open(record, hub, gone[start:start + SLICE], outages), now,
                         about=gone[start:start + SLICE])
        for start in range(0, len(back), SLICE):
            ledger.write(hub, lambda record: _end(record, back[start:start + SLICE]), now,
                         about=back[start:start + SLICE])
        if hub.fleet.tally.watched:
            ledger.write(hub, lambda record: self._end_outages(record, hub), now)
        return len(gone) + len(back)

    def _is_missed(self, server: Server, now: int, stale: int) -> bool:
        return now - max(server.last_seen_at, self.grace_from) > server.silence_limit(stale) and counts(server)

    def _look_at_the_clock(self, hub: Hub, now: int) -> None:
        moved, self._swept_at = now - self._swept_at, now
        passed, self._swept = (time.monotonic() - self._swept) * 1000, time.monotonic()
        if abs(moved - passed) > JUMP_MS:
            self.grace_from = now
        if moved - passed < -JUMP_MS:  # else who is silent would seem to be back, and who falls silent now would not
            hub.fleet.wind_back(int(passed - moved), now)

    # --- many at once -------------------------------------------------------------------------------------------------

    def _outages(self, hub: Hub, gone: List[Server], now: int) -> List[Outage]:
        """Those that the newly silent belong to: all groups together, or each its own."""
        everyone = [server for server in hub.fleet.servers() if counts(server)]
        groups, silent = _by_group(everyone), _by_group(gone)
        of_all = _outage(hub, ALL, everyone, gone, now) if len(groups) > 1 else None
        if of_all and len(_by_group(of_all.members)) > 1:
            return [of_all]
        found = [_outage(hub, name, groups[name], silent[name], now) for name in sorted(silent) if name in groups]
        return [outage for outage in found if outage]

    def _open(self, record: Record, hub: Hub, gone: List[Server], outages: List[Outage]) -> None:
        """Those of them that are still silent, and still there, by now."""
        known, stale = _open_outages(record), hub.settings["stale_threshold_minutes"]
        for server in gone:
            if self._is_missed(server, record.now, stale) and servers.exists(record.db, server.row["id"]) \
                    and OFFLINE not in events.current(record.db, server.row["id"]):
                outage = _belongs(server, known) or self._declare(record, server, outages, known)
                record.judge(server, OFFLINE, None, _reading(server, server.row["may_be_off"]), NO_NEED,
                             since_at=server.last_seen_at, quiet=_quiet(outage) if outage else "")

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
        for alert in _open_outages(record):
            scope = [server for server in hub.fleet.servers() if counts(server) and _is_in(server, alert)]
            waiting = [server for server in scope if server.last_seen_at < alert.since_at + server.beat_ms()
                       and _overdue(server, hub, record.now)]
            if len(waiting) >= _enough(scope):
                self._eased.pop(alert.id, None)
            elif not waiting or record.now - self._eased.setdefault(alert.id, record.now) > max(
                    server.beat_ms() for server in waiting):
                self._eased.pop(alert.id, None)
                record.judge(None, (OUTAGE, alert.object), alert, None, NO_NEED)
                _release(record, alert, hub)


def regrade(record: Record, server: Server, may_be_off: bool) -> None:
    """People say anew whether the silence of a server is normal: that holds for the one that lasts, too."""
    held = events.current(record.db, server.row["id"]).get(OFFLINE)
    if held is not None:
        record.judge(server, OFFLINE, held, _reading(server, may_be_off), NO_NEED)


def still_silent(outage: Alert, some: Iterable[Server]) -> List[Server]:
    """Those whom an outage is about and who have not come back."""
    return [server for server in some if server.tally.silent and _is_in(server, outage)]


def counts(server: Server) -> bool:
    """Whether anybody waits for this server: it was admitted, and has sent something before."""
    return server.row["approved"] and server.sample is not None


def _is_in(server: Server, outage: Alert) -> bool:
    return outage.object in (ALL, server.row["group_name"])


def _by_group(some: Iterable[Server]) -> Dict[str, List[Server]]:
    groups: Dict[str, List[Server]] = {}
    for server in some:
        groups.setdefault(server.row["group_name"], []).append(server)
    return groups


def _reading(server: Server, may_be_off: bool) -> Reading:
    return alerts.flat("offline", "", INFO if may_be_off else CRITICAL, clock.iso(server.last_seen_at))


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
    return next((alert for alert in known if _is_in(server, alert)
                 and alert.since_at <= server.last_seen_at <= alert.since_at + server.beat_ms()), None)


def _quiet(outage: Alert) -> str:
    return "outage:%d" % outage.id


def _end(record: Record, back: List[Server]) -> None:
    for server in back:
        held = events.current(record.db, server.row["id"]).get(OFFLINE)
        if held is not None:
            record.judge(server, OFFLINE, held, None, NO_NEED)


def _release(record: Record, outage: Alert, hub: Hub) -> None:
    """Those that stay silent are told of one by one, now that the others are back."""
    known, stale = {server.row["id"]: server for server in hub.fleet.servers()}, hub.settings["stale_threshold_minutes"]
    for alert in events.suppressed(record.db, _quiet(outage)):
        server = known.get(alert.server)
        quiet = ledger.MAINTENANCE if server is not None and server.maintenance else ""
        alert = record.change(alert, suppressed_by=quiet, changed_at=record.now)
        if server is not None and not quiet and server.is_silent(record.now, stale):
            record.tell(alerts.OPENED, alert, server, alert.message)
