"""GET /api/dashboard/export: everything as a file, whole, safe for spreadsheets, flat in memory."""

from __future__ import annotations

import csv
import io
import socket
import sqlite3
import threading
import tracemalloc

import pytest

from smon_hub import clock, export, metrics
from smon_hub.store import series
from tests.hub.inside import HERE, START, STRANGER, running
from tests.support.processes import START_SECONDS

HEADER = "hostname,ip_address,os_info,group,cpu_percent,memory_percent,status,last_seen"
MIB = 1 << 20


def ask(hub, query="", headers=None):
    return hub.ask("GET", "/api/dashboard/export" + query, address=HERE, host="localhost", headers=headers)


def rows_of(answer):
    assert answer.status == 200, answer.text
    return list(csv.reader(io.StringIO(answer.body.decode("utf-8"), newline=""), strict=True))


def fill(hub, servers, samples):
    """Many servers with many samples, a minute apart; past the front door, which is not what is tested here."""
    for _ in range(servers):
        row_id = hub.server().row["id"]
        arrivals = [series.Arrival((row_id, START - age * clock.MINUTE, *([50.5] * len(metrics.KEYS)), None), True)
                    for age in range(samples)]
        hub.engine.write(lambda db: series.add(db, arrivals))


# --- JSON -------------------------------------------------------------------------------------------------------------

def test_json_holds_each_server_with_its_state_and_history(hub_inside):
    server, bare = hub_inside.server(hostname="web", group_name="shop"), hub_inside.server(hostname="bare")
    for age in (0, 2 * clock.HOUR, 200 * clock.HOUR):
        hub_inside.send(server, collected_at=START - age)
    answer = ask(hub_inside, "?format=json&hours=168").json
    assert (answer["exported_at"], answer["period_hours"], answer["total_servers"]) == ("2026-11-22T10:00:00Z", 168, 2)
    first, second = answer["data"]
    assert set(first) == {"server", "current_metrics", "history", "alerts"}
    assert (first["server"]["hostname"], first["server"]["group_name"], first["server"]["status"]) == (
        "web", "shop", "online")
    assert [point["timestamp"] for point in first["history"]] == ["2026-11-22T08:00:00Z", "2026-11-22T10:00:00Z"]
    assert set(first["history"][0]) == {"timestamp", *metrics.KEYS}
    assert first["current_metrics"]["disks"][0]["mountpoint"] == "/"
    assert second == {"server": second["server"], "current_metrics": None, "history": [], "alerts": []}
    assert second["server"]["id"] == bare.row["uuid"]


def test_json_holds_the_alerts_of_that_time(hub_inside):
    server, calm = hub_inside.server(), hub_inside.server()
    hub_inside.send(server, {"cpu_percent": 99})
    hub_inside.send(calm)
    first, second = ask(hub_inside).json["data"]
    assert [(each["alert_type"], each["metric_value"]) for each in first["alerts"]] == [("cpu", 99)]
    assert (first["server"]["status"], second["alerts"]) == ("critical", [])


def test_without_a_word_it_is_json_of_a_week(hub_inside):
    answer = ask(hub_inside)
    assert (answer.json["period_hours"], answer.headers["content-type"]) == (168, "application/json")


def test_a_history_of_many_pages_is_whole(hub_inside, monkeypatch):
    monkeypatch.setattr(export, "PAGE_ROWS", 7)
    fill(hub_inside, 1, 50)
    history = ask(hub_inside, "?hours=1").json["data"][0]["history"]
    assert [point["timestamp"] for point in history] == [
        clock.iso(START - age * clock.MINUTE) for age in range(49, -1, -1)]


def test_a_server_that_waits_for_approval_is_left_out(hub_inside):
    waiting = hub_inside.server()
    hub_inside.fleet.change(waiting.row["uuid"], {"approved": False})
    assert ask(hub_inside).json["total_servers"] == 0
    assert len(rows_of(ask(hub_inside, "?format=csv"))) == 1


# --- CSV --------------------------------------------------------------------------------------------------------------

def test_csv_has_the_seeds_header_and_a_row_a_server(hub_inside):
    server = hub_inside.server(hostname='web,"1"', ip_address="10.0.0.7", os_info="Linux 6.1", group_name="shop")
    hub_inside.send(server)
    hub_inside.server(hostname="bare")
    hub_inside.pass_time(clock.HOUR)
    hub_inside.fleet.seen(server, hub_inside.now())
    answer = ask(hub_inside, "?format=csv&hours=168")
    lines = answer.body.decode("utf-8").split("\r\n")
    assert (lines[0], lines[-1]) == (HEADER, "")
    assert lines[1] == '"web,""1""",10.0.0.7,Linux 6.1,shop,12.5,37.5,online,2026-11-22T11:00:00Z'
    assert rows_of(answer)[2] == ["bare", HERE, "", "Default", "", "", "offline", "2026-11-22T10:00:00Z"]


def test_csv_of_the_history_has_a_row_a_sample(hub_inside):
    server = hub_inside.server(hostname="web")
    for age in (2 * clock.HOUR, 0):
        hub_inside.send(server, collected_at=START - age)
    header, *rows = rows_of(ask(hub_inside, "?format=csv&scope=history&hours=24"))
    assert header == ["server", "hostname", "group", "timestamp", *metrics.KEYS]
    assert [row[:4] for row in rows] == [[server.row["uuid"], "web", "Default", "2026-11-22T08:00:00Z"],
                                         [server.row["uuid"], "web", "Default", "2026-11-22T10:00:00Z"]]
    assert float(rows[0][header.index("cpu_percent")]) == 12.5 and rows[0][header.index("load_1")] == ""


