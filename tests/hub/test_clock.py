"""Moments and their texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smon_hub import clock

TEN = 1795341600000  # 2026-11-22T10:00:00Z

TEXTS = [
    ("2026-11-22T10:00:00Z", TEN),
    ("2026-11-22T10:00:00z", TEN),
    ("2026-11-22T10:00:00", TEN),
    ("2026-11-22 10:00:00", TEN),
    ("2026-11-22T10:00:00.5Z", TEN + 500),
    ("2026-11-22T10:00:00.123Z", TEN + 123),
    ("2026-11-22T10:00:00.123456Z", TEN + 123),
    ("2026-11-22T10:00:00.123456789Z", TEN + 123),
    ("2026-11-22T11:00:00+01:00", TEN),
    ("2026-11-22T04:30:00.250-05:30", TEN + 250),
    ("1970-01-01T00:00:00Z", 0),
    ("9999-12-31T23:59:59.999Z", clock.LATEST),
]

NO_MOMENTS = [
    "", "Z", "now", "10:00:00", "1795341600000", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z",
    "2026-11-22T25:00:00Z", "2026-11-22T10:00:60Z", "1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00+01:00",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-01:00", "2026-11-22T10:00:00.12\u00b2Z",
    "2026-11-22T10:00:00.1234567890123456789012345Z", "2026-11-22T10:00+05.123Z", "2026-11-22.1",
    "\ud800", "2026-11-22T10:00:00\ud800",
]

near_moments = st.one_of(
    st.text(), st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.,+\-ZW]{0,24}\Z"),
    st.builds(lambda at, cut, mark: clock.iso_ms(at)[:cut] + mark + clock.iso_ms(at)[cut + 1:],
              st.integers(0, clock.LATEST), st.integers(0, 24), st.characters()))


@given(st.integers(0, clock.LATEST))
def test_a_moment_survives_its_text(at):
    assert clock.parse(clock.iso_ms(at)) == at
    assert clock.parse(clock.iso(at)) == at // 1000 * 1000


@pytest.mark.parametrize("text, at", TEXTS)
def test_it_reads_what_programs_write(text, at):
    assert clock.parse(text) == at


@pytest.mark.parametrize("text", NO_MOMENTS)
def test_it_refuses_what_is_no_moment(text):
    with pytest.raises(ValueError):
        clock.parse(text)


@given(near_moments)
def test_any_text_is_a_moment_or_a_value_error(text):
    try:
        at = clock.parse(text)
    except ValueError:
        return
    assert 0 <= at <= clock.LATEST


def test_nothing_follows_the_year_9999():
    """Some Pythons take 24:00 for the next day, of which there is none here."""
    with pytest.raises(ValueError):
        clock.parse("9999-12-31T24:00:00Z")
