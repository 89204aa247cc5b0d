"""Servers that fall silent, alone or many at once, and what time alone does to alerts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from smon_hub import clock, ledger, selfcheck, silence
from smon_hub.jobs import Run
from smon_hub.store import events, servers as store_servers
from tests.hub import inside
from tests.hub.inside import HERE


@pytest.fixture
def hub(telling_hub, monkeypatch):
    """A hub whose machine's clock moves with the wall clock."""
    follow_wall_clock(telling_hub, monkeypatch)
    return telling_hub


def follow_wall_clock(hub, monkeypatch):
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: hub.now() / 1000))
    hub.silence = silence.Silence(hub.now())


def servers(hub, count, group="Default", **changes):
    """Servers that have sent one sample, with a beat of five minutes."""
    made = [hub.server(group_name=group) for _ in range(count)]
    for server in made:
        hub.send(server, agent={"beat_seconds": 300})
        if changes:
            patch(hub, "/api/dashboard/server/" + server.row["uuid"], changes)
    return made


def patch(hub, path, body):
    answer = hub.ask("PATCH", path, body, address=HERE, host="localhost")
    assert answer.status == 200, answer
    return answer.json


def passes(hub, minutes):
    """Time in which the sweep runs every minute."""
    for _ in range(minutes):
        hub.pass_time(clock.MINUTE)
        hub.jobs.listen()


def told(hub):
    return [(message["event"], message["rule"], message["object"]) for message in hub.told]


def still_open(hub, rule):
    return events.current_of(hub.engine.read(), rule)


# --- one --------------------------------------------------------------------------------------------------------------

def test_a_server_alerts_when_its_status_becomes_offline_and_ends_with_a_sign_of_life(hub):
    server, = servers(hub, 1)
    passes(hub, 15)
    assert (told(hub), server.status(hub.now(), 15)) == ([], "online")
    passes(hub, 1)
    assert (told(hub), server.status(hub.now(), 15)) == ([("opened", "offline", "")], "offline")
    assert hub.told[0]["message"] == "No sign of life since 2026-11-22T10:00:00Z"
    hub.fleet.seen(server, hub.now())
    passes(hub, 1)
    assert told(hub)[1:] == [("recovered", "offline", "")] and server.status(hub.now(), 15) == "online"


def test_a_sample_ends_the_silence_at_once(hub):
    server, = servers(hub, 1)
    passes(hub, 16)
    hub.send(server, collected_at=hub.now(), agent={"beat_seconds": 300})
    assert still_open(hub, "offline") == [] and server.tally.worst == ""


def test_a_longer_beat_than_the_setting_gives_more_time(hub):
    server = hub.server()
    hub.send(server, agent={"beat_seconds": 1800})
    passes(hub, 75)
    assert told(hub) == []
    passes(hub, 1)
    assert told(hub) == [("opened", "offline", "")]


def test_a_server_that_may_be_off_is_a_line_only(hub):
    server, = servers(hub, 1, may_be_off=True)
    passes(hub, 20)
    assert [message["severity"] for message in hub.told] == ["info"]
    assert (server.tally.active, server.tally.critical) == (0, 0)
    passes(hub, 60)
    assert len(hub.told) == 1


def test_people_may_say_of_a_silent_server_that_it_may_be_off(hub):
    server, = servers(hub, 1)
    passes(hub, 16)
    for may_be_off, worst in ((True, ""), (False, "critical")):
        patch(hub, "/api/dashboard/server/" + server.row["uuid"], {"may_be_off": may_be_off})
        assert server.tally.worst == worst
    assert [(message["event"], message["severity"]) for message in hub.told] == [
        ("opened", "critical"), ("severity", "info"), ("severity", "critical")]


def test_a_sign_of_life_while_the_sweep_waits_for_the_writer_is_seen(hub, monkeypatch):
    server, gone = servers(hub, 2)
    write = ledger.write

    def late(*arguments, **about):
        hub.fleet.seen(server, hub.now())
        hub.engine.write(lambda db: store_servers.remove(db, gone.row["id"]))
        return write(*arguments, **about)
    monkeypatch.setattr(ledger, "write", late)
    passes(hub, 16)
    assert told(hub) == [] and hub.rows("SELECT * FROM alerts") == []


def test_a_server_that_never_sent_anything_is_not_missed(hub):
    hub.server()
    passes(hub, 60)
    assert told(hub) == []


def test_a_removed_server_is_no_longer_missed_and_whoever_was_told_learns_it(hub):
    server, = servers(hub, 1)
    passes(hub, 16)
    hub.ask("DELETE", "/api/dashboard/server/" + server.row["uuid"], address=HERE, host="localhost")
    assert told(hub) == [("opened", "offline", ""), ("recovered", "offline", "")]
    assert "removed" in hub.told[1]["message"] and hub.fleet.unread == 0
    passes(hub, 20)
    assert len(hub.told) == 2


