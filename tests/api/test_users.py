"""/api/dashboard/users: who may log in, and what viewers may not."""

from __future__ import annotations

import pytest

from smon_hub.web.routes import ROUTES
from tests.hub.inside import HERE, PASSWORD

USERS = "/api/dashboard/users"
LOCAL = {"address": HERE, "host": "localhost:3000"}
BEN = {"name": "ben", "role": "viewer", "password": "a long password"}

pytestmark = pytest.mark.usefixtures("quick_passwords")


@pytest.fixture
def anna(hub_inside):
    """The headers of an admin."""
    return hub_inside.user()


@pytest.fixture
def ask(hub_inside, anna):
    """ask(method, path, body) as the admin."""
    return lambda *request, headers=anna: hub_inside.ask(*request, headers=headers)


def sees(ask, headers):
    return ask("GET", "/api/dashboard", headers=headers).status == 200


def names(ask):
    return [user["name"] for user in ask("GET", USERS).json["users"]]


def test_users_are_listed_with_all_but_what_is_secret(ask):
    assert ask("POST", USERS, BEN).status == 201
    assert ask("GET", USERS).json == {"users": [
        {"name": "anna", "role": "admin", "created_at": "2026-11-22T10:00:00Z", "last_login_at": "2026-11-22T10:00:00Z",
         "sessions": 1},
        {"name": "ben", "role": "viewer", "created_at": "2026-11-22T10:00:00Z", "last_login_at": None, "sessions": 0}]}


def test_the_first_account_ends_local_trust(hub_inside):
    assert hub_inside.ask("GET", "/api/dashboard", **LOCAL).status == 200
    assert hub_inside.ask("POST", USERS, dict(BEN, role="admin"), **LOCAL).status == 201
    answer = hub_inside.ask("GET", "/api/dashboard", **LOCAL)
    assert (answer.status, answer.json["error"]) == (401, "Log in, or send Authorization: Bearer and an API token.")


def test_a_first_account_without_rights_is_refused(hub_inside):
    answer = hub_inside.ask("POST", USERS, BEN, **LOCAL)
    assert (answer.status, answer.json["code"]) == (409, "conflict")
    assert hub_inside.ask("GET", "/api/dashboard", **LOCAL).status == 200


def test_the_command_lines_token_holds_after_the_first_account(hub_inside, anna):
    bearer = {"Authorization": "Bearer " + hub_inside.local_token}
    assert hub_inside.ask("GET", USERS, headers=bearer).status == 200


@pytest.mark.parametrize("wrong, field", [
    ({"name": ""}, "name"), ({"name": "a b"}, "name"), ({"name": "a/b"}, "name"), ({"name": "a" * 65}, "name"),
    ({"name": "\u00e4nna"}, "name"), ({"name": "anna\n"}, None), ({"role": "root"}, "role"), ({"role": None}, "role"),
    ({"password": "123456789"}, "password"), ({"password": "a" * 1_025}, "password"),
    ({"password": 1234567890}, "password")])
def test_a_wrong_field_is_named_and_adds_nobody(ask, wrong, field):
    answer = ask("POST", USERS, dict(BEN, **wrong))
    if field is None:  # blanks around a text do not count
        assert (answer.status, answer.json["code"]) == (409, "conflict")
    else:
        assert (answer.status, answer.json["field"]) == (400, field)
    assert names(ask) == ["anna"]


@pytest.mark.parametrize("password", ["a" * 10, "a" * 1_024, "\u00e4\u20ac\U0001f40e" * 4, "$word $static {0} %s"])
def test_a_password_may_be_of_any_characters(hub_inside, ask, password):
    assert ask("POST", USERS, dict(BEN, password=password)).status == 201
    assert sees(ask, hub_inside.log_in("ben", password))


def test_a_name_is_there_once(ask):
    assert [ask("POST", USERS, BEN).status for _ in range(2)] == [201, 409]


@pytest.mark.parametrize("change", [{"role": "admin"}, {"password": "another password"},
                                    {"role": "viewer", "password": "another password"}])
def test_a_change_ends_the_users_sessions_at_once(hub_inside, ask, anna, change):
    ben = hub_inside.user("ben", "viewer")
    assert sees(ask, ben)
    answer = ask("PATCH", USERS + "/ben", change)
    assert (answer.status, answer.json["user"]["role"]) == (200, change.get("role", "viewer"))
    assert not sees(ask, ben) and sees(ask, anna)
    assert sees(ask, hub_inside.log_in("ben", change.get("password", PASSWORD)))


def test_a_removed_user_is_out_at_once(hub_inside, ask):
    ben = hub_inside.user("ben", "viewer")
    assert ask("DELETE", USERS + "/ben").status == 200
    assert not sees(ask, ben)
    assert hub_inside.ask("POST", "/api/session", {"username": "ben", "password": PASSWORD}).status == 401
    assert names(ask) == ["anna"]


def test_a_name_that_comes_again_is_somebody_else(hub_inside, ask):
    ben = hub_inside.user("ben", "viewer")
    ask("DELETE", USERS + "/ben")
    assert ask("POST", USERS, BEN).status == 201
    assert not sees(ask, ben)


@pytest.mark.parametrize("request_", [("DELETE", USERS + "/anna", None),
                                      ("PATCH", USERS + "/anna", {"role": "viewer"})], ids=["remove", "demote"])
def test_the_last_admin_stays(hub_inside, ask, anna, request_):
    hub_inside.user("ben", "viewer")
    answer = ask(*request_)
    assert (answer.status, answer.json["code"]) == (409, "conflict")
    assert sees(ask, anna)
    hub_inside.user("cleo", "admin")
    assert ask(*request_).status == 200


@pytest.mark.parametrize("request_", [("DELETE", USERS + "/nobody", None),
                                      ("PATCH", USERS + "/nobody", {"role": "admin"})], ids=["remove", "change"])
def test_an_unknown_user_is_not_found(ask, request_):
    assert ask(*request_).status == 404


ADMINS = [route for route in ROUTES if route.auth == "admin"]


@pytest.mark.parametrize("make", [lambda hub: hub.user("ben", "viewer"), lambda hub: hub.token("viewer")],
                         ids=["session", "token"])
def test_what_is_for_admins_a_viewer_is_refused_with_the_role_that_it_needs(hub_inside, ask, make):
    viewer = make(hub_inside)
    for route in ADMINS:
        answer = ask(route.method, route.path, ["not what it expects"], headers=viewer)
        assert (answer.status, answer.json["error"]) == (403, "This needs the role admin; yours is viewer."), route.path
    assert sees(ask, viewer)


def test_a_changed_role_counts_from_the_next_login(hub_inside, ask):
    hub_inside.user("ben", "viewer")
    ask("PATCH", USERS + "/ben", {"role": "admin"})
    assert ask("GET", USERS, headers=hub_inside.log_in("ben")).status == 200
