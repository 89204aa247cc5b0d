"""The way of a message from the outbox to its receiver, over real sockets and on a clock that the test moves."""

from __future__ import annotations

import hashlib
import hmac
import logging
import random
import socket
import threading
from types import SimpleNamespace

import pytest
from hypothesis import given, settings as hypothesis_settings, strategies

from smon_hub import clock, notify, outbound, silence
from smon_hub.channels import KINDS
from smon_hub.outbound import DeliveryError, Rules, Way
from smon_hub.store import channels, outbox, servers
from tests.hub import inside
from tests.hub.inside import START
from tests.support.processes import free_port, until
from tests.support.receivers import Hanging, HttpReceiver, Reply, SyslogServer, make_certificate

SERVER = {"id": 7, "uuid": "u-7", "hostname": "web-1", "display_name": "Web 1", "ip_address": "192.0.2.7",
          "group_name": "Shop"}


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    """Nothing is delivered before the test says so, waits have no jitter, and receivers that hang are short."""
    monkeypatch.setattr(notify, "BEAT_SECONDS", 3_600)
    monkeypatch.setattr(notify, "JITTER", 0)
    monkeypatch.setattr(outbound, "TIMEOUT_SECONDS", 0.5)


@pytest.fixture
def receiver():
    with HttpReceiver() as running:
        yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


def event(word="opened", alert_id=1, at=START, **members):
    return dict({"event": word, "alert_id": alert_id, "rule": "cpu", "object": "", "severity": "critical",
                 "server": SERVER, "message": "CPU usage at 95.0% (threshold: 90%)", "value": 95.0, "threshold": 90.0,
                 "unit": "%", "since_at": START, "at": at}, **members)


def channel(hub, kind="webhook", **config):
    row = {"kind": kind, "name": kind, "enabled": True, "severities": ["critical", "warning"], "group_names": [],
           "escalation": False, "config": dict({"url": "", "secret": "", "token": ""}, **config)}
    return hub.engine.write(lambda db: channels.add(db, row))


def happen(hub, *events):
    hub.engine.write(lambda db: outbox.add(db, events, hub.now()))


def work_off(hub, after=0):
    hub.pass_time(after)
    hub.delivery.work_off()


def outcomes(hub):
    return [outcome for outcome, in hub.rows("SELECT outcome FROM outbox ORDER BY id")]


def words(receiver):
    return [post.json["event"] for post in receiver.posts]


# --- try, try again, give up ------------------------------------------------------------------------------------------

def test_a_message_is_sent_once_and_settled(hub_inside, receiver):
    channel(hub_inside, url=receiver.url + "/hook")
    happen(hub_inside, event())
    for _ in range(3):
        work_off(hub_inside, clock.HOUR)
    assert [(post.path, post.json["title"]) for post in receiver.posts] == [
        ("/hook", "CRITICAL: Web 1: CPU usage at 95.0% (threshold: 90%)")]
    assert outcomes(hub_inside) == ["sent"]


def test_a_receiver_that_fails_is_asked_again_ever_later_up_to_an_hour_until_a_day_is_over(hub_inside, receiver):
    receiver.always = 500
    channel(hub_inside, url=receiver.url)
    happen(hub_inside, event())
    asked_at = []
    for second in range(0, 90_000, 10):
        count = len(receiver.posts)
        work_off(hub_inside)
        if len(receiver.posts) > count:
            asked_at.append(second)
        hub_inside.pass_time(10 * clock.SECOND)
    gaps = [later - earlier for earlier, later in zip(asked_at, asked_at[1:])]
    assert gaps[:9] == [10, 20, 40, 80, 160, 320, 640, 1280, 2560]
    assert set(gaps[9:]) == {3600}
    assert outcomes(hub_inside) == ["given_up"]
    assert 86_400 <= asked_at[-1] < 90_000
    found = channels.one(hub_inside.engine.read(), 1)
    assert found["last_error"] == "The receiver answered 500: taken."


def test_a_wait_is_a_little_longer_by_chance_and_never_more_than_an_hour(monkeypatch):
    monkeypatch.setattr(notify, "JITTER", 0.25)
    waits = {notify.backoff(1) for _ in range(200)}
    assert len(waits) > 100 and 10_000 <= min(waits) and max(waits) <= 12_500
    assert notify.backoff(1_000) == clock.HOUR


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_says_when_is_not_asked_before(hub_inside, receiver, status):
    receiver.replies = [Reply(status, {"Retry-After": "300"})]
    channel(hub_inside, url=receiver.url)
    happen(hub_inside, event())
    work_off(hub_inside)
    work_off(hub_inside, 299 * clock.SECOND)
    assert len(receiver.posts) == 1
    work_off(hub_inside, clock.SECOND)
    assert len(receiver.posts) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
