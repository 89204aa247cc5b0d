"""What one payload does, inside a hub with a clock of the test's own."""

from __future__ import annotations

import itertools
import shutil
import threading

import pytest

from smon_hub import bodies, clock, ingest, shapes
from smon_hub.errors import HubError
from smon_hub.store import commits, servers
from tests.hub import inside
from tests.hub.inside import START, sample, service
from tests.support.processes import LIVE


def times(hub, server):
    return [at for at, in hub.rows("SELECT at FROM samples WHERE server = ? ORDER BY at", server.row["id"])]


def statuses(hub, server):
    return dict(hub.rows("SELECT name, status FROM services WHERE server = ?", server.row["id"]))


# --- one sample -------------------------------------------------------------------------------------------------------

def test_the_answer_says_what_was_there_before_so_that_an_agent_sees_what_was_lost(hub_inside):
    server = hub_inside.server()
    answer = hub_inside.send(server, {"cpu_percent": 50}, collected_at=START - 5)
    assert answer == {"status": "ok", "stored": True, "config_pending": False, "server_time": clock.iso_ms(START),
                      "newest_at": clock.iso_ms(START - 5), "previous_at": None}
    assert hub_inside.send(server)["previous_at"] == clock.iso_ms(START - 5)


def test_a_sample_becomes_the_current_state(hub_inside):
    server = hub_inside.server()
    hub_inside.send(server, {"cpu_percent": 50}, collected_at=START - 5)
    assert times(hub_inside, server) == [START - 5]
    assert server.metrics()["cpu_percent"] == 50
    assert server.last_seen_at == START


def test_a_repeated_sample_is_answered_as_not_stored(hub_inside):
    server = hub_inside.server()
    stored = [hub_inside.send(server, collected_at=START - 5)["stored"] for _ in range(3)]
    assert stored == [True, False, False]
    assert times(hub_inside, server) == [START - 5]


def test_without_a_time_the_arrival_counts_and_two_in_one_millisecond_are_two(hub_inside):
    server = hub_inside.server()
    assert [hub_inside.send(server)["stored"] for _ in range(3)] == [True] * 3
    assert times(hub_inside, server) == [START, START + 1, START + 2]


def test_a_late_sample_fills_history_and_does_not_move_the_current_state(hub_inside):
    server = hub_inside.server()
    hub_inside.send(server, {"cpu_percent": 50}, collected_at=START - 5, services=[service("nginx")])
    answer = hub_inside.send(server, {"cpu_percent": 99}, collected_at=START - clock.HOUR,
                             services=[service("nginx", "failed")])
    assert (answer["stored"], answer["newest_at"]) == (True, clock.iso_ms(START - 5))
    assert server.metrics()["cpu_percent"] == 50
    assert statuses(hub_inside, server) == {"nginx": "running"}
    assert len(times(hub_inside, server)) == 2


def test_a_sample_older_than_the_retention_is_not_stored_and_told_why(hub_inside):
    server = hub_inside.server()
    answer = hub_inside.send(server, collected_at=START - 31 * clock.DAY)
    assert (answer["status"], answer["stored"]) == ("ok", False)
    assert "data_retention_days (30)" in answer["reason"]
    assert times(hub_inside, server) == [] and server.sample is None


@pytest.mark.parametrize("ahead, at", [(5 * clock.MINUTE, START + 5 * clock.MINUTE), (5 * clock.MINUTE + 1, START)])
def test_a_clock_ahead_is_believed_for_five_minutes(hub_inside, ahead, at):
    server = hub_inside.server()
    assert hub_inside.send(server, collected_at=START + ahead)["stored"]
    assert times(hub_inside, server) == [at]


def test_a_clock_further_ahead_is_told_on_the_server(hub_inside):
    server = hub_inside.server()
    hub_inside.send(server, collected_at=START + 10 * clock.MINUTE, agent={"version": "0.1"})
    shown = server.answer(START, 15)["agent"]
    assert (shown["clock_ahead_seconds"], shown["version"]) == (600, "0.1")


def counted(sequence, at, **members):
    agent = {"boot_id": "b", "sequence": sequence}
    return sample(members.pop("metrics", None), collected_at=at, agent=agent, **members)


def test_a_batch_from_a_clock_far_ahead_is_stored_once_however_often_it_comes(hub_inside):
    server, ahead = hub_inside.server(), START + clock.HOUR
    for _ in range(3):
        hub_inside.send_batch(server, *(counted(number, ahead + number) for number in (1, 2, 3)))
        hub_inside.pass_time(clock.MINUTE)
    assert len(times(hub_inside, server)) == 3


