"""POST /api/metrics/batch: an outage's samples in one request, each judged for itself."""

from __future__ import annotations

import gzip
import json
import time

import pytest

from smon_hub import clock
from tests.support.processes import METRICS


def payload(seconds_ago, **metrics):
    taken = clock.iso_ms(int(time.time()) * 1000 - seconds_ago * 1000)
    return {"collected_at": taken, "metrics": dict(METRICS, **metrics), "processes": [], "services": []}


def send(server, *payloads):
    return server.post("/api/metrics/batch", {"payloads": list(payloads)})


def test_each_payload_has_its_result_in_its_place(hub):
    server = hub.register("batch")
    payloads = [payload(30), payload(20), payload(30), payload(10)]
    answer = send(server, *payloads)
    assert answer.status == 200
    assert answer.json["status"] == "ok" and answer.json["newest_at"] == payloads[3]["collected_at"]
    assert answer.json["results"] == [{"status": "ok", "stored": stored} for stored in (True, True, False, True)]
    assert len(hub.server(server.id)["history"]) == 3


def test_a_bad_payload_is_named_and_its_neighbours_are_stored(hub):
    server = hub.register("one-bad")
    answer = send(server, payload(20), payload(10, cpu_percent=101), "no object", payload(5))
    assert answer.status == 200
    results = answer.json["results"]
    assert [result["status"] for result in results] == ["ok", "error", "error", "ok"]
    assert results[1] == {"status": "error", "stored": False,
                          "error": "metrics.cpu_percent must be a number from 0 to 100."}
    assert len(hub.server(server.id)["history"]) == 2


def test_a_batch_of_nothing_but_bad_ones_is_answered(hub):
    answer = send(hub.register("all-bad"), {}, {})
    assert answer.status == 200
    assert [result["stored"] for result in answer.json["results"]] == [False, False]


def test_a_replayed_batch_stores_nothing_twice(hub):
    server, payloads = hub.register("again"), [payload(20), payload(10)]
    send(server, *payloads)
    assert [result["stored"] for result in send(server, *payloads).json["results"]] == [False, False]
    assert len(hub.server(server.id)["history"]) == 2


def test_the_newest_of_a_batch_is_the_state_wherever_it_stands(hub):
    server = hub.register("newest-first")
    send(server, payload(10, cpu_percent=77), payload(30, cpu_percent=11))
    assert hub.server(server.id)["metrics"]["cpu_percent"] == 77


def test_a_hundred_payloads_are_taken_packed_and_unpacked(hub):
    server = hub.register("hundred")
    body = json.dumps({"payloads": [payload(100 - number) for number in range(100)]}).encode()
    headers = dict(server.headers, **{"Content-Type": "application/json", "Content-Encoding": "gzip"})
    answer = hub.post("/api/metrics/batch", gzip.compress(body), headers)
    assert [result["stored"] for result in answer.json["results"]] == [True] * 100


@pytest.mark.parametrize("body", [{}, {"payloads": []}, {"payloads": {}}, {"payloads": [{}] * 101}, [], "text", None],
                         ids=repr)
def test_a_body_that_is_no_batch_is_refused(hub, body):
    server = hub.register("no-batch")
    answer = hub.post("/api/metrics/batch", json.dumps(body), server.headers)
    assert (answer.status, answer.json["field"]) == (400, "payloads")
    assert answer.json["error"] == "payloads must be a list of 1 to 100 entries."


def test_more_than_eight_mebibytes_are_refused(hub):
    server = hub.register("too-much")
    headers = dict(server.headers, **{"Content-Encoding": "gzip"})
    answer = hub.post("/api/metrics/batch", gzip.compress(b" " * ((8 << 20) + 1)), headers)
    assert (answer.status, answer.json["code"]) == (413, "too_large")


def test_a_stranger_is_refused(hub):
    assert hub.post("/api/metrics/batch", {"payloads": [payload(1)]}).status == 401
