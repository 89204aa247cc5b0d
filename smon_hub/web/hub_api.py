"""What the hub says about itself: its store, its jobs, what waits."""

from __future__ import annotations

from typing import Any, Dict

from .. import __version__, clock
from ..store import size
from .call import Call

Hub = Any  # hub.Hub, which is passed and never imported


def state(hub: Hub, call: Call) -> Dict[str, Any]:
    """The hub's own state, for the settings page and for a script that watches the watcher."""
    ids = [server.row["id"] for server in hub.fleet.servers()]
    return {"version": __version__, "started_at": clock.iso(hub.jobs.started_at), "server_time": clock.iso(call.now),
            "servers": len(ids), "waiting_writes": hub.engine.waiting(),
            "database": {**hub.engine.files(),
                         **size.answer(hub.engine.read(), call.now, hub.engine.free_bytes(), ids)},
            "jobs": hub.jobs.answer()}
