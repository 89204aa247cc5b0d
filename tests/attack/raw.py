"""Bytes to a hub as no client would send them, and what comes back until it closes."""

from __future__ import annotations

import re
import socket
from typing import Any, List, Optional

from tests.support.client import TIMEOUT_SECONDS, next_address

HOST = b"Host: 127.0.0.1\r\n"


def request(method: bytes = b"GET", target: bytes = b"/api/ping", headers: bytes = HOST, body: bytes = b"",
            version: bytes = b"HTTP/1.1") -> bytes:
    """A request whose parts are taken as they are."""
    return b"%b %b %b\r\n%b\r\n%b" % (method, target, version, headers, body)


def post(headers: bytes, body: bytes = b"", target: bytes = b"/api/register") -> bytes:
    """A POST with these headers beside its Host."""
    return request(b"POST", target, HOST + headers, body)


def sized(body: bytes, headers: bytes = b"", target: bytes = b"/api/register") -> bytes:
    return post(headers + b"Content-Length: %d\r\n" % len(body), body, target)


def chunked(body: bytes, headers: bytes = b"", target: bytes = b"/api/register") -> bytes:
    """A POST whose body is these bytes, sizes and all."""
    return post(headers + b"Transfer-Encoding: chunked\r\n", body, target)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def connect(port: int, source: Optional[str] = None) -> socket.socket:
    """A connection from an address of its own, or from source."""
    address = source or next_address()
    return socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS, (address, 0) if address else None)


def talk(port: int, raw: bytes, half_close: bool = False) -> bytes:
    """Everything that comes back; the hub must close, or TimeoutError. half_close: say first that nothing follows."""
    with connect(port) as sock:
        try:
            sock.sendall(raw)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass                                        # refused before it was all sent; the answer is there
        return rest_of(sock)


def rest_of(sock: Any) -> bytes:
    """What comes until an orderly end."""
    pieces: List[bytes] = []
    while True:
        piece = sock.recv(65536)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


def statuses(answers: bytes) -> List[int]:
    """The status of each answer in a row; no body of ours holds a status line."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]
