"""POST /api/dashboard/server/{id}/rotate-key, and the suspicion that one key is used by two machines."""

from __future__ import annotations

import json
import re
import socket
import threading

from smon_hub import auth, clock
from tests.hub.inside import HERE

LOCAL = {"address": HERE, "host": "localhost:3000"}
BODY = {"metrics": {"cpu_percent": 5, "memory_percent": 6}}


def rotate(hub, server_id):
    return hub.ask("POST", "/api/dashboard/server/%s/rotate-key" % server_id, **LOCAL)


def send(hub, server_id, key):
    return hub.ask("POST", "/api/metrics", BODY, headers={"Authorization": "Bearer %s:%s" % (server_id, key)}).status


def test_the_old_key_ends_and_the_new_one_begins(hub_inside):
    server = hub_inside.register()
    id, old = server["server_id"], server["api_key"]
    assert send(hub_inside, id, old) == 200
    answer = rotate(hub_inside, id)
    assert answer.status == 200 and re.fullmatch("smk_[0-9a-f]{48}", answer.json["api_key"])
    assert send(hub_inside, id, old) == 401
    assert send(hub_inside, id, answer.json["api_key"]) == 200
    assert hub_inside.fleet.by_uuid[id].row["export_key"] == auth.export_key(answer.json["api_key"])


def test_a_connection_that_was_let_in_is_refused_once_its_key_ended_or_its_server_is_gone(fresh_hub):
    caller = fresh_hub.client()
    for end in ("rotate-key", "remove"):
        known = caller.post("/api/register", {"hostname": "h"}).json
        agent, header = fresh_hub.client(), {"Authorization": "Bearer %(server_id)s:%(api_key)s" % known}
        assert [agent.post("/api/metrics", BODY, header).status for _ in range(3)] == [200] * 3
        path = "/api/dashboard/server/" + known["server_id"]
        assert (caller.post(path + "/rotate-key") if end == "rotate-key" else caller.delete(path)).status == 200
        assert [agent.post("/api/metrics", BODY, header).status for _ in range(2)] == [401] * 2
        agent.close()


def test_a_key_that_ends_while_the_body_is_on_its_way_stores_nothing(fresh_hub):
    caller, body = fresh_hub.client(), json.dumps(BODY).encode()
    known = caller.post("/api/register", {"hostname": "h"}).json
    head = ("POST /api/metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %(server_id)s:%(api_key)s\r\n"
            "Content-Type: application/json\r\nContent-Length: " % known).encode() + b"%d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", fresh_hub.port), timeout=20) as sock:
        sock.sendall(head + body)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        sock.sendall(head)
        assert caller.post("/api/dashboard/server/%(server_id)s/rotate-key" % known).status == 200
        sock.sendall(body)
        assert sock.recv(65536).startswith(b"HTTP/1.1 401")


def test_one_connection_may_speak_for_several_and_each_counts_for_itself(fresh_hub):
    caller, agent = fresh_hub.client(), fresh_hub.client()
    assert caller.patch("/api/dashboard/settings", {"rate_limit_per_minute": 20}).status == 200
    headers = [{"Authorization": "Bearer %(server_id)s:%(api_key)s" % caller.post(
        "/api/register", {"hostname": "h"}).json} for _ in range(2)]
    statuses = [agent.post("/api/metrics", BODY, header).status for _ in range(21) for header in headers]
    assert statuses == [200] * 40 + [429] * 2
    another = headers[0]["Authorization"].replace("smk_", "smk_00")
    assert agent.post("/api/metrics", BODY, {"Authorization": another}).status == 401
    agent.close()


def test_an_unknown_server_has_no_key(hub_inside):
    assert rotate(hub_inside, "nobody").status == 404


def test_rotations_at_the_same_time_leave_one_key_that_holds(hub_inside):
    id, keys = hub_inside.register()["server_id"], []
    threads = [threading.Thread(target=lambda: keys.append(rotate(hub_inside, id).json["api_key"]), name="rotate")
               for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(send(hub_inside, id, key) for key in keys) == [200, 401, 401, 401]


# --- clones -----------------------------------------------------------------------------------------------------------

def boots(hub, server, *names):
    """Samples of these boots, a minute apart; the flags after each."""
    flags = []
    for name in names:
        hub.send(server, collected_at=hub.pass_time(clock.MINUTE), agent={"boot_id": name})
        flags.append("clone_suspected" in server.flags())
    return flags


def test_two_boots_that_take_turns_are_suspected_to_be_two_machines(hub_inside):
    assert boots(hub_inside, hub_inside.server(), "a", "b", "a", "b") == [False, False, True, True]


def test_a_machine_that_reboots_is_one(hub_inside):
    assert boots(hub_inside, hub_inside.server(), "a", "a", "b", "b", "c", "d") == [False] * 6


def test_what_an_earlier_boot_left_to_send_is_no_clones(hub_inside):
    server, taken = hub_inside.server(), hub_inside.now()
    boots(hub_inside, server, "a", "b")
    hub_inside.send(server, collected_at=taken, agent={"boot_id": "a"})
    assert boots(hub_inside, server, "b") == [False]


def test_the_suspicion_ends_a_day_after_the_last_turn(hub_inside):
    server = hub_inside.server()
    boots(hub_inside, server, "a", "b", "a")
    hub_inside.pass_time(clock.DAY - 2 * clock.MINUTE)
    assert boots(hub_inside, server, "a", "a") == [True, False]


def test_the_flag_is_shown(hub_inside):
    server = hub_inside.server()
    boots(hub_inside, server, "a", "b", "a")
    path = "/api/dashboard/server/" + server.row["uuid"]
    assert hub_inside.ask("GET", path, **LOCAL).json["server"]["flags"] == ["clone_suspected"]
    assert "clone_suspected" in hub_inside.ask("GET", "/api/dashboard?view=cards", **LOCAL).text
