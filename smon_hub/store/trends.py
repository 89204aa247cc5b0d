"""How a number of a server went, in coarse steps, for those who look ahead."""

from __future__ import annotations

from typing import List, Tuple

from .. import clock
from .engine import Database


def fullest_disk(db: Database, server: int, since: int) -> List[Tuple[float, float]]:
    """(hour, least used share of the fullest file system in it), oldest first."""
    return [(float(hour), least) for hour, least in db.execute(
        "SELECT at / %d, MIN(disk_percent) FROM samples WHERE server = ? AND at > ? AND disk_percent IS NOT NULL "
        "GROUP BY 1 ORDER BY 1" % clock.HOUR, [server, since])]