def test_a_clock_set_back_does_not_freeze_a_server_that_counts(hub_inside):
    server = hub_inside.server()
    hub_inside.send_batch(server, counted(1, START, metrics={"cpu_percent": 10}))
    hub_inside.send_batch(server, counted(2, START - clock.HOUR, metrics={"cpu_percent": 20}))
    assert server.metrics()["cpu_percent"] == 20


def test_a_sample_that_waits_while_its_key_is_replaced_is_refused(hub_inside, monkeypatch):
    monkeypatch.setattr(commits, "GROUP_MAX", 1)
    server, inside_it, go_on = hub_inside.server(), threading.Event(), threading.Event()
    hub_inside.engine.submit(lambda db: inside_it.set() or go_on.wait(10))
    assert inside_it.wait(10)
    hub_inside.engine.submit(lambda db: servers.change(db, server.row["id"], {"key_hash": "new"}),
                             lambda _: hub_inside.fleet.change(server.row["uuid"], {"key_hash": "new"}))
    late = [ingest.sample(hub_inside, server, sample(), START),
            ingest.live(hub_inside, server, shapes.clean(bodies.LIVE, LIVE), START)]
    go_on.set()
    assert [type(each.exception(10)) for each in late] == [HubError, HubError]
    assert times(hub_inside, server) == []


def test_a_sample_of_a_removed_server_is_refused_like_a_wrong_key(hub_inside):
    server = hub_inside.server()
    hub_inside.ask("DELETE", "/api/dashboard/server/" + server.row["uuid"], address=inside.HERE, host="localhost")
    for send in (hub_inside.send, hub_inside.send_live):
        with pytest.raises(HubError) as refusal:
            send(server)
        assert refusal.value.code == "unauthorized"
    assert times(hub_inside, server) == []


@pytest.mark.parametrize("send", ["send", "send_live"])
def test_whatever_arrives_is_a_sign_of_life_at_its_arrival(hub_inside, send):
    server = hub_inside.server()
    arrived = hub_inside.pass_time(clock.HOUR)
    getattr(hub_inside, send)(server, collected_at=arrived - clock.MINUTE)
    assert server.last_seen_at == arrived


# --- many at once -----------------------------------------------------------------------------------------------------

def test_a_batch_is_stored_in_one_go_with_a_result_for_each(hub_inside):
    server = hub_inside.server()
    results = hub_inside.send_batch(server, *(sample(collected_at=at) for at in (START - 2, START - 1, START - 2)),
                                    sample(collected_at=START - 31 * clock.DAY))
    assert [result["stored"] for result in results] == [True, True, False, False]
    assert times(hub_inside, server) == [START - 2, START - 1]


@pytest.mark.parametrize("order", list(itertools.permutations((0, 1, 2))))
def test_a_batch_leaves_the_state_of_its_newest_sample_in_whatever_order_it_comes(hub_inside, order):
    server = hub_inside.server()
    states = ["running", "failed", "stopped"]
    hub_inside.send_batch(server, *(sample({"cpu_percent": index}, collected_at=START + index,
                                           services=[service("nginx", states[index])]) for index in order))
    assert server.metrics()["cpu_percent"] == 2
    assert statuses(hub_inside, server) == {"nginx": "stopped"}


def test_services_that_changed_and_changed_back_within_a_batch_end_as_they_are(hub_inside):
    server = hub_inside.server()
    hub_inside.send(server, collected_at=START - 9, services=[service("nginx")])
    hub_inside.send_batch(server, *(sample(collected_at=START - 8 + index, services=[service("nginx", status)])
                                    for index, status in enumerate(["failed", "running"])))
    assert statuses(hub_inside, server) == {"nginx": "running"}
    hub_inside.send(server, collected_at=START, services=[service("nginx")])
    assert statuses(hub_inside, server) == {"nginx": "running"}


def test_samples_of_many_servers_that_come_together_find_their_own_server(hub_inside):
    servers = [hub_inside.server() for _ in range(40)]
    futures = [ingest.sample(hub_inside, server, sample({"cpu_percent": index}, collected_at=START), START)
               for index, server in enumerate(servers)]
    assert all(future.result(10)["stored"] for future in futures)
    assert [server.metrics()["cpu_percent"] for server in servers] == list(range(40))
    assert [cpu for cpu, in hub_inside.rows("SELECT cpu_percent FROM samples ORDER BY server")] == list(range(40))


# --- services ---------------------------------------------------------------------------------------------------------

def test_services_that_are_not_sent_stay_and_an_empty_list_clears_them(hub_inside):
    server = hub_inside.server()
    hub_inside.send(server, services=[service("nginx")])
    hub_inside.send(server)
    assert statuses(hub_inside, server) == {"nginx": "running"}
    hub_inside.send(server, services=[])
    assert statuses(hub_inside, server) == {}


# --- near-live --------------------------------------------------------------------------------------------------------

