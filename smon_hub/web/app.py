"""The WSGI application: the only place that sees requests, headers and errors.

Whether a request is let in is decided by admission.py, on its head alone. What it means is left to the handlers in
ROUTES, which know nothing of HTTP.
"""

from __future__ import annotations

import gzip
import logging
import re
import zlib
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from http.client import responses
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple
from urllib.parse import parse_qsl

import bottle

from .. import auth, settings, shapes, steady
from ..errors import HubError
from ..ingest import unknown_key
from ..http import Reply
from ..shapes import Shape
from ..store.commits import Pending, refusal as store_refusal
from ..store.engine import Trouble
from ..store.details import encode
from . import pages
from .admission import JSON, SAFE, Admission
from .call import ANY, FILE, FORM, GZIP_LEVEL, Call, File, Redirect, Route, Session, Stream, Text
from .routes import ROUTES

log = logging.getLogger("smon.web")

GZIP_FROM_BYTES = 1_024
GZIP_WANTED = re.compile(r"(?:^|[ ,])gzip *(?:$|,|; *q=(?!0(?:\.0*)?(?:$|[ ,])))", re.IGNORECASE)  # and not q=0
QUERY_MAX = 20               # parameters; no route has more than three
TAG = re.compile(r'"[^"]*"')   # of If-None-Match: one or several, weak ones where a proxy packed the answer
ANSWER_SECONDS = 30          # how long a foreign WSGI server's thread waits for the commit
HEADERS = (
    ("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
     "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
HSTS = "max-age=31536000"    # a year; with pages and their files, which every browser fetches
NO_STORE = (*HEADERS, ("Content-Type", JSON), ("Cache-Control", "no-store"))

Environ = Dict[str, Any]


class Application:
    """WSGI: `application(environ, start_response)`; and `admit` for a front server that asks before it reads a body."""

    def __init__(self, hub: Any):
        self._hub = hub
        self._bottle = bottle.Bottle()
        self._bottle.uninstall(True)  # its plugins turn dicts into JSON and render templates: nothing is left to them
        self._bottle.default_error_handler = self._failed
        for route in ROUTES:
            path = re.sub(r"\{([a-z_]+(?::path)?)\}", r"<\1>", route.path)
            self._bottle.route(path, route.method, self._endpoint(route), smon=route)
        self.admission = Admission(hub)
        self._exact = {(route.method, route.path): route for route in ROUTES if "{" not in route.path}

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "smon.route" not in environ:  # a front server that does not ask first
            try:
                _check_head(environ)
                self.admit(environ)
            except HubError as error:
                return start(self._refusal(environ, error), environ, start_response)
        route = environ["smon.route"]
        if route is None:
            return start(self._unrouted(environ, environ["smon.unrouted"]), environ, start_response)
        if route.on == "loop" and "smon.defer" in environ:
            return self._at_once(route, environ, start_response)
        return self._bottle(environ, start_response)

    def _at_once(self, route: Route, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """An admitted route without parameters, past Bottle, whose objects cost as much as storing a live sample.

        Errors are left to the front server, which answers them with `refusal`.
        """
        try:
            answer = self._answer(route, environ, {})
        except Trouble as error:  # the front server knows no database
            raise store_refusal(error) from None
        if isinstance(answer, (Pending, Future)):
            environ["smon.defer"](answer, self._renderer(route, environ))
            return ()
        return start(_reply(route, environ, answer), environ, start_response)

    # --- the head -------------------------------------------------------------------------------------------------

    def admit(self, environ: Environ) -> Tuple[str, int]:
        """(lane, body limit) of a request whose head is all there is so far. Raises HubError to refuse it.

        Leaves the route in environ, as smon.route, and what admission.py found.
        """
        environ.setdefault("smon.known", {})  # nothing, for a front server without http.Heads
        route = environ["smon.route"] = self._route(environ)
        if route is None:
            return "pool", shapes.NAME_MAX
        return self.admission.admit(route, environ)

    def _route(self, environ: Environ) -> Optional[Route]:
        """The route of a request. None for one that changes nothing and has none: a person may have followed a link."""
        method = environ["REQUEST_METHOD"]
        route = self._exact.get(("GET" if method == "HEAD" else method, environ["PATH_INFO"]))
        if route is not None:
            return route
        try:
            environ["PATH_INFO"].encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:  # Bottle would drop the bytes, and find another path
            raise HubError("not_found", "No such path.") from None
        try:
            return self._bottle.match(environ)[0].config["smon"]
        except bottle.HTTPError as error:
            environ["smon.unrouted"] = _no_route(error)
            if method not in SAFE:
                raise environ["smon.unrouted"] from None
            return None

    # --- the answer -----------------------------------------------------------------------------------------------

    def _endpoint(self, route: Route) -> Callable[..., Any]:
        def endpoint(**params: str) -> Any:
            environ = bottle.request.environ
            try:
                answer = self._answer(route, environ, params)
            except Exception as error:  # the edge of a request: whatever went wrong, it is answered and logged
                return _response(self._refusal(environ, error))
            if isinstance(answer, Future):
                return self._deferred(route, environ, answer)
            if isinstance(answer, Stream):
                return _streamed(environ, answer)
            return _response(_reply(route, environ, answer))
        return endpoint

    def _answer(self, route: Route, environ: Environ, params: Dict[str, str]) -> Any:
        caller = environ.get("smon.caller") or self.admission.verify(route, environ)
        if caller.key_hash and not self.admission.holds(caller):  # the body took its time
            raise unknown_key()
        body = None if route.body is None else _body(route.body, route.body_bytes, environ, caller)
        query = _query(route, environ["QUERY_STRING"])
        return route.handler(self._hub, Call(caller, params, query, body, self._hub.now()))

    def _deferred(self, route: Route, environ: Environ, future: "Future[Any]") -> Any:
        """The answer when the future settles: by the front server's loop, or by waiting where there is none."""
        render = self._renderer(route, environ)
        if "smon.defer" in environ:
            environ["smon.defer"](future, render)
            return b""
        try:
            future.exception(ANSWER_SECONDS)
        except NotInTime:
            raise HubError("unavailable", "The storage does not answer.", retry_after=1) from None
        return _response(render(future))

    def _renderer(self, route: Route, environ: Environ) -> Callable[["Future[Any]"], Reply]:
        def render(done: "Future[Any]") -> Reply:
            error = done.exception()
            return self._refusal(environ, error) if error else _reply(route, environ, done.result())
        return render

    def _refusal(self, environ: Environ, error: BaseException) -> Reply:
        """Any error as an answer: HTML for a person who follows a link, JSON for everyone else."""
        if isinstance(error, Trouble):
            error = store_refusal(error)
        if not isinstance(error, HubError):
            log.error("%s %s failed.", environ["REQUEST_METHOD"], ascii(environ["PATH_INFO"][:200]), exc_info=error)
            error = HubError("internal", "Internal error.")
        if environ["PATH_INFO"].startswith(("/api/", "/static/")) or "text/html" not in environ.get("HTTP_ACCEPT", ""):
            return refusal(error)
        headers = (*HEADERS, ("Content-Type", pages.HTML), ("Cache-Control", "no-store"))
        return Reply(error.status, headers, pages.error(self._hub, error))

    def _unrouted(self, environ: Environ, error: HubError) -> Reply:
        """No such path, or not for this method; OPTIONS is told for which."""
        if environ["REQUEST_METHOD"] == "OPTIONS" and "Allow" in error.headers:
            return Reply(204, (*HEADERS, ("Allow", error.headers["Allow"])), b"")
        return self._refusal(environ, error)

    def _failed(self, error: bottle.HTTPError) -> Any:
        """Bottle itself failed."""
        response = _response(self._refusal(bottle.request.environ, error.exception or error))
        bottle.response.status = response.status_code
        for name, value in response.headerlist:
            bottle.response.set_header(name, value)
        return response.body


def refusal(error: HubError) -> Reply:
    """An error in the one shape that all errors have."""
    headers = list(NO_STORE) + list(error.headers.items())
    if error.retry_after is not None:
        headers.append(("Retry-After", str(error.retry_after)))
    if error.status == 401:
        headers.append(("WWW-Authenticate", "Bearer"))
    return Reply(error.status, headers, encode(error.body()).encode("utf-8", "replace"))


def _no_route(error: bottle.HTTPError) -> HubError:
    if error.status_code == 405:
        methods = set(error.headers.get("Allow", "").split(","))
        allow = ",".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))
        return HubError("method_not_allowed", "This path answers only %s." % allow, headers={"Allow": allow})
    return HubError("not_found", "No such path.")


def start(reply: Reply, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A whole reply by WSGI's way."""
    start_response("%d %s" % (reply.status, responses.get(reply.status, "")), list(reply.headers))
    return (b"" if environ["REQUEST_METHOD"] == "HEAD" else reply.body,)


def _response(reply: Reply) -> bottle.HTTPResponse:
    response = bottle.HTTPResponse(reply.body, reply.status)
    for name, value in reply.headers:
        response.set_header(name, value)
    return response


# --- what was sent ----------------------------------------------------------------------------------------------------

def _check_head(environ: Environ) -> None:
    """What our own front server has made sure of. Raises HubError."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit() and len(length) < 16):
        raise HubError("bad_request", "Content-Length must be a number.")
    environ.setdefault("REMOTE_ADDR", "")


def _body(shape: Shape, most: int, environ: Environ, caller: auth.Caller) -> Any:
    """The declared members of the JSON body, or what the handler checks itself. Raises HubError."""
    raw = _raw(environ, most)
    if shape is FILE:
        return raw
    if shape is FORM:
        return dict(_pairs(raw.decode("ascii", "replace"), "The form"))
    plain = _inflated(environ, raw, most)
    if shape.steady and caller.server is not None:
        return steady.read(shape, plain, caller.server.steady)
    given = shapes.parse(plain)
    return given if shape is ANY else shapes.clean(shape, given)


def _raw(environ: Environ, most: int) -> bytes:
    """The bytes of the body: handed over whole by our front server, read from others'."""
    if "smon.body" in environ:
        return environ["smon.body"]
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length <= most:
        chunked = not length and environ.get("wsgi.input_terminated")
        body = environ["wsgi.input"].read(most + 1 if chunked else length)
        if len(body) <= most:
            return body
    raise _too_large(most)


def _inflated(environ: Environ, body: bytes, most: int) -> bytes:
    if "HTTP_CONTENT_ENCODING" not in environ:
        return body
    encoding = environ["HTTP_CONTENT_ENCODING"].strip().lower()
    if encoding == "identity":
        return body
    if encoding != "gzip":
        raise HubError("unsupported_type", "Content-Encoding must be gzip or absent.")
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = inflate.decompress(body, most + 1)
    except zlib.error:
        raise HubError("bad_request", "The body is not gzip, or it is damaged.") from None
    if len(plain) > most:
        raise _too_large(most)
    if not inflate.eof or inflate.unused_data:
        raise HubError("bad_request", "The body is not gzip from its beginning to its end.")
    return plain


def _too_large(most: int) -> HubError:
    return HubError("too_large", "The body may have at most %d bytes." % most)


def _query(route: Route, text: str) -> Dict[str, Any]:
    """The declared parameters, with their defaults. Raises HubError that names the parameter and its bounds."""
    if not route.query:
        return {}
    query = {row.key: row.default for row in route.query}
    if not text:
        return query
    given = _pairs(text, "The query")
    rows = {row.key: row for row in route.query}
    names: List[str] = [name for name, _ in given if name in rows]
    if len(names) != len(set(names)):
        raise HubError("bad_request", "A parameter may be given once: %s." % ", ".join(sorted(set(names))))
    query.update((name, settings.check(rows[name], value)) for name, value in given if name in rows)
    return query


def _pairs(text: str, what: str) -> List[Tuple[str, str]]:
    """The names and values of an encoded form. Raises HubError."""
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=QUERY_MAX, errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise HubError("bad_request", "%s must have at most %d parameters in UTF-8." % (what, QUERY_MAX)) from None


# --- what is answered -------------------------------------------------------------------------------------------------

def _reply(route: Route, environ: Environ, answer: Any) -> Reply:
    """A handler's answer with its headers: a dict as JSON, a Text with its tag, a File as it is."""
    if isinstance(answer, Session):
        reply = _reply(route, environ, answer.answer)
        return reply._replace(headers=(*reply.headers, ("Set-Cookie", _cookie(answer, environ))))
    if isinstance(answer, Redirect):
        return Reply(303, (*HEADERS, ("Location", answer.path), ("Cache-Control", "no-store")), b"")
    if isinstance(answer, Text):
        if answer.tag in TAG.findall(environ.get("HTTP_IF_NONE_MATCH", "")):
            return Reply(304, (*NO_STORE, ("ETag", answer.tag)), b"")
        return _squeezed(environ, route.status, (*NO_STORE, ("ETag", answer.tag)), answer.body, lambda: answer.gzipped)
    if isinstance(answer, File):
        headers = (*HEADERS, ("Content-Type", answer.type), ("Cache-Control", answer.keep), *_only_https(environ))
        return _squeezed(environ, answer.status or route.status, headers, answer.body,
                         lambda: answer.gzipped or gzip.compress(answer.body, GZIP_LEVEL, mtime=0))
    body = encode(answer).encode("utf-8", "replace")
    return _squeezed(environ, route.status, NO_STORE, body, lambda: gzip.compress(body, GZIP_LEVEL, mtime=0))


def _only_https(environ: Environ) -> Tuple[Tuple[str, str], ...]:
    return (("Strict-Transport-Security", HSTS),) if environ.get("smon.only_https") else ()


def _cookie(session: Session, environ: Environ) -> str:
    secure = "; Secure" if environ.get("smon.scheme") == "https" else ""
    return "%s=%s; Max-Age=%d; Path=/; HttpOnly; SameSite=Strict%s" % (
        auth.SESSION_COOKIE, session.token, session.seconds, secure)


def _streamed(environ: Environ, answer: Stream) -> bottle.HTTPResponse:
    """A long answer as a file to keep, packed on its way when that is wanted."""
    packed = GZIP_WANTED.search(environ.get("HTTP_ACCEPT_ENCODING", ""))
    response = bottle.HTTPResponse(_packed(answer.pieces) if packed else answer.pieces)
    for name, value in (*HEADERS, ("Content-Type", answer.type), ("Cache-Control", "no-store"),
                        ("Content-Disposition", 'attachment; filename="%s"' % answer.name),
                        ("Vary", "Accept-Encoding"), *([("Content-Encoding", "gzip")] if packed else [])):
        response.set_header(name, value)
    return response


def _packed(pieces: Iterable[bytes]) -> Iterable[bytes]:
    gzipped = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for piece in pieces:
        yield gzipped.compress(piece)
    yield gzipped.flush()


def _squeezed(environ: Environ, status: int, headers: Tuple[Tuple[str, str], ...], body: bytes,
              gzipped: Callable[[], bytes]) -> Reply:
    if len(body) < GZIP_FROM_BYTES:
        return Reply(status, headers, body)
    headers = (*headers, ("Vary", "Accept-Encoding"))
    if not GZIP_WANTED.search(environ.get("HTTP_ACCEPT_ENCODING", "")):
        return Reply(status, headers, body)
    return Reply(status, (*headers, ("Content-Encoding", "gzip")), gzipped())
