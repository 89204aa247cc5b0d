"""GET, POST and DELETE /api/dashboard/maintenance."""

from __future__ import annotations

import pytest

from tests.hub.inside import HERE

URL = "/api/dashboard/maintenance"
ONCE = {"name": "Patches", "kind": "once", "starts_at": "2026-11-22T12:00:00Z", "minutes": 60}


def ask(hub, method, path=URL, body=None):
    return hub.ask(method, path, body, address=HERE, host="localhost")


def test_a_window_is_added_listed_and_removed(hub_inside):
    window = ask(hub_inside, "POST", body=ONCE).json["window"]
    assert window == {
        "id": 1, "name": "Patches", "scope": "all", "target": None, "kind": "once", "minutes": 60, "zone": "UTC",
        "days": [], "starts_at": "2026-11-22T12:00:00Z", "start": None, "open": False,
        "begins_at": "2026-11-22T12:00:00Z", "ends_at": "2026-11-22T13:00:00Z", "created_at": "2026-11-22T10:00:00Z",
        "created_by": window["created_by"]}
    assert ask(hub_inside, "GET").json == {"windows": [window]}
    assert ask(hub_inside, "DELETE", URL + "/1").status == 200
    assert ask(hub_inside, "GET").json == {"windows": []}
    assert ask(hub_inside, "DELETE", URL + "/1").status == 404


def test_a_weekly_window_says_when_it_is_open_next(hub_inside):
    body = {"name": "Night", "kind": "weekly", "start": "02:30", "days": [6, 0, 6], "minutes": 90, "zone": "+01:00"}
    window = ask(hub_inside, "POST", body=body).json["window"]
    assert (window["days"], window["start"], window["begins_at"]) == ([0, 6], "02:30", "2026-11-23T01:30:00Z")


@pytest.mark.parametrize("change, field", [
    ({"name": ""}, "name"), ({"kind": "yearly"}, "kind"), ({"kind": "daily"}, "start"),
    ({"kind": "daily", "start": "25:00"}, "start"), ({"kind": "weekly", "start": "02:00"}, "days"),
    ({"kind": "weekly", "start": "02:00", "days": [7]}, "days[0]"), ({"starts_at": None}, "starts_at"),
    ({"starts_at": "soon"}, "starts_at"), ({"minutes": 0}, "minutes"), ({"minutes": 10081}, "minutes"),
    ({"scope": "group"}, "target"), ({"target": "Shop"}, "target"), ({"zone": "Mars/Base"}, "zone"),
    ({"zone": "+24:30"}, "zone"), ({"scope": "planet"}, "scope")])
def test_what_does_not_fit_is_named_and_adds_nothing(hub_inside, change, field):
    answer = ask(hub_inside, "POST", body={**ONCE, **change})
    assert (answer.status, answer.json["field"].split("]")[0].split(".")[0]) == (400, field.split("]")[0]), answer
    assert ask(hub_inside, "GET").json == {"windows": []}


def test_an_unknown_server_or_window_is_404(hub_inside):
    assert ask(hub_inside, "POST", body={**ONCE, "scope": "server", "target": "nobody"}).status == 404
    for path in ("/9", "/x", "/-1"):
        assert ask(hub_inside, "DELETE", URL + path).status == 404


def test_a_server_in_maintenance_wears_a_flag_in_every_answer(hub_inside):
    server = hub_inside.server()
    hub_inside.send(server)
    ask(hub_inside, "POST", body={**ONCE, "starts_at": "2026-11-22T10:00:00Z"})
    whole, cards = (ask(hub_inside, "GET", "/api/dashboard" + view).json for view in ("", "?view=cards"))
    assert whole["servers"][0]["flags"] == ["maintenance"]
    assert dict(zip(cards["columns"], cards["rows"][0]))["flags"] == ["maintenance"]
    page = ask(hub_inside, "GET", "/api/dashboard/server/" + server.row["uuid"]).json
    assert page["server"]["flags"] == ["maintenance"]


def test_windows_are_noted_in_the_audit_log(hub_inside):
    ask(hub_inside, "POST", body=ONCE)
    ask(hub_inside, "DELETE", URL + "/1")
    assert [entry["action"] for entry in ask(hub_inside, "GET", "/api/dashboard/audit").json["entries"][:2]] == [
        "maintenance.remove", "maintenance.add"]
