"""How large and late an answer may be, which connections stay open, and which way they take."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from urllib.parse import urlsplit

import pytest

import smon_agent
from tests.agent import fake_hub as hubs
from tests.agent.fake_hub import API_KEY, SERVER_ID, Reply, refusal
from tests.agent.test_spool import add, stamp
from tests.agent.test_transport import sender_for
from tests.support.processes import until


@pytest.fixture
def spool(tmp_path):
    made = smon_agent.Spool(str(tmp_path))
    made.bound(1000, 1 << 30)
    return made


@pytest.fixture
def hub_at(config):
    """A hub as an agent knows it: hub_at("https://127.0.0.1:1", request_timeout_seconds=1)."""
    def made(address, **given) -> smon_agent.Hub:
        loaded = config(dict({"dashboard_url": address, "server_id": "s", "api_key": "smk_k"}, **given))
        hub = smon_agent.Hub(loaded, lambda *_: None)
        hub.follow(loaded.now)
        return hub
    return made


def ping(hub) -> None:
    hub.call(hub.quick, "POST", "/api/ping", b"{}")


# answers

@pytest.mark.parametrize("size, taken", [(65536, True), (65537, False)])
def test_an_answer_over_64_kilobytes_is_not_that_of_a_hub(config, fake_hub, spool, size, taken):
    add(spool, stamp(1))
    fake_hub.next("/api/metrics", Reply(200, b'{"status": "ok"}'.ljust(size)))
    assert sender_for(config, fake_hub, spool).attempt() is taken
    assert len(spool) == (0 if taken else 1)


def test_a_request_that_timed_out_is_not_repeated(hub_at, fake_hub, monkeypatch):
    """The clock stands still, so that nothing but the timeout itself can tell."""
    hub = hub_at(fake_hub.url, request_timeout_seconds=1)
    ping(hub)
    fake_hub.next("/api/ping", hubs.silence)
    monkeypatch.setattr(smon_agent.time, "monotonic", lambda: 1000.0)
    with pytest.raises(smon_agent.HubError, match="timed out"):
        ping(hub)
    assert len(fake_hub.calls("/api/ping")) == 2


@contextlib.contextmanager
def watched(hub):
    """Another thread ends the hub's late requests."""
    over = threading.Event()

    def watch():
        while not over.wait(0.05):
            hub.cut(smon_agent.time.monotonic())
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


@pytest.mark.parametrize("dribble", [hubs.dribble, hubs.dribble_body])
def test_a_request_that_was_cut_for_being_late_is_not_repeated(hub_at, fake_hub, dribble):
    hub = hub_at(fake_hub.url, request_timeout_seconds=1)
    ping(hub)
    fake_hub.next("/api/ping", dribble)
    with watched(hub), pytest.raises(smon_agent.HubError):
        ping(hub)
    assert len(fake_hub.calls("/api/ping")) == 2


# connections

def test_a_kept_connection_waits_as_long_as_the_next_request_may(hub_at, fake_hub):
    hub = hub_at(fake_hub.url)
    opened = hub.quick.socket_to(hub.doors[0], 7)
    assert opened.gettimeout() == 7
    assert hub.quick.socket_to(hub.doors[0], 3) is opened and opened.gettimeout() == 3
    hub.quick.close()


@pytest.mark.parametrize("first", [None, refusal(500)], ids=["taken", "failed"])
def test_a_try_leaves_no_connection_for_samples_open(config, fake_hub, spool, first):
    sender = sender_for(config, fake_hub, spool)
    if first:
        fake_hub.next("/api/metrics", first)
    for hours in (2, 1):
        add(spool, stamp(hours))
        sender.attempt()
    assert len(fake_hub.samples) == 2
    assert sorted({request.connection for request in fake_hub.requests}) == [1, 2]


@pytest.mark.parametrize("live, connections", [(False, 3), (True, 1)])
def test_pings_keep_their_connection_under_live_mode_alone(start, fake_hub, live, connections):
    start(minute_seconds=0.06, collection_interval_minutes=60, live_enabled=live, server_id=SERVER_ID, api_key=API_KEY)
    pings = until(lambda: fake_hub.calls("/api/ping")[2:] and fake_hub.calls("/api/ping")[:3], "Three pings")
    assert len({request.connection for request in pings}) == connections


# TLS

@pytest.mark.parametrize("system, spoken", [("MINIMUM_SUPPORTED", "TLSv1_2"), ("TLSv1_2", "TLSv1_2"),
                                            ("TLSv1_3", "TLSv1_3")])
def test_no_tls_before_1_2_is_spoken_and_none_before_what_the_system_asks_for(monkeypatch, system, spoken):
    """Python 3.8 and 3.9 speak older ones when OpenSSL does."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion[system]
    monkeypatch.setattr(ssl, "create_default_context", lambda cafile: context)
    smon_agent.tls_context.cache_clear()
    try:
        assert smon_agent.tls_context(True, None, None, None, ()).minimum_version is ssl.TLSVersion[spoken]
    finally:
        smon_agent.tls_context.cache_clear()


def test_a_handshake_that_gets_no_answer_can_be_cut(hub_at):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hub = hub_at("https://127.0.0.1:%d" % listener.getsockname()[1], request_timeout_seconds=10)
        failed = []

        def call():
            try:
                ping(hub)
            except smon_agent.HubError as error:
                failed.append(error)
        caller = threading.Thread(target=call, daemon=True)
        caller.start()
        client, _ = listener.accept()
        with client:
            assert client.recv(1) == b"\x16"
            hub.cut()
            caller.join(5)
            assert [error.kind for error in failed] == ["away"]


# proxies

@pytest.mark.parametrize("address", ["http://hub.example:3000", "https://hub.example"])
@pytest.mark.parametrize("excepted, used", [("", True), ("other.example", True), ("hub.example", False),
                                            ("other.example,.example", False), ("*", False)])
def test_the_environment_can_except_the_hub_from_its_proxy(monkeypatch, address, excepted, used):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", excepted)
    found = smon_agent.proxy_address("environment", urlsplit(address))
    assert (found and found.geturl()) == ("http://proxy.example:3128" if used else None)


@pytest.mark.parametrize("address", ["http://hub.example:3000", "https://hub.example"])
@pytest.mark.parametrize("proxy, port", [("http://proxy.example", 80), ("http://proxy.example:3128", 3128)])
def test_a_proxy_without_a_port_listens_on_80(hub_at, address, proxy, port):
    connection = hub_at(address, proxy=proxy).doors[0].connection(1)
    assert (connection.host, connection.port) == ("proxy.example", port)
