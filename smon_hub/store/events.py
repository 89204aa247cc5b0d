"""Alerts, what happened to them, and the bell's lines. When an alert opens and who is told is decided by others.

Severities are ranks (alerts.SEVERITIES) in the tables and words in answers. An alert is current while ended_at is NULL:
at most one for each (server, rule, object). Server 0 stands for the hub itself and for groups.
"""

from __future__ import annotations

import itertools
import json
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from .. import clock
from .commits import Database, insert, marks

NONE, INFO, WARNING, CRITICAL = range(4)
SEVERITIES = ("", "info", "warning", "critical")
STATES = {  # of answers, as SQL
    "active": "a.ended_at IS NULL AND a.acknowledged_at IS NULL AND a.opened_at IS NOT NULL AND a.severity > 1",
    "open": "a.ended_at IS NULL AND a.opened_at IS NOT NULL",
    "resolved": "a.ended_at IS NOT NULL",
    "all": "a.opened_at IS NOT NULL",
}
WORST_FIRST = "CASE WHEN a.server = 0 THEN 0 ELSE 1 END, a.severity DESC, a.id DESC"
IDS_AT_ONCE = 400  # below the 999 values of an old SQLite
AHEAD_MS = clock.HOUR
Key = Tuple[str, str]  # rule, object
_serials = itertools.count(1)


class Alert(NamedTuple):
    """A row of the table."""

    id: int
    server: int
    rule: str
    object: str
    severity: int
    message: str
    value: Optional[float]
    threshold: Optional[float]
    processes: Optional[str]
    run: int
    falls_to: int
    since_at: int
    opened_at: Optional[int]
    changed_at: int
    ended_at: Optional[int]
    unknown_since: Optional[int]
    acknowledged_at: Optional[int]
    acknowledged_by: Optional[str]
    acknowledged_until: Optional[int]
    note: Optional[str]
    suppressed_by: str
    flapping: int
    told: int
    told_at: Optional[int]
    escalated_at: Optional[int]


class Tally(NamedTuple):
    """A server's current alerts: the severity of the worst open one, how many are active, how many of them critical;
    whether there is any row at all, open or waiting; whether its silence is one of them.

    serial: grows, as two works of one transaction may tell of it in another order than that in which they were done.
    """

    worst: str = ""
    active: int = 0
    critical: int = 0
    watched: bool = False
    silent: bool = False
    serial: int = 0


COLUMNS = Alert._fields
_SELECT = "SELECT %s FROM alerts " % ", ".join(COLUMNS)
NEW: Dict[str, Any] = {
    "message": "", "value": None, "threshold": None, "processes": None, "run": 0, "falls_to": 0, "opened_at": None,
    "ended_at": None, "unknown_since": None, "acknowledged_at": None, "acknowledged_by": None,
    "acknowledged_until": None, "note": None, "suppressed_by": "", "flapping": 0, "told": 0, "told_at": None,
    "escalated_at": None}


# --- current alerts ---------------------------------------------------------------------------------------------------

def current(db: Database, server: int) -> Dict[Key, Alert]:
    """What waits or is open of a server."""
    found = db.execute(_SELECT + "WHERE server = ? AND ended_at IS NULL", [server])
    return {(alert.rule, alert.object): alert for alert in map(Alert._make, found)}


def current_of(db: Database, rule: str) -> List[Alert]:
    """What is open of a rule, of all servers."""
    return [Alert(*values) for values in db.execute(
        _SELECT + "WHERE rule = ? AND ended_at IS NULL AND opened_at IS NOT NULL ORDER BY id", [rule])]


def current_servers(db: Database) -> List[int]:
    """The servers of which something waits or is open, or comes and goes."""
    return [server for server, in db.execute(
        "SELECT DISTINCT server FROM alerts WHERE server <> 0 AND (ended_at IS NULL OR flapping = 1)")]


