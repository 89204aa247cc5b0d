"""Every route for every kind of caller: who is let in, who is asked for a credential, whose credential is too small."""

from __future__ import annotations

import itertools
import re
from typing import Any, Callable, Dict, NamedTuple

import pytest

from smon_hub import auth, clock
from smon_hub.web.routes import ROUTES
from tests.hub import inside

IN, ASKED, TOO_SMALL = "let in", 401, 403
WORDS = ("open", "agent", "viewer", "admin")
ADDRESS = "192.0.2.1:3000"  # by which name the hub is called: one that any hub answers to
OWN_ROUTES = ("/api/config/{server_id}",)  # an agent's own: the path must name the server that the key is of
ONLY_FOR_ADMINS = {"/api/dashboard/users", "/api/dashboard/tokens", "/api/dashboard/registration",
                   "/api/dashboard/audit", "/api/dashboard/backups"}
addresses = ("10.%d.%d.%d" % (n >> 16, n >> 8 & 255, n & 255) for n in itertools.count(1))


class Scene(NamedTuple):
    """A hub with accounts and two agents, one of which every path with a server in it names."""

    hub: inside.HubInside
    server: Dict[str, Any]
    other: Dict[str, Any]


Headers = Dict[str, str]


def bearer(server: Dict[str, Any]) -> Headers:
    return {"Authorization": "Bearer %s:%s" % (server["server_id"], server["api_key"])}


def ask(scene: Scene, method: str, path: str, body: Any = None, headers: Any = None) -> Any:
    """A request from an address of its own, so that no limit stands before the answer."""
    return scene.hub.ask(method, path, body, next(addresses), headers, ADDRESS)


def an_admin(scene: Scene) -> Headers:
    return {"Authorization": "Bearer " + scene.hub.local_token}


def logged_in(scene: Scene, role: str) -> Headers:
    return scene.hub.log_in(role)


def logged_out(scene: Scene) -> Headers:
    cookie = logged_in(scene, "admin")
    assert ask(scene, "DELETE", "/api/session", headers=cookie).status == 200
    return cookie


def session_of_a_removed_user(scene: Scene) -> Headers:
    cookie = scene.hub.user("gone")
    assert ask(scene, "DELETE", "/api/dashboard/users/gone", headers=an_admin(scene)).status == 200
    return cookie


def session_from_before_a_new_password(scene: Scene) -> Headers:
    cookie = scene.hub.user("changed")
    body = {"password": "another correct horse"}
    assert ask(scene, "PATCH", "/api/dashboard/users/changed", body, an_admin(scene)).status == 200
    assert ask(scene, "DELETE", "/api/dashboard/users/changed", headers=an_admin(scene)).status == 200
    return cookie


def unused_session(scene: Scene) -> Headers:
    cookie = logged_in(scene, "admin")
    scene.hub.pass_time(12 * clock.HOUR + 1)
    return cookie


def expired_token(scene: Scene) -> Headers:
    token = scene.hub.token("admin", expires_days=1)
    scene.hub.pass_time(clock.DAY)
    return token


def revoked_token(scene: Scene) -> Headers:
    token = scene.hub.token("admin", name="revoked")
    tokens = ask(scene, "GET", "/api/dashboard/tokens", headers=an_admin(scene)).json["tokens"]
    id = max(entry["id"] for entry in tokens if entry["name"] == "revoked")
    assert ask(scene, "DELETE", "/api/dashboard/tokens/%d" % id, headers=an_admin(scene)).status == 200
    return token


def removed_agent(scene: Scene) -> Headers:
    server = scene.hub.register()
    path = "/api/dashboard/server/" + server["server_id"]
    assert ask(scene, "POST", "/api/ping", headers=bearer(server)).status == 200
    assert ask(scene, "DELETE", path, headers=an_admin(scene)).status == 200
    return bearer(server)


def agent_with_its_old_key(scene: Scene) -> Headers:
    server = scene.hub.register()
    path = "/api/dashboard/server/%s/rotate-key" % server["server_id"]
    assert ask(scene, "POST", "/api/ping", headers=bearer(server)).status == 200  # so that the key is remembered
    assert ask(scene, "POST", path, headers=an_admin(scene)).status == 200
    return bearer(server)


