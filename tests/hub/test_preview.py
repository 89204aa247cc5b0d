"""What a rule would have told of the past: it must agree with what it did tell."""

from __future__ import annotations

import random

import pytest

from smon_hub import clock, preview
from tests.hub.inside import START


def week(hub, **fields):
    """A server whose CPU wanders for 200 samples, five minutes apart."""
    random.seed(5)
    server, cpu = hub.server(**fields), 50.0
    for _ in range(200):
        cpu = min(100.0, max(0.0, cpu + random.uniform(-25, 27)))
        hub.pass_time(5 * clock.MINUTE)
        hub.send(server, {"cpu_percent": cpu}, collected_at=hub.now())
    return server


def look(hub, servers, rule="cpu", threshold=None, **patience):
    return preview.look_back(hub, servers, rule, threshold, patience, START)


@pytest.mark.parametrize("settings", [
    {"alert_clear_samples": 2}, {"alert_for_samples": 2}, {"alert_for_minutes": 10, "alert_clear_samples": 1}])
def test_it_counts_what_the_rule_in_force_did(hub_inside, settings):
    hub_inside.change_settings(settings)
    server = week(hub_inside)
    opened, = hub_inside.rows("SELECT COUNT(*) FROM alert_events WHERE event = 'opened' AND rule = 'cpu'")[0]
    found = look(hub_inside, [server])
    assert found["openings"] == opened > 3 and found["samples"] == 200
    assert found["servers"][0]["openings"] == opened


def test_other_levels_and_more_patience_than_in_force(hub_inside):
    server = hub_inside.server()
    for cpu in (65.0, 0.0, 0.0, 85.0, 85.0, 0.0, 0.0, 95.0, 95.0, 95.0, 0.0, 0.0):
        hub_inside.pass_time(5 * clock.MINUTE)
        hub_inside.send(server, {"cpu_percent": cpu}, collected_at=hub_inside.now())
    counts = {level: look(hub_inside, [server], threshold=level)["openings"] for level in (60, 80, 90, 99)}
    assert counts == {60: 3, 80: 2, 90: 1, 99: 0}
    assert [look(hub_inside, [server], threshold=60, alert_for_samples=samples)["openings"]
            for samples in (1, 2, 3, 4)] == [3, 2, 1, 0]
    assert look(hub_inside, [server], threshold=60, alert_for_minutes=10)["openings"] == 1


def test_minutes_open_and_critical_ones_are_told(hub_inside):
    server = hub_inside.server()
    for cpu in (50.0, 91.0, 96.0, 96.0, 50.0, 50.0):
        hub_inside.pass_time(5 * clock.MINUTE)
        hub_inside.send(server, {"cpu_percent": cpu}, collected_at=hub_inside.now())
    one, = look(hub_inside, [server])["servers"]
    assert (one["openings"], one["critical"], one["minutes_open"]) == (1, 1, 20)


def test_an_answer_that_would_take_too_long_says_how_far_it_came(hub_inside, monkeypatch):
    servers = [hub_inside.server() for _ in range(3)]
    hub_inside.pass_time(clock.MINUTE)
    for server in servers:
        hub_inside.send(server, {"cpu_percent": 99.0})
    monkeypatch.setattr(preview, "SAMPLES_MAX", 2)
    found = look(hub_inside, servers)
    assert (found["servers_looked_at"], found["servers_in_all"], found["servers_alerting"]) == (2, 3, 2)
