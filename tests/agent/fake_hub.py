"""A hub that does as a test says: it answers like ours, like one of the seed, or misbehaves on purpose."""

from __future__ import annotations

import datetime
import gzip
import http.server
import json
import socket
import socketserver
import struct
import threading
from collections import defaultdict, deque
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Union

SERVER_ID = "11111111-2222-4333-8444-555555555555"
API_KEY = "smk_" + "k1" * 20


class Reply(NamedTuple):
    """A whole answer; a body that is not bytes is sent as JSON."""

    status: int
    body: Any
    headers: Dict[str, str] = {}


class Request(NamedTuple):
    """What arrived. `target` is the request line's, so that a proxy's whole addresses are visible."""

    method: str
    target: str
    headers: Dict[str, str]
    raw: bytes
    connection: int

    @property
    def path(self) -> str:
        return self.target.split("?")[0]

    @property
    def body(self) -> Any:
        return json.loads(self.raw) if self.raw else None


Behaviour = Union[Reply, Callable[["Handler", Request], None]]


def refusal(status: int, error: str = "No.", **headers: str) -> Reply:
    return Reply(status, {"error": error, "code": "test"}, {key.replace("_", "-"): value
                                                            for key, value in headers.items()})


def reset(handler: "Handler", request: Request) -> None:
    """Close with a reset instead of an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True


def store_then_reset(handler: "Handler", request: Request) -> None:
    """The answer is lost after the sample was stored."""
    handler.server.hub.natural(request)
    reset(handler, request)


def garbage(handler: "Handler", request: Request) -> None:
    handler.wfile.write(b"\x00\xffNOT HTTP\r\n\r\n")
    handler.close_connection = True


def cut(handler: "Handler", request: Request) -> None:
    """Half an answer."""
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"status":"o')
    handler.close_connection = True


def endless(handler: "Handler", request: Request) -> None:
    """An answer far larger than any hub's, and then no more of it."""
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"status":"ok","pad":"' + b"x" * 400000)
    handler.close_connection = True


def silence(handler: "Handler", request: Request) -> None:
    """No answer at all until the hub ends."""
    handler.server.hub.ended.wait(20)
    handler.close_connection = True


def dribble(handler: "Handler", request: Request) -> None:
    """An answer of a byte at a time: each read is in time, the whole never is."""
    for byte in b"HTTP/1.1 200 OK\r\nX-Pad: " + b"x" * 400:
        if handler.server.hub.ended.wait(0.1):
            break
        handler.wfile.write(bytes([byte]))
    handler.close_connection = True


