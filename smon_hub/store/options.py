"""The settings that differ from their defaults."""

from __future__ import annotations

import json
from typing import Any, Dict

from .engine import Database


def stored(db: Database) -> Dict[str, Any]:
    """Every stored setting as a native value."""
    return {key: json.loads(value) for key, value in db.execute("SELECT key, value FROM settings")}


def put(db: Database, changes: Dict[str, Any]) -> None:
    """Store checked values, all or none."""
    for key, value in changes.items():
        db.execute("INSERT INTO settings (key, value) VALUES (?, ?) "
                   "ON CONFLICT (key) DO UPDATE SET value = excluded.value", [key, json.dumps(value)])


def fact(db: Database, key: str, default: str) -> str:
    """A fact about the database itself (table meta)."""
    found = db.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchone()
    return found[0] if found else default


def note(db: Database, key: str, value: str) -> None:
    """Remember a fact about the database itself."""
    db.execute("INSERT INTO meta (key, value) VALUES (?, ?) "
               "ON CONFLICT (key) DO UPDATE SET value = excluded.value", [key, value])
