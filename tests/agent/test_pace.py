"""When an agent calls: its first cycle, its waits, its heartbeat, and what it says while it is refused."""

from __future__ import annotations

import datetime

import pytest

import smon_agent
from tests.agent.fake_hub import FakeHub, Reply, refusal

IDENTITY = {"server_id": "s", "api_key": "smk_k"}
FIRST_AT = "2026-11-22T10:00:00.000Z"


@pytest.fixture
def clock(monkeypatch):
    """A monotonic clock that the test moves."""
    now = {"now": 1000.0}
    monkeypatch.setattr(smon_agent.time, "monotonic", lambda: now["now"])
    return now


@pytest.fixture
def make(config, fake_hub, tmp_path):
    """Make an agent in this process whose threads do not run: make(retry_delay_seconds=1)."""
    def make(**given) -> smon_agent.Agent:
        loaded = config(dict(IDENTITY, dashboard_url=fake_hub.url, **given))
        return smon_agent.Agent(loaded, smon_agent.Lock(str(tmp_path)), smon_agent.LogFile())
    return make


@pytest.fixture
def said(monkeypatch):
    """The warnings, whole."""
    lines = []
    monkeypatch.setattr(smon_agent.log, "warning", lambda text, *values: lines.append(text % values))
    return lines


@pytest.fixture
def without_watch(monkeypatch):
    """Commands in this process leave no thread behind."""
    monkeypatch.setattr(smon_agent, "cut_late", lambda hub: None)


# cycles

@pytest.fixture
def first_wait(config, tmp_path, clock, monkeypatch):
    """Seconds to the end of the first cycle of this machine: first_wait("id", "host name")."""
    def first_wait(server_id: str, host: str) -> float:
        monkeypatch.setattr(smon_agent.socket, "gethostname", lambda: host)
        loaded = config({"server_id": server_id, "collection_interval_minutes": 10})
        return smon_agent.Agent(loaded, smon_agent.Lock(str(tmp_path)), smon_agent.LogFile())._schedule.next - 1000
    return first_wait


def test_the_first_cycle_ends_at_a_moment_of_the_machines_own(first_wait):
    assert first_wait("one", "here") == first_wait("one", "elsewhere")
    waits = [first_wait(*machine) for machine in (("one", "here"), ("two", "here"), ("", "here"), ("", "elsewhere"))]
    assert len(set(waits)) == 4 and all(300 <= wait < 600 for wait in waits)


def test_cycles_that_take_long_begin_no_later_for_it(make, clock, monkeypatch):
    agent = make(collection_interval_minutes=10)
    begun = []

    def collect():
        begun.append(clock["now"])
        clock["now"] += 7

    def wait(seconds):
        clock["now"] += seconds
        if len(begun) == 5:
            agent.stop.set()
    monkeypatch.setattr(agent, "collect", collect)
    monkeypatch.setattr(agent.machine, "prime", lambda options: None)
    monkeypatch.setattr(agent.stop, "wait", wait)
    agent._cycle_loop()
    assert [after - before for before, after in zip(begun[1:], begun[2:])] == pytest.approx([600] * 3)


# waits

@pytest.mark.parametrize("delay, tries, shortest", [(10, 100, 10), (3600, 1, 3600), (10, 1, 300)],
                         ids=["early", "long", "late"])
def test_a_wait_is_up_to_a_quarter_longer_and_never_the_same(make, fake_hub, clock, delay, tries, shortest):
    fake_hub.always("/api/metrics", refusal(500))
    sender = make(retry_delay_seconds=delay, retry_attempts=tries).sender
    sender._spool.add(1, FIRST_AT, {})
    waits = []
    for _ in range(40):
        assert sender.attempt() is False
        waits.append(sender.pause())
    waits = waits[10:]
    assert shortest <= min(waits) and max(waits) <= shortest * 1.25 and len(set(waits)) > 2


def test_samples_wait_as_long_as_the_hub_asked_a_heartbeat_to(make, fake_hub, clock):
    fake_hub.next("/api/ping", refusal(503, Retry_After="60"))
    sender = make().sender
    sender._spool.add(1, FIRST_AT, {})
    assert sender.pause() == 0
    with pytest.raises(smon_agent.HubError):
        sender.hub.call(sender.hub.quick, "POST", "/api/ping", b"{}")
    assert sender.pause() == 60
    clock["now"] += 45
    assert sender.pause() == 15


@pytest.mark.parametrize("asked, low, high, tries", [("30", 30, 37.5, 2), ("61", 0, 0, 1), ("1800", 0, 0, 1)])
def test_one_sample_alone_waits_a_minute_for_the_hub_at_most(config, fake_hub, clock, monkeypatch, without_watch,
                                                             asked, low, high, tries):
    fake_hub.always("/api/metrics", refusal(503, Retry_After=asked))
    slept = []
    monkeypatch.setattr(smon_agent.time, "sleep", slept.append)
    monkeypatch.setattr(smon_agent.Machine, "prime", lambda self, options: None)
    monkeypatch.setattr(smon_agent.Machine, "collect", lambda self, options: ({}, {}))
    loaded = config(dict(IDENTITY, dashboard_url=fake_hub.url, retry_attempts=2))
    assert smon_agent.run_once(loaded, smon_agent.LogFile(), None) == 3
    assert low <= sum(slept) <= high and len(fake_hub.calls("/api/metrics")) == tries


