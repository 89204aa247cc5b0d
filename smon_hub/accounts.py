"""Who may use the hub: people with passwords, their sessions, and the tokens of scripts.

What a request is checked against is in memory, loaded at start and moved after each commit; it is found by the digest
of the secret that was shown, so that nothing about a secret can be read from the time that a look-up takes.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from . import auth, clock
from .auth import Caller
from .errors import HubError
from .store import accounts as store
from .store import audit, versions
from .store.commits import Database

log = logging.getLogger("smon.accounts")

IDLE_MS, LONGEST_MS = 12 * clock.HOUR, 7 * clock.DAY  # a session ends after so much quiet, and after so much in all
NOTED_MS = clock.MINUTE      # how exactly the last use is known
PEOPLE_MAX, TOKENS_MAX, SESSIONS_MAX = 1_000, 1_000, 20  # users; tokens of each kind; sessions of one user
ADDRESS_TRIES, NAME_TRIES = 20, 5  # wrong logins of an address, and of one name from one address, before waits begin
CROWD, CROWD_SECONDS = 20, 1.0     # tries at one name from anywhere, after which each answer takes longer

NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")

Hub = Any  # hub.Hub, which is passed and never imported
Row = Dict[str, Any]


class Login(NamedTuple):
    """A session that has begun: what the cookie is to hold, whose it is, when it ends at the latest."""

    token: str
    name: str
    role: str
    expires_at: int


class Accounts:
    """Users by id, sessions and tokens by their digests. Changed by the writer's thread after a commit; only what ends
    a session may come sooner, and one that can not be stored is here alone."""

    def __init__(self) -> None:
        self.users: Dict[int, Row] = {}
        self.sessions: Dict[str, Row] = {}
        self.tokens: Dict[str, Row] = {}
        self._used: Dict[str, Row] = {}
        self._lock = threading.Lock()

    def load(self, db: Database) -> None:
        self.users = {row["id"]: row for row in store.users(db)}
        self.sessions = {row["token_hash"]: row for row in store.sessions(db)}
        self.tokens = {row["token_hash"]: row for row in store.api_tokens(db)}

    def by_session(self, token: str, address: str, now: int) -> Optional[Caller]:
        """The user of a session that still holds."""
        digest = auth.digest(token)
        row = self.sessions.get(digest)
        if row is None or not _holds(row, now):
            return None
        user = self.users.get(row["account"])
        if user is None:
            return None
        self._note_use(digest, row, "used_at", now)
        return Caller(user["role"], address, None, user["name"], "session", digest)

    def by_token(self, token: str, address: str, now: int) -> Optional[Caller]:
        """The role of a token that still holds."""
        digest = auth.digest(token)
        row = self.tokens.get(digest)
        if row is None or row["expires_at"] is not None and row["expires_at"] <= now:
            return None
        self._note_use(digest, row, "last_used_at", now)
        return Caller(row["role"], address, None, "token " + row["name"], "token")

    def named(self, name: str) -> Optional[Row]:
        return next((row for row in list(self.users.values()) if row["name"] == name), None)

    def count_sessions(self, user: int, now: int) -> int:
        """How many of a user's sessions hold."""
        return sum(row["account"] == user and _holds(row, now) for row in list(self.sessions.values()))

    def take_used(self) -> Tuple[List[Tuple[int, str]], List[Tuple[int, int]]]:
        """What store.settle takes, of everything that was used since the last call."""
        with self._lock:
            used, self._used = self._used, {}
        return ([(row["used_at"], digest) for digest, row in used.items() if "used_at" in row],
                [(row["last_used_at"], row["id"]) for row in used.values() if "last_used_at" in row])

    def _note_use(self, digest: str, row: Row, key: str, now: int) -> None:
        if abs(now - (row[key] or 0)) >= NOTED_MS:
            row[key] = now
            with self._lock:
                self._used[digest] = row


def _holds(session: Row, now: int) -> bool:
    """By the distance in time: where the clock was set back, what is still to come must not hold for ever."""
    return abs(now - session["used_at"]) <= IDLE_MS and abs(now - session["created_at"]) <= LONGEST_MS


