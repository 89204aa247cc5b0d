"""The channels that messages leave by: what each is told, how its last delivery went. Channel 0 is the settings'."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional

from . import options, versions
from .commits import Database, insert

MAIL = 0                     # made with the tables, never removed
COLUMNS = ("id", "kind", "name", "enabled", "severities", "group_names", "escalation", "config", "last_delivery_at",
           "last_error", "last_error_at")
CHANGED = ("kind", "name", "enabled", "severities", "group_names", "escalation", "config")
JSON = ("severities", "group_names", "config")
FLAGS = ("enabled", "escalation")

Row = Dict[str, Any]


def rows(db: Database) -> List[Row]:
    """Every channel; whether the first is enabled is what the settings say."""
    found = db.execute("SELECT %s FROM channels ORDER BY id" % ", ".join(COLUMNS)).fetchall()
    mail = bool(options.stored(db).get("alert_email_enabled"))
    return [_row(values, mail) for values in found]


def one(db: Database, channel: int) -> Optional[Row]:
    """A channel, or None when there is no such."""
    return next((row for row in rows(db) if row["id"] == channel), None)


def add(db: Database, row: Row) -> int:
    """Insert a channel; its new id."""
    versions.grow(db, versions.CHANNELS)
    return insert(db, "channels", CHANGED, (_stored(key, row[key]) for key in CHANGED))


def change(db: Database, channel: int, columns: Row) -> bool:
    """Update the columns that are given; False when there is no such channel."""
    versions.grow(db, versions.CHANNELS)
    names = [key for key in CHANGED if key in columns]
    done = db.execute("UPDATE channels SET %s WHERE id = ?" % ", ".join(name + " = ?" for name in names),
                      [*(_stored(name, columns[name]) for name in names), channel])
    return done.rowcount == 1


def remove(db: Database, channel: int) -> bool:
    """Remove a channel with everything that waits for it and its log."""
    versions.grow(db, versions.CHANNELS)
    db.execute("DELETE FROM outbox WHERE channel = ?", [channel])
    return db.execute("DELETE FROM channels WHERE id = ?", [channel]).rowcount == 1


def note(db: Database, channel: int, now: int, error: str, delivered: bool) -> None:
    """How the last delivery went: an error stays to be seen until the next one goes well."""
    db.execute("UPDATE channels SET last_error = ?, last_error_at = ? WHERE id = ?",
               [error or None, now if error else None, channel])
    if delivered:
        db.execute("UPDATE channels SET last_delivery_at = ? WHERE id = ?", [now, channel])


def _row(values: Any, mail: bool) -> Row:
    row = dict(zip(COLUMNS, values))
    row.update((key, json.loads(row[key])) for key in JSON)
    row.update((key, bool(row[key])) for key in FLAGS)
    if row["id"] == MAIL:
        row["enabled"] = mail
    return row


def _stored(key: str, value: Any) -> Any:
    return json.dumps(value) if key in JSON else int(value) if key in FLAGS else value
