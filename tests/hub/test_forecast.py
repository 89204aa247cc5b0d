"""When a disk will be full: the slope, and what is told of it."""

from __future__ import annotations

import random

import pytest

from smon_hub import clock, forecast
from smon_hub.forecast import slope
from tests.hub.inside import sample


def test_the_slope_is_that_of_a_line():
    assert slope([(hour, 10 + 0.25 * hour) for hour in range(40)]) == pytest.approx(0.25)


def test_a_clean_up_and_bursts_do_not_move_the_slope():
    random.seed(7)
    points = [(hour, 10 + 0.25 * hour + random.uniform(-0.1, 0.1)) for hour in range(72)]
    for hour in (5, 20, 21, 50):
        points[hour] = (hour, 95.0)
    assert slope(points) == pytest.approx(0.25, abs=0.02)


def test_few_points_have_no_slope_and_many_are_thinned():
    assert slope([(0.0, 1.0), (1.0, 2.0)]) is None
    assert slope([(float(hour), hour / 10) for hour in range(14 * 24)]) == pytest.approx(0.1)


def history(hub, server, days, percent_at):
    """A sample an hour of a disk, the last one now."""
    hub.pass_time(days * clock.DAY)
    now = hub.now()
    for first in range(days * 24, -1, -100):
        hub.send_batch(server, *(sample_of(percent_at(-hour), now - hour * clock.HOUR)
                                 for hour in range(first, max(-1, first - 100), -1)))


def sample_of(percent, at):
    return sample({"disks": [{"mountpoint": "/data", "percent": percent}]}, collected_at=at)


def told(hub):
    return [(event, message) for event, message in hub.rows(
        "SELECT event, message FROM alert_events WHERE rule = 'forecast' ORDER BY id")]


@pytest.mark.parametrize("percent, rate, expected", [
    (89, 0.2, (2, 55)), (95, 0.25, (3, 20)), (89, 0.1, None), (60, 0.1, None), (40, 0.1, None)])
def test_the_sooner_the_worse(hub_inside, percent, rate, expected):
    server = hub_inside.server()
    history(hub_inside, server, 15, lambda hour: percent + hour * rate)
    found = forecast.read(hub_inside.engine.read(), server, hub_inside.now())
    assert (found and (found.raises, round(found.value))) == expected


def test_a_steady_rise_is_foreseen_and_its_end_too(hub_inside):
    server = hub_inside.server()
    history(hub_inside, server, 15, lambda hour: 89 + hour * 0.2)  # 55 hours before it is full
    hub_inside.jobs.foresee()
    assert told(hub_inside) == []
    hub_inside.jobs.foresee()
    assert told(hub_inside) == [("opened", "Disk /data will be full in 55 h (threshold: 72 h)")]
    hub_inside.send(server, {"disks": [{"mountpoint": "/data", "percent": 10.0}]})
    for _ in range(2):
        hub_inside.jobs.foresee()
    assert [event for event, _ in told(hub_inside)] == ["opened", "recovered"]


def test_three_days_alone_do_not_make_a_forecast(hub_inside):
    server = hub_inside.server()
    history(hub_inside, server, 15, lambda hour: 80 + hour * 0.3 if hour > -72 else 90 - hour / 100)
    assert forecast.read(hub_inside.engine.read(), server, hub_inside.now()) is None


def test_a_servers_first_day_is_not_looked_at(hub_inside):
    server = hub_inside.server()
    hub_inside.pass_time(23 * clock.HOUR)
    for hour in range(23, -1, -1):
        hub_inside.send(server, {"disks": [{"mountpoint": "/", "percent": 90 - hour / 2}]},
                        collected_at=hub_inside.now() - hour * clock.HOUR)
    assert forecast.read(hub_inside.engine.read(), server, hub_inside.now()) is None
    hub_inside.pass_time(2 * clock.HOUR)
    assert forecast.read(hub_inside.engine.read(), server, hub_inside.now()).value == pytest.approx(20)
