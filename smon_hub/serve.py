"""A WSGI server: one loop for every socket, a few threads for the work that may wait.

The loop accepts, reads, parses (http.py), keeps the limits, speaks TLS and sends (connection.py); requests run as
exchange.py says. `admit` says for each head on which lane its request runs: "loop" runs right on the loop and must be
quick, the others are small groups of threads behind bounded queues. More threads would make it slower: the
interpreter lock changes hands at every system call. Knows nothing of Bottle and nothing of what is served.
"""

from __future__ import annotations

import errno
import logging
import queue
import selectors
import socket
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any, Callable, Container, Deque, Dict, Iterable, List, Mapping, Optional, Set, Tuple

from .connection import HANDSHAKE, HEAD, IDLE, READ, Connection
from .errors import HubError
from .exchange import Exchange
from .http import LIMITS, Limits, Reply

log = logging.getLogger("smon.serve")

LANES = {"pool": (6, 256), "keys": (1, 1024)}           # name: (threads, requests that may wait)
BACKLOG = 512                                           # connections the kernel keeps for us while we are busy
SELECT_MAX = 500                                        # where there is only select() (Windows): 512 sockets in all
ACCEPTS_A_TURN = 64                                     # then the connections that are here have their turn
CLOSED_WHEN_FULL = 16                                   # idle connections that make room at a time
HOLD_SECONDS = 0.005                                    # that call_idle waits at most, while requests keep coming
LANE_END_SECONDS = 1                                    # for a thread whose request nobody waits for any more
NOTE_SECONDS = 10                                       # between two log lines of one kind that strangers can cause
# A restart takes its port again at once; on Windows that option would let any program take it from us.
ADDRESS_OPTION = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Admit = Callable[[Dict[str, Any]], Tuple[str, int]]


