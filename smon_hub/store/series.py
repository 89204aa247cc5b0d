"""Samples and near-live samples by server and time. What a number means is told by metrics.py and the shapes."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .. import clock, metrics
from .engine import Database

HISTORY_POINTS_MAX = 1_500
PAGES_GIVEN_BACK = 2_000     # 8 MB at a time
STEP_SECONDS = (10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400, 604_800)
SAMPLE_COLUMNS = ("server", "at", *metrics.KEYS, "details")
LIVE_COLUMNS = ("cpu_percent", "cpu_per_core", "cpu_freq_mhz", "memory_percent", "memory_used", "memory_available",
                "swap_percent", "swap_used", "bytes_sent_per_sec", "bytes_recv_per_sec", "packets_sent_per_sec",
                "packets_recv_per_sec", "read_bytes_per_sec", "write_bytes_per_sec", "read_count_per_sec",
                "write_count_per_sec", "process_count", "thread_count", "handle_count")

_ADD_SAMPLE = ("INSERT INTO samples (%s) SELECT ?%s WHERE EXISTS (SELECT 1 FROM servers WHERE id = ? AND key_hash = ?) "
               "ON CONFLICT (server, at) DO NOTHING" % (", ".join(SAMPLE_COLUMNS), ", ?" * (len(SAMPLE_COLUMNS) - 1)))
_ADD_LIVE = ("INSERT INTO live (server, at, %s) SELECT ?%s WHERE EXISTS "
             "(SELECT 1 FROM servers WHERE id = ? AND key_hash = ?) ON CONFLICT (server, at) DO NOTHING"
             % (", ".join(LIVE_COLUMNS), ", ?" * (len(LIVE_COLUMNS) + 1)))


class Sample(NamedTuple):
    """A stored sample: its row id, server, moment, and what details.py packed (None once it was dropped)."""

    id: int
    server: int
    at: int
    blob: Optional[bytes]


def add(db: Database, key_hash: str, values: Sequence[Any]) -> Optional[int]:
    """Store one sample, values in the order of SAMPLE_COLUMNS: its row id, or None when it was there already.

    Raises LookupError when the server is gone or its key is no longer the one with this hash.
    """
    done = db.execute(_ADD_SAMPLE, (*values, values[0], key_hash))
    if done.rowcount == 1:
        return done.lastrowid
    _check_known(db, values[0], key_hash)
    return None


def add_live(db: Database, key_hash: str, values: Sequence[Any]) -> bool:
    """Store one near-live sample (server, at, then LIVE_COLUMNS). Raises LookupError as add does."""
    if db.execute(_ADD_LIVE, (*values, values[0], key_hash)).rowcount == 1:
        return True
    _check_known(db, values[0], key_hash)
    return False


def _check_known(db: Database, server: int, key_hash: str) -> None:
    if not db.execute("SELECT 1 FROM servers WHERE id = ? AND key_hash = ?", (server, key_hash)).fetchone():
        raise LookupError("The server is gone, or its key was changed.")


def sample(db: Database, row_id: int) -> Optional[Sample]:
    """The sample of a row id."""
    found = db.execute("SELECT id, server, at, details FROM samples WHERE id = ?", [row_id]).fetchone()
    return Sample(*found) if found else None


def nearest(db: Database, server: int, at: int) -> Optional[Sample]:
    """A server's last sample at or before a moment."""
    found = db.execute("SELECT id, server, at, details FROM samples WHERE server = ? AND at <= ? "
                       "ORDER BY at DESC LIMIT 1", [server, at]).fetchone()
    return Sample(*found) if found else None


def younger(db: Database, row_id: int) -> Iterator[Sample]:
    """Every sample stored after a row id, in the order of their arrival."""
    for found in db.execute("SELECT id, server, at, details FROM samples WHERE id > ? ORDER BY id", [row_id]):
        yield Sample(*found)


# --- history --------------------------------------------------------------------------------------------------------

