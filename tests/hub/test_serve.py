"""The front server over real sockets on the loopback, with small WSGI applications."""

from __future__ import annotations

import concurrent.futures
import errno
import http.client
import logging
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import pytest

from smon_hub import serve
from smon_hub.connection import READ, RECEIVE_BYTES
from smon_hub.errors import HubError
from smon_hub.http import LIMITS, Reply
from tests.support import ROOT, needs

PATIENCE = 10  # seconds until a test that waits in vain gives up
HOST = b"Host: hub\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
LAST_GET = b"GET /last HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"


def echo(environ, start_response):
    """Answers with the method, the path and the body."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    said = "%s %s " % (environ["REQUEST_METHOD"], environ["PATH_INFO"])
    return [said.encode() + environ["wsgi.input"].read()]


def error_reply(refusal):
    headers = [("Retry-After", str(refusal.retry_after))] if refusal.retry_after else []
    return Reply(refusal.status, headers, refusal.sentence.encode())


def on_loop(environ):
    return "loop", LIMITS.body_bytes


class Running:
    """A server in a thread of its own."""

    def __init__(self, application, host="127.0.0.1", **options):
        self.server = serve.Server(application, error_reply, **options)
        self.server.bind(host, 0)
        self.host, self.port = self.server.addresses[0]
        self.thread = threading.Thread(target=self.server.run, name="loop under test")
        self.thread.start()

    def connect(self, raw=b"") -> socket.socket:
        sock = socket.create_connection((self.host, self.port), timeout=PATIENCE)
        sock.sendall(raw)
        return sock

    def client(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)

    def talk(self, raw: bytes) -> bytes:
        """Everything that comes back until the server closes."""
        with self.connect(raw) as sock:
            return rest_of(sock)

    def stop(self):
        self.server.stop()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        assert (self.server.connections, self.server.strangers) == (set(), {})


@contextmanager
def running(application=echo, **options):
    server = Running(application, **options)
    try:
        yield server
    finally:
        server.stop()


def rest_of(sock) -> bytes:
    pieces = []
    while True:
        piece = sock.recv(65536)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


def receive_until(sock, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        piece = sock.recv(65536)
        assert piece, received
        received += piece
    return received


def eventually(condition) -> bool:
    until = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < until:
        time.sleep(0.005)
    return bool(condition())


def statuses(raw: bytes):
    return [int(part[:3]) for part in raw.split(b"HTTP/1.1 ")[1:]]


def sendall(sock, raw):
    """Send what a server may stop reading."""
    with suppress(OSError):
        sock.sendall(raw)


def reset(sock):
    """Close with a reset instead of an orderly end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("lane", ["loop", "pool", "keys"])
def test_one_connection_carries_many_requests(lane):
    with running(admit=lambda environ: (lane, 100)) as hub:
        client = hub.client()
        for number in range(5):
            client.request("POST", "/a%d" % number, b"hello")
            assert client.getresponse().read() == b"POST /a%d hello" % number
        assert len(hub.server.connections) == 1
        client.close()


def test_the_environ_names_both_ends_and_holds_the_body():
    seen = {}

    def application(environ, start_response):
        seen.update(environ)
        return echo(environ, start_response)

    request = b"POST /p?q HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nhi"
    with running(application) as hub, hub.connect(request) as sock:
        receive_until(sock, b"hi")
        assert (seen["REMOTE_ADDR"], seen["REMOTE_PORT"]) == ("127.0.0.1", str(sock.getsockname()[1]))
        assert (seen["SERVER_NAME"], seen["SERVER_PORT"]) == ("127.0.0.1", str(hub.port))
    assert (seen["smon.body"], seen["CONTENT_LENGTH"], seen["smon.target"]) == (b"hi", "2", "/p?q")
    assert (seen["wsgi.url_scheme"], seen["SCRIPT_NAME"], seen["wsgi.version"]) == ("http", "", (1, 0))


def test_pipelined_requests_are_answered_in_order():
    with running(admit=on_loop) as hub:
        answers = hub.talk(b"".join(b"GET /%d HTTP/1.1\r\n%b\r\n" % (n, HOST) for n in range(300)) + LAST_GET)
    assert re.findall(rb"GET /(\w+) ", answers) == [b"%d" % n for n in range(300)] + [b"last"]