@pytest.mark.parametrize("make_new", [FakeHub, lambda: FakeHub(of_the_seed=True)], ids=["ours", "seed"])
def test_a_new_address_inherits_nothing_from_the_old_one(make, config, fake_hub, clock, make_new):
    agent = make()
    sender, ping = agent.sender, ("POST", "/api/ping", b"{}")
    sender.hub.call(sender.hub.quick, *ping)
    fake_hub.next("/api/ping", refusal(503, Retry_After="600"))
    with pytest.raises(smon_agent.HubError):
        sender.hub.call(sender.hub.quick, *ping)
    sender._spool.add(1, FIRST_AT, {"collected_at": FIRST_AT, "pad": "x" * 5000})
    with make_new() as new:
        config(dict(IDENTITY, dashboard_url=new.url))
        agent.config.reload()
        agent.apply()
        assert sender.pause() == 0 and sender.attempt() is True
        assert list(new.samples) == [FIRST_AT] and "content-encoding" not in new.requests[0].headers


# refusals

def test_a_machine_that_the_hub_does_not_know_says_so_once_an_hour(make, fake_hub, clock, said):
    fake_hub.always("/api/metrics", refusal(401, "Unauthorized."))
    sender = make().sender
    sender._spool.add(1, FIRST_AT, {})
    told = []
    for minute in range(0, 130, 5):
        clock["now"] = 1000.0 + minute * 60 + (1 if minute >= 60 else 0)
        sender.attempt()
        told += [minute] * (len(said) - len(told))
    assert told == [0, 60, 125]
    assert all("Enrol again with --register." in line for line in said)


@pytest.mark.parametrize("key, path, advised", [("", "/api/register", False), ("smk_k", "/api/metrics", True)],
                         ids=["never enrolled", "removed"])
def test_only_a_machine_that_was_enrolled_is_told_to_enrol_again(make, fake_hub, said, key, path, advised):
    fake_hub.always(path, refusal(403, "Not here."))
    sender = make(api_key=key).sender
    sender._spool.add(1, FIRST_AT, {})
    assert sender.attempt() is False
    assert len(said) == 1 and "Not here." in said[0] and ("Enrol again" in said[0]) is advised


# heartbeats

@pytest.fixture
def pings(make, clock, monkeypatch):
    """The moments from 1000 to 2000 at which this agent pings: pings(5000, [1200], api_key="")."""
    def pings(next_cycle: float, samples: list, **given) -> list:
        agent = make(collection_interval_minutes=10, **given)
        found, hub = [], agent.sender.hub

        def call(connection, method, path, *_):
            found.append(clock["now"])
            hub.contact_at = clock["now"]
            return {"status": "ok"}

        def wait(seconds):
            clock["now"] += seconds
            hub.contact_at = max([hub.contact_at] + [moment for moment in samples if moment <= clock["now"]])
            if clock["now"] > 2000:
                agent.stop.set()
        agent._schedule.next = next_cycle
        monkeypatch.setattr(hub, "call", call)
        monkeypatch.setattr(agent._beat_wake, "wait", wait)
        agent._beat_loop()
        return found
    return pings


@pytest.mark.parametrize("next_cycle, samples, expected", [
    (9000, [], [1300, 1600, 1900]), (9000, [1200], [1500, 1800]), (9000, [1200, 1450, 1700], [2000]),
    (1310, [1312], [1612, 1912]), (1310, [], [1340, 1640, 1940]), (1285, [], [1315, 1615, 1915]),
    (1335, [1337], [1300, 1637, 1937])])
def test_a_heartbeat_comes_when_no_sample_came_or_is_about_to(pings, next_cycle, samples, expected):
    assert pings(next_cycle, samples) == pytest.approx(expected, abs=0.1)


def test_a_machine_without_a_key_sends_no_heartbeat(pings):
    assert pings(9000, [], api_key="") == []


# clocks

@pytest.mark.parametrize("ahead, again", [(0, 3), (230, 3), (-230, 3), (250, 0), (-250, 0)])
def test_what_a_hub_has_is_compared_only_while_the_clocks_agree(make, fake_hub, monkeypatch, ahead, again):
    now = smon_agent.from_iso("2026-11-22T11:00:00.000Z")
    monkeypatch.setattr(smon_agent, "utc_now", lambda: now)
    sender = make().sender
    for number in range(1, 4):
        moment = "2026-11-22T10:00:0%d.000Z" % number
        sender._spool.add(number, moment, {"collected_at": moment})
    fake_hub.next("/api/metrics/batch", Reply(200, {"status": "ok", "results": [{"status": "ok"}] * 3}))
    assert sender.attempt() is True
    told = (now + datetime.timedelta(seconds=ahead)).isoformat()
    fake_hub.next("/api/ping", Reply(200, {"status": "ok", "server_time": told, "newest_at": None}))
    sender.hub.call(sender.hub.quick, "POST", "/api/ping", b"{}")
    assert len(sender._spool) == again


@pytest.mark.parametrize("ahead, status", [(200, 0), (-200, 0), (280, 1), (-280, 1)])
def test_the_check_fails_over_a_clock_that_is_four_minutes_off(config, fake_hub, without_watch, ahead, status):
    fake_hub.clock_ahead_seconds = ahead
    assert smon_agent.check(config(dict(IDENTITY, dashboard_url=fake_hub.url)), smon_agent.LogFile(), None) == status
