"""Who is calling: agents by their keys, this machine by local trust. Counting and refusing is the web's business."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import threading
from collections import OrderedDict
from typing import Any, Mapping, NamedTuple, Optional, Sequence, Tuple

import bcrypt

from .fleet import Server

BCRYPT_ROUNDS = 5            # 192 random bits need no slow hash, and 1,000 agents return in seconds
CACHE_MAX = 20_000           # verified keys; the one verified longest ago pays one hash again
BEARER = re.compile(r"Bearer ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):(smk_[0-9a-f]{32,128})")
LOOPBACK_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
LOCAL_TOKEN = re.compile(r"Bearer (smh_[0-9a-f]{64})")
FORWARDING = ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED")  # how a proxy's headers begin


class Caller(NamedTuple):
    """role: nobody, agent, viewer or admin. server: the agent's own. address: where the request came from."""

    role: str
    address: str
    server: Any = None  # fleet.Server; always there when the role is agent


def new_key() -> str:
    """A new agent key, shown once and stored only as its hash."""
    return "smk_" + secrets.token_hex(24)


def new_local_token() -> str:
    """What the command line shows a hub that runs: it lies in the data folder, for its owner alone."""
    return "smh_" + secrets.token_hex(32)


def shows_local_token(header: str, token: str) -> bool:
    found = LOCAL_TOKEN.fullmatch(header)
    return found is not None and hmac.compare_digest(found.group(1), token)


def key_hash(key: str) -> str:
    return bcrypt.hashpw(key.encode("ascii"), bcrypt.gensalt(BCRYPT_ROUNDS)).decode("ascii")


def export_key(key: str) -> str:
    """What signs an agent's spool exports: derived from its key, so that the key itself is in no file that travels."""
    return hmac.new(key.encode("ascii"), b"smon spool export", hashlib.sha256).hexdigest()


def bearer(header: str) -> Optional[Tuple[str, str]]:
    """(server id, key) of an agent's Authorization header, or None when it is not one."""
    found = BEARER.fullmatch(header)
    return (found.group(1), found.group(2)) if found else None


class Keys:
    """Verifies agent keys: bcrypt the first time, then a keyed digest in memory that is bound to the stored hash."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._known: "OrderedDict[str, Tuple[str, bytes]]" = OrderedDict()
        self._lock = threading.Lock()

    def remembers(self, server: Server, key: str) -> bool:
        """Whether this key was verified before, against the hash that the server has now. About a microsecond."""
        known = self._known.get(server.row["uuid"])
        return (known is not None and known[0] == server.row["key_hash"]
                and hmac.compare_digest(known[1], self._digest(key)))

    def verify(self, server: Server, key: str) -> bool:
        """The slow way, with bcrypt; a right key is remembered."""
        stored = server.row["key_hash"]
        if not bcrypt.checkpw(key.encode("ascii"), stored.encode("ascii")):
            return False
        with self._lock:
            self._known[server.row["uuid"]] = (stored, self._digest(key))
            self._known.move_to_end(server.row["uuid"])
            if len(self._known) > CACHE_MAX:
                self._known.popitem(last=False)
        return True

    def _digest(self, key: str) -> bytes:
        return hashlib.blake2b(key.encode("ascii"), key=self._secret, digest_size=16).digest()


def locally_trusted(environ: Mapping[str, Any], trusted_proxies: Sequence[str]) -> bool:
    """Whether a request comes from a program on this machine that meant this machine.

    A loopback peer, a loopback Host (so no page of another origin, by DNS rebinding) and no sign of a proxy.
    With trusted_proxies set nobody is: a proxy on this machine looks like this machine.
    """
    return (not trusted_proxies and is_loopback(environ["REMOTE_ADDR"])
            and LOOPBACK_HOST.fullmatch(environ.get("HTTP_HOST", "")) is not None
            and not any(name.startswith(FORWARDING) for name in environ))


def is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def client_address(environ: Mapping[str, Any], trusted_proxies: Sequence[str]) -> str:
    """The right-most address on the request's way that is not one of our proxies."""
    address = environ["REMOTE_ADDR"]
    if address not in trusted_proxies:
        return address
    for hop in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").split(",")):
        try:
            address = str(ipaddress.ip_address(hop.strip()))
        except ValueError:  # a proxy that says nothing usable is all that is known
            break
        if address not in trusted_proxies:
            break
    return address


def limit_key(address: str) -> str:
    """What one party is for a rate limit: an IPv4 address, or the /64 that an IPv6 host can move in."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network(address.partition("%")[0] + "/64", strict=False))
    except ValueError:
        return address
