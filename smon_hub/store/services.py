"""Services: how each is now, and when that changed. Never a row for each service and sample."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Sequence, Tuple

from .. import clock
from .commits import Database

COLUMNS = ("server", "name", "display_name", "status", "start_type", "pid", "restarts", "changed_at")
ROWS_AT_ONCE = 100           # in one statement: below the 999 values of an old SQLite


def move(db: Database, server: int, at: int, services: Iterable[Sequence[Any]]) -> int:
    """Make a server's rows what its newest sample says (rows of bodies.SERVICE), noting each change of status.

    Answers how many rows were written; services that are gone lose their row.
    """
    known = {values[0]: values[1:] for values in db.execute(
        "SELECT name, display_name, status, start_type, pid, restarts, changed_at FROM services WHERE server = ?",
        [server])}
    now = {service[0]: tuple(service[1:]) for service in services}
    moved = [name for name in now if now[name] != known.get(name, (None,))[:-1]]
    gone = [name for name in known if name not in now]
    changes = [(name, None, now[name][1]) for name in moved if name not in known]
    changes += [(name, known[name][1], now[name][1]) for name in moved
                if name in known and known[name][1] != now[name][1]]
    changes += [(name, known[name][1], None) for name in gone]
    changed = {name for name, _, _ in changes}
    _put(db, [(server, name, *now[name], at if name in changed else known[name][-1]) for name in moved])
    db.executemany("DELETE FROM services WHERE server = ? AND name = ?", [(server, name) for name in gone])
    if known:  # of a server that is new nothing has changed
        db.executemany("INSERT INTO service_changes (server, name, at, was, became) VALUES (?, ?, ?, ?, ?)",
                       [(server, name, at, was, became) for name, was, became in changes])
    return len(moved) + len(gone)


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


def _put(db: Database, rows: List[Tuple[Any, ...]]) -> None:
    """Insert or replace rows of COLUMNS, some at a time: a discovered machine has a hundred services."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[start:start + ROWS_AT_ONCE]
        db.execute("INSERT INTO services (%s) VALUES %s ON CONFLICT (server, name) DO UPDATE SET %s" % (
            ", ".join(COLUMNS), ", ".join(["(?%s)" % (", ?" * (len(COLUMNS) - 1))] * len(some)),
            ", ".join("%s = excluded.%s" % (column, column) for column in COLUMNS[2:])),
            [value for row in some for value in row])