class Server:
    """Serves one WSGI application on any number of addresses, until stop()."""

    def __init__(self, application: Callable[..., Iterable[bytes]], error_reply: Callable[[HubError], Reply],
                 admit: Optional[Admit] = None, lanes: Optional[Mapping[str, Tuple[int, int]]] = None,
                 tls: Any = None, limits: Limits = LIMITS, exempt: Container[str] = ()):
        """admit(environ) -> (lane, body limit in bytes), or a HubError, before any byte of the body is read.
        tls.context is read at each accept. exempt: addresses that the cap on strangers does not count."""
        self.application = application
        self.error_reply = error_reply
        self.admit = admit or (lambda environ: ("pool", limits.body_bytes))
        self.lanes = {name: Lane(name, *size) for name, size in (LANES if lanes is None else lanes).items()}
        self.tls = tls
        self.limits = limits
        self.exempt = exempt
        self.selector = selectors.DefaultSelector()
        self.connections: Set[Connection] = set()
        self.strangers: Dict[Any, int] = {}             # connections without a credential yet, by network
        self.addresses: List[Tuple[str, int]] = []
        self.now = time.monotonic()
        self.ending = False
        self._listeners: List[Listener] = []
        self._room = limits.connections
        if isinstance(self.selector, selectors.SelectSelector):
            self._room = min(self._room, SELECT_MAX)
        self._rests_until = 0.0                         # accepting rests till then; 0: it does not rest
        self._next_sweep = 0.0
        self._noted: Dict[str, float] = {}
        self._idle: List[Callable[[], None]] = []       # what call_idle waits with, and until when at the latest
        self._idle_by = 0.0
        self._soon: Deque[Tuple[Callable[..., None], Tuple[Any, ...]]] = deque()
        self._wakeup = Wakeup()
        self.selector.register(self._wakeup.receiver, READ, self._wakeup)
        self._thread = 0

    def bind(self, host: str, port: int) -> None:
        """Listen on host; "0.0.0.0" opens IPv6 beside IPv4 where the machine has it. Raises OSError."""
        names = ("0.0.0.0", "::") if host == "0.0.0.0" else (host,)
        places = [place for name in names for place in
                  socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)]
        for family, _, _, _, address in places:
            try:
                listener = Listener(self, family, (address[0], port, *address[2:]), only_ipv6=len(places) > 1)
            except OSError as error:
                if family == socket.AF_INET6 and self._listeners and error.errno != errno.EADDRINUSE:
                    continue                            # a name of two addresses on a machine without IPv6
                raise
            self._listeners.append(listener)
            self.addresses.append(listener.address)
            port = listener.address[1]

    def run(self) -> None:
        """Serve in this thread until stop(), then answer what is in flight and release everything."""
        self._thread = threading.get_ident()
        for lane in self.lanes.values():
            lane.start()
        self._rest(0)
        try:
            while not self.ending:
                self._turn()
            self._finish()
        finally:
            self._release()

    def stop(self) -> None:
        """End run() soon; from any thread or a signal handler, any number of times."""
        self.ending = True
        self._wakeup.call()

    def call_soon(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call function on the loop; from any thread. A batch costs one byte in the pipe, on the loop itself none."""
        self._soon.append((function, arguments))
        if not self.on_loop():
            self._wakeup.call()

    def call_idle(self, function: Callable[[], None]) -> None:
        """Call function once no socket is ready, or HOLD_SECONDS have passed; from the loop alone."""
        if not self._idle:
            self._idle_by = self.now + HOLD_SECONDS
        self._idle.append(function)

    def on_loop(self) -> bool:
        """Whether this thread is the loop's."""
        return threading.get_ident() == self._thread

    def note(self, level: int, sentence: str, *values: Any) -> None:
        """Log what strangers can cause as often as they like: each sentence once in NOTE_SECONDS."""
        if self.now >= self._noted.get(sentence, 0.0):
            self._noted[sentence] = self.now + NOTE_SECONDS
            log.log(level, sentence, *values)

    def welcome(self, sock: socket.socket, peer: Tuple[Any, ...], template: Dict[str, Any]) -> None:
        """Take an accepted socket, or close it when its address has too many already."""
        address = peer[0][7:] if peer[0].startswith("::ffff:") else peer[0]
        network = None if address in self.exempt else _network(address)
        if self.strangers.get(network, 0) >= self.limits.per_address:
            self.note(logging.WARNING, "%s holds %d connections without a credential: more are refused.",
                      address, self.limits.per_address)
            sock.close()
            return
        try:
            sock = self._prepare(sock)
        except OSError:                                 # the client has gone already
            sock.close()
            return
        environ = dict(template, REMOTE_ADDR=address, REMOTE_PORT=str(peer[1]))
        self.connections.add(Connection(self, sock, environ, network))
        if network is not None:
            self.strangers[network] = self.strangers.get(network, 0) + 1

    def _prepare(self, sock: socket.socket) -> socket.socket:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            return self.tls.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return sock

    def trust(self, network: Any) -> None:
        """Count one stranger less of this network: it showed a credential, or it has gone."""
        left = self.strangers[network] - 1
        if left:
            self.strangers[network] = left
        else:
            del self.strangers[network]

    def has_room(self) -> bool:
        """True while one connection more may be held."""
        return len(self.connections) < self._room

    def relieve(self) -> None:
        """Out of descriptors or of room: end the idle connections closest to their deadline, rest from accepting."""
        self.note(logging.WARNING, "No room for more than %d connections: accepting rests for %s s.",
                  len(self.connections), self.limits.sweep_seconds)
        idle = [connection for connection in self.connections if connection.state is IDLE]
        for connection in sorted(idle, key=lambda connection: connection.deadline)[:CLOSED_WHEN_FULL]:
            connection.close()
        self._rest(self.now + self.limits.sweep_seconds)

    def _rest(self, until: float) -> None:
        """Stop accepting until that time; 0 to accept again."""
        self._rests_until = until
        for listener in self._listeners:
            listener.listen(not until)

    def _turn(self) -> None:
        events = self.selector.select(0 if self._soon or self._idle else self.limits.sweep_seconds)
        self.now = time.monotonic()
        for key, mask in events:
            self.attempt(key.data.ready, mask)
        for _ in range(len(self._soon)):
            function, arguments = self._soon.popleft()
            self.attempt(function, *arguments)
        if self._idle and (not events and not self._soon or self.now >= self._idle_by):
            waiting, self._idle = self._idle, []
            for function in waiting:
                self.attempt(function)
        if self.now >= self._next_sweep:
            self._sweep()

    def attempt(self, function: Callable[..., None], *arguments: Any) -> None:
        """The edge of the loop: a failure is logged and ends the connection it came from, not the server."""
        try:
            function(*arguments)
        except Exception:
            log.exception("A step of the loop failed.")
            owner = getattr(function, "__self__", None)
            if isinstance(owner, (Connection, Exchange)):
                owner.close()

    def _sweep(self) -> None:
        """End what is past its deadline. A look at all of them twice a second costs less than a timer for each."""
        now = self.now
        self._next_sweep = now + self.limits.sweep_seconds
        for connection in [connection for connection in self.connections if connection.deadline <= now]:
            self.attempt(connection.expire)
        if 0 < self._rests_until <= now:
            self._rest(0)

    def _finish(self) -> None:
        """Answer what is in flight, for stop_seconds at most."""
        self._close_listeners()
        until = time.monotonic() + self.limits.stop_seconds
        for connection in list(self.connections):
            if connection.state in (HANDSHAKE, IDLE, HEAD):
                connection.close()
        while self.connections and time.monotonic() < until:
            self._turn()

    def _close_listeners(self) -> None:
        while self._listeners:
            self._listeners.pop().close()

    def _release(self) -> None:
        self._close_listeners()
        for connection in list(self.connections):
            connection.close()                          # its stream ends with it, and frees its thread
        until = time.monotonic() + LANE_END_SECONDS
        for lane in self.lanes.values():
            lane.stop(until)
        self.selector.close()
        self._wakeup.close()


class Wakeup:
    """Ends the loop's wait from other threads: at most one byte in the pipe between two turns."""

    def __init__(self) -> None:
        self.receiver, self._sender = socket.socketpair()
        self.receiver.setblocking(False)
        self._sender.setblocking(False)
        self._called = False

    def call(self) -> None:
        if not self._called:
            self._called = True
            with suppress(OSError):                     # closed: the loop has ended and nobody waits
                self._sender.send(b"!")

    def ready(self, mask: int) -> None:
        self.receiver.recv(64)
        self._called = False                            # before the calls are looked at, so that none is missed

    def close(self) -> None:
        self.receiver.close()
        self._sender.close()


class Listener:
    """One listening socket."""

    def __init__(self, server: Server, family: int, address: Tuple[Any, ...], only_ipv6: bool):
        self._server = server
        self._accepting = False
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, ADDRESS_OPTION, 1)
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_ipv6)
            self._socket.bind(address)
            self._socket.listen(BACKLOG)
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self.address: Tuple[str, int] = self._socket.getsockname()[:2]
        self._template = {
            "SCRIPT_NAME": "", "SERVER_NAME": self.address[0], "SERVER_PORT": str(self.address[1]),
            "wsgi.version": (1, 0), "wsgi.url_scheme": "https" if server.tls else "http", "wsgi.errors": sys.stderr,
            "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
        }

    def listen(self, accepting: bool) -> None:
        """Let the loop accept from this socket, or leave new connections in the kernel's queue."""
        if accepting and not self._accepting:
            self._server.selector.register(self._socket, READ, self)
        elif self._accepting and not accepting:
            self._server.selector.unregister(self._socket)
        self._accepting = accepting

    def ready(self, mask: int) -> None:
        for accepted in range(ACCEPTS_A_TURN):
            if not self._server.has_room():
                if not accepted:                        # somebody waits for certain
                    self._server.relieve()
                return
            try:
                sock, peer = self._socket.accept()
            except OSError as error:                    # mostly: nobody waits; or one that waited has gone
                if error.errno in FULL:
                    self._server.relieve()
                return
            self._server.welcome(sock, peer, self._template)

    def close(self) -> None:
        self.listen(False)
        self._socket.close()


class Lane:
    """A few threads behind a bounded queue of requests."""

    def __init__(self, name: str, threads: int, waiting: int):
        self._queue: "queue.SimpleQueue[Optional[Exchange]]" = queue.SimpleQueue()
        self._waiting = waiting
        self._threads = [threading.Thread(target=self._work, name="smon-%s-%d" % (name, number + 1), daemon=True)
                         for number in range(threads)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def offer(self, exchange: Exchange) -> bool:
        """Take a request; False when too many wait. Only the loop offers, so the size can not change in between."""
        if self._queue.qsize() >= self._waiting:
            return False
        self._queue.put(exchange)
        return True

    def stop(self, until: float) -> None:
        """Let the threads end after what is queued; wait for them until that monotonic time."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        for exchange in iter(self._queue.get, None):
            exchange.serve()


def _network(address: str) -> Any:
    """Whom an address counts for: itself, or its /64 in IPv6, which one customer has whole."""
    if ":" not in address:
        return address
    return socket.inet_pton(socket.AF_INET6, address.partition("%")[0])[:8]
