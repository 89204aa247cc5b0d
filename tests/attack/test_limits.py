"""What is too large, too deep or too often, for a real hub: at every route that reads a body, and for its memory."""

from __future__ import annotations

import gzip
import re
import socket
import zlib
from typing import Any, List, Sequence

import pytest

from smon_hub.shapes import NESTING_MAX
from smon_hub.web.call import FILE, FORM
from smon_hub.web.routes import ROUTES
from tests.attack.raw import HOST, chunk, connect, request, statuses, talk
from tests.support import needs
from tests.support.processes import METRICS, HubProcess

JSON_ROUTES = [route for route in ROUTES if route.body not in (None, FILE, FORM)]
PIECE = 65536
MIB = 1 << 20


def name_of(route: Any) -> str:
    return "%s %s" % (route.method, route.path)


@pytest.fixture(scope="module")
def server(hub):
    return hub.register("limits")


@pytest.fixture
def ask(hub, server):
    """Send a body to a route, as it is or in chunks; the status: ask(route, body, {"Content-Encoding": "gzip"})."""
    def send(route: Any, body: bytes, headers: Any = None, in_chunks: bool = False) -> int:
        head = {"Content-Type": "application/json", "Connection": "close", **(headers or {})}
        if route.auth == "agent":
            head.update(server.headers)
        head["Transfer-Encoding" if in_chunks else "Content-Length"] = "chunked" if in_chunks else str(len(body))
        lines = "".join("%s: %s\r\n" % member for member in head.items()).encode()
        target = re.sub(r"\{(\w+)\}", lambda match: server.id if match[1] == "server_id" else "1", route.path)
        answer = talk(hub.port, request(route.method.encode(), target.encode(), HOST + lines,
                                        chunks(body) if in_chunks else body))
        status, = statuses(answer)
        return status
    return send


def chunks(body: bytes) -> bytes:
    return b"".join(chunk(body[at:at + PIECE]) for at in range(0, len(body), PIECE)) + b"0\r\n\r\n"


@pytest.mark.parametrize("route", JSON_ROUTES, ids=name_of)
def test_a_body_has_one_limit_however_it_comes(ask, route):
    fits, more = b" " * route.body_bytes, b" " * (route.body_bytes + 1)
    gzipped = {"Content-Encoding": "gzip"}
    assert [ask(route, more), ask(route, more, in_chunks=True), ask(route, gzip.compress(more), gzipped),
            ask(route, gzip.compress(more), gzipped, in_chunks=True)] == [413] * 4
    assert [ask(route, fits), ask(route, fits, in_chunks=True), ask(route, gzip.compress(fits), gzipped),
            ask(route, gzip.compress(fits), gzipped, in_chunks=True)] == [400] * 4  # blanks are no JSON


