"""GET /api/dashboard: all servers at a glance, in the seed's form and in the page's."""

from __future__ import annotations

import gzip
import json
import urllib.request

import pytest

from smon_hub import clock
from tests.hub.inside import HERE, START
from tests.support import ROOT

GOLDEN = ROOT / "tests" / "golden"
CARDS = "/api/dashboard?view=cards"


def here(hub, path="/api/dashboard", **options):
    return hub.ask("GET", path, address=HERE, host="localhost", **options)


@pytest.fixture
def peopled(hub_inside):
    """One server with a sample, one that waits for its first, one that has been silent; ids that a file can know."""
    for number in range(3):
        server = hub_inside.server(hostname="server-%d" % number, ip_address="192.0.2.%d" % number, os_info="Linux",
                                   group_name="Group %d" % (number % 2), tags=["t%d" % number])
        uuid = "00000000-0000-4000-8000-00000000000%d" % number
        hub_inside.fleet.remove(server.row["uuid"])
        server = hub_inside.fleet.add(dict(server.row, uuid=uuid))
        if number != 1:
            hub_inside.send(server, {"cpu_percent": 10 + number}, agent={"version": "0.1", "beat_seconds": 60})
    hub_inside.pass_time(clock.HOUR)
    hub_inside.fleet.seen(hub_inside.fleet.by_uuid["00000000-0000-4000-8000-000000000000"], hub_inside.now())
    return hub_inside


@pytest.mark.parametrize("name, path", [("dashboard", "/api/dashboard"), ("dashboard_cards", CARDS)])
def test_the_whole_answer_is_as_written_down(peopled, name, path):
    golden = json.loads((GOLDEN / (name + ".json")).read_text(encoding="utf-8"))
    assert here(peopled, path).json == golden


SHARED = [("id", "id"), ("name", "display_name"), ("hostname", "hostname"), ("group", "group_name"),
          ("ip", "ip_address"), ("os", "os_info"), ("tags", "tags"), ("status", "status"), ("flags", "flags"),
          ("last_seen_at", "last_seen_at"), ("alerts", "alert_count"), ("critical", "critical_count")]


def test_both_views_tell_the_same_of_each_server(peopled):
    whole, cards = here(peopled).json, here(peopled, CARDS).json
    rows = [dict(zip(cards["columns"], row)) for row in cards["rows"]]
    assert cards["summary"] == whole["summary"]
    for in_card, in_entry in SHARED:
        assert [row[in_card] for row in rows] == [entry[in_entry] for entry in whole["servers"]], in_card
    assert [row["cpu"] for row in rows] == [(entry["metrics"] or {}).get("cpu_percent") for entry in whole["servers"]]


@pytest.mark.parametrize("path", ["/api/dashboard", CARDS])
def test_no_answer_holds_a_key_or_its_hash(peopled, path):
    text = here(peopled, path).text
    for server in peopled.fleet.servers():
        assert server.row["key_hash"] not in text and server.row["export_key"] not in text
    assert "key_hash" not in text and "export_key" not in text


def test_without_servers_it_is_an_empty_overview(hub_inside):
    answer = here(hub_inside).json
    assert (answer["servers"], answer["alerts"]) == ([], [])
    assert {key: answer["summary"][key] for key in (
        "totalServers", "onlineServers", "offlineServers", "activeAlerts", "criticalAlerts", "unreadNotifications",
        "groups")} == {"totalServers": 0, "onlineServers": 0, "offlineServers": 0, "activeAlerts": 0,
                       "criticalAlerts": 0, "unreadNotifications": 0, "groups": []}


def test_an_overview_is_never_older_than_the_last_acknowledged_write(hub):
    for number in range(10):
        server = hub.register("now-%d" % number)
        server.send({"cpu_percent": number})
        shown = {each["id"]: each for each in hub.get("/api/dashboard").json["servers"]}
        assert shown[server.id]["metrics"]["cpu_percent"] == number


def test_silence_alone_turns_a_server_offline(hub_inside):
    hub_inside.send(hub_inside.server())
    assert here(hub_inside).json["servers"][0]["status"] == "online"
    hub_inside.pass_time(16 * clock.MINUTE)
    answer = here(hub_inside).json
    assert answer["servers"][0]["status"] == "offline"
    assert (answer["summary"]["onlineServers"], answer["summary"]["offlineServers"]) == (0, 1)
    assert answer["servers"][0]["last_seen_at"] == clock.iso(START)


def test_the_threshold_of_silence_is_a_setting(hub_inside):
    hub_inside.send(hub_inside.server())
    hub_inside.pass_time(16 * clock.MINUTE)
    hub_inside.change_settings({"stale_threshold_minutes": 60})
    assert here(hub_inside).json["servers"][0]["status"] == "online"


# --- asking again -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", ["/api/dashboard", CARDS])
def test_nothing_new_is_304_without_a_body(peopled, path):
    tag = here(peopled, path).headers["etag"]
    again = here(peopled, path, headers={"If-None-Match": tag})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    peopled.pass_time(5 * clock.SECOND)
    assert here(peopled, path, headers={"If-None-Match": tag}).status == 304


@pytest.mark.parametrize("path", ["/api/dashboard", CARDS])
def test_something_new_is_told_with_a_new_tag(peopled, path):
    tag = here(peopled, path).headers["etag"]
    peopled.send(peopled.fleet.servers()[1], {"cpu_percent": 99})
    answer = here(peopled, path, headers={"If-None-Match": tag})
    assert answer.status == 200 and answer.headers["etag"] != tag


def test_the_two_views_have_their_own_tags(peopled):
    assert here(peopled).headers["etag"] != here(peopled, CARDS).headers["etag"]


def test_an_unknown_view_is_named(hub):
    answer = hub.get("/api/dashboard?view=map")
    assert (answer.status, answer.json["error"]) == (400, "view must be one of: whole, cards, summary.")


# --- gzip -------------------------------------------------------------------------------------------------------------

def raw(hub, accept):
    """An answer's coding and bytes as they were sent."""
    request = urllib.request.Request(hub.url + "/api/dashboard", headers={"Accept-Encoding": accept})
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.headers, response.read()


def test_a_long_answer_is_packed_for_those_who_ask(hub):
    for number in range(5):
        hub.register("long-%d" % number).send()
    plain_headers, plain = raw(hub, "identity")
    packed_headers, packed = raw(hub, "gzip, br")
    assert plain_headers["Content-Encoding"] is None and packed_headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed))["summary"] == json.loads(plain)["summary"]
    assert len(packed) < len(plain)
    assert plain_headers["Vary"] == packed_headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("accept", ["gzip;q=0", "br, gzip; q=0", "identity"])
def test_it_is_not_packed_for_those_who_refuse(hub, accept):
    for number in range(5):
        hub.register("plain-%d" % number).send()
    assert raw(hub, accept)[0]["Content-Encoding"] is None


def test_a_stranger_sees_nothing(hub_inside):
    assert hub_inside.ask("GET", "/api/dashboard").status == 401
