"""Several addresses of hubs with one database: which is asked, when another is, and that no sample notices."""

from __future__ import annotations

import json
import socket

import pytest

import smon_agent
from tests.agent import fake_hub as hubs
from tests.agent.fake_hub import API_KEY, SERVER_ID, FakeHub, Reply, refusal, store_then_reset
from tests.agent.test_command_line import called
from tests.support.processes import until

KNOWN = {"server_id": SERVER_ID, "api_key": API_KEY}
PAGE = b"<html>Bad gateway</html>"


@pytest.fixture
def pair():
    """Two hubs with one database."""
    with FakeHub() as first, FakeHub() as second:
        second.samples, second.stored_twice, second.lock = first.samples, first.stored_twice, first.lock
        yield first, second


def urls(pair) -> list:
    return [hub.url for hub in pair]


def spooled(agent) -> list:
    return list(agent.directory.glob("spool/*.gz"))


def assert_all_arrived_once(agent, pair) -> None:
    """Nothing waits, and what this agent ever took is in the database once."""
    until(lambda: not spooled(agent), "An empty spool; it said: " + agent.log)
    kept = {path.name[13:31] for path in agent.directory.glob("sent/*.gz")}
    assert kept <= {smon_agent.taken_text(moment) for moment in pair[0].samples}
    assert pair[0].stored_twice == [] and not list(agent.directory.glob("rejected/*"))
    sequences = sorted(sample["agent"]["sequence"] for sample in pair[0].samples.values())
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


def test_the_next_address_is_asked_when_the_first_is_down(start, pair):
    first, second = pair
    first.stop()
    agent = start(dashboard_url=urls(pair), live_enabled=True, live_interval_seconds=5)
    until(lambda: len(second.samples) >= 4 and second.live, "Samples and a live one at the second address")
    assert len(second.calls("/api/register")) == 1 and agent.config["server_id"] == SERVER_ID
    assert "The hub at %s can not be reached: " % first.url in agent.log
    assert "Going on with %s." % second.url in agent.log
    assert_all_arrived_once(agent, pair)


def test_the_first_address_is_asked_again_after_a_while(start, pair):
    first, second = pair
    first.stop()
    agent = start(dashboard_url=urls(pair))
    until(lambda: len(second.samples) >= 2, "Samples at the second address")
    first.start()
    until(lambda: len(first.sent()) >= 3, "Samples at the first address")
    count = len(second.requests)
    until(lambda: len(first.sent()) >= 8, "More samples at the first address")
    assert len(second.requests) == count
    assert_all_arrived_once(agent, pair)


@pytest.mark.parametrize("back", [0, 1], ids=["first", "second"])
def test_an_outage_of_both_leaves_no_hole(start, pair, back):
    agent = start(dashboard_url=urls(pair), offline_buffer_max=1000)
    until(lambda: len(pair[0].samples) >= 2, "Samples before the outage")
    for hub in pair:
        hub.stop()
    until(lambda: len(spooled(agent)) >= 4, "Samples that wait")
    pair[back].start()
    count = len(pair[0].samples)
    until(lambda: len(pair[0].samples) >= count + 5, "The samples that waited")
    assert_all_arrived_once(agent, pair)


AWAY = {"busy": refusal(503, "Storage is away.", Retry_After="60"), "proxy-502": Reply(502, PAGE),
        "proxy-503": Reply(503, PAGE), "proxy-504": Reply(504, PAGE), "500": refusal(500), "silence": hubs.silence,
        "reset": hubs.reset, "garbage": hubs.garbage, "dribble": hubs.dribble, "portal": Reply(200, b"<html>Log in")}


@pytest.mark.parametrize("trouble", AWAY.values(), ids=AWAY)
def test_an_address_that_gives_no_hubs_answer_is_left_for_the_next(start, pair, trouble):
    first, second = pair
    for path in ("/api/metrics", "/api/metrics/batch", "/api/ping"):
        first.always(path, trouble)
    agent = start(dashboard_url=urls(pair), minute_seconds=0.2, **KNOWN)
    until(lambda: len(second.samples) >= 3, "Samples at the second address; it said: " + agent.log)
    assert "Going on with %s." % second.url in agent.log
    assert_all_arrived_once(agent, pair)


