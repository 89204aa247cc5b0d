"""The demo against a real hub, by the command of the documents, and against one that asks to wait."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import ROOT
from tests.support.processes import HubProcess, clean_environment
from tests.support.receivers import HttpReceiver, Reply


def demo(url, *words, status=0):
    done = subprocess.run([sys.executable, str(ROOT / "smon_server.py"), "demo", "--url", url, *words],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True, env=clean_environment(), timeout=120)
    assert done.returncode == status, done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


def test_it_fills_a_hub_as_the_documents_say(fresh_hub):
    said = demo(fresh_hub.url, "--count", "8", "--rounds", "12", "--live", "--live-ticks", "30")
    assert said == "8 servers in 5 groups sent 96 samples and 240 near-live ones.\n"
    overview = fresh_hub.get("/api/dashboard").json
    assert (overview["summary"]["totalServers"], len(overview["summary"]["groups"])) == (8, 5)
    one = overview["servers"][0]["id"]
    assert len(fresh_hub.server(one)["history"]) == 12
    assert len(fresh_hub.get("/api/dashboard/server/%s/live?minutes=10" % one).json["metrics"]) == 30
    alerts = fresh_hub.get("/api/dashboard/alerts?state=all").json["alerts"]
    assert {alert["alert_type"]: alert["state"] for alert in alerts} == {
        "cpu": "resolved", "service": "active", "disk": "active", "memory": "active"}


def test_days_of_history_are_filled_in(fresh_hub):
    demo(fresh_hub.url, "--count", "2", "--days", "2")
    for row in fresh_hub.get("/api/dashboard").json["servers"]:
        assert len(fresh_hub.server(row["id"], hours=72)["history"]) == 288
        assert row["status"] == "online"


def test_servers_that_have_to_wait_are_told(tmp_path):
    with HubProcess(tmp_path / "data", "--local-trust", "off") as hub:
        assert "3 of them wait for approval" in demo(hub.url, "--count", "3", "--rounds", "2")


def test_it_waits_when_the_hub_asks_for_it():
    admitted = b'{"server_id": "1", "api_key": "k", "message": "Server registered successfully."}'
    busy = Reply(429, {"Retry-After": "1"}, b'{"error": "Slow down."}')
    with HttpReceiver(Reply(201, body=admitted), busy, Reply(body=b'{"stored": true}')) as hub:
        said = demo(hub.url, "--count", "1", "--rounds", "1")
    assert said == "The hub asks to wait 1 seconds.\n1 servers in 1 groups sent 1 samples.\n"
    assert len(hub.posts) == 3


@pytest.mark.parametrize("url, says", [("http://127.0.0.1:1", "does not answer as a hub"),
                                       ("ftp://127.0.0.1", "must be http:// or https:// and a host")])
def test_without_a_hub_it_is_one_sentence(url, says):
    said = demo(url, status=1)
    assert says in said and said.count("\n") == 1


def test_a_number_out_of_bounds_is_named():
    assert "must be a number from 0 to 365" in demo("http://127.0.0.1:1", "--days", "366", status=2)
