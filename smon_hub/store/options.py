"""The settings that differ from their defaults, and what groups have of their own."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping

from . import versions
from .commits import Database, DatabaseUnusable

MOVING_FACT = "moving"  # how far the move is that fills this database; gone when it has ended


def stored(db: Database) -> Dict[str, Any]:
    """Every stored setting as a native value."""
    return {key: json.loads(value) for key, value in db.execute("SELECT key, value FROM settings")}


def put(db: Database, changes: Dict[str, Any]) -> None:
    """Store checked values, all or none."""
    versions.grow(db, versions.SETTINGS)
    for key, value in changes.items():
        db.execute("INSERT INTO settings (key, value) VALUES (?, ?) "
                   "ON CONFLICT (key) DO UPDATE SET value = excluded.value", [key, json.dumps(value)])


def group_rules(db: Database) -> Dict[str, Mapping[str, Any]]:
    """What each group has of its own."""
    return {group: json.loads(rules) for group, rules in db.execute("SELECT group_name, rules FROM group_rules")}


def put_group_rules(db: Database, group: str, rules: Mapping[str, Any]) -> None:
    """Replace what a group has of its own; no row for nothing."""
    versions.grow(db, versions.RULES)
    db.execute("DELETE FROM group_rules WHERE group_name = ?", [group])
    if rules:
        db.execute("INSERT INTO group_rules (group_name, rules) VALUES (?, ?)", [group, json.dumps(rules)])


def fact(db: Database, key: str, default: str) -> str:
    """A fact about the database itself (table meta)."""
    found = db.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchone()
    return found[0] if found else default


def check_whole(db: Database, path: str) -> None:
    """Raises DatabaseUnusable for the target of a move that has not ended."""
    if fact(db, MOVING_FACT, ""):
        raise DatabaseUnusable("%s holds a part of another database: its move was interrupted. Give the same move "
                               "command again, which goes on with it." % path)


def note(db: Database, key: str, value: str) -> None:
    """Remember a fact about the database itself."""
    db.execute("INSERT INTO meta (key, value) VALUES (?, ?) "
               "ON CONFLICT (key) DO UPDATE SET value = excluded.value", [key, value])
