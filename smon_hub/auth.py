"""What proves who is calling: keys, passwords, tokens, and this machine's own address. Nothing is looked up here."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
import secrets
import threading
from collections import OrderedDict
from typing import Any, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import bcrypt

from .fleet import Server

BCRYPT_ROUNDS = 5            # 192 random bits need no slow hash, and 1,000 agents return in seconds
PASSWORD_ROUNDS = 12         # a quarter of a second: what people remember can be guessed
CACHE_MAX = 20_000           # verified keys; the one verified longest ago pays one hash again
BEARER = re.compile(r"Bearer ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):(smk_[0-9a-f]{32,128})")
LOOPBACK_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
API_TOKEN = re.compile(r"Bearer (smt_[0-9a-f]{64})")
SESSION_COOKIE = "smon_session"
SESSION = re.compile(r"(?:^|; *)%s=([0-9a-f]{64})(?:$|;)" % SESSION_COOKIE)
CODE_MARKS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # 32 of them; none looks like another
LOCAL_TOKEN = re.compile(r"Bearer (smh_[0-9a-f]{64})")
FORWARDING = ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED")  # how a proxy's headers begin


ROLES = ("viewer", "admin")  # of people and their tokens; who has a later one may what the earlier ones may


class Caller(NamedTuple):
    """role: nobody, agent, viewer or admin. server: the agent's own. address: where the request came from.

    who: the name under which a change is noted. via: local, session or token. session: the digest of the cookie's.
    key_hash: of the key that an agent showed.
    """

    role: str
    address: str
    server: Any = None  # fleet.Server; always there when the role is agent
    who: str = ""
    via: str = ""
    session: str = ""
    key_hash: str = ""

    def may(self, role: str) -> bool:
        """Whether this caller has a role of people, or one above it."""
        return self.role in ROLES[ROLES.index(role):]


def new_key() -> str:
    """A new agent key, shown once and stored only as its hash."""
    return "smk_" + secrets.token_hex(24)


def new_local_token() -> str:
    """What the command line shows a hub that runs: it lies in the data folder, for its owner alone."""
    return "smh_" + secrets.token_hex(32)


def new_api_token() -> str:
    """What a script shows instead of logging in; kept as its digest."""
    return "smt_" + secrets.token_hex(32)


def new_registration_token() -> str:
    """What admits a server without approval; kept as its digest."""
    return "smr_" + secrets.token_hex(24)


def new_session() -> str:
    """What the cookie of a browser that is logged in holds; kept as its digest."""
    return secrets.token_hex(32)


def new_setup_code() -> str:
    """60 random bits that a person reads from one screen and types on another: `K7QM-2XHD-9RWT`."""
    marks = [secrets.choice(CODE_MARKS) for _ in range(12)]
    return "-".join("".join(marks[start:start + 4]) for start in (0, 4, 8))


def is_setup_code(given: str, code: str) -> bool:
    """However it was typed. No code is there to be shown once an account is."""
    plain = re.sub(r"[^0-9A-Z]", "", given.upper())
    return bool(code) and hmac.compare_digest(plain.encode("ascii"), code.replace("-", "").encode("ascii"))


def digest(token: str) -> str:
    """How a random token is kept and looked up: it has too many bits to be found from its SHA-256."""
    return hashlib.sha256(token.encode("ascii")).hexdigest()


def api_token(header: str) -> Optional[str]:
    """The token of an Authorization header, or None when it holds none."""
    found = API_TOKEN.fullmatch(header)
    return found.group(1) if found else None


def session(cookies: str) -> Optional[str]:
    """The session of a Cookie header, or None when it holds none."""
    found = SESSION.search(cookies)
    return found.group(1) if found else None


def password_hash(password: str) -> str:
    return bcrypt.hashpw(_condensed(password), bcrypt.gensalt(PASSWORD_ROUNDS)).decode("ascii")


def is_password(password: str, stored: Optional[str]) -> bool:
    """Whether it is the one. Without a stored hash the answer is no, and takes as long."""
    unknown = "$2b$%02d$%s" % (PASSWORD_ROUNDS, "." * 53)
    return bcrypt.checkpw(_condensed(password), (stored or unknown).encode("ascii")) and stored is not None


def _condensed(password: str) -> bytes:
    """bcrypt reads 72 bytes at the most, and none after a NUL."""
    return base64.b64encode(hashlib.sha256(password.encode("utf-8")).digest())


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


def is_local(environ: Mapping[str, Any]) -> bool:
    """Whether a request comes from a program on this machine that meant this machine.

    A loopback peer, a loopback Host (so no page of another origin, by DNS rebinding) and no sign of a proxy.
    """
    return (is_loopback(environ["REMOTE_ADDR"])
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
            address = _plain(ipaddress.ip_address(hop.strip()))
        except ValueError:  # a proxy that says nothing usable is all that is known
            break
        if address not in trusted_proxies:
            break
    return address


def _plain(address: Union[ipaddress.IPv4Address, ipaddress.IPv6Address]) -> str:
    """An address of IPv4 as such, however it was written: all of those within IPv6 are in one /64."""
    return str(getattr(address, "ipv4_mapped", None) or address)


def reached_as(environ: Mapping[str, Any], trusted_proxies: Sequence[str]) -> Tuple[str, str]:
    """(scheme, host) that the browser used, by what a proxy of ours says or by what we see."""
    scheme, host = environ["wsgi.url_scheme"], environ.get("HTTP_HOST", "")
    if environ["REMOTE_ADDR"] in trusted_proxies:
        scheme = _last(environ.get("HTTP_X_FORWARDED_PROTO", "")) or scheme
        host = _last(environ.get("HTTP_X_FORWARDED_HOST", "")) or host
    return scheme.lower(), host.lower()


def _last(words: str) -> str:
    """What the nearest proxy added."""
    return words.rpartition(",")[2].strip()


def host_name(host: str) -> str:
    """The name or address of a Host header without its port, in small letters, without the brackets of IPv6."""
    found = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::[0-9]*)?", host)
    return (found.group(1) or found.group(2) or "").rstrip(".").lower() if found else ""


def is_address(name: str) -> bool:
    """Whether a host is an IP address: no page of elsewhere can make a browser call us by one."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def limit_key(address: str) -> str:
    """What one party is for a rate limit: an IPv4 address, or the /64 that an IPv6 host can move in."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network(address.partition("%")[0] + "/64", strict=False))
    except ValueError:
        return address