# --- logging in -------------------------------------------------------------------------------------------------------

def log_in(hub: Hub, name: str, password: str, address: str, now: int) -> Login:
    """Begin a session. Raises HubError("unauthorized") in the same words and time whatever was wrong."""
    guard(hub, name, address)
    user = hub.accounts.named(name)
    if not auth.is_password(password, user["password_hash"] if user else None) or user is None:
        raise wrong_login()
    excuse(hub, name, address)
    return _begin(hub, user, address, now)


def guard(hub: Hub, name: str, address: str) -> None:
    """Count a guess at somebody's password before it is checked. Raises HubError("rate_limited")."""
    moment, party = time.monotonic(), auth.limit_key(address)
    wait = hub.attempts.take(("login", party), ADDRESS_TRIES, moment)  # first, so that no flood of names gets further
    if not wait:
        wait = hub.attempts.take(("login", party, name), NAME_TRIES, moment)
        if wait:
            hub.attempts.forgive(("login", party))
    if wait:
        raise too_often(wait)


def excuse(hub: Hub, name: str, address: str) -> None:
    """It was no guess."""
    party = auth.limit_key(address)
    hub.attempts.forget(("login", party, name))
    hub.attempts.forgive(("login", party))


def wrong_login() -> HubError:
    return HubError("unauthorized", "Name or password is wrong.")


def too_often(wait: int) -> HubError:
    return HubError("rate_limited", "Too many wrong tries from this address; wait %d seconds." % wait, retry_after=wait)


def crowded(hub: Hub, name: str) -> float:
    """Seconds to hold back the answer to a try at this name: guessing from many addresses gets slow, and the person
    whose name it is still gets in."""
    return CROWD_SECONDS if hub.crowds.count(name, time.monotonic()) > CROWD else 0.0


def _begin(hub: Hub, user: Row, address: str, now: int) -> Login:
    token = auth.new_session()
    row = {"token_hash": auth.digest(token), "account": user["id"], "created_at": now, "used_at": now}
    old = _oldest(hub.accounts, user["id"])

    def work(db: Database) -> None:
        store.alone(db)
        if user["password_hash"] not in {known["password_hash"] for known in store.users(db)}:
            raise wrong_login()  # it was changed since it was looked at
        for digest in old:
            store.end_session(db, digest)
        store.add_session(db, row)
        store.change_user(db, user["id"], {"last_login_at": now})
        audit.add(db, user["name"], address, "session.login", user["name"], {}, now)

    def after(_: None) -> None:
        for digest in old:
            hub.accounts.sessions.pop(digest, None)
        hub.accounts.sessions[row["token_hash"]] = row
        if user["id"] in hub.accounts.users:
            hub.accounts.users[user["id"]] = {**hub.accounts.users[user["id"]], "last_login_at": now}
    try:
        hub.engine.write(work, after)
    except HubError as error:
        if error.code != "unavailable":
            raise
        _begin_unstored(hub, user, row)
    return Login(token, user["name"], user["role"], now + LONGEST_MS)


def _begin_unstored(hub: Hub, user: Row, row: Row) -> None:
    """A session that ends with the hub: whoever has to see why nothing can be stored gets in, too."""
    hub.accounts.sessions[row["token_hash"]] = row
    known = hub.accounts.users.get(user["id"])
    if known is None or known["password_hash"] != user["password_hash"]:  # looked at afterwards, so that none slips by
        hub.accounts.sessions.pop(row["token_hash"], None)
        raise wrong_login()
    log.warning("%s logged in while nothing can be stored; the session ends with the hub.", user["name"])


def _oldest(accounts: Accounts, user: int) -> List[str]:
    """The sessions of a user that have to make room for one more."""
    mine = [row for row in list(accounts.sessions.values()) if row["account"] == user]
    mine.sort(key=lambda row: row["used_at"])
    return [row["token_hash"] for row in mine[:max(0, len(mine) + 1 - SESSIONS_MAX)]]


def log_out(hub: Hub, caller: Caller, now: int) -> None:
    """End the caller's own session, whatever the store says to it."""
    def work(db: Database) -> None:
        store.end_session(db, caller.session)
        audit.add(db, caller.who, caller.address, "session.logout", caller.who, {}, now)
    hub.accounts.sessions.pop(caller.session, None)
    hub.engine.write(work)


