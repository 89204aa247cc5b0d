"""GET /api/dashboard/audit: who changed what."""

from __future__ import annotations

import re

import pytest

from smon_hub import clock
from smon_hub.auth import ROLES
from smon_hub.web.routes import ROUTES
from tests.hub.inside import PASSWORD, STRANGER
from tests.support.exports import export, line, pack

AUDIT = "/api/dashboard/audit"
HOOK = {"kind": "webhook", "name": "Hook", "config": {"url": "https://192.0.2.7/in"}}
WINDOW = {"name": "Patches", "kind": "daily", "start": "02:00", "minutes": 60}
REMOVED = ("samples", "rollups", "details", "audit", "alerts", "notifications", "messages", "service_changes")

pytestmark = pytest.mark.usefixtures("quick_passwords")


@pytest.fixture
def ask(hub_inside):
    """ask(method, path, body) as anna, who may everything."""
    anna = hub_inside.user()
    return lambda *request, headers=anna, more=(): hub_inside.ask(*request, headers={**headers, **dict(more)})


def newest(ask):
    return ask("GET", AUDIT + "?limit=1").json["entries"][0]


def test_an_entry_says_who_when_from_where_and_what(ask):
    ask("PATCH", "/api/dashboard/settings", {"data_retention_days": 40, "stale_threshold_minutes": 15})
    entry = newest(ask)
    assert entry.pop("id") > 0
    assert entry == {"at": "2026-11-22T10:00:00Z", "who": "anna", "address": STRANGER, "action": "settings.change",
                     "object": "", "change": {"data_retention_days": [30, 40]}}


CHANGES = [  # method, path, body, action, change
    ("PATCH", "/api/dashboard/server/{server}", {"notes": "old", "alert_cpu_threshold": 90}, "server.change",
     {"notes": ["", "old"]}),
    ("PATCH", "/api/dashboard/server/{server}", {"approved": False}, "server.change", {"approved": [True, False]}),
    ("POST", "/api/dashboard/server/{server}/config", {"collect_disks": False}, "agent.settings",
     {"collect_disks": [None, False]}),
    ("POST", "/api/dashboard/server/{server}/rotate-key", None, "server.rotate_key", {"api_key": ["set", "set"]}),
    ("DELETE", "/api/dashboard/server/{server}", None, "server.remove", {"id": ["{server}", None]}),
    ("POST", "/api/dashboard/users", {"name": "ben", "role": "viewer", "password": PASSWORD}, "user.add",
     {"role": [None, "viewer"]}),
    ("PATCH", "/api/dashboard/users/cleo", {"role": "viewer", "password": PASSWORD}, "user.change",
     {"role": ["admin", "viewer"], "password": ["set", "set"]}),
    ("DELETE", "/api/dashboard/users/cleo", None, "user.remove", {"role": ["admin", None]}),
    ("POST", "/api/dashboard/tokens", {"name": "graphs", "role": "viewer"}, "token.add", {"role": [None, "viewer"]}),
    ("DELETE", "/api/dashboard/tokens/1", None, "token.remove", {"role": ["viewer", None]}),
    ("POST", "/api/dashboard/registration", {"name": "rack", "uses": 3}, "registration.add",
     {"group_name": [None, None], "uses": [None, 3]}),
    ("DELETE", "/api/dashboard/registration/1", None, "registration.remove", {}),
    ("POST", "/api/register", {"hostname": "a"}, "server.register", {}),
    ("DELETE", "/api/session", None, "session.logout", {}),
    ("PATCH", "/api/session", {"old_password": PASSWORD, "new_password": PASSWORD + "!"}, "user.change",
     {"password": ["set", "set"]}),
    ("PATCH", "/api/dashboard/settings", {"data_retention_days": 40}, "settings.change",
     {"data_retention_days": [30, 40]}),
    ("DELETE", "/api/dashboard/settings", None, "clean_up", dict.fromkeys(REMOVED, [0, 0])),
    ("PATCH", "/api/dashboard/alerts", {"alert_id": 1, "note": "mine"}, "alert.acknowledge", {"note": [None, "mine"]}),
    ("PATCH", "/api/dashboard/notifications", {"notification_id": 1}, "notification.read", {}),
    ("POST", "/api/dashboard/maintenance", WINDOW, "maintenance.add",
     {"scope": [None, "all"], "target": [None, ""], "kind": [None, "daily"], "minutes": [None, 60],
      "zone": [None, "UTC"]}),
    ("DELETE", "/api/dashboard/maintenance/1", None, "maintenance.remove", {"id": [1, None]}),
    ("POST", "/api/dashboard/rules", {"group": "Shop", "alert_cpu_threshold": 60}, "rules.change",
     {"alert_cpu_threshold": [None, 60]}),
    ("POST", "/api/dashboard/channels", dict(HOOK, name="x"), "channel.add", None),
    ("PATCH", "/api/dashboard/channels/1", {"enabled": False}, "channel.change", {"enabled": [True, False]}),
    ("DELETE", "/api/dashboard/channels/1", None, "channel.remove", {}),
    ("POST", "/api/dashboard/channels/0/test", None, "channel.test", {}),
    ("POST", "/api/dashboard/backups", None, "backup", {}),
    ("POST", "/api/dashboard/import", b"{export}", "import", {"stored": [None, 1], "refused": [None, 0]}),
]


def body_of(hub_inside, given):
    """What is sent, and as what."""
    if given != b"{export}":
        return given, {}
    island = hub_inside.register()
    taken = clock.iso_ms(hub_inside.now())
    packed = pack([line(taken)])
    return (export(island["server_id"], island["export_key"], packed),
            {"Content-Type": "application/octet-stream"})


