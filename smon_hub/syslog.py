"""Messages as lines of RFC 5424, over UDP, or over TCP and TLS with their length in front (RFC 6587, RFC 5425)."""

from __future__ import annotations

import re
import socket
import ssl

from . import clock
from .messages import Message
from .outbound import DeliveryError, Way, said

DATAGRAM_BYTES = 2_048       # what RFC 5424 wants every receiver to take
STREAM_BYTES = 8_192
SEVERITIES = {"critical": 2, "warning": 4, "info": 6}
FAREWELL_SECONDS = 2
RECOVERED = 5                # notice: normal, but worth a line


def send(way: Way, protocol: str, host: str, port: int, facility: int, message: Message) -> None:
    """Hand one line over. Nobody tells whether a datagram arrived; a stream says at least that it was taken.

    Raises DeliveryError.
    """
    text = line(facility, socket.gethostname(), message)
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    connection = way.connect(host, port, kind)
    if protocol == "tls":
        connection = way.secured(connection, host)
    try:
        if protocol == "udp":
            connection.send(_cut(text, DATAGRAM_BYTES))
        else:
            framed = _cut(text, STREAM_BYTES)
            connection.sendall(b"%d %s" % (len(framed), framed))
            _finish(connection)
    except OSError as error:
        raise DeliveryError("%s port %d failed: %s." % (host, port, said(error))) from None
    finally:
        connection.close()


def line(facility: int, hostname: str, message: Message) -> str:
    """PRI VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG."""
    severity = RECOVERED if message.resolved else SEVERITIES.get(message.severity, 6)
    name = re.sub(r"[^\x21-\x7e]", "?", hostname)[:255] or "-"
    return "<%d>1 %s %s smon - %s - \ufeff%s" % (
        facility * 8 + severity, clock.iso_ms(message.at), name, message.event[:32], message.title)


def _finish(connection: socket.socket) -> None:
    """Wait for the other side's end, which it sends when it has read everything. Some keep silent and open."""
    connection.settimeout(FAREWELL_SECONDS)
    try:
        if isinstance(connection, ssl.SSLSocket):
            connection.unwrap()
        else:
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)
    except (socket.timeout, ssl.SSLError):
        return


def _cut(text: str, most: int) -> bytes:
    """UTF-8 of at most so many bytes, whole characters only."""
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore").encode("utf-8")
