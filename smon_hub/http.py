"""HTTP/1.0 and 1.1 as bytes: strict reading of requests, exact framing of replies.

Owns the limits, the shape of a reply and everything that decides where one message ends and the next begins.
Knows no sockets and no threads (serve.py) and nothing of what a request means. What could be read in two ways is
refused with a HubError, because two readers that disagree about one message are how requests get smuggled (RFC 9112).
"""

from __future__ import annotations

import functools
import re
import time
from email.utils import formatdate
from http.client import responses
from typing import Any, Dict, NamedTuple, Sequence, Tuple
from urllib.parse import unquote_to_bytes

from .errors import HubError


class Limits(NamedTuple):
    """Every bound of the front server. Seconds are totals, so that a client that dribbles gains nothing."""

    request_line_bytes: int = 8192      # a path and a query; what browsers and proxies allow as well
    header_bytes: int = 32768           # all headers together; cookies and bearer keys are far below
    header_count: int = 100
    body_bytes: int = 1 << 20           # where no `admit` says otherwise
    head_seconds: float = 15            # TLS handshake and head
    body_seconds: float = 30
    answer_seconds: float = 30          # to take an answer, or the next `stream_bytes` of a long one
    idle_seconds: float = 75            # longer than the common 60 s beat, so that a connection lives between two
    drain_seconds: float = 2            # after a refusal: let the client finish writing and read the answer
    drain_bytes: int = 16 << 20         # twice the largest honest body
    stop_seconds: float = 4             # for what is in flight at the end; below any service manager's patience
    connections: int = 6000             # some 5,000 agents and their users
    per_address: int = 200              # of these from one address that has shown no credential yet
    pipelined_bytes: int = 65536        # read ahead while an answer is under way
    stream_bytes: int = 262144          # of a long answer, waiting for its client
    sweep_seconds: float = 0.5          # how often deadlines are looked at, and how long accepting rests when full


LIMITS = Limits()

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
CHUNKED = -1                            # the body length of a chunked request: known at its end
HEAD_KEPT_BYTES = 2048                  # of a connection's last head: an agent's has some 300, and there are thousands
CHUNK_LINE_BYTES = 256                  # a chunk's size with its extension, or one trailer
CHUNK_TRAILERS = 32
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BODILESS = frozenset((204, 304))        # answers that never have a body
LAST_CHUNK = b"0\r\n\r\n"

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TEXT = rb"[\t\x20-\x7e\x80-\xff]"
_REQUEST_LINE = re.compile(
    r"(%s) ((/[!-\"$->@-~]*|\*)(?:\?([!-\"$-~]*))?) HTTP/1\.([01])" % "|".join(METHODS)).fullmatch
_METHOD = re.compile(_TOKEN).fullmatch
_VERSION = re.compile(r"HTTP/[0-9]\.[0-9]").fullmatch
_HEADER_NAME = re.compile(_TOKEN).fullmatch
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
_HOST = re.compile(r"(?:[A-Za-z0-9._~%!$&'()*+;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?").fullmatch
_LENGTH = re.compile(r"[0-9]{1,15}").fullmatch
_LENGTH_LINE = re.compile(rb"\r\nContent-Length: *([0-9]{1,15})(?=\r\n|\Z)", re.IGNORECASE).search
_DIGITS = re.compile(rb"[0-9]{1,15}").fullmatch
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[\t ]*;" + _TEXT + rb"*)?").fullmatch
_TRAILER = re.compile(_TOKEN.encode() + rb":" + _TEXT + rb"*").fullmatch

_STATUS_LINES = {status: "HTTP/1.1 %d %s\r\n" % (status, reason) for status, reason in responses.items()}
_OURS = frozenset(("connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"))
_KEYS: Dict[str, str] = {}              # header name as sent -> environ key, "" for dropped; names repeat for ever
_KEYS_MAX = 1024
_TEXTS: Dict[Tuple[Tuple[str, str], ...], Tuple[str, str]] = {}  # headers as text: most answers have one of a few sets
_TEXTS_MAX = 64
_OF_ONE_ANSWER = frozenset(("content-length", "set-cookie", "etag", "location", "content-disposition", "retry-after"))


class Reply(NamedTuple):
    """A whole answer. Date, Connection and Content-Length are not among its headers: framing adds them."""

    status: int
    headers: Sequence[Tuple[str, str]]
    body: bytes


