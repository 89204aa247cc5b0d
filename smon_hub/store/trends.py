"""How a number of a server went, for those who look ahead, and for those who look back."""

from __future__ import annotations

from typing import List, Tuple

from .. import clock
from .commits import Database


def numbers(db: Database, server: int, column: str, since: int) -> List[Tuple[int, float]]:
    """(moment, value) of a column of the samples after a moment, oldest first."""
    return db.execute("SELECT at, %s FROM samples WHERE server = ? AND at > ? AND %s IS NOT NULL ORDER BY at"
                      % (column, column), [server, since]).fetchall()


def fullest_disk(db: Database, server: int, since: int) -> List[Tuple[float, float]]:
    """(hour, least used share of the fullest file system in it), oldest first."""
    return [(float(hour), least) for hour, least in db.execute(
        "SELECT at / %d, MIN(disk_percent) FROM samples WHERE server = ? AND at > ? AND disk_percent IS NOT NULL "
        "GROUP BY 1 ORDER BY 1" % clock.HOUR, [server, since])]