def test_a_refusal_gives_that_message_up_and_the_next_goes_out(hub_inside, receiver, status):
    receiver.replies = [status]
    channel(hub_inside, url=receiver.url)
    happen(hub_inside, event(alert_id=1), event(alert_id=2))
    work_off(hub_inside)
    assert outcomes(hub_inside) == ["given_up", "sent"]


@pytest.mark.parametrize("status", [408, 429, 500, 502])
def test_trouble_that_passes_gives_nothing_up(hub_inside, receiver, status):
    receiver.replies = [status]
    channel(hub_inside, url=receiver.url)
    happen(hub_inside, event())
    work_off(hub_inside)
    assert outcomes(hub_inside) == [None]
    work_off(hub_inside, clock.MINUTE)
    assert outcomes(hub_inside) == ["sent"]


def test_a_receiver_that_refuses_everything_is_not_hammered(hub_inside, receiver):
    receiver.always = 401
    channel(hub_inside, "pagerduty", url=receiver.url, routing_key="k")
    happen(hub_inside, *(event(alert_id=number) for number in range(50)))
    work_off(hub_inside)
    assert len(receiver.posts) == notify.REFUSALS_MAX
    assert outcomes(hub_inside).count(None) == 50 - notify.REFUSALS_MAX


def test_a_poisoned_message_does_not_hold_up_the_others(hub_inside, receiver, monkeypatch, caplog):
    channel(hub_inside, url=receiver.url)
    happen(hub_inside, event(alert_id=1, message="poison"), event(alert_id=2))
    send = KINDS["webhook"].send

    def fragile(way, config, kept, to, message):
        assert "poison" not in message.title
        return send(way, config, kept, to, message)
    monkeypatch.setitem(KINDS, "webhook", KINDS["webhook"]._replace(send=fragile))
    with caplog.at_level(logging.CRITICAL, "smon.notify"):
        for _ in range(3):
            work_off(hub_inside, clock.MINUTE)
    assert outcomes(hub_inside) == [None, "sent"]


def test_messages_about_one_alert_keep_their_order(hub_inside, receiver):
    receiver.replies = [500]
    channel(hub_inside, url=receiver.url)
    happen(hub_inside, event("opened", severity="warning"))
    work_off(hub_inside)
    happen(hub_inside, event("severity", was_severity="warning"))
    work_off(hub_inside, 5 * clock.SECOND)
    assert words(receiver) == ["opened"]
    work_off(hub_inside, clock.MINUTE)
    assert words(receiver) == ["opened", "opened", "severity"]


def test_a_clock_that_was_set_back_holds_nothing_up(hub_inside, receiver):
    receiver.replies = [500]
    channel(hub_inside, url=receiver.url)
    happen(hub_inside, event())
    work_off(hub_inside)
    work_off(hub_inside, -clock.DAY)
    assert outcomes(hub_inside) == ["sent"]


def test_a_channel_that_is_switched_off_drops_what_waits(hub_inside, receiver):
    number = channel(hub_inside, url=receiver.url)
    happen(hub_inside, event())
    hub_inside.engine.write(lambda db: channels.change(db, number, {"enabled": False}))
    work_off(hub_inside)
    assert receiver.posts == []
    assert outcomes(hub_inside) == ["given_up"]


def test_a_channel_that_was_changed_is_tried_at_once(hub_inside, receiver):
    receiver.replies = [500] * 5
    number = channel(hub_inside, url=receiver.url)
    happen(hub_inside, event())
    for _ in range(5):
        work_off(hub_inside, 5 * clock.MINUTE)
    work_off(hub_inside, clock.SECOND)
    assert outcomes(hub_inside) == [None]
    hub_inside.delivery.changed(number)
    work_off(hub_inside)
    assert outcomes(hub_inside) == ["sent"]


class PartlyReached:
    """Takes the place of a kind's sender: of a message's recipients, "slow" is reached later than "quick"."""

    def __init__(self, monkeypatch):
        self.told, self.is_slow = [], True
        monkeypatch.setitem(KINDS, "slack", KINDS["slack"]._replace(send=self))

    def __call__(self, way, config, kept, to, message):
        reached = [name for name in to or ["quick", "slow"] if name == "quick" or not self.is_slow]
        self.told += [(name, row.event["event"], row.event["alert_id"]) for row in message.rows for name in reached]
        if "slow" not in reached:
            raise DeliveryError("slow was refused.", left=["slow"])
        return ""


def test_a_recovery_is_told_to_all_although_the_opening_still_waits_for_some(hub_inside, monkeypatch):
    receivers = PartlyReached(monkeypatch)
    channel(hub_inside, "slack")
    happen(hub_inside, event())
    work_off(hub_inside)
    receivers.is_slow = False
    happen(hub_inside, event("recovered"))
    work_off(hub_inside, clock.MINUTE)
    assert outcomes(hub_inside) == ["sent", "sent"]
    assert [word for name, word, _ in receivers.told if name == "quick"] == ["opened", "recovered"]
    assert [word for name, word, _ in receivers.told if name == "slow"] == ["opened", "recovered"]


