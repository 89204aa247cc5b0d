"""/api/dashboard/tokens: credentials of scripts."""

from __future__ import annotations

import re

import pytest

from smon_hub import clock

TOKENS = "/api/dashboard/tokens"

pytestmark = pytest.mark.usefixtures("quick_passwords")


@pytest.fixture
def ask(hub_inside):
    """ask(method, path, body) as an admin."""
    anna = hub_inside.user()
    return lambda *request, headers=anna: hub_inside.ask(*request, headers=headers)


def bearer(answer):
    return {"Authorization": "Bearer " + answer.json["token"]}


def test_a_token_is_shown_once_and_opens_what_its_role_may(ask):
    made = ask("POST", TOKENS, {"name": "graphs", "role": "viewer", "expires_days": 30})
    assert made.status == 201 and re.fullmatch("smt_[0-9a-f]{64}", made.json["token"])
    assert ask("GET", "/api/dashboard", headers=bearer(made)).status == 200
    assert ask("GET", TOKENS, headers=bearer(made)).status == 403
    listed = ask("GET", TOKENS)
    assert listed.json == {"tokens": [{
        "id": made.json["id"], "name": "graphs", "role": "viewer", "created_at": "2026-11-22T10:00:00Z",
        "created_by": "anna", "expires_at": "2026-12-22T10:00:00Z", "last_used_at": "2026-11-22T10:00:00Z"}]}
    assert made.json["token"] not in listed.text


def test_a_token_without_an_end_holds(hub_inside, ask):
    made = ask("POST", TOKENS, {"name": "graphs", "role": "admin"})
    hub_inside.pass_time(4_000 * clock.DAY)
    assert ask("GET", TOKENS, headers=bearer(made)).json["tokens"][0]["expires_at"] is None


def test_a_revoked_token_is_refused_with_the_next_request(ask):
    made = ask("POST", TOKENS, {"name": "graphs", "role": "viewer"})
    assert ask("DELETE", "%s/%d" % (TOKENS, made.json["id"])).status == 200
    assert ask("GET", "/api/dashboard", headers=bearer(made)).status == 401
    assert ask("GET", TOKENS).json == {"tokens": []}


@pytest.mark.parametrize("id", ["0", "99", "x", "1" * 30, "-1", "1.0"])
def test_an_unknown_token_is_not_found(ask, id):
    assert ask("DELETE", "%s/%s" % (TOKENS, id)).status == 404


@pytest.mark.parametrize("wrong, field", [
    ({"name": ""}, "name"), ({"role": "agent"}, "role"), ({"expires_days": 0}, "expires_days"),
    ({"expires_days": 3_651}, "expires_days"), ({"expires_days": True}, "expires_days")])
def test_a_wrong_field_is_named(ask, wrong, field):
    answer = ask("POST", TOKENS, dict({"name": "graphs", "role": "viewer"}, **wrong))
    assert (answer.status, answer.json["field"]) == (400, field)


@pytest.mark.parametrize("change", [lambda token: token[:-1], lambda token: token + "0", lambda token: token.upper(),
                                    lambda token: "smt_" + "0" * 64, lambda token: " " + token, lambda token: ""])
def test_what_is_no_token_opens_nothing(ask, change):
    token = ask("POST", TOKENS, {"name": "graphs", "role": "viewer"}).json["token"]
    headers = {"Authorization": "Bearer " + change(token)}
    assert ask("GET", "/api/dashboard", headers=headers).status == 401


def test_a_token_that_does_not_hold_is_not_helped_by_a_cookie(hub_inside, ask):
    both = dict(hub_inside.log_in(), Authorization="Bearer smt_" + "0" * 64)
    assert ask("GET", "/api/dashboard", headers=both).status == 401


def test_a_script_is_no_page_whatever_its_headers_say(hub_inside, ask):
    headers = dict(hub_inside.token("admin"), Origin="http://evil.example")
    assert ask("PATCH", "/api/dashboard/settings", {"data_retention_days": 31}, headers=headers).status == 200
