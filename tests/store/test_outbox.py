"""Who is told what, and what waits: rows of the outbox, in the transaction that makes the news."""

from __future__ import annotations

import pytest

from smon_hub.store import channels, events, options, outbox

NOW = 1_795_341_600_000
SERVER = {"id": 1, "uuid": "u", "hostname": "h", "display_name": "H", "ip_address": "", "group_name": "Shop"}


def event(word="opened", alert_id=1, severity="critical", server=SERVER, **members):
    return dict({"event": word, "alert_id": alert_id, "rule": "cpu", "object": "", "severity": severity,
                 "server": server, "message": "M", "since_at": NOW, "at": NOW}, **members)


@pytest.fixture
def add_channel(engine):
    def add(kind="webhook", **columns):
        row = dict({"kind": kind, "name": kind, "enabled": True, "severities": ["critical", "warning"],
                    "group_names": [], "escalation": False, "config": {}}, **columns)
        return engine.write(lambda db: channels.add(db, row))
    return add


def happen(engine, *events, now=NOW):
    engine.write(lambda db: outbox.add(db, events, now))


def told(db, channel):
    return [row.event["event"] for row in outbox.waiting(db, channel)]


@pytest.mark.parametrize("columns, news, wanted", [
    ({}, event(), True),
    ({}, event(severity="warning"), True),
    ({}, event("info", None, "info"), False),
    ({"severities": ["critical"]}, event(severity="warning"), False),
    ({"severities": ["critical"]}, event("severity", severity="warning", was_severity="critical"), True),
    ({"group_names": ["Shop"]}, event(), True),
    ({"group_names": ["Lab"]}, event(), False),
    ({"group_names": ["Lab"]}, event(server=None), True),
    ({"enabled": False}, event(), False),
    ({}, event("escalated"), False),
    ({"escalation": True}, event("escalated"), True),
    ({"escalation": True, "severities": []}, event(), False),
    ({"escalation": True, "severities": []}, event("escalated"), True),
    ({"kind": "pagerduty"}, event("late_summary", None), False),
    ({"kind": "webhook"}, event("late_summary", None), True),
    ({"kind": "pagerduty", "severities": ["info"]}, event("info", severity="info"), False),
    ({"kind": "alertmanager", "severities": ["info"]}, event("late_summary", severity="info"), False),
    ({"kind": "pagerduty", "severities": ["info"]}, event(severity="info"), True),
])
def test_a_channel_is_told_what_it_listens_to(engine, db, add_channel, columns, news, wanted):
    number = add_channel(**columns)
    happen(engine, news)
    assert told(db, number) == ([news["event"]] if wanted else [])


@pytest.mark.parametrize("word", ["recovered", "severity"])
def test_who_was_told_of_an_alert_is_told_how_it_goes_on(engine, db, add_channel, word):
    critical, pager = add_channel(severities=["critical"]), add_channel(escalation=True, severities=[])
    happen(engine, event(), event("escalated"))
    happen(engine, event(word, severity="warning"), event(word, alert_id=2, severity="warning"))
    assert told(db, critical) == ["opened", word]
    assert told(db, pager) == ["escalated", word]


def test_the_mail_of_the_settings_listens_while_it_is_enabled(engine, db):
    happen(engine, event())
    engine.write(lambda db: options.put(db, {"alert_email_enabled": True}))
    happen(engine, event(alert_id=2))
    assert [row.event["alert_id"] for row in outbox.waiting(db, channels.MAIL)] == [2]


def test_a_message_is_written_with_the_news_or_not_at_all(engine, db, add_channel):
    number = add_channel()

    def work(connection):
        outbox.add(connection, [event()], NOW)
        raise ValueError("the change fails")
    with pytest.raises(ValueError):
        engine.write(work)
    assert outbox.waiting(db, number) == []


def test_messages_of_one_alert_share_a_thread_that_bears_the_firsts_name(engine, db, add_channel):
    number = add_channel()
    happen(engine, event(), event(alert_id=2), event("recovered"), event("info", None, "warning"))
    first, other, last, alone = outbox.waiting(db, number)
    assert first.thread == last.thread == first.delivery_id
    assert (other.thread, alone.thread) == (other.delivery_id, alone.delivery_id)


def test_a_thread_goes_on_when_its_first_message_is_gone(engine, db, add_channel):
    number = add_channel()
    happen(engine, event())
    first, = outbox.waiting(db, number)
    happen(engine, event("repeat"))
    engine.write(lambda db: outbox.settle(db, [first], "sent", NOW))
    assert engine.write(lambda db: outbox.drop(db, NOW + 1, 10)) == 1
    happen(engine, event("recovered"))
    assert {row.thread for row in outbox.waiting(db, number)} == {first.thread}


