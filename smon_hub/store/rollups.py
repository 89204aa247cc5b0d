"""Coarse samples: what numbers were over buckets aligned to the clock. Which buckets there are is rollup.py's.

A bucket is always made whole from its source and replaced, so that late data and repeated runs give the same rows.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple

from .. import metrics
from . import series
from .commits import Database

RANGED = tuple(metric for metric in metrics.METRICS if metric.ranged)
RANGES = tuple(metric.ranged + end for metric in RANGED for end in ("_min", "_max"))
NUMBERS = (*metrics.KEYS, *RANGES)


class Span(NamedTuple):
    """Samples by row id: after the first, up to the last."""

    first: int
    last: int


def roll_samples(db: Database, step: int, arrived: Span, oldest: int) -> None:
    """Make the buckets of `step` seconds in which samples arrived; not those that began before `oldest`, of whose
    samples some may be gone already."""
    ranges = ["%s(s.%s)" % (function, metric.key) for metric in RANGED for function in ("MIN", "MAX")]
    averages = ["AVG(s.%s)" % key for key in metrics.KEYS]
    _replace(db, step, "COUNT(*), %s" % ", ".join(averages + ranges), "samples AS s", arrived,
             "touched.start >= ?", [oldest])


def roll_up(db: Database, step: int, source: int, arrived: Span) -> None:
    """Make the buckets of `step` seconds in which samples arrived out of finer buckets of `source` seconds."""
    _replace(db, step, "SUM(s.samples), %s" % _merged("s."), "rollups AS s", arrived, "s.step = ?", [source])


def _merged(of: str = "") -> str:
    """NUMBERS of several buckets as those of one: averages by the samples that had a number, and the widest ranges."""
    averages = ["SUM({0}{1} * {0}samples) / NULLIF(SUM(CASE WHEN {0}{1} IS NULL THEN 0 ELSE {0}samples END), 0)".format(
        of, key) for key in metrics.KEYS]
    return ", ".join(averages + ["%s(%s%s)" % (name[-3:].upper(), of, name) for name in RANGES])


def _replace(db: Database, step: int, numbers: str, source: str, arrived: Span, condition: str,
             values: List[Any]) -> None:
    columns = ("samples", *NUMBERS)
    width = step * 1000
    db.execute(
        "INSERT INTO rollups (server, step, at, %s) SELECT touched.server, %d, touched.start, %s "
        "FROM (SELECT DISTINCT server, at / %d * %d AS start FROM samples WHERE id > ? AND id <= ?) AS touched "
        "JOIN %s ON s.server = touched.server AND s.at >= touched.start AND s.at < touched.start + %d "
        "WHERE %s GROUP BY 1, 2, 3 ON CONFLICT (server, step, at) DO UPDATE SET %s" % (
            ", ".join(columns), step, numbers, width, width, source, width, condition,
            ", ".join("%s = excluded.%s" % (column, column) for column in columns)),
        [arrived.first, arrived.last, *values])


def newest_sample(db: Database) -> int:
    """The youngest sample's row id."""
    return db.execute("SELECT MAX(id) FROM samples").fetchone()[0] or 0


def reach_further(db: Database, server: int, since: int, step: int) -> bool:
    """Whether buckets of a span, of `step` seconds, lie before the first sample that is still there."""
    found = db.execute("SELECT 1 FROM rollups WHERE server = ? AND step = ? AND at >= ? AND at + ? <= "
                       "(SELECT MIN(at) FROM samples WHERE server = ?) LIMIT 1",
                       [server, step, since, step * 1000, server]).fetchone()
    return found is not None


def history(db: Database, server: int, since: int, until: int, step: int, source: int,
            rolled: int) -> List[Dict[str, Any]]:
    """The points of a span in buckets of `step` seconds, oldest first, made of buckets of `source` seconds and of the
    samples after row `rolled`, which are in none yet."""
    width = step * 1000
    own = ", ".join("%s AS %s" % (metric.key, metric.ranged + end) for metric in RANGED for end in ("_min", "_max"))
    found = db.execute(
        "SELECT at / %d * %d, %s FROM ("
        "SELECT at, samples, %s FROM rollups WHERE server = ? AND step = ? AND at > ? AND at <= ? UNION ALL "
        "SELECT at, 1 AS samples, %s, %s FROM samples WHERE server = ? AND at > ? AND at <= ? AND id > ?) AS parts "
        "GROUP BY 1 ORDER BY 1" % (width, width, _merged(), ", ".join(NUMBERS), ", ".join(metrics.KEYS), own),
        [server, source, since, until, server, since, until, rolled])
    return [series.point(NUMBERS, values) for values in found]


def drop(db: Database, server: int, step: int, before: int, most: int) -> int:
    """Delete at most `most` of a server's buckets of `step` seconds that began before a moment; how many went."""
    return db.execute("DELETE FROM rollups WHERE server = ? AND step = ? AND at IN (SELECT at FROM rollups "
                      "WHERE server = ? AND step = ? AND at < ? ORDER BY at LIMIT ?)",
                      [server, step, server, step, before, most]).rowcount