# --- people -----------------------------------------------------------------------------------------------------------

def add_user(hub: Hub, caller: Caller, user: Row, now: int, first: bool = False) -> Row:
    """A new user of {name, role, password}. first: only while there is none.

    Raises HubError("conflict") for a name that is taken, and for a first user who is no admin.
    """
    row = {"name": user["name"], "role": user["role"], "password_hash": auth.password_hash(user["password"]),
           "created_at": now, "last_login_at": None}

    def work(db: Database) -> Row:  # of two at the same time one is the second
        store.alone(db)
        _check_new(store.users(db), row, first)
        made = {**row, "id": store.add_user(db, row)}
        audit.add(db, caller.who or row["name"], caller.address, "user.add", row["name"],
                  {"role": [None, row["role"]]}, now)
        return made

    def after(made: Row) -> Row:
        hub.accounts.users[made["id"]] = made
        hub.end_setup()
        return made
    return hub.engine.write(work, after)


def named_well(user: Row) -> Row:
    """The user again. Raises HubError("bad_request") for a name that would not do in an address."""
    if not NAME.fullmatch(user["name"]):
        raise HubError("bad_request", "name must be 1 to 64 of A-Z a-z 0-9 . _ @ -.", field="name")
    return user


def _check_new(users: List[Row], row: Row, first: bool) -> None:
    if first and users:
        raise HubError("conflict", "Somebody else made the first account in this moment; log in with an account.")
    if row["name"] in {other["name"] for other in users}:
        raise HubError("conflict", "There is a user %s already." % row["name"])
    if not users and row["role"] != "admin":
        raise HubError("conflict", "The first account must be an admin's: there would be nobody to make another.")
    if len(users) >= PEOPLE_MAX:
        raise HubError("conflict", "There are %d users already, which is all that a hub keeps." % PEOPLE_MAX)


def change_user(hub: Hub, caller: Caller, name: str, change: Row, now: int, keep: str = "") -> Row:
    """Change a user's role or password; both end the sessions, but the one that is to be kept.

    Raises HubError("conflict") for what would leave no admin.
    """
    columns = {"role": change["role"]} if "role" in change else {}
    if "password" in change:
        columns["password_hash"] = auth.password_hash(change["password"])

    def work(db: Database) -> Row:
        store.alone(db)
        user = _user(store.users(db), name)
        if columns.get("role", "admin") != "admin":
            _keep_an_admin(db, user)
        store.change_user(db, user["id"], columns)
        store.end_sessions(db, user["id"], keep)
        audit.add(db, caller.who, caller.address, "user.change", name, {
            **audit.changed(user, {"role": change.get("role", user["role"])}),
            **({"password": ["set", "set"]} if "password" in change else {})}, now)
        return user

    def after(user: Row) -> Row:
        changed = hub.accounts.users[user["id"]] = {**hub.accounts.users[user["id"]], **columns}
        _forget_sessions(hub.accounts, user["id"], keep)
        return changed
    return hub.engine.write(work, after)


def remove_user(hub: Hub, caller: Caller, name: str, now: int) -> None:
    """Remove a user and end the sessions. Raises HubError("conflict") for the last admin."""
    def work(db: Database) -> Row:
        store.alone(db)
        user = _user(store.users(db), name)
        _keep_an_admin(db, user)
        store.remove_user(db, user["id"])
        audit.add(db, caller.who, caller.address, "user.remove", name, {"role": [user["role"], None]}, now)
        return user

    def after(user: Row) -> None:
        hub.accounts.users.pop(user["id"], None)
        _forget_sessions(hub.accounts, user["id"])
    hub.engine.write(work, after)


def _user(users: List[Row], name: str) -> Row:
    found = next((user for user in users if user["name"] == name), None)
    if found is None:
        raise HubError("not_found", "No such user.")
    return found


def _keep_an_admin(db: Database, user: Row) -> None:
    admins = [other["id"] for other in store.users(db) if other["role"] == "admin"]
    if admins == [user["id"]]:
        raise HubError("conflict", "%s is the last admin: make another one first." % user["name"])


