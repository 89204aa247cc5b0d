"""Settings that people chose for an agent: queued until it fetches them, then what it made of them."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .. import clock
from . import servers
from .commits import Database, marks

REVISIONS_KEPT = 50  # of each server: who changed what lately, not an archive


def queue(db: Database, server: int, changes: Dict[str, Any], now: int) -> int:
    """Queue changes on top of what still waits; the revision that holds them all."""
    servers.turn(db, [server])  # first: no other hub may take the same revision
    waiting = pending(db, server)
    newest = db.execute("SELECT MAX(revision) FROM agent_config WHERE server = ?", [server]).fetchone()[0] or 0
    settings = {**(waiting[1] if waiting else {}), **changes}
    db.execute("INSERT INTO agent_config (server, revision, settings, queued_at) VALUES (?, ?, ?, ?)",
               [server, newest + 1, json.dumps(settings), now])
    db.execute("DELETE FROM agent_config WHERE server = ? AND revision <= ?", [server, newest + 1 - REVISIONS_KEPT])
    return newest + 1


def pending(db: Database, server: int) -> Optional[Tuple[int, Dict[str, Any]]]:
    """(revision, settings) that the agent has not answered yet. A newer revision holds what older ones wanted."""
    found = db.execute("SELECT revision, settings, answered_at FROM agent_config WHERE server = ? "
                       "ORDER BY revision DESC LIMIT 1", [server]).fetchone()
    return (found[0], json.loads(found[1])) if found and found[2] is None else None


def all_pending(db: Database, ids: Optional[Sequence[int]] = None) -> Dict[int, int]:
    """The revision that waits, by server; of all of them, or some."""
    some = "" if ids is None else "WHERE server IN (%s) " % marks(ids)
    newest = "SELECT server, MAX(revision) AS revision FROM agent_config %sGROUP BY 1" % some
    return dict(db.execute("SELECT c.server, c.revision FROM agent_config c JOIN (%s) AS n "
                           "ON n.server = c.server AND n.revision = c.revision WHERE c.answered_at IS NULL" % newest,
                           ids or ()))


def answer(db: Database, server: int, revision: int, said: Dict[str, Any], now: int) -> bool:
    """Note what the agent made of one revision, {"rejected", "current"}; False when there is no such revision."""
    done = db.execute("UPDATE agent_config SET answered_at = ?, rejected = ?, current = ? "
                      "WHERE server = ? AND revision = ?",
                      [now, json.dumps(said["rejected"] or {}), json.dumps(said["current"]), server, revision])
    servers.turn(db, [server])
    return done.rowcount == 1


def history(db: Database, server: int) -> List[Dict[str, Any]]:
    """Every revision that is kept, newest first."""
    found = db.execute("SELECT revision, settings, queued_at, answered_at, rejected, current FROM agent_config "
                       "WHERE server = ? ORDER BY revision DESC", [server])
    return [{"revision": revision, "settings": json.loads(settings), "queued_at": clock.iso(queued_at),
             "answered_at": clock.iso_or_none(answered_at),
             "rejected": json.loads(rejected) if rejected else {}, "current": json.loads(current) if current else None}
            for revision, settings, queued_at, answered_at, rejected, current in found]
