"""Two hubs behind nginx, of which one is killed at random moments: nothing that was acknowledged is lost or doubled,
no sample, no alert and no message."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from smon_hub import clock
from tests.hub import inside
from tests.hub.inside import HERE
from tests.support.client import Client
from tests.support.hubs import COOL, HOT, Pair, Sender, all_of, join, unheard
from tests.support.processes import until
from tests.support.receivers import HttpReceiver

SENDERS = 32
ROUNDS = 5
PERIOD, FEVER = 14, 3        # samples: of each period the first few are hot, which is an alert that opens and ends
HANDOVER_SECONDS = 15


@pytest.fixture
def url(postgres):
    with postgres.database() as made:
        yield made


@pytest.fixture
def receiver():
    with HttpReceiver() as running:
        yield running


def is_hot(number):
    return number % PERIOD < FEVER


# --- kill -9 ----------------------------------------------------------------------------------------------------------

def go_on(senders, more):
    before = all_of(senders)
    until(lambda: all_of(senders) >= before + more, "%d more samples" % more, 60)


def kill_by_turns(pair, senders):
    for _ in range(ROUNDS):
        go_on(senders, random.randint(50, 250))
        number = random.choice((0, 1))
        pair.hubs[number].kill9()
        go_on(senders, random.randint(50, 250))  # the other one is enough
        pair.restart(number)


def steps(folder, moments):
    """What one hub that nobody kills makes of a server's samples: events after each of them, and messages."""
    with inside.running(folder, at=moments[0]) as hub:
        hub.ask("POST", "/api/dashboard/channels", {
            "kind": "pagerduty", "name": "pager", "config": {"url": "http://127.0.0.1:1/", "routing_key": "k"},
            "severities": ["info", "warning", "critical"]}, address=HERE, host="localhost")
        server, ends = hub.server(), []
        for number, at in enumerate(moments):
            hub.now.at = at
            hub.send(server, HOT if is_hot(number) else COOL, collected_at=at)
            ends.append(hub.rows("SELECT (SELECT COUNT(*) FROM alert_events), (SELECT COUNT(*) FROM outbox)")[0])
        return (ends, [event for event, in hub.rows("SELECT event FROM alert_events ORDER BY id")],
                [event for event, in hub.rows("SELECT event FROM outbox ORDER BY id")])


def by_server(pair, statement):
    found = {account.id: [] for account in pair.accounts}
    for uuid, event in pair.ask(statement):
        found[uuid].append(event)
    return found


def check_alerts(pair, senders, folder):
    """Each server has the events and the messages that its samples mean, no more and no less."""
    longest = max((sender.acknowledged for sender in senders), key=len)
    ends, events, messages = steps(folder, longest)
    assert ends[-1][0] > 4
    opened = by_server(pair, "SELECT v.uuid, e.event FROM alert_events e "
                             "JOIN servers v ON v.id = e.server ORDER BY e.id")
    told = by_server(pair, "SELECT v.uuid, o.event FROM outbox o JOIN alerts a ON a.id = o.alert_id "
                           "JOIN servers v ON v.id = a.server ORDER BY o.id")
    for sender in senders:
        event_count, message_count = ends[len(sender.acknowledged) - 1]
        assert opened[sender.account.id] == events[:event_count], sender.name
        assert told[sender.account.id] == messages[:message_count], sender.name


def check_messages(pair, receiver):
    """Every message was taken, and at most the one that was on its way when a hub was killed came twice."""
    until(lambda: pair.ask("SELECT COUNT(*) FROM outbox WHERE settled_at IS NULL") == [(0,)], "The last message", 60)
    assert pair.ask("SELECT DISTINCT outcome FROM outbox") == [("sent",)]
    sent = {("smon-" + thread, action, at) for thread, action, at in pair.ask(
        "SELECT thread, CASE event WHEN 'recovered' THEN 'resolve' ELSE 'trigger' END, created_at FROM outbox")}
    told = Counter((post.json["dedup_key"], post.json["event_action"], clock.parse(post.json["payload"]["timestamp"]))
                   for post in receiver.posts)
    assert set(told) == sent
    assert sum(told.values()) - len(told) <= ROUNDS


def test_kill_9_of_one_hub_after_the_other_loses_and_doubles_nothing(postgres, tmp_path, url, receiver):
    with Pair(postgres, tmp_path, url, SENDERS, receiver=receiver.url) as pair:
        senders = [Sender(pair.url, account, is_hot, pause=0.02) for account in pair.accounts]
        for sender in senders:
            sender.start()
        kill_by_turns(pair, senders)
        join(senders)
        assert unheard(senders) == [] and [sender.hung for sender in senders if sender.hung] == []
        assert [sender.lost for sender in senders if sender.lost] == []  # nginx stands in for a hub that died
        assert pair.stored() == {sender.account.id: sender.acknowledged for sender in senders}
        check_messages(pair, receiver)
        check_alerts(pair, senders, tmp_path / "alone")
        until(lambda: pair.overview(0) == pair.overview(1), "The same overview on both", 2)
        assert len(pair.overview(0)["servers"]) == SENDERS


# --- what is decided holds on both ------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def pair(postgres, tmp_path_factory):
    with postgres.database() as url, HttpReceiver() as receiver, \
            Pair(postgres, tmp_path_factory.mktemp("pair"), url, 12, receiver=receiver.url) as made:
        made.receiver = receiver
        yield made


