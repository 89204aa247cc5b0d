"""PATCH /api/dashboard/server/{id}: what people decide about a server."""

from __future__ import annotations

import pytest

from smon_hub.store import agent_config
from tests.hub.inside import STRANGER
from tests.support.processes import HubProcess

CHANGES = [
    ("display_name", "Shop front", "Shop front"), ("group_name", "Berlin", "Berlin"),
    ("notes", "line one\nline two", "line one\nline two"), ("notes", "", ""), ("tags", ["a", "b"], ["a", "b"]),
    ("tags", [], []), ("alert_cpu_threshold", 1, 1), ("alert_memory_threshold", 99.5, 99.5),
    ("alert_disk_threshold", 100, 100), ("collection_interval", 5, 5), ("collection_interval", 60, 60),
    ("may_be_off", True, True),
]

WRONG = [
    ("display_name", "", "must be a text of 1 to 255 characters without control characters."),
    ("display_name", "a\x00", "must be a text of 1 to 255 characters without control characters."),
    ("group_name", None, "must be a text of 1 to 255 characters without control characters."),
    ("notes", "n" * 4001, "must be a text of 0 to 4000 characters without control characters."),
    ("tags", "a", "must be a list of at most 50 entries."),
    ("alert_cpu_threshold", 0, "must be a number from 1 to 100."),
    ("alert_cpu_threshold", 100.5, "must be a number from 1 to 100."),
    ("alert_disk_threshold", "90", "must be a number from 1 to 100."),
    ("alert_memory_threshold", True, "must be a number from 1 to 100."),
    ("collection_interval", 4, "must be a whole number from 5 to 60."),
    ("collection_interval", 10.5, "must be a whole number from 5 to 60."),
    ("interval", 61, "must be a whole number from 5 to 60."),
    ("may_be_off", 1, "must be true or false."),
]


@pytest.fixture(scope="module")
def server(hub):
    return hub.register("changed")


def change(server, body):
    return server.hub.patch("/api/dashboard/server/" + server.id, body)


def shown(server):
    return server.hub.server(server.id)["server"]


@pytest.mark.parametrize("key, value, expected", CHANGES)
def test_only_what_was_sent_changes(server, key, value, expected):
    before = shown(server)
    answer = change(server, {key: value})
    assert (answer.status, answer.json["status"]) == (200, "ok")
    assert shown(server) == dict(before, **{key: expected}) == answer.json["server"]


def test_interval_is_short_for_collection_interval(server):
    assert change(server, {"interval": 30}).json["server"]["collection_interval"] == 30
    assert shown(server)["collection_interval"] == 30


@pytest.mark.parametrize("key, value, says", WRONG)
def test_a_wrong_value_is_named_and_nothing_changes(server, key, value, says):
    before = shown(server)
    answer = change(server, {"notes": "should not be stored", key: value})
    assert (answer.status, answer.json["error"], answer.json["field"]) == (400, "%s %s" % (key, says), key)
    assert shown(server) == before


@pytest.mark.parametrize("body", [{}, {"hostname": "other"}, {"id": "x", "key_hash": "y", "registered_at": 0}])
def test_a_body_without_a_known_field_is_refused(server, body):
    before = shown(server)
    answer = change(server, body)
    assert answer.status == 400 and answer.json["error"].startswith("The body names none of: display_name, ")
    assert shown(server) == before


def test_a_change_survives_the_end_of_the_hub(fresh_hub):
    server = fresh_hub.register("kept")
    change(server, {"notes": "kept", "tags": ["x"]})
    fresh_hub.kill9()
    with HubProcess(fresh_hub.data_dir) as again:
        kept = again.server(server.id)["server"]
        assert (kept["notes"], kept["tags"]) == ("kept", ["x"])


def test_an_interval_that_can_not_be_queued_for_the_agent_changes_nothing(hub_inside, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("it can not be queued")
    monkeypatch.setattr(agent_config, "queue", fail)
    server = hub_inside.server()
    answer = hub_inside.ask("PATCH", "/api/dashboard/server/" + server.row["uuid"], {"interval": 30, "notes": "n"},
                            address="127.0.0.1", host="localhost")
    assert answer.status == 500
    assert hub_inside.rows("SELECT collection_interval, notes FROM servers") == [(10, "")]
    assert (server.row["collection_interval"], server.row["notes"], server.config_revision) == (10, "", 0)


def test_approval_admits_a_waiting_server(hub_inside):
    registered = hub_inside.ask("POST", "/api/register", {"hostname": "waits"}, address=STRANGER).json
    path = "/api/dashboard/server/" + registered["server_id"]
    answer = hub_inside.ask("PATCH", path, {"approved": True}, address="127.0.0.1", host="localhost")
    assert answer.json["server"]["flags"] == ["waiting"]
    assert hub_inside.fleet.summary(hub_inside.now(), 15)["totalServers"] == 1


def test_a_stranger_changes_nothing(hub_inside):
    server = hub_inside.server()
    assert hub_inside.ask("PATCH", "/api/dashboard/server/" + server.row["uuid"], {"notes": "mine"}).status == 401
    assert server.row["notes"] == ""


def test_a_body_needs_its_type(server):
    answer = server.hub.patch("/api/dashboard/server/" + server.id, '{"notes": "n"}')
    assert (answer.status, answer.json["code"]) == (415, "unsupported_type")
