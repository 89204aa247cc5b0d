"""Maintenance windows as they were asked for. When each is open is told by smon_hub/maintenance.py."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Tuple

from . import versions
from .commits import Database, insert

COLUMNS = ("name", "scope", "target", "kind", "starts_at", "start_minute", "days", "minutes", "zone", "created_at",
           "created_by")


def rows(db: Database) -> List[Tuple[Any, ...]]:
    """Every window: its id, then COLUMNS."""
    found = db.execute("SELECT id, %s FROM maintenance ORDER BY id" % ", ".join(COLUMNS))
    return [(*values[:7], tuple(json.loads(values[7])), *values[8:]) for values in found]


def add(db: Database, row: Dict[str, Any]) -> int:
    """Insert a window; its id."""
    versions.grow(db, versions.WINDOWS)
    return insert(db, "maintenance", COLUMNS, (json.dumps(row[name]) if name == "days" else row[name]
                                               for name in COLUMNS))


def remove(db: Database, row_id: int) -> bool:
    """False when there is no such window."""
    versions.grow(db, versions.WINDOWS)
    return db.execute("DELETE FROM maintenance WHERE id = ?", [row_id]).rowcount == 1
