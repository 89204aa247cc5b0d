"""Connections that leave the hub: only to addresses that may be reached, bounded in time, cut when the hub stops.

What counts is the address that is connected to, not the name that was configured: a name may resolve anew at any
time. Redirects are not followed, the environment's proxies are not used, and answers are read up to a limit.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import time
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union
from urllib.parse import SplitResult, urlsplit

from .shapes import tidy

TIMEOUT_SECONDS = 10         # to connect in all, and for each wait on the receiver
ANSWER_BYTES = 64 << 10
SAID_CHARACTERS = 200        # of what a receiver says are shown
RETRY_AFTER_MAX = 3_600      # seconds that a receiver may ask us to wait
AGENT = "smon"

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# Link-local and multicast are refused as such; these are the metadata services of clouds that live elsewhere.
METADATA = {ipaddress.ip_address("100.100.100.200"), ipaddress.ip_address("192.0.0.192"),
            ipaddress.ip_address("fd00:ec2::254")}
NAT64 = ipaddress.ip_network("64:ff9b::/96")
BROADCAST = ipaddress.ip_address("255.255.255.255")
HOST = re.compile(r"[A-Za-z0-9._:-]+(%[A-Za-z0-9._-]+)?")


class DeliveryError(Exception):
    """Why a message did not arrive. permanent: it never will. looked_at: it may be what it says, not the channel.

    retry_after: seconds that the receiver asks for. left: who is still to be reached, when some others were.
    """

    def __init__(self, sentence: str, permanent: bool = False, looked_at: bool = False, retry_after: int = 0,
                 left: Optional[List[str]] = None):
        super().__init__(sentence)
        self.sentence, self.permanent, self.looked_at = sentence, permanent, looked_at or permanent
        self.retry_after, self.left = retry_after, left


class Rules(NamedTuple):
    """allowed: networks that may be reached although they are link-local or the like. own_port: where the hub itself
    listens, which no message may reach. ca_file: trusted beside the system's. proxy: http://host:port, or empty."""

    allowed: Tuple[Network, ...] = ()
    own_port: int = 0
    ca_file: str = ""
    proxy: str = ""


class Answer(NamedTuple):
    status: int
    text: str
    retry_after: int
    location: str