def test_a_pipelined_request_starts_only_when_the_deferred_answer_before_it_has_left():
    futures = {}

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        futures[path] = concurrent.futures.Future()
        environ["smon.defer"](futures[path], lambda future: Reply(200, [], future.result()))
        return []

    with running(application) as hub:
        sock = hub.connect(GET + LAST_GET)
        assert eventually(lambda: "/" in futures)
        assert list(futures) == ["/"]
        futures["/"].set_result(b"first")
        assert receive_until(sock, b"first").count(b"HTTP/1.1 200") == 1
        assert eventually(lambda: "/last" in futures)
        futures["/last"].set_result(b"second")
        assert rest_of(sock).endswith(b"second")
        sock.close()


def test_a_long_pipeline_lets_the_others_have_their_turn():
    taken = []

    def application(environ, start_response):
        if not taken:
            hub.server.call_soon(lambda: seen.append(len(taken)))
        taken.append(environ["PATH_INFO"])
        return echo(environ, start_response)

    seen = []
    with running(application, admit=on_loop) as hub:
        assert len(statuses(hub.talk(GET * 500 + LAST_GET))) == 501
    assert seen[0] < 500


def test_a_large_body_behind_another_request_arrives_whole():
    gate, busy = threading.Event(), threading.Event()

    def application(environ, start_response):
        busy.set()
        gate.wait(PATIENCE)
        return echo(environ, start_response)

    body = b"x" * 500000
    with running(application) as hub:
        sock = hub.connect(GET + b"POST / HTTP/1.1\r\n" + HOST + b"Connection: close\r\nContent-Length: 500000\r\n\r\n")
        sender = threading.Thread(target=sendall, args=(sock, body))
        sender.start()
        assert busy.wait(PATIENCE)
        connection, = hub.server.connections
        assert eventually(lambda: len(connection._buffer) > LIMITS.pipelined_bytes)
        gate.set()
        assert rest_of(sock).endswith(b"POST / " + body)
        sender.join(PATIENCE)
        sock.close()


def test_what_a_client_sends_ahead_is_bounded():
    gate = threading.Event()

    def application(environ, start_response):
        gate.wait(PATIENCE)
        return echo(environ, start_response)

    with running(application) as hub:
        sock = hub.connect(GET)
        sender = threading.Thread(target=sendall, args=(sock, GET * 200000))
        sender.start()
        assert eventually(lambda: hub.server.connections)
        connection, = hub.server.connections
        assert eventually(lambda: len(connection._buffer) > LIMITS.pipelined_bytes)
        gate.set()
        largest, received = 0, 0
        while received < 100000:
            received += len(sock.recv(65536))
            largest = max(largest, len(connection._buffer))
        assert LIMITS.pipelined_bytes < largest <= LIMITS.pipelined_bytes + RECEIVE_BYTES
        reset(sock)
        sender.join(PATIENCE)


def test_what_can_wait_is_called_when_no_socket_is_ready():
    order = []

    def application(environ, start_response):
        hub.server.call_idle(lambda: order.append("idle"))
        order.append(environ["PATH_INFO"])
        return echo(environ, start_response)

    with running(application, admit=on_loop) as hub:
        gate, waits = threading.Event(), threading.Event()
        hub.server.call_soon(lambda: waits.set() or gate.wait(PATIENCE))
        assert waits.wait(PATIENCE)
        sockets = [hub.connect(GET) for _ in range(5)]
        gate.set()
        assert eventually(lambda: "idle" in order)
        assert order[:5] == ["/"] * 5
        for sock in sockets:
            sock.close()


def test_what_can_wait_does_not_wait_for_ever_while_requests_keep_coming(monkeypatch):
    waited = []

    def application(environ, start_response):
        began = hub.server.now
        hub.server.call_idle(lambda: waited.append(hub.server.now - began))
        return echo(environ, start_response)

    with running(application, admit=on_loop) as hub:
        monkeypatch.setattr(hub.server.selector, "select", busy_selector(hub.server))
        hub.talk(LAST_GET)
        assert eventually(lambda: waited)
        assert serve.HOLD_SECONDS <= waited[0] < 1


def busy_selector(server):
    """A selector that always has something for the loop: its own wakeup, which does nothing."""
    select, key = server.selector.select, SimpleNamespace(data=SimpleNamespace(ready=lambda mask: None))
    return lambda timeout: [(key, READ), *select(0)]


