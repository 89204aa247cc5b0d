"""Counters turned into amounts a second."""

from __future__ import annotations

import pytest

import smon_agent

NAMES = ("sent", "received")
UNKNOWN = {"sent": None, "received": None}


@pytest.fixture
def rates(monkeypatch):
    """take(now, counters) with a clock of the test's own."""
    clock = {"now": 0.0}
    monkeypatch.setattr(smon_agent.time, "monotonic", lambda: clock["now"])
    made = smon_agent.Rates()

    def take(now, **counters):
        clock["now"] = now
        return made.take(counters, NAMES)
    return take


def test_the_first_reading_has_no_rate(rates):
    assert rates(100, eth0=(5, 5)) == UNKNOWN


def test_a_rate_is_the_growth_a_second_over_all_interfaces(rates):
    rates(100, eth0=(0, 0), eth1=(100, 0))
    assert rates(110, eth0=(50, 20), eth1=(150, 5)) == {"sent": 10.0, "received": 2.5}


def test_a_counter_that_fell_gives_no_rate_and_never_a_negative_one(rates):
    rates(100, eth0=(1000, 1000))
    assert rates(110, eth0=(10, 2000)) == UNKNOWN
    assert rates(120, eth0=(20, 2010)) == {"sent": 1.0, "received": 1.0}


def test_an_interface_that_comes_or_goes_makes_no_spike(rates):
    rates(100, eth0=(0, 0), vpn=(10 ** 12, 0))
    assert rates(110, eth0=(10, 10)) == {"sent": 1.0, "received": 1.0}
    assert rates(120, eth0=(20, 20), vpn=(10 ** 12, 0)) == {"sent": 1.0, "received": 1.0}


def test_a_clock_that_stands_still_gives_no_rate(rates):
    rates(100, eth0=(0, 0))
    assert rates(100, eth0=(10, 10)) == UNKNOWN


def test_a_machine_without_interfaces_has_no_rate(rates):
    rates(100)
    assert rates(110) == UNKNOWN