def test_a_digest_does_not_overtake_what_still_waits_for_some(hub_inside, monkeypatch):
    receivers = PartlyReached(monkeypatch)
    channel(hub_inside, "slack")
    happen(hub_inside, event())
    work_off(hub_inside)
    receivers.is_slow = False
    happen(hub_inside, event("recovered"), *(event(alert_id=number) for number in range(20, 40)))
    for _ in range(3):
        work_off(hub_inside, 2 * clock.MINUTE)
    assert set(outcomes(hub_inside)) == {"sent"}
    assert [word for name, word, alert_id in receivers.told if (name, alert_id) == ("slow", 1)] == [
        "opened", "recovered"]


# --- fewer messages ---------------------------------------------------------------------------------------------------

def test_what_was_over_before_it_could_be_told_is_one_message(hub_inside, receiver):
    receiver.replies = [500]
    channel(hub_inside, url=receiver.url)
    happen(hub_inside, event(severity="warning"))
    work_off(hub_inside)
    happen(hub_inside, event("severity", was_severity="warning", at=START + 10 * clock.MINUTE))
    happen(hub_inside, event("recovered", at=START + 31 * clock.MINUTE))
    work_off(hub_inside, 31 * clock.MINUTE)
    told = receiver.posts[-1].json
    assert len(receiver.posts) == 2
    assert told["title"] == ("RECOVERED: Web 1: was critical 2026-11-22 10:00 to 10:31 UTC: "
                             "CPU usage at 95.0% (threshold: 90%)")
    assert [each["event"] for each in told["events"]] == ["opened", "severity", "recovered"]
    assert outcomes(hub_inside) == ["sent"] * 3


def test_ten_messages_in_a_minute_are_ten_and_eleven_are_one(hub_inside, receiver):
    channel(hub_inside, url=receiver.url)
    happen(hub_inside, *(event(alert_id=number) for number in range(10)))
    work_off(hub_inside)
    assert words(receiver) == ["opened"] * 10
    happen(hub_inside, *(event(alert_id=number) for number in range(20, 31)))
    work_off(hub_inside, 2 * clock.MINUTE)
    assert words(receiver)[10:] == ["digest"]
    digest = receiver.posts[-1].json
    assert digest["title"] == "11 messages: 11 critical"
    assert [each["alert_id"] for each in digest["events"]] == list(range(20, 31))


