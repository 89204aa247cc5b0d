"""The history of a server: bounded in points, whatever was stored and whatever is asked."""

from __future__ import annotations

import pytest

from smon_hub import clock, metrics
from smon_hub.store import series
from tests.hub.inside import HERE, START


def fill(hub, server, samples, gap_ms=clock.MINUTE, cpu=lambda age: 50.0):
    """Samples back from now; past the front door, which is not what is tested here."""
    rest = [None] * (len(metrics.KEYS) - 1)
    arrivals = [series.Arrival((server.row["id"], START - age * gap_ms, cpu(age), *rest, None), True)
                for age in range(samples)]
    hub.engine.write(lambda db: series.add(db, arrivals))


def history(hub, server, hours):
    answer = hub.ask("GET", "/api/dashboard/server/%s?hours=%d" % (server.row["uuid"], hours), address=HERE,
                     host="localhost").json
    return answer["history"], answer["step"]


@pytest.mark.parametrize("samples, raw", [(1_500, True), (1_501, False)])
def test_up_to_1500_samples_come_one_by_one_more_of_them_in_buckets(hub_inside, samples, raw):
    server = hub_inside.server()
    fill(hub_inside, server, samples, gap_ms=30_000)
    points, step = history(hub_inside, server, 24)
    assert (step == 0) is raw
    assert (len(points) == samples) is raw and len(points) <= 1_500


@pytest.mark.parametrize("hours", [1, 6, 13, 24, 72, 168, 720, 5_000, 8_760])
def test_no_span_has_more_points_than_1500(hub_inside, hours):
    server = hub_inside.server()
    fill(hub_inside, server, 4_000, gap_ms=max(1_000, hours * clock.HOUR // 4_000))
    points, step = history(hub_inside, server, hours)
    assert 0 < len(points) <= 1_500 and step > 0
    times = [clock.parse(point["timestamp"]) for point in points]
    assert times == sorted(set(times)) and all(at % (step * 1_000) == 0 for at in times)


def test_a_bucket_keeps_its_peaks(hub_inside):
    server = hub_inside.server()
    fill(hub_inside, server, 2_000, gap_ms=10_000, cpu=lambda age: 99.0 if age == 1_000 else 10.0)
    points, _ = history(hub_inside, server, 6)
    assert max(point["cpu_max"] for point in points) == 99.0
    assert all(point["cpu_min"] <= point["cpu_percent"] <= point["cpu_max"] for point in points)


def test_a_gap_stays_a_gap_and_what_was_not_measured_is_null(hub_inside):
    server = hub_inside.server()
    fill(hub_inside, server, 1_000, gap_ms=10_000)
    rest = [None] * (len(metrics.KEYS) - 1)
    old = [series.Arrival((server.row["id"], START - 20 * clock.HOUR - age * 10_000, 5.0, *rest, None), True)
           for age in range(1_000)]
    hub_inside.engine.write(lambda db: series.add(db, old))
    points, step = history(hub_inside, server, 24)
    times = [clock.parse(point["timestamp"]) for point in points]
    assert max(later - earlier for earlier, later in zip(times, times[1:])) > 10 * clock.HOUR
    assert all(point["memory_used"] is None for point in points)
