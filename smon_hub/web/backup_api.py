"""Backups over the API: which there are, and making one now."""

from __future__ import annotations

from typing import Any, Dict

from ..errors import HubError
from .call import Call

Hub = Any  # hub.Hub, which is passed and never imported


def listed(hub: Hub, call: Call) -> Dict[str, Any]:
    """Every backup, the newest first, and how far the one is that is being made."""
    return hub.backups.answer()


def make(hub: Hub, call: Call) -> Dict[str, Any]:
    """Begin a backup; the list says when it is done."""
    if not hub.backups.start():
        raise HubError("conflict", "A backup or a check of the database is under way already.")
    hub.engine.write(lambda db: call.note(db, "backup", "", {}))
    return {"status": "ok", "message": "The backup has begun."}
