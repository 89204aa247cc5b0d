"""Samples and near-live samples by server and time. What a number means is told by metrics.py and the shapes."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .. import clock, metrics
from .commits import Database, Rows, marks

HISTORY_POINTS_MAX = 1_500
ROWS_AT_ONCE = 32            # in one statement: 32 x 21 values stay below the 999 of an old SQLite
MOMENTS_TRIED = 1_000        # milliseconds looked at for a free one
STEP_SECONDS = (10, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400, 604_800)
SAMPLE_COLUMNS = ("server", "at", *metrics.KEYS, "details")
LIVE_NUMBERS = ("cpu_percent", "cpu_per_core", "cpu_freq_mhz", "memory_percent", "memory_used", "memory_available",
                "swap_percent", "swap_used", "bytes_sent_per_sec", "bytes_recv_per_sec", "packets_sent_per_sec",
                "packets_recv_per_sec", "read_bytes_per_sec", "write_bytes_per_sec", "read_count_per_sec",
                "write_count_per_sec", "process_count", "thread_count", "handle_count")
LIVE_COLUMNS = ("server", "at", *LIVE_NUMBERS)

Place = Tuple[int, int]  # row id and moment of what was stored


class Sample(NamedTuple):
    """A stored sample: its row id, server, moment, and what details.py packed (None once it was dropped)."""

    id: int
    server: int
    at: int
    blob: Optional[bytes]


class Arrival(NamedTuple):
    """A row to store. values: in the order of SAMPLE_COLUMNS or LIVE_COLUMNS, server and moment first.

    timed: the agent said when it was taken, so a row of that moment is the same sample. Otherwise the moment is that
    of its arrival, and the next free one does as well.
    """

    values: Tuple[Any, ...]
    timed: bool


def add(db: Database, arrivals: Sequence[Arrival]) -> List[Optional[Place]]:
    """Store samples: (row id, moment) of each, None where it was there already."""
    return _add(db, "samples", SAMPLE_COLUMNS, arrivals)


def add_live(db: Database, arrivals: Sequence[Arrival]) -> List[bool]:
    """Store near-live samples: whether each is new."""
    return [stored is not None for stored in _add(db, "live", LIVE_COLUMNS, arrivals)]


def _add(db: Database, table: str, columns: Tuple[str, ...], arrivals: Sequence[Arrival]) -> List[Optional[Place]]:
    """Many rows in one statement: each statement gives up the interpreter lock, and others are slow to hand it back."""
    stored: List[Optional[Place]] = []
    for start in range(0, len(arrivals), ROWS_AT_ONCE):
        some = arrivals[start:start + ROWS_AT_ONCE]
        db.execute("SAVEPOINT rows")
        done = db.execute(_insert(table, columns, len(some)), [value for arrival in some for value in arrival.values])
        if done.rowcount == len(some):
            stored += zip(_ids(db, table, some, done), (arrival.values[1] for arrival in some))
        else:  # some are there already: one by one tells which
            db.execute("ROLLBACK TO rows")
            stored += [_add_one(db, table, columns, arrival) for arrival in some]
        db.execute("RELEASE rows")
    return stored


def _add_one(db: Database, table: str, columns: Tuple[str, ...], arrival: Arrival) -> Optional[Place]:
    server, at, *rest = arrival.values
    for moment in range(at, at + (1 if arrival.timed else MOMENTS_TRIED)):
        done = db.execute(_insert(table, columns, 1), (server, moment, *rest))
        if done.rowcount == 1:
            row_id, = _ids(db, table, [Arrival((server, moment), True)], done)
            return row_id, moment
    return None


def _ids(db: Database, table: str, some: Sequence[Arrival], done: Rows) -> Iterable[int]:
    """The ids of rows that one statement inserted: they follow each other where nobody else writes."""
    if table != "samples":  # where nobody asks for them
        return [0] * len(some)
    if not db.shared:
        last = done.lastrowid or 0
        return range(last - len(some) + 1, last + 1)
    places = [arrival.values[:2] for arrival in some]
    found = db.execute("SELECT server, at, id FROM samples WHERE (server, at) IN (VALUES %s)"
                       % ", ".join(["(?, ?)"] * len(places)), [value for place in places for value in place])
    ids = {(server, at): row_id for server, at, row_id in found}
    return [ids[place] for place in places]


@lru_cache(maxsize=2 * ROWS_AT_ONCE)
def _insert(table: str, columns: Tuple[str, ...], rows: int) -> str:
    marks = "(?%s)" % (", ?" * (len(columns) - 1))
    return "INSERT INTO %s (%s) VALUES %s ON CONFLICT (server, at) DO NOTHING" % (
        table, ", ".join(columns), ", ".join([marks] * rows))


def sample(db: Database, row_id: int) -> Optional[Sample]:
    """The sample of a row id."""
    found = db.execute("SELECT id, server, at, details FROM samples WHERE id = ?", [row_id]).fetchone()
    return Sample(*found) if found else None


def by_ids(db: Database, ids: Sequence[int]) -> List[Sample]:
    """The samples of some row ids."""
    return [Sample(*found) for found in db.execute(
        "SELECT id, server, at, details FROM samples WHERE id IN (%s)" % marks(ids), ids)] if ids else []


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

def few(db: Database, server: int, since: int, until: int) -> bool:
    """Whether a span holds so few samples that each can be a point of a history."""
    count = db.execute("SELECT COUNT(*) FROM samples WHERE server = ? AND at > ? AND at <= ?",
                       [server, since, until]).fetchone()[0]
    return count <= HISTORY_POINTS_MAX


def points(db: Database, server: int, since: int, until: int) -> List[Dict[str, Any]]:
    """The samples of a span, oldest first."""
    found = db.execute("SELECT at, %s FROM samples WHERE server = ? AND at > ? AND at <= ? ORDER BY at"
                       % ", ".join(metrics.KEYS), [server, since, until])
    return [point(metrics.KEYS, values) for values in found]


def page(db: Database, server: int, after: int, until: int, most: int) -> List[Tuple[Any, ...]]:
    """At most `most` samples of a span, oldest first, as (at, the values in the order of metrics.KEYS).

    Read to its end at once: a long reader that goes from page to page holds up no checkpoint.
    """
    return db.execute("SELECT at, %s FROM samples WHERE server = ? AND at > ? AND at <= ? ORDER BY at LIMIT ?"
                      % ", ".join(metrics.KEYS), [server, after, until, most]).fetchall()


def step(span: int) -> int:
    """The finest bucket, in seconds, of which a span of milliseconds holds few enough."""
    return next((step for step in STEP_SECONDS if span <= step * 1000 * (HISTORY_POINTS_MAX - 1)), STEP_SECONDS[-1])


def buckets(db: Database, server: int, since: int, until: int, step: int) -> List[Dict[str, Any]]:
    """The samples of a span averaged in buckets of `step` seconds that are aligned to the clock, oldest first."""
    keys, sums = [], []
    for metric in metrics.METRICS:
        keys.append(metric.key)
        sums.append("AVG(%s)" % metric.key)
        if metric.ranged:
            keys += [metric.ranged + "_min", metric.ranged + "_max"]
            sums += ["MIN(%s)" % metric.key, "MAX(%s)" % metric.key]
    found = db.execute("SELECT at / %d * %d, %s FROM samples WHERE server = ? AND at > ? AND at <= ? "
                       "GROUP BY 1 ORDER BY 1" % (step * 1000, step * 1000, ", ".join(sums)), [server, since, until])
    return [point(keys, values) for values in found]


def point(keys: Sequence[str], values: Sequence[Any]) -> Dict[str, Any]:
    """A point of a history: of its moment, then the values of keys."""
    return {"timestamp": clock.iso(values[0]), **dict(zip(keys, values[1:]))}


# --- near-live ------------------------------------------------------------------------------------------------------

def live(db: Database, server: int, since: int) -> Iterator[Dict[str, Any]]:
    """Near-live samples after a moment, oldest first: {"at", LIVE_NUMBERS...}."""
    for values in db.execute("SELECT at, %s FROM live WHERE server = ? AND at > ? ORDER BY at"
                             % ", ".join(LIVE_NUMBERS), [server, since]):
        row = dict(zip(LIVE_COLUMNS[1:], values))
        row["cpu_per_core"] = json.loads(row["cpu_per_core"]) if row["cpu_per_core"] else None
        yield row


# --- keeping it bounded ---------------------------------------------------------------------------------------------

def drop_samples(db: Database, server: int, before: int, keep: int, most: int) -> int:
    """Delete at most `most` of a server's samples taken before a moment, but not the row `keep`; how many went."""
    return db.execute("DELETE FROM samples WHERE id IN (SELECT id FROM samples WHERE server = ? AND at < ? AND id <> ? "
                      "ORDER BY at LIMIT ?)", [server, before, keep, most]).rowcount


def drop_details(db: Database, before: int, most: int) -> int:
    """Empty the details of at most `most` samples taken before a moment, but of no server's newest as written back."""
    return db.execute("UPDATE samples SET details = NULL WHERE id IN (SELECT id FROM samples WHERE details IS NOT NULL "
                      "AND at < ? AND id NOT IN (SELECT newest_sample FROM servers WHERE newest_sample IS NOT NULL) "
                      "LIMIT ?)", [before, most]).rowcount


def drop_live(db: Database, server: int, before: int, most: int) -> int:
    """Delete at most `most` of a server's near-live samples taken before a moment; how many went."""
    return db.execute("DELETE FROM live WHERE server = ? AND at IN (SELECT at FROM live WHERE server = ? AND at < ? "
                      "ORDER BY at LIMIT ?)", [server, server, before, most]).rowcount