def test_a_batch_of_settled_futures_wakes_the_loop_once(monkeypatch):
    futures, wakeups = [], []

    def application(environ, start_response):
        futures.append(concurrent.futures.Future())
        environ["smon.defer"](futures[-1], lambda future: Reply(200, [], b"done"))
        return []

    with running(application, admit=on_loop) as hub:
        sockets = [hub.connect(GET) for _ in range(20)]
        assert eventually(lambda: len(futures) == 20)
        gate, waits = threading.Event(), threading.Event()
        hub.server.call_soon(lambda: waits.set() or gate.wait(PATIENCE))
        assert waits.wait(PATIENCE)
        monkeypatch.setattr(hub.server._wakeup, "_sender", SimpleNamespace(send=wakeups.append))
        for future in futures:
            future.set_result(None)
        assert len(wakeups) == 1
        monkeypatch.undo()
        gate.set()
        for sock in sockets:
            receive_until(sock, b"done")
            sock.close()


def test_a_deferred_answer_for_a_client_that_has_gone_is_dropped(caplog):
    future, rendered = concurrent.futures.Future(), []

    def application(environ, start_response):
        environ["smon.defer"](future, rendered.append)
        return []

    with running(application) as hub:
        sock = hub.connect(GET)
        assert eventually(lambda: future._done_callbacks)
        reset(sock)
        assert eventually(lambda: not hub.server.connections)
        future.set_result(None)
    assert (rendered, caplog.records) == ([], [])


def test_the_answer_of_a_thread_for_a_client_that_has_gone_is_dropped(caplog):
    gate, busy = threading.Event(), threading.Event()

    def application(environ, start_response):
        busy.set()
        gate.wait(PATIENCE)
        return echo(environ, start_response)

    with running(application, lanes={"pool": (1, 9)}) as hub:
        sock = hub.connect(GET)
        assert busy.wait(PATIENCE)
        reset(sock)
        assert eventually(lambda: not hub.server.connections)
        gate.set()
        assert statuses(hub.talk(LAST_GET)) == [200]
    assert caplog.records == []


def test_a_render_that_fails_is_a_500_and_a_refusal_is_itself(caplog):
    def application(environ, start_response):
        future = concurrent.futures.Future()
        future.set_exception(ValueError("x") if environ["PATH_INFO"] == "/" else HubError("unavailable", "No room."))
        environ["smon.defer"](future, lambda future: future.result())
        return []

    with running(application) as hub:
        answers = hub.talk(GET + LAST_GET)
    assert statuses(answers) == [500, 503]
    assert b"Internal error." in answers and b"ValueError" not in answers
    assert [record.exc_info[0] for record in caplog.records] == [ValueError]


@pytest.mark.parametrize("lane", ["loop", "pool"])
def test_a_failing_application_is_logged_and_answered_500(lane, caplog):
    def application(environ, start_response):
        if environ["PATH_INFO"] == "/silent":
            return [b"no start_response"]
        if environ["PATH_INFO"] == "/text":
            start_response("200 OK", [])
            return ["text"]
        raise KeyError("secret")

    with running(application, admit=lambda environ: (lane, 0)) as hub:
        answers = hub.talk(GET.replace(b"/", b"/silent", 1) + GET.replace(b"/", b"/text", 1) + LAST_GET)
    assert statuses(answers) == [500, 500, 500]
    assert b"secret" not in answers and b"Traceback" not in answers
    assert len(caplog.records) == 3


def test_an_answer_that_can_not_be_framed_is_a_500(caplog):
    def application(environ, start_response):
        start_response("200 OK", [("X-Name", "a\r\nSet-Cookie: b")])
        return [b"body"]

    with running(application) as hub:
        answers = hub.talk(LAST_GET)
    assert statuses(answers) == [500] and b"Set-Cookie" not in answers
    assert len(caplog.records) == 1


def test_written_bytes_come_before_the_returned_ones():
    def application(environ, start_response):
        start_response("200 OK", [])(b"written, ")
        return iter([b"", b"returned"])

    with running(application) as hub:
        assert hub.talk(LAST_GET).endswith(b"Content-Length: 17\r\nConnection: close\r\n\r\nwritten, returned")


def test_the_client_is_told_to_go_on_only_after_admission():
    def admit(environ):
        if environ["PATH_INFO"] == "/no":
            raise HubError("unauthorized", "No.")
        return "pool", 100

    head = b"POST %b HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    with running(admit=admit) as hub:
        sock = hub.connect(head % b"/yes")
        assert receive_until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hello")
        assert receive_until(sock, b"hello").startswith(b"HTTP/1.1 200 OK\r\n")
        sock.close()
        assert statuses(hub.talk(head % b"/no")) == [401]