ANSWERS = {"slow down": refusal(429, Retry_After="60"), "stranger": refusal(401), "locked out": refusal(403)}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_hub_that_answers_is_believed_and_no_other_is_asked(start, pair, answer):
    first, second = pair
    first.always("/api/metrics", answer)
    agent = start(dashboard_url=urls(pair), **KNOWN)
    until(lambda: len(spooled(agent)) >= 3, "Samples that wait")
    assert first.calls("/api/metrics") and second.requests == []


def test_one_refused_sample_is_refused_by_all(start, pair):
    first, second = pair
    first.next("/api/metrics", refusal(400, "cpu_percent must be a number."))
    agent = start(dashboard_url=urls(pair), **KNOWN)
    until(lambda: len(first.samples) >= 2, "Later samples")
    assert len(list(agent.directory.glob("rejected/*"))) == 1 and second.requests == []


def test_hubs_that_are_all_busy_are_left_alone_as_long_as_they_ask(start, pair):
    for hub, seconds in zip(pair, ("60", "1")):
        hub.always("/api/metrics", refusal(503, Retry_After=seconds))
    agent = start(dashboard_url=urls(pair), **KNOWN)
    until(lambda: pair[1].calls("/api/metrics"), "A try at both")
    counts = [len(hub.requests) for hub in pair]
    until(lambda: len(spooled(agent)) >= 6, "Samples that wait")
    assert [len(hub.requests) for hub in pair] == counts  # no heartbeat either


def test_a_list_counts_without_a_restart_and_keeps_the_key(start, pair):
    first, second = pair
    first.stop()
    agent = start(dashboard_url=first.url, **KNOWN)
    until(lambda: len(spooled(agent)) >= 2, "Samples that wait")
    without = {key: value for key, value in agent.config.items() if key not in KNOWN}
    agent.config_path.write_text(json.dumps(dict(without, dashboard_url=urls(pair))))
    until(lambda: len(second.samples) >= 3, "The samples at the second address")
    assert agent.config["dashboard_url"] == urls(pair)
    assert {key: agent.config[key] for key in KNOWN} == KNOWN and not second.calls("/api/register")
    agent.config_path.write_text(json.dumps(dict(agent.config, dashboard_url=[second.url, "ftp://hub"])))
    count = len(second.samples)
    until(lambda: len(second.samples) >= count + 3, "Samples although the list is not usable")
    assert agent.log.count("dashboard_url must be an http:// or https:// address.") == 1
    assert_all_arrived_once(agent, pair)


def test_it_ends_at_once_and_asks_no_further_address(start, pair):
    first, second = pair
    for hub in pair:
        hub.always("/api/metrics", hubs.silence)
    agent = start(dashboard_url=urls(pair), request_timeout_seconds=300, ping_enabled=False, **KNOWN)
    until(lambda: first.requests, "A first request")
    assert agent.stop() == 0 and second.requests == []


@pytest.mark.parametrize("content, sentence", [
    ([], "dashboard_url must be a list of 1 to 8 entries."),
    (["http://hub", "hub:3000"], "dashboard_url must be an http:// or https:// address.")])
def test_a_list_that_can_not_be_used_is_refused_by_name(tmp_path, content, sentence):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"dashboard_url": content}))
    ended = called(path, "--once")
    assert (ended.returncode, ended.stderr) == (2, "smon_agent: %s\n" % sentence)


def test_several_addresses_on_the_command_line_become_a_list(tmp_path, pair):
    pair[0].stop()
    path = tmp_path / "new.json"
    ended = called(path, "--url", ",".join(urls(pair)), "--register")
    assert ended.stdout == "Registered with %s as %s.\n" % (pair[1].url, SERVER_ID), ended.stderr
    assert json.loads(path.read_text())["dashboard_url"] == urls(pair)
    assert called(path, "--url", "http://one,two", "--register").returncode == 2


def test_check_looks_at_each_address(tmp_path, pair):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(dict(KNOWN, dashboard_url=urls(pair))))
    both = called(path, "--check")
    assert both.returncode == 0 and [line.split(":")[0] for line in both.stdout.splitlines()] == [
        "Config", "Hub", "Key", "Clock", "Hub", "Key", "Clock"]
    pair[0].stop()
    one = called(path, "--check")
    lines = one.stdout.splitlines()
    assert one.returncode == 1 and lines[1].startswith("Failed: The hub at %s can not be reached" % pair[0].url)
    assert lines[2] == "Hub: %s answers." % pair[1].url


# the line of addresses, in this process

