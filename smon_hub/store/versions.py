"""How often each part of what hubs keep in memory was changed, so that one that shares its database notices."""

from __future__ import annotations

from typing import Dict

from .commits import Database

SETTINGS, ACCOUNTS, RULES, WINDOWS, SERVERS, ALERTS, CHANNELS = PARTS = (
    "settings", "accounts", "rules", "windows", "servers", "alerts", "channels")


def grow(db: Database, part: str) -> None:
    """Something of this part is changed by the caller's transaction, and by nobody else until that has ended: whoever
    decides by what is there calls this first. Nothing, where no other hub could notice."""
    if db.shared:
        db.grew(parts=[part])
        db.execute("INSERT INTO versions (part, number) VALUES (?, 1) "
                   "ON CONFLICT (part) DO UPDATE SET number = versions.number + 1", [part])


def numbers(db: Database) -> Dict[str, int]:
    """The number of each part that was ever changed."""
    return dict(db.execute("SELECT part, number FROM versions"))