def test_a_claim_is_had_whole_or_not_at_all(engine, db, add_channel):
    number = add_channel()
    happen(engine, event(), event(alert_id=2))
    rows = outbox.waiting(db, number)
    engine.write(lambda db: outbox.claim(db, rows[1:], NOW))
    with pytest.raises(outbox.Taken):
        engine.write(lambda db: outbox.claim(db, rows, NOW))
    assert [(row.claimed_at, row.attempts) for row in outbox.waiting(db, number)] == [(None, 0), (NOW, 1)]


def test_what_is_settled_is_neither_claimed_nor_settled_again(engine, db, add_channel):
    number = add_channel()
    happen(engine, event())
    rows = outbox.waiting(db, number)
    engine.write(lambda db: outbox.settle(db, rows, "sent", NOW))
    with pytest.raises(outbox.Taken):
        engine.write(lambda db: outbox.claim(db, rows, NOW))
    engine.write(lambda db: outbox.settle(db, rows, "given_up", NOW + 1))
    assert outbox.log(db, number, 10)[0]["outcome"] == "sent"


def test_what_waits_is_bounded_and_the_newest_stay(engine, db, add_channel, monkeypatch):
    monkeypatch.setattr(outbox, "WAITING_MAX", 50)
    number = add_channel()
    happen(engine, *(event(alert_id=number) for number in range(130)))
    assert [row.event["alert_id"] for row in outbox.waiting(db, number)] == list(range(80, 130))
    assert outbox.counts(db, NOW - 1)[number] == {"waiting": 50, "given_up": 80}
    assert outbox.log(db, number, 200)[-1]["error"] == "More than 50 messages waited; the oldest were given up."


def test_many_rows_are_claimed_and_settled_at_once(engine, db, add_channel):
    number = add_channel()
    happen(engine, *(event(alert_id=number) for number in range(1_001)))
    rows = outbox.waiting(db, number)
    engine.write(lambda db: outbox.claim(db, rows, NOW))
    engine.write(lambda db: outbox.settle(db, rows, "sent", NOW))
    assert outbox.busy(db) == []


def test_the_age_of_the_oldest_is_known(engine, db, add_channel):
    assert outbox.oldest_waiting(db) is None
    add_channel()
    happen(engine, event(), now=NOW + 5)
    happen(engine, event(alert_id=2), now=NOW + 9)
    assert outbox.oldest_waiting(db) == NOW + 5


def test_a_channel_goes_with_what_waits_for_it(engine, db, add_channel):
    number, other = add_channel(), add_channel()
    happen(engine, event())
    engine.write(lambda db: channels.remove(db, number))
    assert outbox.busy(db) == [other]
    assert channels.one(db, number) is None
    assert add_channel() > other  # an id is never used again


def test_only_settled_messages_are_dropped(engine, db, add_channel):
    number = add_channel()
    happen(engine, event(), event(alert_id=2), event(alert_id=3))
    rows = outbox.waiting(db, number)
    engine.write(lambda db: outbox.settle(db, rows[:1], "sent", NOW))
    engine.write(lambda db: outbox.settle(db, rows[1:2], "given_up", NOW + 10))
    assert engine.write(lambda db: outbox.drop(db, NOW + 5, 10)) == 1
    assert [row["outcome"] for row in outbox.log(db, number, 10)] == [None, "given_up"]


def test_the_newest_message_about_an_open_alert_is_kept_so_that_its_end_is_told_in_its_thread(engine, db, add_channel):
    number = add_channel()
    alert = engine.write(lambda db: events.add(db, 1, "cpu", "", events.CRITICAL, NOW, NOW, opened_at=NOW))
    happen(engine, event(alert_id=alert.id), event("repeat", alert_id=alert.id))
    first, last = outbox.waiting(db, number)
    engine.write(lambda db: outbox.settle(db, [first, last], "sent", NOW))
    assert [engine.write(lambda db: outbox.drop(db, NOW + 1, 10)) for _ in range(2)] == [1, 0]
    happen(engine, event("recovered", alert_id=alert.id))
    assert [row.thread for row in outbox.waiting(db, number)] == [first.thread]
    engine.write(lambda db: events.change(db, alert, ended_at=NOW))
    assert engine.write(lambda db: outbox.drop(db, NOW + 1, 10)) == 1


def test_channels_that_know_single_alerts_are_told_of_each_and_the_others_once(engine, db, add_channel):
    hook, pager = add_channel(), add_channel("pagerduty")
    each = [event("maintenance_end", alert_id=number) for number in (1, 2)]
    happen(engine, event("maintenance_end", None, each=each))
    assert [row.event["alert_id"] for row in outbox.waiting(db, hook)] == [None]
    assert [row.event["alert_id"] for row in outbox.waiting(db, pager)] == [1, 2]