@pytest.fixture
def hub_of(config):
    """A hub as an agent knows it: hub_of(["http://one", "http://two"], request_timeout_seconds=8)."""
    def made(addresses: list, **given) -> smon_agent.Hub:
        loaded = config(dict({"dashboard_url": addresses}, **given))
        hub = smon_agent.Hub(loaded, lambda *_: None)
        hub.follow(loaded.now)
        return hub
    return made


@pytest.fixture
def clock(monkeypatch):
    now = {"now": 1000.0}
    monkeypatch.setattr(smon_agent.time, "monotonic", lambda: now["now"])
    return now


THREE = ["http://one", "http://two", "http://three"]


def asked(hub, *down) -> list:
    """The addresses that one request tries while these are down."""
    tried = []

    def ask(door, seconds):
        tried.append(door.address)
        if door.address in down:
            raise ConnectionRefusedError(111, "Connection refused")
        return "yes"
    assert hub.reach(ask) == "yes"
    return tried


def test_it_stays_with_the_address_that_answered(hub_of, clock):
    hub = hub_of(THREE)
    assert asked(hub) == ["http://one"]
    assert asked(hub, "http://one") == ["http://one", "http://two"]
    assert asked(hub) == ["http://two"]
    assert asked(hub, "http://two") == ["http://two", "http://three"]
    assert asked(hub) == ["http://three"]
    assert asked(hub, "http://three") == ["http://three", "http://one"]


def test_it_comes_back_to_the_first_within_half_an_hour_and_not_before_a_quarter(hub_of, clock):
    hub = hub_of(THREE)
    for _ in range(3):
        assert asked(hub, "http://one") == ["http://one", "http://two"]
        clock["now"] += 15 * 60 - 1
        assert asked(hub) == ["http://two"]
        clock["now"] += 15 * 60 + 2
    assert asked(hub) == asked(hub) == ["http://one"]


def test_agents_that_lost_an_address_together_do_not_return_together(hub_of, clock, monkeypatch):
    moments = set()
    for _ in range(40):
        hub = hub_of(THREE)
        asked(hub, "http://one")
        moments.add(hub._home_at)
    assert len(moments) > 20


def test_an_address_that_asks_for_a_long_wait_gets_it(hub_of, clock):
    hub = hub_of(THREE)

    def ask(door, seconds):
        if door.address == "http://one":
            raise smon_agent.HubError("The hub answered 503: Busy.", smon_agent.AWAY, 3600)
        return "yes"
    assert hub.reach(ask) == "yes"
    assert hub.quiet_until < clock["now"]  # the others may be asked
    clock["now"] += 3599
    assert asked(hub) == ["http://two"]
    clock["now"] += 2
    assert asked(hub) == ["http://one"]


@pytest.mark.parametrize("spent, shares", [(1.0, [2, 2, 2, 2]), (0.0, [2, 8 / 3, 4, 8]), (2.0, [2, 4 / 3, 2 / 3, 0.1])])
def test_all_tries_together_take_no_longer_than_one_request_may(hub_of, clock, spent, shares):
    """Tries that take their share, none of it, and twice of it: a watchdog cuts those a moment late."""
    hub, given = hub_of(["http://hub%d" % number for number in range(4)], request_timeout_seconds=8), []

    def ask(door, seconds):
        given.append(seconds)
        clock["now"] += spent * seconds
        raise socket.timeout("timed out")
    with pytest.raises(smon_agent.HubError, match="hub0 .*hub1 .*hub2 .*hub3 "):
        hub.reach(ask)
    assert given == pytest.approx(shares)


def test_a_registration_is_tried_at_one_address_a_time(hub_of, pair):
    """A lost answer may have been a yes: the other hub would make a second server of this machine."""
    first, second = pair
    hub = hub_of(urls(pair))
    first.next("/api/register", store_then_reset)
    with pytest.raises(smon_agent.HubError):
        smon_agent.register(hub, hub._config)
    assert (len(first.calls("/api/register")), len(second.calls("/api/register"))) == (1, 0)
    smon_agent.register(hub, hub._config)
    assert (len(first.calls("/api/register")), len(second.calls("/api/register"))) == (1, 1)


def test_each_address_over_plain_http_is_warned_about(hub_of, monkeypatch):
    said = []
    monkeypatch.setattr(smon_agent.log, "warning", lambda text, *words: said.append(text % words))
    hub_of(["http://one.example", "https://two.example", "http://localhost"])
    assert said == ["http://one.example is plain http: the key and the figures can be read on the way."]