def other_way(number):
    """The hub that decides, and the one that has to know."""
    return number % 2, 1 - number % 2


def send(hub, account):
    return hub.post("/api/metrics", {"metrics": COOL}, account.headers).status


def test_a_key_that_was_rotated_on_one_hub_is_refused_by_the_other_at_once(pair):
    for number, account in enumerate(pair.accounts[:6]):
        decides, knows = (pair.hubs[which] for which in other_way(number))
        assert [send(hub, account) for hub in pair.hubs] == [200, 200]
        answer = decides.post("/api/dashboard/server/%s/rotate-key" % account.id, headers=pair.admin)
        assert answer.status == 200 and send(knows, account) == 401
        account.key = answer.json["api_key"]
        assert send(knows, account) == 200


def test_a_server_that_was_removed_from_one_hub_is_refused_by_the_other_at_once(pair):
    for number in range(6):
        account = pair.accounts.pop()
        decides, knows = (pair.hubs[which] for which in other_way(number))
        assert [send(hub, account) for hub in pair.hubs] == [200, 200]
        assert decides.delete("/api/dashboard/server/" + account.id, headers=pair.admin).status == 200
        assert send(knows, account) == 401
        assert knows.get("/api/dashboard/server/" + account.id, pair.admin).status == 404


def test_a_session_that_ended_on_one_hub_is_refused_by_the_other_at_once(pair):
    user = {"name": "anna", "role": "admin", "password": "correct horse"}
    assert pair.hubs[0].post("/api/dashboard/users", user, pair.admin).status == 201
    for number in range(4):
        decides, knows = (pair.hubs[which] for which in other_way(number))
        began = decides.post("/api/session", {"username": "anna", "password": "correct horse"})
        session = {"Cookie": began.headers["set-cookie"].partition(";")[0]}
        assert knows.get("/api/dashboard", session).status == 200
        assert decides.delete("/api/session", headers=session).status == 200
        assert knows.get("/api/dashboard", session).status == 401


def test_a_token_that_was_revoked_on_one_hub_is_refused_by_the_other_at_once(pair):
    for number in range(6):
        decides, knows = (pair.hubs[which] for which in other_way(number))
        made = decides.post("/api/dashboard/tokens", {"name": "script", "role": "viewer"}, pair.admin).json
        token = {"Authorization": "Bearer " + made["token"]}
        assert knows.get("/api/dashboard", token).status == 200
        assert decides.delete("/api/dashboard/tokens/%d" % made["id"], headers=pair.admin).status == 200
        assert knows.get("/api/dashboard", token).status == 401


def test_settings_that_were_changed_on_one_hub_hold_on_the_other_at_once(pair):
    for number in range(6):
        decides, knows = (pair.hubs[which] for which in other_way(number))
        changes = {"stale_threshold_minutes": 20 + number}
        assert decides.patch("/api/dashboard/settings", changes, pair.admin).status == 200
        shown = knows.get("/api/dashboard/settings", pair.admin).json["settings"]
        assert shown["stale_threshold_minutes"] == 20 + number


def test_what_one_hub_was_sent_is_soon_on_the_overview_of_both(pair):
    for number, account in enumerate(pair.accounts * 3):
        hub = pair.hubs[number % 2]
        sent = hub.post("/api/metrics", {"metrics": dict(COOL, cpu_percent=20.0 + number)}, account.headers)
        assert sent.status == 200
    wanted = {account.id: 20.0 + 2 * len(pair.accounts) + number for number, account in enumerate(pair.accounts)}

    def shows(number):
        return {server["id"]: server["metrics"]["cpu_percent"] for server in pair.overview(number)["servers"]} == wanted
    until(lambda: shows(0) and shows(1) and pair.overview(0) == pair.overview(1), "The same on both", 2)


def test_one_caller_who_is_sent_to_both_by_nginx_reads_what_was_decided_there(pair):
    caller = Client(pair.url)
    for number in range(8):
        name = "Name %d" % number
        path = "/api/dashboard/server/" + pair.accounts[0].id
        assert pair.hubs[number % 2].patch(path, {"display_name": name}, pair.admin).status == 200
        assert caller.get(path, pair.admin).json["server"]["display_name"] == name
    caller.close()


def test_when_the_hub_that_delivers_is_killed_the_other_one_goes_on(pair):
    number = pair.leader()
    survivor, account = pair.hubs[1 - number], pair.accounts[0]
    pair.hubs[number].kill9()
    before = len(pair.receiver.posts)
    assert survivor.post("/api/metrics", {"metrics": HOT}, account.headers).status == 200
    until(lambda: len(pair.receiver.posts) > before, "The message", HANDOVER_SECONDS)
    assert pair.leader() == 1 - number or not pair.hubs[number].running
    pair.restart(number)
    assert survivor.stop() == 0, survivor.log
    assert pair.hubs[number].post("/api/metrics", {"metrics": COOL}, account.headers).status == 200
    assert pair.hubs[number].post("/api/metrics", {"metrics": COOL}, account.headers).status == 200
    until(lambda: len(pair.receiver.posts) > before + 1, "The next message, of the hub that is left", HANDOVER_SECONDS)
    assert [post.json["event_action"] for post in pair.receiver.posts[before:]] == ["trigger", "resolve"]
