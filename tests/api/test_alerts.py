"""GET and PATCH /api/dashboard/alerts: lists, one alert with its history, acknowledging one or many."""

from __future__ import annotations

import threading

import pytest

from smon_hub import clock
from tests.hub.inside import HERE, START

URL = "/api/dashboard/alerts"


def ask(hub, method, path=URL, body=None):
    return hub.ask(method, path, body, address=HERE, host="localhost")


def alerts(hub, query=""):
    answer = ask(hub, "GET", URL + query)
    assert answer.status == 200, answer
    return answer.json["alerts"]


@pytest.fixture
def hot(hub_inside):
    """A hub with a server that has two open alerts."""
    hub_inside.hot = hub_inside.server(hostname="hot")
    hub_inside.send(hub_inside.hot, {"cpu_percent": 99.0, "memory_percent": 91.0})
    return hub_inside


def test_active_ones_are_listed_newest_first(hot):
    assert [(each["alert_type"], each["severity"], each["state"]) for each in alerts(hot)] == [
        ("memory", "warning", "active"), ("cpu", "critical", "active")]
    assert alerts(hot)[0]["timestamp"] == clock.iso(START)


def test_an_acknowledged_one_is_open_and_not_active(hot):
    row_id = alerts(hot)[0]["id"]
    assert ask(hot, "PATCH", body={"alert_id": row_id, "note": "Known."}).json["acknowledged"] == [row_id]
    assert [each["alert_type"] for each in alerts(hot)] == ["cpu"]
    found = alerts(hot, "?state=open")[0]
    assert (found["is_acknowledged"], found["note"], found["acknowledged_at"], found["state"]) == (
        True, "Known.", clock.iso(START), "acknowledged")


def test_acknowledging_reads_its_line_of_the_bell(hot):
    ask(hot, "PATCH", body={"alert_id": alerts(hot)[0]["id"]})
    assert [each["alert_type"] for each in ask(hot, "GET", "/api/dashboard/notifications").json["notifications"]] == [
        "cpu"]
    assert hot.fleet.summary(hot.now(), 15)["unreadNotifications"] == 1


def test_several_are_acknowledged_or_none(hot):
    ids = [each["id"] for each in alerts(hot)]
    assert ask(hot, "PATCH", body={"alert_ids": ids + [999]}).status == 404
    assert len(alerts(hot)) == 2
    assert ask(hot, "PATCH", body={"alert_ids": ids}).status == 200
    assert alerts(hot) == [] and len(alerts(hot, "?state=open")) == 2


@pytest.mark.parametrize("body", [
    {}, {"alert_id": None}, {"alert_id": "1"}, {"alert_id": True}, {"alert_id": 0}, {"alert_id": -1},
    {"alert_id": 1.5}, {"alert_id": 2 ** 70}, {"alert_ids": []}, {"alert_ids": [0]}, {"alert_ids": ["1"]},
    {"alert_ids": list(range(1, 502))}, {"alert_id": 1, "until": "2020-01-01"}, {"alert_id": 1, "note": 5}, [], "x"])
def test_a_wrong_body_is_refused_and_changes_nothing(hot, body):
    answer = ask(hot, "PATCH", body=body)
    assert (answer.status, answer.json["code"]) == (400, "bad_request")
    assert len(alerts(hot)) == 2


def test_an_unknown_id_is_404(hot):
    assert ask(hot, "PATCH", body={"alert_id": 4_711}).status == 404
    for path in ("/4711", "/x", "/-1", "/" + "9" * 30):
        assert ask(hot, "GET", URL + path).status == 404


def test_lists_by_state_server_and_page(hot):
    other = hot.server(hostname="other")
    hot.send(other, {"cpu_percent": 99.0})
    for _ in range(2):
        hot.send(hot.hot)
    assert [each["hostname"] for each in alerts(hot)] == ["other"]
    assert [each["state"] for each in alerts(hot, "?state=resolved")] == ["resolved"] * 2
    assert alerts(hot, "?state=resolved")[0]["resolved_at"] == clock.iso(START)
    assert len(alerts(hot, "?state=all")) == 3
    assert [each["hostname"] for each in alerts(hot, "?state=all&server=" + other.row["uuid"])] == ["other"]
    first = alerts(hot, "?state=all&limit=1")
    rest = alerts(hot, "?state=all&before=%d" % first[0]["id"])
    assert len(first) == 1 and len(rest) == 2 and first[0]["id"] not in [each["id"] for each in rest]


