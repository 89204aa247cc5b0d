"""install/nginx.conf, as it is but for addresses, in front of hubs that live, die and hang."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import socketserver
import ssl
import threading

import pytest

from tests.support import receivers
from tests.support.client import Client
from tests.support.nginx import Nginx
from tests.support.processes import HubProcess, free_port, until

AWAY = {"error": "No hub answers; try again.", "code": "unavailable"}
AGENT_PATHS = ("/api/metrics", "/api/metrics/batch", "/api/metrics/live", "/api/ping")


class Dying:
    """A hub that takes a request and dies of it: the connection ends without an answer."""

    def __init__(self):
        self.numbers = []  # what was asked of it; None for what had no body
        dying = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                head = list(iter(self.rfile.readline, b"\r\n"))
                length = [int(line.split(b":")[1]) for line in head if line.lower().startswith(b"content-length")]
                body = self.rfile.read(sum(length))
                if head:  # not a connection that was only opened
                    dying.numbers.append(json.loads(body.decode() or "{}").get("number"))

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def dying():
    made = Dying()
    yield made
    made.close()


@pytest.fixture
def silent():
    """The port of a machine that is gone: with no room left for connections, the kernel drops what comes."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


class Pair:
    """Two hubs, each with a database of its own, which is enough to see where a request went."""

    def __init__(self, folder):
        self.port = free_port()
        self.hubs = [HubProcess(folder / name, "--trusted-proxies", "127.0.0.1",
                                "--public-url", "http://127.0.0.1:%d" % self.port) for name in ("one", "two")]
        self.nginx = Nginx([hub.port for hub in self.hubs], self.port)

    def client(self, source=None):
        return Client(self.nginx.url, source)

    def owner(self, caller):
        """The hub that a caller's requests go to."""
        assert caller.get("/api/ping").status == 200
        port = self.served("/api/ping")[-1].ports[0]
        return next(hub for hub in self.hubs if hub.port == port)

    def served(self, path, count=1):
        """The lines of a path; nginx writes one after the answer has left."""
        def lines():
            found = [line for line in self.nginx.served() if line.path == path]
            return found if len(found) >= count else None
        return until(lines, "A line for %s" % path)

    def close(self):
        self.nginx.stop()
        for hub in self.hubs:
            if hub.running:
                assert hub.stop() == 0, hub.log


@pytest.fixture
def pair(tmp_path):
    made = Pair(tmp_path)
    yield made
    made.close()


def test_nginx_has_nothing_to_say_against_it():
    with Nginx([free_port(), free_port()]) as nginx:
        said = nginx.check()
        assert "test is successful" in said and not re.search(r"\[(warn|error|emerg)\]", said), said


def test_with_the_lines_for_tls_taken_in_it_speaks_tls(hub, tmp_path):
    folder = receivers.make_certificate(tmp_path)
    with Nginx([hub.port], tls=folder) as nginx:
        said = nginx.check()
        assert "test is successful" in said and "[warn]" not in said, said
        trust = ssl.create_default_context(cafile=str(folder / "cert.pem"))
        caller = http.client.HTTPSConnection("127.0.0.1", nginx.port, timeout=10, context=trust)
        caller.request("GET", "/api/ping")
        assert caller.getresponse().status == 200
        caller.close()


def test_callers_keep_their_hub_and_are_shared_among_both(pair):
    ports = set()
    for number in range(16):
        for _ in range(2):
            caller = pair.client("127.0.0.9")
            caller.get("/api/ping", {"Authorization": "Bearer server%d:key" % number})
            caller.close()
        first, second = pair.served("/api/ping", 2 * number + 2)[-2:]
        assert first.ports == second.ports
        ports.update(first.ports)
    assert ports == {hub.port for hub in pair.hubs}


def test_a_caller_whose_hub_was_killed_is_answered_by_the_other(pair):
    caller = pair.client()
    owner = pair.owner(caller)
    owner.kill9()
    for _ in range(8):
        assert caller.get("/api/ping").status == 200
        answer = caller.post("/api/register", {"hostname": "late", "ip_address": "192.0.2.7", "os_info": "Linux"})
        assert answer.status in (201, 401, 403), answer  # what the hub itself says: it was reached
    tried = [line.ports for line in pair.served("/api/ping", 9)[1:]]
    assert all(ports[-1] != owner.port for ports in tried)
    assert sum(owner.port in ports for ports in tried) <= 3  # then it is left alone for a while