@pytest.mark.parametrize("name", ["=cmd|calc", "+1+1", "-2+3", "@SUM(1)", "\t=1", "  =1", "\u00a0=1", "\ufeff=1",
                                  "\u200d=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201", "-5", "\tx"])
def test_no_cell_is_a_formula(name):
    cell = export._cell(name)
    assert cell == "'" + name


def test_a_cell_is_one_line_and_numbers_stay_numbers():
    assert export._cell("a\r\nb=c") == "a  b=c"
    assert [export._cell(value) for value in (-5, 0.5, None, "plain", "a-b", "")] == [-5, 0.5, None, "plain", "a-b", ""]


def test_names_that_are_formulas_come_out_harmless(hub_inside):
    server = hub_inside.server(hostname='=HYPERLINK("http://x","y")', group_name="@evil", os_info="+1")
    hub_inside.send(server)
    assert rows_of(ask(hub_inside, "?format=csv"))[1][:4] == [
        '\'=HYPERLINK("http://x","y")', HERE, "'+1", "'@evil"]
    assert rows_of(ask(hub_inside, "?format=csv&scope=history"))[1][1:3] == [
        '\'=HYPERLINK("http://x","y")', "'@evil"]


# --- the answer -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("query, content_type, name", [
    ("", "application/json", "smon-export-2026-11-22.json"),
    ("?format=csv", "text/csv; charset=utf-8", "smon-servers-2026-11-22.csv"),
    ("?format=csv&scope=history", "text/csv; charset=utf-8", "smon-history-2026-11-22.csv"),
])
def test_it_is_a_file_with_a_dated_name(hub_inside, query, content_type, name):
    headers = ask(hub_inside, query).headers
    assert headers["content-type"] == content_type
    assert headers["content-disposition"] == 'attachment; filename="%s"' % name
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


@pytest.mark.parametrize("query, sentence", [
    ("format=xml", "format must be one of: json, csv."),
    ("format=", "format must be one of: json, csv."),
    ("format=CSV", "format must be one of: json, csv."),
    ("scope=all", "scope must be one of: servers, history."),
    ("hours=0", "hours must be a whole number from 1 to 8760."),
    ("hours=8761", "hours must be a whole number from 1 to 8760."),
])
def test_a_wrong_parameter_is_named_with_its_choices(hub_inside, query, sentence):
    answer = ask(hub_inside, "?" + query)
    assert (answer.status, answer.json["error"]) == (400, sentence)
    assert "content-disposition" not in answer.headers


def test_a_stranger_gets_none_of_it(hub_inside):
    assert hub_inside.ask("GET", "/api/dashboard/export", address=STRANGER).status == 401


def test_over_the_wire_it_is_the_same_plain_and_packed(hub):
    hub.register("wire").send()
    plain = hub.get("/api/dashboard/export?format=csv")
    packed = hub.get("/api/dashboard/export?format=csv", {"Accept-Encoding": "gzip"})
    assert (plain.status, packed.headers["content-encoding"]) == (200, "gzip")
    assert rows_of(plain)[0] == rows_of(packed)[0] == HEADER.split(",")
    assert "content-encoding" not in plain.headers
    assert hub.request("HEAD", "/api/dashboard/export").status == 200


def test_it_tells_no_key(hub):
    server = hub.register("secret")
    server.send()
    text = hub.get("/api/dashboard/export").text
    assert server.key not in text and "$2b$" not in text and "_key" not in text


# --- long ones --------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def large(tmp_path_factory):
    with running(tmp_path_factory.mktemp("export") / "data") as hub:
        fill(hub, 3, 14_000)
        yield hub


@pytest.mark.parametrize("query", [("json", "servers"), ("csv", "history")])
def test_memory_stays_flat_however_long_the_history_is(large, query):
    makes = export.EXPORTS[query][2]
    size = 0
    tracemalloc.start()
    try:
        for piece in export.pieces(makes(large, 8_760, START)):
            size += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 4 * MIB
    assert peak < 2 * MIB  # pages, pieces and the clock's own cache of texts; the rows of one server alone are more


def test_no_checkpoint_waits_for_a_slow_reader(large):
    pieces = export.pieces(export.EXPORTS["csv", "history"][2](large, 8_760, START))
    next(pieces)
    large.server()  # something that only the write-ahead log holds yet
    with sqlite3.connect(large.engine.path) as other:
        busy, left, done = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert (busy, left) == (0, 0)
    assert next(pieces)


def test_a_client_that_hangs_up_ends_the_work(large, monkeypatch):
    asked, ended = [], threading.Event()
    page, pieces = series.page, export.pieces

    def watched(texts):
        try:
            yield from pieces(texts)
        finally:
            ended.set()
    monkeypatch.setattr(series, "page", lambda *given: asked.append(given) or page(*given))
    monkeypatch.setattr(export, "pieces", watched)
    monkeypatch.setattr(large, "config", large.config._replace(host="127.0.0.1", port=0))
    server = large.serve()
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        leave_in_the_middle(server.addresses[0])
        assert ended.wait(START_SECONDS)
        assert 0 < len(asked) < 3 * 14_000 / export.PAGE_ROWS
    finally:
        server.stop()
        thread.join()


def leave_in_the_middle(address):
    with socket.create_connection(address) as client:
        client.sendall(b"GET /api/dashboard/export?hours=8760 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(64).startswith(b"HTTP/1.1 200")
