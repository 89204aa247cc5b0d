"""What the alert rules ask of groups, and what they would have told of the past."""

from __future__ import annotations

from typing import Any, Dict

from .. import clock, preview
from ..store import audit, options
from .call import Call, Text, no_such, tagged

PATIENCE = {"samples": "alert_for_samples", "minutes": "alert_for_minutes", "clears": "alert_clear_samples",
            "critical": "alert_critical_percent"}

Hub = Any  # hub.Hub, which is passed and never imported


def rules(hub: Hub, call: Call) -> Text:
    """What each group has of its own."""
    return tagged({"rules": hub.overrides.own})


def change(hub: Hub, call: Call) -> Dict[str, Any]:
    """Say what holds for a group: the whole of it, nothing to follow the settings again."""
    group = call.body["group"]
    own = {key: value for key, value in call.body.items() if key != "group" and value is not None}

    def work(db: Any) -> Any:
        before = hub.overrides.own.get(group, {})
        options.put_group_rules(db, group, own)
        call.note(db, "rules.change", group, audit.changed({**dict.fromkeys(own), **before},
                                                           {**dict.fromkeys(before), **own}))
        return options.group_rules(db)
    hub.engine.write(work, hub.overrides.take_up)
    return {"status": "ok", "rules": hub.overrides.own}


def look_back(hub: Hub, call: Call) -> Dict[str, Any]:
    """How often a rule would have alerted, with other levels and more patience than in force, if so asked."""
    query = call.query
    servers = [server for server in hub.fleet.servers() if server.row["approved"]
               and query["server"] in ("", server.row["uuid"]) and query["group"] in ("", server.row["group_name"])]
    if query["server"] and not servers:
        raise no_such("server")
    patience = {key: query[name] for name, key in PATIENCE.items() if query[name] is not None}
    return preview.look_back(hub, servers, query["rule"], query["threshold"], patience,
                             call.now - query["days"] * clock.DAY)
