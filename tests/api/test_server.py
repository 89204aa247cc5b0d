"""GET and DELETE /api/dashboard/server/{id}: one server, and its end."""

from __future__ import annotations

import pytest

from smon_hub import clock
from tests.hub.inside import HERE, START, sample, service
from tests.support.processes import METRICS


def here(hub, server, query="", method="GET"):
    return hub.ask(method, "/api/dashboard/server/%s%s" % (server.row["uuid"], query), address=HERE, host="localhost")


def process(pid, **members):
    return dict({"pid": pid, "name": "p%d" % pid}, **members)


def test_the_answer_has_the_seeds_members(hub):
    server = hub.register("whole")
    server.send()
    answer = hub.server(server.id)
    assert {"server", "metrics", "history", "processes", "services", "alerts"} <= set(answer)
    assert {"id", "hostname", "ip_address", "os_info", "group_name", "display_name", "notes", "alert_cpu_threshold",
            "alert_memory_threshold", "alert_disk_threshold", "collection_interval", "is_active", "registered_at",
            "last_seen_at", "status", "tags", "agent"} <= set(answer["server"])
    assert set(METRICS) | {"timestamp"} <= set(answer["metrics"])
    assert {"timestamp", "cpu_percent", "memory_percent", "memory_used", "memory_free", "disk_percent"} <= set(
        answer["history"][0])


def test_a_server_without_samples_has_nothing_to_show(hub):
    answer = hub.server(hub.register("bare").id)
    assert (answer["metrics"], answer["history"], answer["processes"], answer["services"]) == (None, [], [], [])
    assert answer["processes_at"] is None


def test_it_tells_neither_key_nor_hash(hub):
    server = hub.register("quiet")
    server.send()
    text = hub.get("/api/dashboard/server/" + server.id).text
    assert "$2b$" not in text and "smk_" not in text and "key_hash" not in text


@pytest.mark.parametrize("hours, count", [(1, 1), (3, 2), (24, 3), (8760, 4)])
def test_history_is_as_long_as_asked(hub_inside, hours, count):
    server = hub_inside.server()
    for age in (25 * clock.HOUR, 5 * clock.HOUR, 2 * clock.HOUR, 0):
        hub_inside.send(server, collected_at=START - age)
    answer = here(hub_inside, server, "?hours=%d" % hours).json
    assert (len(answer["history"]), answer["step"]) == (count, 0)
    assert answer["history"][-1]["timestamp"] == clock.iso(START)


def test_a_long_history_comes_in_steps(hub_inside):
    server = hub_inside.server()
    for first in range(0, 1600, 100):
        hub_inside.send_batch(server, *(sample(collected_at=START - (first + index) * clock.MINUTE)
                                        for index in range(100)))
    answer = here(hub_inside, server, "?hours=48").json
    assert answer["step"] == 120 and len(answer["history"]) <= 1500
    assert answer["history"][1]["cpu_min"] <= answer["history"][1]["cpu_percent"] <= answer["history"][1]["cpu_max"]


def test_processes_are_the_newest_or_as_they_were(hub_inside):
    server = hub_inside.server()
    for age, pid in ((2 * clock.HOUR, 1), (clock.HOUR, 2), (0, 3)):
        hub_inside.send(server, collected_at=START - age, processes=[process(pid)])
    assert [each["pid"] for each in here(hub_inside, server).json["processes"]] == [3]
    then = here(hub_inside, server, "?at=2026-11-22T09:30:00Z").json
    assert ([each["pid"] for each in then["processes"]], then["processes_at"]) == ([2], "2026-11-22T09:00:00Z")
    before = here(hub_inside, server, "?at=2026-11-20T00:00:00Z").json
    assert (before["processes"], before["processes_at"]) == ([], None)


def test_services_that_failed_come_first(hub):
    server = hub.register("services")
    server.send(services=[service("a"), service("b", "failed", pid=None, restarts=3)])
    shown = hub.server(server.id)["services"]
    assert [each["service_name"] for each in shown] == ["b", "a"]
    assert set(shown[0]) == {"service_name", "display_name", "status", "start_type", "pid", "restarts", "changed_at"}


@pytest.mark.parametrize("query, sentence", [
    ("hours=0", "hours must be a whole number from 1 to 8760."),
    ("hours=8761", "hours must be a whole number from 1 to 8760."),
    ("hours=", "hours must be a whole number from 1 to 8760."),
    ("hours=24.5", "hours must be a whole number from 1 to 8760."),
    ("hours=%31%00", "hours must be a whole number from 1 to 8760."),
    ("hours=24;DROP", "hours must be a whole number from 1 to 8760."),
    ("at=yesterday", "at must be an ISO 8601 time such as 2026-11-22T10:00:00Z."),
    ("hours=1&hours=2", "A parameter may be given once: hours."),
    ("hours=%ff", "The query must have at most 20 parameters in UTF-8."),
    ("&".join("a%d=1" % number for number in range(21)), "The query must have at most 20 parameters in UTF-8."),
])
def test_a_wrong_parameter_is_named_with_its_bounds(hub, query, sentence):
    answer = hub.get("/api/dashboard/server/%s?%s" % (hub.register("query").id, query))
    assert (answer.status, answer.json["error"]) == (400, sentence)


def test_unknown_parameters_are_ignored(hub):
    assert hub.get("/api/dashboard/server/%s?nonsense=1&hours=2" % hub.register("query").id).status == 200


# --- removal ----------------------------------------------------------------------------------------------------------

def test_a_removed_server_is_gone_from_every_answer(hub):
    server, stays = hub.register("removed"), hub.register("stays")
    server.send()
    answer = hub.delete("/api/dashboard/server/" + server.id)
    assert (answer.status, answer.json["status"]) == (200, "ok")
    assert hub.get("/api/dashboard/server/" + server.id).status == 404
    ids = [each["id"] for each in hub.get("/api/dashboard").json["servers"]]
    assert server.id not in ids and stays.id in ids
    assert server.send().status == 401


@pytest.mark.parametrize("server_id", ["00000000-0000-4000-8000-000000000000", "1", "%00", "..", "a" * 500,
                                       "'%20OR%201=1--"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_an_unknown_server_is_404(hub, method, server_id):
    answer = hub.request(method, "/api/dashboard/server/" + server_id, {"notes": "n"} if method == "PATCH" else None)
    assert (answer.status, answer.json["code"]) == (404, "not_found")


def test_a_removed_servers_rows_are_swept_from_the_disk(hub_inside):
    server = hub_inside.server()
    hub_inside.send(server, services=[service("nginx")])
    hub_inside.send_live(server)
    assert here(hub_inside, server, method="DELETE").status == 200
    hub_inside.jobs.sweep()
    assert [hub_inside.rows("SELECT COUNT(*) FROM " + table) for table in ("samples", "live", "services")] == [
        [(0,)]] * 3


def test_a_stranger_neither_reads_nor_removes(hub_inside):
    server = hub_inside.server()
    for method in ("GET", "DELETE"):
        assert hub_inside.ask(method, "/api/dashboard/server/" + server.row["uuid"]).status == 401
    assert hub_inside.fleet.servers() == [server]
