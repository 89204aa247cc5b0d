"""Two hubs in one process on one database, each with a clock of its own: what one does holds on the other.

They follow each other when a test says so, and not by themselves: what holds without that holds at the next request.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import threading
from types import SimpleNamespace

import pytest

from smon_hub import accounts, auth, clock, jobs, notify, peers, rollup, silence
from smon_hub.errors import HubError
from smon_hub.store import channels, events, outbox, series, services
from tests.hub import inside
from tests.hub.inside import HERE, PASSWORD, START, service
from tests.support.processes import LIVE, METRICS, until

COOL, HOT = dict(METRICS, cpu_percent=10.0), dict(METRICS, cpu_percent=99.0)
LONG = 3_600


@pytest.fixture
def start(postgres, tmp_path, monkeypatch):
    """Start one more hub on the database of the test."""
    monkeypatch.setattr(peers, "BEAT_SECONDS", LONG)
    monkeypatch.setattr(peers, "STEP_MS", 1 << 62)  # the tests' days are not those of the database's clock
    monkeypatch.setattr(auth, "PASSWORD_ROUNDS", 4)
    monkeypatch.setattr(peers, "STEP_MS", 1_000 * clock.DAY)  # the database has a clock of its own
    with postgres.database() as url, contextlib.ExitStack() as running:
        numbers = itertools.count(1)

        def start(at=START):
            folder = tmp_path / ("hub-%d" % next(numbers))
            return running.enter_context(inside.running(folder, "--database", url, at=at))
        yield start


@pytest.fixture
def pair(start, monkeypatch):
    """Two of them; the first one leads. The machine's clock moves with theirs."""
    made = start(), start()
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: made[0].now() / 1000))
    for hub in made:
        hub.silence = silence.Silence(hub.now())
    return made


@pytest.fixture(params=["leader decides", "other decides"])
def either(request, pair):
    return pair if request.param == "leader decides" else pair[::-1]


class Agent:
    """A server as its agent speaks for it, to whichever hub."""

    def __init__(self, hub, **fields):
        made = hub.register(**fields)
        self.id, self.key = made["server_id"], made["api_key"]

    @property
    def headers(self):
        return {"Authorization": "Bearer %s:%s" % (self.id, self.key)}

    def post(self, hub, path="/api/metrics", body=None):
        return hub.ask("POST", path, body, headers=self.headers)

    def send(self, hub, metrics=COOL, **members):
        answer = self.post(hub, body=dict(members, metrics=metrics))
        assert answer.status == 200, answer
        return answer.json

    def beat(self, hub):
        assert self.post(hub, "/api/ping").status == 200

    def of(self, hub):
        return hub.fleet.by_uuid[self.id]


def ask(hub, method, path, body=None, headers=None):
    """An admin on the hub's own machine, while nobody has an account."""
    answer = hub.ask(method, path, body, address=HERE, host="localhost", headers=headers)
    assert answer.status in (200, 201), answer
    return answer.json


def pass_time(hubs, milliseconds):
    for hub in hubs:
        hub.pass_time(milliseconds)


def follow(*hubs):
    """What one wrote before is known to all of them."""
    for hub in hubs * 2:
        hub.peers.follow()


# --- people, at the next request --------------------------------------------------------------------------------------

def status(hub, headers, method="GET", path="/api/dashboard", body=None):
    return hub.ask(method, path, body, headers=headers).status


def test_who_logged_in_on_one_is_known_to_the_other_until_logging_out_there(pair):
    one, two = pair
    session = one.user()
    assert (status(two, session), status(two, {"Cookie": "smon_session=x"})) == (200, 401)
    assert status(two, session, "DELETE", "/api/session") == 200
    assert status(one, session) == 401


@pytest.mark.parametrize("method, path, body", [
    ("PATCH", "/api/dashboard/users/bert", {"role": "viewer"}),
    ("PATCH", "/api/dashboard/users/bert", {"password": "another horse"}),
    ("DELETE", "/api/dashboard/users/bert", None)])
def test_whoever_is_changed_or_removed_on_one_is_out_of_the_other(pair, method, path, body):
    one, two = pair
    admin, session = one.user("anna"), one.user("bert")
    assert status(two, session) == 200
    assert status(one, admin, method, path, body) == 200
    assert status(two, session) == 401


