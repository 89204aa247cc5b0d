"""What was decided about alerts, recorded: rows, history, the bell, and the messages to whoever is to be told.

All of it in the transaction of the decision; the fleet learns of it after the commit (`take_up`). Who is not told,
and why, is decided here: maintenance, a group's outage, and what comes and goes.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from . import alerts, clock
from .alerts import CHANGED, NONE, OPENED, RECOVERED, Look, Need, Reading, State
from .bodies import PROCESS
from .fleet import Server
from .store import events, outbox, servers, versions
from .store.details import encode
from .store.commits import Database
from .store.events import INFO, SEVERITIES, Alert, Tally

Hub = Any  # hub.Hub, which is passed and never imported

FLAPS_MAX, FLAPS_MS = 5, clock.HOUR
STABLE_MINUTES = 30          # without a transition: what flapped is told of again
MAINTENANCE = "maintenance"  # why nobody was told
VALUE_STEP = 1.0             # of its unit: by less, the number of an open alert is not worth a write
RINGING = ("opened", "escalated", "recovered", "flapping", "info", "late_summary", "maintenance_end")
SHOWN = ("uuid", "hostname", "display_name", "ip_address", "group_name")
_NAME, _CPU, _MEMORY = (PROCESS.names.index(name) for name in ("name", "cpu_percent", "memory_percent"))


class Verdict(NamedTuple):
    """What the fleet learns after the commit: tallies by the row id of a server, and how many lines are unread."""

    tallies: Dict[int, Tally]
    unread: int

    def serial(self) -> int:
        return max((tally.serial for tally in self.tallies.values()), default=0)


class Record:
    """What one transaction does to alerts. `close` writes the messages and answers what the fleet is to learn."""

    def __init__(self, db: Database, now: int):
        self.db, self.now = db, now
        self.messages: List[Dict[str, Any]] = []
        self._touched: Set[int] = set()

    def judge(self, server: Optional[Server], key: events.Key, held: Optional[Alert], reading: Optional[Reading],
              need: Need, found: Optional[Look] = None, since_at: Optional[int] = None, quiet: str = "",
              children: Sequence[str] = ()) -> None:
        """Judge one object, and record what changes. server: None for the hub itself and for groups.

        since_at: when it began, if not now. quiet: why nobody is to be told. children: names that the message lists.
        """
        state = State(held.severity, held.since_at, held.run, held.falls_to) if held else None
        after, what = alerts.judge(state, reading, need, self.now)
        if what == OPENED and reading is not None and after is not None:
            if since_at is not None:
                after = after._replace(since_at=since_at)
            quiet = quiet or (MAINTENANCE if server is not None and server.maintenance else "")
            self._open(server, held, after, reading, found, quiet, children)
        elif what == CHANGED and held is not None and after is not None:
            self._change(server, held, after, reading, found)
        elif what == RECOVERED and held is not None:
            self._end(server, held)
        elif after != state:
            self._keep(server, key, held, after, reading)
        if held is not None and held.severity and reading is not None and not what and _moved(held, reading):
            self.change(held, value=reading.value, message=reading.message())

    def inform(self, server: Optional[Server], rule: str, message: str, event: str = "info") -> None:
        """Something that is worth a line and needs nobody: an alert that has ended when it begins. Not more than a few
        in an hour."""
        if events.lines(self.db, _row_id(server), rule, self.now, FLAPS_MS) >= FLAPS_MAX:
            return
        quiet = MAINTENANCE if server is not None and server.maintenance else ""
        alert = events.add(self.db, _row_id(server), rule, "", INFO, self.now, self.now, message=message,
                           opened_at=self.now, ended_at=self.now, suppressed_by=quiet)
        events.note(self.db, alert, event, message, self.now)
        self._touched.add(alert.server)
        if not quiet:
            self.tell(event, alert, server, message)

    def tell(self, event: str, alert: Alert, server: Optional[Server], message: str, was: int = NONE,
             children: Sequence[str] = ()) -> Alert:
        """One message about an alert, and a line of the bell where it is worth one."""
        if event in RINGING or event == "severity" and alert.severity > was:
            events.ring(self.db, alert.id, alert.server, event, alert.severity, message, self.now)
        self.messages.append(_event(event, alert, server, message, self.now, was, children))
        return self.change(alert, told=1, told_at=self.now)

    def say(self, event: str, server: Optional[Server], severity: int, message: str, children: Sequence[str],
            each: Sequence[Tuple[Alert, Optional[Server]]]) -> None:
        """One message about several alerts. Channels that know single alerts only are told of each."""
        events.ring(self.db, None, _row_id(server), event, severity, message, self.now)
        self._touched.add(_row_id(server))
        self.messages.append({
            "event": event, "alert_id": None, "rule": event, "object": "", "severity": SEVERITIES[severity],
            "server": _shown(server), "message": message, "since_at": self.now, "at": self.now,
            "children": list(children),
            "each": [_event(event, alert, about, alert.message, self.now) for alert, about in each]})

    def change(self, alert: Alert, **columns: Any) -> Alert:
        """Update columns of an alert."""
        self._touched.add(alert.server)
        return events.change(self.db, alert, **columns)

    def touch(self, server_id: int) -> None:
        """Its alerts were changed by other means."""
        self._touched.add(server_id)

    def close(self) -> Optional[Verdict]:
        """None when nothing changed."""
        if not self._touched:
            return None
        outbox.add(self.db, self.messages, self.now)
        servers.turn(self.db, sorted(self._touched))
        versions.grow(self.db, versions.ALERTS)
        return Verdict({row_id: events.tally(self.db, row_id) for row_id in self._touched}, events.unread(self.db))

    # --- one object ---------------------------------------------------------------------------------------------------

    def _keep(self, server: Optional[Server], key: events.Key, held: Optional[Alert], after: Optional[State],
              reading: Optional[Reading]) -> None:
        """Neither opened nor ended, but counted."""
        self._touched.add(_row_id(server))
        if held is None:
            assert after is not None and reading is not None
            events.add(self.db, _row_id(server), *key, NONE, after.since_at, self.now, run=after.run,
                       value=reading.value)
        elif after is None:
            events.drop(self.db, held)
        else:
            value = held.value if reading is None or held.severity else reading.value
            self.change(held, since_at=after.since_at, run=after.run, falls_to=after.falls_to, value=value)

    def _open(self, server: Optional[Server], held: Optional[Alert], after: State, reading: Reading,
              found: Optional[Look], quiet: str, children: Sequence[str]) -> None:
        message, row_id = reading.message(), _row_id(server)
        columns = {**NEW_LIFE, "severity": after.severity, "since_at": after.since_at, "opened_at": self.now,
                   "changed_at": self.now, "message": message, "value": reading.value, "threshold": reading.threshold,
                   "processes": _processes(found, reading.rule), "suppressed_by": quiet}
        before = events.flapping(self.db, row_id, reading.rule, reading.object)
        if before is not None and held is not None:
            events.drop(self.db, held)
        alert = before or held
        if alert is None:
            alert = events.add(self.db, row_id, reading.rule, reading.object, **columns)
        else:
            alert = self.change(alert, **columns)
        events.note(self.db, alert, OPENED, message, self.now)
        self._touched.add(row_id)
        if not alert.flapping and not self._flaps(server, alert) and not quiet:
            self.tell(OPENED, alert, server, message, children=children)

    def _change(self, server: Optional[Server], held: Alert, after: State, reading: Optional[Reading],
                found: Optional[Look]) -> None:
        """A rise needs to be seen again by whoever acknowledged the lesser problem."""
        columns: Dict[str, Any] = {"severity": after.severity, "changed_at": self.now, "run": 0, "falls_to": NONE}
        if reading is not None:
            columns.update(message=reading.message(), value=reading.value,
                           processes=_processes(found, reading.rule) or held.processes)
        rises = after.severity > held.severity
        if rises:
            columns.update(acknowledged_at=None, acknowledged_by=None, acknowledged_until=None, escalated_at=None)
            if server is not None and server.maintenance:
                columns["suppressed_by"] = MAINTENANCE
        alert = self.change(held, **columns)
        events.note(self.db, alert, CHANGED, alert.message, self.now)
        if alert.told and not alert.suppressed_by and not alert.flapping:
            self.tell(CHANGED, alert, server, alert.message, was=held.severity)

    def _end(self, server: Optional[Server], held: Alert) -> None:
        """Its end is told to whoever was told of its beginning, whatever else is quiet."""
        alert = self.change(held, ended_at=self.now, changed_at=self.now)
        message = over(alert)
        events.note(self.db, alert, RECOVERED, message, self.now)
        if not alert.flapping and not self._flaps(server, alert) and alert.told:
            self.tell(RECOVERED, alert, server, message)

    def _flaps(self, server: Optional[Server], alert: Alert) -> bool:
        """Whether it opens and recovers too often by now, which is told once. Of what is quiet anyway, it is not."""
        if alert.suppressed_by or events.transitions(self.db, alert, self.now, FLAPS_MS) <= FLAPS_MAX:
            return False
        alert = self.change(alert, flapping=1)
        message = "%s: it comes and goes; quiet until it is stable for %d minutes" % (alert.message, STABLE_MINUTES)
        events.note(self.db, alert, "flapping", message, self.now)
        self.tell("flapping", alert, server, message)
        return True


NEW_LIFE: Dict[str, Any] = {
    "run": 0, "falls_to": NONE, "ended_at": None, "acknowledged_at": None, "acknowledged_by": None,
    "acknowledged_until": None, "note": None, "escalated_at": None}


def _event(event: str, alert: Alert, server: Optional[Server], message: str, now: int, was: int = NONE,
           children: Sequence[str] = ()) -> Dict[str, Any]:
    """What is told of an alert."""
    return {"event": event, "alert_id": alert.id, "rule": alert.rule, "object": alert.object,
            "severity": SEVERITIES[alert.severity], "was_severity": SEVERITIES[was] or None, "server": _shown(server),
            "message": message, "value": alert.value, "threshold": alert.threshold,
            "unit": alerts.BY_KEY[alert.rule].unit if alert.rule in alerts.BY_KEY else "", "since_at": alert.since_at,
            "at": now, "processes": json.loads(alert.processes) if alert.processes else [], "children": list(children)}


def over(alert: Alert) -> str:
    """The message of an alert's end."""
    return alerts.BY_KEY[alert.rule].over % {**alert._asdict(), "detail": clock.iso(alert.since_at)}


