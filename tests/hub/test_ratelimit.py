"""The sliding window, against what its promises say about a list of events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smon_hub.ratelimit import WINDOW_SECONDS, RateLimit

limits = st.integers(1, 4)
moments = st.lists(st.floats(0, 200, allow_nan=False), min_size=1, max_size=40).map(sorted)


def admitted(limit, times):
    """The moments at which a limit let somebody through."""
    window = RateLimit()
    return [at for at in times if window.take("k", limit, at) == 0]


@given(limits, moments)
def test_no_minute_holds_more_than_the_limit(limit, times):
    through = admitted(limit, times)
    for first in through:
        assert sum(first <= at < first + WINDOW_SECONDS for at in through) <= limit


@given(limits, moments)
def test_it_refuses_only_when_the_last_minute_was_full(limit, times):
    through = admitted(limit, times)
    for at in set(times) - set(through):
        assert sum(at - WINDOW_SECONDS - 1 <= earlier <= at for earlier in through) >= limit


@given(limits, moments)
def test_who_waits_as_long_as_told_is_let_through(limit, times):
    window = RateLimit()
    for at in times:
        wait = window.take("k", limit, at)
    if wait:
        assert 1 <= wait <= WINDOW_SECONDS + 1
        assert window.take("k", limit, times[-1] + wait) == 0


@given(limits, moments)
def test_asking_how_long_to_wait_counts_nothing(limit, times):
    window = RateLimit()
    for at in times:
        assert window.wait("k", limit, at) == window.wait("k", limit, at)
        assert window.wait("k", limit, at) == window.take("k", limit, at)


def test_a_window_never_forgets_early():
    """An event late in its second counts for a minute from then, not from the second's beginning."""
    window = RateLimit()
    assert window.take("k", 1, 0.9) == 0
    assert window.take("k", 1, 60.0) > 0


def test_keys_do_not_share_a_window():
    window = RateLimit()
    assert [window.take(key, 1, 5.0) for key in ("a", "b", ("a", "b"), "a")][:3] == [0, 0, 0]
    assert window.take("a", 1, 5.0) > 0


def test_a_lower_limit_holds_for_what_was_counted_before():
    window = RateLimit()
    for _ in range(10):
        window.take("k", 10, 1.0)
    assert window.take("k", 3, 2.0) > 0


def test_it_remembers_a_bounded_number_of_keys_and_forgets_the_one_unused_for_longest():
    window = RateLimit(most_keys=2)
    for key in ("a", "b", "a", "c"):
        window.take(key, 1, 1.0)
    assert [window.wait(key, 1, 1.0) > 0 for key in ("a", "c")] == [True, True]
    assert window.wait("b", 1, 1.0) == 0
