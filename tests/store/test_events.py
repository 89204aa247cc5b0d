"""Alerts in the store: at most one current one of an object, what lists and tallies say, what goes when."""

from __future__ import annotations

import sqlite3

import pytest

from smon_hub.store import events, servers
from smon_hub.store.events import CRITICAL, INFO, NONE, WARNING, Tally

ROW = {"uuid": "u-1", "key_hash": "h", "export_key": "e", "hostname": "web-1", "display_name": "Web", "group_name": "G",
       "ip_address": "192.0.2.7", "os_info": "", "tags": [], "notes": "", "alert_cpu_threshold": 90,
       "alert_memory_threshold": 90, "alert_disk_threshold": 90, "collection_interval": 10, "may_be_off": False,
       "approved": True, "live_minutes": 60, "registered_at": 0, "last_seen_at": 0, "newest_sample": None}


@pytest.fixture
def server(engine):
    return engine.write(lambda db: servers.add(db, ROW))


def put(engine, server, object="", severity=WARNING, at=1_000, rule="disk", **columns):
    columns.setdefault("opened_at", at)
    return engine.write(lambda db: events.add(db, server, rule, object, severity, at, at, **columns))


def ids(rows):
    return [row["id"] for row in rows]


def test_there_is_one_current_alert_of_an_object_and_any_number_of_ended_ones(engine, server):
    first = put(engine, server)
    with pytest.raises(sqlite3.IntegrityError):
        put(engine, server)
    for at in (2_000, 3_000):
        engine.write(lambda db: events.change(db, list(events.current(db, server).values())[0], ended_at=at))
        put(engine, server, at=at)
    assert len(events.listed(engine.read(), "all")) == 3
    assert first.id not in ids(events.listed(engine.read(), "open"))


def test_the_states_of_lists(engine, server):
    active, waiting = put(engine, server, "a"), put(engine, server, "w", NONE, opened_at=None)
    seen = put(engine, server, "s", acknowledged_at=5)
    line = put(engine, server, "i", INFO)
    over = put(engine, server, "o", ended_at=9)
    assert waiting.opened_at is None
    listed = {state: ids(events.listed(engine.read(), state)) for state in events.STATES}
    assert listed == {"active": [active.id], "open": [line.id, seen.id, active.id], "resolved": [over.id],
                      "all": [over.id, line.id, seen.id, active.id]}
    states = {row["object"]: row["state"] for row in events.listed(engine.read(), "all")}
    assert states == {"a": "active", "s": "acknowledged", "i": "active", "o": "resolved"}


def test_lists_are_paged_by_id_and_of_one_server_when_asked(engine, server):
    other = engine.write(lambda db: servers.add(db, {**ROW, "uuid": "u-2"}))
    made = [put(engine, each, str(number)).id for number, each in enumerate([server, other] * 4)]
    db = engine.read()
    assert ids(events.listed(db, "open", server)) == made[::2][::-1]
    assert ids(events.listed(db, "open", limit=3)) == made[:-4:-1]
    assert ids(events.listed(db, "open", limit=3, before=made[2])) == made[1::-1]
    assert ids(events.for_server(db, server, 0, 2)) == made[::2][:1:-1]


def test_the_worst_are_the_hubs_own_then_the_critical_then_the_newest(engine, server):
    old_critical = put(engine, server, "c", CRITICAL)
    own = put(engine, 0, "all", WARNING, rule="group_outage")
    warnings = [put(engine, server, str(number)).id for number in range(3)]
    put(engine, server, "seen", CRITICAL, acknowledged_at=5)
    assert ids(events.worst(engine.read(), 4)) == [own.id, old_critical.id, warnings[2], warnings[1]]


def test_a_tally_counts_what_is_active_and_knows_the_worst_open_one(engine, server):
    db = engine.read()
    assert events.tally(db, server)[:-1] == Tally()[:-1]
    put(engine, server, "w", NONE, opened_at=None)
    assert events.tally(db, server)[:-1] == ("", 0, 0, True, False)
    put(engine, server, "a")
    put(engine, server, "b", CRITICAL, acknowledged_at=3)
    put(engine, server, "", INFO, rule="offline")
    assert events.tally(db, server)[:-1] == ("critical", 1, 0, True, True)
    assert events.tallies(db)[server][:-1] == events.tally(db, server)[:-1]


