"""Who calls, and whether the request is let in: decided on its head alone, so that a refusal costs no body.

Agents are known by their keys; people by a session, scripts by a token. Until the first account exists, programs on the
hub's own machine are trusted instead.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any, Dict, NamedTuple, Optional, Set, Tuple

from .. import auth, ingest
from ..auth import Caller
from ..errors import HubError
from ..fleet import Server
from ..store.commits import refusal as store_refusal
from ..store.engine import Trouble
from .call import BODY_BYTES, FILE, FORM, Route

JSON, BINARY, FORM_TYPE = "application/json", "application/octet-stream", "application/x-www-form-urlencoded"
LOOP_BODY_BYTES = 64 << 10   # a larger sample is parsed in the pool: the loop belongs to everyone
SAFE = ("GET", "HEAD", "OPTIONS")

Environ = Dict[str, Any]


class _Proven(NamedTuple):
    """What an agent's head proved."""

    caller: Caller
    counted_as: Tuple[str, str]  # for the rate limit


class Admission:
    """Looks at the head of a request for a route; leaves in environ what it found."""

    def __init__(self, hub: Any):
        self._hub = hub
        self._hosts = Hosts(hub.config.allowed_hosts, hub.config.public_url)

    def admit(self, route: Route, environ: Environ) -> Tuple[str, int]:
        """(lane, body limit). Raises HubError to refuse the request.

        Leaves smon.caller in environ, or smon.address where `verify` is to find out who calls, beside what only the
        loop must not wait for; and for people smon.scheme, by which their browser came, and smon.only_https, whether it
        shall come by nothing else.
        """
        address = auth.client_address(environ, self._hub.config.trusted_proxies)
        lane = (self._identify_agent if route.auth == "agent" else self._identify_person)(route, environ, address)
        if route.body is not None:
            known = environ["smon.known"]
            if "typed" not in known:
                _check_type(route, environ)
                known["typed"] = True
            if lane == "loop" and int(environ.get("CONTENT_LENGTH") or LOOP_BODY_BYTES) >= LOOP_BODY_BYTES:
                lane = "pool"
        return lane, route.body_bytes

    # --- people and scripts ---------------------------------------------------------------------------------------

    def trusts_its_machine(self) -> bool:
        """Whether programs on this machine need no credential: until somebody has an account, and unless the options
        tell of a proxy, which would look like this machine."""
        config = self._hub.config
        return not (self._hub.accounts.users or config.trusted_proxies or config.allowed_hosts or config.public_url
                    or not config.local_trust)

    def _identify_person(self, route: Route, environ: Environ, address: str) -> str:
        """Find out who calls a route that is not an agent's, or leave that to `verify`; the lane to go on in.

        Where other hubs may have let somebody in, or out, what memory knows is not enough: only those who show nothing
        and bring nothing are answered by it, and those whom it does not know may not send what is large.
        """
        brings = route.auth == "open" and route.body is not None  # a password, or a wish to register
        if self._hub.peers.shared and (brings or route.auth != "open"):
            shows = (brings or auth.api_token(environ.get("HTTP_AUTHORIZATION", ""))
                     or auth.session(environ.get("HTTP_COOKIE", "")))
            caller = self._caller(environ, address)
            if caller.role == "nobody" and shows:  # whatever it is, the database is not asked at any rate
                self._refuse_over(self._hub.limits.wait(auth.limit_key(address), self._limit(), time.monotonic()))
            if caller.role != "nobody" or shows and route.body_bytes <= BODY_BYTES:
                environ["smon.address"] = address
                return "pool" if route.on == "loop" else route.on
        return self._identify(route, environ, address)

    def _identify(self, route: Route, environ: Environ, address: str) -> str:
        """Find out who calls a route that is not an agent's; the lane to go on in."""
        scheme, host = auth.reached_as(environ, self._hub.config.trusted_proxies)
        if not (route.any_host or self._hosts.ours(host)):
            raise HubError("misdirected", "%s is no name of this hub; name it in allowed_hosts if it is one."
                           % ascii(host[:200])[1:-1])
        caller = self._caller(environ, address)
        if environ["REQUEST_METHOD"] not in SAFE and caller.via != "token":  # which is nothing that browsers add
            self._refuse_foreign_origin(environ, "%s://%s" % (scheme, host))
            if route.body is None and _type_of(environ) not in ("", JSON):
                raise _wrong_type(JSON)  # such as a form of a page elsewhere sends in a browser that names no origin
        if route.auth != "open" and not caller.may(route.auth):
            raise self._refused(route, caller)
        if route.limited:
            self._count(auth.limit_key(address))
        environ["smon.caller"], environ["smon.scheme"] = caller, scheme
        environ["smon.only_https"] = scheme == "https" and self._hub.config.hsts
        if caller.via in ("session", "token"):
            environ["smon.authenticated"] = True
        return route.on

    def _caller(self, environ: Environ, address: str) -> Caller:
        """A token that is shown is all that counts; without one the cookie does, then the machine."""
        hub, header = self._hub, environ.get("HTTP_AUTHORIZATION", "")
        if auth.shows_local_token(header, hub.local_token):
            return Caller("admin", address, None, "command line", "token")
        nobody, token = Caller("nobody", address), auth.api_token(header)
        if token is not None:
            return hub.accounts.by_token(token, address, hub.now()) or nobody
        session = auth.session(environ.get("HTTP_COOKIE", ""))
        known = hub.accounts.by_session(session, address, hub.now()) if session else None
        if known is None and self.trusts_its_machine() and auth.is_local(environ):
            return Caller("admin", address, None, "this machine", "local")
        return known or nobody

    def _refused(self, route: Route, caller: Caller) -> HubError:
        if caller.role != "nobody":
            return HubError("forbidden", "This needs the role %s; yours is %s." % (route.auth, caller.role))
        self._count(auth.limit_key(caller.address))
        if self._hub.accounts.users:
            return HubError("unauthorized", "Log in, or send Authorization: Bearer and an API token.")
        return HubError("unauthorized", "This hub has no account yet: only programs on its own machine may ask." if
                        self.trusts_its_machine() else "This hub has no account yet: make the first one at /login.")

    def _refuse_foreign_origin(self, environ: Environ, ours: str) -> None:
        """A page of another origin must not act with a browser's session, nor with this machine's trust."""
        origin = environ.get("HTTP_ORIGIN", ours).lower()
        if (environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("same-origin", "none")
                or origin not in (ours, self._hub.config.public_url or ours)):
            raise HubError("forbidden", "This request comes from a page of another origin; behind a proxy set "
                           "trusted_proxies or public_url.")

    # --- agents ---------------------------------------------------------------------------------------------------

    def _identify_agent(self, route: Route, environ: Environ, address: str) -> str:
        """Find out which agent calls, or that bcrypt must tell; the lane to go on in."""
        known, shared = environ["smon.known"], self._hub.peers.shared
        proven: Optional[_Proven] = known.get("agent")
        if proven is None or not self.holds(proven.caller):
            proven = known["agent"] = self._proven(environ, address)
        if proven is not None and (route.stores or not shared):
            if route.limited:
                self._count(proven.counted_as)
            environ["smon.caller"], environ["smon.authenticated"] = proven.caller, True
            return route.on
        server, key = self._shown(environ)
        large = int(environ.get("CONTENT_LENGTH") or BODY_BYTES + 1) > BODY_BYTES
        if not key or server is None and (large or not shared):  # ids are random: that one is unknown tells nothing
            self._count(auth.limit_key(address))
            raise ingest.unknown_key()
        environ["smon.address"] = address
        if proven is not None:
            return "pool"
        self._refuse_over(self._hub.limits.wait(auth.limit_key(address), self._limit(), time.monotonic()))
        return "keys"

    def _proven(self, environ: Environ, address: str) -> Optional[_Proven]:
        """The agent whose key the head shows, when that was verified before."""
        server, key = self._shown(environ)
        if server is None:
            return None
        proven = _Proven(_agent(server, address), (auth.limit_key(address), server.row["uuid"]))
        return proven if self._hub.keys.remembers(server, key) else None

    def _shown(self, environ: Environ) -> Tuple[Optional[Server], str]:
        """The server whose key the head shows, None for one that is not known; and the key, "" when it shows none."""
        uuid, key = auth.bearer(environ.get("HTTP_AUTHORIZATION", "")) or ("", "")
        return self._hub.fleet.by_uuid.get(uuid), key

    def holds(self, caller: Caller) -> bool:
        """Whether an agent's server is still there, with the key that was shown."""
        server = caller.server
        return self._hub.fleet.by_uuid.get(server.row["uuid"]) is server and server.row["key_hash"] == caller.key_hash

    def verify(self, route: Route, environ: Environ) -> Caller:
        """What may wait, after the body: the slow check of an agent's key, and what other hubs decided."""
        try:
            self._hub.peers.catch_up()
        except Trouble as error:
            raise store_refusal(error) from None
        address = environ["smon.address"]
        if route.auth == "agent":
            return self._verify_agent(route, environ, address)
        self._identify(route, environ, address)
        return environ["smon.caller"]

    def _verify_agent(self, route: Route, environ: Environ, address: str) -> Caller:
        """Only failures count against the address."""
        server, key = self._shown(environ)
        if server is not None:
            caller = _agent(server, address)  # before the check, which takes its time: what holds is what it saw
            if self._hub.keys.remembers(server, key) or self._hub.keys.verify(server, key):
                if route.limited:
                    self._count((auth.limit_key(address), server.row["uuid"]))
                environ["smon.authenticated"] = True
                return caller
        self._count(auth.limit_key(address))
        raise ingest.unknown_key()

    # --- the rate limit -------------------------------------------------------------------------------------------

    def _count(self, key: Any) -> None:
        self._refuse_over(self._hub.limits.take(key, self._limit(), time.monotonic()))

    def _limit(self) -> int:
        return self._hub.settings["rate_limit_per_minute"]

    def _refuse_over(self, wait: int) -> None:
        if wait:
            raise HubError("rate_limited", "More than %d requests in a minute (rate_limit_per_minute); wait %d seconds."
                           % (self._limit(), wait), retry_after=wait)


