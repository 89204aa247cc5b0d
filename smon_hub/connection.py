"""One client's connection: reads one request at a time, sends its answer, then looks at what was pipelined.

Everything here runs on the loop of its server (serve.py) and never waits. A connection is in one of eight states, and
each but WORK has a deadline that the server looks at. It leaves parsing to http.py and the application to exchange.py.
"""

from __future__ import annotations

import io
import logging
import math
import selectors
import socket
import ssl
from contextlib import suppress
from typing import Any, Dict, Optional

from . import http
from .errors import HubError
from .exchange import Exchange, Stream
from .http import Reply

log = logging.getLogger("smon.serve")

RECEIVE_BYTES = 65536                                   # above a TLS record (16 KB), so that none is left half read
SEND_BYTES = 262144
REQUESTS_A_TURN = 64                                    # of one client's pipeline, then the others have their turn
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

HANDSHAKE, IDLE, HEAD, BODY, WORK, ANSWER, DRAIN, CLOSED = (
    "handshake", "idle", "head", "body", "work", "answer", "drain", "closed")
READING = (IDLE, HEAD, BODY)


class Connection:
    """One client's connection: reads one request at a time, sends its answer, then looks at what was pipelined."""

    __slots__ = ("server", "state", "deadline", "http11", "head_only", "keep_alive", "address", "_socket", "_heads",
                 "_network", "_watched", "_buffer", "_lane", "_body_length", "_chunks", "_exchange", "_out", "_stream",
                 "_count", "_client_done")

    def __init__(self, server: Any, sock: socket.socket, environ: Dict[str, Any], network: Any):
        self.server = server                            # a serve.Server
        self.state = HANDSHAKE if server.tls else IDLE
        self.deadline = server.now + server.limits.head_seconds
        self.http11 = self.keep_alive = True
        self.head_only = False
        self.address = environ["REMOTE_ADDR"]
        self._socket = sock
        self._heads = http.Heads(environ)
        self._network = network                         # None once it is no stranger
        self._watched = 0
        self._buffer = bytearray()
        self._lane = ""
        self._body_length = 0
        self._chunks: Optional[http.ChunkedBody] = None
        self._exchange: Optional[Exchange] = None       # the request that waits for its answer
        self._out = bytearray()                         # what the socket did not take yet
        self._stream: Optional[Stream] = None
        self._count = 0                                 # bytes drained, or taken of a stream since its last deadline
        self._client_done = False                       # it will send nothing more
        self._watch(READ)

    def ready(self, mask: int) -> None:
        """Called by the loop when the socket can be read or written."""
        if self.state is HANDSHAKE:
            self._shake_hands()
            return
        if mask & WRITE and self._out:
            self._send(b"")
            self._go_on()
        if mask & READ and self.state is not CLOSED:
            self._receive()

    def expire(self) -> None:
        """Called when the deadline of its state has passed."""
        if self.state is HEAD or self.state is BODY:
            self._refuse(self.server.error_reply(HubError("timeout", "The request did not arrive in time.")))
        else:
            self.close()

    def close(self) -> None:
        """Let go of everything, once; a reply that is still to come is dropped."""
        if self.state is CLOSED:
            return
        self.state = CLOSED
        self._watch(0)
        self._socket.close()
        self._forget_exchange()
        if self._stream is not None:
            self._stream.abort()
        self.server.connections.discard(self)
        self._trust()

    def answer(self, exchange: Exchange, reply: Reply) -> None:
        """Send the reply of a request, then take the next; nothing when the client has gone."""
        if self._exchange is exchange:
            self._answer(reply)
            self._go_on()

    def send_piece(self, exchange: Exchange, stream: Stream, data: bytes) -> None:
        """Send a piece of a long answer, its head being the first."""
        if self._exchange is not exchange:
            stream.abort()
            return
        if self._stream is None:
            self._stream = stream
            self._count = 0
            self.state = ANSWER
            self.keep_alive = self.keep_alive and self.http11
        self._send(data)

    def end_stream(self, exchange: Exchange, complete: bool) -> None:
        """End a long answer; one that is not complete must not look as if it were."""
        if self._exchange is not exchange:
            return
        if not complete:
            self.close()
            return
        self._stream = None
        self._forget_exchange()
        if not self._out:
            self._answered()
            self._go_on()

    def _watch(self, mask: int) -> None:
        """Change what the loop looks for."""
        if mask == self._watched:
            return
        if not mask:
            self.server.selector.unregister(self._socket)
        elif self._watched:
            self.server.selector.modify(self._socket, mask, self)
        else:
            self.server.selector.register(self._socket, mask, self)
        self._watched = mask

    def _shake_hands(self) -> None:
        try:
            self._socket.do_handshake()                 # type: ignore[attr-defined]
        except ssl.SSLWantReadError:
            self._watch(READ)
        except ssl.SSLWantWriteError:
            self._watch(WRITE)
        except (OSError, ValueError) as error:
            self.server.note(logging.INFO, "A TLS handshake with %s failed: %s.", self.address, error)
            self.close()
        else:
            self.state = IDLE
            self._watch(READ)

    def _receive(self) -> None:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except NOT_NOW:
            return
        except OSError:
            self.close()
            return
        if not data:
            self._receive_end()
        elif self.state is DRAIN:
            self._count += len(data)
            if self._count > self.server.limits.drain_bytes:
                self.close()
        else:
            self._buffer += data
            if self.state in READING:
                self._advance()
            elif len(self._buffer) > self.server.limits.pipelined_bytes:
                self._watch(self._watched & ~READ)

    def _receive_end(self) -> None:
        """The client sends nothing more; it may still wait for an answer."""
        self._client_done = True
        if self.state in (WORK, ANSWER):
            self._watch(self._watched & ~READ)
        else:
            self.close()

    def _go_on(self) -> None:
        """After an answer: look at what was sent meanwhile."""
        if self.state is IDLE and (self._buffer or self._client_done):
            self._advance()

    def _advance(self) -> None:
        """Take whole requests out of the buffer, one after the other, while answers leave at once."""
        for _ in range(REQUESTS_A_TURN):
            if self.state not in READING:
                return
            try:
                taken = self._take_body() if self.state is BODY else self._take_head()
            except HubError as refusal:
                self._refuse(self.server.error_reply(refusal))
                return
            if not taken:
                self._await_more()
                return
        self.server.call_soon(self._advance)

    def _await_more(self) -> None:
        """What is in the buffer is no whole request."""
        if self._client_done:
            self.close()
        elif self.state in READING:
            self._watch(READ)

    def _take_head(self) -> bool:
        """True when a head was there and was dealt with."""
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if buffer:
                self._await_head()
            return False
        self.head_only = False                          # as long as a refusal of this head may have a body
        environ, head = self._heads.read(bytes(buffer[:end]), self.server.limits)
        del buffer[:end + 4]
        self.head_only = environ["REQUEST_METHOD"] == "HEAD"
        self.http11 = environ["SERVER_PROTOCOL"] == "HTTP/1.1"
        self.keep_alive = head.keep_alive
        self._exchange = Exchange(self, environ)
        environ["smon.defer"] = self._exchange.defer
        self._admit(self._exchange, environ, head)
        return True

    def _await_head(self) -> None:
        """Part of a head is there: start its deadline, and see that it can still become a good one."""
        if self.state is IDLE:
            self.state = HEAD
            self.deadline = self.server.now + self.server.limits.head_seconds
        if http.is_text(self._buffer):
            http.check_unfinished(self._buffer, self.server.limits)
        else:
            self.server.note(logging.INFO, "%s spoke something else than HTTP (first byte %d); closed.",
                             self.address, self._buffer[0])
            self.close()

    def _admit(self, exchange: Exchange, environ: Dict[str, Any], head: http.Head) -> None:
        """Ask whether and where this request may run, then read its body; refused, it is not read."""
        at_hand = 0 <= head.length <= len(self._buffer)
        try:
            self._lane, limit = self.server.admit(environ)
        except Exception as error:
            reply = exchange.failed(error, environ)
            if at_hand:
                del self._buffer[:head.length]
                self._answer(reply)
            else:
                self._refuse(reply)
            return
        if head.length > limit:
            raise http.body_too_large(limit)
        self._chunks = http.ChunkedBody(limit) if head.length == http.CHUNKED else None
        self._body_length = head.length
        self.state = BODY
        if not at_hand:
            self.deadline = self.server.now + self.server.limits.body_seconds
            if head.expects_continue and not self._buffer:
                self._push(http.CONTINUE)
        self._take_body()

    def _take_body(self) -> bool:
        """True when the body is whole; then its request starts."""
        if self._chunks is not None:
            if not self._chunks.take(self._buffer):
                return False
            body = bytes(self._chunks.body)
            self._chunks = None
        else:
            if len(self._buffer) < self._body_length:
                return False
            body = bytes(self._buffer[:self._body_length])
            del self._buffer[:self._body_length]
        self._start(body)
        return True

    def _start(self, body: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        environ = exchange.environ
        if body:
            environ["CONTENT_LENGTH"] = str(len(body))  # of a chunked body it was not known before
        environ["smon.body"] = body
        environ["wsgi.input"] = io.BytesIO(body)
        self.state = WORK
        self.deadline = math.inf
        if self._lane == "loop":
            reply = exchange.run(environ, on_loop=True)
        elif self.server.lanes[self._lane].offer(exchange):
            return
        else:
            reply = self.server.error_reply(HubError("unavailable", "The hub is busy; try again.", retry_after=1))
        if reply is not None:
            self._answer(reply)

    def _answer(self, reply: Reply) -> None:
        self._forget_exchange()
        self.keep_alive = self.keep_alive and not self.server.ending
        try:
            data = http.frame_reply(reply, self.http11, self.keep_alive, self.head_only)
        except (TypeError, ValueError) as error:        # a line break in a header, text that is not latin-1
            log.error("An answer can not be sent: %s.", error)
            failure = self.server.error_reply(HubError("internal", "Internal error."))
            data = http.frame_reply(failure, self.http11, self.keep_alive, self.head_only)
        self.state = ANSWER
        self._send(data)

    def _refuse(self, reply: Reply) -> None:
        """Answer a request that was not read to its end, and never look at what follows it."""
        self.keep_alive = False
        self._answer(reply)

    def _send(self, data: bytes) -> None:
        """Send what the socket takes now; what it does not take waits in _out, for answer_seconds at most."""
        waiting = self._out
        if waiting:
            waiting += data
            del waiting[:self._push(bytes(waiting[:SEND_BYTES]))]
        else:
            sent = self._push(data[:SEND_BYTES])
            if sent < len(data):
                waiting += data[sent:]
                self.deadline = self.server.now + self.server.limits.answer_seconds
        if self.state is CLOSED:
            return
        if waiting:
            self._watch(self._watched | WRITE)
            return
        self._watch(self._watched & ~WRITE)
        if self._stream is not None:
            self.deadline = math.inf                    # it is the application's turn
        else:
            self._answered()

    def _push(self, data: bytes) -> int:
        """How many bytes the socket took; a broken connection is closed."""
        try:
            sent = self._socket.send(data)
        except NOT_NOW:
            return 0
        except OSError:
            self.close()
            return 0
        if self._stream is not None:
            self._stream.taken(sent)
            self._count += sent
            if self._count >= self.server.limits.stream_bytes:
                self._count = 0
                self.deadline = self.server.now + self.server.limits.answer_seconds
        return sent

    def _answered(self) -> None:
        """The whole answer is with the kernel: wait for the next request, or end."""
        if not self.keep_alive or self.server.ending:
            self._half_close()
            return
        self.state = IDLE
        self.deadline = self.server.now + self.server.limits.idle_seconds
        if not self._client_done and len(self._buffer) <= self.server.limits.pipelined_bytes:
            self._watch(READ)

    def _half_close(self) -> None:
        """Send our end and let the client send its own: closing with bytes unread would reset the connection, and
        the client might never see the answer."""
        if self._client_done:
            self.close()
            return
        self._buffer.clear()
        self._count = 0
        self.state = DRAIN
        self.deadline = self.server.now + self.server.limits.drain_seconds
        with suppress(OSError, ValueError):
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.unwrap()                   # sends the notice; that it is not answered yet is an OSError
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
        else:
            self._watch(READ)

    def _forget_exchange(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            if "smon.authenticated" in exchange.environ:
                self._trust()
            exchange.forget()

    def _trust(self) -> None:
        """Leave the count of strangers."""
        if self._network is not None:
            self.server.trust(self._network)
            self._network = None
