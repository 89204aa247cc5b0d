"""POST /api/register, and who waits for approval."""

from __future__ import annotations

import re
import uuid

import pytest

from smon_hub import auth
from smon_hub.errors import HubError
from smon_hub.web import agent_api
from tests.hub.inside import STRANGER

BODY = {"hostname": "web-server-01", "ip_address": "192.168.1.10", "os_info": "Windows Server 2022 AMD64"}
NOBODY = auth.Caller("nobody", STRANGER)


def shown(hub, server_id):
    return hub.get("/api/dashboard/server/" + server_id).json["server"]


def test_the_seeds_request_gets_the_seeds_answer(hub):
    answer = hub.post("/api/register", BODY)
    assert answer.status == 201
    assert {"server_id", "api_key", "message"} <= set(answer.json)
    assert str(uuid.UUID(answer.json["server_id"])) == answer.json["server_id"]
    assert re.fullmatch(r"smk_[0-9a-f]{32,}", answer.json["api_key"])
    assert answer.json["message"] == "Server registered successfully."


def test_it_starts_with_what_it_said_and_the_defaults_of_the_rest(hub):
    server = shown(hub, hub.post("/api/register", BODY).json["server_id"])
    assert {key: server[key] for key in BODY} == BODY
    defaults = {"display_name": "web-server-01", "group_name": "Default", "tags": [], "notes": "",
                "alert_cpu_threshold": 90, "alert_memory_threshold": 90, "alert_disk_threshold": 90, "is_active": True,
                "approved": True, "flags": ["waiting"], "status": "online"}
    assert {key: server[key] for key in defaults} == defaults


def test_it_may_bring_its_name_group_and_tags(hub):
    more = {"display_name": "Shop", "group_name": "Berlin", "tags": ["prod", "web"]}
    server = shown(hub, hub.post("/api/register", dict(BODY, **more)).json["server_id"])
    assert {key: server[key] for key in more} == more


def test_the_address_is_where_it_came_from_when_it_does_not_say(hub, client):
    answer = client.post("/api/register", {"hostname": "bare"})
    assert shown(hub, answer.json["server_id"])["ip_address"] == client.source


def test_two_of_one_name_are_two_servers(hub):
    first, second = hub.post("/api/register", BODY).json, hub.post("/api/register", BODY).json
    assert first["server_id"] != second["server_id"] and first["api_key"] != second["api_key"]


def test_the_key_is_shown_once_and_kept_as_a_hash(hub):
    registered = hub.post("/api/register", BODY).json
    assert registered["api_key"] not in hub.get("/api/dashboard").text
    assert "$2b$" not in hub.get("/api/dashboard").text
    kept = b"".join(path.read_bytes() for path in hub.data_dir.iterdir())
    assert registered["api_key"].encode() not in kept


@pytest.mark.parametrize("body, sentence", [
    ({}, "hostname must be a text of 1 to 255 characters without control characters."),
    ({"hostname": None}, "hostname must be a text of 1 to 255 characters without control characters."),
    ({"hostname": " "}, "hostname must be a text of 1 to 255 characters without control characters."),
    ({"hostname": "a" * 256}, "hostname must be a text of 1 to 255 characters without control characters."),
    ({"hostname": "a\r\nb"}, "hostname must be a text of 1 to 255 characters without control characters."),
    ({"hostname": "a\u202eb"}, "hostname must be a text of 1 to 255 characters without control characters."),
    ({"hostname": 5}, "hostname must be a text of 1 to 255 characters without control characters."),
    (dict(BODY, group_name=""), "group_name must be a text of 1 to 255 characters without control characters."),
    (dict(BODY, tags="web"), "tags must be a list of at most 50 entries."),
    (dict(BODY, tags=["a"] * 51), "tags must be a list of at most 50 entries."),
    (dict(BODY, tags=[{}]), "tags[0] must be a text of 0 to 255 characters without control characters."),
    ([BODY], "The body must be a JSON object."),
])
def test_a_wrong_field_is_named_and_nobody_is_registered(hub, body, sentence):
    before = hub.get("/api/dashboard").json["summary"]["totalServers"]
    answer = hub.post("/api/register", body)
    assert (answer.status, answer.json["error"], answer.json["code"]) == (400, sentence, "bad_request")
    assert hub.get("/api/dashboard").json["summary"]["totalServers"] == before