@pytest.mark.parametrize("route", JSON_ROUTES, ids=name_of)
@pytest.mark.parametrize("opening, closing", [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
def test_nesting_ends_at_its_level_in_members_that_nobody_reads(hub, server, route, opening, closing):
    """Members that are not declared are passed over, but not before they were parsed."""
    def said(levels: int) -> str:
        inner = opening * (levels - 1) + b"1" + closing * (levels - 1)
        headers = dict(server.headers if route.auth == "agent" else {}, **{"Content-Type": "application/json"})
        path = route.path.replace("{server_id}", server.id)
        return hub.request(route.method, path, b'{"nobody_reads_this": ' + inner + b"}", headers).text
    deep = "nests deeper than %d levels" % NESTING_MAX
    assert deep not in said(NESTING_MAX) and deep in said(NESTING_MAX + 1) and deep in said(5000)


TEXTS = {  # name: (a body for POST /api/register, the status)
    "NUL": (rb'{"hostname": "a\u0000b"}', 400),
    "raw NUL": (b'{"hostname": "a\0b"}', 400),
    "lone surrogate": (rb'{"hostname": "a\ud800"}', 400),
    "surrogates the wrong way round": (rb'{"hostname": "\udc00\ud800"}', 400),
    "surrogate in a member's name": (rb'{"hostname": "a", "\ud800": 1}', 201),
    "surrogates in UTF-8": (b'{"hostname": "\xed\xa0\x80"}', 400),
    "overlong UTF-8": (b'{"hostname": "\xc0\xaf"}', 400),
    "UTF-16": ('{"hostname": "a"}'.encode("utf-16"), 400),
    "byte order mark": (b'\xef\xbb\xbf{"hostname": "a"}', 400),
    "bidi override": (rb'{"hostname": "a\u202eb"}', 400),
    "escape sequence": (rb'{"hostname": "\u001b[2J"}', 400),
    "line break": (rb'{"hostname": "a\r\nBcc: b"}', 400),
    "NaN": (b'{"hostname": "a", "x": NaN}', 400),
    "Infinity": (b'{"hostname": "a", "x": [-Infinity]}', 400),
    "a number of 5,000 digits": (b'{"hostname": "a", "x": ' + b"9" * 5000 + b"}", 400),
    "a list for the whole": (b'["a"]', 400),
    "two values": (b'{"hostname": "a"} {"hostname": "b"}', 400),
    "a repeated member, the last one wrong": (b'{"hostname": "a", "hostname": 1}', 400),
    "a repeated member, the last one right": (b'{"hostname": 1, "hostname": "the last"}', 201),
}


@pytest.mark.parametrize("body, status", TEXTS.values(), ids=list(TEXTS))
def test_texts_that_are_refused_register_nobody(hub, body, status):
    before = len(hub.get("/api/dashboard").json["servers"])
    assert hub.post("/api/register", body).status == status
    assert len(hub.get("/api/dashboard").json["servers"]) == before + (status == 201)


# --- memory ----------------------------------------------------------------------------------------------------------

def memory(hub: HubProcess, what: str) -> int:
    """Bytes of memory that the hub holds (VmRSS) or held at most (VmHWM)."""
    try:
        with open("/proc/%d/status" % hub.pid, encoding="ascii") as status:
            return 1024 * int(re.search(what + r":\s+(\d+) kB", status.read()).group(1))
    except OSError:
        return needs.system("This system does not tell what memory a process holds.")


def bomb(size: int) -> bytes:
    """A gzip of so many zeros, made without holding them."""
    pack = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return b"".join(pack.compress(bytes(MIB)) for _ in range(size // MIB)) + pack.flush()


def test_a_gzip_bomb_is_not_unpacked(fresh_hub):
    server = fresh_hub.register("bomb")
    bombs = [bomb(256 * MIB), gzip.compress(bomb(64 * MIB)), bomb(2 * MIB) * 100]
    headers = dict(server.headers, **{"Content-Encoding": "gzip"})
    assert fresh_hub.post("/api/metrics", bomb(2 * MIB), headers).status == 413
    before = memory(fresh_hub, "VmHWM")
    answers = [fresh_hub.post("/api/metrics", body, headers).status for body in bombs]
    assert answers == [413, 400, 413]                    # the second holds a gzip, which is no JSON
    assert memory(fresh_hub, "VmHWM") - before < 8 * MIB


def test_bodies_that_never_come_hold_no_memory(fresh_hub):
    """What a head announces is not set aside before it is there."""
    before = memory(fresh_hub, "VmRSS")
    waiting = [connect(fresh_hub.port) for _ in range(100)]
    for sock in waiting:
        sock.sendall(request(b"POST", b"/api/register", HOST + b"Content-Length: %d\r\n" % MIB, b"{"))
    assert fresh_hub.get("/api/ping").status == 200
    assert memory(fresh_hub, "VmRSS") - before < 8 * MIB
    for sock in waiting:
        sock.close()


STRANGERS = 25_000
REQUESTS_A_TIME = 250
ENDS = re.compile(rb'"code": ?"\w+"\}')  # of the body of a refusal


def test_limiting_many_addresses_holds_a_bounded_memory(tmp_path):
    """Each address is remembered for a minute, at most 20,000 of them: the next 25,000 cost nothing more."""
    with HubProcess(tmp_path / "data", "--trusted-proxies", "127.0.0.1") as hub:
        start = memory(hub, "VmRSS")
        refuse(hub, 0)
        full = memory(hub, "VmRSS")
        refuse(hub, STRANGERS)
        assert full - start < 24 * MIB
        assert memory(hub, "VmRSS") - full < 2 * MIB
        with connect(hub.port, "127.0.0.1") as proxy:
            assert answered(proxy, [2 * STRANGERS] * 121) == [401] * 120 + [429]  # it counts as before


def refuse(hub: HubProcess, first: int) -> None:
    """A request from each of so many addresses behind the proxy, none of them with a credential."""
    with connect(hub.port, "127.0.0.1") as proxy:
        for at in range(first, first + STRANGERS, REQUESTS_A_TIME):
            assert set(answered(proxy, range(at, at + REQUESTS_A_TIME))) == {401}


def answered(proxy: socket.socket, strangers: Sequence[int]) -> List[int]:
    """The statuses of one request for each of these strangers."""
    proxy.sendall(b"".join(request(target=b"/api/dashboard", headers=HOST + b"X-Forwarded-For: 10.%d.%d.%d\r\n" % (
        number >> 16, number >> 8 & 255, number & 255)) for number in strangers))
    answers = b""
    while len(ENDS.findall(answers)) < len(strangers):
        answers += proxy.recv(1 << 20)
    return statuses(answers)


# --- too often -------------------------------------------------------------------------------------------------------

def test_the_121st_sample_of_a_minute_is_refused_on_its_head_and_stores_nothing(hub):
    server = hub.register("often")
    caller = hub.client()
    moments = ["2026-11-21T10:%02d:%02dZ" % divmod(number, 60) for number in range(120)]
    sent = [caller.post("/api/metrics", {"metrics": METRICS, "collected_at": moment}, server.headers).status
            for moment in moments]
    assert sent == [200] * 120
    head = HOST + b"Authorization: %b\r\nContent-Length: 100000\r\n" % server.headers["Authorization"].encode()
    with connect(hub.port, caller.source) as sock:
        sock.sendall(request(b"POST", b"/api/metrics", head))
        answer = sock.recv(65536)
        assert statuses(answer) == [429] and b"\r\nRetry-After: " in answer
    assert len(hub.server(server.id, 8760)["history"]) == 120