def by_ids(db: Database, ids: Sequence[int]) -> List[Alert]:
    found: List[Alert] = []
    for start in range(0, len(ids), IDS_AT_ONCE):
        some = ids[start:start + IDS_AT_ONCE]
        found += map(Alert._make, db.execute(
            _SELECT + "WHERE opened_at IS NOT NULL AND unknown_since IS NULL AND id IN (%s)"
            % marks(some), some))
    return found


def add(db: Database, server: int, rule: str, object: str, severity: int, since_at: int, changed_at: int,
        **columns: Any) -> Alert:
    """Insert an alert; raises when there is a current one of the same object."""
    row = {**NEW, **columns, "server": server, "rule": rule, "object": object, "severity": severity,
           "since_at": since_at, "changed_at": changed_at}
    values = [row[name] for name in COLUMNS[1:]]
    return Alert(insert(db, "alerts", COLUMNS[1:], values), *values)


def change(db: Database, alert: Alert, **columns: Any) -> Alert:
    """Update the columns that are given."""
    db.execute("UPDATE alerts SET %s WHERE id = ?" % ", ".join(name + " = ?" for name in columns),
               [*columns.values(), alert.id])
    return alert._replace(**columns)


def drop(db: Database, alert: Alert) -> None:
    """Forget one that waited and never opened."""
    db.execute("DELETE FROM alerts WHERE id = ?", [alert.id])


def note(db: Database, alert: Alert, event: str, message: str, at: int, who: Optional[str] = None) -> None:
    """A line of an alert's history."""
    db.execute("INSERT INTO alert_events (alert, server, rule, object, at, event, severity, message, who) "
               "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
               [alert.id, alert.server, alert.rule, alert.object, at, event, alert.severity, message, who])


def transitions(db: Database, alert: Alert, now: int, span: int) -> int:
    """How often an object opened and recovered within a span of milliseconds."""
    return db.execute("SELECT COUNT(*) FROM alert_events WHERE server = ? AND rule = ? AND object = ? "
                      "AND at BETWEEN ? AND ? AND event IN ('opened', 'recovered')",
                      [alert.server, alert.rule, alert.object, *_within(now, span)]).fetchone()[0]


def lines(db: Database, server: int, rule: str, now: int, span: int) -> int:
    """How much happened to a server by one rule within a span of milliseconds."""
    return db.execute("SELECT COUNT(*) FROM alert_events WHERE server = ? AND rule = ? AND object = '' "
                      "AND at BETWEEN ? AND ?", [server, rule, *_within(now, span)]).fetchone()[0]


def flapping(db: Database, server: int, rule: str, object: str) -> Optional[Alert]:
    """The alert of an object that opens and recovers too often, whether it is open now or not."""
    found = db.execute(_SELECT + "WHERE flapping = 1 AND server = ? AND rule = ? AND object = ?",
                       [server, rule, object]).fetchone()
    return Alert(*found) if found else None


def calm(db: Database, now: int, span: int) -> List[Alert]:
    """Those that flapped, and have not moved for a span of milliseconds."""
    return [Alert(*values) for values in db.execute(
        _SELECT + "WHERE flapping = 1 AND changed_at NOT BETWEEN ? AND ?", _within(now, span))]


def suppressed(db: Database, by: str) -> List[Alert]:
    """Open ones that nobody was told of for this reason."""
    return [Alert(*values) for values in db.execute(
        _SELECT + "WHERE ended_at IS NULL AND opened_at IS NOT NULL AND suppressed_by = ? ORDER BY id", [by])]


def untold_for_long(db: Database, severity: int, now: int, span: int) -> List[Alert]:
    """Active ones of a severity whose last message went out a span of milliseconds ago."""
    return [Alert(*values) for values in db.execute(
        _SELECT + "WHERE ended_at IS NULL AND acknowledged_at IS NULL AND opened_at IS NOT NULL AND severity = ? "
        "AND told = 1 AND flapping = 0 AND suppressed_by = '' AND told_at NOT BETWEEN ? AND ? ORDER BY id",
        [severity, *_within(now, span)])]