def test_a_live_sample_is_stored_once(hub_inside):
    server = hub_inside.server()
    assert [hub_inside.send_live(server, collected_at=START - 5)["stored"] for _ in range(2)] == [True, False]
    assert hub_inside.rows("SELECT at, cpu_percent, cpu_per_core, bytes_sent_per_sec FROM live") == [
        (START - 5, 12.5, "[10.0,15.0]", 125000.0)]


def test_a_live_sample_without_a_time_takes_that_of_its_arrival(hub_inside):
    server = hub_inside.server()
    assert [hub_inside.send_live(server)["stored"] for _ in range(2)] == [True, True]
    assert hub_inside.rows("SELECT at FROM live") == [(START,), (START + 1,)]


@pytest.mark.parametrize("asked, kept", [(None, 60), (30, 60), (90, 90)])
def test_live_samples_are_kept_as_long_as_asked_and_at_least_an_hour(hub_inside, asked, kept):
    server = hub_inside.server()
    hub_inside.send_live(server, retention_minutes=asked)
    assert hub_inside.rows("SELECT live_minutes FROM servers") == [(kept,)]
    assert server.row["live_minutes"] == kept


# --- after a restart --------------------------------------------------------------------------------------------------

HISTORIES = {
    "in order": [{"collected_at": START + number} for number in range(4)],
    "with late ones": [{"collected_at": START + number} for number in (3, 1, 2, 0)],
    "without times": [{}] * 4,
    "with a clock set back": [{"collected_at": START - number, "agent": {"boot_id": "b", "sequence": number}}
                              for number in range(4)],
    "with a clock that is set right": [{"collected_at": START + clock.MINUTE}, {}, {}, {}],
}


def states(hub):
    return {server.row["uuid"]: (server.sample.id, server.metrics(), server.status(hub.now(), 15))
            for server in hub.fleet.servers()}


@pytest.mark.parametrize("settled_after", range(5))
@pytest.mark.parametrize("history", HISTORIES.values(), ids=list(HISTORIES))
def test_a_hub_that_was_killed_comes_back_in_the_state_it_was_in(tmp_path, history, settled_after):
    with inside.running(tmp_path / "data") as hub:
        server = hub.server()
        for number, members in enumerate(history):
            if number == settled_after:
                hub.jobs.settle()
            hub.send(server, {"cpu_percent": number}, **members)
        before = states(hub)
        shutil.copytree(tmp_path / "data", tmp_path / "left behind")
    with inside.running(tmp_path / "left behind") as hub:
        assert states(hub) == before


def test_a_hub_that_was_killed_knows_from_the_samples_who_was_seen(tmp_path):
    later = START + clock.HOUR
    with inside.running(tmp_path / "data") as hub:
        server = hub.server()
        hub.pass_time(clock.HOUR)
        hub.send(server)
        shutil.copytree(tmp_path / "data", tmp_path / "left behind")
    with inside.running(tmp_path / "left behind", at=later) as hub:
        assert [each.last_seen_at for each in hub.fleet.servers()] == [later]


def test_a_hub_that_was_killed_shows_a_sample_that_took_the_place_of_a_removed_servers(tmp_path):
    """Row ids of removed samples may come again, below what was written back before."""
    with inside.running(tmp_path / "data") as hub:
        first, second = hub.server(), hub.server()
        hub.send(second)
        hub.send(first)
        hub.jobs.settle()
        hub.ask("DELETE", "/api/dashboard/server/" + first.row["uuid"], address=inside.HERE, host="localhost")
        hub.jobs.sweep()
        hub.send(second, {"cpu_percent": 77})
        shutil.copytree(tmp_path / "data", tmp_path / "left behind")
    with inside.running(tmp_path / "left behind") as hub:
        assert [server.metrics()["cpu_percent"] for server in hub.fleet.servers()] == [77]


def test_a_hub_that_was_stopped_comes_back_with_who_was_seen_when(tmp_path):
    with inside.running(tmp_path / "data") as hub:
        server = hub.server()
        hub.send(server)
        hub.fleet.seen(server, hub.pass_time(clock.MINUTE))
    with inside.running(tmp_path / "data", at=START + clock.MINUTE) as hub:
        assert [each.last_seen_at for each in hub.fleet.servers()] == [START + clock.MINUTE]


def test_a_server_that_was_there_before_keeps_its_settings_and_its_key(tmp_path):
    with inside.running(tmp_path / "data") as hub:
        registered = hub.register(hostname="db-1", tags=["a", "b"], group_name="Office")
        row = dict(hub.fleet.by_uuid[registered["server_id"]].row)
    with inside.running(tmp_path / "data") as hub:
        server = hub.fleet.by_uuid[registered["server_id"]]
        assert server.row == row
        assert hub.keys.verify(server, registered["api_key"])