def test_a_stream_of_messages_is_ten_and_then_a_digest_a_minute(hub_inside, receiver):
    channel(hub_inside, url=receiver.url)
    for second in range(180):
        happen(hub_inside, event(alert_id=second))
        work_off(hub_inside, clock.SECOND)
    work_off(hub_inside, clock.MINUTE)
    assert len(receiver.posts) < 40
    told = [each["alert_id"] for post in receiver.posts for each in post.json["events"]]
    assert told == list(range(180))
    per_minute = [len([post for post in receiver.posts if minute * 60 < int(post.headers["x-smon-timestamp"]) -
                       START // 1000 <= minute * 60 + 60]) for minute in range(3)]
    assert max(per_minute) <= notify.DIGEST_OVER + 1


def test_a_thousand_servers_that_go_silent_at_once_are_one_message_for_each_channel(hub_inside, receiver):
    for kind in ("slack", "ntfy"):
        channel(hub_inside, kind, url=receiver.url, topic="smon")
    happen(hub_inside, *(event(alert_id=number, rule="offline") for number in range(1_000)))
    work_off(hub_inside)
    assert len(receiver.posts) == 2
    assert "and 950 more." in receiver.posts[0].json["attachments"][0]["text"]


def test_five_thousand_alerts_in_an_hour_of_outage_are_one_digest_afterwards(hub_inside):
    port = free_port()
    channel(hub_inside, "slack", url="http://127.0.0.1:%d" % port)
    for minute in range(60):
        happen(hub_inside, *(event(alert_id=minute * 1_000 + number) for number in range(84)))
        work_off(hub_inside, clock.MINUTE)
    assert outcomes(hub_inside) == [None] * 5_040
    with HttpReceiver(port=port) as receiver:
        work_off(hub_inside, clock.HOUR)
        work_off(hub_inside, clock.HOUR)
    assert len(receiver.posts) == 1
    assert receiver.posts[-1].json["text"] == "5040 messages: 5040 critical"
    assert set(outcomes(hub_inside)) == {"sent"}


def digest_with_a_culprit(hub, monkeypatch, count, culprit, error):
    """The alerts that a receiver takes of a digest of so many, and it fails on every message that holds the culprit."""
    taken = []

    def send(way, config, kept, to, message):
        told = [row.event["alert_id"] for row in message.rows]
        if culprit in told:
            raise error
        taken.extend(told)
        return ""
    monkeypatch.setitem(KINDS, "webhook", KINDS["webhook"]._replace(send=send))
    channel(hub)
    happen(hub, *(event(alert_id=number) for number in range(count)))
    return taken


def test_a_digest_that_is_refused_is_halved_until_only_the_culprit_is_given_up(hub_inside, monkeypatch):
    taken = digest_with_a_culprit(hub_inside, monkeypatch, 100, 77, DeliveryError("It answered 400.", permanent=True))
    for _ in range(60):
        work_off(hub_inside, clock.MINUTE)
    assert sorted(taken) == [number for number in range(100) if number != 77]
    assert outcomes(hub_inside).count("given_up") == 1


@pytest.mark.parametrize("kind", ["pagerduty", "syslog"])
def test_kinds_that_know_single_messages_only_get_them_all(hub_inside, monkeypatch, kind):
    titles = []
    monkeypatch.setitem(KINDS, kind, KINDS[kind]._replace(send=lambda way, config, kept, to, message: (
        titles.append(message.title) or "")))
    channel(hub_inside, kind)
    happen(hub_inside, *(event(alert_id=number) for number in range(30)), event("recovered", alert_id=3))
    work_off(hub_inside)
    assert len(titles) == 31


def test_what_waits_is_not_read_anew_for_each_single_message(hub_inside, receiver, monkeypatch):
    reads = []
    waiting = outbox.waiting
    monkeypatch.setattr(outbox, "waiting", lambda db, number: reads.append(number) or waiting(db, number))
    channel(hub_inside, "pagerduty", url=receiver.url, routing_key="rk")
    happen(hub_inside, *(event(alert_id=number) for number in range(250)))
    work_off(hub_inside)
    assert (len(receiver.posts), set(outcomes(hub_inside))) == (250, {"sent"})
    assert len(reads) == 4


def test_servers_that_go_silent_at_once_are_one_message_for_each_kind_of_channel(hub_inside, monkeypatch):
    """From the sweep over a thousand servers to the receivers."""
    told = []

    def take(way, config, kept, to, message):
        told.append((config["name"], message.title, len(message.rows)))
        return ""
    for name in KINDS:
        monkeypatch.setitem(KINDS, name, KINDS[name]._replace(send=take))
        channel(hub_inside, name, name=name)
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: hub_inside.now() / 1000))
    hub_inside.silence = silence.Silence(hub_inside.now())
    first = hub_inside.server()
    hub_inside.send(first)
    rows = [dict(first.row, uuid=str(number)) for number in range(999)]
    for row, row_id in zip(rows, hub_inside.engine.write(lambda db: [servers.add(db, row) for row in rows])):
        hub_inside.fleet.add(dict(row, id=row_id)).put(sample=first.sample)
    for _ in range(20):
        hub_inside.pass_time(clock.MINUTE)
        hub_inside.jobs.listen()
        hub_inside.delivery.work_off()
    assert sum(server.tally.silent for server in hub_inside.fleet.servers()) == 1_000
    assert sorted(name for name, _, _ in told) == sorted(KINDS)
    assert {(title[:9], count) for _, title, count in told} == {("CRITICAL:", 1)}


def test_a_digest_that_a_receiver_fails_on_does_not_hold_up_what_others_say(hub_inside, monkeypatch):
    taken = digest_with_a_culprit(hub_inside, monkeypatch, 50, 7, DeliveryError("It answered 500.", looked_at=True))
    for _ in range(240):
        work_off(hub_inside, clock.MINUTE)
    assert sorted(taken) == [number for number in range(50) if number != 7]


# --- crashes ----------------------------------------------------------------------------------------------------------

def test_a_command_that_only_opens_the_store_sends_nothing(tmp_path, receiver, monkeypatch):
    monkeypatch.setattr(notify, "BEAT_SECONDS", 0.01)
    with inside.running(tmp_path / "data") as hub:
        channel(hub, url=receiver.url)
        happen(hub, event())
        hub.delivery.wake()
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("smon-delivery")] == []


def test_what_was_claimed_when_the_hub_died_is_sent_again_under_the_same_name(tmp_path, receiver):
    with inside.running(tmp_path / "data") as hub:
        channel(hub, url=receiver.url)
        happen(hub, event())
        row, = outbox.waiting(hub.engine.read(), 1)
        hub.engine.write(lambda db: outbox.claim(db, [row], hub.now()))
        work_off(hub, clock.SECOND)
        assert receiver.posts == []  # somebody is at it
    with inside.running(tmp_path / "data") as hub:
        hub.delivery.start()
        work_off(hub)
    assert [post.headers["x-smon-delivery"] for post in receiver.posts] == [row.delivery_id]


def test_a_claim_whose_holder_never_came_back_runs_out(hub_inside, receiver):
    channel(hub_inside, url=receiver.url)
    happen(hub_inside, event())
    row, = outbox.waiting(hub_inside.engine.read(), 1)
    hub_inside.engine.write(lambda db: outbox.claim(db, [row], hub_inside.now()))
    work_off(hub_inside, outbox.CLAIM_MS - 1)
    assert receiver.posts == []
    work_off(hub_inside, 1)
    assert len(receiver.posts) == 1