def unanswered(db: Database, now: int, span: int) -> List[Alert]:
    """Critical ones that were told of, that nobody acknowledged within a span, and that were not escalated."""
    return [Alert(*values) for values in db.execute(
        _SELECT + "WHERE ended_at IS NULL AND acknowledged_at IS NULL AND opened_at IS NOT NULL AND severity = 3 "
        "AND told = 1 AND flapping = 0 AND suppressed_by = '' AND escalated_at IS NULL "
        "AND changed_at NOT BETWEEN ? AND ? ORDER BY id", _within(now, span))]


def _within(now: int, span: int) -> Tuple[int, int]:
    """The first and the last moment of a span that ends now. What is a little ahead is of now, too; what is further
    ahead was written before the hub's clock was put back, and is long ago."""
    return now - span + 1, now + AHEAD_MS


def tally(db: Database, server: int) -> Tally:
    return _tally(*db.execute(_TALLY + "WHERE ended_at IS NULL AND server = ?", [server]).fetchone())


def tallies(db: Database, ids: Optional[Sequence[int]] = None) -> Dict[int, Tally]:
    """Every server that has a current alert; of these ids, also those that have none."""
    some = "" if ids is None else "AND server IN (%s) " % marks(ids)
    found = {server: _tally(*values) for server, *values in db.execute(
        "SELECT server, %s WHERE ended_at IS NULL %sGROUP BY 1" % (_TALLY[len("SELECT "):], some), ids or ())}
    return {**{server: _tally(0) for server in ids or ()}, **found}


_TALLY = ("SELECT COUNT(*), MAX(CASE WHEN opened_at IS NULL THEN 0 ELSE severity END), "
          "SUM(CASE WHEN opened_at IS NOT NULL AND acknowledged_at IS NULL AND severity > 1 THEN 1 ELSE 0 END), "
          "SUM(CASE WHEN opened_at IS NOT NULL AND acknowledged_at IS NULL AND severity = 3 THEN 1 ELSE 0 END), "
          "SUM(CASE WHEN rule = 'offline' THEN 1 ELSE 0 END) FROM alerts ")


def _tally(rows: int, *of_them: Optional[int]) -> Tally:
    worst, active, critical, silent = (value or 0 for value in of_them or (0, 0, 0, 0))
    return Tally(SEVERITIES[worst] if worst > INFO else "", active, critical, rows > 0, silent > 0, next(_serials))


# --- acknowledging, removal, retention --------------------------------------------------------------------------------

def lapsed(db: Database, now: int) -> List[Alert]:
    """Open ones whose acknowledgement was for a time that is over."""
    return [Alert(*values) for values in db.execute(
        _SELECT + "WHERE ended_at IS NULL AND acknowledged_until <= ?", [now])]


def lose(db: Database, server: int, now: int) -> None:
    """Nobody watches a server any more: what was open of it is neither open nor resolved, nothing of it is told later,
    and its lines of the bell are read."""
    db.execute("UPDATE alerts SET unknown_since = ?, ended_at = ? WHERE server = ? AND ended_at IS NULL",
               [now, now, server])
    db.execute("UPDATE alerts SET flapping = 0 WHERE server = ? AND flapping = 1", [server])
    db.execute("DELETE FROM late_peaks WHERE server = ?", [server])
    db.execute("UPDATE notifications SET is_read = 1 WHERE server = ?", [server])


def drop_old(db: Database, before: int, most: int) -> int:
    """Delete at most `most` alerts that ended before a moment, with their history; how many went."""
    ids = [row_id for row_id, in db.execute("SELECT id FROM alerts WHERE ended_at < ? AND flapping = 0 LIMIT ?",
                                            [before, min(most, IDS_AT_ONCE)])]
    db.execute("DELETE FROM alert_events WHERE alert IN (%s)" % marks(ids), ids)
    db.execute("DELETE FROM alerts WHERE id IN (%s)" % marks(ids), ids)
    return len(ids)