def test_tallies_tell_which_is_the_younger(engine, server):
    assert events.tally(engine.read(), server).serial < events.tally(engine.read(), server).serial


def test_a_removed_server_takes_its_alerts_and_lines_out_of_every_answer(engine, server):
    alert = put(engine, server)
    engine.write(lambda db: events.ring(db, alert.id, server, "opened", WARNING, "Disk", 5))
    engine.write(lambda db: (events.lose(db, server, 9), servers.remove(db, server)))
    db = engine.read()
    assert events.listed(db, "all") == events.notifications(db, 50) == events.by_ids(db, [alert.id]) == []
    assert events.unread(db) == 0 and events.one(db, alert.id) is None
    assert db.execute("SELECT unknown_since FROM alerts").fetchone() == (9,)


def test_what_is_past_its_keep_goes_and_open_alerts_stay_whatever_their_age(engine, server):
    put(engine, server, "open", at=1)
    old, young = put(engine, server, "old", ended_at=10), put(engine, server, "young", ended_at=30)
    for alert in (old, young):
        engine.write(lambda db: events.note(db, alert, "opened", "Disk", 5))
    assert engine.write(lambda db: events.drop_old(db, 20, 100)) == 1
    assert {row["object"] for row in events.listed(engine.read(), "all")} == {"open", "young"}
    assert engine.read().execute("SELECT alert FROM alert_events").fetchall() == [(young.id,)]


def test_old_lines_of_the_bell_go_in_slices(engine, server):
    for at in range(5):
        engine.write(lambda db: events.ring(db, None, server, "info", WARNING, "x", at))
    assert [engine.write(lambda db: events.drop_old_notifications(db, 4, 3)) for _ in range(3)] == [3, 1, 0]


def test_an_alert_with_its_history(engine, server):
    alert = put(engine, server, processes='[{"name": "x"}]')
    engine.write(lambda db: events.note(db, alert, "opened", "Disk", 5_000))
    engine.write(lambda db: events.note(db, alert, "acknowledged", "On it", 6_000, "ann"))
    found = events.one(engine.read(), alert.id)
    assert found["events"] == [
        {"at": "1970-01-01T00:00:05Z", "event": "opened", "severity": "warning", "message": "Disk", "who": None},
        {"at": "1970-01-01T00:00:06Z", "event": "acknowledged", "severity": "warning", "message": "On it",
         "who": "ann"}]
    assert found["processes"] == [{"name": "x"}] and events.one(engine.read(), alert.id + 1) is None


def test_the_worst_of_late_samples_is_kept_with_its_span(engine, server):
    for value, at in ((91.0, 50), (97.0, 40), (93.0, 30)):
        engine.write(lambda db: events.keep_peak(db, server, ("cpu", ""), value, 90, at, 100))
    assert engine.write(lambda db: events.settled_peaks(db, 109, 10)) == {}
    assert engine.write(lambda db: events.settled_peaks(db, 110, 10)) == {server: [{
        "rule": "cpu", "object": "", "value": 97.0, "threshold": 90.0, "at": 40, "first_at": 30, "last_at": 50}]}
    assert engine.write(lambda db: events.settled_peaks(db, 110, 10)) == {}


@pytest.mark.parametrize("query", [
    "SELECT * FROM alerts WHERE server = 1 AND ended_at IS NULL",
    "SELECT COUNT(*) FROM alert_events WHERE server = 1 AND rule = 'cpu' AND object = '' AND at > 5",
    "SELECT * FROM alerts WHERE flapping = 1 AND server = 1 AND rule = 'cpu' AND object = ''",
    "SELECT COUNT(*) FROM notifications WHERE is_read = 0",
    "SELECT * FROM alert_events WHERE alert = 1 ORDER BY id",
])
def test_what_is_asked_with_each_sample_walks_no_table(file, query):
    plan = [row[3] for row in file.execute("EXPLAIN QUERY PLAN " + query)]
    assert all("USING" in step and "INDEX" in step for step in plan), plan