def _forget_sessions(accounts: Accounts, user: int, keep: str = "") -> None:
    for digest, row in list(accounts.sessions.items()):
        if row["account"] == user and digest != keep:
            accounts.sessions.pop(digest, None)


# --- tokens -----------------------------------------------------------------------------------------------------------

def add_token(hub: Hub, caller: Caller, body: Row, now: int) -> Tuple[str, int]:
    """(token, id) of a new API token of {name, role, expires_days}."""
    token = auth.new_api_token()
    row = {"token_hash": auth.digest(token), "name": body["name"], "role": body["role"], "created_at": now,
           "created_by": caller.who, "expires_at": _expiry(body, now), "last_used_at": None}
    _check_room(len(hub.accounts.tokens))

    def work(db: Database) -> Row:
        made = {**row, "id": store.add_api_token(db, row)}
        audit.add(db, caller.who, caller.address, "token.add", row["name"], {"role": [None, row["role"]]}, now)
        return made

    def after(made: Row) -> int:
        hub.accounts.tokens[made["token_hash"]] = made
        return made["id"]
    return token, hub.engine.write(work, after)


def remove_token(hub: Hub, caller: Caller, token: int, now: int) -> None:
    """It opens nothing from the next request on."""
    row = next((row for row in list(hub.accounts.tokens.values()) if row["id"] == token), None)
    if row is None:
        raise HubError("not_found", "No such token.")

    def work(db: Database) -> None:
        store.remove_api_token(db, token)
        audit.add(db, caller.who, caller.address, "token.remove", row["name"], {"role": [row["role"], None]}, now)
    hub.engine.write(work, lambda _: hub.accounts.tokens.pop(row["token_hash"], None))


def add_registration(hub: Hub, caller: Caller, body: Row, now: int) -> Tuple[str, int]:
    """(token, id) of a new registration token of {name, group_name, expires_days, uses}."""
    token = auth.new_registration_token()
    row = {"token_hash": auth.digest(token), "name": body["name"], "group_name": body["group_name"] or None,
           "created_at": now, "created_by": caller.who, "expires_at": _expiry(body, now), "uses_left": body["uses"]}

    def work(db: Database) -> int:
        store.alone(db)
        _check_room(store.count_registration_tokens(db))
        made = store.add_registration_token(db, row)
        audit.add(db, caller.who, caller.address, "registration.add", row["name"],
                  {"group_name": [None, row["group_name"]], "uses": [None, row["uses_left"]]}, now)
        return made
    return token, hub.engine.write(work)


def remove_registration(hub: Hub, caller: Caller, token: int, now: int) -> None:
    def work(db: Database) -> None:
        name = store.remove_registration_token(db, token)
        if name is None:
            raise HubError("not_found", "No such token.")
        audit.add(db, caller.who, caller.address, "registration.remove", name, {}, now)
    hub.engine.write(work)


def _expiry(body: Row, now: int) -> Optional[int]:
    return None if body["expires_days"] is None else now + body["expires_days"] * clock.DAY


def _check_room(count: int) -> None:
    if count >= TOKENS_MAX:
        raise HubError("conflict", "There are %d tokens already; remove some of them first." % TOKENS_MAX)


# --- now and then -----------------------------------------------------------------------------------------------------

def settle(hub: Hub) -> None:
    """Write back what was used when, and drop the sessions that have expired, by every hub's word."""
    now = hub.now()
    sessions, tokens = hub.accounts.take_used()
    if hub.engine.shared:
        hub.engine.write(lambda db: store.settle(db, sorted(sessions), sorted(tokens)))
        hub.peers.reload(versions.ACCOUNTS)
        sessions, tokens = [], []
    over = [digest for digest, row in list(hub.accounts.sessions.items()) if not _holds(row, now)]
    if not (sessions or tokens or over):
        return

    def work(db: Database) -> None:
        store.settle(db, sessions, tokens)
        for digest in over:
            store.end_session(db, digest)

    def after(_: None) -> None:
        for digest in over:
            hub.accounts.sessions.pop(digest, None)
    hub.engine.write(work, after)