def test_head_has_the_length_but_not_the_body():
    with running() as hub:
        sock = hub.connect(b"HEAD /a HTTP/1.1\r\n" + HOST + b"\r\n" + LAST_GET)
        answers = rest_of(sock)
        sock.close()
    assert answers.count(b"\r\n\r\n") == 2
    assert b"Content-Length: 8\r\n\r\nHTTP/1.1 200 OK" in answers


def test_a_chunked_body_arrives_whole():
    def application(environ, start_response):
        assert (environ["CONTENT_LENGTH"], "HTTP_TRANSFER_ENCODING" in environ) == ("5", False)
        return echo(environ, start_response)

    with running(application) as hub:
        sock = hub.connect(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
        for piece in (b"3\r", b"\nabc\r\n2", b"\r\nde\r\n0\r\nX-Sum: 1\r", b"\n\r\n"):
            sock.sendall(piece)
        assert receive_until(sock, b"abcde").startswith(b"HTTP/1.1 200 OK")
        sock.close()


class Export:
    """An endless or counted iterator of pieces that knows whether it was closed."""

    def __init__(self, pieces=(), endless=b""):
        self.pieces, self.endless = iter(pieces), endless
        self.made = 0
        self.closed = threading.Event()

    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return self

    def __iter__(self):
        return self

    def __next__(self):
        self.made += 1
        piece = self.endless or next(self.pieces)
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self):
        self.closed.set()


def test_an_iterator_is_streamed_in_chunks_and_the_connection_stays():
    export = Export([b"one ", b"", b"two ", b"three"])
    with running(export) as hub:
        client = hub.client()
        client.request("GET", "/")
        response = client.getresponse()
        assert (response.getheader("Transfer-Encoding"), response.read()) == ("chunked", b"one two three")
        assert export.closed.wait(PATIENCE)
        assert len(hub.server.connections) == 1
        client.close()


