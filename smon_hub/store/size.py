"""How large the database is, how fast it grows, and when its disk would be full."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .. import clock
from . import options
from .commits import Database

SIZES_FACT = "sizes"            # [[moment, bytes in use], ...], oldest first
KEPT = 8 * 24                   # one an hour: a week, and a day more
SLOPE_MS = 7 * clock.DAY        # growth is taken over so long at the most: weekends differ
SLOPE_MS_MIN = clock.DAY // 4   # and over so long at the least: an hour tells nothing about days

Size = Tuple[int, int]          # moment, bytes in use


def note(db: Database, now: int) -> None:
    """Remember how much is in use now; measurements of a time that has not come are forgotten."""
    sizes = [size for size in _sizes(db) if size[0] < now] + [(now, db.bytes_in_use())]
    options.note(db, SIZES_FACT, json.dumps(sizes[-KEPT:]))


def forecast(db: Database, now: int, free: Optional[int]) -> Dict[str, Optional[float]]:
    """grows_bytes_per_day and, with `free` bytes left on the disk, full_in_days; None where that is not known, or
    where it does not grow."""
    growth = _growth([size for size in _sizes(db) if size[0] > now - SLOPE_MS] + [(now, db.bytes_in_use())])
    full = round(free / growth, 1) if free is not None and growth is not None and growth > 0 else None
    return {"grows_bytes_per_day": None if growth is None else round(growth), "full_in_days": full}


def _growth(sizes: Sequence[Size]) -> Optional[float]:
    (first_at, first), (last_at, last) = sizes[0], sizes[-1]
    return (last - first) / (last_at - first_at) * clock.DAY if last_at - first_at >= SLOPE_MS_MIN else None


def _sizes(db: Database) -> List[Size]:
    return [(at, size) for at, size in json.loads(options.fact(db, SIZES_FACT, "[]"))]


def oldest_sample(db: Database, server_ids: Sequence[int]) -> Optional[int]:
    """The moment of the oldest sample of these servers: one step in the index for each."""
    found = [db.execute("SELECT MIN(at) FROM samples WHERE server = ?", [server]).fetchone()[0]
             for server in server_ids]
    return min((at for at in found if at is not None), default=None)


def answer(db: Database, now: int, free: Optional[int], server_ids: Sequence[int]) -> Dict[str, Any]:
    """What an administrator asks about the file."""
    oldest = oldest_sample(db, server_ids)
    return {"used_bytes": db.bytes_in_use(), "free_bytes": free, **forecast(db, now, free),
            "oldest_sample_at": clock.iso_or_none(oldest)}