@hypothesis_settings(max_examples=25, deadline=None)
@given(steps=strategies.lists(strategies.tuples(
    strategies.sampled_from(["opened", "severity", "repeat", "recovered", "restart"]), strategies.integers(1, 3),
    strategies.sampled_from(["ok", "ok", "later", "left behind"])), max_size=25))
def test_every_message_arrives_at_least_once_and_in_order_whatever_fails(tmp_path_factory, steps):
    path, told, expected, moods = tmp_path_factory.mktemp("hub") / "data", [], [], []

    def send(way, config, kept, to, message):
        mood = moods.pop() if moods else "ok"
        if mood != "later":
            told.extend((row.event["alert_id"], row.event["number"]) for row in message.rows)
        if mood != "ok":
            raise DeliveryError("Not now.")
        return ""
    original, KINDS["webhook"] = KINDS["webhook"], KINDS["webhook"]._replace(send=send)
    at = START
    try:
        for number, (word, alert_id, mood) in enumerate([*steps, ("repeat", 1, "ok")]):
            with inside.running(path, at=at) as hub:
                if number == 0:
                    channel(hub)
                if word != "restart":
                    happen(hub, event(word, alert_id, number=number))
                    expected.append((alert_id, number))
                moods.append(mood)
                work_off(hub)
                at = hub.pass_time(random.choice([0, 5, 30, 4_000]) * clock.SECOND)
        moods.clear()
        with inside.running(path, at=at) as hub:
            for _ in range(40):
                work_off(hub, clock.HOUR)
            assert set(outcomes(hub)) == {"sent"}
    finally:
        KINDS["webhook"] = original
    for alert_id in (1, 2, 3):
        first_times = list(dict.fromkeys(number for told_id, number in told if told_id == alert_id))
        assert first_times == [number for told_id, number in expected if told_id == alert_id]


# --- receivers that are no help ---------------------------------------------------------------------------------------

def test_a_receiver_that_hangs_holds_up_nobody_else(hub_inside, receiver):
    with Hanging() as hanging:
        channel(hub_inside, "slack", url=hanging.url)
        channel(hub_inside, "webhook", url=receiver.url)
        happen(hub_inside, event())
        hub_inside.delivery.start()
        hub_inside.delivery.wake()
        until(lambda: receiver.posts and hanging.connected.is_set(), "both deliveries")
        until(lambda: outcomes(hub_inside) == [None, "sent"], "the one that works")


def test_a_receiver_that_dribbles_is_cut_off(hub_inside, monkeypatch):
    monkeypatch.setattr(notify, "ATTEMPT_SECONDS", 0.3)
    with Hanging(b"HTTP/1.1 200 OK\r\nX-Slow: ", every=0.02) as dribbling:
        channel(hub_inside, url=dribbling.url)
        happen(hub_inside, event())
        hub_inside.delivery.start()

        def is_over():
            hub_inside.delivery.wake()
            return hub_inside.rows("SELECT error FROM outbox WHERE error IS NOT NULL")
        assert "took too long" in until(is_over, "The end of the attempt")[0][0]


def test_a_thread_that_can_not_start_does_not_silence_its_channel(hub_inside, monkeypatch):
    def fail(thread):
        raise RuntimeError("can't start new thread")
    done = threading.Event()
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError):
            hub_inside.delivery._begin(1, done.set)
    assert hub_inside.delivery._begin(1, done.set) and done.wait(10)


def test_an_answer_without_end_is_read_up_to_a_limit(hub_inside):
    with Hanging(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 65_536, every=0.001) as endless:
        channel(hub_inside, url=endless.url)
        happen(hub_inside, event())
        work_off(hub_inside)
    assert outcomes(hub_inside) == ["sent"]


@pytest.mark.parametrize("says", [b"garbage\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\xff" * 70_000])
def test_an_answer_that_is_not_http_is_a_failure(hub_inside, says):
    with Hanging(says, every=0.01) as strange:
        channel(hub_inside, url=strange.url)
        happen(hub_inside, event())
        work_off(hub_inside)
    assert outcomes(hub_inside) == [None]


def test_a_hub_stops_at_once_while_a_receiver_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr(outbound, "TIMEOUT_SECONDS", 3_600)
    monkeypatch.setattr(notify, "STOP_SECONDS", 3_600)  # the courier ends because it is cut off, or never
    with Hanging() as hanging:
        with inside.running(tmp_path / "data") as hub:
            channel(hub, url=hanging.url)
            happen(hub, event())
            hub.delivery.start()
            hub.delivery.wake()
            assert hanging.connected.wait(10)
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("smon-delivery")] == []
    with inside.running(tmp_path / "data") as hub:
        assert outcomes(hub) == [None]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(hub_inside, receiver, status):
    with HttpReceiver(Reply(status, {"Location": receiver.url + "/elsewhere"})) as moved:
        channel(hub_inside, url=moved.url)
        happen(hub_inside, event())
        work_off(hub_inside)
    assert receiver.posts == []
    assert "redirects are not followed: %s/elsewhere" % receiver.url in channels.one(
        hub_inside.engine.read(), 1)["last_error"]