def test_an_old_client_gets_a_stream_that_ends_with_the_connection():
    with running(Export([b"one ", b"two"])) as hub:
        answer = hub.talk(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert answer.endswith(b"Connection: close\r\n\r\none two") and b"chunked" not in answer


def test_a_stream_of_many_megabytes_arrives_whole():
    with running(Export([bytes([n]) * 100000 for n in range(200)])) as hub:
        client = hub.client()
        client.request("GET", "/")
        body = client.getresponse().read()
        client.close()
    assert body == b"".join(bytes([n]) * 100000 for n in range(200))


def test_a_stream_that_fails_never_looks_complete(caplog):
    with running(Export([b"one", b"two", ValueError("x")])) as hub:
        answer = hub.talk(GET)
    assert answer.endswith(b"3\r\ntwo\r\n")
    assert [record.exc_info[0] for record in caplog.records] == [ValueError]


def test_a_stream_waits_for_its_client_and_ends_when_it_goes():
    export = Export(endless=b"x" * 65536)
    with running(export) as hub:
        sock = hub.connect(GET)
        sock.recv(1)
        connection, = hub.server.connections
        assert eventually(lambda: len(connection._out) > LIMITS.stream_bytes / 2)
        assert len(connection._out) <= LIMITS.stream_bytes + 66000
        made = export.made
        assert not export.closed.wait(0.2) and export.made == made
        reset(sock)
        assert export.closed.wait(PATIENCE)


def test_a_stream_ends_when_its_client_stops_reading():
    export = Export(endless=b"x" * 65536)
    with running(export, limits=LIMITS._replace(answer_seconds=0.2, sweep_seconds=0.05)) as hub:
        sock = hub.connect(GET)
        assert export.closed.wait(PATIENCE)
        sock.close()


def test_a_large_answer_reaches_a_slow_reader_whole():
    body = bytes(range(256)) * 20000

    def application(environ, start_response):
        start_response("200 OK", [])
        return [body]

    with running(application, admit=on_loop) as hub:
        sock = hub.connect(GET + LAST_GET)
        time.sleep(0.05)
        answers = rest_of(sock)
        sock.close()
    assert answers.count(body) == 2


@pytest.mark.parametrize("refused_by", ["length", "admission"])
def test_a_refusal_reaches_a_client_that_still_sends_ten_megabytes(refused_by):
    def admit(environ):
        if refused_by == "admission":
            raise HubError("too_large", "Too much.")
        return "pool", 1000

    with running(admit=admit) as hub:
        with hub.connect(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10485760\r\n\r\n") as sock:
            for _ in range(160):
                sock.sendall(b"x" * 65536)
            assert statuses(rest_of(sock)) == [413]


def test_what_follows_a_refused_request_is_never_read():
    smuggled = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET
    with running() as hub:
        assert statuses(hub.talk(smuggled)) == [400]


def test_a_refused_request_whose_body_is_at_hand_keeps_the_connection():
    def admit(environ):
        if environ["REQUEST_METHOD"] == "POST":
            raise HubError("rate_limited", "Slower.", retry_after=7)
        return "loop", 0

    with running(admit=admit) as hub:
        answers = hub.talk(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello" + LAST_GET)
    assert statuses(answers) == [429, 200]
    assert b"Retry-After: 7\r\n" in answers


def test_an_admission_that_fails_is_a_500(caplog):
    with running(admit=lambda environ: environ["no such key"]) as hub:
        assert statuses(hub.talk(LAST_GET)) == [500]
    assert [record.exc_info[0] for record in caplog.records] == [KeyError]


@pytest.mark.parametrize("limit, raw", [
    ("head_seconds", b"GET / HTTP/1.1\r\nX-"),
    ("body_seconds", b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5000\r\n\r\nhel"),
    ("body_seconds", b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5000\r\nhel")])
def test_a_slow_request_is_ended_however_it_dribbles(limit, raw):
    with running(limits=LIMITS._replace(sweep_seconds=0.02, **{limit: 0.3})) as hub:
        with hub.connect(raw) as sock:
            sock.settimeout(0.05)
            answer = b""
            for _ in range(int(PATIENCE / 0.05)):
                try:
                    sock.send(b"a")
                    answer = sock.recv(65536)
                    break
                except socket.timeout:
                    continue
            assert statuses(answer) == [408]


def test_an_application_may_take_longer_than_its_client():
    def application(environ, start_response):
        time.sleep(0.3)
        return echo(environ, start_response)

    with running(application, limits=LIMITS._replace(sweep_seconds=0.02, head_seconds=0.1, body_seconds=0.1)) as hub:
        assert statuses(hub.talk(LAST_GET)) == [200]


def test_an_idle_connection_is_closed_without_a_word():
    with running(limits=LIMITS._replace(sweep_seconds=0.02, idle_seconds=0.1, head_seconds=0.1), admit=on_loop) as hub:
        assert hub.talk(b"") == b""
        assert statuses(hub.talk(GET)) == [200]


def test_one_address_holds_so_many_connections_without_a_credential():
    with running(limits=LIMITS._replace(per_address=3), admit=on_loop) as hub:
        silent = [hub.connect(b"GET") for _ in range(3)]
        assert eventually(lambda: len(hub.server.connections) == 3)
        with hub.connect() as sock:
            assert sock.recv(1) == b""
        with socket.create_connection((hub.host, hub.port), PATIENCE, ("127.0.0.2", 0)) as elsewhere:
            elsewhere.sendall(LAST_GET)
            assert statuses(rest_of(elsewhere)) == [200]
        silent.pop().close()
        assert eventually(lambda: len(hub.server.connections) == 2)
        assert statuses(hub.talk(LAST_GET)) == [200]
        for sock in silent:
            sock.close()


def authenticating(environ, start_response):
    environ["smon.authenticated"] = True
    return echo(environ, start_response)


@pytest.mark.parametrize("application, exempt", [(echo, ("127.0.0.1",)), (authenticating, ())])
def test_proxies_and_callers_with_a_credential_are_no_strangers(application, exempt):
    with running(application, limits=LIMITS._replace(per_address=1), exempt=exempt) as hub:
        known = []
        for _ in range(5):
            known.append(hub.connect(GET))
            receive_until(known[-1], b"GET / ")
        assert (len(hub.server.connections), hub.server.strangers) == (5, {})
        for sock in known:
            sock.close()


def test_a_full_lane_answers_503_and_keeps_the_connection():
    gate, busy = threading.Event(), threading.Event()

    def application(environ, start_response):
        busy.set()
        gate.wait(PATIENCE)
        return echo(environ, start_response)

    with running(application, lanes={"pool": (1, 2)}) as hub:
        first = hub.connect(GET)
        assert busy.wait(PATIENCE)
        queued = [hub.connect(GET) for _ in range(2)]
        assert eventually(lambda: hub.server.lanes["pool"]._queue.qsize() == 2)
        with hub.connect(GET) as sock:
            assert b"HTTP/1.1 503 Service Unavailable\r\n" in receive_until(sock, b"again.")
            gate.set()
            assert eventually(lambda: hub.server.lanes["pool"]._queue.empty())
            sock.sendall(LAST_GET)
            assert statuses(rest_of(sock)) == [200]
        for sock in [first, *queued]:
            receive_until(sock, b"GET / ")
            sock.close()


def test_a_request_whose_client_has_gone_is_not_run_any_more():
    gate, ran = threading.Event(), []

    def application(environ, start_response):
        ran.append(environ.get("PATH_INFO"))
        gate.wait(PATIENCE)
        return echo(environ, start_response)

    with running(application, lanes={"pool": (1, 2)}) as hub:
        first = hub.connect(GET)
        assert eventually(lambda: ran)
        gone = hub.connect(LAST_GET)
        assert eventually(lambda: hub.server.lanes["pool"]._queue.qsize() == 1)
        reset(gone)
        assert eventually(lambda: len(hub.server.connections) == 1)
        gate.set()
        receive_until(first, b"GET / ")
        first.close()
    assert ran == ["/"]


def test_a_client_that_says_no_more_still_gets_its_answers():
    with running() as hub, hub.connect(GET + GET) as sock:
        sock.shutdown(socket.SHUT_WR)
        assert statuses(rest_of(sock)) == [200, 200]


def test_resets_leave_nothing_behind():
    beginnings = b"", b"GET / HT", GET, LAST_GET, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n{"
    with running(admit=lambda environ: ("pool" if environ["PATH_INFO"] == "/" else "loop", 100)) as hub:
        for raw in beginnings * 12:
            reset(hub.connect(raw))
        assert eventually(lambda: not hub.server.connections)
        assert hub.server.strangers == {}
        assert statuses(hub.talk(LAST_GET)) == [200]


def test_a_tls_hello_on_the_plain_port_is_closed_and_logged_once(caplog):
    caplog.set_level(logging.INFO)
    hello = bytes.fromhex("160301020001") + b"\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2
    with running() as hub:
        for _ in range(3):
            assert end_of(hub.connect(hello)) == b""
    assert len(caplog.records) == 1


def end_of(sock) -> bytes:
    """What came before the end, be it orderly or a reset."""
    with sock:
        try:
            return rest_of(sock)
        except ConnectionResetError:
            return b""


def test_a_server_without_room_lets_its_oldest_idle_connection_go():
    with running(limits=LIMITS._replace(connections=20, sweep_seconds=0.05), admit=on_loop) as hub:
        idle = []
        for _ in range(20):
            idle.append(hub.connect(GET))
            receive_until(idle[-1], b"GET / ")
        assert statuses(hub.talk(LAST_GET)) == [200]
        assert idle[0].recv(1) == b""
        idle[-1].sendall(GET)
        assert statuses(receive_until(idle[-1], b"GET / ")) == [200]
        for sock in idle:
            sock.close()


def test_a_server_full_of_busy_connections_waits_without_spinning(monkeypatch):
    calls, ready = [], serve.Listener.ready
    monkeypatch.setattr(serve.Listener, "ready", lambda listener, mask: calls.append(mask) or ready(listener, mask))
    with running(limits=LIMITS._replace(connections=5, sweep_seconds=0.05), admit=on_loop) as hub:
        busy = [hub.connect(b"GET") for _ in range(5)]
        assert eventually(lambda: {connection.state for connection in hub.server.connections} == {"head"})
        with hub.connect(LAST_GET) as waiting:
            time.sleep(0.3)
            assert len(calls) < 30
            for sock in busy:
                sock.close()
            assert statuses(rest_of(waiting)) == [200]


OUT_OF_DESCRIPTORS = """
import logging, resource, socket, sys, threading
sys.path.insert(0, sys.argv[1])
from smon_hub import serve
from smon_hub.http import LIMITS, Reply
logging.basicConfig(level=logging.WARNING)
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"here"]
accepts = []
class Counting(serve.Listener):
    def ready(self, mask):
        accepts.append(1)
        super().ready(mask)
serve.Listener = Counting
server = serve.Server(application, None, lambda environ: ("loop", 0), limits=LIMITS._replace(sweep_seconds=0.1))
server.bind("127.0.0.1", 0)
thread = threading.Thread(target=server.run)
thread.start()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
reader, writer = __import__("os").pipe()
print(server.addresses[0][1], flush=True)
sys.stdin.readline()
server.stop()
thread.join()
print(len(accepts))
"""


def test_a_server_out_of_descriptors_waits_without_spinning():
    pytest.importorskip("resource", reason="Limits of descriptors are set on Unix only.")
    process = subprocess.Popen([sys.executable, "-c", OUT_OF_DESCRIPTORS, str(ROOT)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        port = int(process.stdout.readline())
        held = []
        for _ in range(100):
            held.append(socket.create_connection(("127.0.0.1", port), PATIENCE))
            sendall(held[-1], b"GET")
            time.sleep(0.005)  # until it is no idle connection any more, which could be ended to make room
        sendall(held[-1], GET[3:])
        time.sleep(0.3)
        for sock in held[:60]:
            sock.close()
        assert receive_until(held[-1], b"here").startswith(b"HTTP/1.1 200 OK")
    finally:
        out, err = process.communicate("\n", timeout=PATIENCE)
    for sock in held:
        sock.close()
    assert process.returncode == 0 and "Traceback" not in err
    assert err.count("accepting rests") == 1
    assert int(out) < 150


def test_stopping_answers_what_is_in_flight_and_ends_the_rest():
    gate, busy = threading.Event(), threading.Event()
    deferred = concurrent.futures.Future()

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/deferred":
            environ["smon.defer"](deferred, lambda future: Reply(200, [], b"deferred"))
            return []
        busy.set()
        gate.wait(PATIENCE)
        return echo(environ, start_response)

    with running(application) as hub:
        idle, working = hub.connect(), hub.connect(GET)
        waiting = hub.connect(b"GET /deferred HTTP/1.1\r\n" + HOST + b"\r\n")
        assert busy.wait(PATIENCE) and eventually(lambda: deferred._done_callbacks)
        hub.server.stop()
        hub.server.stop()
        assert idle.recv(1) == b""
        assert eventually(lambda: refuses(hub))
        gate.set()
        deferred.set_result(None)
        for sock, end in ((working, b"GET / "), (waiting, b"deferred")):
            answer = rest_of(sock)
            assert b"Connection: close\r\n" in answer and answer.endswith(end)
            sock.close()
        idle.close()
        hub.thread.join(PATIENCE)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("smon-")]
    hub.server.call_soon(busy.clear)  # a future that settles later still has somewhere to go


def refuses(hub) -> bool:
    try:
        hub.connect().close()
    except OSError as error:
        return error.errno in (errno.ECONNREFUSED, errno.ECONNRESET)
    return False


def test_stopping_does_not_wait_for_ever_for_an_answer():
    with running(limits=LIMITS._replace(stop_seconds=0.2, sweep_seconds=0.05),
                 application=lambda environ, start_response: environ["smon.defer"](
                     concurrent.futures.Future(), error_reply) or []) as hub:
        sock = hub.connect(GET)
        assert eventually(lambda: hub.server.connections)
        hub.server.stop()
        assert sock.recv(1) == b""
        sock.close()


def test_a_call_from_any_thread_runs_on_the_loop():
    names = []
    with running() as hub:
        hub.server.call_soon(lambda: 1 / 0)
        hub.server.call_soon(lambda: names.append(threading.current_thread().name))
        assert eventually(lambda: names == ["loop under test"])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    openssl = needs.program("openssl", why="it makes the certificate of this test")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run([openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "key.pem"),
                    "-out", str(folder / "cert.pem")], check=True, capture_output=True)
    return folder


class Tls:
    def __init__(self, folder):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(str(folder / "cert.pem"), str(folder / "key.pem"))


def trusting(folder) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "cert.pem"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_tls_carries_large_bodies_both_ways(certificate, version):
    context = trusting(certificate)
    context.minimum_version = context.maximum_version = version
    body = bytes(range(256)) * 12000
    with running(tls=Tls(certificate), admit=lambda environ: (environ["PATH_INFO"][1:], 1 << 22)) as hub:
        client = http.client.HTTPSConnection(hub.host, hub.port, timeout=PATIENCE, context=context)
        for path in ("/loop", "/pool"):
            client.request("POST", path, body)
            assert client.getresponse().read() == b"POST " + path.encode() + b" " + body
        assert len(hub.server.connections) == 1
        client.close()


def test_tls_says_goodbye_before_it_closes(certificate):
    with running(Export([b"one ", b"two"]), tls=Tls(certificate)) as hub:
        with trusting(certificate).wrap_socket(hub.connect(), server_hostname="127.0.0.1",
                                               suppress_ragged_eofs=False) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert rest_of(sock).endswith(b"one two")


def test_a_handshake_that_never_ends_blocks_nobody(certificate):
    with running(tls=Tls(certificate), limits=LIMITS._replace(head_seconds=1, sweep_seconds=0.05)) as hub:
        silent, plain = hub.connect(b"\x16"), hub.connect(GET)
        with trusting(certificate).wrap_socket(hub.connect(), server_hostname="127.0.0.1") as sock:
            sock.sendall(LAST_GET)
            assert statuses(rest_of(sock)) == [200]
        assert b"HTTP/" not in end_of(plain)
        assert end_of(silent) == b""


def test_a_new_certificate_serves_the_next_connection(certificate):
    tls = Tls(certificate)
    with running(tls=tls) as hub:
        good, tls.context = tls.context, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with hub.connect() as sock, pytest.raises(ssl.SSLError):
            trusting(certificate).wrap_socket(sock, server_hostname="127.0.0.1")
        tls.context = good
        with trusting(certificate).wrap_socket(hub.connect(), server_hostname="127.0.0.1") as sock:
            sock.sendall(LAST_GET)
            assert statuses(rest_of(sock)) == [200]


def test_it_serves_ipv6():
    try:
        hub = Running(echo, host="::1")
    except OSError as error:
        needs.system("There is no IPv6 loopback here: %s." % error)
    try:
        assert statuses(hub.talk(LAST_GET)) == [200]
    finally:
        hub.stop()


class ClosedListener:
    """Stands where a listening socket would be."""

    def listen(self, accepting):
        assert not accepting or self.address

    def close(self):
        self.address = None


def release(server):
    """Let go of what a server holds that never ran."""
    server.stop()
    server.run()


def test_all_addresses_means_ipv6_beside_ipv4_on_one_port(monkeypatch):
    opened = []

    class Recorder(ClosedListener):
        def __init__(self, server, family, address, only_ipv6):
            opened.append((family, address[0], address[1], only_ipv6))
            self.address = (address[0], 4711)

    monkeypatch.setattr(serve, "Listener", Recorder)
    server = serve.Server(echo, error_reply)
    server.bind("0.0.0.0", 0)
    release(server)
    assert opened == [(socket.AF_INET, "0.0.0.0", 0, True), (socket.AF_INET6, "::", 4711, True)]


def test_a_machine_without_ipv6_serves_ipv4_but_a_taken_port_is_said(monkeypatch):
    reasons = iter([errno.EAFNOSUPPORT, errno.EADDRINUSE])

    class OnlyIPv4(ClosedListener):
        def __init__(self, server, family, address, only_ipv6):
            if family == socket.AF_INET6:
                raise OSError(next(reasons), "no")
            self.address = address

    monkeypatch.setattr(serve, "Listener", OnlyIPv4)
    server = serve.Server(echo, error_reply)
    server.bind("0.0.0.0", 80)
    assert server.addresses == [("0.0.0.0", 80)]
    with pytest.raises(OSError):
        server.bind("0.0.0.0", 80)
    release(server)


def test_an_address_mapped_into_ipv6_is_said_as_ipv4():
    with running() as hub:
        sock = socket.create_connection((hub.host, hub.port))
        apart = serve.Server(echo, error_reply)
        apart.welcome(sock, ("::ffff:10.0.0.1", 4711, 0, 0), {})
        connection, = apart.connections
        assert (connection.address, apart.strangers) == ("10.0.0.1", {"10.0.0.1": 1})
        release(apart)
        assert apart.strangers == {}


def test_an_address_of_ipv6_counts_for_its_network():
    assert serve._network("2001:db8:1:2:3::4%eth0") == serve._network("2001:db8:1:2::5")
    assert serve._network("2001:db8:1:2::5") != serve._network("2001:db8:1:3::5")
    assert serve._network("10.0.0.1") == "10.0.0.1"
