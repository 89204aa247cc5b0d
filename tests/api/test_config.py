"""The settings of an agent: queued on the dashboard, fetched and answered by the agent."""

from __future__ import annotations

import ast

import pytest

from smon_hub import bodies
from tests.support import ROOT
from tests.support.processes import HubProcess


def queue(hub, server, **changes):
    return hub.post("/api/dashboard/server/%s/config" % server.id, changes)


def fetch(hub, server):
    return hub.get("/api/config/" + server.id, server.headers)


def answer(hub, server, revision, **said):
    return hub.post("/api/config/" + server.id, {"revision": revision, **said}, server.headers)


def remote(hub, server):
    return hub.get("/api/dashboard/server/%s/config" % server.id).json


def test_without_changes_nothing_waits(hub):
    server = hub.register("calm")
    assert fetch(hub, server).json == {"has_update": False, "config": None, "revision": None}
    assert server.ping().json["config_pending"] is False
    told = {name: value for name, value in remote(hub, server).items() if name != "schema"}
    assert told == {"pending": None, "revision": None, "history": [], "current": None}


def test_the_agent_is_told_fetches_and_confirms(hub):
    server = hub.register("told")
    assert queue(hub, server, live_enabled=True, collection_interval_minutes=20).json == {"status": "ok", "revision": 1}
    assert server.ping().json["config_pending"] is True
    assert server.send().json["config_pending"] is True
    assert fetch(hub, server).json == {
        "has_update": True, "config": {"live_enabled": True, "collection_interval_minutes": 20}, "revision": 1}
    current = {"live_enabled": True, "collection_interval_minutes": 20, "monitored_services": ["nginx"]}
    assert answer(hub, server, 1, rejected={}, current=current).status == 200
    assert server.ping().json["config_pending"] is False
    shown = remote(hub, server)
    assert shown["pending"] is None
    assert {key: shown["current"][key] for key in current} == current


def test_what_the_agent_rejects_is_shown_with_its_reason(hub):
    server = hub.register("rejects")
    queue(hub, server, retry_attempts=5)
    answer(hub, server, 1, rejected={"retry_attempts": "It can not be saved: disk full"})
    assert remote(hub, server)["history"][0]["rejected"] == {"retry_attempts": "It can not be saved: disk full"}


def test_later_changes_are_put_on_top_of_what_waits(hub):
    server = hub.register("twice")
    queue(hub, server, retry_attempts=5, live_enabled=True)
    assert queue(hub, server, live_enabled=False).json["revision"] == 2
    assert fetch(hub, server).json["config"] == {"retry_attempts": 5, "live_enabled": False}


def test_confirming_an_older_revision_leaves_the_newer_one_waiting(hub):
    server = hub.register("overtaken")
    queue(hub, server, retry_attempts=5)
    queue(hub, server, retry_attempts=6)
    assert answer(hub, server, 1).status == 200
    assert server.ping().json["config_pending"] is True
    assert fetch(hub, server).json["revision"] == 2


def test_an_interval_changed_on_the_dashboard_is_queued_for_the_agent(hub):
    server = hub.register("slower")
    hub.patch("/api/dashboard/server/" + server.id, {"interval": 30})
    assert fetch(hub, server).json["config"] == {"collection_interval_minutes": 30}


def test_what_waits_survives_a_restart(fresh_hub):
    server = fresh_hub.register("patient")
    queue(fresh_hub, server, live_enabled=True)
    fresh_hub.kill9()
    with HubProcess(fresh_hub.data_dir, port=fresh_hub.port):
        assert server.ping().json["config_pending"] is True


def test_the_list_of_revisions_is_bounded(hub):
    server = hub.register("busy")
    for number in range(53):
        queue(hub, server, retry_attempts=1 + number)
    revisions = [entry["revision"] for entry in remote(hub, server)["history"]]
    assert revisions == list(range(53, 3, -1))


@pytest.mark.parametrize("changes", [
    {"dashboard_url": "http://elsewhere.example"}, {"verify_ssl": False}, {"api_key": "smk_" + "0" * 48}, {},
    {"collection_interval_minutes": 4}, {"collection_interval_minutes": "20"}, {"live_enabled": 1},
    {"monitored_services": ["-H host"]}, {"monitored_services": ["a;b"]}, {"monitored_services": ["s" * 257]},
    {"monitored_services": ["s"] * 501}, {"log_level": "TRACE"}, {"retry_delay_seconds": 0}, {"live_enabled": None},
])
def test_it_queues_nothing_that_an_agent_must_refuse(hub, changes):
    server = hub.register("guarded")
    refused = queue(hub, server, **changes)
    assert (refused.status, refused.json["code"]) == (400, "bad_request")
    assert fetch(hub, server).json["has_update"] is False


def test_an_agent_sees_and_answers_its_own_settings_only(hub):
    mine, other = hub.register("mine"), hub.register("other")
    queue(hub, other, live_enabled=True)
    assert hub.get("/api/config/" + other.id, mine.headers).status == 403
    assert hub.post("/api/config/" + other.id, {"revision": 1}, mine.headers).status == 403
    assert other.ping().json["config_pending"] is True


def test_a_revision_that_never_was_is_404(hub):
    server = hub.register("guesses")
    assert answer(hub, server, 7).status == 404


def test_settings_of_a_removed_server_go_with_it(hub):
    server = hub.register("gone")
    queue(hub, server, live_enabled=True)
    hub.delete("/api/dashboard/server/" + server.id)
    assert hub.get("/api/dashboard/server/%s/config" % server.id).status == 404
    assert fetch(hub, server).status == 401


def test_the_hub_may_set_exactly_what_the_agent_takes_within_the_same_bounds():
    """The agent never imports anything of ours, so its table is read from its text."""
    table = next(node.value for node in ast.parse((ROOT / "smon_agent.py").read_text(encoding="utf-8")).body
                 if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "OPTIONS")
    agents = {}
    for row in table.elts:
        words = {word.arg: word.value for word in row.keywords}
        if row.func.id == "Remote":
            low, high = [*(ast.literal_eval(argument) for argument in row.args[4:6]), None, None][:2]
            high = ast.literal_eval(words["high"]) if "high" in words else high
            agents[row.args[0].value] = (row.args[1].id, low, high)
    kinds = {int: "int", float: "float", bool: "bool", str: "str"}
    ours = {field.name: ("list" if isinstance(field.kind, list) else kinds[field.kind], field.min, field.max)
            for field in bodies.REMOTE_FIELDS}
    assert ours == agents
