"""UTC milliseconds and ISO 8601 text. Nothing else in the hub reads or writes time text."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Optional

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?(?:\.([0-9]{1,9}))?"
                    r"([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?")
LATEST = 253402300799999  # the last millisecond of the year 9999, the end of datetime's range


def now() -> int:
    """The wall clock as UTC milliseconds. Only the hub's own `now` calls this; everyone else is told."""
    return int(time.time() * 1000)


def parse(text: str) -> int:
    """ISO 8601 to UTC milliseconds; a text without an offset is UTC.

    Raises ValueError for anything else, and for moments outside 1970 to 9999.
    """
    if len(text) == 24 and text[16] == ":" and text[19] == "." and text[20:23].isdigit() and text[23] == "Z":
        return _second(text[:19]) + int(text[20:23])  # as agents write it, many times for one second
    if len(text) == 20 and text[16] == ":" and text[19] == "Z":
        return _second(text[:19])  # when a machine started, which stays the same
    found = MOMENT.fullmatch(text)
    if not found:
        raise ValueError("not ISO 8601")
    date, clock, seconds, fraction, offset = found.groups()
    moment = datetime.fromisoformat("%sT%s%s.%s%s" % (
        date, clock or "00:00", seconds or ":00", (fraction or "")[:6].ljust(6, "0"), _offset(offset)))
    try:
        at = (moment - EPOCH) // timedelta(milliseconds=1)
    except OverflowError as error:
        raise ValueError("outside 1970 to 9999") from error
    if not 0 <= at <= LATEST:
        raise ValueError("outside 1970 to 9999")
    return at


def iso(at: int) -> str:
    """UTC milliseconds to `2026-11-22T10:00:00Z`."""
    return _iso_second(at // 1000)


def iso_ms(at: int) -> str:
    """UTC milliseconds to `2026-11-22T10:00:00.123Z`."""
    return iso(at)[:-1] + ".%03dZ" % (at % 1000)


def iso_or_none(at: Optional[int]) -> Optional[str]:
    """A moment that may not have come, as answers tell it."""
    return None if at is None else iso(at)


@lru_cache(maxsize=4_096)
def _iso_second(second: int) -> str:
    return (EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=1_024)
def _second(text: str) -> int:
    """UTC milliseconds of a text without fraction and offset."""
    return parse(text)


def _offset(text: Optional[str]) -> str:
    """Z, +HHMM, +HH or nothing as +HH:MM, which is all that Python before 3.11 reads."""
    digits = (text or "Z")[1:].replace(":", "").ljust(4, "0")
    return (text or "+")[0].translate({ord("Z"): "+", ord("z"): "+"}) + digits[:2] + ":" + digits[2:]