def test_a_lone_surrogate_in_a_name_is_refused(hub):
    assert hub.post("/api/register", '{"hostname": "a\\ud800"}').status == 400


# --- callers from elsewhere -------------------------------------------------------------------------------------------

def test_a_stranger_gets_a_key_and_waits_for_approval(hub_inside):
    answer = hub_inside.ask("POST", "/api/register", BODY)
    assert answer.status == 201
    assert "waits for approval" in answer.json["message"]
    server = hub_inside.fleet.by_uuid[answer.json["server_id"]]
    assert server.flags() == ["pending", "waiting"]
    assert hub_inside.fleet.summary(hub_inside.now(), 15)["totalServers"] == 0


def test_samples_of_a_waiting_server_are_kept_and_count_nowhere(hub_inside):
    registered = hub_inside.ask("POST", "/api/register", BODY).json
    bearer = {"Authorization": "Bearer %s:%s" % (registered["server_id"], registered["api_key"])}
    body = {"metrics": {"cpu_percent": 5, "memory_percent": 6}}
    assert hub_inside.ask("POST", "/api/metrics", body, headers=bearer).json["stored"]
    assert hub_inside.fleet.summary(hub_inside.now(), 15)["onlineServers"] == 0
    hub_inside.fleet.change(registered["server_id"], {"approved": True})
    assert hub_inside.fleet.summary(hub_inside.now(), 15)["onlineServers"] == 1


def test_at_most_a_hundred_wait_and_an_admitted_one_makes_room(hub_inside, monkeypatch):
    monkeypatch.setattr(auth, "key_hash", lambda key: "$2b$05$cheap")
    waiting = [hub_inside.register(NOBODY) for _ in range(agent_api.PENDING_MAX)]
    assert len(waiting) == 100
    with pytest.raises(HubError) as refusal:
        hub_inside.register(NOBODY)
    assert refusal.value.code == "forbidden"
    assert "100 servers wait for approval already" in refusal.value.sentence
    assert hub_inside.register()["message"] == "Server registered successfully."
    hub_inside.fleet.change(waiting[0]["server_id"], {"approved": True})
    hub_inside.register(NOBODY)


@pytest.mark.parametrize("mode", ["approve", "open"])
def test_a_hub_takes_a_bounded_number_of_servers_from_strangers_and_from_its_own_machine(hub_inside, monkeypatch, mode):
    monkeypatch.setattr(agent_api, "SERVERS_MAX", 2)
    hub_inside.change_settings({"registration_mode": mode})
    gone = [hub_inside.server() for _ in range(2)][0]
    for here in ({}, {"address": "127.0.0.1", "host": "localhost"}):
        answer = hub_inside.ask("POST", "/api/register", BODY, **here)
        assert (answer.status, answer.json["code"]) == (403, "forbidden")
        assert "2 servers already" in answer.json["error"]
    hub_inside.ask("DELETE", "/api/dashboard/server/" + gone.row["uuid"], address="127.0.0.1", host="localhost")
    assert hub_inside.ask("POST", "/api/register", BODY).status == 201


@pytest.mark.parametrize("mode, status, flags", [("approve", 201, ["pending", "waiting"]), ("open", 201, ["waiting"]),
                                                 ("closed", 403, None)])
def test_the_mode_decides_about_strangers(hub_inside, mode, status, flags):
    hub_inside.change_settings({"registration_mode": mode})
    answer = hub_inside.ask("POST", "/api/register", BODY)
    assert answer.status == status
    if flags:
        assert hub_inside.fleet.by_uuid[answer.json["server_id"]].flags() == flags
    else:
        assert (answer.json["code"], len(hub_inside.fleet.servers())) == ("forbidden", 0)


@pytest.mark.parametrize("mode", ["approve", "open", "closed"])
def test_this_machine_may_register_in_every_mode(hub_inside, mode):
    hub_inside.change_settings({"registration_mode": mode})
    answer = hub_inside.ask("POST", "/api/register", BODY, address="127.0.0.1", host="localhost:3000")
    assert answer.status == 201
    assert hub_inside.fleet.by_uuid[answer.json["server_id"]].row["approved"]