def drop_old_notifications(db: Database, before: int, most: int) -> int:
    """Delete at most `most` of the bell's lines from before a moment; how many went."""
    return db.execute("DELETE FROM notifications WHERE id IN (SELECT id FROM notifications WHERE at < ? LIMIT ?)",
                      [before, most]).rowcount


# --- the bell ---------------------------------------------------------------------------------------------------------

def ring(db: Database, alert_id: Optional[int], server: int, event: str, severity: int, message: str, at: int) -> None:
    db.execute("INSERT INTO notifications (alert, server, at, event, severity, message, is_read) "
               "VALUES (?, ?, ?, ?, ?, ?, 0)", [alert_id, server, at, event, severity, message])


def unread(db: Database) -> int:
    return db.execute("SELECT COUNT(*) FROM notifications WHERE is_read = 0").fetchone()[0]


def read_one(db: Database, row_id: int) -> bool:
    """False when there is no such line."""
    return db.execute("UPDATE notifications SET is_read = 1 WHERE id = ?", [row_id]).rowcount == 1


def read_all(db: Database) -> int:
    """How many were unread."""
    return db.execute("UPDATE notifications SET is_read = 1 WHERE is_read = 0").rowcount


def read_of(db: Database, alert_id: int) -> None:
    db.execute("UPDATE notifications SET is_read = 1 WHERE alert = ? AND is_read = 0", [alert_id])


def notifications(db: Database, limit: int) -> List[Dict[str, Any]]:
    """The newest unread lines as the API shows them."""
    found = db.execute(
        "SELECT n.id, n.alert, n.at, n.message, n.is_read, n.event, n.severity, s.uuid, s.hostname, s.display_name, "
        "s.ip_address, a.rule, a.object, a.value, a.threshold FROM notifications n "
        "LEFT JOIN servers s ON s.id = n.server LEFT JOIN alerts a ON a.id = n.alert "
        "WHERE n.is_read = 0 AND (n.server = 0 OR s.id IS NOT NULL) ORDER BY n.id DESC LIMIT ?", [limit])
    return [{"id": row_id, "alert_id": alert, "timestamp": clock.iso(at), "channel": "dashboard", "message": message,
             "is_read": bool(is_read), "event": event, "server_id": uuid,
             "severity": SEVERITIES[severity], "alert_type": rule, "object": object, "metric_value": value,
             "threshold_value": threshold, "hostname": hostname, "display_name": display_name,
             "ip_address": ip_address}
            for row_id, alert, at, message, is_read, event, severity, uuid, hostname, display_name, ip_address, rule,
            object, value, threshold in found]


# --- answers ----------------------------------------------------------------------------------------------------------

def listed(db: Database, state: str, server: Optional[int] = None, limit: int = 100,
           before: Optional[int] = None) -> List[Dict[str, Any]]:
    """Alerts of a state (a key of STATES) as the API shows them, newest first; before: only smaller ids."""
    where, values = STATES[state], []  # type: str, List[Any]
    for clause, value in (("a.server = ?", server), ("a.id < ?", before)):
        if value is not None:
            where, values = "%s AND %s" % (where, clause), values + [value]
    return _answers(db, where, values + [limit])


def worst(db: Database, limit: int) -> List[Dict[str, Any]]:
    """Active alerts: the hub's own first, which may tell of many servers at once, then the most severe, then the
    newest."""
    return _answers(db, STATES["active"], [limit], WORST_FIRST)


def for_server(db: Database, server: int, since: int, limit: int) -> List[Dict[str, Any]]:
    """A server's open alerts, and those that were open after a moment; newest first."""
    return _answers(db, "a.server = ? AND a.opened_at IS NOT NULL AND (a.ended_at IS NULL OR a.ended_at > ?)",
                    [server, since, limit])


def one(db: Database, row_id: int) -> Optional[Dict[str, Any]]:
    """An alert with its history."""
    found = _answers(db, "a.id = ? AND a.opened_at IS NOT NULL", [row_id, 1])
    return {**found[0], "events": _history(db, row_id)} if found else None