def history(db: Database, server: int, since: int, until: int) -> Tuple[List[Dict[str, Any]], int]:
    """The points of a span, oldest first, and the seconds of a bucket: 0 while each point is one sample.

    At most HISTORY_POINTS_MAX points: more samples than that are averaged in buckets aligned to the clock.
    """
    count = db.execute("SELECT COUNT(*) FROM samples WHERE server = ? AND at > ? AND at <= ?",
                       [server, since, until]).fetchone()[0]
    if count <= HISTORY_POINTS_MAX:
        found = db.execute("SELECT at, %s FROM samples WHERE server = ? AND at > ? AND at <= ? ORDER BY at"
                           % ", ".join(metrics.KEYS), [server, since, until])
        return [_point(metrics.KEYS, values) for values in found], 0
    step = _step(until - since)
    return _buckets(db, server, since, until, step), step


def _step(span: int) -> int:
    """The finest bucket, in seconds, of which a span of milliseconds holds few enough."""
    return next((step for step in STEP_SECONDS if span <= step * 1000 * (HISTORY_POINTS_MAX - 1)), STEP_SECONDS[-1])


def _buckets(db: Database, server: int, since: int, until: int, step: int) -> List[Dict[str, Any]]:
    keys, sums = [], []
    for metric in metrics.METRICS:
        keys.append(metric.key)
        sums.append("AVG(%s)" % metric.key)
        if metric.ranged:
            keys += [metric.ranged + "_min", metric.ranged + "_max"]
            sums += ["MIN(%s)" % metric.key, "MAX(%s)" % metric.key]
    found = db.execute("SELECT at / %d * %d, %s FROM samples WHERE server = ? AND at > ? AND at <= ? "
                       "GROUP BY 1 ORDER BY 1" % (step * 1000, step * 1000, ", ".join(sums)), [server, since, until])
    return [_point(keys, values) for values in found]


def _point(keys: Sequence[str], values: Sequence[Any]) -> Dict[str, Any]:
    point = {"timestamp": clock.iso(values[0])}
    point.update(zip(keys, values[1:]))
    return point


# --- near-live ------------------------------------------------------------------------------------------------------

def live(db: Database, server: int, since: int) -> Iterator[Dict[str, Any]]:
    """Near-live samples after a moment, oldest first: {"at", LIVE_COLUMNS...}."""
    for values in db.execute("SELECT at, %s FROM live WHERE server = ? AND at > ? ORDER BY at"
                             % ", ".join(LIVE_COLUMNS), [server, since]):
        row = dict(zip(("at", *LIVE_COLUMNS), values))
        row["cpu_per_core"] = json.loads(row["cpu_per_core"]) if row["cpu_per_core"] else None
        yield row


# --- keeping it bounded ---------------------------------------------------------------------------------------------

def drop_samples(db: Database, server: int, before: int, keep: int, most: int) -> int:
    """Delete at most `most` of a server's samples taken before a moment, but not the row `keep`; how many went."""
    return db.execute("DELETE FROM samples WHERE id IN (SELECT id FROM samples WHERE server = ? AND at < ? AND id <> ? "
                      "ORDER BY at LIMIT ?)", [server, before, keep, most]).rowcount


def drop_details(db: Database, server: int, since: int, before: int, keep: int) -> int:
    """Empty the details of a server's samples taken in a span, but not of the row `keep`; how many were emptied."""
    return db.execute("UPDATE samples SET details = NULL WHERE server = ? AND at >= ? AND at < ? AND id <> ? "
                      "AND details IS NOT NULL", [server, since, before, keep]).rowcount


def drop_live(db: Database, server: int, before: int) -> int:
    """Delete a server's near-live samples taken before a moment; how many went."""
    return db.execute("DELETE FROM live WHERE server = ? AND at < ?", [server, before]).rowcount


def give_back(db: Database) -> None:
    """Return a slice of free pages to the file system."""
    db.execute("PRAGMA incremental_vacuum(%d)" % PAGES_GIVEN_BACK).fetchall()
