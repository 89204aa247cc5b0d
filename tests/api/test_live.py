"""POST /api/metrics/live, GET …/live and its statistics."""

from __future__ import annotations

import time

import pytest

from smon_hub import clock
from tests.support.processes import LIVE


def ago(seconds):
    return clock.iso_ms(int(time.time()) * 1000 - seconds * 1000)


def read(server, query=""):
    answer = server.hub.get("/api/dashboard/server/%s/live%s" % (server.id, query))
    assert answer.status == 200, answer
    return answer.json


def test_what_was_sent_is_shown_with_its_time(hub):
    server, taken = hub.register("live"), ago(10)
    assert server.live(collected_at=taken).json == {"status": "ok", "stored": True}
    assert read(server)["metrics"] == [dict(LIVE, timestamp=taken)]


def test_a_replay_is_stored_once(hub):
    server, taken = hub.register("live"), ago(10)
    assert [server.live(collected_at=taken).json["stored"] for _ in range(2)] == [True, False]


def test_the_answer_says_what_it_covers(hub):
    server = hub.register("live")
    assert {key: read(server)[key] for key in ("server_id", "minutes", "benchmark_minutes")} == {
        "server_id": server.id, "minutes": 5, "benchmark_minutes": 30}
    assert {key: read(server, "?minutes=1&benchmark=60")[key] for key in ("minutes", "benchmark_minutes")} == {
        "minutes": 1, "benchmark_minutes": 60}


def test_statistics_are_smallest_largest_mean_and_the_nearest_rank(hub):
    server = hub.register("live")
    for number in range(1, 21):
        server.live(collected_at=ago(1200 - number), cpu_percent=number, swap_percent=None, thread_count=number * 10)
    answer = read(server)
    assert answer["metrics"] == []
    benchmark = answer["benchmark"]
    assert benchmark["sample_count"] == 20
    assert [benchmark["cpu_" + word] for word in ("min", "max", "avg", "p95")] == [1, 20, 10.5, 19]
    assert [benchmark["thread_" + word] for word in ("min", "max", "avg", "p95")] == [10, 200, 105, 190]
    assert {benchmark["swap_" + word] for word in ("min", "max", "avg", "p95")} == {None}
    assert {subject for subject in benchmark if subject.endswith("_p95")} == {
        "cpu_p95", "mem_p95", "swap_p95", "proc_p95", "thread_p95"}


def test_the_statistics_say_which_span_they_cover(hub):
    server, times = hub.register("live"), [ago(600), ago(60)]
    for taken in times:
        server.live(collected_at=taken)
    benchmark = read(server, "?benchmark=1440")["benchmark"]
    assert [benchmark["first_at"], benchmark["last_at"]] == times
    assert read(hub.register("quiet"))["benchmark"]["first_at"] is None


def test_since_answers_only_what_is_newer(hub):
    server, times = hub.register("live"), [ago(30), ago(20), ago(10)]
    for taken in times:
        server.live(collected_at=taken)
    shown = read(server, "?since=" + times[1])
    assert [each["timestamp"] for each in shown["metrics"]] == times[2:]
    assert shown["benchmark"]["sample_count"] == 3


def test_a_server_without_live_samples_has_empty_answers(hub):
    answer = read(hub.register("quiet"))
    assert (answer["metrics"], answer["benchmark"]["sample_count"], answer["benchmark"]["cpu_avg"]) == ([], 0, None)


def test_what_is_not_measured_may_be_left_out(hub):
    server = hub.register("sparse")
    assert server.post("/api/metrics/live", {"cpu_percent": 1}).status == 200
    shown = read(server)["metrics"][0]
    assert shown["cpu_percent"] == 1 and shown["cpu_per_core"] is None
    assert set(shown["network_rate"].values()) == {None}


@pytest.mark.parametrize("changes, says", [
    ({"cpu_percent": None}, "cpu_percent must be a number from 0 to 100."),
    ({"cpu_per_core": [101]}, "cpu_per_core[0] must be a number from 0 to 100."),
    ({"cpu_per_core": [1] * 1025}, "cpu_per_core must be a list of at most 1024 entries."),
    ({"network_rate": {"bytes_sent_per_sec": -1}}, "network_rate.bytes_sent_per_sec must be a number"),
    ({"retention_minutes": 0}, "retention_minutes must be a whole number from 1 to 1440."),
])
def test_a_wrong_field_is_named_and_nothing_is_stored(hub, changes, says):
    server = hub.register("live")
    answer = server.live(**changes)
    assert answer.status == 400 and says in answer.json["error"]
    assert read(server)["benchmark"]["sample_count"] == 0


@pytest.mark.parametrize("query, sentence", [
    ("minutes=0", "minutes must be a whole number from 1 to 1440."),
    ("minutes=1441", "minutes must be a whole number from 1 to 1440."),
    ("benchmark=x", "benchmark must be a whole number from 1 to 1440."),
    ("since=now", "since must be an ISO 8601 time such as 2026-11-22T10:00:00Z."),
    ("minutes=1&minutes=2", "A parameter may be given once: minutes."),
])
def test_a_wrong_parameter_is_named(hub, query, sentence):
    server = hub.register("live")
    answer = hub.get("/api/dashboard/server/%s/live?%s" % (server.id, query))
    assert (answer.status, answer.json["error"]) == (400, sentence)


def test_an_unknown_server_is_404_and_a_stranger_401(hub):
    assert hub.get("/api/dashboard/server/nobody/live").status == 404
    assert hub.post("/api/metrics/live", LIVE).status == 401
