"""GET, PATCH and DELETE /api/dashboard/settings."""

from __future__ import annotations

import pytest

from smon_hub import clock, settings
from smon_hub.settings import BY_KEY, DEFAULTS
from tests.hub.inside import HERE, START
from tests.support.processes import HubProcess

PATH = "/api/dashboard/settings"
SHOWN = settings.answer(DEFAULTS)  # secrets as set or not set


def here(hub, method, body=None):
    return hub.ask(method, PATH, body, address=HERE, host="localhost")


def test_every_setting_is_told_with_its_type_and_bounds(hub):
    answer = hub.get(PATH).json
    assert answer["settings"] == SHOWN
    assert [row["key"] for row in answer["schema"]] == list(BY_KEY)


@pytest.mark.parametrize("sent", [{"stale_threshold_minutes": 20, "alert_email_enabled": True},
                                  {"stale_threshold_minutes": "20", "alert_email_enabled": "true"}],
                         ids=["native", "text"])
def test_a_change_is_answered_kept_and_leaves_the_rest(hub_inside, sent):
    answer = here(hub_inside, "PATCH", sent)
    expected = dict(SHOWN, stale_threshold_minutes=20, alert_email_enabled=True)
    assert (answer.status, answer.json["settings"]) == (200, expected)
    assert here(hub_inside, "GET").json["settings"] == expected
    assert hub_inside.rows("SELECT COUNT(*) FROM settings") == [(2,)]


def test_settings_survive_the_end_of_the_hub(fresh_hub):
    assert fresh_hub.patch(PATH, {"data_retention_days": 7}).status == 200
    fresh_hub.kill9()
    with HubProcess(fresh_hub.data_dir) as again:
        assert again.get(PATH).json["settings"]["data_retention_days"] == 7


@pytest.mark.parametrize("body, field", [
    ({"stale_threshold_minutes": 20, "data_retention_days": 0}, "data_retention_days"),
    ({"alert_email_smtp_port": 70000, "stale_threshold_minutes": 20}, "alert_email_smtp_port"),
    ({"registration_mode": "all", "stale_threshold_minutes": 20}, "registration_mode"),
])
def test_one_wrong_value_changes_nothing(hub, body, field):
    answer = hub.patch(PATH, body)
    assert (answer.status, answer.json["field"]) == (400, field)
    assert answer.json["error"].startswith(field + " must be ")
    assert hub.get(PATH).json["settings"] == SHOWN


@pytest.mark.parametrize("body", [{}, {"theme": "dark"}, [], "text"])
def test_a_body_without_a_known_setting_is_refused(hub, body):
    assert hub.patch(PATH, body, {"Content-Type": "application/json"}).status == 400


def test_a_clean_up_tells_what_it_removed(hub_inside):
    server = hub_inside.server()
    hub_inside.send(server, collected_at=START - 2 * clock.DAY)
    hub_inside.send(server)
    here(hub_inside, "PATCH", {"data_retention_days": 1})
    answer = here(hub_inside, "DELETE")
    assert (answer.status, answer.json["status"]) == (200, "ok")
    assert answer.json["removed"]["samples"] == 1
    assert here(hub_inside, "DELETE").json["removed"]["samples"] == 0


def test_a_clean_up_on_a_clock_that_jumped_is_refused_with_the_reason(hub_inside):
    hub_inside.pass_time(3 * clock.DAY)
    answer = here(hub_inside, "DELETE")
    assert (answer.status, answer.json["code"]) == (409, "conflict")


@pytest.mark.parametrize("method, body", [("GET", None), ("PATCH", {"stale_threshold_minutes": 20}), ("DELETE", None)])
def test_a_stranger_is_refused(hub_inside, method, body):
    assert hub_inside.ask(method, PATH, body).status == 401
    assert hub_inside.settings == DEFAULTS