def test_a_name_that_leads_to_a_metadata_address_is_refused_when_it_is_used(monkeypatch):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]
    monkeypatch.setattr(outbound.socket, "getaddrinfo", lambda *arguments, **options: found)
    with pytest.raises(DeliveryError, match="169.254.169.254 is a link-local"):
        Way(Rules()).connect("harmless.example", 80)


@pytest.mark.parametrize("address, refused", [
    ("169.254.1.1", True), ("fe80::1", True), ("fe80::1%eth0", True), ("::ffff:169.254.169.254", True),
    ("64:ff9b::a9fe:a9fe", True), ("2002:a9fe:a9fe::1", True), ("fd00:ec2::254", True), ("100.100.100.200", True),
    ("0.0.0.0", True), ("::", True), ("224.0.0.1", True), ("255.255.255.255", True), ("ff02::1", True),
    ("127.0.0.1", False), ("::1", False), ("10.0.0.1", False), ("192.168.1.1", False), ("fd00::1", False),
    ("192.0.2.1", False),
])
def test_these_addresses_are_refused_and_those_of_closed_networks_are_not(address, refused):
    assert bool(Way(Rules()).refuses(address)) == refused


def test_an_address_that_the_settings_allow_is_not_refused(hub_inside):
    hub_inside.change_settings({"delivery_allowed_addresses": "169.254.0.0/16, fe80::/10"})
    way = Way(hub_inside.delivery.rules())
    assert not way.refuses("169.254.1.1") and not way.refuses("fe80::1%eth0") and way.refuses("224.0.0.1")


def test_the_hubs_own_port_is_refused_at_the_connection(receiver):
    with pytest.raises(DeliveryError, match="is the hub itself"):
        Way(Rules(own_port=receiver.port)).connect("127.0.0.1", receiver.port)
    with pytest.raises(DeliveryError, match="is the hub itself"):
        Way(Rules(own_port=receiver.port)).connect("localhost", receiver.port)