class Way:
    """The way of one delivery: its one connection, which another thread may cut."""

    def __init__(self, rules: Rules):
        self.rules = rules
        self.started = time.monotonic()
        self._cord: Optional[socket.socket] = None
        self.is_cut = False

    def connect(self, host: str, port: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A connection to the first address of a host that may be reached and answers. Raises DeliveryError."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        why = ""
        for family, address in self._resolved(host, port, kind):
            why = why or self.refuses(address[0])
            if not self.refuses(address[0]):
                try:
                    return self._reached(family, kind, address, deadline)
                except OSError as error:
                    why = "%s port %d does not answer: %s." % (host, port, said(error))
        raise DeliveryError(why)

    def secured(self, plain: socket.socket, host: str, verify: bool = True) -> ssl.SSLSocket:
        """TLS over a connection. Raises DeliveryError."""
        context = self.context(verify)
        try:
            return context.wrap_socket(plain, server_hostname=host)
        except (OSError, ValueError) as error:
            raise DeliveryError("TLS with %s failed: %s." % (host, said(error))) from None

    def context(self, verify: bool = True) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self.rules.ca_file:
            try:
                context.load_verify_locations(self.rules.ca_file)
            except OSError as error:
                raise DeliveryError("The CA file %s can not be used: %s." % (self.rules.ca_file, said(error))) from None
        if not verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def refuses(self, text: str) -> str:
        """Why an address must not be reached, or an empty text."""
        addresses = _unwrapped(ipaddress.ip_address(text.partition("%")[0]))
        if any(address in network for address in addresses for network in self.rules.allowed):
            return ""
        if any(address.is_link_local or address.is_multicast or address.is_unspecified or address == BROADCAST
               or address in METADATA for address in addresses):
            return "%s is a link-local, metadata or group address; delivery_allowed_addresses does not name it." % text
        return ""

    def cut(self) -> None:
        """End the delivery from another thread: whatever it waits for fails at once."""
        self.is_cut = True
        cord = self._cord
        if cord is not None:
            _end(cord)

    def close(self) -> None:
        """End the connection, whoever still holds it."""
        cord, self._cord = self._cord, None
        if cord is not None:
            _end(cord)
            cord.close()

    def _resolved(self, host: str, port: int, kind: int) -> Sequence[Tuple[int, Any]]:
        try:
            found = socket.getaddrinfo(host, port, type=kind)
        except (OSError, UnicodeError):
            raise DeliveryError("%s is not known to the name service." % host) from None
        return [(row[0], row[4]) for row in found]

    def _reached(self, family: int, kind: int, address: Any, deadline: float) -> socket.socket:
        connection = socket.socket(family, kind)
        try:
            connection.settimeout(max(0.1, deadline - time.monotonic()))
            connection.connect(address)
            self._refuse_own(connection)
            connection.settimeout(TIMEOUT_SECONDS)
            self.close()
            self._cord = connection.dup()  # of the connection itself, whatever TLS makes of the socket
            if self.is_cut:
                raise DeliveryError("The hub stops.")
        except BaseException:
            connection.close()
            raise
        return connection

    def _refuse_own(self, connection: socket.socket) -> None:
        peer, own = connection.getpeername(), connection.getsockname()
        here = peer[0] == own[0] or _unwrapped(ipaddress.ip_address(peer[0].partition("%")[0]))[-1].is_loopback
        if here and peer[1] == self.rules.own_port:
            raise DeliveryError("Port %d of this machine is the hub itself." % peer[1])


def check_url(url: str, rules: Rules) -> str:
    """Why an address can not be configured, or an empty text. Names are looked up when they are used."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        return "must be an address such as https://host/path."
    if parts.scheme not in ("http", "https") or not host or not HOST.fullmatch(host) or port == 0:
        return "must be an address such as https://host/path."
    if re.search(r"[^\x21-\x7e]|\\", url) or parts.fragment:
        return "must be an address without blanks, backslashes and a #fragment."
    if parts.username is not None:
        return "must not hold a name or password: there are fields for credentials."
    return _check_host(host, port or _default_port(parts), rules)


def _check_host(host: str, port: int, rules: Rules) -> str:
    try:
        literal = str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        try:
            literal = socket.inet_ntoa(socket.inet_aton(host))  # 2130706433 and 0x7f.1 are addresses, too
        except OSError:
            literal = ""
    refused = literal and Way(rules).refuses(literal)
    if refused:
        return "must not lead there: " + refused
    local = host.lower() == "localhost" or literal and _unwrapped(ipaddress.ip_address(literal))[-1].is_loopback
    if local and port == rules.own_port:
        return "must not lead to the hub itself."
    return ""


def post(way: Way, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """What the receiver answered, whatever its status. Raises DeliveryError when there was no answer."""
    parts = urlsplit(url)
    connection = _connected(way, parts)
    target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    if parts.scheme == "http" and _proxied(way.rules, parts):
        target = "http://%s%s" % (parts.netloc, target)
    try:
        connection.request("POST", target, body, {"User-Agent": AGENT, "Connection": "close", **headers})
        response = connection.getresponse()
        text = response.read(ANSWER_BYTES).decode("utf-8", "replace")
        if way.is_cut:  # what was read so far may look whole
            raise OSError("cut")
        return Answer(response.status, text, _seconds(response.getheader("Retry-After", "")),
                      response.getheader("Location", ""))
    except (OSError, http.client.HTTPException) as error:
        raise DeliveryError("%s took too long to answer." % parts.hostname if way.is_cut
                            else "%s gave no answer: %s." % (parts.hostname, said(error))) from None
    finally:
        connection.close()


def said(what: Any) -> str:
    """The words of an error or a receiver in one short harmless line."""
    if isinstance(what, ssl.SSLCertVerificationError):
        what = "the certificate is not accepted, " + what.verify_message
    elif isinstance(what, socket.timeout):
        what = "timed out"
    elif isinstance(what, OSError) and what.strerror:
        what = what.strerror
    text = str(what) or type(what).__name__
    return tidy(" ".join(text.split()), SAID_CHARACTERS).rstrip(".")


def _connected(way: Way, parts: SplitResult) -> http.client.HTTPConnection:
    """A connection that is there already: to the host, or through the proxy."""
    host, port = parts.hostname or "", parts.port or _default_port(parts)
    connection = http.client.HTTPConnection(host, port)
    proxy = _proxied(way.rules, parts)
    if proxy:
        sock = way.connect(proxy.hostname or "", proxy.port or 3128)
        if parts.scheme == "https":
            _tunnel(sock, host, port)
    else:
        sock = way.connect(host, port)
    connection.sock = way.secured(sock, host) if parts.scheme == "https" else sock
    return connection


def _proxied(rules: Rules, parts: SplitResult) -> Optional[SplitResult]:
    """The proxy, where one is set and the target is not an address of one's own network."""
    try:
        own = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_private
    except ValueError:
        own = False
    return urlsplit(rules.proxy) if rules.proxy and not own else None


def _tunnel(sock: socket.socket, host: str, port: int) -> None:
    place = "%s:%d" % ("[%s]" % host if ":" in host else host, port)
    try:
        sock.sendall(("CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\n\r\n" % (place, place, AGENT)).encode())
        response = http.client.HTTPResponse(sock, method="CONNECT")
        response.begin()
        status = response.status
    except (OSError, http.client.HTTPException) as error:
        sock.close()
        raise DeliveryError("The proxy gave no answer: %s." % said(error)) from None
    if status != 200:
        sock.close()
        raise DeliveryError("The proxy answered %d." % status)


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # it has ended by itself
        return


def _unwrapped(address: Address) -> List[Address]:
    """An address, and the IPv4 address that it stands for; the last one is where a connection ends."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and (address in NAT64 or 1 < int(address) < 1 << 32):
        inner = ipaddress.IPv4Address(int(address) & 0xffffffff)
    return [address] if inner is None else [address, inner]


def _default_port(parts: SplitResult) -> int:
    return 443 if parts.scheme == "https" else 80


def _seconds(text: str) -> int:
    """Retry-After in seconds; a date is not worth reading."""
    return min(int(text), RETRY_AFTER_MAX) if re.fullmatch("[0-9]{1,9}", text.strip()) else 0