def test_a_start_of_the_hub_gives_everyone_the_whole_limit_again(tmp_path, monkeypatch):
    with inside.running(tmp_path / "data") as hub:
        servers(hub, 1)
        now = hub.now() + 2 * clock.HOUR
    with inside.running(tmp_path / "data", at=now) as hub:
        follow_wall_clock(hub, monkeypatch)
        passes(hub, 15)
        assert still_open(hub, "offline") == []
        passes(hub, 1)
        assert len(still_open(hub, "offline")) == 1


@pytest.mark.parametrize("jump", [3 * clock.HOUR, -3 * clock.HOUR])
def test_a_jump_of_the_clock_gives_everyone_the_whole_limit_again(hub, monkeypatch, jump):
    server, = servers(hub, 1)
    passes(hub, 5)
    machine = hub.now() - hub.pass_time(jump)
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: (hub.now() + machine) / 1000))
    passes(hub, 15)
    assert told(hub) == []
    if jump > 0:
        passes(hub, 2)
        assert told(hub) == [("opened", "offline", "")]


def put_back(hub, monkeypatch, hours):
    """The wall clock of the hub is put back, the machine's goes on."""
    machine = hub.now() - hub.pass_time(-hours * clock.HOUR)
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: (hub.now() + machine) / 1000))


def test_a_clock_that_is_put_back_brings_nobody_back_and_hides_nobody(hub, monkeypatch):
    silent, server = servers(hub, 2)
    keep_alive(hub, server)
    passes(hub, 20)
    hub.fleet.seen(server, hub.now() + clock.HOUR)
    server.last_seen_at = hub.now()
    put_back(hub, monkeypatch, 3)
    passes(hub, 1)
    assert told(hub) == [("opened", "offline", "")]
    assert silent.status(hub.now(), 15) == "offline" and server.status(hub.now(), 15) == "online"
    passes(hub, 16)
    assert told(hub) == [("opened", "offline", "")] * 2


def test_a_hub_that_starts_with_a_clock_put_back_still_notices_who_falls_silent(tmp_path, monkeypatch):
    with inside.running(tmp_path / "data") as hub:
        servers(hub, 1)
        now = hub.now() - clock.DAY
    with inside.running(tmp_path / "data", at=now) as hub:
        follow_wall_clock(hub, monkeypatch)
        passes(hub, 17)
        assert len(still_open(hub, "offline")) == 1


# --- many -------------------------------------------------------------------------------------------------------------

def test_many_that_go_together_are_one_message(hub):
    servers(hub, 10)
    passes(hub, 30)
    assert told(hub) == [("opened", "group_outage", "Default")]
    assert len(hub.told[0]["children"]) == 10 and hub.told[0]["value"] == 10
    assert {alert.suppressed_by for alert in still_open(hub, "offline")} == {
        "outage:%d" % still_open(hub, "group_outage")[0].id}


def test_those_that_follow_within_a_beat_belong_to_it(hub):
    made = servers(hub, 6)
    for minute, server in enumerate(made[:4]):
        hub.pass_time(clock.MINUTE)
        hub.fleet.seen(server, hub.now())
    passes(hub, 30)
    assert told(hub) == [("opened", "group_outage", "Default")] and len(still_open(hub, "offline")) == 6


def test_two_of_a_small_group_are_two_messages(hub):
    for server in servers(hub, 4)[2:]:
        keep_alive(hub, server)
    passes(hub, 16)
    assert told(hub) == [("opened", "offline", "")] * 2


def keep_alive(hub, server):
    hub.fleet.seen(server, hub.now() + clock.HOUR)


@pytest.mark.parametrize("shop, office", [(4, 16), (5, 5)], ids=["small", "half of all"])
def test_an_outage_of_one_group_bears_its_name_and_leaves_the_others_alone(hub, shop, office):
    servers(hub, shop, "Shop")
    for server in servers(hub, office, "Office"):
        keep_alive(hub, server)
    passes(hub, 16)
    assert told(hub) == [("opened", "group_outage", "Shop")]


def test_an_outage_of_all_groups_is_one_message(hub):
    servers(hub, 4, "Shop")
    servers(hub, 4, "Office")
    passes(hub, 20)
    assert told(hub) == [("opened", "group_outage", "all groups")]


def test_when_they_come_back_that_is_one_message_too(hub):
    made = servers(hub, 10)
    passes(hub, 20)
    for server in made:
        hub.fleet.seen(server, hub.now())
    passes(hub, 1)
    assert told(hub) == [("opened", "group_outage", "Default"), ("recovered", "group_outage", "Default")]
    assert still_open(hub, "offline") == []


def test_who_stays_silent_after_the_others_came_back_is_told_of(hub):
    made = servers(hub, 10)
    passes(hub, 20)
    for server in made[1:]:
        keep_alive(hub, server)
    passes(hub, 10)
    assert told(hub)[1:] == [("recovered", "group_outage", "Default"), ("opened", "offline", "")]
    assert hub.told[2]["server"]["uuid"] == made[0].row["uuid"]


