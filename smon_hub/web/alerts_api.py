"""Alerts, the bell and maintenance windows, for pages and scripts."""

from __future__ import annotations

import re
from typing import Any, Dict, List

from .. import clock, ledger, maintenance
from ..errors import HubError
from ..store import events, maintenance as windows_store, versions
from .call import Call, Text, find_server, no_such, tagged

NOTIFICATIONS_SHOWN = 50
TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")

Hub = Any  # hub.Hub, which is passed and never imported


# --- alerts -----------------------------------------------------------------------------------------------------------

def alerts(hub: Hub, call: Call) -> Text:
    """The active alerts, as the seed's clients know them, or those of another state."""
    query, server = call.query, None
    if query["server"]:
        server = find_server(hub, query["server"]).row["id"]
    return tagged({"alerts": events.listed(hub.engine.read(), query["state"], server, query["limit"], query["before"])})


def alert(hub: Hub, call: Call) -> Dict[str, Any]:
    """One alert, and each moment of its life."""
    found = events.one(hub.engine.read(), call.row_id("alert_id", "alert"))
    if found is None:
        raise no_such("alert")
    return {"alert": found}


def acknowledge(hub: Hub, call: Call) -> Dict[str, Any]:
    """Somebody looks after these: no repeats and no escalation. Their lines of the bell are read, too."""
    body = call.body
    ids = sorted({*(body["alert_ids"] or ()), *([body["alert_id"]] if body["alert_id"] else ())})
    if not ids:
        raise HubError("bad_request", "alert_id or alert_ids must name an alert.", field="alert_id")
    if body["until"] is not None and body["until"] <= call.now:
        raise HubError("bad_request", "until must be a moment to come.", field="until")

    def work(record: ledger.Record) -> None:
        found = events.by_ids(record.db, ids)
        if len(found) != len(ids):
            raise HubError("not_found", "No such alert: %s." % ", ".join(
                str(each) for each in sorted({*ids} - {each.id for each in found})[:10]))
        for each in found:
            record.change(each, acknowledged_at=call.now, acknowledged_by=call.caller.who, note=body["note"],
                          acknowledged_until=body["until"])
            events.note(record.db, each, "acknowledged", body["note"] or each.message, call.now, call.caller.who)
            events.read_of(record.db, each.id)
        call.note(record.db, "alert.acknowledge", ", ".join(map(str, ids)), {"note": [None, body["note"]]})
    ledger.write(hub, work, call.now)
    return {"status": "ok", "acknowledged": ids}


# --- the bell ---------------------------------------------------------------------------------------------------------

def notifications(hub: Hub, call: Call) -> Text:
    """The newest unread lines."""
    return tagged({"notifications": events.notifications(hub.engine.read(), NOTIFICATIONS_SHOWN),
                   "unread": hub.fleet.unread})


def read(hub: Hub, call: Call) -> Dict[str, Any]:
    """Mark one line as read, or all."""
    row_id, everything = call.body["notification_id"], call.body["mark_all"]
    if everything is False or row_id is None and everything is None:
        raise HubError("bad_request", "notification_id must name a line, or mark_all must be true.",
                       field="mark_all" if everything is False else "notification_id")

    def work(record: ledger.Record) -> None:
        if everything:
            events.read_all(record.db)
        elif not events.read_one(record.db, row_id):
            raise no_such("notification")
        call.note(record.db, "notification.read", "all" if everything else str(row_id), {})
        record.touch(0)
    ledger.write(hub, work, call.now)
    return {"status": "ok", "unread": hub.fleet.unread}


# --- maintenance ------------------------------------------------------------------------------------------------------

def windows(hub: Hub, call: Call) -> Text:
    """Every window, and when it is open next."""
    return tagged({"windows": [_shown(window, call.now) for window in hub.windows]})


def add_window(hub: Hub, call: Call) -> Dict[str, Any]:
    """From its beginning to its end alerts are recorded, and nobody is told of them."""
    row = _window(hub, call)

    def work(db: Any) -> int:
        call.note(db, "maintenance.add", row["name"], {
            key: [None, row[key]] for key in ("scope", "target", "kind", "minutes", "zone")})
        return windows_store.add(db, row)
    row_id = hub.engine.write(work)
    hub.peers.reload(versions.WINDOWS)
    made = next((window for window in hub.windows if window.id == row_id), None)  # it may be gone again by now
    return {"status": "ok", "window": _shown(made, call.now) if made else None}


def remove_window(hub: Hub, call: Call) -> Dict[str, Any]:
    """Remove a window. What is wrong when it was open is told at once."""
    row_id = call.row_id("window_id", "maintenance window")

    def work(db: Any) -> None:
        if not windows_store.remove(db, row_id):
            raise no_such("maintenance window")
        name = next((window.name for window in hub.windows if window.id == row_id), "")
        call.note(db, "maintenance.remove", name, {"id": [row_id, None]})
    hub.engine.write(work)
    hub.peers.reload(versions.WINDOWS)
    hub.jobs.wake("remind")
    return {"status": "ok"}


def _window(hub: Hub, call: Call) -> Dict[str, Any]:
    """The row of a checked body. Raises HubError where members do not go together."""
    body, scope = call.body, call.body["scope"] or "all"
    zone = body["zone"] or "UTC"
    maintenance.zone_of(zone)
    if (scope == "all") != (body["target"] is None):
        raise _wrong("target", "must name the %s." % scope if scope != "all" else "must be absent for all servers.")
    if scope == "server":
        find_server(hub, body["target"])
    return {"name": body["name"], "scope": scope, "target": body["target"] or "", "kind": body["kind"],
            "minutes": body["minutes"], "zone": zone, "created_at": call.now, "created_by": call.caller.who,
            **_beginning(body)}


def _beginning(body: Dict[str, Any]) -> Dict[str, Any]:
    if body["kind"] == "once":
        if body["starts_at"] is None:
            raise _wrong("starts_at", "must say when it begins.")
        return {"starts_at": body["starts_at"], "start_minute": None, "days": []}
    start = TIME_OF_DAY.fullmatch(body["start"] or "")
    if not start:
        raise _wrong("start", "must be a time of day such as 02:30.")
    days: List[int] = sorted(set(body["days"] or ())) if body["kind"] == "weekly" else []
    if body["kind"] == "weekly" and not days:
        raise _wrong("days", "must name weekdays, 0 (Monday) to 6.")
    return {"starts_at": None, "start_minute": int(start.group(1)) * 60 + int(start.group(2)), "days": days}


def _shown(window: maintenance.Window, now: int) -> Dict[str, Any]:
    span = maintenance.span(window, now)
    minute = window.start_minute
    return {"id": window.id, "name": window.name, "scope": window.scope, "target": window.target or None,
            "kind": window.kind, "minutes": window.minutes, "zone": window.zone, "days": list(window.days),
            "starts_at": clock.iso_or_none(window.starts_at),
            "start": "%02d:%02d" % divmod(minute, 60) if minute is not None else None,
            "open": span is not None and span[0] <= now, "begins_at": clock.iso(span[0]) if span else None,
            "ends_at": clock.iso(span[1]) if span else None, "created_at": clock.iso(window.created_at),
            "created_by": window.created_by}


def _wrong(field: str, says: str) -> HubError:
    return HubError("bad_request", "%s %s" % (field, says), field=field)
