"""GET and PATCH /api/dashboard/notifications: the bell."""

from __future__ import annotations

import pytest

from smon_hub import clock
from tests.hub.inside import HERE, START

URL = "/api/dashboard/notifications"


def ask(hub, method, body=None):
    return hub.ask(method, URL, body, address=HERE, host="localhost")


def lines(hub):
    return ask(hub, "GET").json["notifications"]


@pytest.fixture
def rung(hub_inside):
    """A hub whose bell has two lines: an alert that opened, and its end."""
    hub_inside.rung = hub_inside.server(hostname="web-1", ip_address="192.0.2.9")
    hub_inside.send(hub_inside.rung, {"cpu_percent": 97.0})
    for _ in range(2):
        hub_inside.send(hub_inside.rung)
    return hub_inside


def test_an_opening_and_a_recovery_are_lines_with_the_fields_of_the_first_implementation(rung):
    newest, opened = lines(rung)
    assert opened == {
        "id": opened["id"], "alert_id": opened["alert_id"], "timestamp": clock.iso(START), "channel": "dashboard",
        "message": "CPU usage at 97.0% (threshold: 90%)", "is_read": False, "event": "opened",
        "server_id": rung.rung.row["uuid"],
        "severity": "critical", "alert_type": "cpu", "object": "", "metric_value": 97.0, "threshold_value": 90,
        "hostname": "web-1", "display_name": "web-1", "ip_address": "192.0.2.9"}
    assert newest["message"] == "CPU usage is below its threshold of 90% again"
    assert (newest["alert_id"], newest["event"]) == (opened["alert_id"], "recovered")


def test_one_is_marked_and_then_all(rung):
    answer = ask(rung, "PATCH", {"notification_id": lines(rung)[0]["id"]})
    assert answer.json == {"status": "ok", "unread": 1} and len(lines(rung)) == 1
    assert ask(rung, "PATCH", {"mark_all": True}).json == {"status": "ok", "unread": 0}
    assert lines(rung) == [] and rung.fleet.summary(START, 15)["unreadNotifications"] == 0


@pytest.mark.parametrize("body", [
    {}, {"notification_id": "x"}, {"notification_id": []}, {"notification_id": 2 ** 70}, {"notification_id": -5},
    {"notification_id": True}, {"mark_all": "yes"}, {"mark_all": 1}, {"mark_all": False}, {"mark_all": None}, []])
def test_a_wrong_body_is_refused_and_marks_nothing(rung, body):
    assert ask(rung, "PATCH", body).status == 400
    assert len(lines(rung)) == 2


def test_an_unknown_line_is_404(rung):
    assert ask(rung, "PATCH", {"notification_id": 4_711}).status == 404


def test_the_newest_fifty_are_listed_and_all_are_counted(hub_inside):
    for number in range(60):
        hub_inside.send(hub_inside.server(hostname="s-%d" % number), {"cpu_percent": 99.0})
    answer = ask(hub_inside, "GET").json
    assert (len(answer["notifications"]), answer["unread"]) == (50, 60)
    assert answer["notifications"][0]["hostname"] == "s-59"