@pytest.mark.parametrize("query, status", [
    ("?state=odd", 400), ("?limit=0", 400), ("?limit=1001", 400), ("?before=0", 400), ("?server=nobody", 404)])
def test_a_wrong_query_is_named(hot, query, status):
    assert ask(hot, "GET", URL + query).status == status


def test_one_alert_tells_each_moment_of_its_life(hot):
    row_id = alerts(hot)[1]["id"]
    hot.send(hot.hot, {"cpu_percent": 91.0})
    hot.send(hot.hot, {"cpu_percent": 50.0})
    ask(hot, "PATCH", body={"alert_id": row_id, "note": "On it."})
    for _ in range(2):
        hot.send(hot.hot)
    found = ask(hot, "GET", "%s/%d" % (URL, row_id)).json["alert"]
    assert [each["event"] for each in found["events"]] == ["opened", "acknowledged", "recovered"]
    assert found["events"][1]["message"] == "On it."


def test_acknowledging_is_noted_in_the_audit_log(hot):
    ask(hot, "PATCH", body={"alert_id": alerts(hot)[0]["id"]})
    assert ask(hot, "GET", "/api/dashboard/audit").json["entries"][0]["action"] == "alert.acknowledge"


# --- where else they show ---------------------------------------------------------------------------------------------

def test_the_overview_counts_and_lists_them_in_both_views(hot):
    whole = ask(hot, "GET", "/api/dashboard").json
    assert [each["id"] for each in whole["alerts"]] == [each["id"] for each in alerts(hot)]
    assert {key: whole["summary"][key] for key in ("activeAlerts", "criticalAlerts", "unreadNotifications")} == {
        "activeAlerts": 2, "criticalAlerts": 1, "unreadNotifications": 2}
    assert {key: whole["servers"][0][key] for key in ("status", "alert_count", "critical_count")} == {
        "status": "critical", "alert_count": 2, "critical_count": 1}
    cards = ask(hot, "GET", "/api/dashboard?view=cards").json
    row = dict(zip(cards["columns"], cards["rows"][0]))
    assert (row["status"], row["alerts"], row["critical"]) == ("critical", 2, 1)


def test_an_overview_shows_an_acknowledgement_at_once(hot):
    tag = ask(hot, "GET", "/api/dashboard").headers["etag"]
    ask(hot, "PATCH", body={"alert_id": alerts(hot)[0]["id"]})
    answer = ask(hot, "GET", "/api/dashboard")
    assert answer.headers["etag"] != tag and answer.json["summary"]["activeAlerts"] == 1


def test_a_servers_page_lists_its_own(hot):
    hot.send(hot.server(), {"cpu_percent": 99.0})
    answer = ask(hot, "GET", "/api/dashboard/server/" + hot.hot.row["uuid"]).json
    assert [each["alert_type"] for each in answer["alerts"]] == ["memory", "cpu"]
    assert answer["server"]["status"] == "critical"


def test_a_removed_server_leaves_no_alert_and_no_line(hot):
    row_id = alerts(hot)[0]["id"]
    ask(hot, "DELETE", "/api/dashboard/server/" + hot.hot.row["uuid"])
    assert alerts(hot, "?state=all") == []
    assert ask(hot, "GET", "/api/dashboard/notifications").json == {"notifications": [], "unread": 0}
    assert ask(hot, "PATCH", body={"alert_id": row_id}).status == 404
    hot.jobs.sweep()
    for table in ("alerts", "alert_events", "notifications"):
        assert hot.rows("SELECT * FROM %s" % table) == []


def test_a_hostile_name_comes_back_as_it_was_cleaned(hub_inside):
    hub_inside.send(hub_inside.server(), {"disks": [{"mountpoint": "/%d%%s<b>\r\nX: y", "percent": 99.0}]})
    found, = alerts(hub_inside)
    assert found["message"] == "Disk usage of /%d%%s<b>  X: y at 99.0% (threshold: 90%)"


def test_twenty_samples_at_once_open_one_alert(fresh_hub):
    server = fresh_hub.register("storm")
    threads = [threading.Thread(target=server.send, args=({"cpu_percent": 99.0},)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = fresh_hub.get(URL).json["alerts"]
    assert [each["alert_type"] for each in found] == ["cpu"]