class Head(NamedTuple):
    """What a request's head says about the connection."""

    keep_alive: bool
    length: int                         # of the body in bytes, or CHUNKED
    expects_continue: bool


def parse_head(head: bytes, environ: Dict[str, Any], limits: Limits = LIMITS) -> Head:
    """Read a head without its closing empty line into a WSGI environ; raise HubError for anything irregular."""
    if head[:2] == b"\r\n":             # one empty line before a request is forgiven (RFC 9112, 2.2)
        head = head[2:]
    lines = head.decode("latin-1").split("\r\n")
    match = _REQUEST_LINE(lines[0])
    if match is None or len(lines[0]) > limits.request_line_bytes:
        raise _request_line_error(lines[0], limits)
    method, target, path, query, minor = match.groups()
    if path == "*" and (method != "OPTIONS" or target != "*"):
        raise HubError("bad_request", "The request target must be a path that begins with /.")
    environ["REQUEST_METHOD"] = method
    environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1") if "%" in path else path
    environ["QUERY_STRING"] = query or ""
    environ["SERVER_PROTOCOL"] = "HTTP/1.1" if minor == "1" else "HTTP/1.0"
    environ["smon.target"] = target
    if len(lines) > limits.header_count + 1 or len(head) - len(lines[0]) > limits.header_bytes:
        raise _headers_too_large(limits)
    _read_headers(lines, environ)
    return _read_framing(environ, minor == "1")


class Heads:
    """Reads the heads of one connection's requests. An agent's next one differs from its last in the length of the body
    at most: what was found in that one holds.

    Each environ has, as smon.known, a dict that is shared by all requests of one head, whatever their length: for what
    else follows from it.
    """

    __slots__ = ("_template", "_environ", "_head", "_before", "_after")

    def __init__(self, template: Dict[str, Any]):
        self._template = template       # what is the same in each request
        self._environ: Dict[str, Any] = {}
        self._head = Head(True, 0, False)
        self._before = self._after = b""

    def read(self, text: bytes, limits: Limits = LIMITS) -> Tuple[Dict[str, Any], Head]:
        """parse_head, into a new environ."""
        before, after = self._before, self._after
        if before and text.startswith(before) and text.endswith(after):
            length = text[len(before):len(text) - len(after)]
            if _DIGITS(length):
                head, environ = self._head, self._environ.copy()
                if int(length) != head.length:
                    environ["CONTENT_LENGTH"] = length.decode("ascii")
                    head = head._replace(length=int(length))
                return environ, head
        environ = dict(self._template)
        environ["smon.known"] = {}
        head = parse_head(text, environ, limits)
        found = _LENGTH_LINE(text)
        if found and len(text) <= HEAD_KEPT_BYTES and "HTTP_COOKIE" not in environ:  # an agent's, not a browser's
            self._before, self._after = text[:found.start(1)], text[found.end(1):]
            self._environ, self._head = environ.copy(), head
        return environ, head


def check_unfinished(buffer: bytearray, limits: Limits = LIMITS) -> None:
    """Refuse a head that is not whole yet but can not become a good one."""
    if buffer.count(b"\n") != buffer.count(b"\r\n"):
        raise HubError("bad_request", "Lines of a request head must end with CR LF.")
    line_end = buffer.find(b"\r\n", 1)
    if len(buffer if line_end < 0 else buffer[:line_end]) > limits.request_line_bytes + 2:
        raise _uri_too_long(limits)
    if len(buffer) - line_end > limits.header_bytes + 2 and line_end > 0:
        raise _headers_too_large(limits)


def is_text(buffer: bytearray) -> bool:
    """True when the first byte could begin a request; a TLS hello or other binary can not."""
    return buffer[0] in b"\r\n" or 32 < buffer[0] < 127