def test_a_thousand_silent_servers_are_one_message(hub):
    first, = servers(hub, 1)
    rows = [dict(first.row, uuid=str(number)) for number in range(999)]
    for row, row_id in zip(rows, hub.engine.write(lambda db: [store_servers.add(db, row) for row in rows])):
        hub.fleet.add(dict(row, id=row_id)).put(sample=first.sample)
    passes(hub, 16)
    assert told(hub) == [("opened", "group_outage", "Default")]
    assert sum(server.tally.silent for server in hub.fleet.servers()) == 1000


# --- repeats, escalation, acknowledging for a time --------------------------------------------------------------------

def minutes_pass(hub, minutes):
    hub.pass_time(minutes * clock.MINUTE)
    hub.jobs.remind()


def opened(hub, cpu=99.0):
    server = hub.server()
    hub.send(server, {"cpu_percent": cpu})
    return hub.ask("GET", "/api/dashboard/alerts", address=HERE, host="localhost").json["alerts"][0]


def test_a_critical_alert_is_escalated_and_repeated_until_it_is_acknowledged(hub):
    alert = opened(hub)
    minutes_pass(hub, 29)
    assert told(hub) == [("opened", "cpu", "")]
    minutes_pass(hub, 1)
    minutes_pass(hub, 1)
    assert told(hub)[1:] == [("escalated", "cpu", "")]
    minutes_pass(hub, 240)
    assert told(hub)[2:] == [("repeat", "cpu", "")]
    patch(hub, "/api/dashboard/alerts", {"alert_id": alert["id"], "note": "On it."})
    minutes_pass(hub, 2000)
    assert len(hub.told) == 3


def test_escalation_does_not_wait_for_the_repeats_to_end(hub):
    hub.change_settings({"alert_escalate_minutes": 300, "alert_repeat_critical_hours": 1})
    opened(hub)
    for _ in range(10):
        minutes_pass(hub, 31)
    assert [event for event, _, _ in told(hub)] == ["opened"] + ["repeat"] * 5 + ["escalated"]


def test_repeats_go_on_after_the_clock_was_put_back(hub):
    opened(hub, 91.0)
    hub.pass_time(-30 * clock.DAY)
    minutes_pass(hub, 1)
    minutes_pass(hub, 23 * 60)
    assert told(hub)[1:] == [("repeat", "cpu", "")]
    minutes_pass(hub, 61)
    assert told(hub)[2:] == [("repeat", "cpu", "")]


def test_a_clock_that_is_corrected_by_a_little_repeats_nothing(hub):
    opened(hub)
    hub.pass_time(-2 * clock.SECOND)
    hub.jobs.remind()
    assert len(hub.told) == 1


def test_a_warning_is_repeated_after_a_day_and_never_escalated(hub):
    opened(hub, 91.0)
    minutes_pass(hub, 23 * 60)
    assert len(hub.told) == 1
    minutes_pass(hub, 60)
    assert told(hub)[1:] == [("repeat", "cpu", "")]


def test_nothing_is_repeated_or_escalated_when_that_is_off(hub):
    hub.change_settings({"alert_repeat_critical_hours": 0, "alert_escalate_minutes": 0})
    opened(hub)
    minutes_pass(hub, 5000)
    assert told(hub) == [("opened", "cpu", "")]


def test_an_acknowledgement_may_be_for_a_time(hub):
    alert = opened(hub)
    patch(hub, "/api/dashboard/alerts", {"alert_id": alert["id"], "until": clock.iso(hub.now() + clock.HOUR)})
    assert hub.fleet.summary(hub.now(), 15)["activeAlerts"] == 0
    minutes_pass(hub, 61)
    assert hub.fleet.summary(hub.now(), 15)["activeAlerts"] == 1


# --- the hub itself ---------------------------------------------------------------------------------------------------

def test_a_job_that_fails_alerts_until_it_works_again(hub):
    hub.jobs.runs["clean_up"] = Run(hub.now(), 0.1, "No space.")
    hub.jobs.check_self()
    hub.jobs.check_self()
    assert told(hub) == [("opened", "hub_job", "clean_up")] and hub.told[0]["server"] is None
    assert hub.fleet.summary(hub.now(), 15)["activeAlerts"] == 1
    hub.jobs.runs["clean_up"] = Run(hub.now(), 0.1, "")
    for _ in range(2):
        hub.jobs.check_self()
    assert told(hub)[1:] == [("recovered", "hub_job", "clean_up")]


def test_messages_that_wait_for_too_long_and_a_full_disk_alert(hub, monkeypatch):
    usage = SimpleNamespace(total=100, free=4)
    monkeypatch.setattr(selfcheck, "shutil", SimpleNamespace(disk_usage=lambda path: usage))
    monkeypatch.setattr(selfcheck.outbox, "oldest_waiting", lambda db: hub.now() - 16 * clock.MINUTE)
    hub.jobs.check_self()
    assert [(message["rule"], message["severity"]) for message in hub.told] == [
        ("hub_disk", "critical"), ("hub_outbox", "warning")]
