"""The watched servers: one row each, and the slow removal of everything that belonged to a removed one."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from . import versions
from .commits import Database, insert, marks

COLUMNS = ("uuid", "key_hash", "export_key", "hostname", "display_name", "group_name", "ip_address", "os_info", "tags",
           "notes", "alert_cpu_threshold", "alert_memory_threshold", "alert_disk_threshold", "collection_interval",
           "may_be_off", "approved", "live_minutes", "registered_at", "last_seen_at", "newest_sample")
FLAGS = ("may_be_off", "approved")
REMOVED_FROM = {"samples": "at", "rollups": "at", "live": "at", "services": "name", "service_changes": "id",
                "agent_config": "revision", "alerts": "id",
                "alert_events": "id", "notifications": "id",
                "late_peaks": "rule"}  # every table that is keyed by server, and what tells its rows apart

Row = Dict[str, Any]


def add(db: Database, row: Row) -> int:
    """Insert a server; its new id."""
    versions.grow(db, versions.SERVERS)
    return insert(db, "servers", COLUMNS, (_stored(key, row[key]) for key in COLUMNS))


def rows(db: Database, ids: Optional[Sequence[int]] = None) -> List[Row]:
    """Every server, with its id; or some."""
    found = db.execute("SELECT id, %s FROM servers %sORDER BY id" % (
        ", ".join(COLUMNS), "" if ids is None else "WHERE id IN (%s) " % marks(ids)), ids or ())
    return [_row(values) for values in found]


def exists(db: Database, server: int) -> bool:
    return db.execute("SELECT 1 FROM servers WHERE id = ?", [server]).fetchone() is not None


def change(db: Database, server: int, columns: Row) -> bool:
    """Update the columns that are given; False when there is no such server."""
    names = [key for key in COLUMNS if key in columns]
    done = db.execute("UPDATE servers SET %s WHERE id = ?" % ", ".join(name + " = ?" for name in names),
                      [*(_stored(name, columns[name]) for name in names), server])
    turn(db, [server])
    versions.grow(db, versions.SERVERS)
    return done.rowcount == 1


def settle(db: Database, seen: Iterable[Tuple[int, Optional[int], int]]) -> None:
    """Write back (last_seen_at, newest_sample, id) of servers."""
    db.executemany("UPDATE servers SET last_seen_at = ?, newest_sample = ? WHERE id = ?", seen)


# --- where several hubs share the database ----------------------------------------------------------------------------

def turn(db: Database, ids: Sequence[int]) -> None:
    """Something that other hubs keep of these servers is changed by the caller's transaction."""
    if db.shared:
        db.grew(servers=ids)
        db.execute("UPDATE servers SET turn = turn + 1 WHERE id IN (%s)" % marks(ids), ids)


def turns(db: Database) -> Dict[int, Tuple[int, int]]:
    """(turn, last_seen_at) of every server, by its id."""
    return {row_id: (number, seen_at) for row_id, number, seen_at in db.execute(
        "SELECT id, turn, last_seen_at FROM servers")}


def locked(db: Database, ids: Sequence[int]) -> Dict[int, Tuple[int, str, int]]:
    """(turn, key hash, last_seen_at) of those that are there, which no other hub changes until the transaction has
    ended. Whoever holds some asks for no others: their ids ascend in one call, so that nobody waits for somebody who
    waits for him."""
    found = db.execute("SELECT id, turn, key_hash, last_seen_at FROM servers WHERE id IN (%s) ORDER BY id FOR UPDATE"
                       % marks(ids), ids)
    return {row_id: (number, key_hash, seen_at) for row_id, number, key_hash, seen_at in found}


def moved(db: Database, some: Iterable[Tuple[int, Optional[int], int]]) -> None:
    """Write (turn, newest_sample, id) of servers with the samples that moved them."""
    db.executemany("UPDATE servers SET turn = ?, newest_sample = ? WHERE id = ?", some)


def seen(db: Database, some: Iterable[Tuple[int, int]]) -> None:
    """Write (id, last_seen_at) of servers that another hub may have heard of later."""
    db.executemany("UPDATE servers SET last_seen_at = ? WHERE id = ? AND last_seen_at < ?",
                   [(at, row_id, at) for row_id, at in sorted(some)])


# --- removal ----------------------------------------------------------------------------------------------------------

def remove(db: Database, server: int) -> bool:
    """Take a server out of every answer at once; False when there is none. `sweep` deletes what it leaves."""
    if db.execute("DELETE FROM servers WHERE id = ?", [server]).rowcount != 1:
        return False
    db.execute("INSERT INTO removals (server) VALUES (?)", [server])
    versions.grow(db, versions.SERVERS)
    return True


def sweep(db: Database, most: int) -> int:
    """Delete at most `most` rows of one removed server; how many went. 0 when nothing is left to remove."""
    found = db.execute("SELECT server FROM removals ORDER BY server LIMIT 1").fetchone()
    if not found:
        return 0
    for table, key in REMOVED_FROM.items():
        gone = db.execute("DELETE FROM %s WHERE server = ? AND %s IN (SELECT %s FROM %s WHERE server = ? LIMIT ?)"
                          % (table, key, key, table), [found[0], found[0], most]).rowcount
        if gone:
            return gone
    return db.execute("DELETE FROM removals WHERE server = ?", found).rowcount


def _stored(key: str, value: Any) -> Any:
    return json.dumps(value) if key == "tags" else int(value) if key in FLAGS else value


def _row(values: Tuple[Any, ...]) -> Row:
    row = dict(zip(("id", *COLUMNS), values))
    row["tags"] = json.loads(row["tags"])
    row.update((flag, bool(row[flag])) for flag in FLAGS)
    return row
