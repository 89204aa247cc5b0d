"""GET and POST /api/ping: is the hub there, and is the agent."""

from __future__ import annotations

import socket
import time

from smon_hub import clock
from tests.hub.inside import STRANGER


def test_anybody_may_ask_whether_the_hub_is_well(hub, hub_inside):
    answer = hub.get("/api/ping")
    assert answer.status == 200
    assert {key: answer.json[key] for key in ("status", "service")} == {"status": "ok", "service": "Server Monitor"}
    assert set(answer.json) == {"status", "service", "timestamp"}
    assert abs(clock.parse(answer.json["timestamp"]) - time.time() * 1000) < clock.HOUR
    assert hub_inside.ask("GET", "/api/ping", address=STRANGER).status == 200


def test_a_hub_whose_store_does_not_answer_says_503(hub_inside):
    hub_inside.engine.write(lambda db: db.execute("ALTER TABLE meta RENAME TO gone"))
    answer = hub_inside.ask("GET", "/api/ping")
    hub_inside.engine.write(lambda db: db.execute("ALTER TABLE gone RENAME TO meta"))
    assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (503, "unavailable", "5")


def test_a_beat_is_answered_and_noted(hub_inside):
    registered = hub_inside.register()
    bearer = {"Authorization": "Bearer %(server_id)s:%(api_key)s" % registered}
    later = clock.iso_ms(hub_inside.pass_time(clock.HOUR))
    answer = hub_inside.ask("POST", "/api/ping", headers=bearer)
    assert answer.status == 200
    assert answer.json == {"status": "ok", "timestamp": later, "config_pending": False, "server_time": later,
                           "newest_at": None}
    assert hub_inside.fleet.by_uuid[registered["server_id"]].last_seen_at == hub_inside.now()


def test_a_beat_needs_no_body_and_no_length(hub):
    request = "POST /api/ping HTTP/1.1\r\nHost: hub\r\nAuthorization: %s\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", hub.port), timeout=10) as sock:
        sock.sendall((request % hub.register("bare").headers["Authorization"]).encode())
        assert sock.makefile("rb").read().startswith(b"HTTP/1.1 200 ")


def test_a_beat_tells_the_newest_sample_that_the_hub_has(hub):
    server = hub.register("told")
    newest = server.send().json["newest_at"]
    assert server.ping().json["newest_at"] == newest is not None


def test_a_beat_with_a_wrong_key_is_refused(hub):
    server = hub.register("wrong")
    wrong = {"Authorization": server.headers["Authorization"][:-1] + ("0" if server.key[-1] != "0" else "1")}
    assert hub.post("/api/ping", None, wrong).status == 401
    assert hub.post("/api/ping").status == 401


def test_a_removed_servers_beat_is_refused(hub):
    server = hub.register("gone")
    assert server.ping().status == 200
    hub.delete("/api/dashboard/server/" + server.id)
    assert server.ping().status == 401
