"""What time alone does to alerts: repeats, escalation, the end of flapping, of acknowledgements and of maintenance,
and the summary of what late samples told."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from . import alerts, clock, ledger, maintenance, silence
from .alerts import CRITICAL, WARNING
from .fleet import Server
from .ledger import Record
from .store import events, maintenance as windows
from .store.events import Alert

Hub = Any  # hub.Hub, which is passed and never imported

SETTLED_MS = 2 * clock.MINUTE  # without a late sample: the backlog is through
NAMED = 10                     # problems that one message lists
CURRENT = {"cpu": "CPU", "memory": "Memory", "disk": "Disk", "inodes": "Inodes of", "swap": "Swap"}


def remind(hub: Hub, now: int) -> None:
    """Everything that is due now. Servers that were removed meanwhile have nothing that is due."""
    def work(record: Record) -> None:
        known = {server.row["id"]: server for server in hub.fleet.servers()}
        _calm(record, known)
        _lapse(record)
        _repeat(record, hub.settings, known)
        _escalate(record, hub.settings, known)
        _end_maintenance(record, known)
        _sum_up(record, known)
    ledger.write(hub, work, now)


def load_windows(hub: Hub, db: Any) -> None:
    """Take the maintenance windows up from the store."""
    hub.windows = [maintenance.Window(*row) for row in windows.rows(db)]


def mark_maintenance(hub: Hub, now: int) -> None:
    """Note at each server whether it is in maintenance now."""
    open_now = [window for window in hub.windows if maintenance.is_open(window, now)]
    for server in hub.fleet.servers():
        covered = any(maintenance.covers(window, server.row) for window in open_now)
        if covered != server.maintenance:
            server.maintenance = covered
            hub.fleet.version += 1


# --- each of them -----------------------------------------------------------------------------------------------------

def _calm(record: Record, known: Dict[int, Server]) -> None:
    """What flapped has been one way for a while: which way is told now."""
    for alert in events.calm(record.db, record.now, ledger.STABLE_MINUTES * clock.MINUTE):
        alert = record.change(alert, flapping=0, changed_at=record.now)
        server = known.get(alert.server)
        if alert.ended_at is not None:
            record.tell(alerts.RECOVERED, alert, server, ledger.over(alert))
        elif _is_quiet(alert, known):
            record.change(alert, suppressed_by=alert.suppressed_by or ledger.MAINTENANCE)
        elif not alert.suppressed_by:
            record.tell(alerts.OPENED, alert, server, alert.message)


def _lapse(record: Record) -> None:
    for alert in events.lapsed(record.db, record.now):
        record.change(alert, acknowledged_at=None, acknowledged_by=None, acknowledged_until=None)
        events.note(record.db, alert, "unacknowledged", alert.message, record.now)


def _repeat(record: Record, settings: Dict[str, Any], known: Dict[int, Server]) -> None:
    for severity, key in ((WARNING, "alert_repeat_warning_hours"), (CRITICAL, "alert_repeat_critical_hours")):
        if settings[key]:
            for alert in events.untold_for_long(record.db, severity, record.now, settings[key] * clock.HOUR):
                if not _is_quiet(alert, known):
                    record.tell("repeat", alert, known.get(alert.server), alert.message)


def _escalate(record: Record, settings: Dict[str, Any], known: Dict[int, Server]) -> None:
    if settings["alert_escalate_minutes"]:
        for alert in events.unanswered(record.db, record.now, settings["alert_escalate_minutes"] * clock.MINUTE):
            if not _is_quiet(alert, known):
                alert = record.change(alert, escalated_at=record.now)
                events.note(record.db, alert, "escalated", alert.message, record.now)
                record.tell("escalated", alert, known.get(alert.server), alert.message)


def _end_maintenance(record: Record, known: Dict[int, Server]) -> None:
    """One message says what is still wrong with the servers whose maintenance is over."""
    held: List[Alert] = []
    for alert in events.suppressed(record.db, ledger.MAINTENANCE):
        if not _is_quiet(alert, known):
            held.append(record.change(alert, suppressed_by="", told=1, told_at=record.now, changed_at=record.now))
    if held:
        servers = {alert.server for alert in held}
        lines = ["%s: %s" % (_name(known.get(alert.server)), alert.message) for alert in held]
        record.say("maintenance_end", known.get(held[0].server) if len(servers) == 1 else None,
                   max(alert.severity for alert in held),
                   "After maintenance, still wrong: %s" % _listed(lines), lines,
                   [(alert, known.get(alert.server)) for alert in held])


def _is_quiet(alert: Alert, known: Dict[int, Server]) -> bool:
    """Whether maintenance covers what an alert is about: of a group's outage, everyone who is still silent."""
    if alert.rule == silence.OUTAGE:
        return all(server.maintenance for server in silence.still_silent(alert, known.values()))
    server = known.get(alert.server)
    return server is not None and server.maintenance


def _sum_up(record: Record, known: Dict[int, Server]) -> None:
    """One message for each server says what its late samples told."""
    for row_id, peaks in events.settled_peaks(record.db, record.now, SETTLED_MS).items():
        server = known.get(row_id)
        if server is not None:
            first, last = min(peak["first_at"] for peak in peaks), max(peak["last_at"] for peak in peaks)
            lines = [_peak(peak, server) for peak in peaks]
            record.inform(server, "late", "While disconnected, %s to %s: %s" % (
                clock.iso(first), clock.iso(last), _listed(lines)), "late_summary")


def _peak(peak: Dict[str, Any], server: Server) -> str:
    what = ("%s %s" % (CURRENT[peak["rule"]], peak["object"])).strip()
    now = _value_now(peak, server)
    return "%s reached %.1f%% at %s%s" % (what, peak["value"], clock.iso(peak["at"]),
                                          ", now %.1f%%" % now if now is not None else "")


def _value_now(peak: Dict[str, Any], server: Server) -> Any:
    cpu, memory, disks, _ = server.sample.card if server.sample else (None, None, [], None)
    return {"cpu": cpu, "memory": memory, "disk": dict(map(tuple, disks)).get(peak["object"])}.get(peak["rule"])


def _listed(lines: Sequence[str]) -> str:
    more = len(lines) - NAMED
    return "; ".join(lines[:NAMED]) + (" (and %d more)" % more if more > 0 else "")


def _name(server: Any) -> str:
    return server.row["display_name"] if server is not None else "hub"
