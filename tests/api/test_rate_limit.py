"""Who may ask how often: failures and registrations by address, agents by address and server."""

from __future__ import annotations

import itertools
import socket
import uuid

import pytest

from smon_hub import auth
from tests.hub.inside import HERE

SAMPLE = {"metrics": {"cpu_percent": 1, "memory_percent": 1}}
LIMIT = 3


@pytest.fixture
def limited(hub_inside):
    """A hub that lets each party ask three times a minute."""
    hub_inside.change_settings({"rate_limit_per_minute": LIMIT})
    return hub_inside


def bearer(registered, key=None):
    return {"Authorization": "Bearer %s:%s" % (registered["server_id"], key or registered["api_key"])}


def ask_until_refused(ask):
    """The statuses of one request more than the limit lets through."""
    return [ask().status for _ in range(LIMIT + 1)]


def test_a_refusal_says_when_to_come_back(limited):
    for _ in range(LIMIT):
        limited.ask("POST", "/api/register", {"hostname": "h"})
    answer = limited.ask("POST", "/api/register", {"hostname": "h"})
    assert (answer.status, answer.json["code"]) == (429, "rate_limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 61
    assert "rate_limit_per_minute" in answer.json["error"]


@pytest.mark.parametrize("path, body", [("/api/metrics", SAMPLE), ("/api/metrics/batch", {"payloads": [SAMPLE]}),
                                        ("/api/metrics/live", {"cpu_percent": 1})])
def test_an_agent_is_limited(limited, path, body):
    server = limited.register()
    ask = lambda: limited.ask("POST", path, body, headers=bearer(server))  # noqa: E731 - one request
    assert ask_until_refused(ask) == [200] * LIMIT + [429]


def test_agents_behind_one_address_do_not_share_a_limit(limited):
    servers = [limited.register() for _ in range(LIMIT + 2)]
    for _ in range(LIMIT):
        assert [limited.ask("POST", "/api/metrics", SAMPLE, headers=bearer(server)).status for server in servers] == [
            200] * len(servers)


def test_wrong_keys_are_limited_by_address_and_right_ones_are_not_held_against_it(limited):
    server, other = limited.register(), limited.register()
    wrong = bearer(server, auth.new_key())
    ask = lambda: limited.ask("POST", "/api/metrics", SAMPLE, headers=wrong)  # noqa: E731 - one request
    assert ask_until_refused(ask) == [401] * LIMIT + [429]
    assert limited.ask("POST", "/api/metrics", SAMPLE, headers=wrong, address="192.0.2.99").status == 401
    assert limited.ask("POST", "/api/metrics", SAMPLE, headers=bearer(other), address="192.0.2.98").status == 200


def test_an_agent_that_is_known_is_not_stopped_by_its_neighbours_failures(limited):
    server = limited.register()
    assert limited.ask("POST", "/api/metrics", SAMPLE, headers=bearer(server)).status == 200
    for _ in range(LIMIT + 1):
        limited.ask("POST", "/api/metrics", SAMPLE, headers=bearer(server, auth.new_key()))
    assert limited.ask("POST", "/api/metrics", SAMPLE, headers=bearer(server)).status == 200


def test_requests_without_any_credential_are_limited(limited):
    assert ask_until_refused(lambda: limited.ask("POST", "/api/metrics", SAMPLE)) == [401] * LIMIT + [429]


def test_guesses_at_the_dashboard_are_limited_by_address(limited):
    paths = itertools.cycle(["/api/dashboard", "/api/dashboard/settings", "/api/dashboard/server/a"])
    assert ask_until_refused(lambda: limited.ask("GET", next(paths))) == [401] * LIMIT + [429]
    assert limited.ask("GET", "/api/dashboard", address="192.0.2.99").status == 401
    token = {"Authorization": "Bearer " + limited.local_token}
    assert limited.ask("GET", "/api/dashboard", headers=token).status == 200


def test_unknown_servers_are_limited_by_address(limited):
    ask = lambda: limited.ask("POST", "/api/ping", headers=bearer({  # noqa: E731 - one request
        "server_id": str(uuid.uuid4()), "api_key": auth.new_key()}))
    assert ask_until_refused(ask) == [401] * LIMIT + [429]


def test_an_unknown_server_costs_no_hash_and_is_told_the_same_as_a_wrong_key(hub_inside, monkeypatch):
    checked = []
    monkeypatch.setattr(auth.bcrypt, "checkpw", lambda key, stored: checked.append(key) is not None)
    known = hub_inside.register()
    unknown = bearer(known, auth.new_key()), bearer(dict(known, server_id=str(uuid.uuid4())))
    answers = [hub_inside.ask("POST", "/api/metrics", SAMPLE, headers=headers) for headers in unknown]
    assert [answer.status for answer in answers] == [401, 401]
    assert answers[0].json == answers[1].json
    assert len(checked) == 1  # of the known one


def test_an_unknown_server_is_refused_before_its_body_is_sent(hub):
    head = "POST /api/metrics HTTP/1.1\r\nHost: hub\r\nAuthorization: %s\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", hub.port), timeout=20) as sock:
        unknown = bearer({"server_id": str(uuid.uuid4()), "api_key": auth.new_key()})
        sock.sendall((head % unknown["Authorization"]).encode())
        assert sock.recv(100).startswith(b"HTTP/1.1 401 ")


def test_beats_and_pages_are_not_limited(limited):
    server = limited.register()
    for _ in range(LIMIT + 2):
        assert limited.ask("POST", "/api/ping", headers=bearer(server)).status == 200
        assert limited.ask("GET", "/api/ping").status == 200
        assert limited.ask("GET", "/api/dashboard", address=HERE, host="localhost").status == 200


def test_hosts_of_one_ipv6_network_share_a_limit(limited):
    statuses = [limited.ask("POST", "/api/register", {"hostname": "h"}, address="2001:db8::%d" % number).status
                for number in range(1, LIMIT + 2)]
    assert statuses == [201] * LIMIT + [429]


def test_a_forwarded_address_counts_only_behind_a_trusted_proxy(limited):
    def ask(number):
        forwarded = {"X-Forwarded-For": "192.0.2.%d" % number}
        return limited.ask("POST", "/api/register", {"hostname": "h"}, headers=forwarded)
    assert [ask(number).status for number in range(LIMIT + 1)] == [201] * LIMIT + [429]


def test_the_seeds_limit_is_120_a_minute(hub, client):
    statuses = [client.post("/api/register", {"hostname": "often"}).status for _ in range(121)]
    assert statuses == [201] * 120 + [429]
    assert hub.post("/api/register", {"hostname": "another address"}).status == 201
