"""Maintenance windows: when they are open, and that nobody is told of anything then."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from smon_hub import clock, silence
from smon_hub.errors import HubError
from smon_hub.maintenance import Window, is_open, span, zone_of
from tests.hub import inside
from tests.hub.inside import HERE
from tests.support import needs


def window(kind="daily", zone="UTC", start="02:00", minutes=120, days=(), starts_at=None):
    hours, minute = start.split(":")
    return Window(1, "Patches", "all", "", kind, starts_at and clock.parse(starts_at), int(hours) * 60 + int(minute),
                  days, minutes, zone, 0, "")


def spans(row, now):
    found = span(row, clock.parse(now))
    return found and tuple(clock.iso(at) for at in found)


@pytest.mark.parametrize("row, now, expected", [
    (window("once", starts_at="2026-11-22T10:00:00Z"), "2026-11-22T09:00:00Z", "10:00 12:00"),
    (window("once", starts_at="2026-11-22T10:00:00Z"), "2026-11-22T11:59:59Z", "10:00 12:00"),
    (window("once", starts_at="2026-11-22T10:00:00Z"), "2026-11-22T12:00:00Z", None),
    (window(), "2026-11-22T01:59:59Z", "02:00 04:00"),
    (window(), "2026-11-22T03:59:59Z", "02:00 04:00"),
    (window(start="23:00"), "2026-11-22T00:30:00Z", "23:00 01:00"),
    (window(zone="+05:30"), "2026-11-22T00:00:00Z", "20:30 22:30"),
    (window(zone="-08:00"), "2026-11-22T10:30:00Z", "10:00 12:00"),
])
def test_the_opening_that_holds_or_comes_next(row, now, expected):
    found = spans(row, now)
    assert (found and " ".join(at[11:16] for at in found)) == expected


def test_a_weekly_window_is_open_on_its_days_only():
    row = window("weekly", days=(6,))  # Sundays; 2026-11-22 is one
    assert spans(row, "2026-11-22T03:00:00Z") == ("2026-11-22T02:00:00Z", "2026-11-22T04:00:00Z")
    assert spans(row, "2026-11-22T04:00:00Z") == ("2026-11-29T02:00:00Z", "2026-11-29T04:00:00Z")
    assert not is_open(row, clock.parse("2026-11-23T03:00:00Z"))


def test_a_window_of_days_is_open_on_all_of_them():
    row = window("weekly", days=(0,), start="00:00", minutes=5 * 1440)
    for day, expected in enumerate([False, True, True, True, True, True, False]):  # from Sunday on
        assert is_open(row, clock.parse("2026-11-22T12:00:00Z") + day * clock.DAY) is expected


BERLIN = [
    ("an ordinary night", "2026-03-28T00:30:00Z", ("2026-03-28T01:30:00Z", "2026-03-28T03:30:00Z")),
    ("the night whose 02:30 is left out", "2026-03-29T00:30:00Z", ("2026-03-29T01:30:00Z", "2026-03-29T03:30:00Z")),
    ("a night of summer", "2026-03-30T00:00:00Z", ("2026-03-30T00:30:00Z", "2026-03-30T02:30:00Z")),
    ("the night that has 02:30 twice", "2026-10-25T00:00:00Z", ("2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z")),
    ("the night after", "2026-10-26T00:00:00Z", ("2026-10-26T01:30:00Z", "2026-10-26T03:30:00Z")),
]


@pytest.mark.parametrize("now, expected", [row[1:] for row in BERLIN], ids=[row[0] for row in BERLIN])
def test_changes_to_and_from_summer_time(now, expected):
    if sys.version_info < (3, 9):
        needs.system("Python has named zones since 3.9.")
    try:
        zone_of("Europe/Berlin")
    except HubError:
        needs.system("There is no data of named zones here.")
    assert spans(window(zone="Europe/Berlin", start="02:30"), now) == expected


@pytest.mark.parametrize("name", ["Mars/Base", "../etc/passwd", "/etc/localtime", "+25:00", "", "a\0b", "Europe"])
def test_a_zone_that_is_not_known_is_refused_with_a_sentence(name):
    with pytest.raises(HubError, match="zone must be UTC"):
        zone_of(name)


# --- a hub in maintenance ---------------------------------------------------------------------------------------------

@pytest.fixture
def hub(telling_hub):
    return telling_hub


def maintain(hub, minutes=60, **members):
    body = dict({"name": "Patches", "kind": "once", "starts_at": clock.iso(hub.now()), "minutes": minutes}, **members)
    answer = hub.ask("POST", "/api/dashboard/maintenance", body, address=HERE, host="localhost")
    assert answer.status == 201, answer
    return answer.json["window"]


def ends(hub, minutes=61):
    hub.pass_time(minutes * clock.MINUTE)
    hub.jobs.listen()
    hub.jobs.remind()


def told(hub):
    return [message["event"] for message in hub.told]


def test_alerts_are_recorded_and_one_message_at_the_end_says_what_is_still_wrong(hub):
    server, healed = hub.server(), hub.server()
    maintain(hub)
    assert "maintenance" in server.flags()
    for _ in range(3):
        hub.send(server, {"cpu_percent": 99.0})
    hub.send(healed, {"cpu_percent": 99.0})
    for _ in range(2):
        hub.send(healed)
    assert told(hub) == [] and hub.fleet.unread == 0
    assert (server.tally.worst, server.tally.active, healed.tally.worst) == ("critical", 1, "")
    ends(hub)
    assert told(hub) == ["maintenance_end"] and "maintenance" not in server.flags()
    assert "CPU usage at 99.0%" in hub.told[0]["message"] and len(hub.told[0]["children"]) == 1
    assert hub.told[0]["server"]["uuid"] == server.row["uuid"]
    for _ in range(2):
        hub.send(server)
    assert told(hub) == ["maintenance_end", "recovered"]


def test_before_its_end_nothing_is_told(hub):
    server = hub.server()
    maintain(hub)
    hub.send(server, {"cpu_percent": 99.0})
    ends(hub, 59)
    assert told(hub) == [] and server.maintenance


def test_the_end_of_what_was_told_before_is_told(hub):
    server = hub.server()
    hub.send(server, {"cpu_percent": 99.0})
    maintain(hub)
    for _ in range(2):
        hub.send(server)
    assert told(hub) == ["opened", "recovered"]
    ends(hub)
    assert told(hub) == ["opened", "recovered"]


def test_a_rise_in_maintenance_is_told_at_its_end(hub):
    server = hub.server()
    hub.send(server, {"cpu_percent": 91.0})
    maintain(hub)
    hub.send(server, {"cpu_percent": 99.0})
    assert told(hub) == ["opened"]
    ends(hub)
    assert told(hub) == ["opened", "maintenance_end"]


def test_a_group_that_goes_silent_in_its_maintenance_is_told_at_its_end(hub, monkeypatch):
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: hub.now() / 1000))
    hub.silence = silence.Silence(hub.now())
    for group in ("Shop", "Office"):
        made = [hub.server(group_name=group) for _ in range(5)]
        for server in made:
            hub.send(server)
            hub.fleet.seen(server, hub.now() + (clock.HOUR if group == "Office" else 0))
    maintain(hub, scope="group", target="Shop")
    for _ in range(5):
        ends(hub, 10)
    assert told(hub) == [] and len(hub.rows("SELECT * FROM alerts WHERE rule = 'offline'")) == 5
    ends(hub, 11)
    assert told(hub) == ["maintenance_end"]
    assert "5 servers of Shop" in hub.told[0]["message"] and len(hub.told[0]["children"]) == 1


def test_who_stays_silent_after_an_outage_is_not_told_of_in_maintenance(hub, monkeypatch):
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: hub.now() / 1000))
    hub.silence = silence.Silence(hub.now())
    made = [hub.server() for _ in range(10)]
    for server in made:
        hub.send(server)
    ends(hub, 16)
    maintain(hub, scope="server", target=made[0].row["uuid"])
    for server in made[1:]:
        hub.fleet.seen(server, hub.now() + clock.DAY)
    for _ in range(5):
        ends(hub, 10)
    assert told(hub) == ["opened", "recovered"]
    ends(hub, 11)
    assert told(hub)[2:] == ["maintenance_end"] and hub.told[2]["server"]["uuid"] == made[0].row["uuid"]


def test_what_flapped_and_stays_bad_is_told_of_after_the_maintenance(hub):
    server = hub.server()
    hub.change_settings({"alert_clear_samples": 1})
    for _ in range(5):
        hub.send(server, {"cpu_percent": 99.0})
        hub.send(server)
    hub.send(server, {"cpu_percent": 99.0})
    before = told(hub)
    maintain(hub)
    ends(hub, 45)
    assert told(hub) == before and before[-1] == "flapping"
    ends(hub, 16)
    assert told(hub) == before + ["maintenance_end"]


def test_nothing_is_repeated_escalated_or_said_to_flap_in_maintenance(hub):
    server, busy = hub.server(), hub.server()
    hub.send(server, {"cpu_percent": 99.0})
    maintain(hub, 600)
    hub.change_settings({"alert_clear_samples": 1})
    for _ in range(6):
        hub.send(busy, {"cpu_percent": 99.0})
        hub.send(busy)
    ends(hub, 599)
    assert told(hub) == ["opened"]
    ends(hub, 2)
    ends(hub, 1)
    assert sorted(told(hub)) == ["escalated", "opened", "repeat"]


def test_a_window_is_about_its_servers_only(hub):
    within, outside = hub.server(group_name="Shop"), hub.server(group_name="Office")
    maintain(hub, scope="group", target="Shop")
    maintain(hub, scope="server", target=within.row["uuid"])
    assert (within.maintenance, outside.maintenance) == (True, False)
    hub.send(outside, {"cpu_percent": 99.0})
    assert told(hub) == ["opened"]


def test_removing_an_open_window_ends_the_maintenance(hub):
    server = hub.server()
    row = maintain(hub)
    hub.send(server, {"cpu_percent": 99.0})
    answer = hub.ask("DELETE", "/api/dashboard/maintenance/%d" % row["id"], address=HERE, host="localhost")
    assert answer.status == 200 and not server.maintenance
    ends(hub, 0)
    assert told(hub) == ["maintenance_end"]


def test_a_restart_in_maintenance_changes_nothing(tmp_path):
    with inside.running(tmp_path / "data") as hub:
        server = hub.server()
        maintain(hub)
        hub.send(server, {"cpu_percent": 99.0})
        now = hub.now() + clock.MINUTE
    with inside.running(tmp_path / "data", at=now) as hub:
        assert hub.fleet.servers()[0].maintenance
        ends(hub)
        lines = hub.ask("GET", "/api/dashboard/notifications", address=HERE, host="localhost").json["notifications"]
        assert [line["message"][:29] for line in lines] == ["After maintenance, still wron"]
