"""Maintenance windows: when each is open. Pure calendars; that nobody is told of alerts then is decided by others.

Daily and weekly windows begin at a time of day of their zone and last real minutes, so a change to or from summer time
within one moves its end on the wall. A time that a change leaves out begins as late as the change; one that it brings
twice begins the first time. Zones: UTC, an offset such as +02:00, or a name where Python has the zones' data.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any, Mapping, NamedTuple, Optional, Tuple

from . import clock
from .errors import HubError

try:
    import zoneinfo
except ImportError:  # Python 3.8
    zoneinfo = None  # type: ignore[assignment]

DAY_MINUTES = 24 * 60
OFFSET = re.compile(r"([+-])([01][0-9]|2[0-3]):([0-5][0-9])")


class Window(NamedTuple):
    """A row of the table maintenance. days: weekdays, 0 is Monday; empty but for weekly ones."""

    id: int
    name: str
    scope: str
    target: str
    kind: str
    starts_at: Optional[int]
    start_minute: Optional[int]
    days: Tuple[int, ...]
    minutes: int
    zone: str
    created_at: int
    created_by: str


def covers(window: Window, row: Mapping[str, Any]) -> bool:
    """Whether a server's row is one that the window is about."""
    return window.scope == "all" or window.target == row["uuid" if window.scope == "server" else "group_name"]


def span(window: Window, now: int) -> Optional[Tuple[int, int]]:
    """The opening that holds now, else the next one; None when there is none any more."""
    if window.kind == "once":
        begins = window.starts_at or 0
        ends = begins + window.minutes * clock.MINUTE
        return (begins, ends) if now < ends else None
    zone = zone_of(window.zone)
    today = datetime.fromtimestamp(now / 1000, zone).date()
    for days in range(-(window.minutes // DAY_MINUTES) - 2, 9):
        day = today + timedelta(days=days)
        if window.kind == "weekly" and day.weekday() not in window.days:
            continue
        begins = _moment(day, window.start_minute or 0, zone)
        if now < begins + window.minutes * clock.MINUTE:
            return begins, begins + window.minutes * clock.MINUTE
    return None


def is_open(window: Window, now: int) -> bool:
    found = span(window, now)
    return found is not None and found[0] <= now


def zone_of(name: str) -> tzinfo:
    """Raises HubError("bad_request") for a zone that is not known here."""
    if name.upper() in ("UTC", "Z"):
        return timezone.utc
    offset = OFFSET.fullmatch(name)
    if offset:
        minutes = int(offset.group(2)) * 60 + int(offset.group(3))
        return timezone(timedelta(minutes=minutes if offset.group(1) == "+" else -minutes))
    if zoneinfo is None:
        raise HubError("bad_request", "zone must be UTC or an offset such as +02:00: this hub's Python has no named "
                       "zones.", field="zone")
    try:
        return zoneinfo.ZoneInfo(name)
    except (OSError, ValueError, LookupError):  # not there, not a name, not a zone's data
        raise HubError("bad_request", "zone must be UTC, an offset such as +02:00, or the name of a zone that this "
                       "hub has data of, such as Europe/Berlin.", field="zone") from None


def _moment(day: Any, minute: int, zone: tzinfo) -> int:
    """UTC milliseconds of a time of day on a date."""
    wall = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone)
    return (wall.astimezone(timezone.utc) - clock.EPOCH) // timedelta(milliseconds=1)