def _history(db: Database, row_id: int) -> List[Dict[str, Any]]:
    found = db.execute("SELECT at, event, severity, message, who FROM alert_events WHERE alert = ? ORDER BY id",
                       [row_id])
    return [{"at": clock.iso(at), "event": event, "severity": SEVERITIES[severity], "message": message, "who": who}
            for at, event, severity, message, who in found]


def _answers(db: Database, where: str, values: Iterable[Any], order: str = "a.id DESC") -> List[Dict[str, Any]]:
    found = db.execute("SELECT %s, s.uuid, s.hostname, s.display_name, s.group_name FROM alerts a "
                       "LEFT JOIN servers s ON s.id = a.server WHERE (a.server = 0 OR s.id IS NOT NULL) AND %s "
                       "ORDER BY %s LIMIT ?" % (", ".join("a." + name for name in COLUMNS), where, order), list(values))
    width = len(COLUMNS)
    return [_answer(Alert(*row[:width]), *row[width:]) for row in found]


def _answer(alert: Alert, uuid: Optional[str], hostname: Optional[str], display_name: Optional[str],
            group_name: Optional[str]) -> Dict[str, Any]:
    return {"id": alert.id, "server_id": uuid, "timestamp": clock.iso(alert.opened_at or alert.since_at),
            "alert_type": alert.rule, "object": alert.object, "severity": SEVERITIES[alert.severity],
            "message": alert.message, "metric_value": alert.value, "threshold_value": alert.threshold,
            "state": "resolved" if alert.ended_at is not None else "acknowledged" if alert.acknowledged_at is not None
            else "active",
            "resolved_at": clock.iso_or_none(alert.ended_at), "since_at": clock.iso(alert.since_at),
            "is_acknowledged": alert.acknowledged_at is not None,
            "acknowledged_at": clock.iso_or_none(alert.acknowledged_at), "acknowledged_by": alert.acknowledged_by,
            "acknowledged_until": clock.iso_or_none(alert.acknowledged_until), "note": alert.note,
            "suppressed_by": alert.suppressed_by or None, "flapping": bool(alert.flapping),
            "processes": json.loads(alert.processes) if alert.processes else [], "hostname": hostname,
            "display_name": display_name, "group_name": group_name}


# --- what late samples tell -------------------------------------------------------------------------------------------

def keep_peak(db: Database, server: int, key: Key, value: float, threshold: float, at: int, now: int) -> None:
    """A late sample was at or above a threshold at a moment."""
    db.execute("INSERT INTO late_peaks (server, rule, object, value, threshold, at, first_at, last_at, stored_at) "
               "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (server, rule, object) DO UPDATE SET "
               "at = CASE WHEN excluded.value > late_peaks.value THEN excluded.at ELSE late_peaks.at END, "
               "value = CASE WHEN excluded.value > late_peaks.value THEN excluded.value ELSE late_peaks.value END, "
               "first_at = CASE WHEN excluded.at < late_peaks.first_at THEN excluded.at ELSE late_peaks.first_at END, "
               "last_at = CASE WHEN excluded.at > late_peaks.last_at THEN excluded.at ELSE late_peaks.last_at END, "
               "stored_at = excluded.stored_at", [server, *key, value, threshold, at, at, at, now])


def settled_peaks(db: Database, now: int, span: int) -> Dict[int, List[Dict[str, Any]]]:
    """By server, the peaks of those that brought none within a span of milliseconds; they are taken out."""
    quiet = "server IN (SELECT server FROM late_peaks GROUP BY server HAVING MAX(stored_at) NOT BETWEEN ? AND ?)"
    names = ("rule", "object", "value", "threshold", "at", "first_at", "last_at")
    peaks: Dict[int, List[Dict[str, Any]]] = {}
    for server, *values in db.execute("SELECT server, %s FROM late_peaks WHERE %s ORDER BY server, rule, object"
                                      % (", ".join(names), quiet), _within(now, span)):
        peaks.setdefault(server, []).append(dict(zip(names, values)))
    db.executemany("DELETE FROM late_peaks WHERE server = ?", [(server,) for server in peaks])
    return peaks
