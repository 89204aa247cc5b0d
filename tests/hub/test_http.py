"""The reading of requests and the framing of replies, as pure functions over bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smon_hub import http
from smon_hub.errors import HubError
from smon_hub.http import CHUNKED, LIMITS, Reply

UNFINISHED = 0
BODY_LIMIT = 1000
HOST = b"Host: hub.example:3000\r\n"


def read(raw: bytes, pieces=None):
    """Read a request as a connection does: (environ, body, what follows), UNFINISHED, or the status of a refusal."""
    buffer, state = bytearray(), {}
    result = UNFINISHED
    for piece in pieces or [raw]:
        buffer += piece
        if result == UNFINISHED:
            try:
                result = advance(buffer, state)
            except HubError as refusal:
                return refusal.status
    return result if result == UNFINISHED else (state["environ"], result, bytes(buffer))


def advance(buffer: bytearray, state):
    if "head" not in state:
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if buffer:
                http.check_unfinished(buffer)
            return UNFINISHED
        state["environ"] = {}
        state["head"] = http.parse_head(bytes(buffer[:end]), state["environ"])
        del buffer[:end + 4]
        state["chunks"] = http.ChunkedBody(BODY_LIMIT)
    length = state["head"].length
    if length == CHUNKED:
        return bytes(state["chunks"].body) if state["chunks"].take(buffer) else UNFINISHED
    if len(buffer) < length:
        return UNFINISHED
    body = bytes(buffer[:length])
    del buffer[:length]
    return body


def get(target=b"/", headers=HOST, version=b"HTTP/1.1", method=b"GET"):
    return b"%b %b %b\r\n%b\r\n" % (method, target, version, headers)


def chunked(data: bytes, headers=b""):
    return get(method=b"POST", headers=HOST + b"Transfer-Encoding: chunked\r\n" + headers) + data


def sized(value: bytes, more=b""):
    return get(method=b"POST", headers=HOST + b"Content-Length: " + value + b"\r\n" + more) + b"hello"


REQUEST_LINES = [
    (get(), "GET"),
    (get(method=b"HEAD"), "HEAD"),
    (get(method=b"POST"), "POST"),
    (get(method=b"PUT"), "PUT"),
    (get(method=b"PATCH"), "PATCH"),
    (get(method=b"DELETE"), "DELETE"),
    (get(method=b"OPTIONS"), "OPTIONS"),
    (get(b"*", method=b"OPTIONS"), "OPTIONS"),
    (get(version=b"HTTP/1.0", headers=b""), "GET"),
    (b"\r\n" + get(), "GET"),
    (get(b"//"), "GET"),
    (get(b"/a?b?c=/&d={e}|f"), "GET"),
]

REFUSED_REQUEST_LINES = [
    (b"GARBAGE\r\n\r\n", 400),
    (b"\r\n\r\n", 400),
    (b"\r\n\r\n" + get(), 400),
    (b" " + get(), 400),
    (b"GET\r\n\r\n", 400),
    (b"GET /\r\n\r\n", 400),
    (b": :\r\n\r\n", 400),
    (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n", 400),
    (b"GET\t/\tHTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (get(b"/a b"), 400),
    (get(version=b"HTTP/2.0"), 505),
    (get(version=b"HTTP/1.2"), 505),
    (get(version=b"HTTP/0.9"), 505),
    (get(version=b"HTTP/x.y"), 400),
    (get(version=b"HTTP/1.1.1"), 400),
    (get(version=b"HTTP/01.1"), 400),
    (get(version=b"http/1.1"), 400),
    (get(version=b"JUNK/1.1"), 400),
    (get(method=b"get"), 501),
    (get(method=b"TRACE"), 501),
    (get(method=b"CONNECT"), 501),
    (get(method=b"BREW"), 501),
    (get(method=b"A" * 2000), 501),
    (get(method=b"GE(T"), 400),
    (get(method=b"G\xc9T"), 400),
    (get(b"hub.example:80", method=b"CONNECT"), 501),
    (get(b"http://hub.example/"), 400),
    (get(b"*"), 400),
    (get(b"*?a", method=b"OPTIONS"), 400),
    (get(b"**", method=b"OPTIONS"), 400),
    (get(b"api/ping"), 400),
    (get(b"/a#b"), 400),
    (get(b"/\xff\xfe"), 400),
    (get(b"/a?b=\xe4"), 400),
    (get(b"/a\x00b"), 400),
    (get(b"/a\x7f"), 400),
    (get(b"/a\x01b"), 400),
    (get(b"/a\rb"), 400),
    (get(b"/a\nb"), 400),
    (get(b"/" + b"a" * 9000), 414),
    (b"GET /" + b"a" * 9000, 414),
    (b"A" * 9000, 414),
    (b"GET / HTTP/1.1\nHost: a\n\n", 400),
]

REFUSED_HEADERS = [
    (b"", 400),
    (HOST + HOST, 400),
    (HOST + b"host: hub.example:3000\r\n", 400),
    (b"Host: \r\n", 400),
    (b"Host: a b\r\n", 400),
    (b"Host: a,b\r\n", 400),
    (b"Host: a/b\r\n", 400),
    (b"Host: user@a\r\n", 400),
    (b"Host: a:b\r\n", 400),
    (b"Host: [::1\r\n", 400),
    (b"Host: \xe4.example\r\n", 400),
    (HOST + b"NoColonHere\r\n", 400),
    (HOST + b"Space : before\r\n", 400),
    (HOST + b"Tab\t: before\r\n", 400),
    (HOST + b": empty\r\n", 400),
    (HOST + b" leading: x\r\n", 400),
    (HOST + b"X-Folded: a\r\n b\r\n", 400),
    (HOST + b"X-Folded: a\r\n\tb\r\n", 400),
    (HOST + b"X-A: a\x00b\r\n", 400),
    (HOST + b"X-A: a\rX-B: c\r\n", 400),
    (HOST + b"X-A: a\nX-B: c\r\n", 400),
    (HOST + b"X-A: a\x0bb\r\n", 400),
    (HOST + b"X-A: a\x7f\r\n", 400),
    (HOST + b"X(A): a\r\n", 400),
    (HOST + b"X\xe4: a\r\n", 400),
    (HOST + b"X_A: \x01\r\n", 400),
    (HOST + b"Expect: the-impossible\r\n", 417),
    (HOST + b"Expect: 100-continue, more\r\n", 417),
    (HOST + b"".join(b"X-%d: y\r\n" % n for n in range(100)), 431),
    (HOST + b"X-A: " + b"a" * 33000 + b"\r\n", 431),
]

REFUSED_BODIES = [
    *((sized(value), 400) for value in (
        b"abc", b"-1", b"+5", b"0x5", b"5_0", b"", b"5, 5", b"5 5", b"\xb2", b"5;", b"9" * 16)),
    (sized(b"5", b"Content-Length: 5\r\n"), 400),
    (sized(b"5", b"Content-Length: 6\r\n"), 400),
    (sized(b"5", b"Transfer-Encoding: chunked\r\n"), 400),
    (get(method=b"POST", version=b"HTTP/1.0", headers=b"Transfer-Encoding: chunked\r\n"), 400),
    *((get(method=b"POST", headers=HOST + b"Transfer-Encoding: " + coding + b"\r\n"), 400) for coding in (
        b"xchunked", b"chunked, identity", b"identity", b"chunked\x0b", b"gzip, chunked", b'"chunked"', b"",
        b"chunked;a", b"chunked\r\nTransfer-Encoding: chunked", b"chunked\r\nTransfer-Encoding: x")),
    *((chunked(data), 400) for data in (
        b"0x2\r\n{}\r\n0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n", b"+2\r\n{}\r\n0\r\n\r\n", b" 2\r\n{}\r\n0\r\n\r\n",
        b"zz\r\n{}\r\n0\r\n\r\n", b"\r\n{}\r\n0\r\n\r\n", b"2\r\n{}XX0\r\n\r\n", b"2\r\n{}\n0\r\n\r\n",
        b"2\n{}\r\n0\r\n\r\n", b"ffffffffffffffff\r\n{}", b"2;" + b"a" * 300 + b"\r\n{}\r\n",
        b"2;a\nb\r\n{}\r\n0\r\n\r\n", b"2;\x00\r\n{}\r\n",
        b"0\r\nno trailer\r\n\r\n", b"0\r\nA: b\rc\r\n\r\n", b"0\r\n" + b"A: b\r\n" * 33 + b"\r\n",
        b"".join(b"1;%b\r\nx\r\n" % (b"e" * 200) for _ in range(200)))),
    (chunked(b"3e9\r\n"), 413),
    (chunked(b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\n"), 413),
    (chunked(b"ffffffff\r\n"), 413),
]

ACCEPTED_BODIES = [
    (get(method=b"POST"), b"", b""),
    (get(method=b"POST", version=b"HTTP/1.0", headers=b""), b"", b""),
    (sized(b"5"), b"hello", b""),
    (sized(b"0"), b"", b"hello"),
    (sized(b"000000000000004"), b"hell", b"o"),
    (chunked(b"0\r\n\r\n"), b"", b""),
    (chunked(b"2\r\n{}\r\n0\r\n\r\nGET"), b"{}", b"GET"),
    (chunked(b"1\r\n{\r\n01\r\n}\r\n000\r\n\r\n"), b"{}", b""),
    (chunked(b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"), b"0123456789" * 2, b""),
    (chunked(b"2;name=value\r\n{}\r\n0 ;x\r\n\r\n"), b"{}", b""),
    (chunked(b"2\r\n{}\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n"), b"{}", b""),
    (chunked(b"2\r\n\r\n\r\n0\r\n\r\n"), b"\r\n", b""),
    (chunked(b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n"), b"x" * 1000, b""),
    (get(method=b"POST", headers=HOST + b"transfer-encoding:\tCHUNKED \r\n") + b"0\r\n\r\n", b"", b""),
]

UNFINISHED_REQUESTS = [
    b"", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r", get()[:-1], sized(b"6"), chunked(b""),
    chunked(b"2"), chunked(b"2\r\n{}"), chunked(b"2\r\n{}\r\n0\r\n"), chunked(b"2\r\n{}\r\n0\r\nA: b\r\n"),
    b"\r\n", b"GET /" + b"a" * 8000,
]


def shown(value):
    return repr(value[:40]) if isinstance(value, bytes) else None


@pytest.mark.parametrize("raw, method", REQUEST_LINES, ids=shown)
def test_it_reads_a_good_request_line(raw, method):
    environ, body, rest = read(raw)
    assert (environ["REQUEST_METHOD"], body, rest) == (method, b"", b"")


@pytest.mark.parametrize("raw, status", REFUSED_REQUEST_LINES, ids=shown)
def test_it_refuses_a_bad_request_line(raw, status):
    assert read(raw) == status


@pytest.mark.parametrize("headers, status", REFUSED_HEADERS, ids=shown)
def test_it_refuses_bad_headers(headers, status):
    assert read(get(headers=headers)) == status


@pytest.mark.parametrize("raw, status", REFUSED_BODIES, ids=shown)
def test_it_refuses_a_body_whose_end_is_in_doubt(raw, status):
    assert read(raw) == status


@pytest.mark.parametrize("raw, body, rest", ACCEPTED_BODIES, ids=shown)
def test_it_reads_a_body_to_its_end_and_no_further(raw, body, rest):
    environ, read_body, left = read(raw)
    assert (read_body, left) == (body, rest)
    assert "HTTP_TRANSFER_ENCODING" not in environ


@pytest.mark.parametrize("raw", UNFINISHED_REQUESTS, ids=shown)
def test_it_waits_for_the_rest_of_a_request(raw):
    assert read(raw) == UNFINISHED


@pytest.mark.parametrize("raw, status", [
    (b"GET / HTTP/1.1\r\n" + b"X-A: " + b"a" * 33000, 431),
    (b"GET / HTTP/1.1\r\nHost: a\nX", 400),
    (b"GET /" + b"a" * 8192, 414),
])
def test_it_refuses_what_can_no_longer_become_a_good_head(raw, status):
    assert read(raw) == status


@pytest.mark.parametrize("host", [
    b"a", b"A.example.", b"127.0.0.1:3000", b"[::1]", b"[fe80::1]:80", b"a_b:", b"localhost:1"])
def test_it_takes_any_well_formed_host(host):
    assert read(get(headers=b"Host: " + host + b"\r\n"))[0]["HTTP_HOST"] == host.decode()


def test_the_environ_holds_what_wsgi_asks_for():
    environ, _, _ = read(get(
        b"/api/%C3%A4%2Fb%zz?q=%C3%A4&r",
        headers=HOST + b"Content-Type: text/plain\r\nX-Thing:  \ta  b\t \r\nX-Latin: \xe4\r\n"))
    assert environ == {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/api/\u00c3\u00a4/b%zz", "QUERY_STRING": "q=%C3%A4&r",
        "SERVER_PROTOCOL": "HTTP/1.1", "smon.target": "/api/%C3%A4%2Fb%zz?q=%C3%A4&r",
        "HTTP_HOST": "hub.example:3000", "CONTENT_TYPE": "text/plain", "HTTP_X_THING": "a  b", "HTTP_X_LATIN": "\u00e4"}


def test_headers_with_an_underscore_are_dropped():
    environ, _, _ = read(get(
        headers=HOST + b"X_Forwarded_For: 1.2.3.4\r\nContent_Length: 7\r\nX-Forwarded-For: 5.6.7.8\r\n"))
    assert environ["HTTP_X_FORWARDED_FOR"] == "5.6.7.8"
    assert "CONTENT_LENGTH" not in environ


def test_repeated_headers_become_one_list():
    environ, _, _ = read(get(headers=HOST + b"Via: a\r\nvia: b\r\nCookie: c=1\r\nCookie: d=2\r\n"))
    assert (environ["HTTP_VIA"], environ["HTTP_COOKIE"]) == ("a, b", "c=1; d=2")


def test_a_name_no_longer_remembered_is_read_all_the_same():
    for number in range(http._KEYS_MAX + 10):
        environ, _, _ = read(get(headers=HOST + b"X-Name-%d: v\r\n" % number))
        assert environ["HTTP_X_NAME_%d" % number] == "v"
    assert len(http._KEYS) <= http._KEYS_MAX


@pytest.mark.parametrize("version, connection, kept", [
    (b"HTTP/1.1", b"", True),
    (b"HTTP/1.1", b"Connection: keep-alive\r\n", True),
    (b"HTTP/1.1", b"Connection: close\r\n", False),
    (b"HTTP/1.1", b"Connection: TE, Close\r\n", False),
    (b"HTTP/1.0", b"", False),
    (b"HTTP/1.0", b"Connection: Keep-Alive\r\n", True),
])
def test_it_knows_whether_the_connection_stays(version, connection, kept):
    assert http.parse_head(get(version=version, headers=HOST + connection)[:-4], {}).keep_alive is kept


def test_a_client_of_http_1_0_can_not_expect_anything():
    expecting = HOST + b"Expect: 100-continue\r\n"
    assert http.parse_head(get(headers=expecting)[:-4], {}).expects_continue
    assert not http.parse_head(get(headers=expecting, version=b"HTTP/1.0")[:-4], {}).expects_continue


GOOD = st.sampled_from([get(), chunked(b"2\r\n{}\r\n0\r\n\r\n"), sized(b"5")])


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_refusal(raw):
    assert read(raw) == UNFINISHED or read(raw) in (400, 414, 501, 505)


@given(GOOD, st.integers(0, 120), st.binary(max_size=8))
def test_a_good_request_with_foreign_bytes_is_read_or_refused(good, at, foreign):
    result = read(good[:at] + foreign + good[at:])
    assert result in (UNFINISHED, 400, 413, 414, 417, 431, 501, 505) or result[0]["REQUEST_METHOD"] in http.METHODS


@given(st.data())
def test_pieces_give_the_same_result_as_the_whole(data):
    whole = data.draw(st.sampled_from([raw for raw, _ in REQUEST_LINES] + [raw for raw, _, _ in ACCEPTED_BODIES]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    pieces = [whole[start:end] for start, end in zip([0] + cuts, cuts + [len(whole)])]
    assert read(whole, pieces) == read(whole)


# --- the heads of one connection --------------------------------------------------------------------------------------

LINES = st.sampled_from([HOST, b"Content-Length: 5\r\n", b"content-length:12\r\n", b"Content-Length: 0012\r\n",
                         b"Content-Length: +5\r\n", b"Content-Length: 5 \r\n", b"Content_Length: 9\r\n",
                         b"X: Content-Length: 7\r\n", b"Authorization: Bearer a\r\n", b"Authorization: Bearer b\r\n",
                         b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n"])
HEADS = st.tuples(st.sampled_from([b"/", b"/p?q", b"/p q"]), st.lists(LINES, max_size=4).map(b"".join)).map(
    lambda parts: get(parts[0], HOST + parts[1], method=b"POST")[:-4])


def found(reading):
    """What was found in a head, or the status of its refusal."""
    try:
        environ, head = reading()
    except HubError as refusal:
        return refusal.status
    return {name: value for name, value in environ.items() if name != "smon.known"}, head


def alone(text):
    environ = {"REMOTE_ADDR": "192.0.2.1"}
    return environ, http.parse_head(text, environ)


@given(st.lists(HEADS, min_size=1, max_size=4), st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_a_head_after_others_says_what_it_says_alone(some, order):
    heads = http.Heads({"REMOTE_ADDR": "192.0.2.1"})
    for text in (some[index % len(some)] for index in order):
        assert found(lambda: heads.read(text)) == found(lambda: alone(text))


def test_only_heads_that_differ_in_the_length_of_their_body_share_what_is_known_of_them():
    heads = http.Heads({})

    def known(length, more=b""):
        headers = HOST + b"Content-Length: %d\r\n" % length + more
        return heads.read(get(headers=headers, method=b"POST")[:-4])[0]["smon.known"]
    first = known(5)
    assert known(5) is first and known(123456) is first
    one = known(5, b"Authorization: Bearer a\r\n")
    assert one is not first and known(5, b"Authorization: Bearer b\r\n") is not one


@pytest.mark.parametrize("more", [b"X: %b\r\n" % (b"x" * http.HEAD_KEPT_BYTES), b"Cookie: smon_session=a\r\n"])
def test_a_large_head_and_a_browsers_are_not_kept(more):
    heads, text = http.Heads({}), get(headers=HOST + b"Content-Length: 5\r\n" + more, method=b"POST")[:-4]
    assert heads.read(text)[0]["smon.known"] is not heads.read(text)[0]["smon.known"]


def test_what_is_said_to_one_alone_is_not_kept():
    secret = (("Content-Type", "text/plain"), ("Set-Cookie", "smon_session=secret"))
    assert b"secret" in http.frame_reply(Reply(200, secret, b""), True, True)
    assert "secret" not in repr(http._TEXTS)


def test_an_environ_is_its_request_s_own():
    heads, text = http.Heads({}), get(headers=HOST + b"Content-Length: 5\r\n", method=b"POST")[:-4]
    for _ in range(3):
        environ, _ = heads.read(text)
        assert "smon.caller" not in environ
        environ["smon.caller"] = "somebody"


def framed(status, headers, body, http11=True, keep_alive=True, head_only=False):
    raw = http.frame_reply(Reply(status, headers, body), http11, keep_alive, head_only)
    head, _, rest = raw.partition(b"\r\n\r\n")
    lines = [line for line in head.decode("latin-1").split("\r\n") if not line.startswith("Date: ")]
    assert len(lines) == head.count(b"\r\n"), "one Date header"
    return lines, rest


def test_a_reply_says_its_length_and_nothing_of_the_server():
    lines, body = framed(200, [("Server", "x"), ("X-A", "b"), ("Content-Length", "99"), ("Connection", "x")], b"hello")
    assert (lines, body) == (["HTTP/1.1 200 OK", "X-A: b", "Content-Length: 5"], b"hello")


@pytest.mark.parametrize("http11, keep_alive, said", [
    (True, True, []), (True, False, ["Connection: close"]), (False, True, ["Connection: keep-alive"]),
    (False, False, ["Connection: close"])])
def test_a_reply_says_whether_the_connection_stays(http11, keep_alive, said):
    assert framed(200, [], b"", http11, keep_alive)[0][2:] == said


@pytest.mark.parametrize("status, headers, head_only, length", [
    (200, [], True, ["Content-Length: 5"]), (200, [("content-length", "7")], True, ["Content-Length: 7"]),
    (204, [], False, []), (204, [("Content-Length", "0")], False, []),
    (304, [], False, []), (304, [("Content-Length", "7")], False, ["Content-Length: 7"])])
def test_a_reply_without_body_says_only_a_length_that_is_true(status, headers, head_only, length):
    lines, body = framed(status, headers, b"hello", head_only=head_only)
    assert (lines[1:], body) == (length, b"")


@pytest.mark.parametrize("header", [
    ("X-A", "b\r\nSet-Cookie: c"), ("X-A", "b\nc"), ("X-A", "b\rc"), ("X\n", "b"), ("X-A", "\u20ac"),
    ("Content-Length", "5\r\nX: y")])
def test_a_header_can_not_split_the_reply(header):
    with pytest.raises(ValueError):
        http.frame_reply(Reply(200, [header], b""), True, True)


def test_a_stream_is_chunked_or_ends_with_its_connection():
    assert b"\r\nTransfer-Encoding: chunked\r\n" in http.frame_stream_head(200, [("Content-Length", "5")], True, True)
    assert b"Content-Length" not in http.frame_stream_head(200, [("Content-Length", "5")], True, True)
    assert b"Transfer-Encoding" not in http.frame_stream_head(200, [], False, False)
    assert http.frame_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


def test_an_unknown_status_needs_no_reason():
    assert http.frame_reply(Reply(299, [], b""), True, True).startswith(b"HTTP/1.1 299 \r\n")


def test_the_limits_are_those_that_the_documents_name():
    assert (LIMITS.request_line_bytes, LIMITS.header_bytes, LIMITS.header_count) == (8192, 32768, 100)
    assert (LIMITS.connections, LIMITS.per_address) == (6000, 200)
    assert (LIMITS.head_seconds, LIMITS.body_seconds, LIMITS.answer_seconds, LIMITS.idle_seconds) == (15, 30, 30, 75)
