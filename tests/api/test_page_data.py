"""What only the page asks for: totals, the past of a zoomed chart, a disk's forecast, the bounds of an agent's form."""

from __future__ import annotations

import pytest

from smon_hub import clock
from tests.hub.inside import HERE, sample


def ask(hub, path):
    answer = hub.ask("GET", path, address=HERE, host="localhost")
    assert answer.status == 200, answer
    return answer.json


def page(hub, server, query=""):
    return ask(hub, "/api/dashboard/server/%s%s" % (server.row["uuid"], query))


def filled(hub, hours, every_minutes=60, percent_at=lambda hour: 50.0):
    """A server with samples of so many hours until now."""
    server = hub.server()
    hub.pass_time(hours * clock.HOUR)
    now = hub.now()
    moments = range(0, hours * 60 + 1, every_minutes)
    samples = [sample({"cpu_percent": 10.0, "disks": [{"mountpoint": "/data", "percent": percent_at(-minute / 60)}]},
                      collected_at=now - minute * clock.MINUTE) for minute in reversed(moments)]
    for start in range(0, len(samples), 100):
        hub.send_batch(server, *samples[start:start + 100])
    return server


def test_the_summary_alone_is_that_of_the_whole(hub_inside):
    hub_inside.server()
    alone = ask(hub_inside, "/api/dashboard?view=summary")
    assert sorted(alone) == ["now", "summary"]
    assert alone["summary"] == ask(hub_inside, "/api/dashboard")["summary"]


def test_a_history_ends_where_it_is_asked_to(hub_inside):
    server, now = filled(hub_inside, 12), hub_inside.now()
    until = now - 6 * clock.HOUR
    rows = page(hub_inside, server, "?hours=3&until=" + clock.iso(until))["history"]
    assert [row["timestamp"] for row in rows] == [clock.iso(until - hours * clock.HOUR) for hours in (2, 1, 0)]


def test_a_short_span_of_long_ago_has_finer_points(hub_inside):
    server, now = filled(hub_inside, 20 * 24, every_minutes=15), hub_inside.now()
    coarse = page(hub_inside, server, "?hours=480")
    fine = page(hub_inside, server, "?hours=6&until=" + clock.iso(now - 15 * clock.DAY))
    assert (coarse["step"] > 0, fine["step"], len(fine["history"])) == (True, 0, 24)


@pytest.mark.parametrize("rate, expected", [(0.1, ("/data", 110)), (0.0, (None, None))])
def test_a_disk_that_fills_up_is_said_with_the_hours_left(hub_inside, rate, expected):
    server = filled(hub_inside, 15 * 24, percent_at=lambda hour: 89.0 + hour * rate)
    told = page(hub_inside, server, "/forecast")
    assert (told["mountpoint"], told["hours_left"] and round(told["hours_left"])) == expected


def test_the_form_of_an_agents_settings_has_the_bounds_that_refuse(hub_inside):
    server = hub_inside.server()
    rows = {row["key"]: row for row in page(hub_inside, server, "/config")["schema"]}
    assert (rows["live_interval_seconds"]["min"], rows["live_interval_seconds"]["max"]) == (5, 60)
    assert rows["monitored_services"]["type"] == "list" and "DEBUG" in rows["log_level"]["choices"]
