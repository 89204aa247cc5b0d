"""The channels that messages leave by: what they are, what became of their messages, and whether they work."""

from __future__ import annotations

import json
from concurrent.futures import Future
from typing import Any, Dict, Optional

from .. import bodies, channels, clock, shapes
from ..errors import HubError
from ..messages import SEVERITIES
from ..store import audit, outbox
from ..store import channels as store
from ..store.commits import Database
from .call import Call, no_such

DEFAULTS = {"enabled": True, "severities": ["warning", "critical"], "groups": [], "escalation": False}
MAIL_CONFIG = ("alert_email_to", "alert_email_from", "alert_email_smtp_host", "alert_email_smtp_port",
               "alert_email_smtp_user", "alert_email_smtp_password", "alert_email_smtp_security")

Hub = Any  # hub.Hub, which is passed and never imported


def listed(hub: Hub, call: Call) -> Dict[str, Any]:
    """Every channel without its secrets, the kinds there are, and how the dead-man's switch does."""
    db = hub.engine.read()
    counts = outbox.counts(db, call.now - clock.DAY)
    beat = hub.delivery.heartbeat
    return {"channels": [_answer(hub, row, counts.get(row["id"], {})) for row in store.rows(db)],
            "kinds": channels.schema(),
            "dead_man": beat and {"at": clock.iso(beat.at), "error": beat.error or None}}


def add(hub: Hub, call: Call) -> Dict[str, Any]:
    """Add a channel."""
    given = dict(DEFAULTS, **_members(call.body))
    kind = channels.KINDS.get(str(call.body.get("kind", "")))
    if kind is None:
        raise HubError("bad_request", "kind must be one of: %s." % ", ".join(channels.KINDS), field="kind")
    if "name" not in given:
        raise HubError("bad_request", "name is missing.", field="name")
    row = _row(given)
    row.update(kind=kind.name, config=channels.clean(kind, call.body.get("config", {}), hub.delivery.rules(), {}))

    def work(db: Database) -> int:
        call.note(db, "channel.add", row["name"], audit.changed({}, _shown(row)))
        return store.add(db, row)
    return {"status": "ok", "id": hub.engine.write(work)}


def change(hub: Hub, call: Call) -> Dict[str, Any]:
    """Change the members of a channel that were sent; secrets that were not sent stay."""
    old = _find(hub, call)
    given = _members(call.body)
    if old["id"] == store.MAIL and ("config" in call.body or "enabled" in given):
        raise HubError("bad_request", "What this channel needs and whether it is enabled are settings: "
                       "alert_email_enabled and its neighbours.", field="config")
    columns = _row(given, old)
    if "config" in call.body:
        columns["config"] = channels.clean(channels.KINDS[old["kind"]], call.body["config"], hub.delivery.rules(),
                                           old["config"])
    if not columns:
        raise HubError("bad_request", "The body names none of: config, %s." % ", ".join(bodies.CHANNEL.names))

    def work(db: Database) -> None:
        call.note(db, "channel.change", old["name"], audit.changed(_shown(old), _shown({**old, **columns})))
        if not store.change(db, old["id"], columns):
            raise no_such("channel")
    hub.engine.write(work)
    hub.delivery.changed(old["id"])
    return {"status": "ok"}


def remove(hub: Hub, call: Call) -> Dict[str, Any]:
    """Remove a channel, what waits for it and its log."""
    old = _find(hub, call)
    if old["id"] == store.MAIL:
        raise HubError("conflict", "This channel is part of the settings; alert_email_enabled switches it off.")

    def work(db: Database) -> None:
        if not store.remove(db, old["id"]):
            raise no_such("channel")
        call.note(db, "channel.remove", old["name"], {})
    hub.engine.write(work)
    return {"status": "ok", "message": "Channel removed."}


def test(hub: Hub, call: Call) -> "Future[Dict[str, Any]]":
    """Send a test message now. 409 with what the receiver said when it did not take it."""
    found = _find(hub, call)
    hub.engine.write(lambda db: call.note(db, "channel.test", found["name"], {}))
    return hub.delivery.test(found)


def deliveries(hub: Hub, call: Call) -> Dict[str, Any]:
    """The newest messages of a channel and what became of each."""
    found = _find(hub, call)
    return {"deliveries": [_delivery(row) for row in outbox.log(hub.engine.read(), found["id"], call.query["limit"])]}


def _members(body: Any) -> Dict[str, Any]:
    """What a body says beside kind and config. Raises HubError."""
    if type(body) is not dict:
        raise HubError("bad_request", "The body must be a JSON object.")
    sent = {key: value for key, value in body.items() if key in bodies.CHANNEL.names}
    given = shapes.clean(bodies.CHANNEL, sent) if sent else {}
    if "severities" in given:
        given["severities"] = [word for word in SEVERITIES if word in given["severities"]]
    return given


def _row(given: Dict[str, Any], old: Optional[store.Row] = None) -> store.Row:
    """The members as columns. A channel that would never be told anything is refused."""
    row = dict(given)
    if "groups" in row:
        row["group_names"] = row.pop("groups")
    whole = {**(old or {}), **row}
    if not whole["severities"] and not whole["escalation"]:
        raise HubError("bad_request", "severities must name at least one of %s, unless escalation is true."
                       % ", ".join(SEVERITIES), field="severities")
    return row


def _find(hub: Hub, call: Call) -> store.Row:
    row_id = call.row_id("channel_id", "channel")
    found = store.one(hub.engine.read(), row_id)
    if found is None:
        raise no_such("channel")
    return found


def _answer(hub: Hub, row: store.Row, counts: Dict[str, int]) -> Dict[str, Any]:
    config, target = channels.shown(channels.KINDS[row["kind"]], row["config"]), channels.target(row["config"])
    if row["id"] == store.MAIL:
        config = {key: hub.settings[key] for key in MAIL_CONFIG}
        config["alert_email_smtp_password"] = "set" if config["alert_email_smtp_password"] else "not set"
        target = config["alert_email_to"]
    return {"id": row["id"], "kind": row["kind"], "name": row["name"], "enabled": row["enabled"],
            "severities": row["severities"], "groups": row["group_names"], "escalation": row["escalation"],
            "config": config, "target": target, "last_delivery_at": clock.iso_or_none(row["last_delivery_at"]),
            "last_error": row["last_error"], "last_error_at": clock.iso_or_none(row["last_error_at"]),
            "waiting": counts.get("waiting", 0), "given_up": counts.get("given_up", 0)}


def _shown(row: store.Row) -> Dict[str, Any]:
    """A channel as the audit log may know it."""
    config = channels.shown(channels.KINDS[row["kind"]], row["config"])
    return {**{key: row[key] for key in ("kind", "name", "enabled", "severities", "escalation")},
            "groups": row["group_names"], **{"config." + key: value for key, value in config.items()}}


def _delivery(row: Dict[str, Any]) -> Dict[str, Any]:
    kept = {key: row[key] for key in ("id", "delivery_id", "alert_id", "event", "attempts", "error")}
    return {**kept, "message": json.loads(row["content"])["message"], "state": row["outcome"] or "waiting",
            "created_at": clock.iso(row["created_at"]), "settled_at": clock.iso_or_none(row["settled_at"]),
            "next_at": clock.iso(row["due_at"]) if row["outcome"] is None else None}
