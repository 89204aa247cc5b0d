"""POST /api/metrics: one sample, by its agent only, once."""

from __future__ import annotations

import gzip
import json
import time

import pytest

from smon_hub import auth, clock
from tests.support.processes import METRICS

BODY = {"metrics": METRICS, "processes": [], "services": []}


@pytest.fixture(scope="module")
def server(hub):
    """One server for the tests that refuse, so that a count of its samples says what got through."""
    return hub.register("metrics")


def history(hub, server):
    return hub.server(server.id)["history"]


def ago(seconds):
    return clock.iso_ms(int(time.time() * 1000) - seconds * 1000)


def test_a_sample_is_answered_ok_and_shown(hub):
    server = hub.register("shown")
    taken = ago(5)
    answer = server.send({"cpu_percent": 45.2}, collected_at=taken, agent={"version": "0.1"},
                         processes=[{"pid": 1234, "name": "node.exe", "cpu_percent": 12.5}],
                         services=[{"service_name": "W3SVC", "status": "running"}])
    assert answer.status == 200
    assert {key: answer.json[key] for key in ("status", "stored", "newest_at")} == {
        "status": "ok", "stored": True, "newest_at": taken}
    assert abs(clock.parse(answer.json["server_time"]) - time.time() * 1000) < clock.HOUR
    page = hub.server(server.id)
    assert page["metrics"]["cpu_percent"] == 45.2 and page["metrics"]["disks"] == [
        dict(METRICS["disks"][0], inodes_percent=None)]
    assert page["metrics"]["boot_time"] == METRICS["boot_time"] and page["metrics"]["swap_percent"] is None
    assert [(each["pid"], each["name"]) for each in page["processes"]] == [(1234, "node.exe")]
    assert [(each["service_name"], each["status"]) for each in page["services"]] == [("W3SVC", "running")]
    assert page["server"]["agent"]["version"] == "0.1"


def test_a_replay_is_answered_ok_and_stored_once(hub):
    server, taken = hub.register("replayed"), ago(5)
    answers = [server.send(collected_at=taken) for _ in range(2)]
    assert [(answer.status, answer.json["stored"]) for answer in answers] == [(200, True), (200, False)]
    assert len(history(hub, server)) == 1


def test_unknown_members_are_ignored(server):
    answer = server.post("/api/metrics", dict(BODY, future=1, metrics=dict(METRICS, quantum=[{}])))
    assert (answer.status, answer.json["stored"]) == (200, True)


def test_a_body_without_a_content_type_is_taken_from_an_agent(server):
    answer = server.hub.post("/api/metrics", json.dumps(BODY), server.headers)
    assert answer.status == 200


def test_a_gzipped_body_is_taken(server):
    headers = dict(server.headers, **{"Content-Encoding": "gzip", "Content-Type": "application/json"})
    answer = server.hub.post("/api/metrics", gzip.compress(json.dumps(BODY).encode()), headers)
    assert (answer.status, answer.json["stored"]) == (200, True)


def test_a_large_sample_of_an_honest_agent_is_taken(server):
    processes = [{"pid": number, "name": "p%d" % number, "username": "u" * 250} for number in range(500)]
    services = [{"service_name": "s%d" % number, "display_name": "d" * 100} for number in range(2000)]
    assert server.send(processes=processes, services=services).status == 200


# --- refusals ---------------------------------------------------------------------------------------------------------

ZEROS = gzip.compress(b" " * ((1 << 20) + 1))

