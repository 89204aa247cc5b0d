"""A small HTTP client that may choose the address it calls from.

The hub counts requests by address. On Linux the whole of 127.0.0.0/8 is this machine, so each caller here takes an
address of its own and the limits of one test do not reach the next.
"""

from __future__ import annotations

import gzip
import http.client
import itertools
import json
import os
import sys
from typing import Any, Dict, NamedTuple, Optional, Union
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 30
_counter = itertools.count(os.getpid() * 251)


def next_address() -> Optional[str]:
    """A loopback address that nobody in this run has called from; None where only 127.0.0.1 is ours."""
    if not sys.platform.startswith("linux"):
        return None
    number = next(_counter)
    return "127.%d.%d.%d" % (1 + number // 62500 % 254, 1 + number // 250 % 250, 1 + number % 250)


class Answer(NamedTuple):
    """One HTTP answer; header names are lower case, a gzipped body arrives unpacked."""

    status: int
    headers: Dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body.decode("utf-8"))

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")


class Client:
    """One caller with one address and, while the hub allows it, one connection.

    A connection that the hub closed between two requests is opened again once, as every HTTP client does.
    """

    def __init__(self, url: str, source: Optional[str] = None):
        parts = urlsplit(url)
        self.source = source or next_address()
        self._connection = http.client.HTTPConnection(
            parts.hostname, parts.port, timeout=TIMEOUT_SECONDS,
            source_address=(self.source, 0) if self.source else None)

    def request(self, method: str, path: str, body: Union[bytes, str, dict, list, None] = None,
                headers: Optional[Dict[str, str]] = None) -> Answer:
        """Send one request. A dict or a list is sent as JSON, bytes and text as they are."""
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogatepass")
        reused = self._connection.sock is not None
        try:
            return self._exchange(method, path, body, headers)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self.close()
            if not reused:
                raise
            return self._exchange(method, path, body, headers)

    def _exchange(self, method: str, path: str, body: Optional[bytes], headers: Dict[str, str]) -> Answer:
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        content = response.read()
        if response.getheader("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)

    def get(self, path: str, headers: Optional[Dict[str, str]] = None) -> Answer:
        return self.request("GET", path, None, headers)

    def post(self, path: str, body: Any = None, headers: Optional[Dict[str, str]] = None) -> Answer:
        return self.request("POST", path, body, headers)

    def patch(self, path: str, body: Any = None, headers: Optional[Dict[str, str]] = None) -> Answer:
        return self.request("PATCH", path, body, headers)

    def delete(self, path: str, body: Any = None, headers: Optional[Dict[str, str]] = None) -> Answer:
        return self.request("DELETE", path, body, headers)

    def send_raw(self, data: bytes) -> None:
        """Bytes as they are, on the connection of this caller."""
        if self._connection.sock is None:
            self._connection.connect()
        self._connection.sock.sendall(data)

    def close(self) -> None:
        self._connection.close()