def test_a_hub_that_is_started_again_gets_its_callers_back(pair):
    caller = pair.client()
    owner = pair.owner(caller)
    assert owner.stop() == 0
    assert caller.get("/api/ping").status == 200
    again = HubProcess(owner.data_dir, "--trusted-proxies", "127.0.0.1", port=owner.port)
    pair.hubs.append(again)
    until(lambda: pair.owner(caller).port == again.port, "The way back", 30)


def sixteen(nginx, path):
    """Statuses of sixteen callers, of whom some have the one hub and some the other."""
    statuses = []
    for number in range(16):
        caller = Client(nginx.url)
        statuses.append(caller.post(path, {"number": number}, {"Authorization": "Bearer %d" % number}).status)
        caller.close()
    return statuses


@pytest.mark.parametrize("path", AGENT_PATHS)
def test_what_an_agent_sent_to_a_hub_that_died_with_it_goes_to_the_other_one(dying, path):
    with receivers.HttpReceiver() as other, Nginx([dying.port, other.port]) as nginx:
        assert sixteen(nginx, path) == [200] * 16
        assert [post.json["number"] for post in other.posts] == list(range(16))
        assert dying.numbers


@pytest.mark.parametrize("path", ["/api/register", "/api/dashboard/tokens", "/api/metrics/else"])
def test_what_can_not_be_done_twice_is_never_sent_twice(dying, path):
    with receivers.HttpReceiver() as other, Nginx([dying.port, other.port]) as nginx:
        statuses = sixteen(nginx, path)
        assert sorted(dying.numbers + [post.json["number"] for post in other.posts]) == list(range(16))
        assert [number for number in range(16) if statuses[number] == 503] == dying.numbers != []


def test_a_get_that_a_hub_died_with_is_answered_by_the_other_one(dying, hub):
    with Nginx([dying.port, hub.port]) as nginx:
        for number in range(16):
            assert Client(nginx.url).get("/api/ping", {"Authorization": "Bearer %d" % number}).status == 200
        assert dying.numbers


def test_with_both_hubs_away_agents_hear_503_and_when_to_come_back(hub):
    with Nginx([free_port(), free_port()]) as nginx:
        caller = Client(nginx.url)
        for call in (caller.post("/api/metrics", {}), caller.get("/api/dashboard"), caller.delete("/api/session")):
            assert (call.status, call.json, call.headers["retry-after"]) == (503, AWAY, "5")
            assert call.headers["content-type"] == "application/json"


def test_a_hub_that_can_not_store_is_heard_and_asked_once():
    with receivers.HttpReceiver() as one, receivers.HttpReceiver() as other, Nginx([one.port, other.port]) as nginx:
        one.always = other.always = receivers.Reply(503, {"Retry-After": "7"}, b"its own words")
        answer = Client(nginx.url).post("/api/metrics", {})
        assert (answer.status, answer.headers["retry-after"], answer.body) == (503, "7", b"its own words")
        assert len(one.posts + other.posts) == 1


def test_what_never_reached_a_silent_machine_goes_to_the_other_one_whatever_it_is(silent):
    with receivers.HttpReceiver() as other, Nginx([silent, other.port]) as nginx:
        assert sixteen(nginx, "/api/register") == [200] * 16
        tried = [line.ports for line in until(lambda: len(nginx.served()) == 16 and nginx.served(), "The log")]
        assert 0 < tried.count([silent, other.port]) <= 4  # each waits two seconds; then it is left alone


def test_the_hub_learns_who_called_and_how_and_believes_nothing_that_the_caller_added():
    with receivers.HttpReceiver() as seen, Nginx([seen.port]) as nginx:
        Client(nginx.url, "127.7.7.7").post("/api/metrics", {}, {
            "X-Forwarded-For": "198.51.100.1", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"})
        headers = seen.posts[0].headers
        assert headers["x-forwarded-for"] == "198.51.100.1, 127.7.7.7"
        own = "127.0.0.1:%d" % nginx.port
        assert [headers[name] for name in ("host", "x-forwarded-host", "x-forwarded-proto")] == [own, own, "http"]


def test_a_change_from_the_page_is_of_the_hub_s_own_origin_and_another_one_is_refused(pair):
    def log_out(origin):
        return pair.client().delete("/api/session", headers={"Origin": origin}).status
    assert (log_out(pair.nginx.url), log_out("http://evil.example")) == (200, 403)


def test_an_export_of_fifty_megabytes_passes_and_a_larger_one_does_not():
    with receivers.HttpReceiver() as seen, Nginx([seen.port]) as nginx:
        assert Client(nginx.url).post("/api/dashboard/import", b" " * (64 << 20)).status == 200
        assert len(seen.posts[0].body) == 64 << 20
        assert Client(nginx.url).post("/api/dashboard/import", b" " * ((64 << 20) + 1)).status == 413