REFUSED = {
    "no number": (dict(BODY, metrics=dict(METRICS, cpu_percent="45")), {}, 400, "metrics.cpu_percent must be a number"),
    "truth": (dict(BODY, metrics=dict(METRICS, cpu_percent=True)), {}, 400, "metrics.cpu_percent must be a number"),
    "beyond the bound": (dict(BODY, metrics=dict(METRICS, memory_percent=100.1)), {}, 400,
                         "metrics.memory_percent must be a number from 0 to 100."),
    "64 bits": (dict(BODY, metrics=dict(METRICS, memory_used=2 ** 63)), {}, 400, "metrics.memory_used must be a whole"),
    "nothing required": ({"metrics": {}}, {}, 400, "metrics.cpu_percent must be"),
    "no metrics": ({}, {}, 400, "metrics must be a JSON object."),
    "too many processes": (dict(BODY, processes=[{"pid": 1}] * 501), {}, 400, "processes must be a list of at most"),
    "no time": (dict(BODY, collected_at="yesterday"), {}, 400, "collected_at must be an ISO 8601 time"),
    "not a number": ('{"metrics": {"cpu_percent": NaN, "memory_percent": 1}}', {}, 400, "NaN is not JSON"),
    "infinity": ('{"metrics": {"cpu_percent": 1e999, "memory_percent": 1}}', {}, 400, "metrics.cpu_percent must be"),
    "no object": ([], {}, 400, "The body must be a JSON object."),
    "nothing": (None, {}, 400, "The body is empty"),
    "cut short": ('{"metrics"', {}, 400, "The body is not JSON at line 1"),
    "nested": ("[" * 10_000, {}, 400, "nests deeper than 20 levels"),
    "no UTF-8": (b'{"a": "\xff"}', {}, 400, "not UTF-8"),
    "no JSON": ("a=b", {"Content-Type": "text/plain"}, 415, "Content-Type: application/json"),
    "a form": ("a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "Content-Type: application/json"),
    "another coding": ("x", {"Content-Encoding": "br"}, 415, "Content-Encoding must be gzip"),
    "no gzip": ("no gzip at all", {"Content-Encoding": "gzip"}, 400, "not gzip"),
    "half a gzip": (gzip.compress(b"{}")[:-4], {"Content-Encoding": "gzip"}, 400, "beginning to its end"),
    "more than a gzip": (gzip.compress(b"{}") + b"x", {"Content-Encoding": "gzip"}, 400, "beginning to its end"),
    "a bomb": (ZEROS, {"Content-Encoding": "gzip"}, 413, "at most 1048576 bytes"),
    "too much": (b" " * ((1 << 20) + 1), {}, 413, "1048576 bytes"),
}


@pytest.mark.parametrize("body, headers, status, says", REFUSED.values(), ids=list(REFUSED))
def test_a_refused_body_is_explained_and_stores_nothing(hub, server, body, headers, status, says):
    before = history(hub, server)
    answer = hub.post("/api/metrics", body, dict(server.headers, **headers))
    assert answer.status == status, answer
    assert says in answer.json["error"]
    assert set(answer.json) - {"field", "limit"} == {"error", "code"}
    assert history(hub, server) == before


@pytest.mark.parametrize("credential", ["none", "no bearer", "wrong key", "wrong server", "other's key"])
def test_a_caller_without_the_servers_key_is_refused(hub, server, credential):
    other = hub.register("other")
    headers = {"none": {}, "no bearer": {"Authorization": "Basic x"},
               "wrong key": {"Authorization": "Bearer %s:%s" % (server.id, auth.new_key())},
               "wrong server": {"Authorization": "Bearer 00000000-0000-4000-8000-000000000000:" + server.key},
               "other's key": {"Authorization": "Bearer %s:%s" % (server.id, other.key)}}[credential]
    before = history(hub, server)
    answer = hub.post("/api/metrics", BODY, headers)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json == {"error": "The server or its key is not known: send Authorization: Bearer server_id:api_key.",
                           "code": "unauthorized"}
    assert history(hub, server) == before


def test_a_credential_is_looked_at_before_the_body(hub):
    assert hub.post("/api/metrics", b" " * ((1 << 20) + 1)).status == 401


def test_hostile_names_from_a_machine_are_cleaned_and_cost_nothing(hub):
    server = hub.register("hostile")
    body = json.dumps(dict(BODY, processes=[{"pid": 1, "name": "a\u0000\u202e\ud800b", "username": "x" * 1000}]))
    assert server.hub.post("/api/metrics", body, server.headers).status == 200
    process = hub.server(server.id)["processes"][0]
    assert process["name"] == "a\ufffd\ufffd\ufffdb" and len(process["username"]) == 256


# --- time -------------------------------------------------------------------------------------------------------------

def test_a_late_sample_fills_history_and_leaves_the_current_state(hub):
    server = hub.register("late")
    newest = ago(10)
    assert server.send({"cpu_percent": 20}, collected_at=newest).json["newest_at"] == newest
    late = server.send({"cpu_percent": 90}, collected_at=ago(7200), services=[{"service_name": "old"}])
    assert (late.json["stored"], late.json["newest_at"]) == (True, newest)
    page = hub.server(server.id)
    assert [point["cpu_percent"] for point in page["history"]] == [90, 20]
    assert page["metrics"]["cpu_percent"] == 20 and page["services"] == []


def test_a_sample_from_a_clock_slightly_ahead_keeps_its_time(hub):
    server = hub.register("ahead")
    taken = ago(-240)
    assert server.send(collected_at=taken).json["newest_at"] == taken


def test_a_sample_from_a_clock_far_ahead_takes_the_hubs_time_and_is_flagged(hub):
    server = hub.register("far-ahead")
    answer = server.send(collected_at=ago(-3600))
    assert answer.json["stored"] and answer.json["newest_at"] <= answer.json["server_time"]
    assert 3500 < hub.server(server.id)["server"]["agent"]["clock_ahead_seconds"] <= 3600


def test_a_sample_older_than_the_retention_is_answered_with_its_reason(hub):
    answer = hub.register("ancient").send(collected_at="2001-01-01T00:00:00Z")
    assert (answer.status, answer.json["stored"]) == (200, False)
    assert "data_retention_days" in answer.json["reason"]
