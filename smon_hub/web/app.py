"""The WSGI application: the only place that sees requests, headers and errors.

A request is admitted on its head alone (route, credential, rate limit), so that a refusal costs no body. What it
means is left to the handlers in ROUTES, which know nothing of HTTP.
"""

from __future__ import annotations

import gzip
import logging
import re
import time
import zlib
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from http.client import responses
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple
from urllib.parse import parse_qsl

import bottle

from .. import auth, ingest, settings, shapes
from ..errors import HubError
from ..http import Reply
from ..shapes import Shape
from ..store import engine
from ..store.details import encode
from . import pages
from .call import ANY, FILE, GZIP_LEVEL, Call, File, Route, Text
from .routes import ROUTES

log = logging.getLogger("smon.web")

LOOP_BODY_BYTES = 64 << 10   # a larger sample is parsed in the pool: the loop belongs to everyone
GZIP_FROM_BYTES = 1_024
GZIP_WANTED = re.compile(r"(?:^|[ ,])gzip *(?:$|,|; *q=(?!0(?:\.0*)?(?:$|[ ,])))", re.IGNORECASE)  # and not q=0
QUERY_MAX = 20               # parameters; no route has more than three
ANSWER_SECONDS = 30          # how long a foreign WSGI server's thread waits for the commit
JSON, BINARY = "application/json", "application/octet-stream"
SAFE = ("GET", "HEAD", "OPTIONS")
HEADERS = (
    ("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
     "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
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
        self._exact = {(route.method, route.path): route for route in ROUTES if "{" not in route.path}

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "smon.route" not in environ:  # a front server that does not ask first
            try:
                self.admit(environ)
            except HubError as error:
                return _start(self._refusal(environ, error), start_response)
        route = environ["smon.route"]
        if route is None:
            return _start(self._unrouted(environ, environ["smon.unrouted"]), start_response)
        if route.on == "loop" and "smon.defer" in environ:
            return self._at_once(route, environ, start_response)
        return self._bottle(environ, start_response)

    def _at_once(self, route: Route, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """An admitted route without parameters, past Bottle, whose objects cost as much as storing a live sample.

        Errors are left to the front server, which answers them with `refusal`.
        """
        answer = self._answer(route, environ, {})
        if isinstance(answer, Future):
            environ["smon.defer"](answer, self._renderer(route, environ))
            return ()
        return _start(_reply(route, environ, answer), start_response)

    # --- the head -------------------------------------------------------------------------------------------------

    def admit(self, environ: Environ) -> Tuple[str, int]:
        """(lane, body limit) of a request whose head is all there is so far. Raises HubError to refuse it.

        Leaves in environ what was found: smon.route and smon.caller, or smon.bearer where a key is not yet verified.
        """
        route = environ["smon.route"] = self._route(environ)
        if route is None:
            return "pool", shapes.NAME_MAX
        _refuse_foreign_origin(environ)
        lane = self._identify(route, environ)
        if route.body is not None:
            _check_type(route, environ)
        if lane == "loop" and int(environ.get("CONTENT_LENGTH") or LOOP_BODY_BYTES) >= LOOP_BODY_BYTES:
            lane = "pool"
        return lane, route.body_bytes

    def _route(self, environ: Environ) -> Optional[Route]:
        """The route of a request. None for one that changes nothing and has none: a person may have followed a link."""
        method = environ["REQUEST_METHOD"]
        try:
            environ["PATH_INFO"].encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:  # Bottle would drop the bytes, and find another path
            raise HubError("not_found", "No such path.") from None
        route = self._exact.get(("GET" if method == "HEAD" else method, environ["PATH_INFO"]))
        if route is not None:
            return route
        try:
            return self._bottle.match(environ)[0].config["smon"]
        except bottle.HTTPError as error:
            environ["smon.unrouted"] = _no_route(error)
            if method not in SAFE:
                raise environ["smon.unrouted"] from None
            return None

    def _identify(self, route: Route, environ: Environ) -> str:
        """Find out who calls, or that bcrypt must tell; the lane to go on in. Raises HubError."""
        address = auth.client_address(environ, self._hub.config.trusted_proxies)
        if route.auth == "agent":
            return self._identify_agent(route, environ, address)
        local = (auth.locally_trusted(environ, self._hub.config.trusted_proxies)
                 or auth.shows_local_token(environ.get("HTTP_AUTHORIZATION", ""), self._hub.local_token))
        if route.auth != "open" and not local:
            self._count(auth.limit_key(address))
            raise HubError("unauthorized", "This hub has no account yet: only programs on its own machine may ask.")
        if route.limited:
            self._count(auth.limit_key(address))
        environ["smon.caller"] = auth.Caller("admin" if local else "nobody", address)
        return route.on

    def _identify_agent(self, route: Route, environ: Environ, address: str) -> str:
        found = auth.bearer(environ.get("HTTP_AUTHORIZATION", ""))
        server = self._hub.fleet.by_uuid.get(found[0]) if found else None
        if found and server and self._hub.keys.remembers(server, found[1]):
            if route.limited:
                self._count((auth.limit_key(address), found[0]))
            environ["smon.caller"], environ["smon.authenticated"] = auth.Caller("agent", address, server), True
            return route.on
        if not found or server is None:  # ids are random: that one is unknown tells nothing, and costs no body
            self._count(auth.limit_key(address))
            raise ingest.unknown_key()
        self._refuse_over(self._hub.limits.wait(auth.limit_key(address), self._limit(), time.monotonic()))
        environ["smon.bearer"] = (server, found[1], address)
        return "keys"

    def _verify(self, route: Route, environ: Environ) -> auth.Caller:
        """The slow check of an agent's key. Only failures count against its address."""
        server, key, address = environ["smon.bearer"]
        if not self._hub.keys.verify(server, key):
            self._count(auth.limit_key(address))
            raise ingest.unknown_key()
        if route.limited:
            self._count((auth.limit_key(address), server.row["uuid"]))
        environ["smon.authenticated"] = True
        return auth.Caller("agent", address, server)

    def _count(self, key: Any) -> None:
        self._refuse_over(self._hub.limits.take(key, self._limit(), time.monotonic()))

    def _limit(self) -> int:
        return self._hub.settings["rate_limit_per_minute"]

    def _refuse_over(self, wait: int) -> None:
        if wait:
            raise HubError("rate_limited", "More than %d requests in a minute (rate_limit_per_minute); wait %d seconds."
                           % (self._limit(), wait), retry_after=wait)

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
            return _response(_reply(route, environ, answer))
        return endpoint

    def _answer(self, route: Route, environ: Environ, params: Dict[str, str]) -> Any:
        caller = environ.get("smon.caller") or self._verify(route, environ)
        body = None if route.body is None else _body(route.body, route.body_bytes, environ)
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
        if isinstance(error, engine.Trouble):
            error = engine.refusal(error)
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


def _start(reply: Reply, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A whole reply by WSGI's way."""
    start_response("%d %s" % (reply.status, responses.get(reply.status, "")), list(reply.headers))
    return (reply.body,)


def _response(reply: Reply) -> bottle.HTTPResponse:
    response = bottle.HTTPResponse(reply.body, reply.status)
    for name, value in reply.headers:
        response.set_header(name, value)
    return response


# --- what was sent ----------------------------------------------------------------------------------------------------

def _refuse_foreign_origin(environ: Environ) -> None:
    """A page of another origin must not act with this machine's trust. A Bearer key is nothing that browsers add."""
    if environ["REQUEST_METHOD"] in SAFE or environ.get("HTTP_AUTHORIZATION", "").startswith("Bearer "):
        return
    ours = "%s://%s" % (environ["wsgi.url_scheme"], environ.get("HTTP_HOST", ""))
    if (environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("same-origin", "none")
            or environ.get("HTTP_ORIGIN", ours).lower() != ours.lower()):
        raise HubError("forbidden", "This request comes from a page of another origin.")


def _check_type(route: Route, environ: Environ) -> None:
    given = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    wanted = BINARY if route.body is FILE else JSON
    if given != wanted and (given or route.auth not in ("agent", "open")):
        raise HubError("unsupported_type", "The body must be sent as Content-Type: %s." % wanted)


def _body(shape: Shape, most: int, environ: Environ) -> Any:
    """The declared members of the JSON body, or what the handler checks itself. Raises HubError."""
    raw = _raw(environ, most)
    if shape is FILE:
        return raw
    given = shapes.parse(_inflated(environ, raw, most))
    return given if shape is ANY else shapes.clean(shape, given)


def _raw(environ: Environ, most: int) -> bytes:
    """The bytes of the body: handed over whole by our front server, read from others'."""
    if "smon.body" in environ:
        return environ["smon.body"]
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > most:
        raise _too_large(most)
    return environ["wsgi.input"].read(length)


def _inflated(environ: Environ, body: bytes, most: int) -> bytes:
    encoding = environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
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
    query = {row.key: row.default for row in route.query}
    if not text or not query:
        return query
    try:
        given = parse_qsl(text, keep_blank_values=True, max_num_fields=QUERY_MAX, errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise HubError("bad_request", "The query must have at most %d parameters in UTF-8." % QUERY_MAX) from None
    rows = {row.key: row for row in route.query}
    names: List[str] = [name for name, _ in given if name in rows]
    if len(names) != len(set(names)):
        raise HubError("bad_request", "A parameter may be given once: %s." % ", ".join(sorted(set(names))))
    query.update((name, settings.check(rows[name], value)) for name, value in given if name in rows)
    return query


# --- what is answered -------------------------------------------------------------------------------------------------

def _reply(route: Route, environ: Environ, answer: Any) -> Reply:
    """A handler's answer with its headers: a dict as JSON, a Text with its tag, a File as it is."""
    if isinstance(answer, Text):
        if environ.get("HTTP_IF_NONE_MATCH") == answer.tag:
            return Reply(304, (*NO_STORE, ("ETag", answer.tag)), b"")
        return _squeezed(environ, route.status, (*NO_STORE, ("ETag", answer.tag)), answer.body, lambda: answer.gzipped)
    if isinstance(answer, File):
        headers = (*HEADERS, ("Content-Type", answer.type), ("Cache-Control", answer.keep))
        return _squeezed(environ, route.status, headers, answer.body,
                         lambda: answer.gzipped or gzip.compress(answer.body, GZIP_LEVEL, mtime=0))
    body = encode(answer).encode("utf-8", "replace")
    return _squeezed(environ, route.status, NO_STORE, body, lambda: gzip.compress(body, GZIP_LEVEL, mtime=0))


def _squeezed(environ: Environ, status: int, headers: Tuple[Tuple[str, str], ...], body: bytes,
              gzipped: Callable[[], bytes]) -> Reply:
    if len(body) < GZIP_FROM_BYTES:
        return Reply(status, headers, body)
    headers = (*headers, ("Vary", "Accept-Encoding"))
    if not GZIP_WANTED.search(environ.get("HTTP_ACCEPT_ENCODING", "")):
        return Reply(status, headers, body)
    return Reply(status, (*headers, ("Content-Encoding", "gzip")), gzipped())