@pytest.mark.parametrize("method, path, body, action, change", CHANGES)
def test_a_change_is_noted(hub_inside, ask, method, path, body, action, change):
    hot = hub_inside.server()
    server = hot.row["uuid"]
    hub_inside.send(hot, {"cpu_percent": 97.0})
    hub_inside.user("cleo")
    hub_inside.token("viewer")
    for kind, thing in (("channels", HOOK), ("maintenance", WINDOW), ("registration", {"name": "rack"})):
        assert ask("POST", "/api/dashboard/" + kind, thing).status == 201
    sent, headers = body_of(hub_inside, body)
    before = ask("GET", AUDIT).json["entries"][0]["id"]
    answer = ask(method, path.replace("{server}", server), sent, more=headers)
    assert answer.status in (200, 201) or action == "channel.test", answer
    noted = hub_inside.rows("SELECT who, action FROM audit WHERE id > ?", before)
    assert noted == [("anna", action)]
    reader = {"Authorization": "Bearer " + hub_inside.local_token}
    found = next(entry for entry in ask("GET", AUDIT, headers=reader).json["entries"] if entry["action"] == action)
    if change is not None:
        assert found["change"] == {key: [server if word == "{server}" else word for word in pair]
                                   for key, pair in change.items()}


def test_each_change_that_people_can_make_is_among_these():
    tried = {(method, path) for method, path, *_ in CHANGES}
    missing = [(route.method, route.path) for route in ROUTES
               if route.auth in ROLES and route.method != "GET" and not any(
                   method == route.method and re.fullmatch(re.sub(r"{[^}]+}", "[^/]+", route.path), path)
                   for method, path in tried)]
    assert missing == []


def test_what_fails_is_not_noted(hub_inside, ask):
    before = newest(ask)["id"]
    for method, path, body in (("PATCH", "/api/dashboard/settings", {"data_retention_days": 0}),
                               ("DELETE", "/api/dashboard/users/anna", None),
                               ("DELETE", "/api/dashboard/server/nobody", None),
                               ("POST", "/api/dashboard/users", {"name": "anna", "role": "admin",
                                                                 "password": PASSWORD}),
                               ("DELETE", "/api/dashboard/registration/99", None)):
        assert ask(method, path, body).status >= 400
    assert newest(ask)["id"] == before


def test_a_script_is_named_by_its_token_and_a_server_by_the_token_that_admitted_it(hub_inside, ask):
    script = hub_inside.token("admin", name="deploy")
    made = ask("POST", "/api/dashboard/registration", {"name": "rack 4"}, headers=script).json
    assert newest(ask)["who"] == "token deploy"
    hub_inside.ask("POST", "/api/register", {"hostname": "web", "registration_token": made["registration_token"]})
    assert (newest(ask)["who"], newest(ask)["object"]) == ("registration token rack 4", "web")


def test_no_entry_holds_a_secret(hub_inside, ask):
    secrets = [PASSWORD, "another horse", "hush-hush-hush"]
    made = ask("POST", "/api/dashboard/tokens", {"name": "graphs", "role": "viewer"}).json["token"]
    registration = ask("POST", "/api/dashboard/registration", {"name": "rack"}).json["registration_token"]
    key = ask("POST", "/api/dashboard/server/%s/rotate-key" % hub_inside.server().row["uuid"]).json["api_key"]
    ask("POST", "/api/dashboard/users", {"name": "ben", "role": "viewer", "password": secrets[1]})
    ask("PATCH", "/api/dashboard/settings", {"alert_email_smtp_password": secrets[2]})
    assert newest(ask)["change"] == {"alert_email_smtp_password": ["not set", "set"]}
    noted = repr(hub_inside.rows("SELECT * FROM audit"))
    assert [secret for secret in [*secrets, made, registration, key, "$2b$"] if secret in noted] == []


def test_one_pages_with_the_smallest_id(ask):
    for days in (31, 32, 33):
        ask("PATCH", "/api/dashboard/settings", {"data_retention_days": days})
    first = ask("GET", AUDIT + "?limit=2").json["entries"]
    rest = ask("GET", AUDIT + "?limit=500&before=%d" % first[-1]["id"]).json["entries"]
    assert [entry["change"].get("data_retention_days", [0])[-1] for entry in first + rest][:3] == [33, 32, 31]
    assert len({entry["id"] for entry in first + rest}) == len(first + rest)


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "before=0", "before=x"])
def test_a_wrong_parameter_is_named(ask, query):
    answer = ask("GET", "%s?%s" % (AUDIT, query))
    assert (answer.status, answer.json["field"]) == (400, query.partition("=")[0])


def test_old_entries_are_cleaned_up_and_the_clean_up_is_noted(hub_inside, ask):
    hub_inside.change_settings({"audit_retention_days": 2, "rollup_retention_days": 30})
    hub_inside.pass_time(3 * clock.DAY)
    late = hub_inside.log_in()
    hub_inside.send(hub_inside.server(ip_address="192.0.2.7"), collected_at=hub_inside.now())  # the clock is right
    answer = ask("DELETE", "/api/dashboard/settings", headers=late)
    assert answer.status == 200 and answer.json["removed"]["audit"] > 0, answer
    entries = ask("GET", AUDIT, headers=late).json["entries"]
    assert [entry["action"] for entry in entries] == ["clean_up", "server.register", "session.login"]


def test_every_change_of_the_dashboard_is_for_admins():
    changing = [route for route in ROUTES if route.path.startswith("/api/dashboard") and route.method != "GET"]
    assert {route.auth for route in changing} == {"admin"}
