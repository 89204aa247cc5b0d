"""Every server as it is now: which sample is the newest, which status holds, what cards and totals say."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smon_hub import clock
from smon_hub import fleet as fleet_module
from smon_hub.fleet import CARD_COLUMNS, Fleet, Newest, Server, card
from smon_hub.store.details import encode
from tests.hub.inside import START, sample
from tests.support.processes import METRICS

ROW = {
    "id": 1, "uuid": "u-1", "key_hash": "$2b$secret", "export_key": "secret", "hostname": "web-1",
    "display_name": "Web", "group_name": "Shop", "ip_address": "192.0.2.7", "os_info": "Linux", "tags": ["a"],
    "notes": "", "alert_cpu_threshold": 90, "alert_memory_threshold": 90, "alert_disk_threshold": 90,
    "collection_interval": 10, "may_be_off": False, "approved": True, "live_minutes": 60, "registered_at": START,
    "last_seen_at": START, "newest_sample": None,
}
CARD = (12.5, 37.5, [["/", 40.0]], 86400)


def newest(row_id=1, at=START, timed=True, boot=None, sequence=None, **agent):
    return Newest(row_id, at, timed, dict(agent, boot_id=boot, sequence=sequence), CARD, None)


def fleet_of(*rows, **changes):
    fleet = Fleet()
    for number, row in enumerate(rows or (ROW,)):
        fleet.add(dict(row, id=number + 1, uuid="u-%d" % (number + 1), **changes))
    return fleet


# --- the newest sample ------------------------------------------------------------------------------------------------

SUPERSEDES = [
    ("the first sample", newest(), None, True),
    ("a later one", newest(2, START + 1), newest(1, START), True),
    ("an earlier one", newest(2, START - 1), newest(1, START), False),
    ("one without a time, by arrival", newest(2, START - 1, timed=False), newest(1, START), True),
    ("one counted further, whatever its time", newest(2, START - 9, boot="b", sequence=8),
     newest(1, START, boot="b", sequence=7), True),
    ("one counted less, whatever its time", newest(2, START + 9, boot="b", sequence=6),
     newest(1, START, boot="b", sequence=7), False),
    ("one of the same count", newest(2, START + 9, boot="b", sequence=7),
     newest(1, START, boot="b", sequence=7), False),
    ("one of another boot, by time", newest(2, START + 9, boot="c", sequence=1),
     newest(1, START, boot="b", sequence=7), True),
    ("a late one of an earlier boot", newest(2, START - 9, boot="a", sequence=99),
     newest(1, START, boot="b", sequence=1), False),
    ("one of an agent that stopped counting, by time", newest(2, START + 9),
     newest(1, START, boot="b", sequence=7), True),
]


@pytest.mark.parametrize("sample, known, expected", [row[1:] for row in SUPERSEDES], ids=[row[0] for row in SUPERSEDES])
def test_what_becomes_the_current_state(sample, known, expected):
    assert sample.supersedes(known) is expected


def deliveries(counts):
    """Samples with ids in the order of their arrival, each counted and with any time at all."""
    return [newest(index + 1, at, boot="b", sequence=count) for index, (count, at) in enumerate(counts)]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99)), min_size=1, unique_by=lambda pair: pair[0]))
def test_within_a_boot_the_highest_count_wins_in_any_order_of_arrival_and_on_any_clock(counts):
    fleet = fleet_of()
    server = fleet.by_uuid["u-1"]
    for each in deliveries(counts):
        fleet.move(server, each)
    assert server.sample.agent["sequence"] == max(count for count, _ in counts)


@given(st.lists(st.integers(0, 9), min_size=1))
def test_without_a_count_the_latest_moment_wins_and_among_equals_the_last_to_arrive(moments):
    fleet = fleet_of()
    server = fleet.by_uuid["u-1"]
    for index, at in enumerate(moments):
        fleet.move(server, newest(index + 1, at))
    assert (server.sample.at, server.sample.id) == max((at, index + 1) for index, at in enumerate(moments))


kinds = st.builds(newest, st.integers(1, 9), st.integers(0, 9), boot=st.sampled_from("ab"),
                  sequence=st.one_of(st.none(), st.integers(0, 3)))


@given(kinds, kinds)
def test_two_samples_never_supersede_each_other(one, other):
    assert not (one.supersedes(other) and other.supersedes(one))


# --- status -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("stale_minutes, interval, agent, limit_minutes", [
    (15, 5, None, 15),                                # the threshold, where beats are more frequent
    (15, 60, None, 2.5 * 30),                         # no beat reported: half the interval
    (15, 5, {"beat_seconds": 60}, 15),
    (15, 5, {"beat_seconds": 1800}, 2.5 * 30),
    (240, 60, {"beat_seconds": 1800}, 240),
    (15, 10, {"beat_seconds": None}, 15),
])
def test_offline_is_silence_beyond_the_threshold_and_beyond_some_missed_beats(stale_minutes, interval, agent,
                                                                              limit_minutes):
    server = Server(dict(ROW, collection_interval=interval))
    server.put(sample=Newest(1, START, True, agent, CARD, None))
    limit = int(limit_minutes * clock.MINUTE)
    assert server.status(START + limit, stale_minutes) == "online"
    assert server.status(START + limit + 1, stale_minutes) == "offline"


def test_last_seen_never_runs_backwards():
    fleet = fleet_of()
    server = fleet.by_uuid["u-1"]
    for now in (START + 5, START + 3):
        fleet.seen(server, now)
    assert server.last_seen_at == START + 5


def test_flags_say_what_a_server_waits_for():
    server = Server(dict(ROW, approved=False))
    assert server.flags() == ["pending", "waiting"]
    server.put(row=dict(ROW), sample=newest())
    assert server.flags() == []


# --- totals and answers -----------------------------------------------------------------------------------------------

STALE = START + clock.HOUR


def mixed_fleet():
    """One online, one offline, one waiting for its first sample, one waiting for approval."""
    fleet = fleet_of(dict(ROW, last_seen_at=STALE), ROW, dict(ROW, last_seen_at=STALE, group_name="Office"),
                     dict(ROW, last_seen_at=STALE, approved=False, group_name="Strange"))
    for uuid in ("u-1", "u-2"):
        fleet.move(fleet.by_uuid[uuid], newest())
    return fleet


def test_every_admitted_server_counts_in_exactly_one_total():
    assert mixed_fleet().summary(STALE, 15) == {
        "totalServers": 3, "onlineServers": 1, "offlineServers": 1, "waitingServers": 1, "pendingServers": 1,
        "groups": ["Office", "Shop"], "activeAlerts": 0, "criticalAlerts": 0, "unreadNotifications": 0}


def test_hostile_names_stay_inside_their_strings():
    fleet = fleet_of(dict(ROW, display_name='"],["', hostname="</script>\\"))
    row = json.loads(fleet.cards(START, 15))[0]
    assert (row[1], row[2], len(row)) == ('"],["', "</script>\\", len(CARD_COLUMNS))


BUSY = newest(2, START + 1, name="new")._replace(card=(99.0, *CARD[1:]))


@pytest.mark.parametrize("shown", [Server.texts, Server.entry])
@pytest.mark.parametrize("move", [lambda fleet, server: fleet.move(server, BUSY),
                                  lambda fleet, server: fleet.change("u-1", {"display_name": "New"})],
                         ids=["sample", "row"])
def test_a_text_that_was_overtaken_while_it_was_made_is_made_again(monkeypatch, shown, move):
    """The writer moves a server while another thread makes its texts."""
    fleet = fleet_of()
    server = fleet.by_uuid["u-1"]
    fleet.move(server, newest(1))

    def overtaken(value):
        monkeypatch.setattr(fleet_module, "encode", encode)
        move(fleet, server)
        return encode(value)
    monkeypatch.setattr(fleet_module, "encode", overtaken)
    shown(server)
    fresh = Server(server.row)
    fresh.put(sample=server.sample)
    assert shown(server) == shown(fresh)


def test_a_card_shows_the_fullest_three_disks():
    shares = [("/a", 1), ("/b", 99), ("/c", None), ("/d", 50), ("/e", 98)]
    disks = [dict(METRICS["disks"][0], mountpoint=mount, percent=share) for mount, share in shares]
    assert card(sample({"disks": disks})["metrics"])[2] == [["/b", 99], ["/e", 98], ["/d", 50]]


def test_the_version_grows_with_every_change_that_an_overview_could_show():
    fleet = fleet_of()
    server = fleet.by_uuid["u-1"]
    steps = (lambda: fleet.add(dict(ROW, uuid="u-2")), lambda: fleet.seen(server, START + 1),
             lambda: fleet.move(server, newest()), lambda: fleet.change("u-1", {"notes": "n"}),
             lambda: fleet.remove("u-2"))
    versions = [fleet.version]
    for step in steps:
        step()
        versions.append(fleet.version)
    assert all(before < after for before, after in itertools.zip_longest(versions, versions[1:], fillvalue=9999))


def test_what_moved_is_told_once():
    fleet = fleet_of(ROW, ROW)
    server = fleet.by_uuid["u-1"]
    fleet.seen(server, START + 1)
    fleet.move(server, newest(7))
    assert fleet.take_unsettled() == [server]
    assert fleet.take_unsettled() == []
    assert (server.last_seen_at, server.sample.id, fleet.settled_sample) == (START + 1, 7, 7)


def test_what_could_not_be_written_back_is_told_again():
    fleet = fleet_of()
    fleet.seen(fleet.by_uuid["u-1"], START + 1)
    moved = fleet.take_unsettled()
    fleet.put_back(moved)
    assert fleet.take_unsettled() == moved


def test_a_change_or_removal_of_an_unknown_server_says_so():
    fleet = fleet_of()
    assert fleet.change("u-9", {"notes": "n"}) is None
    assert not fleet.remove("u-9")
    assert fleet.remove("u-1") and not fleet.servers()
