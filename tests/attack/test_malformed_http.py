"""Requests that are no HTTP, or HTTP that two readers could take for different requests, against a real hub.

How each is read is tested beside the parser (tests/hub/test_http.py). Here it is what a caller on the wire sees: the
right refusal and nothing after it, a hub that goes on, and no log that strangers can fill.
"""

from __future__ import annotations

import json

import pytest

from tests.attack.raw import HOST, chunk, chunked, connect, post, request, rest_of, sized, statuses, talk

# Follows every request of the corpus on its connection: answered (200) only if that request left its end beyond doubt.
NEXT = request(headers=HOST + b"Connection: close\r\n")
HELLO = b'{"hostname": ""}'      # read whole, then refused for what it says: 400, and the connection goes on
LENGTH = b"Content-Length: %d\r\n" % len(HELLO)
CODED = b"Transfer-Encoding: chunked\r\n"
WHOLE = chunk(HELLO) + b"0\r\n\r\n"
SMUGGLED = request(b"POST", b"/api/register", HOST + b"Content-Length: 24\r\n", b'{"hostname": "smuggled"}')


def headers(more: bytes) -> bytes:
    return request(headers=HOST + more)


# name: (bytes, the status of the one answer after which the hub closes)
CLOSED = {
    # --- the request line
    "garbage": (b"GARBAGE\r\n\r\n", 400),
    "empty lines": (b"\r\n\r\n", 400),
    "blank first": (b" " + request(), 400),
    "method alone": (b"GET\r\n\r\n", 400),
    "http 0.9": (b"GET /api/ping\r\n\r\n", 400),
    "http 0.9 said": (request(version=b"HTTP/0.9"), 505),
    "http 1.2": (request(version=b"HTTP/1.2"), 505),
    "http 2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "http 1.1.1": (request(version=b"HTTP/1.1.1"), 400),
    "lower-case protocol": (request(version=b"http/1.1"), 400),
    "another protocol": (request(version=b"RTSP/1.0"), 400),
    "protocol of wide digits": (request(version="HTTP/1.１".encode()), 400),
    "two blanks": (b"GET  /api/ping HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "blank at the end": (b"GET /api/ping HTTP/1.1 \r\n" + HOST + b"\r\n", 400),
    "tabs": (b"GET\t/api/ping\tHTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "bare line feeds": (request().replace(b"\r\n", b"\n"), 400),
    "bare carriage returns": (request().replace(b"\r\n", b"\r") + b"\r\n\r\n", 400),
    "bare line feed in the line": (b"GET /api/ping\nHTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "lower-case method": (request(b"get"), 501),
    "TRACE": (request(b"TRACE"), 501),
    "CONNECT": (request(b"CONNECT", b"127.0.0.1:22"), 501),
    "unknown method": (request(b"BREW"), 501),
    "method of 2,000 letters": (request(b"A" * 2000), 501),
    "method with a bracket": (request(b"GE(T"), 400),
    "method beyond ASCII": (request(b"G\xc9T"), 400),
    "absolute target": (request(target=b"http://127.0.0.1/api/ping"), 400),
    "target of another host": (request(target=b"http://169.254.169.254/latest"), 400),
    "no slash": (request(target=b"api/ping"), 400),
    "asterisk for GET": (request(target=b"*"), 400),
    "fragment": (request(target=b"/api/ping#top"), 400),
    "blank in the target": (request(target=b"/api/ping x"), 400),
    "NUL in the target": (request(target=b"/api/ping\0"), 400),
    "escape in the target": (request(target=b"/api/\x1b[2J"), 400),
    "DEL in the target": (request(target=b"/api/\x7f"), 400),
    "raw UTF-8 in the target": (request(target="/api/pïng".encode()), 400),
    "raw bytes in the query": (request(target=b"/api/ping?q=\xff"), 400),
    "target of 9,000 bytes": (request(target=b"/" + b"a" * 9000), 414),
    "query of 9,000 bytes": (request(target=b"/api/ping?" + b"a" * 9000), 414),
    "line without an end": (b"GET /" + b"a" * 20000, 414),
    # --- headers
    "no host": (request(headers=b""), 400),
    "empty host": (request(headers=b"Host:\r\n"), 400),
    "two hosts": (headers(b"Host: other.example\r\n"), 400),
    "the same host twice": (headers(HOST), 400),
    "list of hosts": (request(headers=b"Host: 127.0.0.1, other.example\r\n"), 400),
    "host with a path": (request(headers=b"Host: 127.0.0.1/admin\r\n"), 400),
    "host with a user": (request(headers=b"Host: admin@127.0.0.1\r\n"), 400),
    "host with a word for a port": (request(headers=b"Host: 127.0.0.1:http\r\n"), 400),
    "host beyond ASCII": (request(headers="Host: hüb\r\n".encode()), 400),
    "header without a colon": (headers(b"Accept\r\n"), 400),
    "header without a name": (headers(b": x\r\n"), 400),
    "blank before the colon": (headers(b"Accept : x\r\n"), 400),
    "tab before the colon": (headers(b"Accept\t: x\r\n"), 400),
    "blank before the first name": (request(headers=b" " + HOST), 400),
    "folded": (headers(b"X-A: b\r\n c\r\n"), 400),
    "folded by a tab": (headers(b"X-A: b\r\n\tc\r\n"), 400),
    "NUL in a value": (headers(b"X-A: b\0c\r\n"), 400),
    "carriage return in a value": (headers(b"X-A: b\rX-B: c\r\n"), 400),
    "line feed in a value": (headers(b"X-A: b\nX-B: c\r\n"), 400),
    "escape in a value": (headers(b"User-Agent: \x1b]0;x\x07\r\n"), 400),
    "vertical tab in a value": (headers(b"X-A: b\x0bc\r\n"), 400),
    "NUL in a name": (headers(b"X\0A: b\r\n"), 400),
    "bracket in a name": (headers(b"X(A): b\r\n"), 400),
    "name beyond ASCII": (headers("Xä: b\r\n".encode()), 400),
    "101 headers": (request(headers=HOST + b"X-A: b\r\n" * 100), 431),
    "10,000 headers": (request(headers=HOST + b"A:\r\n" * 10000), 431),
    "header of 33,000 bytes": (headers(b"X-A: " + b"b" * 33000 + b"\r\n"), 431),
    "headers without an end": (b"GET /api/ping HTTP/1.1\r\n" + b"X-A: " + b"b" * 40000, 431),
    "unknown expectation": (sized(HELLO, b"Expect: 200-ok\r\n"), 417),
    "two expectations": (sized(HELLO, b"Expect: 100-continue\r\nExpect: 100-continue\r\n"), 417),
    # --- where the body ends
    "two lengths": (post(LENGTH + b"Content-Length: 5\r\n", HELLO), 400),
    "the same length twice": (post(LENGTH * 2, HELLO), 400),
    "list of lengths": (post(b"Content-Length: 16, 16\r\n", HELLO), 400),
    "length with a sign": (post(b"Content-Length: +16\r\n", HELLO), 400),
    "length below zero": (post(b"Content-Length: -1\r\n", HELLO), 400),
    "length in hexadecimal": (post(b"Content-Length: 0x10\r\n", HELLO), 400),
    "length with an underscore": (post(b"Content-Length: 1_6\r\n", HELLO), 400),
    "length with a point": (post(b"Content-Length: 16.0\r\n", HELLO), 400),
    "length in wide digits": (post("Content-Length: １６\r\n".encode(), HELLO), 400),
    "length of words": (post(b"Content-Length: many\r\n", HELLO), 400),
    "empty length": (post(b"Content-Length:\r\n", HELLO), 400),
    "length of 16 digits": (post(b"Content-Length: 0000000000000016\r\n", HELLO), 400),
    "length beyond the limit": (post(b"Content-Length: 1048577\r\n"), 413),
    "length of a petabyte": (post(b"Content-Length: 999999999999999\r\n"), 413),
    "length and coding": (post(LENGTH + CODED, WHOLE), 400),
    "coding and length": (post(CODED + LENGTH, WHOLE), 400),
    "coding and a length of zero": (post(b"Content-Length: 0\r\n" + CODED, b"0\r\n\r\n"), 400),
    "coding of HTTP/1.0": (request(b"POST", b"/api/register", HOST + CODED, WHOLE, b"HTTP/1.0"), 400),
    "coding twice": (post(CODED + CODED, WHOLE), 400),
    "chunked, then another": (post(b"Transfer-Encoding: chunked, gzip\r\n", WHOLE), 400),
    "another, then chunked": (post(b"Transfer-Encoding: gzip, chunked\r\n", WHOLE), 400),
    "identity": (post(b"Transfer-Encoding: identity\r\n" + LENGTH, HELLO), 400),
    "coding with a parameter": (post(b"Transfer-Encoding: chunked;q=1\r\n", WHOLE), 400),
    "misspelt coding": (post(b"Transfer-Encoding: xchunked\r\n", WHOLE), 400),
    "quoted coding": (post(b'Transfer-Encoding: "chunked"\r\n', WHOLE), 400),
    "empty coding": (post(b"Transfer-Encoding:\r\n" + LENGTH, HELLO), 400),
    "coding behind a vertical tab": (post(b"Transfer-Encoding:\x0bchunked\r\n", WHOLE), 400),
    "coding, blank before the colon": (post(b"Transfer-Encoding : chunked\r\n" + LENGTH, HELLO), 400),
    "coding in a folded line": (post(b"Transfer-Encoding:\r\n chunked\r\n" + LENGTH, HELLO), 400),
    # --- chunks
    "chunk without a size": (chunked(b"\r\n" + HELLO), 400),
    "size in words": (chunked(b"ten\r\n"), 400),
    "size with a sign": (chunked(b"+10\r\n" + HELLO + b"\r\n0\r\n\r\n"), 400),
    "size below zero": (chunked(b"-1\r\n\r\n"), 400),
    "size with 0x": (chunked(b"0x10\r\n" + HELLO + b"\r\n0\r\n\r\n"), 400),
    "size behind a blank": (chunked(b" 10\r\n" + HELLO + b"\r\n0\r\n\r\n"), 400),
    "size of nine digits": (chunked(b"000000010\r\n" + HELLO + b"\r\n0\r\n\r\n"), 400),
    "size with an underscore": (chunked(b"1_0\r\n" + HELLO + b"\r\n0\r\n\r\n"), 400),
    "size ended by a line feed": (chunked(b"10\n" + HELLO + b"\r\n0\r\n\r\n"), 400),
    "size ended by a carriage return": (chunked(b"10\r" + HELLO + b"\r\n0\r\n\r\n"), 400),
    "chunk longer than its size": (chunked(b"5\r\n" + HELLO + b"\r\n0\r\n\r\n"), 400),
    "chunk ended by a line feed": (chunked(b"10\r\n" + HELLO + b"\n0\r\n\r\n"), 400),
    "chunk beyond the limit": (chunked(b"100001\r\n"), 413),
    "chunk of four gigabytes": (chunked(b"ffffffff\r\n"), 413),
    "chunks beyond the limit": (chunked(chunk(b"x" * 65536) * 17), 413),
    "chunks of one byte with long extensions": (chunked((b"1;" + b"e" * 200 + b"\r\nx\r\n") * 2000), 400),
    "extension of 300 bytes": (chunked(b"10;" + b"e" * 300 + b"\r\n" + HELLO + b"\r\n0\r\n\r\n"), 400),
    "NUL in an extension": (chunked(b"10;\0\r\n" + HELLO + b"\r\n0\r\n\r\n"), 400),
    "line feed in an extension": (chunked(b"10;a\n\r\n" + HELLO + b"\r\n0\r\n\r\n"), 400),
    "trailer without a colon": (chunked(chunk(HELLO) + b"0\r\nX\r\n\r\n"), 400),
    "folded trailer": (chunked(chunk(HELLO) + b"0\r\nX: a\r\n b\r\n\r\n"), 400),
    "NUL in a trailer": (chunked(chunk(HELLO) + b"0\r\nX: \0\r\n\r\n"), 400),
    "33 trailers": (chunked(chunk(HELLO) + b"0\r\n" + b"X: a\r\n" * 33 + b"\r\n"), 400),
    "last chunk without its empty line": (chunked(chunk(HELLO) + b"0\r\n"), 400),
    # --- refused on its head: what would be its body is never read as a request
    "no credential, body to come": (post(b"Content-Length: 100000\r\n", SMUGGLED, b"/api/metrics"), 401),
    "no credential, chunks to come": (chunked(SMUGGLED, target=b"/api/metrics"), 401),
    "wrong type, body to come": (post(b"Content-Type: a/b\r\nContent-Length: 100000\r\n", SMUGGLED), 415),
    "no such path, body to come": (post(b"Content-Length: 100000\r\n", SMUGGLED, b"/api/nothing"), 404),
    "wrong method, body to come": (post(b"Content-Length: 100000\r\n", SMUGGLED, b"/api/dashboard"), 405),
    "GET with a body beyond its limit": (headers(b"Content-Length: 1048577\r\n") + SMUGGLED, 413),
}

# name: (bytes, the status of each answer); these leave no doubt where they end, and what follows is answered
KEPT = {
    "an empty line before a request": (b"\r\n" + request(), [200]),
    "a body": (sized(HELLO), [400]),
    "chunks": (chunked(WHOLE), [400]),
    "chunks with extensions and trailers": (chunked(b"10;a=b\r\n" + HELLO + b"\r\n0;c\r\nX: y\r\n\r\n"), [400]),
    "a header whose name only looks like a length": (post(b"Content_Length: 5\r\n" + LENGTH, HELLO), [400]),
    "a header whose name only looks like a coding": (post(b"Transfer_Encoding: chunked\r\n" + LENGTH, HELLO), [400]),
    "a request for a body": (sized(SMUGGLED), [400]),
    "a request in chunks": (chunked(chunk(SMUGGLED) + b"0\r\n\r\n"), [400]),
    "a request for the body of a GET": (headers(b"Content-Length: %d\r\n" % len(SMUGGLED)) + SMUGGLED, [200]),
    "a refused head with a request for a body": (sized(SMUGGLED, target=b"/api/metrics"), [401]),
    "HEAD with a body": (request(b"HEAD", headers=HOST + LENGTH, body=HELLO), [200]),
    "OPTIONS for everything": (request(b"OPTIONS", b"*"), [404]),
    "100 headers": (request(headers=HOST + b"X-A: b\r\n" * 99), [200]),
    "NUL, escaped": (request(target=b"/api/%00"), [404]),
    "a way up, escaped": (request(target=b"/static/x/%2e%2e/%2e%2e/smon_hub/auth.py"), [404]),
    "a way up": (request(target=b"/static/x/../../smon_hub/auth.py"), [404]),
    "a way up with strokes": (request(target=b"/static/x/..%5c..%5csmon.db"), [404]),
    "overlong UTF-8": (request(target=b"/static/x/%c0%ae%c0%ae/smon.db"), [404]),
    "a broken escape": (request(target=b"/api/%zz"), [404]),
    "a body in an unknown coding": (sized(HELLO, b"Content-Encoding: br\r\n"), [415]),
    "a body coded twice": (sized(HELLO, b"Content-Encoding: gzip, gzip\r\n"), [415]),
    "an absurd range": (headers(b"Range: bytes=0-,0-,0-,0-\r\n"), [200]),
    "three in a row, the middle one refused": (request() + sized(HELLO) + request(), [200, 400, 200]),
}

# bytes of other protocols, after which the hub closes without a word
FOREIGN = {
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x5a" * 500,
    "SSL 2 hello": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80",
    "SMB": b"\x00\x00\x00\x85\xffSMBr\x00\x00\x00\x00",
    "NUL": b"\0",
    "bytes beyond ASCII": b"\xff" * 100,
}

# a request that its sender never ends
UNENDED = {
    "nothing": b"",
    "an empty line": b"\r\n",
    "half a line": b"GET /api/pi",
    "half a head": b"GET /api/ping HTTP/1.1\r\nHost: 127",
    "a head but its empty line": b"GET /api/ping HTTP/1.1\r\nHost: 127.0.0.1\r\n",
    "half a body": post(b"Content-Length: 100\r\n", HELLO),
    "half a chunk": chunked(b"10\r\n{"),
    "chunks without the last": chunked(chunk(HELLO)),
    "trailers without an end": chunked(b"0\r\nX: a\r\n"),
}


@pytest.fixture(autouse=True)
def goes_on(hub):
    """Whatever was sent: the hub answers the next caller, and has logged one line at most."""
    before = hub.log.count("\n")
    yield
    assert hub.get("/api/ping").status == 200
    assert hub.log.count("\n") - before <= 1, hub.log
    assert "Traceback" not in hub.log


@pytest.mark.parametrize("raw, status", CLOSED.values(), ids=list(CLOSED))
def test_it_refuses_and_reads_nothing_more(hub, raw, status):
    answer = talk(hub.port, raw + NEXT)
    assert statuses(answer) == [status]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head and b"\r\nX-Content-Type-Options: nosniff" in head
    assert {"error", "code"} <= set(json.loads(body.decode("utf-8")))


@pytest.mark.parametrize("raw, expected", KEPT.values(), ids=list(KEPT))
def test_it_answers_and_reads_on_where_the_request_ended(hub, raw, expected):
    assert statuses(talk(hub.port, raw + NEXT)) == expected + [200]


@pytest.mark.parametrize("raw", FOREIGN.values(), ids=list(FOREIGN))
def test_another_protocol_is_closed_without_a_word(hub, raw):
    with connect(hub.port) as sock:
        sock.sendall(raw)
        assert rest_of(sock) == b""


@pytest.mark.parametrize("raw", UNENDED.values(), ids=list(UNENDED))
def test_a_request_without_an_end_is_never_begun(hub, raw):
    assert talk(hub.port, raw, half_close=True) == b""


def test_nothing_was_smuggled(hub):
    everything = hub.get("/api/dashboard").json["servers"]
    assert [server["hostname"] for server in everything] == []