def dribble_body(handler: "Handler", request: Request) -> None:
    """A good beginning, then a byte at a time, on a connection that ends with the answer."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 500\r\n\r\n")
    for _ in range(400):
        if handler.server.hub.ended.wait(0.1):
            break
        handler.wfile.write(b" ")
    handler.close_connection = True


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def setup(self) -> None:
        super().setup()
        with self.server.hub.lock:
            self.server.hub.connections += 1
            self.number = self.server.hub.connections

    def log_message(self, *arguments: Any) -> None:
        """Tests read `requests` instead."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, ValueError):
            self.close_connection = True

    def answer(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            raw = gzip.decompress(raw)
        request = Request(self.command, self.path, {key.lower(): value for key, value in self.headers.items()}, raw,
                          self.number)
        behaviour = self.server.hub.arrived(request)
        if isinstance(behaviour, Reply):
            self.send(behaviour)
        else:
            behaviour(self, request)

    do_GET = do_POST = answer

    def send(self, reply: Reply) -> None:
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        if reply.headers.get("Connection") == "close":
            self.close_connection = True


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    hub: "FakeHub"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An agent that hangs up is no news."""


class FakeHub:
    """`requests` is all that arrived, `samples` what was acknowledged, in order, each once."""

    def __init__(self, tls: Any = None, of_the_seed: bool = False):
        self.lock = threading.RLock()
        self.ended = threading.Event()
        self.requests: List[Request] = []
        self.samples: Dict[str, Dict[str, Any]] = {}
        self.stored_twice: List[str] = []
        self.live: List[Dict[str, Any]] = []
        self.settings: Dict[str, Any] = {}
        self.confirmed: List[Dict[str, Any]] = []
        self.clock_ahead_seconds = 0.0
        self.registration: Dict[str, Any] = {"server_id": SERVER_ID, "api_key": API_KEY, "message": "Welcome."}
        self.of_the_seed = of_the_seed
        self.connections = 0
        self.port = 0
        self._scripts: Dict[str, Deque[Behaviour]] = defaultdict(deque)
        self._rules: Dict[str, Behaviour] = {}
        self._tls = tls
        self.start()

    # what a test says

    def next(self, path: str, *behaviours: Behaviour) -> None:
        """The next requests to this path are treated so, one after the other."""
        with self.lock:
            self._scripts[path].extend(behaviours)

    def always(self, path: str, behaviour: Behaviour) -> None:
        """Every request to this path is treated so, until normally()."""
        with self.lock:
            self._rules[path] = behaviour

    def normally(self) -> None:
        with self.lock:
            self._rules.clear()
            self._scripts.clear()

    def forget(self, after: str) -> None:
        """A restore from a backup: samples after this moment are gone."""
        with self.lock:
            self.samples = {moment: one for moment, one in self.samples.items() if moment <= after}

    # what a test asks

    def calls(self, path: str) -> List[Request]:
        with self.lock:
            return [request for request in self.requests if request.path == path]

    def sent(self) -> List[Dict[str, Any]]:
        """Every sample that arrived, in batches or alone, acknowledged or not."""
        found: List[Dict[str, Any]] = []
        for request in list(self.requests):
            if request.path == "/api/metrics":
                found.append(request.body)
            elif request.path == "/api/metrics/batch":
                found.extend(request.body["payloads"])
        return found

    @property
    def url(self) -> str:
        return "%s://127.0.0.1:%d" % ("https" if self._tls else "http", self.port)

    # how it works

    def arrived(self, request: Request) -> Behaviour:
        with self.lock:
            self.requests.append(request)
            if self._scripts[request.path]:
                return self._scripts[request.path].popleft()
            return self._rules.get(request.path) or self.natural(request)

    def natural(self, request: Request) -> Reply:
        """The answer of a hub that is well."""
        with self.lock:
            path = request.path
            if path == "/api/register":
                return Reply(201, self.registration)
            if path == "/api/metrics":
                before = self._newest_at()
                return Reply(200, self._greeting(stored=self._store(request.body), previous_at=before))
            if path == "/api/metrics/batch" and not self.of_the_seed:
                before = self._newest_at()
                results = [{"status": "ok", "stored": self._store(one)} for one in request.body["payloads"]]
                return Reply(200, self._greeting(results=results, previous_at=before))
            if path == "/api/metrics/live":
                self.live.append(request.body)
                return Reply(200, {"status": "ok"})
            if path == "/api/ping":
                return Reply(200, self._greeting())
            if path.startswith("/api/config/") and not self.of_the_seed:
                return self._config(request)
            return refusal(404, "There is no such path.")

    def _greeting(self, **more: Any) -> Dict[str, Any]:
        if self.of_the_seed:
            return {"status": "ok"}
        return dict({"status": "ok", "config_pending": bool(self.settings), "server_time": self._now().isoformat(),
                     "newest_at": self._newest_at()}, **more)

    def _now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.clock_ahead_seconds)

    def _newest_at(self) -> Optional[str]:
        if self.clock_ahead_seconds:  # such a sample is kept under the time of its arrival
            return self._now().isoformat(timespec="milliseconds")
        return max(self.samples) if self.samples else None

    def _store(self, sample: Dict[str, Any]) -> bool:
        moment = sample["collected_at"]
        if moment in self.samples:
            self.stored_twice.append(moment)
            return False
        self.samples[moment] = sample
        return True

    def _config(self, request: Request) -> Reply:
        if request.method == "POST":
            self.confirmed.append(request.body)
            self.settings = {}
            return Reply(200, {"status": "ok"})
        return Reply(200, {"has_update": bool(self.settings), "config": self.settings or None, "revision": 7})

    def start(self) -> None:
        """Listen; after stop() on the same port again."""
        self.ended.clear()
        self._server = Server(("127.0.0.1", self.port), Handler)
        self._server.hub = self
        self.port = self._server.server_address[1]
        if self._tls:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        if not self.ended.is_set():
            self.ended.set()
            self._server.shutdown()
            self._server.server_close()

    def __enter__(self) -> "FakeHub":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.stop()
