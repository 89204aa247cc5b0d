"""Who changed what, when and from where. Written in the transaction of the change itself, so that neither is without
the other."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional

from .. import clock
from .commits import Database

Change = Dict[str, List[Any]]  # key: [old, new]


def add(db: Database, who: str, address: str, action: str, object: str, change: Change, at: int) -> None:
    """Note one change. Secrets are not given to this function; "set" and "not set" stand for them."""
    db.execute("INSERT INTO audit (at, who, address, action, object, change) VALUES (?, ?, ?, ?, ?, ?)",
               [at, who, address, action, object, json.dumps(change)])


def changed(old: Dict[str, Any], new: Dict[str, Any]) -> Change:
    """What of `new` differs from `old`."""
    return {key: [old.get(key), value] for key, value in new.items() if old.get(key) != value}


def entries(db: Database, limit: int, before: Optional[int]) -> List[Dict[str, Any]]:
    """The newest entries first; before: only those with a smaller id, which is how one pages."""
    found = db.execute("SELECT id, at, who, address, action, object, change FROM audit WHERE id < ? "
                       "ORDER BY id DESC LIMIT ?", [before if before is not None else 1 << 62, limit])
    return [{"id": id, "at": clock.iso(at), "who": who, "address": address, "action": action, "object": object,
             "change": json.loads(change)} for id, at, who, address, action, object, change in found]


def drop(db: Database, before: int, most: int) -> int:
    """Delete at most `most` entries that are older; how many went."""
    return db.execute("DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ? ORDER BY at LIMIT ?)",
                      [before, most]).rowcount
