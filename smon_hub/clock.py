"""UTC milliseconds and ISO 8601 text. Nothing else in the hub reads or writes time text."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from functools import lru_cache

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
LATEST = 253402300799999  # the last millisecond of the year 9999, the end of datetime's range


def now() -> int:
    """The wall clock as UTC milliseconds. Only the hub's own `now` calls this; everyone else is told."""
    return int(time.time() * 1000)


def parse(text: str) -> int:
    """ISO 8601 to UTC milliseconds; a text without an offset is UTC.

    Raises ValueError for anything else, and for moments outside 1970 to 9999.
    """
    if len(text) == 24 and text[19] == "." and text[23] == "Z" and text[20:23].isdigit() and text.isascii():
        return _second(text[:19]) + int(text[20:23])  # as agents write it, many times for one second
    if len(text) > 40:
        raise ValueError("longer than any ISO 8601 moment")
    if text[-1:] in ("Z", "z"):
        text = text[:-1] + "+00:00"
    moment = datetime.fromisoformat(_six_digits(text))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
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


@lru_cache(maxsize=4_096)
def _iso_second(second: int) -> str:
    return (EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=1_024)
def _second(text: str) -> int:
    """UTC milliseconds of a text without fraction and offset."""
    return parse(text)


def _six_digits(text: str) -> str:
    """Pad or cut the fraction of a second: until Python 3.11 fromisoformat takes three or six digits only."""
    head, point, tail = text.partition(".")
    if not point:
        return text
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return head + "." + tail[:digits][:6].ljust(6, "0") + tail[digits:]