# caller: (how it comes by its headers, what it gets from routes of each of WORDS)
CALLERS: Dict[str, Any] = {
    "nobody": (lambda scene: {}, (IN, ASKED, ASKED, ASKED)),
    "viewer's session": (lambda scene: logged_in(scene, "viewer"), (IN, ASKED, IN, TOO_SMALL)),
    "admin's session": (lambda scene: logged_in(scene, "admin"), (IN, ASKED, IN, IN)),
    "viewer's token": (lambda scene: scene.hub.token("viewer"), (IN, ASKED, IN, TOO_SMALL)),
    "admin's token": (lambda scene: scene.hub.token("admin"), (IN, ASKED, IN, IN)),
    "command line": (an_admin, (IN, ASKED, IN, IN)),
    "agent": (lambda scene: bearer(scene.server), (IN, IN, ASKED, ASKED)),
    "other agent": (lambda scene: bearer(scene.other), (IN, IN, ASKED, ASKED)),
    "agent with another's key": (lambda scene: bearer(dict(scene.other, server_id=scene.server["server_id"])),
                                 (IN, ASKED, ASKED, ASKED)),
    "removed agent": (removed_agent, (IN, ASKED, ASKED, ASKED)),
    "agent with its old key": (agent_with_its_old_key, (IN, ASKED, ASKED, ASKED)),
    "made-up agent": (lambda scene: bearer(dict(scene.server, api_key=auth.new_key())), (IN, ASKED, ASKED, ASKED)),
    "made-up token": (lambda scene: {"Authorization": "Bearer " + auth.new_api_token()}, (IN, ASKED, ASKED, ASKED)),
    "made-up session": (lambda scene: {"Cookie": "smon_session=" + auth.new_session()}, (IN, ASKED, ASKED, ASKED)),
    "made-up command line": (lambda scene: {"Authorization": "Bearer " + auth.new_local_token()},
                             (IN, ASKED, ASKED, ASKED)),
    "revoked token": (revoked_token, (IN, ASKED, ASKED, ASKED)),
    "revoked token beside a session": (lambda scene: {**logged_in(scene, "admin"), **revoked_token(scene)},
                                       (IN, ASKED, ASKED, ASKED)),
    "logged out": (logged_out, (IN, ASKED, ASKED, ASKED)),
    "session of a removed user": (session_of_a_removed_user, (IN, ASKED, ASKED, ASKED)),
    "session from before a new password": (session_from_before_a_new_password, (IN, ASKED, ASKED, ASKED)),
    "session unused for 12 hours": (unused_session, (IN, ASKED, ASKED, ASKED)),
    "expired token": (expired_token, (IN, ASKED, ASKED, ASKED)),
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    quick = pytest.MonkeyPatch()
    quick.setattr(auth, "PASSWORD_ROUNDS", 4)  # what is tested here is not how long a password takes
    with inside.running(tmp_path_factory.mktemp("matrix") / "data") as hub:
        made = Scene(hub, hub.register(), hub.register())
        hub.user("admin", "admin")
        hub.user("viewer", "viewer")
        yield made
    quick.undo()


def path_of(scene: Scene, route: Any) -> str:
    """The route's path: for agents with the server that it is about, for people with nothing that could be removed."""
    server_id = scene.server["server_id"] if route.auth == "agent" else "nothing"
    return re.sub(r"\{(\w+)(:path)?\}", lambda match: server_id if match[1] == "server_id" else "nothing", route.path)


def outcome(answer: Any) -> Any:
    return answer.status if answer.status in (ASKED, TOO_SMALL) else IN


def expected(caller: str, route: Any) -> Any:
    if caller == "other agent" and route.path in OWN_ROUTES:
        return TOO_SMALL
    return CALLERS[caller][1][WORDS.index(route.auth)]


def asked_for(scene: Scene, route: Any, headers: Callable[[Scene], Headers]) -> Any:
    """The answer to a request that nothing but the credential can be the reason to refuse with 401 or 403: its body is
    none that the route takes, except where the route lets that pass."""
    body = None if route.body is None else {"revision": 0} if route.path in OWN_ROUTES else ["no such body"]
    return ask(scene, route.method, path_of(scene, route), body, headers(scene))


@pytest.mark.parametrize("caller", CALLERS)
def test_each_caller_is_let_in_where_the_table_says_and_nowhere_else(scene, caller):
    # a credential of its own for every cell: some routes end it
    cells = {(route.method, route.path): (outcome(asked_for(scene, route, CALLERS[caller][0])), expected(caller, route))
             for route in ROUTES}
    assert {cell: found for cell, (found, wanted) in cells.items() if found != wanted} == {}


@pytest.mark.parametrize("headers, host, admitted", [
    ({}, "localhost:3000", True), ({}, "127.0.0.1", True), ({}, "[::1]:3000", True), ({}, ADDRESS, False),
    ({"X-Forwarded-For": "192.0.2.9"}, "localhost", False), ({"Forwarded": "for=192.0.2.9"}, "localhost", False),
    ({"Via": "1.1 proxy"}, "localhost", False), ({"X-Real-IP": "127.0.0.1"}, "localhost", False),
], ids=str)
def test_before_the_first_account_this_machine_is_admin_where_it_means_itself(hub_inside, headers, host, admitted):
    wanted = {"open": IN, "agent": ASKED, "viewer": IN if admitted else ASKED, "admin": IN if admitted else ASKED}
    scene = Scene(hub_inside, hub_inside.register(), {})
    hub_inside.change_settings({"rate_limit_per_minute": 1_000_000})
    found = {(route.method, route.path): outcome(hub_inside.ask(
        route.method, path_of(scene, route), None if route.body is None else ["no such body"], inside.HERE, headers,
        host)) for route in ROUTES}
    assert {cell: found[cell] for route in ROUTES for cell in [(route.method, route.path)]
            if found[cell] != wanted[route.auth]} == {}


def test_after_the_first_account_this_machine_is_like_any_other(scene):
    for route in ROUTES:
        if route.auth != "open":
            answer = scene.hub.ask(route.method, path_of(scene, route), None, "127.%d.0.1" % (ROUTES.index(route) + 1),
                                   host="localhost")
            assert answer.status == ASKED, route


def test_a_refusal_says_which_role_is_needed_or_which_credential(scene):
    answer = ask(scene, "DELETE", "/api/dashboard/settings", headers=logged_in(scene, "viewer"))
    assert answer.json == {"error": "This needs the role admin; yours is viewer.", "code": "forbidden"}
    answer = ask(scene, "DELETE", "/api/dashboard/settings")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_what_only_admins_may_read_is_listed_by_hand():
    assert {route.path for route in ROUTES if (route.method, route.auth) == ("GET", "admin")} == ONLY_FOR_ADMINS
