"""When the fullest disk of a server will be full, if it goes on like this.

The slope is the median of the slopes between all pairs of hourly minima (Theil 1950, Sen 1968): what a clean-up or a
burst does to some of them does not move it. It counts only when the last 3 days and the last 14 agree.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any, List, Optional, Sequence, Tuple

from . import alerts, clock, ledger
from .alerts import CRITICAL, NONE, WARNING, Reading
from .fleet import Server
from .store import events, servers, trends
from .store.commits import Database

Hub = Any  # hub.Hub, which is passed and never imported

WARNING_HOURS, CRITICAL_HOURS, CLEAR_HOURS = 72, 24, 96
SPANS_DAYS = (3, 14)
YOUNG_MS = clock.DAY         # what a new server writes in its first day is its installation
POINTS_MIN, POINTS_MAX = 6, 84  # hourly minima; more are thinned, as pairs grow with their square
FULL_PERCENT = 100.0
EMPTY_PERCENT = 50.0         # below this no forecast is looked at: it would be of weeks
PAUSE_SECONDS = 0.002        # between two servers: an hour is long enough

Point = Tuple[float, float]  # hours, percent


def foresee(hub: Hub, now: int) -> None:
    """Judge the disks of all servers; called once an hour."""
    for server in hub.fleet.servers():
        reading = read(hub.engine.read(), server, now) if server.row["approved"] else None
        if reading is not None or server.tally.watched:
            ledger.write(hub, lambda record: _judge(record, server, reading), now, about=[server])
        time.sleep(PAUSE_SECONDS)


def _judge(record: ledger.Record, server: Server, reading: Optional[Reading]) -> None:
    if not servers.exists(record.db, server.row["id"]):
        return  # it was removed while it was looked at
    held = {key: alert for key, alert in events.current(record.db, server.row["id"]).items() if key[0] == "forecast"}
    need = alerts.need("forecast", {})
    for key, alert in held.items():
        record.judge(server, key, alert, reading if reading and key[1] == reading.object else None, need)
    if reading is not None and ("forecast", reading.object) not in held:
        record.judge(server, ("forecast", reading.object), None, reading, need)


def read(db: Database, server: Server, now: int) -> Optional[Reading]:
    """The forecast of a server's fullest disk; None when it does not fill up soon, or when nobody can tell."""
    found = hours_left(db, server, now)
    if found is None or found[1] >= CLEAR_HOURS:
        return None
    mount, hours = found
    raises = CRITICAL if hours < CRITICAL_HOURS else WARNING if hours < WARNING_HOURS else NONE
    return Reading("forecast", mount, raises, max(raises, WARNING), hours, WARNING_HOURS)


def hours_left(db: Database, server: Server, now: int) -> Optional[Tuple[str, float]]:
    """A server's fullest disk, and the hours until it is full; None when it does not fill up, or nobody can tell."""
    disks = server.sample.card[2] if server.sample else []
    if not disks or disks[0][1] < EMPTY_PERCENT or now - server.row["registered_at"] < YOUNG_MS:
        return None
    mount, percent = disks[0]
    slopes = [slope(trends.fullest_disk(db, server.row["id"], now - days * clock.DAY))
              for days in SPANS_DAYS]
    rising = [each for each in slopes if each is not None and each > 0]
    if len(rising) < len(SPANS_DAYS):
        return None
    return mount, (FULL_PERCENT - percent) / min(rising)  # the slower one: both say that it will be full by then


def slope(points: Sequence[Point]) -> Optional[float]:
    """Percent an hour; None of too few points."""
    points = points[::-(-len(points) // POINTS_MAX)] if len(points) > POINTS_MAX else points
    if len(points) < POINTS_MIN:
        return None
    slopes: List[float] = [(later[1] - earlier[1]) / (later[0] - earlier[0])
                           for index, earlier in enumerate(points) for later in points[index + 1:]]
    return median(slopes)
