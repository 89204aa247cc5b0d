"""/api/dashboard/registration, and what registration tokens admit."""

from __future__ import annotations

import re
import threading

import pytest

from smon_hub import clock
from tests.hub.inside import HERE

REGISTRATION, REGISTER = "/api/dashboard/registration", "/api/register"
LOCAL = {"address": HERE, "host": "localhost:3000"}
BODY = {"hostname": "web-1", "group_name": "Its own"}


def make(hub, **body):
    answer = hub.ask("POST", REGISTRATION, dict({"name": "rack 4"}, **body), **LOCAL)
    assert answer.status == 201, answer
    return answer.json


def register(hub, token=None, **more):
    return hub.ask("POST", REGISTER, dict(BODY, registration_token=token) if token is not None else BODY, **more)


def server(hub, answer):
    return hub.fleet.by_uuid[answer.json["server_id"]].row


def test_a_token_is_shown_once_and_listed_without_itself(hub_inside):
    made = make(hub_inside, group_name="Berlin", expires_days=2, uses=5)
    assert re.fullmatch("smr_[0-9a-f]{48}", made["registration_token"])
    register(hub_inside)
    listed = hub_inside.ask("GET", REGISTRATION, **LOCAL)
    assert listed.json == {"mode": "approve", "waiting": 1, "tokens": [{
        "id": made["id"], "name": "rack 4", "group_name": "Berlin", "created_at": "2026-11-22T10:00:00Z",
        "created_by": "this machine", "expires_at": "2026-11-24T10:00:00Z", "uses_left": 5}]}
    assert made["registration_token"] not in listed.text


@pytest.mark.parametrize("mode", ["approve", "token", "open"])
def test_who_shows_a_token_is_let_in_and_lands_in_its_group(hub_inside, mode):
    hub_inside.change_settings({"registration_mode": mode})
    answer = register(hub_inside, make(hub_inside, group_name="Berlin")["registration_token"])
    assert (answer.status, answer.json["message"]) == (201, "Server registered successfully.")
    assert (server(hub_inside, answer)["approved"], server(hub_inside, answer)["group_name"]) == (True, "Berlin")


@pytest.mark.parametrize("group", [{}, {"group_name": ""}], ids=["none", "empty"])
def test_a_token_without_a_group_leaves_the_servers_own(hub_inside, group):
    answer = register(hub_inside, make(hub_inside, **group)["registration_token"])
    assert server(hub_inside, answer)["group_name"] == "Its own"


@pytest.mark.parametrize("mode, status", [("approve", 401), ("token", 401), ("open", 401), ("closed", 403)])
@pytest.mark.parametrize("token", ["smr_" + "0" * 48, "nonsense", "\u00e4"])
def test_a_wrong_token_registers_nobody_in_any_mode(hub_inside, mode, status, token):
    hub_inside.change_settings({"registration_mode": mode})
    assert register(hub_inside, token).status == status
    assert hub_inside.fleet.servers() == []


def test_where_registration_is_closed_no_token_opens_it(hub_inside):
    token = make(hub_inside, uses=1)["registration_token"]
    hub_inside.change_settings({"registration_mode": "closed"})
    assert register(hub_inside, token).status == 403
    hub_inside.change_settings({"registration_mode": "token"})
    assert register(hub_inside, token).status == 201


def test_where_a_token_is_needed_nobody_registers_without_one_but_this_machine(hub_inside):
    hub_inside.change_settings({"registration_mode": "token"})
    for answer in (register(hub_inside), register(hub_inside, "")):
        assert (answer.status, answer.json["code"]) == (401, "unauthorized")
    assert register(hub_inside, **LOCAL).status == 201


def test_a_token_ends_with_its_uses(hub_inside):
    token = make(hub_inside, uses=2)["registration_token"]
    assert [register(hub_inside, token).status for _ in range(3)] == [201, 201, 401]
    assert hub_inside.ask("GET", REGISTRATION, **LOCAL).json["tokens"][0]["uses_left"] == 0


def test_a_refused_registration_uses_nothing_up(hub_inside):
    token = make(hub_inside, uses=1)["registration_token"]
    assert hub_inside.ask("POST", REGISTER, {"registration_token": token}).status == 400
    assert register(hub_inside, token).status == 201


def test_many_at_the_same_time_never_overspend(hub_inside):
    token, statuses, together = make(hub_inside, uses=3)["registration_token"], [], threading.Barrier(10)

    def one():
        together.wait(10)
        statuses.append(register(hub_inside, token).status)
    threads = [threading.Thread(target=one, name="register") for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] * 3 + [401] * 7
    assert len(hub_inside.fleet.servers()) == 3


def test_a_token_ends_with_its_time(hub_inside):
    token = make(hub_inside, expires_days=1)["registration_token"]
    hub_inside.pass_time(clock.DAY - 1)
    assert register(hub_inside, token).status == 201
    hub_inside.pass_time(1)
    assert register(hub_inside, token).status == 401


def test_a_revoked_token_admits_nobody_and_its_servers_stay(hub_inside):
    made = make(hub_inside)
    register(hub_inside, made["registration_token"])
    assert hub_inside.ask("DELETE", "%s/%d" % (REGISTRATION, made["id"]), **LOCAL).status == 200
    assert register(hub_inside, made["registration_token"]).status == 401
    assert len(hub_inside.fleet.servers()) == 1
    assert hub_inside.ask("DELETE", "%s/%d" % (REGISTRATION, made["id"]), **LOCAL).status == 404


def test_a_token_needs_no_room_among_those_who_wait(hub_inside, monkeypatch):
    monkeypatch.setattr("smon_hub.web.agent_api.PENDING_MAX", 0)
    assert register(hub_inside).status == 403
    assert register(hub_inside, make(hub_inside)["registration_token"]).status == 201


@pytest.mark.parametrize("wrong, field", [({"name": ""}, "name"), ({"uses": 0}, "uses"), ({"uses": 100_001}, "uses"),
                                          ({"expires_days": 0}, "expires_days"),
                                          ({"group_name": "a" * 256}, "group_name")])
def test_a_wrong_field_is_named(hub_inside, wrong, field):
    answer = hub_inside.ask("POST", REGISTRATION, dict({"name": "rack 4"}, **wrong), **LOCAL)
    assert (answer.status, answer.json["field"]) == (400, field)
