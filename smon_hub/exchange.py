"""One request under way: runs the WSGI application and brings its answer to the connection, now, later or in pieces.

An application that waits for somebody else's future calls `environ["smon.defer"](future, render)` and returns; the
answer leaves when the future is done. It sets `environ["smon.authenticated"]` once it has seen a credential, which
takes the connection out of the cap on strangers of one address.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from itertools import chain
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

from . import http
from .errors import HubError
from .http import Reply

log = logging.getLogger("smon.serve")


class Exchange:
    """One request under way: what its application says, and where the answer goes."""

    __slots__ = ("environ", "_connection", "_server", "_status", "_headers", "_written", "_deferred")

    def __init__(self, connection: Any, environ: Dict[str, Any]):
        self.environ = environ                          # empty once nobody waits for the answer any more
        self._connection = connection
        self._server = connection.server
        self._status = 0
        self._headers: List[Tuple[str, str]] = []
        self._written = b""
        self._deferred = False

    def start_response(self, status: str, headers: List[Tuple[str, str]],
                       exc_info: Any = None) -> Callable[[bytes], None]:
        self._status = int(status[:3])
        self._headers = headers
        return self._write

    def defer(self, future: Any, render: Callable[[Any], Reply]) -> None:
        """Answer with render(future) once it is done; render runs on the loop."""
        self._deferred = True
        future.add_done_callback(partial(self._settled, render))

    def serve(self) -> None:
        """Run on a lane's thread, unless the client has gone while the request waited."""
        environ = self.environ
        if environ:
            reply = self.run(environ, on_loop=False)
            if reply is not None:
                self._server.call_soon(self._connection.answer, self, reply)

    def run(self, environ: Dict[str, Any], on_loop: bool) -> Optional[Reply]:
        """The application's reply; None when it was deferred or streamed."""
        try:
            result = self._server.application(environ, self.start_response)
            try:
                if self._deferred:
                    return None
                if isinstance(result, (list, tuple)):
                    return self._reply(b"".join(result))
                return self._consume(result, on_loop)
            finally:
                if hasattr(result, "close"):
                    result.close()
        except Exception as error:
            reply = self.failed(error, environ)
            return None if self._deferred else reply

    def failed(self, error: Exception, environ: Dict[str, Any]) -> Reply:
        """What an exception answers: a HubError itself, anything else is logged and says nothing."""
        if not isinstance(error, HubError):
            log.error("%s %.200r failed.", environ["REQUEST_METHOD"], environ["PATH_INFO"], exc_info=error)
            error = HubError("internal", "Internal error.")
        return self._server.error_reply(error)

    def forget(self) -> None:
        """Break the circle of exchange, environ and defer, so that no garbage collector is needed."""
        self.environ = {}

    def close(self) -> None:
        """End its connection: something went wrong that no answer can say."""
        self._connection.close()

    def _write(self, data: bytes) -> None:
        self._written += data

    def _reply(self, body: bytes) -> Reply:
        if not self._status:
            raise RuntimeError("the application returned without calling start_response")
        return Reply(self._status, self._headers, self._written + body)

    def _consume(self, result: Iterable[bytes], on_loop: bool) -> Optional[Reply]:
        """A reply from an iterator: whole when it holds one piece, else streamed by this thread."""
        pieces = filter(None, result)                   # an empty piece would end a chunked answer
        first = next(pieces, b"")
        if on_loop:
            return self._reply(first + b"".join(pieces))
        if self._connection.head_only or self._status in http.BODILESS:
            return self._reply(b"")
        second = next(pieces, None)
        if second is None:
            return self._reply(first)
        self._stream(chain((self._reply(first).body, second), pieces))
        return None

    def _stream(self, pieces: Iterable[bytes]) -> None:
        connection = self._connection
        head = http.frame_stream_head(self._status, self._headers, connection.http11, connection.keep_alive
                                      and connection.http11)
        frame: Callable[[bytes], bytes] = http.frame_chunk if connection.http11 else bytes
        stream = Stream(self, connection)
        complete = False
        try:
            complete = stream.put(head) and all(stream.put(frame(piece)) for piece in pieces)
            if complete and connection.http11:
                complete = stream.put(http.LAST_CHUNK)
        finally:
            self._server.call_soon(connection.end_stream, self, complete)

    def _settled(self, render: Callable[[Any], Reply], future: Any) -> None:
        if self._server.on_loop():
            self._server.attempt(self._render, render, future)
        else:
            self._server.call_soon(self._render, render, future)

    def _render(self, render: Callable[[Any], Reply], future: Any) -> None:
        if not self.environ:
            return
        try:
            reply = render(future)
        except Exception as error:
            reply = self.failed(error, self.environ)
        self._connection.answer(self, reply)


class Stream:
    """The way of a long answer from its thread to its connection: the thread waits while too much is under way."""

    def __init__(self, exchange: Exchange, connection: Any):
        self._exchange = exchange
        self._connection = connection
        self._room = connection.server.limits.stream_bytes
        self._change = threading.Condition()
        self._waiting = 0
        self._aborted = False

    def put(self, data: bytes) -> bool:
        """Pass data on when there is room for it; False once the client has gone."""
        with self._change:
            self._change.wait_for(lambda: self._waiting < self._room or self._aborted)
            if self._aborted:
                return False
            self._waiting += len(data)
        self._connection.server.call_soon(self._connection.send_piece, self._exchange, self, data)
        return True

    def taken(self, size: int) -> None:
        """The client's socket took that many bytes."""
        with self._change:
            self._waiting -= size
            self._change.notify()

    def abort(self) -> None:
        """Nobody reads any more: the thread stops waiting."""
        with self._change:
            self._aborted = True
            self._change.notify()