class Hosts:
    """The names by which browsers may call this hub. A page of elsewhere can point a name of its own at this machine,
    and would then read what its visitor may; an address it can not choose."""

    def __init__(self, allowed: Tuple[str, ...], public_url: str):
        self._names: Set[str] = {"localhost", *allowed}
        if public_url:
            self._names.add(auth.host_name(public_url.partition("://")[2]))
        if not allowed:
            self._names.add(socket.gethostname().lower())
            threading.Thread(target=self._ask_for_more, name="smon-names", daemon=True).start()

    def ours(self, host: str) -> bool:
        """Whether a Host header names this hub. Clients without one are no browsers."""
        name = auth.host_name(host)
        return not host or name in self._names or auth.is_address(name)

    def _ask_for_more(self) -> None:
        """The machine's name with its domain, which a name server may take its time to tell."""
        with contextlib.suppress(OSError, UnicodeError):
            self._names.add(socket.getfqdn().lower())


def _agent(server: Server, address: str) -> Caller:
    return Caller("agent", address, server, key_hash=server.row["key_hash"])


def _check_type(route: Route, environ: Environ) -> None:
    given = _type_of(environ)
    wanted = BINARY if route.body is FILE else FORM_TYPE if route.body is FORM else JSON
    if given != wanted and (given or route.auth not in ("agent", "open")):
        raise _wrong_type(wanted)


def _type_of(environ: Environ) -> str:
    return environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()


def _wrong_type(wanted: str) -> HubError:
    return HubError("unsupported_type", "The body must be sent as Content-Type: %s." % wanted)
