"""GET and POST /api/dashboard/rules, and GET /api/dashboard/alerts/preview."""

from __future__ import annotations

import pytest

from tests.hub import inside
from tests.hub.inside import HERE

URL, PREVIEW = "/api/dashboard/rules", "/api/dashboard/alerts/preview"


def ask(hub, method, path=URL, body=None):
    return hub.ask(method, path, body, address=HERE, host="localhost")


def say(hub, **body):
    answer = ask(hub, "POST", body=dict({"group": "Shop"}, **body))
    assert answer.status == 200, answer
    return answer.json["rules"]


def alerts(hub):
    return [(each["alert_type"], each["threshold_value"]) for each in ask(
        hub, "GET", "/api/dashboard/alerts").json["alerts"]]


def test_a_groups_thresholds_hold_for_its_servers_alone(hub_inside):
    assert say(hub_inside, alert_cpu_threshold=60) == {"Shop": {"alert_cpu_threshold": 60.0}}
    within, outside = hub_inside.server(group_name="Shop"), hub_inside.server()
    for server in (within, outside):
        hub_inside.send(server, {"cpu_percent": 70.0})
    assert alerts(hub_inside) == [("cpu", 60)] and within.tally.active == 1


def test_a_servers_own_threshold_holds_over_its_groups(hub_inside):
    say(hub_inside, alert_cpu_threshold=60)
    server = hub_inside.server(group_name="Shop")
    ask(hub_inside, "PATCH", "/api/dashboard/server/" + server.row["uuid"], {"alert_cpu_threshold": 80})
    hub_inside.send(server, {"cpu_percent": 70.0})
    assert alerts(hub_inside) == []
    hub_inside.send(server, {"cpu_percent": 81.0})
    assert alerts(hub_inside) == [("cpu", 80)]


def test_a_groups_patience_and_other_levels_hold_over_the_settings(hub_inside):
    say(hub_inside, alert_for_samples=2, alert_critical_percent=99, alert_inodes_threshold=50)
    server = hub_inside.server(group_name="Shop")
    hub_inside.change_settings({"alert_clear_samples": 1})
    bad = {"cpu_percent": 97.0, "disks": [{"mountpoint": "/", "percent": 1.0, "inodes_percent": 51.0}]}
    hub_inside.send(server, bad)
    assert alerts(hub_inside) == [("inodes", 50)]
    hub_inside.send(server, bad)
    assert server.tally.worst == "warning" and ("cpu", 90) in alerts(hub_inside)
    hub_inside.send(server)
    assert alerts(hub_inside) == [("inodes", 50)]


def test_settings_that_change_hold_for_a_group_with_rules_of_its_own(hub_inside):
    say(hub_inside, alert_cpu_threshold=60)
    server = hub_inside.server(group_name="Shop")
    hub_inside.send(server)
    hub_inside.change_settings({"alert_for_samples": 2})
    for expected in ([], [("cpu", 60)]):
        hub_inside.send(server, {"cpu_percent": 70.0})
        assert alerts(hub_inside) == expected


def test_what_changes_holds_with_the_next_sample_of_an_open_alert(hub_inside):
    server = hub_inside.server(group_name="Shop")
    hub_inside.send(server, {"cpu_percent": 92.0})
    say(hub_inside, alert_cpu_threshold=98)
    for _ in range(2):
        hub_inside.send(server, {"cpu_percent": 92.0})
    assert alerts(hub_inside) == []
    assert say(hub_inside) == {}
    hub_inside.send(server, {"cpu_percent": 92.0})
    assert alerts(hub_inside) == [("cpu", 90)]


def test_a_restart_keeps_them(tmp_path):
    with inside.running(tmp_path / "data") as hub:
        before = say(hub, alert_cpu_threshold=60)
    with inside.running(tmp_path / "data") as hub:
        assert ask(hub, "GET").json == {"rules": before}


@pytest.mark.parametrize("body", [
    {}, {"group": ""}, {"group": 5}, {"group": "Shop", "alert_cpu_threshold": 0},
    {"group": "Shop", "alert_cpu_threshold": 101}, {"group": "Shop", "alert_cpu_threshold": "60"},
    {"group": "Shop", "alert_for_samples": 1.5}, {"group": "Shop", "alert_clock_skew_seconds": 9}])
def test_a_wrong_body_is_refused_and_changes_nothing(hub_inside, body):
    assert ask(hub_inside, "POST", body=body).status == 400
    assert ask(hub_inside, "GET").json == {"rules": {}}


def test_changes_are_noted_in_the_audit_log(hub_inside):
    say(hub_inside, alert_cpu_threshold=60)
    say(hub_inside, alert_for_samples=2)
    entry = ask(hub_inside, "GET", "/api/dashboard/audit").json["entries"][0]
    assert (entry["action"], entry["object"]) == ("rules.change", "Shop")
    assert entry["change"] == {"alert_cpu_threshold": [60.0, None], "alert_for_samples": [None, 2]}


# --- preview ----------------------------------------------------------------------------------------------------------

def preview(hub, query=""):
    answer = ask(hub, "GET", PREVIEW + query)
    assert answer.status == 200, answer
    return answer.json


def test_a_preview_is_of_the_servers_and_the_levels_that_were_asked_for(hub_inside):
    shop, other = hub_inside.server(group_name="Shop"), hub_inside.server()
    for server in (shop, other):
        hub_inside.send(server, {"cpu_percent": 70.0})
    assert preview(hub_inside)["openings"] == 0
    assert preview(hub_inside, "?threshold=60")["openings"] == 2
    assert [row["server_id"] for row in preview(hub_inside, "?threshold=60&group=Shop")["servers"]] == [
        shop.row["uuid"]]
    found = preview(hub_inside, "?threshold=60&critical=65&server=" + other.row["uuid"])
    assert [(row["server_id"], row["critical"]) for row in found["servers"]] == [(other.row["uuid"], 1)]
    assert preview(hub_inside, "?threshold=60&samples=2")["openings"] == 0
    say(hub_inside, alert_cpu_threshold=60)
    assert preview(hub_inside)["openings"] == 1


@pytest.mark.parametrize("query, status", [
    ("?rule=swap", 400), ("?threshold=0", 400), ("?days=31", 400), ("?samples=x", 400), ("?server=nobody", 404)])
def test_a_wrong_query_is_named(hub_inside, query, status):
    assert ask(hub_inside, "GET", PREVIEW + query).status == status
