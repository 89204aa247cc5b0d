"""Clients that take their time: half a head, half a body, an answer that nobody reads. Everyone else is served."""

from __future__ import annotations

import math
import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import Iterator, List

from smon_hub.http import LIMITS
from tests.attack.raw import HOST, connect, post, request, rest_of
from tests.support import needs
from tests.support.client import Client
from tests.support.processes import HubProcess

ATTACKERS = 500
ADDRESSES = 4          # 125 connections from each: below the cap on strangers, so that it keeps none of them away
DRIBBLE_SECONDS = 0.2  # between two bytes of each
LARGE = b"/agent/smon_agent.py"

# The specification's own number for a caller among slow ones. A hub that waits for a slow client is slow in every
# window, whereas a machine that is busy with something else is so in one: the best of the windows tells them apart.
P99_SECONDS = 0.1
SAMPLES, WINDOWS = 500, 4


def dribbled_head() -> Iterator[bytes]:
    yield b"GET /api/ping HTTP/1.1\r\n" + HOST + b"X-Slow: "
    while True:
        yield b"x"


def dribbled_body() -> Iterator[bytes]:
    yield post(b"Content-Length: 100000\r\n")
    while True:
        yield b" "


def dribbled_chunks() -> Iterator[bytes]:
    yield post(b"Transfer-Encoding: chunked\r\n")
    while True:
        yield from (b"1", b"\r", b"\n", b" ", b"\r", b"\n")


def unread_answers() -> Iterator[bytes]:
    """More than the kernel holds, asked for at once."""
    yield request(target=LARGE) * 50
    while True:
        yield b""


KINDS = (dribbled_head, dribbled_body, dribbled_chunks, unread_answers)


class Attack:
    """Many connections that never finish, fed by a thread of their own."""

    def __init__(self, port: int, opened: ExitStack):
        self.sockets: List[socket.socket] = []
        self._kinds = [KINDS[number // ADDRESSES % len(KINDS)] for number in range(ATTACKERS)]
        self._feeds = [kind() for kind in self._kinds]
        self._stop = threading.Event()
        for number in range(ATTACKERS):
            sock = opened.enter_context(connect(port, "127.0.9.%d" % (1 + number % ADDRESSES)))
            sock.setblocking(False)
            self.sockets.append(sock)
        self._thread = threading.Thread(target=self._run, name="slow clients")

    def _run(self) -> None:
        while not self._stop.wait(DRIBBLE_SECONDS):
            for sock, feed in zip(self.sockets, self._feeds):
                with suppress(OSError):  # it takes no more, or has closed: `held` tells
                    sock.send(next(feed))

    def held(self) -> int:
        """How many of them are where they want to be: unanswered, or with an answer waiting that nobody reads."""
        count = 0
        for sock, kind in zip(self.sockets, self._kinds):
            try:
                answer = sock.recv(15, socket.MSG_PEEK)
            except BlockingIOError:
                answer = None
            except OSError:
                continue
            count += answer == (b"HTTP/1.1 200 OK" if kind is unread_answers else None)
        return count

    @contextmanager
    def running(self) -> Iterator["Attack"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join()


def p99(client: Client) -> float:
    """Of requests one after the other, every tenth on a connection of its own."""
    took = []
    for number in range(SAMPLES):
        if number % 10 == 0:
            client.close()
        began = time.perf_counter()
        assert client.get("/api/ping").status == 200
        took.append(time.perf_counter() - began)
    return sorted(took)[math.ceil(len(took) * 0.99) - 1]


def test_500_slow_clients_keep_nobody_waiting(fresh_hub):
    if not fresh_hub.client().source:
        needs.system("One address of one's own is all there is for 500 connections.")
    with ExitStack() as opened:
        attack = Attack(fresh_hub.port, opened)
        opened.enter_context(attack.running())
        time.sleep(2 * DRIBBLE_SECONDS)
        windows = []
        while len(windows) < WINDOWS and min(windows, default=math.inf) >= P99_SECONDS:
            windows.append(p99(fresh_hub.client()))
        assert attack.held() == ATTACKERS  # the load was there to the end
    assert min(windows) < P99_SECONDS, windows


def test_strangers_of_one_address_are_capped_and_take_nobody_elses_place(fresh_hub):
    crowd, kept = "127.0.9.50", []
    with ExitStack() as opened:
        for _ in range(LIMITS.per_address):
            kept.append(opened.enter_context(connect(fresh_hub.port, crowd)))
            kept[-1].sendall(b"GET /api/ping HTTP/1.1\r\n")
        assert fresh_hub.get("/api/ping").status == 200          # later than all of them, so they are all there
        refused = opened.enter_context(connect(fresh_hub.port, crowd))
        assert ended_without_a_word(refused)
        kept.pop().close()
        assert fresh_hub.get("/api/ping").status == 200
        assert fresh_hub.client(crowd).get("/api/ping").status == 200
        for sock in kept:                                        # the others were left in peace
            sock.sendall(HOST + b"Connection: close\r\n\r\n")
            assert rest_of(sock).startswith(b"HTTP/1.1 200 ")
    assert fresh_hub.log.count("connections without a credential") == 1


def test_agents_of_one_address_are_not_capped(fresh_hub):
    """Behind one router stand more machines than a stranger may have connections."""
    server = fresh_hub.register("many")
    assert fresh_hub.patch("/api/dashboard/settings", {"rate_limit_per_minute": 1_000_000}).status == 200
    clients = [fresh_hub.client("127.0.9.60") for _ in range(LIMITS.per_address + 50)]
    for client in clients:
        assert client.post("/api/ping", headers=server.headers).status == 200
    for client in clients:
        assert client.post("/api/ping", headers=server.headers).status == 200
        client.close()


def ended_without_a_word(sock: socket.socket) -> bool:
    try:
        return rest_of(sock) == b""
    except ConnectionResetError:
        return True


def test_the_hub_ends_while_slow_clients_hold_on(tmp_path):
    with HubProcess(tmp_path / "data") as hub, ExitStack() as opened:
        for kind in KINDS:
            opened.enter_context(connect(hub.port)).sendall(next(kind()))
        assert hub.get("/api/ping").status == 200
        hub.process.terminate()
        assert hub.process.wait(LIMITS.stop_seconds + 5) == 0
        assert "Traceback" not in hub.log