class ChunkedBody:
    """Takes a chunked body out of a buffer, whole chunks at a time; extensions and trailers are dropped."""

    __slots__ = ("body", "_limit", "_size", "_trailers", "_framing_bytes")

    def __init__(self, limit: int):
        self.body = bytearray()
        self._limit = limit
        self._size = -1                 # of the chunk that comes next; -1 while its size line is awaited
        self._trailers = -1             # lines seen after the last chunk; -1 before it
        self._framing_bytes = 0

    def take(self, buffer: bytearray) -> bool:
        """Move what is whole from the buffer into body; True at the end. Raises HubError, 413 beyond the limit."""
        while True:
            if self._size >= 0:
                if len(buffer) < self._size + 2:
                    return False
                self._take_chunk(buffer)
                continue
            end = buffer.find(b"\r\n", 0, CHUNK_LINE_BYTES + 2)
            if end < 0:
                if len(buffer) >= CHUNK_LINE_BYTES + 2:
                    raise HubError("bad_request", "A line between chunks is limited to %d bytes." % CHUNK_LINE_BYTES)
                return False
            line = bytes(buffer[:end])
            del buffer[:end + 2]
            if self._trailers < 0:
                self._open_chunk(line)
            elif not line:
                return True
            else:
                self._pass_trailer(line)

    def _open_chunk(self, line: bytes) -> None:
        match = _CHUNK_SIZE(line)
        if match is None:
            raise HubError("bad_request", "A chunk must begin with its size in 1 to 8 hexadecimal digits.")
        size = int(match.group(1), 16)
        if len(self.body) + size > self._limit:
            raise body_too_large(self._limit)
        self._framing_bytes += len(line)
        if self._framing_bytes > 16 * (len(self.body) + 1024):
            raise HubError("bad_request", "The chunks of the body hold more framing than data.")
        if size:
            self._size = size
        else:
            self._trailers = 0

    def _take_chunk(self, buffer: bytearray) -> None:
        size = self._size
        if buffer[size:size + 2] != b"\r\n":
            raise HubError("bad_request", "A chunk must end with CR LF after as many bytes as its size says.")
        self.body += buffer[:size]
        del buffer[:size + 2]
        self._size = -1

    def _pass_trailer(self, line: bytes) -> None:
        self._trailers += 1
        if self._trailers > CHUNK_TRAILERS or _TRAILER(line) is None:
            raise HubError("bad_request", "Trailers must be at most %d well-formed headers." % CHUNK_TRAILERS)


def body_too_large(limit: int) -> HubError:
    """The 413 for a body beyond limit bytes."""
    return HubError("too_large", "The body is limited to %d bytes." % limit, limit=limit)


def frame_reply(reply: Reply, http11: bool, keep_alive: bool, head_only: bool = False) -> bytes:
    """A whole answer as bytes, head and body in one piece. Raises ValueError for a header that would split it."""
    status, headers, body = reply
    given, text = _header_text(tuple(headers))
    if head_only or status in BODILESS:
        # No body, so only a length that the application names is true; for HEAD the length of what GET would send.
        length = given if given or not body or status in BODILESS else str(len(body))
        body = b""
    else:
        length = str(len(body))
    framing = "Content-Length: %s\r\n" % length if length and status != 204 else ""
    return _head(status, text, framing, http11, keep_alive) + body


def frame_stream_head(status: int, headers: Sequence[Tuple[str, str]], http11: bool, keep_alive: bool) -> bytes:
    """The head of an answer of unknown length: chunked for HTTP/1.1, until the close for HTTP/1.0."""
    framing = "Transfer-Encoding: chunked\r\n" if http11 else ""
    return _head(status, _header_text(tuple(headers))[1], framing, http11, keep_alive)