def test_a_changed_password_holds_on_the_other_and_the_old_one_does_not(pair):
    one, two = pair
    session = one.user()
    assert status(two, session) == 200
    assert status(one, session, "PATCH", "/api/session", {
        "old_password": PASSWORD, "new_password": "another horse"}) == 200
    statuses = [two.ask("POST", "/api/session", {"username": "anna", "password": password}).status
                for password in (PASSWORD, "another horse")]
    assert statuses == [401, 200]


def test_a_token_opens_the_other_hub_until_it_is_revoked(pair):
    one, two = pair
    admin = one.user()
    made = one.ask("POST", "/api/dashboard/tokens", {"name": "script", "role": "viewer"}, headers=admin).json
    token = {"Authorization": "Bearer " + made["token"]}
    assert status(two, token) == 200
    assert status(one, admin, "DELETE", "/api/dashboard/tokens/%d" % made["id"]) == 200
    assert status(two, token) == 401


def test_a_registration_token_with_one_use_is_used_once_by_both_together(pair):
    one, two = pair
    made = ask(one, "POST", "/api/dashboard/registration", {"name": "rack", "uses": 1})
    body = {"hostname": "web", "ip_address": "192.0.2.7", "os_info": "Linux",
            "registration_token": made["registration_token"]}
    assert [hub.ask("POST", "/api/register", body).status for hub in (two, one)] == [201, 401]


def meet(monkeypatch, name):
    """Let two hubs get to the same step of their transactions, if both can be in one; who is alone waits a second."""
    together, step = threading.Barrier(2), getattr(accounts, name)

    def wait(*given):
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(1)
        return step(*given)
    monkeypatch.setattr(accounts, name, wait)


