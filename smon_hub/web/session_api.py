"""Logging in and out, one's own password, and the first account; as JSON for scripts, as forms for plain browsers."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import Future
from typing import Any, Callable, Dict, Optional
from urllib.parse import quote

from .. import accounts, auth, bodies, clock, shapes
from ..errors import HubError
from . import pages
from .call import Call, File, Redirect, Session

OWN_PATH = re.compile(r"/(?![/\\])[^\x00-\x20\x7f]*")  # browsers read "//" and "/\" as another host
CODE_TRIES = 5  # wrong set-up codes of one address before waits begin

Hub = Any  # hub.Hub, which is passed and never imported


def who(hub: Hub, call: Call) -> Dict[str, Any]:
    """Who the caller is to this hub; null for a stranger. setup: whether there is no account yet."""
    caller = call.caller
    user = {"name": caller.who, "role": caller.role, "via": caller.via} if caller.may("viewer") else None
    return {"user": user, "setup": not hub.accounts.users,
            "local_trust": hub.application.admission.trusts_its_machine()}


def log_in(hub: Hub, call: Call) -> Any:
    """Begin a session."""
    return _unhurried(hub, call, lambda: _begun(_checked(hub, call, call.body), call))


def log_out(hub: Hub, call: Call) -> Session:
    """End this session; harmless without one."""
    if call.caller.session:
        accounts.log_out(hub, call.caller, call.now)
    return Session({"status": "ok"}, "", 0)


def change_password(hub: Hub, call: Call) -> Dict[str, Any]:
    """Change one's own password, which ends all other sessions."""
    caller, body = call.caller, call.body
    if not caller.session:
        raise HubError("forbidden", "Only who is logged in has a password to change.")
    accounts.guard(hub, caller.who, caller.address)
    user = hub.accounts.named(caller.who)
    if user is None or not auth.is_password(body["old_password"], user["password_hash"]):
        raise HubError("forbidden", "old_password is wrong.", field="old_password")
    accounts.excuse(hub, caller.who, caller.address)
    accounts.change_user(hub, caller, caller.who, {"password": body["new_password"]}, call.now, keep=caller.session)
    return {"status": "ok"}


def set_up(hub: Hub, call: Call) -> Session:
    """Make the first account with the code that the hub printed, and log it in."""
    return _begun(_first(hub, call, call.body), call)


# --- forms ------------------------------------------------------------------------------------------------------------

def log_in_by_form(hub: Hub, call: Call) -> Any:
    """The same for a browser without script."""
    return _unhurried(hub, call, lambda: _by_form(
        hub, call, lambda: _checked(hub, call, shapes.clean(bodies.LOGIN, call.body))))


def set_up_by_form(hub: Hub, call: Call) -> Any:
    """The same for a browser without script."""
    return _by_form(hub, call, lambda: _first(hub, call, shapes.clean(bodies.SETUP, call.body)))


def page(hub: Hub, call: Call) -> File:
    """Where one logs in, or makes the first account."""
    return pages.login(hub, own_path(call.query["next"]))


def own_path(given: Optional[str]) -> str:
    """A path of this hub to go on to; the overview when it is anything else."""
    path = quote(given or "/", safe="/?=&%:;,@!~*'()#[]\\+")
    return path if OWN_PATH.fullmatch(path) else "/"


def _by_form(hub: Hub, call: Call, begin: Callable[[], accounts.Login]) -> Any:
    """On to where the person wanted to go, or the page again with what was wrong."""
    onward = own_path(call.body.get("next"))
    try:
        login = begin()
    except HubError as error:
        return pages.login(hub, onward, call.body.get("username", "")[:shapes.IDENTITY_MAX], error)
    return _session(Redirect(onward), login, call)


# --- what both do -----------------------------------------------------------------------------------------------------

def _checked(hub: Hub, call: Call, body: Dict[str, Any]) -> accounts.Login:
    return accounts.log_in(hub, body["username"], body["password"], call.caller.address, call.now)


def _first(hub: Hub, call: Call, body: Dict[str, Any]) -> accounts.Login:
    if hub.accounts.users:
        raise HubError("forbidden", "This hub is set up already; log in with an account.")
    key = ("setup", auth.limit_key(call.caller.address))
    wait = hub.attempts.take(key, CODE_TRIES, time.monotonic())
    if wait:
        raise accounts.too_often(wait)
    if not auth.is_setup_code(body["code"], hub.setup_code):
        raise HubError("unauthorized", "The set-up code is wrong: it is in the hub's log and in the file setup-code of "
                       "its data folder.")
    hub.attempts.forget(key)
    user = {"name": body["username"], "role": "admin", "password": body["password"]}
    accounts.add_user(hub, call.caller, accounts.named_well(user), call.now, first=True)
    return accounts.log_in(hub, body["username"], body["password"], call.caller.address, call.now)


def _begun(login: accounts.Login, call: Call) -> Session:
    return _session({"status": "ok", "user": {"name": login.name, "role": login.role},
                     "expires_at": clock.iso(login.expires_at)}, login, call)


def _session(answer: Any, login: accounts.Login, call: Call) -> Session:
    return Session(answer, login.token, (login.expires_at - call.now) // 1000)


def _unhurried(hub: Hub, call: Call, work: Callable[[], Any]) -> Any:
    """The work's answer or refusal; held back for a moment while many guess at one name."""
    seconds = accounts.crowded(hub, str(call.body.get("username"))[:shapes.IDENTITY_MAX])
    if not seconds:
        return work()
    later: "Future[Any]" = Future()
    try:
        timer = threading.Timer(seconds, later.set_result, [work()])
    except HubError as error:
        timer = threading.Timer(seconds, later.set_exception, [error])
    timer.name, timer.daemon = "smon-login", True
    timer.start()
    return later