def _moved(held: Alert, reading: Reading) -> bool:
    """Whether an open alert is to be written again with the newest number or words."""
    if held.value is not None and reading.value is not None:
        return abs(reading.value - held.value) >= VALUE_STEP
    return reading.message() != held.message


def _processes(found: Optional[Look], rule: str) -> Optional[str]:
    top = found.top.get(rule) if found else None
    return encode([{"name": row[_NAME], "cpu_percent": row[_CPU], "memory_percent": row[_MEMORY]}
                   for row in top]) if top else None


def _row_id(server: Optional[Server]) -> int:
    return server.row["id"] if server is not None else 0


def _shown(server: Optional[Server]) -> Optional[Dict[str, Any]]:
    return {"id": server.row["id"], **{key: server.row[key] for key in SHOWN}} if server is not None else None


# --- after the commit -------------------------------------------------------------------------------------------------

def take_up(hub: Hub, verdict: Optional[Verdict], *servers: Server) -> None:
    """The fleet learns what a transaction made of alerts. servers: those that it can be about; none for any."""
    if verdict is None:
        return
    known = {server.row["id"]: server for server in servers or hub.fleet.servers()}
    if verdict.serial() >= hub.fleet.unread_serial:
        hub.fleet.unread, hub.fleet.unread_serial = verdict.unread, verdict.serial()
    for row_id, tally in verdict.tallies.items():
        about = hub.fleet if row_id == 0 else known.get(row_id)
        if about is not None and tally.serial > about.tally.serial:
            about.tally = tally
    hub.fleet.version += 1


def lose(record: Record, server: Server, why: str) -> None:
    """Nobody watches a server any more: whoever was told of its alerts learns that they are over, and how."""
    for alert in events.current(record.db, server.row["id"]).values():
        if alert.told:
            record.tell(RECOVERED, alert, server, "%s: unknown, as %s" % (alert.message, why))
    events.lose(record.db, server.row["id"], record.now)
    record.touch(server.row["id"])


def load_alerts(hub: Hub, db: Database) -> None:
    """What the fleet knows of alerts, at the start."""
    take_up(hub, Verdict(events.tallies(db), events.unread(db)))


def write(hub: Hub, work: Callable[[Record], Any], now: int, then: Callable[[Any], Any] = bool,
          about: Sequence[Server] = ()) -> Any:
    """Run work(record) in one transaction, let the fleet learn of it, then call then(answer): what work answered.

    about: the servers that it is about, beside those that have alerts already. No other hub moves them meanwhile.
    """
    def transact(db: Database) -> Any:
        hub.peers.hold_alerts(db, about)
        record = Record(db, now)
        answer = work(record)
        return answer, record.close()

    def after(done: Any) -> Any:
        take_up(hub, done[1])
        then(done[0])
        return done[0]
    return hub.engine.write(transact, after)