def frame_chunk(piece: bytes) -> bytes:
    """One piece of a chunked answer; never empty, because an empty chunk ends the answer."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def _read_headers(lines: Sequence[str], environ: Dict[str, Any]) -> None:
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        key = _KEYS.get(name)
        if key is None:
            key = _environ_key(name)
        value = value.strip(" \t")
        if not colon or (not value.isprintable() and _BAD_VALUE(value)):
            raise HubError("bad_request", "A header must be a name, a colon and a value without control characters.")
        if not key:
            continue
        if key in environ:              # a repeated Host, length or coding becomes a list, which no check below accepts
            value = environ[key] + ("; " if key == "HTTP_COOKIE" else ", ") + value
        environ[key] = value


def _environ_key(name: str) -> str:
    """The environ key of a header, "" when it is dropped: X_Forwarded_For and X-Forwarded-For would share one key."""
    if _HEADER_NAME(name) is None:
        raise HubError("bad_request", "A header name must be letters, digits or !#$%&'*+-.^_`|~ up to its colon.")
    key = name.upper().replace("-", "_")
    if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = "HTTP_" + key
    if "_" in name:
        key = ""
    if len(_KEYS) < _KEYS_MAX:
        _KEYS[name] = key
    return key


def _read_framing(environ: Dict[str, Any], http11: bool) -> Head:
    """Host, body length and connection handling of a head whose headers are in environ."""
    host = environ.get("HTTP_HOST")
    if _HOST(host or "") is None and (http11 or host is not None):
        raise HubError("bad_request", "A request must name one host in its Host header.")
    length = environ.get("CONTENT_LENGTH")
    if "HTTP_TRANSFER_ENCODING" in environ:
        # Gone from environ with its meaning: the application gets the body as it was before the coding.
        if environ.pop("HTTP_TRANSFER_ENCODING").lower() != "chunked" or length is not None or not http11:
            raise HubError("bad_request", "Transfer-Encoding must be chunked alone, without Content-Length.")
        size = CHUNKED
    elif length is None:
        size = 0
    elif _LENGTH(length):
        size = int(length)
    else:
        raise HubError("bad_request", "Content-Length must be one number of 1 to 15 digits.")
    connection = environ.get("HTTP_CONNECTION", "").lower()
    keep_alive = "close" not in connection if http11 else "keep-alive" in connection
    return Head(keep_alive, size, http11 and "HTTP_EXPECT" in environ and _expects_continue(environ["HTTP_EXPECT"]))


def _expects_continue(expectation: str) -> bool:
    if expectation.lower() != "100-continue":
        raise HubError("expectation_failed", "The only expectation that can be met is 100-continue.")
    return True


def _request_line_error(line: str, limits: Limits) -> HubError:
    """Why a request line was refused; called only when it was."""
    if len(line) > limits.request_line_bytes:
        return _uri_too_long(limits)
    parts = line.split(" ")
    if len(parts) != 3 or not _METHOD(parts[0]) or not _VERSION(parts[2]):
        return HubError("bad_request", "A request must begin with METHOD TARGET HTTP/1.1.")
    if parts[2] not in ("HTTP/1.0", "HTTP/1.1"):
        return HubError("http_version", "The protocol must be HTTP/1.0 or HTTP/1.1.")
    if parts[0] not in METHODS:
        return HubError("not_implemented", "The method must be one of %s." % ", ".join(METHODS))
    return HubError("bad_request", "The request target must be a path that begins with / and holds no raw "
                                   "control, blank or non-ASCII characters.")


def _uri_too_long(limits: Limits) -> HubError:
    return HubError("uri_too_long", "The request line is limited to %d bytes." % limits.request_line_bytes)


def _headers_too_large(limits: Limits) -> HubError:
    return HubError("headers_too_large", "Headers are limited to %d and to %d bytes in all."
                    % (limits.header_count, limits.header_bytes))


def _header_text(headers: Tuple[Tuple[str, str], ...]) -> Tuple[str, str]:
    """(the Content-Length among the headers or "", the others that are not ours as text)."""
    known = _TEXTS.get(headers)
    if known is None:
        known = _made_header_text(headers)
        if len(_TEXTS) < _TEXTS_MAX and not any(name.lower() in _OF_ONE_ANSWER for name, _ in headers):
            _TEXTS[headers] = known
    return known


def _made_header_text(headers: Tuple[Tuple[str, str], ...]) -> Tuple[str, str]:
    given, lines = "", []
    for name, value in headers:
        lower = name.lower()
        if lower not in _OURS:
            lines.append("%s: %s\r\n" % (name, value))
        elif lower == "content-length":
            given = value
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or not (given.isdigit() or not given):
        raise ValueError("a header of the answer holds a line break, or its Content-Length is no number")
    return given, text


def _head(status: int, text: str, framing: str, http11: bool, keep_alive: bool) -> bytes:
    if not keep_alive:
        framing += "Connection: close\r\n"
    elif not http11:
        framing += "Connection: keep-alive\r\n"
    line = _STATUS_LINES.get(status) or "HTTP/1.1 %d \r\n" % status
    return (line + _date_line(int(time.monotonic())) + text + framing + "\r\n").encode("latin-1")


@functools.lru_cache(maxsize=1)
def _date_line(second: int) -> str:
    """Made once a second; the argument only says when that is over."""
    return "Date: %s\r\n" % formatdate(usegmt=True)
