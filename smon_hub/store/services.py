"""Services: how each is now, and when that changed. Never a row for each service and sample."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Sequence

from .. import clock
from .engine import Database


def move(db: Database, server: int, at: int, services: Iterable[Sequence[Any]]) -> int:
    """Make a server's rows what its newest sample says (rows of bodies.SERVICE), noting each change of status.

    Answers how many rows were written; services that are gone lose their row.
    """
    known = {values[0]: values[1:] for values in db.execute(
        "SELECT name, display_name, status, start_type, pid, restarts FROM services WHERE server = ?", [server])}
    first, written = not known, 0
    for name, now in {service[0]: tuple(service[1:]) for service in services}.items():
        was = known.pop(name, None)
        if now != was:
            changed = was is None or was[1] != now[1]
            _put(db, server, at, name, now, changed)
            if changed and not first:
                _note(db, server, at, name, was and was[1], now[1])
            written += 1
    for name, was in known.items():
        db.execute("DELETE FROM services WHERE server = ? AND name = ?", [server, name])
        _note(db, server, at, name, was[1], None)
    return written + len(known)


def of(db: Database, server: int) -> List[Dict[str, Any]]:
    """A server's services as the API shows them, those that need a look first."""
    found = db.execute("SELECT name, display_name, status, start_type, pid, restarts, changed_at FROM services "
                       "WHERE server = ? ORDER BY CASE status WHEN 'failed' THEN 0 WHEN 'error' THEN 1 "
                       "WHEN 'running' THEN 3 WHEN 'exited' THEN 4 ELSE 2 END, name", [server])
    return [{"service_name": name, "display_name": display_name, "status": status, "start_type": start_type, "pid": pid,
             "restarts": restarts, "changed_at": clock.iso(changed_at)}
            for name, display_name, status, start_type, pid, restarts, changed_at in found]


def drop_changes(db: Database, server: int, before: int, most: int) -> int:
    """Delete at most `most` of a server's changes from before a moment; how many went."""
    return db.execute("DELETE FROM service_changes WHERE id IN (SELECT id FROM service_changes "
                      "WHERE server = ? AND at < ? ORDER BY at LIMIT ?)", [server, before, most]).rowcount


def _put(db: Database, server: int, at: int, name: str, now: tuple, changed: bool) -> None:
    """changed_at moves with the status only: a new pid alone is not news."""
    db.execute("INSERT INTO services (server, name, display_name, status, start_type, pid, restarts, changed_at) "
               "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (server, name) DO UPDATE SET "
               "display_name = excluded.display_name, status = excluded.status, start_type = excluded.start_type, "
               "pid = excluded.pid, restarts = excluded.restarts"
               + (", changed_at = excluded.changed_at" if changed else ""), [server, name, *now, at])


def _note(db: Database, server: int, at: int, name: str, was: Any, became: Any) -> None:
    db.execute("INSERT INTO service_changes (server, name, at, was, became) VALUES (?, ?, ?, ?, ?)",
               [server, name, at, was, became])