def test_the_proxy_of_the_environment_is_not_used(hub_inside, receiver, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    channel(hub_inside, url=receiver.url)
    happen(hub_inside, event())
    work_off(hub_inside)
    assert len(receiver.posts) == 1


def test_a_proxy_is_asked_for_names_and_not_for_private_addresses(hub_inside, receiver):
    hub_inside.change_settings({"delivery_proxy": receiver.url})
    channel(hub_inside, url="http://far.example:81/hook?x=1")
    happen(hub_inside, event())
    with HttpReceiver() as near:
        channel(hub_inside, "slack", url=near.url)
        happen(hub_inside, event(alert_id=2))
        work_off(hub_inside)
        assert len(near.posts) == 1
    assert {post.path for post in receiver.posts} == {"http://far.example:81/hook?x=1"}
    assert receiver.posts[0].headers["host"] == "far.example:81"


def test_https_through_a_proxy_is_tunnelled(receiver, certificate, monkeypatch):
    monkeypatch.setattr(outbound, "_proxied", lambda rules, parts: outbound.urlsplit(rules.proxy))
    with HttpReceiver(tls=certificate) as far:
        way = Way(Rules(ca_file=str(certificate / "cert.pem"), proxy=receiver.url))
        assert outbound.post(way, far.url + "/hook", b"{}", {}).status == 200
        assert receiver.connects == ["127.0.0.1:%d" % far.port]
        assert [post.path for post in far.posts] == ["/hook"]


def test_a_certificate_is_checked_against_the_systems_and_the_sites_own_authorities(hub_inside, certificate):
    with HttpReceiver(tls=certificate) as secure:
        channel(hub_inside, url=secure.url)
        happen(hub_inside, event())
        work_off(hub_inside)
        assert secure.posts == []
        assert "the certificate is not accepted" in channels.one(hub_inside.engine.read(), 1)["last_error"]
        hub_inside.change_settings({"delivery_ca_file": str(certificate / "cert.pem")})
        work_off(hub_inside, clock.HOUR)
        assert len(secure.posts) == 1


def test_a_ca_file_that_is_gone_is_said(hub_inside, certificate):
    hub_inside.change_settings({"delivery_ca_file": "/nowhere/ca.pem"})
    with HttpReceiver(tls=certificate) as secure:
        channel(hub_inside, url=secure.url)
        happen(hub_inside, event())
        work_off(hub_inside)
    assert "The CA file /nowhere/ca.pem can not be used" in channels.one(hub_inside.engine.read(), 1)["last_error"]


# --- what each kind says ----------------------------------------------------------------------------------------------

def sent(hub, receiver, kind, *events, **config):
    channel(hub, kind, url=receiver.url, **config)
    happen(hub, *events)
    work_off(hub)
    return receiver.posts[-1]


def test_a_webhook_is_signed_over_time_and_body(hub_inside, receiver):
    post = sent(hub_inside, receiver, "webhook", event(), secret="hush", token="tkn")
    signed = post.headers["x-smon-timestamp"].encode() + b"." + post.body
    assert post.headers["x-smon-signature"] == "sha256=" + hmac.new(b"hush", signed, hashlib.sha256).hexdigest()
    assert post.headers["x-smon-timestamp"] == str(START // 1000)
    assert post.headers["authorization"] == "Bearer tkn"
    assert post.headers["x-smon-delivery"] == post.json["delivery_id"] == post.json["events"][0]["delivery_id"]
    assert "id" not in post.json["events"][0]["server"]


def test_the_signatures_time_is_that_of_the_attempt(hub_inside, receiver):
    receiver.replies = [500]
    sent(hub_inside, receiver, "webhook", event(), secret="hush")
    work_off(hub_inside, clock.HOUR)
    assert receiver.posts[-1].headers["x-smon-timestamp"] == str((START + clock.HOUR) // 1000)
    assert receiver.posts[-1].json["at"] == "2026-11-22T10:00:00Z"


def test_slack_reads_no_markup_and_calls_nobody(hub_inside, receiver):
    hostile = dict(SERVER, display_name="<!channel> & @all <http://evil.example|here>")
    told = sent(hub_inside, receiver, "slack", event(server=hostile)).json
    assert "&lt;!channel&gt; &amp; @\u200ball &lt;http" in told["text"]
    assert told["attachments"][0]["color"] == "#d32f2f"


def test_teams_gets_an_adaptive_card_of_plain_runs(hub_inside, receiver):
    hostile = dict(SERVER, display_name="[click](http://evil.example)")
    card = sent(hub_inside, receiver, "teams", event(server=hostile)).json["attachments"][0]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert {block["type"] for block in card["content"]["body"]} == {"RichTextBlock"}


def test_ntfy_is_told_topic_priority_and_token(hub_inside, receiver):
    post = sent(hub_inside, receiver, "ntfy", event(), topic="ops", token="tk")
    assert (post.path, post.json["topic"], post.json["priority"]) == ("/", "ops", 5)
    assert post.headers["authorization"] == "Bearer tk"


def test_gotify_is_told_in_its_own_way(hub_inside, receiver):
    post = sent(hub_inside, receiver, "gotify", event(severity="warning"), token="app")
    assert (post.path, post.json["priority"], post.headers["x-gotify-key"]) == ("/message", 6, "app")


def test_pagerduty_resolves_what_it_triggered(hub_inside, receiver):
    first = sent(hub_inside, receiver, "pagerduty", event(), routing_key="rk").json
    happen(hub_inside, event("recovered"))
    work_off(hub_inside, clock.MINUTE)
    last = receiver.posts[-1].json
    assert (first["event_action"], last["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == last["dedup_key"]
    assert (first["payload"]["source"], first["payload"]["severity"]) == ("web-1", "critical")


def test_alertmanager_knows_an_alert_by_the_same_labels_until_it_ends(hub_inside, receiver):
    opened, = sent(hub_inside, receiver, "alertmanager", event()).json
    assert receiver.posts[-1].path == "/api/v2/alerts"
    happen(hub_inside, event("recovered", at=START + clock.HOUR))
    work_off(hub_inside, clock.HOUR)
    ended, = receiver.posts[-1].json
    assert opened["labels"] == ended["labels"]
    assert opened["endsAt"] > "2026-12" and ended["endsAt"] == "2026-11-22T11:00:00.000Z"


def test_alertmanager_is_told_that_the_old_severity_ended(hub_inside, receiver):
    sent(hub_inside, receiver, "alertmanager", event(severity="warning"))
    happen(hub_inside, event("severity", was_severity="warning", at=START + clock.MINUTE))
    work_off(hub_inside, clock.MINUTE)
    assert [(alert["labels"]["severity"], alert["endsAt"][:16]) for alert in receiver.posts[-1].json] == [
        ("warning", "2026-11-22T10:01"), ("critical", "2026-12-22T10:01")]


def test_alertmanager_is_told_the_end_of_what_it_was_told_whatever_changed_meanwhile(hub_inside, receiver):
    """As when a rise fell into maintenance, or the server was put into another group."""
    opened, = sent(hub_inside, receiver, "alertmanager", event(severity="warning")).json
    happen(hub_inside, event("recovered", at=START + clock.HOUR, server=dict(SERVER, group_name="Lab")))
    work_off(hub_inside, clock.HOUR)
    ended, = receiver.posts[-1].json
    assert opened["labels"] == ended["labels"] and ended["endsAt"] == "2026-11-22T11:00:00.000Z"


def maintained(hub):
    """A server whose CPU alert is open when its maintenance ends."""
    server = hub.server(group_name="Shop")
    body = {"name": "Patches", "kind": "once", "starts_at": clock.iso(hub.now()), "minutes": 60}
    assert hub.ask("POST", "/api/dashboard/maintenance", body, address=inside.HERE, host="localhost").status == 201
    hub.send(server, {"cpu_percent": 99.0})
    hub.pass_time(61 * clock.MINUTE)
    hub.jobs.listen()
    hub.jobs.remind()
    hub.delivery.work_off()
    return server


def test_pagerduty_is_told_what_is_still_open_after_maintenance_and_its_end(hub_inside, receiver):
    channel(hub_inside, "pagerduty", url=receiver.url, routing_key="rk")
    server = maintained(hub_inside)
    for _ in range(2):
        hub_inside.send(server)
    work_off(hub_inside, clock.MINUTE)
    first, last = [post.json for post in receiver.posts]
    assert (first["event_action"], last["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == last["dedup_key"]
    assert (first["payload"]["class"], first["payload"]["group"]) == ("cpu", "Shop")


def test_alertmanager_is_told_what_is_still_open_after_maintenance_and_others_once(hub_inside, receiver):
    channel(hub_inside, "alertmanager", url=receiver.url)
    channel(hub_inside, "webhook", url=receiver.url + "/hook")
    maintained(hub_inside)
    summary, = [post.json for post in receiver.posts if post.path == "/hook"]
    (alert,), = [post.json for post in receiver.posts if post.path != "/hook"]
    assert (alert["labels"]["alertname"], alert["labels"]["severity"]) == ("cpu", "critical")
    assert summary["event"] == "maintenance_end" and "each" not in summary["events"][0]


@pytest.mark.parametrize("protocol", ["udp", "tcp", "tls"])
def test_syslog_lines_are_rfc_5424_and_framed_by_their_length_on_streams(hub_inside, certificate, protocol):
    hub_inside.change_settings({"delivery_ca_file": str(certificate / "cert.pem")})
    with SyslogServer(protocol, certificate) as server:
        channel(hub_inside, "syslog", host="127.0.0.1", port=server.port, protocol=protocol, facility=16)
        happen(hub_inside, event(message="a ü\nb"))
        work_off(hub_inside)
        assert outcomes(hub_inside) == ["sent"]
        assert server.came.wait(10)
    line = server.lines[0]
    if protocol != "udp":
        length, _, line = line.partition(b" ")
        assert int(length) == len(line)
    assert line.startswith(b"<130>1 2026-11-22T10:00:00.000Z ")
    assert line.endswith(b" smon - opened - \xef\xbb\xbf" + "CRITICAL: Web 1: a ü b".encode())


@pytest.mark.parametrize("kind", ["slack", "teams", "webhook", "ntfy", "gotify", "pagerduty", "alertmanager"])
@pytest.mark.parametrize("word", ["opened", "severity", "recovered", "repeat", "escalated", "flapping", "group_outage",
                                  "late_summary", "maintenance_end", "info", "test", "unheard-of"])
def test_every_kind_can_say_every_event(kind, word):
    row = outbox.Row(1, "d", "d", event(word, server=None, value=None, threshold=None, processes=[
        {"name": "x", "cpu_percent": 1.0, "memory_percent": None}], children=["a", "b"]), None, START, START, None, 0)
    seen = []

    class Deaf:
        rules = Rules()
    config = {"url": "http://h", "topic": "t", "token": "t", "routing_key": "r"}
    original, outbound.post = outbound.post, lambda way, url, body, headers: (
        seen.append(body) or outbound.Answer(200, "", 0, ""))
    try:
        message = notify.messages.of([[row]], "https://smon.example", START)
        assert KINDS[kind].send(Deaf(), config, {}, [], message) == ""
    finally:
        outbound.post = original
    assert len(seen) == 1


# --- the dead-man's switch --------------------------------------------------------------------------------------------

def test_the_dead_mans_switch_is_told_that_the_hub_lives(hub_inside, receiver):
    hub_inside.server()
    hub_inside.change_settings({"dead_man_url": receiver.url + "/alive"})
    hub_inside.jobs.say_alive()
    until(lambda: hub_inside.delivery.heartbeat, "The call")
    assert (receiver.posts[0].path, receiver.posts[0].json["totalServers"]) == ("/alive", 1)
    assert hub_inside.delivery.heartbeat == notify.Heartbeat(START, "")


def test_a_switch_that_can_not_be_reached_is_said(hub_inside, receiver):
    receiver.always = 500
    hub_inside.change_settings({"dead_man_url": receiver.url})
    hub_inside.jobs.say_alive()
    until(lambda: hub_inside.delivery.heartbeat, "The call")
    assert hub_inside.delivery.heartbeat.error == "The receiver answered 500: taken."


def test_without_an_address_nobody_is_called(hub_inside):
    hub_inside.jobs.say_alive()
    assert [thread.name for thread in threading.enumerate() if "dead-man" in thread.name] == []
