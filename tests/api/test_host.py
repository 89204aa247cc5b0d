"""By which names the hub may be called, and when its own machine is trusted."""

from __future__ import annotations

import socket

import pytest

from smon_hub.web.admission import Hosts
from tests.hub import inside
from tests.hub.inside import HERE, PASSWORD, STRANGER

GUARDED = [("GET", "/"), ("GET", "/login"), ("GET", "/servers/a"), ("GET", "/api/dashboard"), ("GET", "/api/session"),
           ("POST", "/api/session"), ("POST", "/api/setup"), ("PATCH", "/api/dashboard/settings")]
LOGIN = {"username": "anna", "password": PASSWORD}

pytestmark = pytest.mark.usefixtures("quick_passwords")


@pytest.mark.parametrize("method, path", GUARDED)
@pytest.mark.parametrize("host", ["evil.example", "evil.example:3000", "127.0.0.1.evil.example",
                                  "localhost.evil.example", "localhost:3000:1", "[::1", "evil@127.0.0.1"])
def test_a_foreign_name_is_misdirected(hub_inside, method, path, host):
    for headers in ({}, hub_inside.local_token and {"Authorization": "Bearer " + hub_inside.local_token}):
        answer = hub_inside.ask(method, path, LOGIN if method != "GET" else None, host=host, headers=headers)
        assert (answer.status, answer.json["code"]) == (421, "misdirected")


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1:3000", "[::1]:3000", "[2001:db8::1]", "localhost",
                                  "LocalHost:3000", "localhost.", socket.gethostname(),
                                  socket.gethostname().upper() + ":3000"])
def test_addresses_and_the_machines_own_names_are_ours(hub_inside, host):
    assert hub_inside.ask("GET", "/login", host=host).status == 200


@pytest.mark.parametrize("method, path, status", [("GET", "/api/ping", 200), ("POST", "/api/register", 201),
                                                  ("POST", "/api/metrics", 401), ("GET", "/metrics", 401),
                                                  ("GET", "/agent/smon_agent.py", 200)])
def test_agents_and_scrapers_may_call_by_any_name(hub_inside, method, path, status):
    body = {"hostname": "web"} if path == "/api/register" else None
    assert hub_inside.ask(method, path, body, host="monitor.evil.example").status == status


def test_the_name_is_not_shown_as_it_came(hub_inside):
    answer = hub_inside.ask("GET", "/", host="<script>alert(1)</script>\u00e4", headers={"Accept": "text/html"})
    assert answer.status == 421 and "<script>alert" not in answer.text


def test_allowed_hosts_take_the_place_of_the_machines_own_names(tmp_path):
    with inside.running(tmp_path / "data", "--allowed-hosts", "Smon.example") as hub:
        assert [hub.ask("GET", "/login", host=host).status for host in (
            "smon.example:3000", "localhost", "192.0.2.1", socket.gethostname(), "x.smon.example")] == [
                200, 200, 200, 421, 421]


def test_a_machines_name_with_its_domain_is_ours_once_it_is_known(monkeypatch):
    monkeypatch.setattr(socket, "getfqdn", lambda: "Hub-7.Berlin.example")
    hosts = Hosts((), "")
    hosts._ask_for_more()
    assert hosts.ours("hub-7.berlin.example:3000") and not hosts.ours("berlin.example")


def test_the_public_url_is_ours_as_host_and_as_origin(tmp_path):
    with inside.running(tmp_path / "data", "--public-url", "https://smon.example") as hub:
        anna = hub.user()
        assert hub.ask("GET", "/", host="smon.example").status == 200
        for origin, status in (("https://smon.example", 200), ("http://192.0.2.1:3000", 200),
                               ("http://smon.example", 403), ("https://smon.example.evil.example", 403)):
            change = hub.ask("PATCH", "/api/dashboard/settings", {"data_retention_days": 31},
                             headers=dict(anna, Origin=origin))
            assert change.status == status, origin


@pytest.mark.parametrize("origin, status", [("https://smon.example", 200), ("http://smon.example", 403),
                                            ("https://192.0.2.1:3000", 403)])
def test_behind_a_trusted_proxy_the_origin_is_what_it_forwards(tmp_path, origin, status):
    options = ("--trusted-proxies", STRANGER, "--allowed-hosts", "smon.example")
    with inside.running(tmp_path / "data", *options) as hub:
        forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "smon.example", "X-Forwarded-For": "192.0.2.3"}
        answer = hub.ask("PATCH", "/api/dashboard/settings", {"data_retention_days": 31},
                         headers=dict(hub.user(), Origin=origin, **forwarded))
        assert answer.status == status


def test_what_a_trusted_proxy_forwards_must_be_ours_too(tmp_path):
    with inside.running(tmp_path / "data", "--trusted-proxies", STRANGER) as hub:
        assert hub.ask("GET", "/", headers={"X-Forwarded-Host": "evil.example"}).status == 421
        assert hub.ask("GET", "/", address="192.0.2.78", headers={"X-Forwarded-Host": "evil.example"}).status == 200


def test_a_client_without_a_host_is_no_browser(hub_inside):
    assert hub_inside.ask("GET", "/login", host="").status == 200


# --- this machine -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options, trusted", [
    ((), True), (("--local-trust", "off"), False), (("--trusted-proxies", "192.0.2.9"), False),
    (("--allowed-hosts", "smon.example"), False), (("--public-url", "https://smon.example"), False)], ids=str)
def test_any_sign_of_a_proxy_ends_the_trust_in_this_machine(tmp_path, options, trusted):
    with inside.running(tmp_path / "data", *options) as hub:
        assert hub.ask("GET", "/api/session", address=HERE, host="localhost").json["local_trust"] is trusted
        answer = hub.ask("GET", "/api/dashboard", address=HERE, host="localhost")
        assert answer.status == (200 if trusted else 401)