def test_of_two_first_accounts_at_once_one_is_made_and_neither_code_makes_another(pair, monkeypatch):
    said = {}
    for hub in pair:
        hub.begin()
    meet(monkeypatch, "_check_new")

    def set_up(hub, name):
        body = {"code": hub.setup_code, "username": name, "password": PASSWORD}
        said[name] = hub.ask("POST", "/api/setup", body).status
    threads = [threading.Thread(target=set_up, args=pairing) for pairing in zip(pair, ("anna", "bert"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(said.values()) == [201, 409]
    assert pair[0].rows("SELECT name FROM users") == [(name,) for name in said if said[name] == 201]
    for hub in pair:
        body = {"code": hub.setup_code or "x", "username": "eve", "password": PASSWORD}
        assert hub.ask("POST", "/api/setup", body).status == 403
        assert not hub.setup_code


def test_two_who_take_each_others_rights_at_once_leave_an_admin(pair, monkeypatch):
    for name in ("anna", "bert"):
        pair[0].user(name)
    for hub in pair:
        hub.peers.catch_up()
    meet(monkeypatch, "_keep_an_admin")

    def demote(hub, name):
        with contextlib.suppress(HubError):
            accounts.change_user(hub, auth.Caller("admin", HERE, None, "x", "local"), name, {"role": "viewer"},
                                 hub.now())
    threads = [threading.Thread(target=demote, args=pairing) for pairing in zip(pair, ("anna", "bert"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(role for role, in pair[0].rows("SELECT role FROM users")) == ["admin", "viewer"]


# --- agents, at the next request --------------------------------------------------------------------------------------

AGENT_CALLS = [("/api/metrics", {"metrics": COOL}), ("/api/metrics/batch", {"payloads": [{"metrics": COOL}]}),
               ("/api/metrics/live", LIVE), ("/api/ping", None)]


def test_an_agent_is_known_to_both_until_its_key_is_rotated_or_it_is_removed(pair):
    one, two = pair
    for path, body in AGENT_CALLS:
        agent = Agent(one)
        assert [agent.post(hub, path, body).status for hub in (two, one, two)] == [200] * 3  # by heart at the end
        stale = copy.copy(agent)
        agent.key = ask(one, "POST", "/api/dashboard/server/%s/rotate-key" % agent.id)["api_key"]
        assert agent.post(two, path, body).status == 200
        assert [stale.post(hub, path, body).status for hub in (two, one)] == [401, 401]
        ask(one, "DELETE", "/api/dashboard/server/%s" % agent.id)
        assert [agent.post(hub, path, body).status for hub in (two, one)] == [401, 401]


def test_a_rotated_key_is_refused_by_a_hub_that_knew_the_old_one_by_heart_and_has_not_looked_since(pair):
    one, two = pair
    agent = Agent(one)
    agent.send(two)
    ask(one, "POST", "/api/dashboard/server/%s/rotate-key" % agent.id)
    assert [agent.post(two, path, body).status for path, body in AGENT_CALLS] == [401] * 4
    assert len(one.rows("SELECT id FROM samples")) == 1


def test_a_removed_server_is_gone_from_the_other_and_what_it_left_is_swept_once(pair):
    one, two = pair
    agent = Agent(one)
    agent.send(two)
    path = "/api/dashboard/server/%s" % agent.id
    assert ask(two, "GET", path)["server"]["id"] == agent.id
    ask(one, "DELETE", path)
    assert two.ask("GET", path, address=HERE, host="localhost").status == 404
    assert ask(two, "GET", "/api/dashboard")["servers"] == []
    for hub in pair:
        hub.jobs.sweep()
    assert one.rows("SELECT (SELECT COUNT(*) FROM samples) + (SELECT COUNT(*) FROM removals)") == [(0,)]


def test_a_server_that_is_changed_or_approved_on_one_is_so_on_the_other(pair):
    one, two = pair
    answer = one.ask("POST", "/api/register", {"hostname": "new", "ip_address": "192.0.2.7", "os_info": "Linux"})
    path = "/api/dashboard/server/%s" % answer.json["server_id"]
    assert ask(two, "GET", path)["server"]["flags"] == ["pending", "waiting"]
    ask(one, "PATCH", path, {"display_name": "Shop", "approved": True})
    shown = ask(two, "GET", path)["server"]
    assert (shown["display_name"], shown["flags"]) == ("Shop", ["waiting"])
    ask(two, "PATCH", path, {"notes": "in the cellar"})
    shown = ask(one, "GET", path)["server"]
    assert (shown["display_name"], shown["notes"]) == ("Shop", "in the cellar")


def test_settings_for_an_agent_wait_on_the_other_hub_and_are_taken_there(pair):
    one, two = pair
    agent = Agent(one)
    agent.send(two)
    ask(one, "POST", "/api/dashboard/server/%s/config" % agent.id, {"collection_interval_minutes": 7})
    found = two.ask("GET", "/api/config/" + agent.id, headers=agent.headers).json
    assert found["has_update"] and found["config"]["collection_interval_minutes"] == 7
    assert agent.send(two)["config_pending"] is True
    taken = {"revision": found["revision"], "status": "applied"}
    assert agent.post(two, "/api/config/" + agent.id, taken).status == 200
    assert one.ask("GET", "/api/config/" + agent.id, headers=agent.headers).json["has_update"] is False


# --- what people decide -----------------------------------------------------------------------------------------------

def test_settings_hold_on_the_other(pair):
    one, two = pair
    ask(one, "PATCH", "/api/dashboard/settings", {"stale_threshold_minutes": 33, "registration_mode": "closed"})
    assert ask(two, "GET", "/api/dashboard/settings")["settings"]["stale_threshold_minutes"] == 33
    body = {"hostname": "late", "ip_address": "192.0.2.7", "os_info": "Linux"}
    assert two.ask("POST", "/api/register", body).status == 403
    ask(two, "PATCH", "/api/dashboard/settings", {"stale_threshold_minutes": 44})
    shown = ask(one, "GET", "/api/dashboard/settings")["settings"]
    assert (shown["stale_threshold_minutes"], shown["registration_mode"]) == (44, "closed")


def test_rules_of_a_group_hold_on_the_other(pair):
    one, two = pair
    ask(one, "POST", "/api/dashboard/rules", {"group": "Shop", "alert_cpu_threshold": 50})
    assert ask(two, "GET", "/api/dashboard/rules")["rules"] == {"Shop": {"alert_cpu_threshold": 50}}
    agent = Agent(two, group_name="Shop")
    agent.send(two, dict(METRICS, cpu_percent=60.0))
    assert len(events.current(one.engine.read(), agent.of(two).row["id"])) == 1
    ask(two, "POST", "/api/dashboard/rules", {"group": "Shop"})
    assert ask(one, "GET", "/api/dashboard/rules")["rules"] == {}


def test_maintenance_holds_on_the_other_from_its_beginning_to_its_removal(pair):
    one, two = pair
    agent = Agent(one)
    agent.send(two)
    window = ask(one, "POST", "/api/dashboard/maintenance", {
        "name": "Patches", "scope": "all", "kind": "once", "starts_at": clock.iso(one.now()), "minutes": 60})["window"]
    assert [row["id"] for row in ask(two, "GET", "/api/dashboard/maintenance")["windows"]] == [window["id"]]
    assert agent.of(two).maintenance
    ask(two, "DELETE", "/api/dashboard/maintenance/%d" % window["id"])
    assert ask(one, "GET", "/api/dashboard/maintenance")["windows"] == []
    assert not agent.of(one).maintenance


def test_an_alert_that_is_acknowledged_on_one_is_so_on_the_other(pair):
    one, two = pair
    agent = Agent(one)
    agent.send(one, HOT)
    alert, = ask(two, "GET", "/api/dashboard/alerts")["alerts"]
    ask(two, "PATCH", "/api/dashboard/alerts", {"alert_id": alert["id"], "action": "acknowledge"})
    assert ask(one, "GET", "/api/dashboard/alerts")["alerts"] == []
    follow(one, two)
    assert agent.of(one).tally[:3] == agent.of(two).tally[:3]


# --- one look behind --------------------------------------------------------------------------------------------------

def shown(hub, view):
    answer = ask(hub, "GET", "/api/dashboard?view=" + view)
    answer.pop("now", None)
    return answer


def test_after_one_look_both_show_the_same(pair):
    one, two = pair
    agents = [Agent(hub, group_name=group) for hub, group in zip((one, two) * 3, ("Shop", "Office") * 3)]
    pass_time(pair, clock.MINUTE)
    for number, agent in enumerate(agents):
        agent.send((two, one)[number % 2], HOT if number % 3 == 0 else COOL, services=[service("web")])
        pass_time(pair, clock.SECOND)
    agents[0].beat(two)
    agents[1].beat(one)
    ask(one, "DELETE", "/api/dashboard/server/%s" % agents[2].id)
    ask(two, "PATCH", "/api/dashboard/server/%s" % agents[3].id, {"display_name": "Till"})
    follow(one, two)
    for view in ("cards", "whole", "summary"):
        assert shown(one, view) == shown(two, view)
    assert len(shown(one, "cards")["rows"]) == 5


def test_a_hub_that_starts_later_shows_the_same(pair, start):
    agent = Agent(pair[0])
    agent.send(pair[0])
    agent.send(pair[1], HOT, collected_at=clock.iso_ms(pair[0].now() - 1))
    pass_time(pair, clock.SECOND)
    agent.send(pair[1], HOT)
    follow(*pair)
    third = start(pair[0].now())
    assert shown(third, "whole") == shown(pair[0], "whole")


# --- samples that go now here, now there ------------------------------------------------------------------------------

@pytest.fixture
def telling(pair):
    """Both hubs with a channel that keeps what it is to be told: `told(agent)`."""
    ask(pair[0], "POST", "/api/dashboard/channels", {
        "kind": "webhook", "name": "all", "severities": ["info", "warning", "critical"],
        "config": {"url": "http://127.0.0.1:1/"}})

    def told(agent):
        found = pair[0].rows("SELECT content FROM outbox ORDER BY id")
        messages = [json.loads(content) for content, in found]
        return [message["event"] for message in messages if (message["server"] or {}).get("uuid") == agent.id]
    return told


def steps(hub, agent):
    """What became of its alerts, in order."""
    return [event for event, in hub.rows(
        "SELECT e.event FROM alert_events e JOIN servers s ON s.id = e.server WHERE s.uuid = ? ORDER BY e.id",
        agent.id)]


def test_an_alert_that_needs_three_samples_opens_and_ends_once_whichever_hub_gets_which(pair, telling):
    ask(pair[0], "PATCH", "/api/dashboard/settings", {"alert_for_samples": 3, "alert_clear_samples": 2})
    ways = list(itertools.product((0, 1), repeat=6))
    agents = [Agent(pair[way[0]]) for way in ways]
    follow(*pair)
    for step, metrics in enumerate([HOT, HOT, HOT, HOT, COOL, COOL]):
        pass_time(pair, clock.MINUTE)
        for agent, way in zip(agents, ways):
            assert steps(pair[0], agent) == (["opened"] if step > 2 else []), (way, step)
            agent.send(pair[way[step]], metrics)
    for agent, way in zip(agents, ways):
        assert steps(pair[0], agent) == telling(agent) == ["opened", "recovered"], way
    follow(*pair)
    for hub in pair:
        assert all(agent.of(hub).tally.active == 0 and not agent.of(hub).tally.watched for agent in agents)


def test_samples_that_come_to_both_at_once_open_one_alert(pair, telling):
    agents = [Agent(pair[0]) for _ in range(20)]
    follow(*pair)
    together = threading.Barrier(2)

    def send(hub, before):
        for agent in agents:
            together.wait(30)
            agent.send(hub, HOT, collected_at=clock.iso_ms(hub.now() - before))
    threads = [threading.Thread(target=send, args=[hub, before]) for before, hub in enumerate(pair)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for agent in agents:
        assert steps(pair[0], agent) == telling(agent) == ["opened"]
    assert pair[0].rows("SELECT COUNT(*) FROM samples") == [(40,)]


def test_the_same_sample_sent_to_both_at_once_is_stored_once_and_told_to_be_there(pair):
    agents = [Agent(pair[0]) for _ in range(20)]
    follow(*pair)
    together, answers = threading.Barrier(2), []

    def send(hub):
        for number, agent in enumerate(agents):
            together.wait(30)
            answers.append((number, agent.send(hub, collected_at=clock.iso_ms(hub.now()))["stored"]))
    threads = [threading.Thread(target=send, args=[hub]) for hub in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answers) == sorted((number, stored) for number in range(20) for stored in (False, True))
    assert pair[0].rows("SELECT COUNT(*) FROM samples") == [(20,)]


def test_an_older_sample_that_reaches_the_other_hub_later_does_not_become_the_newest(pair):
    one, two = pair
    agent = Agent(one)
    pass_time(pair, clock.MINUTE)
    agent.send(one, dict(METRICS, cpu_percent=50.0))
    agent.send(two, COOL, collected_at=clock.iso_ms(two.now() - 30_000))
    follow(one, two)
    for hub in pair:
        assert agent.of(hub).sample.card[0] == 50.0
    assert one.rows("SELECT newest_sample FROM servers") == one.rows("SELECT id FROM samples WHERE cpu_percent = 50")


def kept_services(hub, agent):
    return {row["service_name"]: row["status"] for row in services.of(hub.engine.read(), agent.of(hub).row["id"])}


RUNNING, STOPPED = [service("web"), service("db")], [service("web", "stopped"), service("db")]


def test_services_end_up_right_whichever_hub_gets_which(pair):
    ways = list(itertools.product((0, 1), repeat=4))
    agents = [Agent(pair[0]) for _ in ways]
    for step, listed in enumerate((RUNNING, STOPPED, RUNNING, STOPPED)):
        follow(*pair)
        pass_time(pair, clock.MINUTE)
        for agent, way in zip(agents, ways):
            agent.send(pair[way[step]], services=listed)
            assert kept_services(pair[0], agent) == {row["service_name"]: row["status"] for row in listed}, way
    changes = pair[0].rows("SELECT server, was, became FROM service_changes ORDER BY server, id")
    there_and_back = [("running", "stopped"), ("stopped", "running"), ("running", "stopped")]
    assert [change[1:] for change in changes] == there_and_back * len(ways)


def test_services_that_another_hub_wrote_in_the_moment_before_are_right_after_the_next_sample(pair):
    one, two = pair
    agent = Agent(one)
    for hub, listed in ((one, RUNNING), (two, STOPPED), (one, RUNNING), (one, RUNNING)):
        pass_time(pair, clock.SECOND)
        agent.send(hub, services=listed)
    assert kept_services(one, agent) == {"web": "running", "db": "running"}


# --- signs of life ----------------------------------------------------------------------------------------------------

def test_a_heartbeat_that_one_heard_counts_for_the_sweep_of_the_other(either):
    one, two = either
    agent = Agent(one)
    agent.send(one)
    for _ in range(12):
        pass_time(either, 5 * clock.MINUTE)
        agent.beat(one)
        follow(one, two)
        two.jobs.listen()
    assert steps(one, agent) == []
    pass_time(either, clock.HOUR)
    follow(one, two)
    two.jobs.listen()
    assert steps(one, agent) == ["opened"]


def test_a_server_that_fell_silent_is_missed_once_by_both_and_is_back_with_a_sample_to_either(either, telling):
    one, two = either
    agent = Agent(one)
    agent.send(one)
    follow(one, two)
    pass_time(either, clock.HOUR)
    for hub in either:
        hub.jobs.listen()
    assert steps(one, agent) == ["opened"]
    agent.send(two)
    for hub in either:
        hub.jobs.listen()
    assert steps(one, agent) == telling(agent) == ["opened", "recovered"]


def test_a_sample_that_the_other_hub_stored_while_the_sweep_was_under_way_is_seen(pair):
    one, two = pair
    agent = Agent(one)
    agent.send(one)
    follow(one, two)
    pass_time(pair, clock.HOUR)
    agent.send(one)  # two has not looked since
    two.jobs.listen()
    assert steps(one, agent) == []


def test_what_could_not_be_told_to_the_others_is_told_later(pair, monkeypatch):
    one, two = pair
    agent = Agent(one)
    agent.send(one)
    pass_time(pair, clock.MINUTE)
    agent.beat(one)
    with monkeypatch.context() as patch:
        patch.setattr(one.engine, "write", lambda *given: [][0])
        with pytest.raises(IndexError):
            one.peers.follow()
    follow(one, two)
    assert agent.of(two).last_seen_at == agent.of(one).last_seen_at == one.now()


def test_an_outage_of_the_database_is_nobody_s_silence(pair, monkeypatch):
    one, two = pair
    agent = Agent(one)
    agent.send(one)
    pass_time(pair, clock.HOUR)
    one.peers._answered -= peers.AWAY_SECONDS + 1
    one.peers._note_answer()
    one.jobs.listen()
    assert steps(one, agent) == []
    pass_time(pair, clock.HOUR)
    one.peers._note_answer()  # it was there all the time
    one.jobs.listen()
    assert steps(one, agent) == ["opened"]


# --- the common work --------------------------------------------------------------------------------------------------

def leading(hubs):
    return [[hub.peers.leads(lease) for hub in hubs] for lease in peers.LEASES]


def test_the_first_hub_does_the_common_work_and_the_second_takes_over_at_once_when_it_stops(pair):
    one, two = pair
    assert leading(pair) == [[True, False], [True, False]]
    two.peers._renew()
    assert leading(pair) == [[True, False], [True, False]]
    one.peers.stop()
    two.peers._renew()
    assert two.peers.leads(peers.JOBS) and two.peers.leads(peers.DELIVERY)
    assert one.rows("SELECT DISTINCT holder FROM leases") == [(two.peers.name,)]


def test_a_lease_goes_over_by_the_database_s_clock_and_never_belongs_to_two(start, monkeypatch):
    monkeypatch.setattr(peers, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(peers, "MARGIN_SECONDS", 0.3)
    one = start()
    two = start()
    pass_time([one], 10 * clock.DAY)  # a hub's own clock is no matter

    def taken():
        two.peers._renew()
        held = leading([one, two])
        assert all(sum(hubs) <= 1 for hubs in held), held
        return held == [[False, True], [False, True]]
    assert not taken()
    until(taken, "The other hub's turn", 10)
    one.peers._renew()
    assert not one.peers.leads(peers.JOBS)


def test_a_lease_that_is_renewed_in_time_stays_where_it_is(start, monkeypatch):
    monkeypatch.setattr(peers, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(peers, "MARGIN_SECONDS", 0.3)
    one = start()
    two = start()
    first = one.rows("SELECT MIN(until) FROM leases")[0][0]

    def beyond():
        for hub in (one, two):
            hub.peers._renew()
        assert not two.peers.leads(peers.JOBS)
        return one.engine.read().moment() > first + 1_000
    until(beyond, "The end of the first lease", 10)
    assert one.peers.leads(peers.JOBS)


def test_a_hub_whose_clock_is_wrong_does_no_work_for_all(start, monkeypatch):
    monkeypatch.setattr(peers, "STEP_MS", 30 * clock.SECOND)
    wrong = start(clock.now() + clock.HOUR)
    right = start(clock.now())
    assert leading([wrong, right]) == [[False, True], [False, True]]


def test_jobs_for_all_are_done_by_the_hub_that_leads_and_the_others_by_each(start, monkeypatch):
    done = []
    monkeypatch.setattr(jobs, "JOBS", (
        jobs.Job("own", 0.02, lambda self: done.append(("own", self._hub)), for_all=False),
        jobs.Job("common", 0.02, lambda self: done.append(("common", self._hub)))))
    one = start()
    two = start()
    until(lambda: done.count(("own", two)) > 5 and done.count(("common", one)) > 5, "Some rounds")
    assert ("common", two) not in done and ("own", one) in done
    one.peers.stop()
    two.peers._renew()
    until(lambda: done.count(("common", two)) > 5, "The same on the other hub")


def test_messages_are_taken_out_by_the_hub_that_leads_alone(pair, monkeypatch):
    sent = []
    monkeypatch.setattr(notify, "BEAT_SECONDS", LONG)
    for hub in pair:
        monkeypatch.setattr(hub.delivery, "_serve", lambda channel, hub=hub: sent.append(hub))
    one, two = pair
    one.engine.write(lambda db: channels.add(db, {
        "kind": "webhook", "name": "w", "enabled": True, "severities": ["critical"], "group_names": [],
        "escalation": False, "config": {"url": "http://127.0.0.1:1/"}}))
    Agent(one).send(one, HOT)
    two.delivery._dispatch()
    assert sent == []
    one.delivery._dispatch()
    until(lambda: sent, "A courier")
    assert sent == [one]


def test_a_message_on_its_way_when_a_hub_ended_is_sent_by_the_one_that_takes_over(pair, monkeypatch):
    sent = []
    monkeypatch.setattr(notify.Delivery, "_sent", lambda self, key, send: sent.append(self._hub) or "")
    one, two = pair
    ask(one, "POST", "/api/dashboard/channels", {"kind": "webhook", "name": "w", "severities": ["critical"],
                                                 "config": {"url": "http://127.0.0.1:1/"}})
    Agent(one).send(one, HOT)
    channel, = outbox.busy(one.engine.read())
    one.engine.write(lambda db: outbox.claim(db, outbox.waiting(db, channel), one.now(), one.peers.name))
    one.peers.stop()
    two.peers._renew()
    assert two.delivery._lead()
    two.delivery.work_off()
    assert sent == [two]
    assert one.rows("SELECT outcome, claimed_at FROM outbox") == [("sent", None)]


def test_a_message_that_two_hubs_would_send_is_claimed_by_one(pair):
    one, two = pair
    ask(one, "POST", "/api/dashboard/channels", {"kind": "webhook", "name": "w", "severities": ["critical"],
                                                 "config": {"url": "http://127.0.0.1:1/"}})
    Agent(one).send(one, HOT)
    channel, = outbox.busy(one.engine.read())
    rows = outbox.waiting(one.engine.read(), channel)
    one.engine.write(lambda db: outbox.claim(db, rows, one.now()))
    with pytest.raises(outbox.Taken):
        two.engine.write(lambda db: outbox.claim(db, rows, two.now()))


# --- roll-ups ---------------------------------------------------------------------------------------------------------

def rolled(hub):
    return hub.rows("SELECT COALESCE(SUM(samples), 0) FROM rollups WHERE step = 600")[0][0]


def test_a_roll_up_misses_no_sample_that_is_committed_after_one_with_a_higher_id(pair, monkeypatch):
    one, two = pair
    slow, quick = Agent(one), Agent(one)
    follow(one, two)
    numbered, commit = threading.Event(), threading.Event()
    add = series.add

    def wait(db, arrivals):
        places = add(db, arrivals)
        if arrivals[0].values[0] == slow.of(one).row["id"]:
            numbered.set()
            assert commit.wait(30)
        return places
    monkeypatch.setattr(series, "add", wait)
    late = threading.Thread(target=slow.send, args=[one])
    late.start()
    try:
        assert numbered.wait(30)
        quick.send(two)
        two.jobs.roll_up()
        assert rolled(two) == 0  # another one may still come before it
    finally:
        commit.set()
        late.join(30)
    ids = two.rows("SELECT s.id FROM samples s JOIN servers v ON v.id = s.server ORDER BY v.id")
    assert ids == sorted(ids) and len(ids) == 2  # the slow one's is the lower
    monkeypatch.setattr(rollup, "SETTLING_MS", 0)
    two.jobs.roll_up()
    assert rolled(two) == 2
    one.jobs.roll_up()
    assert rolled(one) == 2
