"""The load process: some connections, each sending its next request when the last one is answered.

Run by hub.py as `python load.py`, with a plan as JSON on its standard input and the result as JSON on its output.
Raw sockets and requests made of three prebuilt pieces keep its own cost far below the server's.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Dict, List

MOMENT = b"0000-00-00T00:00:00.000Z"  # in the body of a plan, replaced by a moment that this server has not sent yet
GOOD = b"HTTP/1.1 200"
LENGTH = re.compile(rb"\r\nContent-Length: *([0-9]+)", re.IGNORECASE)
SECOND_FORMAT = "%Y-%m-%dT%H:%M:%S"


class Connection:
    """One kept-alive connection, which speaks for one server, as an agent's does."""

    def __init__(self, plan: Dict[str, Any], number: int, head: bytes):
        self.sock = socket.create_connection((plan["host"], plan["ports"][number % len(plan["ports"])]))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = head
        self.before, _, self.after = plan["body"].encode("utf-8").partition(MOMENT)
        self.turn = 0
        self.began = 0.0
        self.waiting = b""
        self.usual = 0  # bytes of an answer; the next one mostly has as many

    def send(self, start: datetime) -> None:
        """The server's next sample. Its moments are a millisecond apart, so none comes twice."""
        self.turn += 1
        self.began = time.perf_counter()
        self.sock.sendall(b"".join((self.head, self.before, moment(start, self.turn), self.after)))

    def receive(self) -> bool:
        """Read what came; true when the answer is whole. Raises RuntimeError for any answer but 200."""
        data = self.sock.recv(8192)
        if len(data) == self.usual and data.startswith(GOOD) and data.endswith(b"}") and not self.waiting:
            return True
        if not data:
            raise RuntimeError("The server closed a connection.")
        self.waiting += data
        end = self.waiting.find(b"\r\n\r\n")
        if end < 0 or len(self.waiting) - end - 4 < content_length(self.waiting[:end]):
            return False
        if not self.waiting.startswith(GOOD):
            raise RuntimeError(self.waiting.decode("latin-1"))
        self.usual, self.waiting = len(self.waiting), b""
        return True


@lru_cache(maxsize=64)
def moment(start: datetime, turn: int) -> bytes:
    """All connections are at about the same turn, so its text is made once."""
    at = start + timedelta(milliseconds=turn)
    return ("%s.%03dZ" % (at.strftime(SECOND_FORMAT), at.microsecond // 1000)).encode("ascii")


def content_length(head: bytes) -> int:
    return int(LENGTH.search(head).group(1))  # type: ignore[union-attr]


def run(plan: Dict[str, Any]) -> Dict[str, Any]:
    """Drive the server for the planned seconds or requests; the figures of what was answered meanwhile."""
    poll = select.epoll()  # not selectors, which cost as much as all the rest here
    heads = [head.encode("ascii") for head in plan["heads"]]
    count = plan["connections"]
    connections = [Connection(plan, number, heads[number]) for number in range(count)]
    start = datetime.now(timezone.utc)
    began = time.perf_counter()
    until, most = began + plan["seconds"], plan["requests"]
    by_number = {connection.sock.fileno(): connection for connection in connections}
    for number, connection in by_number.items():
        poll.register(number, select.EPOLLIN)
        connection.send(start)
    waits: List[float] = []
    unanswered = count
    while unanswered:
        for number, _ in poll.poll():
            connection = by_number[number]
            if not connection.receive():
                continue
            now = time.perf_counter()
            waits.append(now - connection.began)
            if now < until and len(waits) + unanswered <= most:
                connection.send(start)
            else:
                unanswered -= 1
    return figures(waits, time.perf_counter() - began)


def figures(waits: List[float], seconds: float) -> Dict[str, Any]:
    waits.sort()
    return {"requests": len(waits), "per_second": len(waits) / seconds, "p50_ms": waits[len(waits) // 2] * 1000,
            "p99_ms": waits[len(waits) * 99 // 100] * 1000}


if __name__ == "__main__":
    json.dump(run(json.load(sys.stdin)), sys.stdout)
